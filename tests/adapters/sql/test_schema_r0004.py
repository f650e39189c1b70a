"""The upgrade that brings pending accounts, evidence and the last day of memberships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from idmap.adapters.sql import SqlRegistry, upgrade
from idmap.adapters.sql.engine import make_engine, reading, writing
from idmap.adapters.sql.schema import MIGRATIONS
from idmap.application.questions import EvidenceQuestion
from idmap.domain.accounts import AccountState
from idmap.domain.errors import Conflict
from tests.support.postgresql import cluster
from tests.support.registry_scenes import AUTHOR, NOW, STAFF, open_one


def triggers(url: str) -> set[tuple[str, str]]:
    engine = make_engine(url)
    with reading(engine) as connection:
        sqlite = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        postgresql = (
            "SELECT tgname AS name, pg_get_triggerdef(oid) AS sql FROM pg_trigger"
            " WHERE NOT tgisinternal"
        )
        wanted = sqlite if connection.dialect.name == "sqlite" else postgresql
        rows = connection.execute(text(wanted)).all()
    engine.dispose()
    assert rows
    return {(row.name, row.sql) for row in rows}


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/registry.db"
        return
    name = cluster().make_database()
    yield cluster().url(name)
    cluster().drop_database(name)


@pytest.mark.parametrize("since", ["r0001", "r0002", "r0003"])
def test_an_older_registry_keeps_everything_and_takes_pending_accounts(
    url: str, since: str, tmp_path: Path
) -> None:
    """A site of that schema: an account in a group, its number in the ledger, a guard of triggers."""
    marks = None if url.startswith("sqlite") else tmp_path
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = make_engine(url)
    ledger = (
        "INSERT INTO ledger_numbers (kind, number, owner, range_name, issued_at, author) VALUES "
    )
    names = "INSERT INTO ledger_names (name, kind, owner, issued_at, author) VALUES "
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, since)
        for statement in (
            "INSERT INTO ranges VALUES ('people', 'people', 200000, 200999, 200001)",
            "INSERT INTO ranges VALUES ('groups', 'groups', 300000, 300999, 300002)",
            ledger + "('gid', 300000, 'group:1', 'groups', 0, 'x')",
            ledger + "('gid', 300001, 'group:2', 'groups', 0, 'x')",
            ledger + "('uid', 200000, 'account:1', 'people', 0, 'x')",
            names + "('vo', 'group', 'group:1', 0, 'x')",
            names + "('data', 'group', 'group:2', 0, 'x')",
            names + "('jo', 'user', 'account:1', 0, 'x')",
            "INSERT INTO groups (group_id, issuer, path) VALUES"
            " (1, 'https://iam.example.org/', 'vo'),"
            " (2, 'https://iam.example.org/', 'vo/staff_members')",
            "INSERT INTO posix_groups VALUES (1, 'vo', 300000), (2, 'data', 300001)",
            "INSERT INTO accounts (account_id, username, uid_number, primary_group_id, home,"
            " shell, state, held, rule_id)"
            " VALUES (1, 'jo', 200000, 1, '/home/jo', '/bin/sh', 'active', false, 'r')",
            "INSERT INTO memberships (account_id, group_id) VALUES (1, 2)",
            "INSERT INTO identities (identity_id, issuer, subject, account_id, active, first_seen)"
            " VALUES (1, 'https://iam.example.org/', 'a', 1, true, 0)",
        ):
            connection.execute(text(statement))
        salt = text("INSERT INTO realm (realm_id, salt, created) VALUES (1, :salt, 0)")
        connection.execute(salt, {"salt": bytes(32)})
        for counter in ("revision", "ban_counter"):
            kept = text("UPDATE counters SET value = value WHERE name = :name")
            assert connection.execute(kept, {"name": counter}).rowcount == 1
    engine.dispose()
    # r0005 lets a group's path change, by another trigger in this one's place.
    before = {found for found in triggers(url) if found[0] != "groups_never_changed"}
    upgrade(url)
    assert before <= triggers(url)

    registry = SqlRegistry.open(url, lambda: NOW, marks_directory=marks)
    with registry.read() as reader:
        (account,) = reader.every_account()
        assert (account.username, account.state) == ("jo", AccountState.ACTIVE)
        assert [group.name for group in account.secondary_groups] == ["data"]
        assert account.leaving == ()
        assert reader.page_of_evidence(EvidenceQuestion(state=None)).items == ()
    with registry.write(AUTHOR) as writer:
        writer.set_membership_grace(1, [STAFF], None)
    assert open_one(registry, "new", pending=True).state is AccountState.PENDING
    registry.close()

    engine = make_engine(url)
    for wrong in (
        "UPDATE accounts SET state = 'waiting'",
        "DELETE FROM accounts",
        "UPDATE accounts SET uid_number = 200009",
    ):
        with pytest.raises((IntegrityError, Conflict)), writing(engine) as connection:
            connection.execute(text(wrong))
    with reading(engine) as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    engine.dispose()

"""Laws 2, 10 and 12 against somebody who has the database open and writes SQL."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.domain.accounts import AccountEvent
from idmap.domain.errors import Conflict
from idmap.domain.names import ROOT_EQUIVALENT_GROUPS
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    document,
    furnish,
    listed,
    listing,
    open_one,
)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqlRegistry]:
    """A registry with two accounts, one of them closed, rules and a ban."""
    registry = SqlRegistry.create(f"sqlite:///{tmp_path}/registry.db", lambda: NOW)
    furnish(registry)
    open_one(registry, "a", "alice")
    open_one(registry, "b", "bob")
    with registry.write(AUTHOR) as writer:
        writer.move_account(2, AccountEvent.CLOSED)
        writer.save_rules(document(), expect_version=0)
        writer.record_listing(listing(listed("a")))
    yield registry
    registry.close()


@pytest.fixture
def raw(registry: SqlRegistry, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A plain connection, without any of our settings."""
    assert registry is not None
    connection = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    yield connection
    connection.close()


REFUSED = [
    "DELETE FROM ledger_numbers",
    "DELETE FROM ledger_names WHERE name = 'bob'",
    "DELETE FROM changes WHERE sequence = (SELECT max(sequence) FROM changes)",
    "DELETE FROM rule_versions",
    "DELETE FROM accounts WHERE username = 'bob'",
    "DELETE FROM posix_groups",
    "DELETE FROM groups",
    "DELETE FROM ranges",
    "DELETE FROM counters",
    "DELETE FROM realm",
    "UPDATE ledger_numbers SET owner = 'account:2' WHERE number = 200000",
    "UPDATE ledger_numbers SET number = 200500 WHERE number = 200000",
    "UPDATE OR REPLACE ledger_numbers SET number = 200001 WHERE number = 200000",
    "UPDATE ledger_numbers SET retired_at = NULL WHERE number = 200001",
    "UPDATE ledger_names SET retired_at = 1 WHERE name = 'bob'",
    "UPDATE ledger_names SET name = 'eve' WHERE name = 'alice'",
    "UPDATE accounts SET uid_number = 200500 WHERE username = 'alice'",
    "UPDATE accounts SET username = 'eve' WHERE username = 'alice'",
    "UPDATE posix_groups SET gid_number = 300500",
    "UPDATE groups SET path = 'other'",
    "UPDATE ranges SET next_number = 200000 WHERE name = 'people'",
    "UPDATE ranges SET last = 999999 WHERE name = 'people'",
    "UPDATE counters SET value = 0 WHERE name = 'revision'",
    "UPDATE realm SET salt = x'00'",
    "UPDATE changes SET author = 'somebody else'",
    "UPDATE change_bodies SET body = '{}'",
    "UPDATE rule_versions SET document = '{}'",
    "INSERT OR REPLACE INTO ledger_numbers SELECT kind, number, 'account:9', range_name, rule,"
    " issued_at, author, plan, retired_at FROM ledger_numbers WHERE number = 200000",
    "INSERT OR REPLACE INTO ledger_names SELECT name, kind, 'account:9', issued_at, author, plan,"
    " NULL FROM ledger_names WHERE name = 'bob'",
    "INSERT OR REPLACE INTO accounts SELECT 9, username, uid_number, primary_group_id, home, shell,"
    " state, grace_until, expires_on, held, rule_id, node_classes, local_groups, shared"
    " FROM accounts WHERE username = 'bob'",
    "INSERT OR REPLACE INTO changes SELECT sequence, 0, 'x', 'x', plan, action, commitment, chain"
    " FROM changes WHERE sequence = 1",
    "INSERT INTO realm SELECT 2, salt, created FROM realm",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_refuses(raw: sqlite3.Connection, statement: str) -> None:
    before = list(raw.iterdump())
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(statement)
    assert list(raw.iterdump()) == before


@pytest.mark.parametrize(
    "number", [0, 999, 60_001, 65_534, 65_535, 2**31, 2**32, -1, "'x'", "NULL"]
)
@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_the_ledger_takes_no_refused_number(
    raw: sqlite3.Connection, kind: str, number: int | str
) -> None:
    """Law 10, without any of our code in between."""
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(
            f"INSERT INTO ledger_numbers VALUES ('{kind}', {number}, 'account:9', NULL, NULL, 1,"
            " 'x', NULL, NULL)"
        )


@pytest.mark.parametrize("name", [*sorted(ROOT_EQUIVALENT_GROUPS), "ROOT", "", "x" * 33])
def test_the_ledger_takes_no_root_equivalent_name(raw: sqlite3.Connection, name: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        raw.execute(
            "INSERT INTO ledger_names VALUES (?, 'group', 'group:9', 1, 'x', NULL, NULL)", (name,)
        )


def test_an_account_carries_only_the_number_issued_to_it(raw: sqlite3.Connection) -> None:
    raw.execute("INSERT INTO ledger_names VALUES ('eve', 'user', 'account:9', 1, 'x', NULL, NULL)")
    for number in (200_500, 200_000):
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(
                "INSERT INTO accounts"
                " VALUES (9, 'eve', ?, 1, '/h', '/s', 'active', NULL, NULL, 0, 'r', '*', '', 0)",
                (number,),
            )


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE change_bodies SET body = replace(body, 'alice', 'mallory')",
        "UPDATE change_bodies SET salt = x'00112233445566778899aabbccddeeff' WHERE sequence = 2",
        "UPDATE changes SET author = 'somebody else' WHERE sequence = 3",
        "UPDATE changes SET at = at + 1 WHERE sequence = 3",
        "UPDATE changes SET commitment = x'00' WHERE sequence = 3",
        "UPDATE changes SET chain = x'00' WHERE sequence = 3",
        "DELETE FROM changes WHERE sequence = 3",
        "DELETE FROM changes WHERE sequence = (SELECT max(sequence) FROM changes)",
    ],
)
def test_tampering_with_the_record_is_found(
    registry: SqlRegistry, raw: sqlite3.Connection, tampering: str
) -> None:
    """By somebody who takes the triggers away first."""
    names = raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        raw.execute(f"DROP TRIGGER {name}")
    assert raw.execute(tampering).rowcount >= 1
    with pytest.raises(Conflict, match="record of changes"), registry.read() as reader:
        reader.verify_changes()


def test_a_body_can_be_erased_and_the_chain_still_holds(
    registry: SqlRegistry, raw: sqlite3.Connection
) -> None:
    """Law 12: personal data goes, the proof stays."""
    with registry.read() as reader:
        before = reader.changes()
    raw.execute("DELETE FROM change_bodies WHERE sequence = 6")
    with registry.read() as reader:
        assert reader.verify_changes() == len(before)
        erased = reader.changes()[5]
    assert erased.body is None
    assert erased.commitment == before[5].commitment


def test_the_ledger_says_to_whom_when_by_which_rule_and_plan(raw: sqlite3.Connection) -> None:
    row = raw.execute("SELECT * FROM ledger_numbers WHERE number = 200001").fetchone()
    assert row == (
        "uid",
        200_001,
        "account:2",
        "people",
        "members",
        NOW,
        AUTHOR.name,
        AUTHOR.plan,
        NOW,
    )
    row = raw.execute("SELECT * FROM ledger_names WHERE name = 'bob'").fetchone()
    assert row == ("bob", "user", "account:2", NOW, AUTHOR.name, AUTHOR.plan, NOW)


def test_secrets_are_known_by_their_digest_only(raw: sqlite3.Connection) -> None:
    """Law 9."""
    columns = {row[1] for row in raw.execute("PRAGMA table_info(credentials)")}
    assert "digest" in columns
    assert not columns & {"secret", "token", "key", "password"}


def test_one_person_is_one_entry(registry: SqlRegistry) -> None:
    """So that erasing one person's entries leaves the others' alone."""
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("x"), listed("y"), began=NOW + 1))
    with registry.read() as reader:
        bodies = [change.body for change in reader.changes(limit=1000)]
    assert not any("x" in (b or {}).values() and "y" in json.dumps(b).split('"') for b in bodies)

"""A database of every schema that was released comes to this version whole, and is guarded like a new one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from idmap.adapters.sql import SCHEMA, SqlRegistry, upgrade
from idmap.adapters.sql.engine import make_engine, reading
from idmap.adapters.sql.schema import MIGRATIONS
from idmap.domain.accounts import AccountState
from idmap.domain.errors import IdmapError
from idmap.domain.reasons import Reason
from tests.support.allocating_worker import marks_of
from tests.support.ledger_state import check_ledger
from tests.support.registry_scenes import AUTHOR, opening, person

DUMPS = sorted((Path(__file__).parent / "released").glob("r*.sql"))
NOW = 1_800_000_000
OWNED = {
    "active": 200_000,
    "grace": 200_001,
    "suspended": 200_002,
    "closed": 200_003,
    "banned": 200_004,
}
"""Subject, and username, → number, in every dump."""


def rows_of(path: Path, tables: dict[str, tuple[str, ...]]) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of these columns."""
    with closing(sqlite3.connect(path)) as database:
        return {
            table: sorted(
                database.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall(), key=repr
            )
            for table, columns in tables.items()
        }


def columns_of(path: Path) -> dict[str, tuple[str, ...]]:
    with closing(sqlite3.connect(path)) as database:
        names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            name: tuple(row[1] for row in database.execute(f"PRAGMA table_info({name})"))
            for (name,) in names
            if name != "alembic_version"
        }


def triggers_of(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        return dict(rows.fetchall())


@pytest.fixture(params=DUMPS, ids=[dump.stem for dump in DUMPS])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database as it was left by the version that had that schema, its marks beside it."""
    dump: Path = request.param
    path = tmp_path / "registry.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(dump.read_text())
    shutil.copy(dump.with_suffix(".high-water.json"), tmp_path / "registry.db.high-water.json")
    return path


@pytest.fixture
def upgraded(old: Path) -> Iterator[SqlRegistry]:
    url = f"sqlite:///{old}"
    upgrade(url)
    registry = SqlRegistry.open(url, lambda: NOW)
    yield registry
    registry.close()


def test_no_dump_is_of_an_unknown_schema_and_the_first_two_are_here() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    here = {dump.stem for dump in DUMPS}
    assert {"r0001", "r0002"} <= here <= known


def test_every_table_of_a_dump_has_rows(old: Path) -> None:
    """Or its upgrade would prove nothing of that table."""
    assert all(rows_of(old, columns_of(old)).values())


def test_every_row_is_kept(old: Path) -> None:
    columns = columns_of(old)
    before = rows_of(old, columns)
    upgrade(f"sqlite:///{old}")
    assert rows_of(old, columns) == before


def test_it_is_guarded_like_a_new_one(old: Path, tmp_path: Path) -> None:
    """The same triggers, and they hold: none was lost with a table that a migration rebuilt."""
    columns = columns_of(old)
    upgrade(f"sqlite:///{old}")
    new = tmp_path / "new.db"
    SqlRegistry.create(f"sqlite:///{new}").close()
    triggers = triggers_of(old)
    assert triggers == triggers_of(new)
    with closing(sqlite3.connect(old)) as database:
        guarded = {
            name.removesuffix("_never_deleted") for name in triggers if "never_deleted" in name
        }
        assert guarded > {"ledger_numbers", "ledger_names", "changes", "accounts"}
        for table in guarded & columns.keys():
            with pytest.raises(sqlite3.IntegrityError, match="never_deleted"):
                database.execute(f"DELETE FROM {table}")
        for table, column in (
            ("ledger_numbers", "number"),
            ("ledger_names", "owner"),
            ("accounts", "uid_number"),
            ("posix_groups", "name"),
            ("changes", "chain"),
        ):
            assert column in columns[table]
            with pytest.raises(sqlite3.IntegrityError, match="never_changed"):
                database.execute(f"UPDATE {table} SET {column} = {column}")
        for table in ("ledger_numbers", "ledger_names", "accounts", "changes"):
            with pytest.raises(sqlite3.IntegrityError, match="never_replaced"):
                database.execute(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table} LIMIT 1")


def test_its_ledger_and_its_record_hold(upgraded: SqlRegistry, old: Path) -> None:
    engine = make_engine(f"sqlite:///{old}")
    with reading(engine) as connection:
        check_ledger(connection, marks_of(f"sqlite:///{old}"))
    engine.dispose()
    with upgraded.read() as reader:
        assert reader.verify_changes() == 29


def test_everybody_has_the_number_and_the_name_they_had(upgraded: SqlRegistry) -> None:
    """A person who returns gets them, and a newcomer gets others."""
    with upgraded.write(AUTHOR) as writer:
        newcomer = writer.open_account(opening(person("new"), "closed"))
    assert newcomer.uid_number == 200_005
    assert newcomer.username == "u200005", "the name of a closed account is not free"
    with upgraded.read() as reader:
        found = {subject: reader.recorded(person(subject)).account for subject in OWNED}
        states = {account.state for account in found.values() if account is not None}
        bans = [(ban.account_id, ban.identity) for ban in reader.bans()]
        linked = dict(reader.every_linked_identity())
    for subject, number in OWNED.items():
        account = found[subject]
        assert account is not None
        assert (account.username, account.uid_number) == (subject, number)
    assert states == set(AccountState) - {AccountState.PENDING}, "which r0004 brought"
    assert bans == [(5, None)]
    assert linked[person("active")] == 200_000


@pytest.mark.parametrize("dump", [dump for dump in DUMPS if dump.stem != SCHEMA])
def test_an_older_one_is_not_opened_before_it_is_upgraded(dump: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "registry.db")) as database:
        database.executescript(dump.read_text())
    url = f"sqlite:///{tmp_path}/registry.db"
    with pytest.raises(IdmapError, check=lambda error: error.reason is Reason.SCHEMA_MISMATCH):
        SqlRegistry.open(url)
    upgrade(url)
    SqlRegistry.open(url).close()


def test_rules_of_before_have_no_reason_and_can_be_pinned(upgraded: SqlRegistry) -> None:
    """Nothing was pinned; the newest version is in force, and stays readable."""
    with upgraded.read() as reader:
        versions = reader.page_of_rules().items
        assert reader.rules_pin() is None
    assert [version.reason for version in versions] == [""] * len(versions)
    assert [version.in_force for version in versions] == [
        number == 0 for number in range(len(versions))
    ]
    if versions:
        with upgraded.write(AUTHOR) as writer:
            assert writer.pin_rules(versions[-1].version).reason == AUTHOR.reason
            assert writer.rules().version == versions[-1].version

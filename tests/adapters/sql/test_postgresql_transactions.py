"""Transactions on PostgreSQL: durable, one writer at a time, waiting that ends, and a server that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from idmap.adapters.sql import SqlRegistry, postgresql
from idmap.adapters.sql.engine import reading, writing
from idmap.adapters.sql.high_water import HighWaterFile
from idmap.adapters.sql.postgresql import WRITERS_TURN
from idmap.domain.errors import IdmapError, InvalidInput, Unavailable
from idmap.domain.reasons import Reason
from tests.support.postgresql import FreshRegistry, cluster, make_postgresql_registry
from tests.support.registry_scenes import AUTHOR, NOW, furnish, open_one, person

ROOT = Path(__file__).parents[3]

_HOLDS_THE_LOCK = """
import sys, time
from pathlib import Path
from idmap.adapters.sql import SqlRegistry
from tests.support.registry_scenes import AUTHOR, opening, person
registry = SqlRegistry.open(sys.argv[1], marks_directory=Path(sys.argv[2]))
with registry.write(AUTHOR) as writer:
    writer.open_account(opening(person("killed"), "killed"))
    writer.revision()
    print("holding", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def registry() -> Iterator[FreshRegistry]:
    registry = make_postgresql_registry()
    furnish(registry)
    yield registry
    registry.close()


def sql(database: str, statement: str) -> Any:
    """What an administrator sees."""
    with cluster().connect(database) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else None


# --- durability


@pytest.mark.parametrize(("default", "used"), [("off", "on"), ("on", "on"), ("local", "local")])
def test_a_commit_is_on_the_disk_before_it_returns(
    registry: FreshRegistry, default: str, used: str
) -> None:
    """Whatever the database's default is."""
    sql("postgres", f"ALTER DATABASE {registry.database} SET synchronous_commit = {default}")
    another = registry.another()
    with writing(another._engine) as connection:
        assert connection.scalar(text("SHOW synchronous_commit")) == used
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
    with reading(another._engine) as connection:
        assert connection.scalar(text("SHOW transaction_isolation")) == "repeatable read"
        assert connection.scalar(text("SHOW transaction_read_only")) == "on"
    another.close()


def test_a_server_that_forgets_in_a_crash_is_refused(registry: FreshRegistry) -> None:
    sql("postgres", "ALTER SYSTEM SET fsync = off")
    try:
        sql("postgres", "SELECT pg_reload_conf()")
        deadline = time.monotonic() + 30
        while sql("postgres", "SHOW fsync") != [("off",)]:
            assert time.monotonic() < deadline
        with pytest.raises(InvalidInput) as caught:
            registry.another()
        assert "fsync" in caught.value.detail
    finally:
        sql("postgres", "ALTER SYSTEM RESET fsync")
        sql("postgres", "SELECT pg_reload_conf()")
        while sql("postgres", "SHOW fsync") != [("on",)]:
            time.sleep(0.01)


def test_a_database_that_cannot_hold_every_name_is_refused(tmp_path: Path) -> None:
    sql("postgres", "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(InvalidInput) as caught:
        SqlRegistry.create(cluster().url("latin"), marks_directory=tmp_path)
    cluster().drop_database("latin")
    assert "LATIN1" in caught.value.detail


def test_a_role_that_may_make_no_temporary_table_is_refused(registry: FreshRegistry) -> None:
    """It could rehearse nothing."""
    database = registry.database
    sql("postgres", f"ALTER DATABASE {database} OWNER TO postgres")
    sql("postgres", f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC")
    with pytest.raises(InvalidInput) as caught:
        registry.another()
    assert "GRANT TEMPORARY" in caught.value.detail


def test_what_a_killed_server_acknowledged_is_there_afterwards(registry: FreshRegistry) -> None:
    accounts = [open_one(registry, f"s{number}") for number in range(5)]
    cluster().stop(signal.SIGQUIT)
    cluster().start()
    with registry.read() as reader:
        assert list(reader.every_account()) == accounts
        assert reader.verify_changes() == reader.last_change()


# --- waiting


def test_a_writer_waits_its_turn_and_not_for_ever(
    registry: FreshRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = postgresql._BEGIN_SESSION.replace("'lock_timeout', '30s'", "'lock_timeout', '0.3s'")
    assert impatient != postgresql._BEGIN_SESSION
    monkeypatch.setattr(postgresql, "_BEGIN_SESSION", impatient)
    another = registry.another()
    with cluster().connect(registry.database) as administrator:
        administrator.execute(f"SELECT pg_advisory_lock({WRITERS_TURN})")
        with pytest.raises(Unavailable) as caught:
            open_one(another, "a")
        assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
        with another.read() as reader:
            assert reader.ban_counter() == 0, "who reads does not wait"
        with another.rehearse(AUTHOR) as writer:
            writer.add_ban(account_id=None, identity=person("x"), reason="x", until=None, at=NOW)
        waiting = threading.Thread(target=open_one, args=(registry, "b"))
        waiting.start()
        deadline = time.monotonic() + 30
        question = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while sql(registry.database, question) == [(0,)]:
            assert time.monotonic() < deadline
        assert waiting.is_alive()
    waiting.join(timeout=60)
    with another.read() as reader:
        assert reader.recorded(person("b")).account is not None
        assert reader.recorded(person("a")).account is None
    another.close()


def test_a_writer_that_says_nothing_loses_its_turn(
    registry: FreshRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped process cannot keep a ban waiting."""
    strict = postgresql._TAKE_TURN.replace("'30s'", "'300ms'")
    assert strict != postgresql._TAKE_TURN
    another = registry.another()
    taken, may_go_on = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def stall() -> None:
        try:
            with another.write(AUTHOR) as writer:
                writer.add_ban(
                    account_id=None, identity=person("x"), reason="x", until=None, at=NOW
                )
                taken.set()
                may_go_on.wait(60)
                writer.bans()
        except BaseException as error:
            failures.append(error)

    monkeypatch.setattr(postgresql, "_TAKE_TURN", strict)
    stalling = threading.Thread(target=stall)
    stalling.start()
    assert taken.wait(60)
    with registry.write(AUTHOR) as writer:
        assert writer.bans() == ()
        writer.add_ban(account_id=None, identity=person("y"), reason="y", until=None, at=NOW)
    may_go_on.set()
    stalling.join(60)
    assert [type(failure) for failure in failures] == [Unavailable]
    with another.read() as reader:
        assert [ban.reason for ban in reader.bans()] == ["y"]
    another.close()


def test_a_writer_that_is_killed_keeps_nobody_waiting(registry: FreshRegistry) -> None:
    client = subprocess.Popen(
        [sys.executable, "-c", _HOLDS_THE_LOCK, registry.url, str(registry.marks_directory)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert client.stdout is not None
    assert client.stdout.readline() == "holding\n"
    os.kill(client.pid, signal.SIGKILL)
    client.communicate(timeout=60)
    account = open_one(registry, "a", "killed")
    assert (account.username, account.uid_number) == ("killed", 200_000)


# --- a server that goes away


def test_after_a_restart_the_next_transaction_works(registry: FreshRegistry) -> None:
    open_one(registry, "a", "alice")
    with registry.read() as reader:
        before = list(reader.every_account())
    cluster().stop()
    cluster().start()
    with registry.read() as reader:
        assert list(reader.every_account()) == before
    cluster().stop()
    cluster().start()
    assert open_one(registry, "b").uid_number == 200_001
    cluster().stop()
    try:
        for transaction in (registry.read, lambda: registry.write(AUTHOR)):
            with pytest.raises(Unavailable) as caught, transaction():
                pass
            assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
        with pytest.raises(Unavailable), registry.rehearse(AUTHOR):
            pass
        with pytest.raises(Unavailable):
            registry.take_lease("work", "me", at=NOW, seconds=60)
    finally:
        cluster().start()
    assert open_one(registry, "c").uid_number == 200_002


def test_a_connection_cut_in_a_write_loses_the_whole_of_it(registry: FreshRegistry) -> None:
    def cut() -> None:
        with registry.write(AUTHOR) as writer:
            somebody = person("somebody")
            writer.add_ban(account_id=None, identity=somebody, reason="x", until=None, at=NOW)
            sql(
                registry.database,
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'",
            )
            writer.bans()

    with pytest.raises(IdmapError) as caught:
        cut()
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    assert "somebody" not in f"{caught.value} {caught.value.detail}"
    with registry.read() as reader:
        assert reader.bans() == ()
    assert open_one(registry, "a").uid_number == 200_000


# --- what is kept outside the database


def test_each_host_keeps_its_own_marks_and_a_restored_database_goes_on_above_them(
    registry: FreshRegistry, tmp_path: Path
) -> None:
    backup = f"{registry.database}_backup"
    registry._engine.dispose()
    sql("postgres", f"CREATE DATABASE {backup} TEMPLATE {registry.database}")
    elsewhere = SqlRegistry.open(registry.url, lambda: NOW, tmp_path)
    given = {open_one(registry, "a").uid_number, open_one(elsewhere, "b").uid_number}
    assert HighWaterFile(tmp_path / "registry").read().ranges["people"].highest == 200_001
    with elsewhere.write(AUTHOR) as writer:
        writer.add_ban(account_id=1, identity=None, reason="x", until=None, at=NOW)
    with elsewhere.read() as reader:
        seen = (reader.revision(), reader.ban_counter())
    elsewhere.close()
    registry._engine.dispose()
    cluster().drop_database(registry.database)
    sql("postgres", f"CREATE DATABASE {registry.database} TEMPLATE {backup}")
    cluster().drop_database(backup)

    elsewhere = SqlRegistry.open(registry.url, lambda: NOW, tmp_path)
    with elsewhere.read() as reader:
        assert list(reader.every_account()) == []
        assert reader.revision() > seen[0]
        assert reader.ban_counter() > seen[1]
    assert open_one(elsewhere, "c").uid_number not in given
    elsewhere.close()

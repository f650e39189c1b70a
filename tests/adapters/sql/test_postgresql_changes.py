"""Noticing commits on PostgreSQL: announced, never missed in silence, and asking never waits."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.application.remembered import Remembered
from tests.support.postgresql import FreshRegistry, cluster, make_postgresql_registry
from tests.support.registry_scenes import AUTHOR, NOW, furnish, open_one, person

LISTENERS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND query IN"
    " ('LISTEN idmap_changes', 'SELECT 1') AND backend_type = 'client backend'"
)


@pytest.fixture
def registry() -> Iterator[FreshRegistry]:
    registry = make_postgresql_registry()
    furnish(registry)
    yield registry
    registry.close()


@pytest.fixture
def another(registry: FreshRegistry) -> Iterator[SqlRegistry]:
    """What another replica has open; it listens, and has nothing else open."""
    another = registry.another()
    another.change_token()
    another._engine.dispose()
    yield another
    another.close()


def sql(database: str, statement: str) -> list[Any]:
    with cluster().connect(database) as connection:
        return connection.execute(statement).fetchall()


def listener_of(registry: FreshRegistry) -> int:
    """The process at the server that serves the listening connection."""
    ((pid,),) = sql("postgres", LISTENERS.format(registry.database))
    return int(pid)


def ban(registry: SqlRegistry, subject: str) -> None:
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=None, identity=person(subject), reason="x", until=None, at=NOW)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_steady(registry: SqlRegistry) -> bool:
    """Whether two questions in a row get one answer."""
    return registry.change_token() == registry.change_token()


def test_a_commit_of_another_replica_is_noticed(
    registry: FreshRegistry, another: SqlRegistry
) -> None:
    before = another.change_token()
    ban(registry, "a")
    until(lambda: another.change_token() != before)
    until(lambda: is_steady(another))
    steady = another.change_token()
    assert registry.take_lease("work", "me", at=NOW, seconds=60)
    until(lambda: another.change_token() != steady)


def test_what_commits_nothing_wakes_nobody(registry: FreshRegistry, another: SqlRegistry) -> None:
    assert registry.take_lease("work", "me", at=NOW, seconds=60)
    ban(registry, "a")
    until(lambda: is_steady(another))
    time.sleep(0.5)  # the announcements of these two have come
    before = another.change_token()
    with registry.read() as reader:
        reader.revision()
    with registry.rehearse(AUTHOR) as writer:
        writer.add_ban(account_id=None, identity=person("b"), reason="x", until=None, at=NOW)
    assert not registry.take_lease("work", "other", at=NOW, seconds=60)
    with pytest.raises(ZeroDivisionError), registry.write(AUTHOR) as writer:
        fail_after_a_ban(writer)
    time.sleep(0.5)
    assert another.change_token() == before


def fail_after_a_ban(writer: Any) -> None:
    writer.add_ban(account_id=None, identity=person("c"), reason="x", until=None, at=NOW)
    writer.bans()
    raise ZeroDivisionError


def test_a_lost_connection_counts_as_a_change_and_is_made_anew(
    registry: FreshRegistry, another: SqlRegistry
) -> None:
    until(lambda: is_steady(another))
    before = another.change_token()
    first = listener_of(registry)
    sql("postgres", f"SELECT pg_terminate_backend({first})")
    ban(registry, "a")
    until(lambda: another.change_token() != before)
    until(lambda: is_steady(another))
    assert listener_of(registry) != first
    before = another.change_token()
    ban(registry, "b")
    until(lambda: another.change_token() != before)


def test_while_the_server_says_nothing_every_question_counts_as_a_change(
    registry: FreshRegistry, another: SqlRegistry
) -> None:
    """A connection that is dead without having ended must not hide a ban (law 5), and nobody waits for it."""
    remembered = Remembered(another)
    assert remembered.get("bans", lambda reader: len(reader.bans())) == 0
    another._engine.dispose()
    pid = listener_of(registry)
    os.kill(pid, signal.SIGSTOP)
    try:
        ban(registry, "a")
        until(lambda: not is_steady(another))
        assert remembered.get("bans", lambda reader: len(reader.bans())) == 1
        ban(registry, "b")
        assert remembered.get("bans", lambda reader: len(reader.bans())) == 2
    finally:
        os.kill(pid, signal.SIGCONT)
    until(lambda: is_steady(another))


def test_while_the_server_is_down_every_question_counts_as_a_change(
    registry: FreshRegistry, another: SqlRegistry
) -> None:
    cluster().stop()
    try:
        tokens = [another.change_token() for _ in range(100)]
        until(lambda: not is_steady(another))
        late = registry.change_token(), registry.change_token()
        assert late[0] != late[1], "also when it never could listen"
    finally:
        cluster().start()
    assert len(tokens) == 100
    until(lambda: is_steady(another))
    before = another.change_token()
    ban(registry, "a")
    until(lambda: another.change_token() != before)


def test_a_registry_that_is_closed_leaves_no_connection(registry: FreshRegistry) -> None:
    another = registry.another()
    open_one(another, "a")
    another.change_token()
    another.close()
    registry._engine.dispose()
    question = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{registry.database}'"
    until(lambda: sql("postgres", question) == [(0,)])


def test_what_asks_for_no_change_listens_to_none(registry: FreshRegistry) -> None:
    with registry.read() as reader:
        reader.revision()
    assert sql("postgres", LISTENERS.format(registry.database)) == []

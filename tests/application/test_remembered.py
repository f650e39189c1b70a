"""The memory in front of the registry is never stale."""

from __future__ import annotations

import threading

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Author, Registry, RegistryReader
from idmap.application.remembered import Remembered
from idmap.domain.numbers import NumberRange, RangePurpose
from tests.support.registries import make_registry
from tests.support.tokens import NOW


@pytest.fixture
def registry() -> SqlRegistry:
    """It must tell of every commit."""
    return make_registry(lambda: NOW)


def _add(registry: Registry, number: int) -> None:
    first = 200_000 + 10 * number
    with registry.write(Author("test", "one more")) as writer:
        writer.add_range(NumberRange(f"r{number}", RangePurpose.PEOPLE, first, first + 9))


def _count(reader: RegistryReader) -> int:
    return len(reader.ranges())


def test_the_next_question_sees_every_commit(registry: SqlRegistry) -> None:
    """Also one by another object on the same database, as another process would have."""
    remembered = Remembered(registry)
    for number in range(5):
        assert remembered.get("n", _count) == number
        _add(registry, number)
    assert remembered.get("n", _count) == 5
    other = SqlRegistry.open(str(registry._engine.url), lambda: NOW)
    _add(other, 5)
    other.close()
    assert remembered.get("n", _count) == 6
    registry.close()


def test_what_was_read_is_not_read_again(registry: Registry) -> None:
    """That is the point of it; another question is read, and a full memory starts anew."""
    remembered = Remembered(registry, limit=2)
    read = []

    def note(reader: RegistryReader) -> int:
        read.append(1)
        return _count(reader)

    for key in ("a", "a", "b", "b"):
        remembered.get(key, note)
    assert len(read) == 2
    remembered.get("c", note)
    remembered.get("a", note)
    assert len(read) == 4
    registry.close()


def test_no_thread_ever_sees_less_than_was_committed_before_it_asked(registry: Registry) -> None:
    """Readers race a writer; each answer is at least as new as its question."""
    remembered = Remembered(registry)
    committed = [0]
    stale: list[tuple[int, int]] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            before = committed[0]
            seen = remembered.get("n", _count)
            if seen < before:
                stale.append((seen, before))

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(40):
        _add(registry, number)
        committed[0] = number + 1
    done.set()
    for thread in threads:
        thread.join()
    assert stale == []
    registry.close()

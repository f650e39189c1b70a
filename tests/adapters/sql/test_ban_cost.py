"""What bans cost: a fixed number of queries however many people they reach, and nothing for those they do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import RegistryReader
from idmap.application.questions import IdentityQuestion
from idmap.application.remembered import Remembered
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    NOW,
    OTHER,
    STAFF,
    furnish,
    opening,
    person,
)


def populate(people: int) -> SqlRegistry:
    """So many people of one group, with accounts."""
    registry = make_registry(lambda: NOW)
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        for number in range(people):
            who = person(f"s{number}")
            writer.record_observation(who, frozenset({STAFF}), None, NOW)
            writer.open_account(opening(who))
    return registry


def add(registry: SqlRegistry, **what: Any) -> int:
    with registry.write(AUTHOR) as writer:
        given = {"account_id": None, "identity": None} | what
        return writer.add_ban(reason="r", until=None, at=NOW, **given).ban_id


@contextmanager
def counted(registry: SqlRegistry) -> Iterator[list[str]]:
    """Every statement that is sent meanwhile."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(registry._engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(registry._engine, "before_cursor_execute", note)


READINGS: dict[str, Callable[[RegistryReader], Any]] = {
    "the ban list": lambda reader: reader.banned_uid_numbers(NOW),
    "one person": lambda reader: reader.recorded(person("s1")),
    "one account's people": lambda reader: reader.people_of(1),
    "a page of people": lambda reader: reader.page_of_identities(IdentityQuestion(), limit=20),
    "everybody": lambda reader: sum(1 for _ in reader.people()),
    "what it closes": lambda reader: reader.count_closed_by(group=STAFF, issuer=ISSUER, at=NOW),
}


@pytest.mark.parametrize("kind", ["group", "issuer"])
def test_the_number_of_queries_does_not_depend_on_how_many_a_ban_reaches(kind: str) -> None:
    """Twenty people or two hundred."""
    sent: dict[str, set[int]] = {name: set() for name in READINGS}
    for people in (20, 200):
        registry = populate(people)
        add(registry, **({"group": STAFF} if kind == "group" else {"issuer": ISSUER}))
        for name, read in READINGS.items():
            with registry.read() as reader, counted(registry) as statements:
                read(reader)
            sent[name].add(len(statements))
        with registry.read() as reader:
            assert len(reader.banned_uid_numbers(NOW)) == people
        registry.close()
    assert all(len(counts) == 1 for counts in sent.values()), sent
    assert all(max(counts) <= 10 for counts in sent.values()), sent


def test_without_a_ban_of_a_group_or_an_issuer_a_door_asks_no_more_than_before() -> None:
    """One query about bans for each person; bans of tokens are none of a person's."""
    registry = populate(3)
    with registry.read() as reader, counted(registry) as before:
        reader.recorded(person("s1"))
    for number in range(50):
        add(registry, issuer=OTHER, token_id=f"t{number}")
        add(registry, identity=person(f"elsewhere{number}"))
    with registry.read() as reader, counted(registry) as after:
        assert reader.recorded(person("s1")).bans == ()
    assert len(after) == len(before)
    assert sum("bans" in statement for statement in after) == 1
    registry.close()


def test_banned_credentials_are_read_again_only_when_a_ban_or_an_issuer_changed() -> None:
    """A thousand nodes that report commit all the time."""
    registry = populate(1)
    remembered, read = Remembered(registry), 0

    def found() -> int:
        def reading(reader: RegistryReader) -> int:
            nonlocal read
            read += 1
            return len(reader.credential_bans().tokens)

        return remembered.get(
            "q", reading, mark=lambda reader: (reader.ban_counter(), reader.revision())
        )

    assert (found(), read) == (0, 1)
    for _ in range(3):
        with registry.write(AUTHOR) as writer:
            writer.save_rules({"format": 1, "rules": [], "classes": {}}, expect_version=None)
        assert (found(), read) == (0, 1)
    number = add(registry, issuer=OTHER, token_id="t")
    assert (found(), read) == (1, 2)
    with registry.write(AUTHOR) as writer:
        writer.lift_ban(number)
    assert (found(), read) == (0, 3)
    registry.close()

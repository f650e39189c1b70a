"""What many people cost: rates far below what is measured, so that only a change of kind fails
them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from idmap.adapters.sql import SqlRegistry
from idmap.domain.numbers import NumberRange, RangePurpose
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    STAFF,
    VO,
    furnish,
    listed,
    listing,
    opening,
    person,
)

PEOPLE = 6000


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[SqlRegistry]:
    registry = SqlRegistry.create(f"sqlite:///{tmp_path}/registry.db", lambda: NOW)
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        writer.add_range(NumberRange("many", RangePurpose.PEOPLE, 400_000, 499_999))
    yield registry
    registry.close()


@pytest.fixture
def statements(registry: SqlRegistry) -> list[str]:
    """Every statement sent to the database."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    event.listen(registry._engine, "before_cursor_execute", note)
    return sent


def fill(registry: SqlRegistry) -> float:
    """Accounts per second for a first provisioning in one transaction."""
    with registry.write(AUTHOR) as writer:
        people = (listed(f"s{number}", VO, STAFF) for number in range(PEOPLE))
        writer.record_listing(listing(*people))
    began = time.perf_counter()
    with registry.write(AUTHOR) as writer:
        for number in range(PEOPLE):
            change = opening(person(f"s{number}"), f"name{number}", number_range="many")
            writer.open_account(change)
    return PEOPLE / (time.perf_counter() - began)


def test_a_first_provisioning_opens_many_accounts_per_second(registry: SqlRegistry) -> None:
    assert fill(registry) > 1000


def test_reading_everybody_takes_a_fixed_number_of_queries_per_batch(
    registry: SqlRegistry, statements: list[str]
) -> None:
    fill(registry)
    with registry.read() as reader:
        for everybody, queries in (
            (reader.people, 24),
            (reader.every_account, 12),
            (reader.every_linked_identity, 6),
        ):
            statements.clear()
            assert sum(1 for _ in everybody()) == PEOPLE
            assert len(statements) <= queries


def test_a_listing_in_which_nothing_changed_writes_next_to_nothing(
    registry: SqlRegistry, statements: list[str]
) -> None:
    fill(registry)
    statements.clear()
    with registry.write(AUTHOR) as writer:
        people = (listed(f"s{number}", VO, STAFF) for number in range(PEOPLE))
        writer.record_listing(listing(*people, began=NOW + 1))
    written = [text for text in statements if text.startswith(("INSERT", "UPDATE", "DELETE"))]
    assert [text.split()[:2] for text in written] == [["UPDATE", "groups"]]

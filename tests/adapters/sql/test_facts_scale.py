"""What facts of many people cost to read: one query per batch, and no memory that grows with the site."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.tables import FACTS, IDENTITIES
from tests.support.registry_scenes import AUTHOR, ISSUER, NOW, furnish

PEOPLE = 100_000
BATCH = 2000
BATCHES = PEOPLE // BATCH
MOST_BLOCKS = 100_000
"""Of memory, as the interpreter counts them: a batch of 2000 people holds some 27 000, everybody a million."""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlRegistry]:
    """100 000 people; each has an attribute that nobody else has, and shares a label with half of the others."""
    path: Path = tmp_path_factory.mktemp("crowd")
    registry = SqlRegistry.create(f"sqlite:///{path}/registry.db", lambda: NOW)
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        connection = writer._db  # type: ignore[attr-defined]
        for first in range(1, PEOPLE, BATCH):
            numbers = range(first, first + BATCH)
            connection.execute(
                insert(IDENTITIES),
                [
                    {"identity_id": n, "issuer": ISSUER, "subject": f"s{n}", "active": True, "first_seen": NOW}
                    for n in numbers
                ],
            )  # fmt: skip
            connection.execute(
                insert(FACTS),
                [
                    {"identity_id": n, "kind": kind, "value": value, "source": "source:iam", "seen_at": NOW}
                    for n in numbers
                    for kind, value in (("attribute", f"nickname={n}"), ("label", f"half{n % 2}"))
                ],
            )  # fmt: skip
    yield registry
    registry.close()


def test_everybody_is_read_in_bounded_memory(crowd: SqlRegistry) -> None:
    """Although no two people have the same facts."""
    people = facts = most = 0
    with crowd.read() as reader:
        before = sys.getallocatedblocks()
        for one in reader.people():
            people += 1
            facts += len(one.recorded.facts)
            if people % 500 == 0:
                most = max(most, sys.getallocatedblocks() - before)
    assert (people, facts) == (PEOPLE, 2 * PEOPLE)
    assert most < MOST_BLOCKS


def test_facts_take_one_query_for_a_batch(crowd: SqlRegistry) -> None:
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    event.listen(crowd._engine, "before_cursor_execute", note)
    try:
        with crowd.read() as reader:
            assert sum(1 for _ in reader.people()) == PEOPLE
    finally:
        event.remove(crowd._engine, "before_cursor_execute", note)
    assert sum("FROM facts" in statement for statement in sent) == BATCHES
    assert len(sent) <= 3 * BATCHES + 5

"""A page costs what a page costs: from an index, with no sorting of the rest, and the same memory for any list."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from sqlalchemy import event

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import RegistryReader
from idmap.application.questions import (
    AccountQuestion,
    BanQuestion,
    ChangeQuestion,
    GroupQuestion,
    IdentityQuestion,
)
from idmap.domain.accounts import AccountState
from idmap.domain.numbers import NumberRange, RangePurpose
from tests.support.registries import make_registry
from tests.support.registry_scenes import AUTHOR, ISSUER, NOW, STAFF, VO, furnish, opening, person

MANY = 4000


@pytest.fixture(scope="module")
def crowded() -> Iterator[SqlRegistry]:
    """Some thousand accounts."""
    registry = make_registry()
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        writer.add_range(NumberRange("many", RangePurpose.PEOPLE, 400_000, 499_999))
        for number in range(MANY):
            who = person(f"p{number:05d}")
            more: dict[str, Any] = {"number_range": "many", "secondary_groups": (STAFF,)}
            writer.open_account(opening(who, f"p{number:05d}", **more))
    with registry.write(AUTHOR) as writer:
        for number in range(0, MANY, 4):
            writer.record_observation(person(f"p{number:05d}"), frozenset({VO}), None, NOW)
            if number % 400 == 0:
                writer.add_ban(account_id=number + 1, identity=None, reason="x", until=None, at=NOW)
    yield registry
    registry.close()


def plans(registry: SqlRegistry, asked: Any) -> list[str]:
    """How SQLite answers the statements of one page."""
    statements: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    event.listen(registry._engine, "before_cursor_execute", note)
    try:
        with registry.read() as reader:
            asked(reader)
    finally:
        event.remove(registry._engine, "before_cursor_execute", note)
    with registry._engine.connect() as connection:
        return [
            row[3]
            for statement, parameters in statements
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]


@pytest.mark.parametrize(
    "asked",
    [
        AccountQuestion(),
        AccountQuestion(state=AccountState.GRACE),
        AccountQuestion(rules=frozenset({"members"})),
        AccountQuestion(group="vo"),
        AccountQuestion(prefix="p012"),
        AccountQuestion(uid_from=400_100, uid_to=400_200),
        AccountQuestion(grace_before=date(2024, 1, 1)),
    ],
    ids=str,
)
def test_accounts_come_from_an_index(crowded: SqlRegistry, asked: AccountQuestion) -> None:
    for after in (None, "p01205" if asked.prefix else "400105" if asked.uid_from else "7"):

        def page(reader: RegistryReader, after: str | None = after) -> None:
            reader.page_of_accounts(asked, after=after, limit=20)

        found = plans(crowded, page)
        if asked != AccountQuestion():
            assert not [line for line in found if line == "SCAN accounts"], found
        assert not [line for line in found if "TEMP B-TREE" in line], found


def test_the_record_and_identities_come_from_an_index(crowded: SqlRegistry) -> None:
    for asked in (
        ChangeQuestion(author="nobody"),
        ChangeQuestion(action="add_ban"),
        ChangeQuestion(identity=person("p00001")),
        ChangeQuestion(account_id=7),
    ):
        found = plans(crowded, lambda reader, asked=asked: reader.page_of_changes(asked, limit=20))
        assert not [line for line in found if line.startswith("SCAN change")], (asked, found)
        assert not [line for line in found if "TEMP B-TREE" in line], (asked, found)
    for one in (IdentityQuestion(issuer=ISSUER, prefix="p00"), IdentityQuestion(issuer=ISSUER)):
        found = plans(crowded, lambda reader, one=one: reader.page_of_identities(one, limit=20))
        assert not [line for line in found if "SCAN identities" in line], found
        assert not [line for line in found if "TEMP B-TREE" in line], found


@pytest.mark.parametrize(
    "page",
    [
        lambda reader, n: reader.page_of_accounts(AccountQuestion(), limit=n),
        lambda reader, n: reader.page_of_accounts(AccountQuestion(group="vo"), limit=n),
        lambda reader, n: reader.page_of_accounts(AccountQuestion(search="p"), limit=n),
        lambda reader, n: reader.page_of_identities(IdentityQuestion(), limit=n),
        lambda reader, n: reader.page_of_identities(IdentityQuestion(group="vo"), limit=n),
        lambda reader, n: reader.page_of_changes(ChangeQuestion(), limit=n),
        lambda reader, n: reader.page_of_changes(ChangeQuestion(action="open_account"), limit=n),
        lambda reader, n: reader.page_of_bans(BanQuestion(), limit=n),
        lambda reader, n: reader.page_of_groups(GroupQuestion(), limit=n),
    ],
)
def test_a_page_takes_the_memory_of_a_page(crowded: SqlRegistry, page: Any) -> None:
    """Of one row and of ten, of four thousand: a list read whole would take megabytes."""

    def peak() -> int:
        with crowded.read() as reader:
            page(reader, 10)
            tracemalloc.start()
            try:
                page(reader, 10)
                return tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()

    assert peak() < 512 * 1024

"""Lists by key: each page begins after the last key of the page before, and nothing is counted off.

A list may come from several branches, each in the order of the key from an index of its own; they are merged here.
Text keys stand in the order of their bytes on every database (migrations/env.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, and_

from idmap.adapters.sql.records import Record
from idmap.application.questions import Page
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

Item = TypeVar("Item")
After = int | str | None
Rows = Select[*tuple[Any, ...]]
"""Rows with their key as `page_key`."""

_LAST: Final = chr(0x10FFFF)


def page_of(
    connection: Connection,
    statement: Rows,
    key: ColumnElement[Any],
    start: After,
    limit: int,
    make: Callable[[Record], Item],
) -> Page[Item]:
    """One page of one statement, each row made into what the caller gives."""
    rows = merged(connection, [(statement.add_columns(key.label("page_key")), key)], start, limit)
    return Page(tuple(map(make, rows[:limit])), next_of(rows, limit))


def merged(
    connection: Connection,
    branches: Sequence[tuple[Rows, ColumnElement[Any]]],
    start: After,
    limit: int,
) -> list[Record]:
    """One row more than the page, of all branches together, each key once."""
    found: dict[Any, Record] = {}
    for statement, key in branches:
        wanted = statement if start is None else statement.where(key > start)
        for row in connection.execute(wanted.order_by(key).limit(limit + 1)):
            found.setdefault(row.page_key, row)
    # Python compares strings by code point, which is the order of their bytes in UTF-8.
    return [found[number] for number in sorted(found)[: limit + 1]]


def next_of(rows: Sequence[Record], limit: int) -> int | str | None:
    """The key of the page's last row, when there is one row more."""
    return rows[limit - 1].page_key if len(rows) > limit else None


def number_of(after: After) -> int | None:
    """The start of a list in the order of a number. Raises InvalidInput(REQUEST_INVALID)."""
    if after is None or isinstance(after, int):
        return after
    if not after.isascii() or not after.isdigit() or len(after) > 18:
        raise InvalidInput(
            Reason.REQUEST_INVALID, "after: the `next` of a page of the same question"
        )
    return int(after)


def text_of(after: After) -> str | None:
    """The start of a list in the order of a text."""
    return None if after is None else str(after)


def begins(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """As a span, which an index serves; LIKE would not care about case on SQLite."""
    stem = prefix.rstrip(_LAST)
    if not stem:
        return column >= prefix
    following = ord(stem[-1]) + 1
    above = stem[:-1] + chr(0xE000 if following == 0xD800 else following)
    return and_(column >= prefix, column < above)

"""What every part of the writer shares: one exclusive transaction of one author, and its finish.

Rows of new accounts, of the ledger and of the record are held back and written in bulk; whoever
reads within the transaction reads through `_db`, which writes them first. The revision and the
ban counter rise at most once per transaction, above both the database's value and the mark kept
outside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Delete,
    Insert,
    Table,
    Update,
    func,
    insert,
    select,
    update,
)

from idmap.adapters.sql.allocation import Allocator
from idmap.adapters.sql.changes import ChangeLog
from idmap.adapters.sql.high_water import Issued, Marks
from idmap.adapters.sql.reader import SqlReader
from idmap.adapters.sql.tables import COUNTERS, GROUPS, METADATA
from idmap.application.ports import Author
from idmap.domain.groups import PRIVATE_ISSUER, Group

_HELD_BACK: Final = 5000
"""So many changes are held back at most: their rows take some 20 MB."""

_ORDER: Final = {table.name: place for place, table in enumerate(METADATA.sorted_tables)}
"""Tables in an order in which each refers only to those before it."""


class Transaction(SqlReader):
    """The state of one write transaction."""

    def __init__(self, connection: Connection, author: Author, at: int, marks: Marks) -> None:
        super().__init__(connection)
        self._author = author
        self._at = at
        self._marks = marks
        self._log = ChangeLog(connection, author, at)
        self._allocator = Allocator(connection, marks, author, at)
        self._held_back: dict[Insert | Update | Delete, list[dict[str, Any]]] = {}
        self._next_keys: dict[ColumnElement[int], int] = {}
        self._group_ids: dict[Group, int] = {}
        self._raised: set[str] = set()

    @property
    def _db(self) -> Connection:
        self.flush()
        return self._connection

    def last_change(self) -> int:
        """Of entries held back too."""
        return self._log.last

    def flush(self) -> None:
        """Writes everything held back: what is referred to before what refers to it."""
        self._allocator.flush()
        held_back, self._held_back = self._held_back, {}
        for statement in sorted(held_back, key=_place):
            if held_back[statement]:
                self._connection.execute(statement, held_back[statement])
        self._log.flush()

    def finish(self) -> Marks:
        """The last thing before the commit. Gives the marks that must be on the disk before it."""
        ranges = {
            status.range.name: Issued(
                status.range.purpose, status.range.first, status.next_number - 1
            )
            for status in self.ranges()
            if status.next_number > status.range.first
        }
        return self._marks.raised(
            Marks(self.revision(), self.ban_counter(), MappingProxyType(ranges))
        )

    def raise_above_marks(self) -> None:
        """After a restore: brings revision and ban counter above what nodes may have seen."""
        for name, mark in (
            ("revision", self._marks.revision),
            ("ban_counter", self._marks.ban_counter),
        ):
            known = self._counter(name)
            if known < mark:
                self._raise_counter(name)
                self._record("raise_counter", counter=name, known=known, mark=mark)

    # --- for the parts of the writer

    def _record(self, action: str, **body: Any) -> None:
        """Puts a change on the record; last in a step, since it may write what is held back."""
        self._log.append(action, body)
        if self._log.held_back >= _HELD_BACK:
            self.flush()

    def _nodes_must_know(self) -> None:
        """The transaction changes what nodes are told."""
        self._raise_counter("revision")

    def _bans_changed(self) -> None:
        self._raise_counter("ban_counter")

    def _raise_counter(self, name: str) -> None:
        if name in self._raised:
            return
        self._raised.add(name)
        mark = self._marks.revision if name == "revision" else self._marks.ban_counter
        self._connection.execute(
            update(COUNTERS)
            .where(COUNTERS.c.name == name)
            .values(value=max(self._counter(name), mark) + 1)
        )

    def _hold_back(
        self, statement: Insert | Update | Delete, rows: Iterable[dict[str, Any]]
    ) -> None:
        self._held_back.setdefault(statement, []).extend(rows)

    def _next_key(self, column: ColumnElement[int]) -> int:
        """The next value of a key that we number ourselves; the transaction is exclusive."""
        if column not in self._next_keys:
            self._next_keys[column] = self._db.scalar(select(func.max(column))) or 0
        self._next_keys[column] += 1
        return self._next_keys[column]

    def _insert(self, table: Table, values: Mapping[str, Any]) -> None:
        self._db.execute(insert(table), dict(values))

    def _group_id(self, group: Group) -> int:
        """The row of a group, made when it is not there yet."""
        if not self._group_ids:
            federated = select(GROUPS).where(GROUPS.c.issuer != PRIVATE_ISSUER)
            for row in self._connection.execute(federated):
                self._group_ids[Group(row.issuer, row.path)] = row.group_id
        if group not in self._group_ids:
            self._group_ids[group] = self._next_key(GROUPS.c.group_id)
            self._insert(
                GROUPS,
                {
                    "group_id": self._group_ids[group],
                    "issuer": group.issuer,
                    "path": group.path,
                },
            )
        return self._group_ids[group]


def _place(statement: Insert | Update | Delete) -> int:
    """Where a statement's table stands in the order of writing."""
    table = statement.table
    assert isinstance(table, Table)  # noqa: S101  (for the type checker: our statements name tables)
    return _ORDER[table.name]

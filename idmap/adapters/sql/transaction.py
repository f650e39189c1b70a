"""What every part of the writer shares: one exclusive transaction of one author, and its finish.

Rows of new accounts, of the ledger and of the record are held back and written in bulk; whoever
reads within the transaction reads through `_db`, which writes them first. The revision and the
ban counter rise at most once per transaction, above both the database's value and the mark kept
outside it. What the journal outside the database knows and the database does not is withheld
before the first allocation.
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
from idmap.adapters.sql.changes import ChangeLog, holds
from idmap.adapters.sql.high_water import Issued, Marks
from idmap.adapters.sql.journal import IssuedJournal, holder_of
from idmap.adapters.sql.reader import SqlReader
from idmap.adapters.sql.tables import COUNTERS, GROUPS, METADATA, RANGES
from idmap.adapters.sql.withheld import held_for, note_read, read_until, take_in
from idmap.application.ports import Author
from idmap.domain.groups import PRIVATE_ISSUER, Group
from idmap.domain.identity import Identity

_HELD_BACK: Final = 5000
"""So many changes are held back at most: their rows take some 20 MB."""

_ORDER: Final = {table.name: place for place, table in enumerate(METADATA.sorted_tables)}
"""Tables in an order in which each refers only to those before it."""


class Transaction(SqlReader):
    """The state of one write transaction."""

    def __init__(
        self,
        connection: Connection,
        author: Author,
        at: int,
        marks: Marks,
        journal: IssuedJournal,
    ) -> None:
        super().__init__(connection)
        self._author = author
        self._at = at
        self._marks = marks
        self._log = ChangeLog(connection, author, at)
        self._journal = journal
        self._opened_allocator: Allocator | None = None
        self._realm_salt: bytes | None = None
        self._held_back: dict[Insert | Update | Delete, list[dict[str, Any]]] = {}
        self._next_keys: dict[ColumnElement[int], int] = {}
        self._group_ids: dict[Group, int] = {}
        self._raised: set[str] = set()

    @property
    def _db(self) -> Connection:
        self.flush()
        return self._connection

    @property
    def _allocator(self) -> Allocator:
        """Made when first asked for: most transactions allocate nothing."""
        if self._opened_allocator is None:
            self.take_in_journal()
            self._opened_allocator = Allocator(
                self._connection, self._marks, self._author, self._at
            )
        return self._opened_allocator

    def last_change(self) -> int:
        """Of entries held back too."""
        return self._log.last

    def flush(self) -> None:
        """Writes everything held back: what is referred to before what refers to it."""
        if self._opened_allocator is not None:
            self._opened_allocator.flush()
        held_back, self._held_back = self._held_back, {}
        for statement in sorted(held_back, key=_place):
            if held_back[statement]:
                self._connection.execute(statement, held_back[statement])
        self._log.flush()

    def finish(self) -> Marks:
        """The last thing before the commit: what was issued goes into the journal. Gives the marks that must be on
        the disk before the commit. Raises OSError.
        """
        issued = [] if self._opened_allocator is None else self._opened_allocator.issued
        if issued:
            written = self._journal.append(
                issued, self._at, lambda identity: read_until(self._connection, identity)
            )
            note_read(self._connection, *written)
        ranges = {
            status.range.name: Issued(
                status.range.purpose, status.range.first, status.next_number - 1
            )
            for status in self._ranges()
            if status.next_number > status.range.first
        }
        return self._marks.raised(
            Marks(
                self.revision(),
                self.ban_counter(),
                MappingProxyType(ranges),
                self._log.anchor,
            )
        )

    def note_lost_record(self) -> None:
        """Puts on the record that it does not end where the anchor outside the database says: it was cut short, or
        an older copy was put in its place.
        """
        anchor, head = self._marks.record, self._log.began
        if anchor is not None and not holds(self._connection, anchor):
            self._record(
                "record_behind",
                found={"sequence": head.sequence, "chain": head.chain},
                anchored={"sequence": anchor.after.sequence, "chain": anchor.after.chain},
            )

    def raise_above_marks(self) -> None:
        """After a restore: brings revision, ban counter and ranges above what was given out, and withholds what the
        journal knows.
        """
        for name, mark in (
            ("revision", self._marks.revision),
            ("ban_counter", self._marks.ban_counter),
        ):
            known = self._counter(name)
            if known < mark:
                self._raise_counter(name)
                self._record("raise_counter", counter=name, known=known, mark=mark)
        for name, known, mark in self._marks.ranges_behind(self._ranges()):
            self._connection.execute(
                update(RANGES).where(RANGES.c.name == name).values(next_number=mark + 1)
            )
            self._record("raise_range", range=name, known=known, mark=mark)
        self.take_in_journal()

    def take_in_journal(self) -> None:
        """Withholds what the journal says was issued and the database does not know."""
        found = take_in(self._connection, self._journal, self._at)
        if found is not None:
            self._record(
                "withhold",
                journal=found.journal,
                lines=[found.first_line, found.last_line],
                accounts=found.users,
                groups=found.groups,
            )

    def record_restore(self, body: Mapping[str, Any]) -> None:
        """Puts a restore on the record; nodes take what follows for newer, whatever they have."""
        self._nodes_must_know()
        self._bans_changed()
        self._record("restore", **body)

    # --- for the parts of the writer

    def _record(self, action: str, **body: Any) -> None:
        """Puts a change on the record; last in a step, since it may write what is held back."""
        self._log.append(action, body)
        if self._log.held_back >= _HELD_BACK:
            self.flush()

    def _holder(self, owner: Identity | Group) -> str:
        """Whom something is issued to, as the journal says it."""
        return holder_of(self._salt_once(), owner)

    def _group_holder(self, group: Group, group_id: int) -> str:
        """As `_holder`, by the issuer's own id where it is known; what was issued before that is found by the path."""
        by_path = self._holder(group)
        known = self._connection.scalar(
            select(GROUPS.c.external_id).where(GROUPS.c.group_id == group_id)
        )
        if known is None or held_for(self._connection, "group", by_path):
            return by_path
        return holder_of(self._salt_once(), group, known)

    def _salt_once(self) -> bytes:
        if self._realm_salt is None:
            self._realm_salt = self.salt()
        return self._realm_salt

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

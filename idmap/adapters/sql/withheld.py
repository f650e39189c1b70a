"""What was issued outside the history that this database holds, and whom it may be given to again (law 2).

Lines of the journal that the database has not read yet are taken in by the next write transaction that allocates:
their commit never came, or a restore went back behind it. What the ledger has already needs nothing more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, insert, select, update

from idmap.adapters.sql.journal import Issue, IssuedJournal
from idmap.adapters.sql.tables import COUNTERS, LEDGER_NAMES, LEDGER_NUMBERS, WITHHELD

_BATCH: Final = 400
"""Fewer than the parameters that any database takes in one statement."""

_NUMBER_KINDS: Final = {"user": "uid", "group": "gid"}

_COUNTER: Final = select(COUNTERS.c.value).where(COUNTERS.c.name == bindparam("wanted"))
_HELD_FOR: Final = (
    select(WITHHELD)
    .where(WITHHELD.c.kind == bindparam("wanted_kind"), WITHHELD.c.holder == bindparam("wanted"))
    .order_by(WITHHELD.c.since, WITHHELD.c.number)
)
NAME_WITHHELD: Final = exists().where(WITHHELD.c.name == bindparam("wanted"))


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What one transaction took in from the journal."""

    journal: str
    first_line: int
    last_line: int
    users: int
    groups: int


def unread_lines(connection: Connection, journal: IssuedJournal) -> bool:
    """Whether the journal has lines that the database has not read."""
    identity = journal.identity()
    return identity is not None and bool(journal.after(read_until(connection, identity)))


def take_in(connection: Connection, journal: IssuedJournal, at: int) -> TakenIn | None:
    """Reads what the database does not know of the journal; None when that is nothing."""
    identity = journal.identity()
    if identity is None:
        return None
    lines = journal.after(read_until(connection, identity))
    if not lines:
        return None
    added = withhold(connection, (issue for line in lines for issue in line.issued), at)
    note_read(connection, identity, lines[-1].number)
    users = sum(issue.kind == "user" for issue in added)
    return TakenIn(identity, lines[0].number, lines[-1].number, users, len(added) - users)


def read_until(connection: Connection, identity: str) -> int:
    """Up to which line the database holds or withholds what that journal says."""
    return connection.scalar(_COUNTER, {"wanted": f"journal:{identity}"}) or 0


def note_read(connection: Connection, identity: str, line: int) -> None:
    """The database holds, or withholds, everything up to that line of that journal."""
    name = f"journal:{identity}"
    if connection.scalar(_COUNTER, {"wanted": name}) is None:
        connection.execute(insert(COUNTERS).values(name=name, value=line))
    else:
        connection.execute(update(COUNTERS).where(COUNTERS.c.name == name).values(value=line))


def withhold(connection: Connection, issued: Iterable[Issue], at: int) -> list[Issue]:
    """Withholds what neither the ledger nor an earlier transaction has; gives what is new."""
    added: list[Issue] = []
    for batch in _batches(dict.fromkeys(issued)):
        known = needs_nothing(connection, batch)
        new = [issue for issue in batch if issue not in known]
        if new:
            connection.execute(insert(WITHHELD), [_row(issue, at) for issue in new])
            added += new
    return added


def held_for(connection: Connection, kind: str, holder: str) -> Sequence[Issue]:
    """What was issued to that holder before, oldest first."""
    rows = connection.execute(_HELD_FOR, {"wanted_kind": kind, "wanted": holder})
    return [Issue(row.kind, row.name, row.number, row.holder) for row in rows]


def withheld_numbers(connection: Connection, kind: str, first: int, last: int) -> frozenset[int]:
    """Of users' or groups' numbers from `first` to `last`."""
    found = select(WITHHELD.c.number).where(
        WITHHELD.c.kind == kind, WITHHELD.c.number.between(first, last)
    )
    return frozenset(connection.scalars(found))


def any_withheld(connection: Connection) -> bool:
    """Whether there is anything at all."""
    return connection.execute(select(WITHHELD.c.number).limit(1)).first() is not None


def needs_nothing(connection: Connection, batch: Sequence[Issue]) -> set[Issue]:
    """Those of which the ledger has both name and number, and those that are withheld already."""
    names, numbers = [i.name for i in batch], [i.number for i in batch]
    in_ledger = select(LEDGER_NAMES.c.name).where(LEDGER_NAMES.c.name.in_(names))
    known_names = set(connection.scalars(in_ledger))
    known_numbers = {
        (row.kind, row.number)
        for row in connection.execute(
            select(LEDGER_NUMBERS.c.kind, LEDGER_NUMBERS.c.number).where(
                LEDGER_NUMBERS.c.number.in_(numbers)
            )
        )
    }
    withheld = {
        Issue(row.kind, row.name, row.number, row.holder)
        for row in connection.execute(select(WITHHELD).where(WITHHELD.c.name.in_(names)))
    }
    return withheld | {
        issue
        for issue in batch
        if issue.name in known_names and (_NUMBER_KINDS[issue.kind], issue.number) in known_numbers
    }


def _row(issue: Issue, at: int) -> dict[str, Any]:
    return {
        "name": issue.name,
        "kind": issue.kind,
        "number": issue.number,
        "holder": issue.holder,
        "since": at,
    }


def _batches(issued: Iterable[Issue]) -> Iterator[list[Issue]]:
    batch: list[Issue] = []
    for issue in issued:
        batch.append(issue)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch

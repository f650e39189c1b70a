"""`idmap db check`: whether a database and what lies beside it are whole, and agree. Reads only.

Nothing here repairs: opening the registry raises it above its marks (registry.py), a restore replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from idmap.adapters.sql.changes import chain_at, head_of, verify_changes
from idmap.adapters.sql.check_ledger import broken_invariants
from idmap.adapters.sql.engine import open_database, reading
from idmap.adapters.sql.high_water import HighWaterFile, Marks
from idmap.adapters.sql.journal import IssuedJournal, JournalLine
from idmap.adapters.sql.reader import SqlReader
from idmap.adapters.sql.schema import check_schema
from idmap.adapters.sql.tables import LEDGER_NAMES
from idmap.adapters.sql.withheld import needs_nothing, read_until
from idmap.domain.errors import IdmapError

_SHOWN: Final = 5


class Verdict(StrEnum):
    """How grave a finding is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One check and what came of it."""

    check: str
    verdict: Verdict
    saw: str
    next_step: str = ""


def check_database(url: str, outside: Path | None = None) -> Iterator[CheckFinding]:
    """Every check in turn; each finding as soon as it is known. `outside` as for `SqlRegistry.open`.

    Raises Unavailable(SERVICE_UNAVAILABLE) when there is no database or it cannot be read, and
    IdmapError(SCHEMA_MISMATCH): nothing else can be asked of it then.
    """
    database = open_database(url, outside)
    path = database.path
    # A service that writes meanwhile writes these files first: what they said before the reading began, the
    # database must have; what the database has, they must say once it has begun.
    before = _beside(path)
    try:
        database.check_exists()
        with reading(database.engine) as connection:
            check_schema(connection)
            after = _beside(path)
            yield _pages(connection)
            yield _ledger(connection)
            yield _record(connection)
            if isinstance(before, str) or isinstance(after, str):
                yield _wrong(
                    "marks", str(before if isinstance(before, str) else after), _UNREADABLE
                )
            else:
                yield _anchor(connection, before.marks)
                yield _marks(connection, before.marks, after.marks)
                yield _journal(connection, before, after)
            yield _ranges(connection)
    finally:
        database.close()


@dataclass(frozen=True, slots=True)
class _Beside:
    """What lies beside the database."""

    marks: Marks | None
    journal: str | None
    lines: tuple[JournalLine, ...]


def _beside(path: Path) -> _Beside | str:
    """Or why it cannot be read."""
    file, journal = HighWaterFile(path), IssuedJournal(path)
    try:
        marks = file.read() if file.path.exists() else None
        return _Beside(marks, journal.identity(), journal.after(0))
    except IdmapError as error:
        return error.detail


_UNREADABLE: Final = "Put back the newest copy of the file that you have; nothing is issued before."


def _pages(connection: Connection) -> CheckFinding:
    if connection.dialect.name != "sqlite":
        return _ok("pages", "looked after by the database server")
    said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(5)")]
    if said != ["ok"]:
        return _wrong("pages", "; ".join(said), _RESTORE)
    loose = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if loose:
        tables = ", ".join(sorted({str(row[0]) for row in loose}))
        return _wrong("pages", f"{len(loose)} rows refer to rows that are not there: {tables}", "")
    return _ok("pages", "whole; every reference leads somewhere")


_RESTORE: Final = (
    "Keep the file for the inquiry; restore the newest backup with 'idmap db restore'."
)


def _ledger(connection: Connection) -> CheckFinding:
    broken = list(broken_invariants(connection))
    if broken:
        return _wrong("ledger", "; ".join(broken), "Find out who wrote to the database past idmap.")
    accounts = SqlReader(connection).count_accounts()
    held = ", ".join(f"{count} {state}" for state, count in accounts.items() if count) or "none"
    return _ok("ledger", f"every number and name is its owner's; accounts: {held}")


def _record(connection: Connection) -> CheckFinding:
    try:
        leaves = verify_changes(connection)
    except IdmapError as error:
        return _wrong("record", error.detail, error.next_step)
    return _ok("record", f"{leaves} changes, chain and commitments hold")


def _anchor(connection: Connection, marks: Marks | None) -> CheckFinding:
    if marks is None or marks.record is None:
        return _warning("anchor", "none yet", "The next change makes one.")
    before, after, head = marks.record.before, marks.record.after, head_of(connection)
    if chain_at(connection, after.sequence) == after.chain:
        return _ok("anchor", f"the record holds entry {after.sequence} as it was committed")
    others = connection.dialect.name != "sqlite" and chain_at(connection, before.sequence)
    if head == before or others == before.chain:
        cut = f"a crash cut off the commit of entry {after.sequence}"
        return _warning("anchor", cut, "Nobody was told of it.")
    if head.sequence < after.sequence:
        short = f"the record ends at entry {head.sequence}, not at {before.sequence} or later"
        return _wrong("anchor", short, _OLDER)
    return _wrong("anchor", f"entry {after.sequence} is another than was committed", _OLDER)


_OLDER: Final = (
    "An older copy lies in the database's place, or entries were removed. If you copied it back, start the service: it "
    "goes on above its marks and says so on the record. If nobody did, treat it as a security incident."
)


def _marks(connection: Connection, before: Marks | None, after: Marks | None) -> CheckFinding:
    reader = SqlReader(connection)
    if after is None:
        if not reader.revision():
            return _ok("marks", "nothing to mark yet")
        if connection.dialect.name != "sqlite":
            # Each host keeps marks of its own, from its first change on.
            return _warning("marks", "this host has none yet", "Its first change makes them.")
        return _wrong("marks", "the file beside the database is missing", _NEXT_WRITE)
    marks = before or Marks()
    behind, ahead = [], []
    for name, known, mark in (
        ("revision", reader.revision(), marks.revision),
        ("ban counter", reader.ban_counter(), marks.ban_counter),
    ):
        if known < mark - 1:
            ahead.append(f"{name} {known} is below its mark {mark}")
    for status in reader.ranges():
        mine = marks.ranges.get(status.range.name)
        reached = status.next_number - 1
        if (
            reached >= status.range.first
            and marks.next_above(status.range.purpose, reached) == reached
        ):
            behind.append(f"range {status.range.name} stands at {reached}, its mark does not")
        elif mine is not None and status.next_number <= mine.highest:
            ahead.append(f"range {status.range.name} stands below its mark {mine.highest}")
    if behind:
        return _wrong("marks", "; ".join(behind), _NEXT_WRITE)
    if ahead:
        return _warning("marks", "; ".join(ahead), "Start the service: it goes on above its marks.")
    return _ok("marks", f"revision {after.revision}, ban counter {after.ban_counter}")


_NEXT_WRITE: Final = "The next change writes it anew; find out who put an older file there."


def _journal(connection: Connection, before: _Beside, after: _Beside) -> CheckFinding:
    identity, lines = after.journal, after.lines
    if identity is None:
        if connection.scalar(LEDGER_NAMES.select().limit(1)) is None:
            return _ok("journal", "nothing was issued yet")
        return _warning("journal", "the file beside the database is missing", _NEW_JOURNAL)
    known = read_until(connection, identity)
    lost = _not_in(connection, [line for line in lines if line.number <= known])
    if lost:
        return _wrong("journal", f"the database does not know {', '.join(lost)}", _RESTORE)
    newest = lines[-1].number if lines else 0
    unread = [line for line in before.lines if line.number > known]
    if newest < known:
        return _wrong(
            "journal", f"it ends at line {newest}, the database has read {known}", _NEW_JOURNAL
        )
    if unread:
        return _warning(
            "journal",
            f"{len(unread)} transactions that the database does not hold",
            "Start the service: what they issued stays withheld from others.",
        )
    issued = sum(len(line.issued) for line in lines)
    return _ok("journal", f"{issued} names issued, all known to the database")


_NEW_JOURNAL: Final = (
    "Names issued from now on are kept there again; for those before, take a backup now."
)


def _not_in(connection: Connection, lines: list[JournalLine]) -> list[str]:
    issued = [issue for line in lines for issue in line.issued]
    lost: list[str] = []
    for first in range(0, len(issued), 400):
        batch = issued[first : first + 400]
        known = needs_nothing(connection, batch)
        lost += [issue.name for issue in batch if issue not in known]
    return lost[:_SHOWN]


def _ranges(connection: Connection) -> CheckFinding:
    low = [
        f"{status.range.name} has {status.free} of {status.size} left"
        for status in SqlReader(connection).ranges()
        if status.is_low
    ]
    if low:
        return _warning("ranges", "; ".join(low), "Add a range with 'idmap ranges add'.")
    return _ok("ranges", "each has a tenth of its numbers left, or more")


def _ok(check: str, saw: str) -> CheckFinding:
    return CheckFinding(check, Verdict.OK, saw)


def _warning(check: str, saw: str, next_step: str) -> CheckFinding:
    return CheckFinding(check, Verdict.WARNING, saw, next_step)


def _wrong(check: str, saw: str, next_step: str) -> CheckFinding:
    return CheckFinding(check, Verdict.WRONG, saw, next_step)

"""What a restored registry consists of: the backup's rows, and everything that it must not forget (laws 2, 5, 12).

The counters and ranges stand above what the marks, the journal, the replaced database, the published snapshot and the
signer know to have been given out; what the backup does not have of it is withheld from everybody but its holder.
What was refused stays refused: bans in force and revoked credentials are carried over, and
what was erased stays erased. The record says what was
restored and what was lost. Where all this is written to, and how it takes the old one's place, is restore.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select

from idmap.adapters.sql.backup_file import BackupAbout
from idmap.adapters.sql.copying import copy_rows
from idmap.adapters.sql.high_water import Anchor, HighWaterFile, Issued, Marks
from idmap.adapters.sql.journal import Issue, IssuedJournal, holder_of, holder_of_digest
from idmap.adapters.sql.policy_writer import SqlWriter
from idmap.adapters.sql.refuse_again import refuse_again
from idmap.adapters.sql.replaced import Replaced
from idmap.adapters.sql.tables import CHANGE_BODIES, WITHHELD
from idmap.adapters.sql.withheld import note_read, read_until, withhold
from idmap.application.ports import Author, Progress
from idmap.application.published_issues import Published
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.domain.shared_accounts import holder_of_shared

_AT_ONCE: Final = 400


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """What is asked of one restore."""

    backup: Path
    realm: str
    author: Author
    at: int
    dry_run: bool = False
    another_realm: bool = False
    """The backup's realm is not the one that was here, and that is meant."""


@dataclass(frozen=True, slots=True)
class Given:
    """What was given out, as far as others than the database know."""

    published: Published = field(default_factory=Published)
    revision: int = 0
    ban_counter: int = 0
    """Of the signer's memory, or as somebody read them off the nodes."""
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class RestoreReport:
    """What was done, or would be."""

    made_at: int | None
    backup_changes: int
    lost_changes: int | None
    """Entries of the record after the backup; None when nothing is left that could tell."""
    lost_accounts: int = 0
    lost_groups: int = 0
    revision: int = 0
    ban_counter: int = 0
    bans_carried: int = 0
    bans_of_lost_accounts: int = 0
    bans_of_unknown_tokens: int = 0
    """The published ban list has their digests alone."""
    credentials_revoked: int = 0
    kept_aside: str | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Beside:
    """The files that outlive a database; `path` is where their names begin."""

    marks: HighWaterFile
    journal: IssuedJournal

    def append(self, issued: list[Issue], at: int, target: Connection) -> tuple[str, int]:
        return self.journal.append(issued, at, lambda identity: read_until(target, identity))


def fill(
    source: Connection,
    target: Connection,
    about: BackupAbout,
    replaced: Replaced | None,
    beside: Beside,
    request: RestoreRequest,
    given: Given,
    notes: list[str],
    progress: Progress,
) -> tuple[RestoreReport, Marks]:
    """Writes the restored registry into the empty tables of `target`; gives the report, and the marks that must be on
    the disk before it can be seen. In a dry run the journal stays as it is.

    Raises InvalidInput(BACKUP_FOREIGN), and InvalidInput(CONFIGURATION_INVALID) when marks or journal do not read.
    """
    _require_realm(request, about, replaced, given.published)
    before = beside.marks.read()
    report = RestoreReport(
        about.made_at, about.head.sequence, _lost(about, replaced, before), notes=notes
    )
    copy_rows(source, target, progress)
    _erase_again(target, about, replaced)
    marks = _above(before, replaced, given)
    writer = SqlWriter(target, request.author, request.at, marks, beside.journal)
    issued = _withhold(writer, target, replaced, given.published, request)
    carried = refuse_again(writer, target, replaced, given.published, request.at)
    report.bans_carried, report.credentials_revoked = carried.bans, carried.credentials
    report.bans_of_lost_accounts = carried.of_lost_accounts
    report.bans_of_unknown_tokens = carried.of_unknown_tokens
    _count(target, request.at, report)
    writer.record_restore(_entry(about, replaced, report))
    writer.flush()
    report.revision, report.ban_counter = writer.revision(), writer.ban_counter()
    if issued and not request.dry_run:
        progress("keeping the journal", 0, None)
        note_read(target, *beside.append(issued, request.at, target))
    return report, _anchored(writer.finish(), replaced, before)


def _require_realm(
    request: RestoreRequest, about: BackupAbout, replaced: Replaced | None, published: Published
) -> None:
    """Raises InvalidInput(BACKUP_FOREIGN) when anything here says that the backup is of another realm."""
    here = {salt for salt in (replaced.salt if replaced else None, published.salt) if salt}
    foreign = []
    if here - {about.salt}:
        foreign.append("its salt is another than the one here")
    if about.realm is not None and about.realm != request.realm:
        foreign.append(f"it is of realm {about.realm!r}, the settings say {request.realm!r}")
    if foreign and not request.another_realm:
        raise InvalidInput(Reason.BACKUP_FOREIGN, "; ".join(foreign))


def _above(marks: Marks, replaced: Replaced | None, given: Given) -> Marks:
    """The highest that anybody knows of."""
    if replaced is not None:
        marks = marks.raised(replaced.marks)
    published = given.published
    ranges = {
        name: Issued(window.purpose, window.first, highest)
        for name, (window, highest) in published.high_water.items()
        if name not in marks.ranges or marks.ranges[name].purpose is window.purpose
    }
    marks = marks.raised(Marks(published.revision, published.ban_counter, MappingProxyType(ranges)))
    return marks.raised(Marks(given.revision, given.ban_counter))


def _lost(about: BackupAbout, replaced: Replaced | None, marks: Marks) -> int | None:
    if replaced is not None:
        if replaced.chain_then != about.head.chain:
            return None
        return replaced.head.sequence - about.head.sequence
    if marks.record is None:
        return None
    return max(0, marks.record.after.sequence - about.head.sequence)


def _withhold(
    writer: SqlWriter,
    target: Connection,
    replaced: Replaced | None,
    published: Published,
    request: RestoreRequest,
) -> list[Issue]:
    """Raises everything and withholds what the backup does not have; gives what the journal did not know."""
    writer.raise_above_marks()
    issued: list[Issue] = list(replaced.issued) if replaced else []
    told = [
        Issue(
            found.kind,
            found.name,
            found.number,
            "" if found.digest is None else holder_of_digest(found.digest),
        )
        for found in published.issued
    ]
    shared = _shared_among(told, writer.salt())
    issued += [shared.get((one.name, one.number), one) for one in told]
    return withhold(target, issued, request.at)


def _shared_among(told: list[Issue], salt: bytes) -> Mapping[tuple[str, int], Issue]:
    """Shared accounts: those that stand among their own people. These have no claim of their own to its number."""
    return {
        (one.name, one.number): one
        for one in told
        if one.kind == "user" and one.holder == holder_of(salt, holder_of_shared(one.name))
    }


def _erase_again(target: Connection, about: BackupAbout, replaced: Replaced | None) -> None:
    """What was erased of a person since the backup does not come back with it (law 12)."""
    if replaced is None or replaced.chain_then != about.head.chain:
        return
    for first in range(0, len(replaced.erased), _AT_ONCE):
        some = replaced.erased[first : first + _AT_ONCE]
        target.execute(delete(CHANGE_BODIES).where(CHANGE_BODIES.c.sequence.in_(some)))


def _count(target: Connection, at: int, report: RestoreReport) -> None:
    """What this restore withholds, each number once."""
    for kind in ("user", "group"):
        count = target.scalar(
            select(func.count(WITHHELD.c.number.distinct())).where(
                WITHHELD.c.kind == kind, WITHHELD.c.since == at
            )
        )
        if kind == "user":
            report.lost_accounts = count or 0
        else:
            report.lost_groups = count or 0


def _entry(
    about: BackupAbout, replaced: Replaced | None, report: RestoreReport
) -> Mapping[str, Any]:
    """What the record says of the restore."""
    head = None if replaced is None else replaced.head
    return {
        "backup": {
            "made_at": about.made_at,
            "sequence": about.head.sequence,
            "chain": about.head.chain,
        },
        "replaced": None if head is None else {"sequence": head.sequence, "chain": head.chain},
        "lost": {
            "changes": report.lost_changes,
            "accounts": report.lost_accounts,
            "groups": report.lost_groups,
        },
        "bans_carried": report.bans_carried,
        "bans_of_lost_accounts": report.bans_of_lost_accounts,
        "bans_of_unknown_tokens": report.bans_of_unknown_tokens,
        "credentials_revoked": report.credentials_revoked,
    }


def _anchored(after: Marks, replaced: Replaced | None, before: Marks) -> Marks:
    """With the heads of both the old and the new database: either may be found after a crash."""
    anchor = after.record
    old = replaced.head if replaced else before.record.after if before.record else None
    if anchor is None or old is None:
        return after
    return after.raised(Marks(record=Anchor(old, anchor.after)))

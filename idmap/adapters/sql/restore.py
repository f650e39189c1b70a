"""`idmap db restore`: a backup becomes the registry, and nothing issued since is issued again (law 2).

The new state is built whole beside the old one: the backup's rows, then everything above what the marks, the journal,
the replaced database, the published snapshot and the signer know to have been given out; what neither has is withheld
from everybody but its holder. What was refused stays refused: bans in
force and revoked credentials are carried over (law 5). The record says what was restored and what was lost (law 12).
Only then it takes the old one's place, in one step; a crash before leaves the old one, which the marks and journal
written meanwhile only make more careful.

Nobody may have the database open meanwhile; swap.py does the exchange.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, func, select

from idmap.adapters.sql.backup_file import BackupAbout, opened, using, verified
from idmap.adapters.sql.copying import copy_rows
from idmap.adapters.sql.engine import database_path, make_engine, reading
from idmap.adapters.sql.high_water import Anchor, HighWaterFile, Issued, Marks
from idmap.adapters.sql.in_use import alone
from idmap.adapters.sql.journal import Issue, IssuedJournal, holder_of_digest
from idmap.adapters.sql.policy_writer import SqlWriter
from idmap.adapters.sql.replaced import Replaced, read_replaced
from idmap.adapters.sql.schema import check_schema, upgrade_connection
from idmap.adapters.sql.swap import make_like, put_in_place, require_alone, settle
from idmap.adapters.sql.tables import WITHHELD
from idmap.adapters.sql.withheld import note_read, read_until, withhold
from idmap.application.ports import Author, Progress
from idmap.application.published_issues import Published
from idmap.domain.accounts import AccountState
from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason

_CARRIED: Final = "in force when an older backup was restored"
_NOBODY_KNOWN: Final[tuple[Identity, ...]] = ()


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
    signer_revision: int = 0
    signer_ban_counter: int = 0
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
    credentials_revoked: int = 0
    kept_aside: str | None = None
    notes: list[str] = field(default_factory=list)


def restore(url: str, request: RestoreRequest, given: Given, progress: Progress) -> RestoreReport:
    """Puts the backup in the database's place; a dry run only says what that would do.

    Raises Conflict(DATABASE_IN_USE), InvalidInput(BACKUP_INVALID, BACKUP_FOREIGN), IdmapError(SCHEMA_MISMATCH) for a
    newer backup, Conflict(RECORD_BROKEN), InvalidInput(CONFIGURATION_INVALID) when marks or journal do not read, and
    Unavailable; the registry is as it was then.
    """
    path = database_path(url)
    if not path.parent.is_dir():
        raise InvalidInput(Reason.CONFIGURATION_INVALID, f"{path.parent}: no such directory")
    with alone(path):
        work, scratch = (path.with_name(f"{path.name}.{end}") for end in ("restoring", "reading"))
        for leftover in (work, scratch):
            leftover.unlink(missing_ok=True)
        try:
            return _restore(url, path, work, scratch, request, given, progress)
        finally:
            work.unlink(missing_ok=True)


def _restore(
    url: str,
    path: Path,
    work: Path,
    scratch: Path,
    request: RestoreRequest,
    given: Given,
    progress: Progress,
) -> RestoreReport:
    progress("reading the backup", 0, None)
    with opened(request.backup, scratch) as (source, about):
        notes = list(given.notes)
        replaced = _read_replaced(url, path, about, request.at, notes)
        _require_realm(request, about, replaced, given.published)
        beside = _Beside(HighWaterFile(path), IssuedJournal(path))
        marks_before = beside.marks.read()
        marks = _above(marks_before, replaced, given)
        report = RestoreReport(
            about.made_at, about.head.sequence, _lost(about, replaced, marks_before), notes=notes
        )
        work.touch(mode=0o600)
        with using(work) as target:
            upgrade_connection(target)
            copy_rows(source, target, progress)
            writer = SqlWriter(target, request.author, request.at, marks, beside.journal)
            issued = _withhold(writer, target, replaced, given.published, request)
            _refuse_again(writer, replaced, given.published, request.at, report)
            _count(target, request.at, report)
            writer.record_restore(_entry(about, replaced, report))
            writer.flush()
            report.revision, report.ban_counter = writer.revision(), writer.ban_counter()
            if issued and not request.dry_run:
                progress("keeping the journal", 0, None)
                note_read(target, *beside.append(issued, request.at, target))
            after = writer.finish()
    progress("verifying", 0, None)
    with using(work, read_only=True) as written:
        verified(written)
    if request.dry_run:
        return report
    settle(path)
    make_like(work, path)
    progress("keeping the marks", 0, None)
    beside.marks.write(_anchored(after, replaced, marks_before))
    report.kept_aside = put_in_place(work, path, request.at, progress)
    return report


@dataclass(frozen=True, slots=True)
class _Beside:
    """The files that outlive the database."""

    marks: HighWaterFile
    journal: IssuedJournal

    def append(self, issued: list[Issue], at: int, target: Connection) -> tuple[str, int]:
        return self.journal.append(issued, at, lambda identity: read_until(target, identity))


def _read_replaced(
    url: str, path: Path, about: BackupAbout, at: int, notes: list[str]
) -> Replaced | None:
    if not path.exists():
        notes.append("there was no database")
        return None
    require_alone(path)
    engine = make_engine(url)
    try:
        with reading(engine) as connection:
            check_schema(connection)
            return read_replaced(connection, about.head.sequence, at)
    except IdmapError as error:
        notes.append(f"the database here could not be read: {error.detail}")
        return None
    finally:
        engine.dispose()


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
    return marks.raised(Marks(given.signer_revision, given.signer_ban_counter))


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
    for found in published.issued:
        holder = "" if found.digest is None else holder_of_digest(found.digest)
        issued.append(Issue(found.kind, found.name, found.number, holder))
    return withhold(target, issued, request.at)


def _refuse_again(
    writer: SqlWriter,
    replaced: Replaced | None,
    published: Published,
    at: int,
    report: RestoreReport,
) -> None:
    """Carries over bans in force and revocations: a restore must let nobody in (law 5)."""
    for digest in replaced.revoked if replaced else ():
        credential = writer.find_credential(digest)
        if credential is not None and not credential.revoked:
            writer.revoke_credential(credential.kind, credential.name)
            report.credentials_revoked += 1
    known = {ban.identity for ban in writer.bans(at=at)}

    def ban_identity(identity: Identity, reason: str, until: int | None) -> None:
        if identity not in known:
            known.add(identity)
            writer.add_ban(account_id=None, identity=identity, reason=reason, until=until, at=at)
            report.bans_carried += 1

    for ban in replaced.bans if replaced else ():
        if ban.identity is not None:
            ban_identity(ban.identity, ban.reason, ban.until)
    if replaced is None:
        banned = tuple((number, until, _NOBODY_KNOWN) for number, until in published.bans)
    else:
        banned = replaced.banned
    held = {number for number, _ in writer.banned_uid_numbers(at)}
    for number, until, identities in banned:
        if number in held or 0 < until <= at:
            continue
        account = writer.find_account(uid_number=number)
        if account is None:
            for identity in identities:
                ban_identity(identity, _CARRIED, until or None)
            report.bans_of_lost_accounts += not identities
        elif account.state is not AccountState.TOMBSTONE:
            writer.add_ban(
                account_id=account.account_id,
                identity=None,
                reason=_CARRIED,
                until=until or None,
                at=at,
            )
            report.bans_carried += 1


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
        "credentials_revoked": report.credentials_revoked,
    }


def _anchored(after: Marks, replaced: Replaced | None, before: Marks) -> Marks:
    """With the heads of both the old and the new database: either may be found after a crash."""
    anchor = after.record
    old = replaced.head if replaced else before.record.after if before.record else None
    if anchor is None or old is None:
        return after
    return after.raised(Marks(record=Anchor(old, anchor.after)))

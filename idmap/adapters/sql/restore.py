"""`idmap db restore`: a backup becomes the registry, and nothing issued since is issued again (law 2).

On SQLite the new registry is built whole in a file beside the old one and takes its place in one step (swap.py); nobody
may have the database open meanwhile. On PostgreSQL the tables are emptied and filled in one transaction that holds
the writers' lock and every table; no other idmap may be connected, and whoever connects meanwhile waits for its end.
A crash before that moment leaves the old registry, which marks and journal written by then only make more careful.
What a restored registry consists of is restore_rows.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Engine, text

from idmap.adapters.sql.backup import write_backup
from idmap.adapters.sql.backup_file import BackupAbout, opened, using, verified
from idmap.adapters.sql.engine import database_path, make_engine, reading, writing
from idmap.adapters.sql.high_water import HighWaterFile
from idmap.adapters.sql.in_use import alone
from idmap.adapters.sql.journal import IssuedJournal
from idmap.adapters.sql.replaced import Replaced, read_replaced
from idmap.adapters.sql.restore_rows import Beside, Given, RestoreReport, RestoreRequest, fill
from idmap.adapters.sql.schema import check_schema, current_schema, upgrade_connection
from idmap.adapters.sql.swap import free_name, make_like, put_in_place, require_alone, settle
from idmap.adapters.sql.tables import METADATA, REALM
from idmap.application.ports import Progress
from idmap.domain.errors import Conflict, IdmapError, InvalidInput, Unavailable
from idmap.domain.reasons import Reason

__all__ = ["Given", "RestoreReport", "RestoreRequest", "restore"]

_OTHERS: Final = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'idmap' AND pid <> pg_backend_pid()"
)


def restore(
    url: str,
    request: RestoreRequest,
    given: Given,
    progress: Progress,
    outside: Path | None = None,
) -> RestoreReport:
    """Puts the backup in the database's place; a dry run only says what that would do. `outside` as for
    `SqlRegistry.open`.

    Raises Conflict(DATABASE_IN_USE), InvalidInput(BACKUP_INVALID, BACKUP_FOREIGN), IdmapError(SCHEMA_MISMATCH) for a
    newer backup, Conflict(RECORD_BROKEN), InvalidInput(CONFIGURATION_INVALID) when marks or journal do not read, and
    Unavailable; the registry is as it was then.
    """
    path = database_path(url, outside)
    if not path.parent.is_dir():
        raise InvalidInput(Reason.CONFIGURATION_INVALID, f"{path.parent}: no such directory")
    beside = Beside(HighWaterFile(path), IssuedJournal(path))
    with alone(path):
        scratch, work = (path.with_name(f"{path.name}.{end}") for end in ("reading", "restoring"))
        work.unlink(missing_ok=True)
        progress("reading the backup", 0, None)
        engine = make_engine(url)
        try:
            with opened(request.backup, scratch) as (source, about):
                if engine.dialect.name == "sqlite":
                    way: _File | _Server = _File(engine, path, work)
                else:
                    way = _Server(engine, path)
                return way.restore(source, about, beside, request, given, progress)
        finally:
            engine.dispose()
            work.unlink(missing_ok=True)


class _File:
    """SQLite: a new file takes the old one's place."""

    def __init__(self, engine: Engine, path: Path, work: Path) -> None:
        self._engine = engine
        self._path = path
        self._work = work

    def restore(
        self,
        source: Connection,
        about: BackupAbout,
        beside: Beside,
        request: RestoreRequest,
        given: Given,
        progress: Progress,
    ) -> RestoreReport:
        notes = list(given.notes)
        replaced = self._read_replaced(about, request.at, notes)
        self._work.touch(mode=0o600)
        with using(self._work) as target:
            upgrade_connection(target)
            report, marks = fill(
                source, target, about, replaced, beside, request, given, notes, progress
            )
        progress("verifying", 0, None)
        with using(self._work, read_only=True) as written:
            verified(written)
        if request.dry_run:
            return report
        settle(self._path)
        make_like(self._work, self._path)
        progress("keeping the marks", 0, None)
        with _said(self._path):
            beside.marks.write(marks)
            report.kept_aside = put_in_place(self._work, self._path, request.at, progress)
        return report

    def _read_replaced(self, about: BackupAbout, at: int, notes: list[str]) -> Replaced | None:
        if not self._path.exists():
            notes.append("there was no database")
            return None
        require_alone(self._path)
        try:
            with reading(self._engine) as connection:
                check_schema(connection)
                return read_replaced(connection, about.head.sequence, at)
        except IdmapError as error:
            notes.append(f"the database here could not be read: {error.detail}")
            return None
        finally:
            self._engine.dispose()


class _DryRun(Exception):
    """Ends a transaction of which nothing is to be kept."""


class _Server:
    """PostgreSQL: everything in one transaction."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path

    def restore(
        self,
        source: Connection,
        about: BackupAbout,
        beside: Beside,
        request: RestoreRequest,
        given: Given,
        progress: Progress,
    ) -> RestoreReport:
        notes = list(given.notes)
        aside = None if request.dry_run else self._keep_aside(request, notes, progress)
        report: RestoreReport | None = None
        try:
            with writing(self._engine) as target:
                replaced = _take_over(target, about, request.at, notes)
                report, marks = fill(
                    source, target, about, replaced, beside, request, given, notes, progress
                )
                if request.dry_run:
                    raise _DryRun
                progress("keeping the marks", 0, None)
                with _said(self._path):
                    beside.marks.write(marks)
        except _DryRun:
            assert report is not None  # noqa: S101  (for the type checker: it was made before)
            return report
        except BaseException:
            if aside is not None:
                aside.unlink(missing_ok=True)
            raise
        progress("in place", 0, None)
        report.kept_aside = None if aside is None else str(aside)
        return report

    def _keep_aside(
        self, request: RestoreRequest, notes: list[str], progress: Progress
    ) -> Path | None:
        """A backup of what is replaced, if it still makes one."""
        with writing(self._engine) as connection:
            _require_alone(connection)
            if current_schema(connection) is None:
                return None
        aside = free_name(self._path, request.at)
        try:
            write_backup(self._engine, aside, realm=request.realm, at=request.at, progress=progress)
        except IdmapError as error:
            notes.append(f"what was here could not be kept aside: {error.detail}")
            return None
        finally:
            self._engine.dispose()
        return aside


def _take_over(
    target: Connection, about: BackupAbout, at: int, notes: list[str]
) -> Replaced | None:
    """Empty tables of this version's schema; what was in them is read first. Others cannot read them any more."""
    _require_alone(target)
    if current_schema(target) is None:
        notes.append("there was no registry")
        upgrade_connection(target)
        return None
    upgrade_connection(target)
    tables = ", ".join(METADATA.tables)
    target.exec_driver_sql(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
    realm = target.execute(REALM.select()).first()
    replaced = None if realm is None else read_replaced(target, about.head.sequence, at)
    for table in METADATA.tables:
        target.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    target.exec_driver_sql(f"TRUNCATE {tables}")
    for table in METADATA.tables:
        target.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    return replaced


def _require_alone(connection: Connection) -> None:
    """Raises Conflict(DATABASE_IN_USE) when another idmap is connected, on whatever host."""
    others = connection.scalar(_OTHERS)
    if others:
        raise Conflict(Reason.DATABASE_IN_USE, f"{others} connections of idmap are open")


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Says of a refused file operation where it was."""
    try:
        yield
    except OSError as error:
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"{path}: {error}") from error

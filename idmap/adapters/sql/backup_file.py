"""A backup as a file: one SQLite database with the tables of the registry, and a table that says what it is.

Read as a stranger's file: it must be whole, of a schema that this version knows, with a record of changes that
holds, before anything is taken from it. A registry's own database file, copied while nobody wrote to it,
serves as a backup too; it only does not say when it was made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, select, text
from sqlalchemy.pool import StaticPool

from idmap.adapters.sql.changes import head_of, verify_changes
from idmap.adapters.sql.check_ledger import broken_invariants
from idmap.adapters.sql.database import translated
from idmap.adapters.sql.high_water import Head
from idmap.adapters.sql.schema import SCHEMA, check_schema, current_schema, upgrade_connection
from idmap.adapters.sql.tables import REALM
from idmap.domain.errors import InvalidInput, Unavailable
from idmap.domain.reasons import Reason

FORMAT: Final = "1"
_MAGIC: Final = b"SQLite format 3\0"
_ABOUT: Final = "CREATE TABLE backup_info (key TEXT PRIMARY KEY, value TEXT NOT NULL)"


@dataclass(frozen=True, slots=True)
class BackupAbout:
    """What a backup says of itself."""

    made_at: int | None
    """None for a copied database file."""
    realm: str | None
    head: Head
    salt: bytes


def file_engine(path: Path, *, read_only: bool = False) -> Engine:
    """An engine on a single file that nobody else has open; without a WAL, so that one file is all there is."""

    def connect() -> Any:
        mode = "ro" if read_only else "rwc"
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}", uri=True, isolation_level=None
        )
        for pragma in ("foreign_keys = ON", "recursive_triggers = ON", "temp_store = MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        if not read_only:
            # Synced once, when it is complete.
            connection.execute("PRAGMA journal_mode = MEMORY")
            connection.execute("PRAGMA synchronous = OFF")
        return connection

    engine = create_engine("sqlite://", creator=connect, poolclass=StaticPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine


@contextmanager
def using(path: Path, *, read_only: bool = False) -> Iterator[Connection]:
    """A transaction on such a file, committed at the end of the block. Raises Unavailable(SERVICE_UNAVAILABLE)."""
    engine = file_engine(path, read_only=read_only)
    try:
        with translated(), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def write_about(connection: Connection, made_at: int, realm: str, version: str) -> None:
    """Makes the file a backup."""
    connection.execute(text(_ABOUT))
    values = {"format": FORMAT, "made_at": str(made_at), "realm": realm, "idmap": version}
    connection.execute(
        text("INSERT INTO backup_info (key, value) VALUES (:key, :value)"),
        [{"key": key, "value": value} for key, value in values.items()],
    )


@contextmanager
def opened(path: Path, scratch: Path) -> Iterator[tuple[Connection, BackupAbout]]:
    """A verified backup, at the schema of this version. `scratch` is a file name for a copy that may be upgraded;
    nothing of it is left afterwards, and the backup itself is not touched.

    Raises InvalidInput(BACKUP_INVALID), IdmapError(SCHEMA_MISMATCH) for a newer one, Conflict(RECORD_BROKEN).
    """
    try:
        # A copy: an upgrade must not touch the backup, nor somebody exchange it while it is read.
        with _invalid_if_unreadable(path):
            _require_registry(path)
            _copy(path, scratch)
            with using(scratch) as connection:
                if current_schema(connection) != SCHEMA:
                    upgrade_connection(connection)
        with using(scratch, read_only=True) as connection:
            with _invalid_if_unreadable(path):
                about = verified(connection)
            yield connection, about
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def _invalid_if_unreadable(path: Path) -> Iterator[None]:
    """What the database's software cannot read is no backup."""
    try:
        yield
    except (Unavailable, sqlite3.Error, OSError) as error:
        detail = error.detail if isinstance(error, Unavailable) else str(error)
        raise InvalidInput(Reason.BACKUP_INVALID, f"{path}: {detail}") from error


def verified(connection: Connection) -> BackupAbout:
    """What a backup says of itself, once all of it was looked at. Raises as `opened` does."""
    check_schema(connection)
    said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(3)")]
    if said != ["ok"]:
        raise InvalidInput(Reason.BACKUP_INVALID, "; ".join(said))
    if connection.exec_driver_sql("PRAGMA foreign_key_check").first() is not None:
        raise InvalidInput(Reason.BACKUP_INVALID, "rows refer to rows that are not there")
    broken = next(broken_invariants(connection), None)
    if broken is not None:
        raise InvalidInput(Reason.BACKUP_INVALID, broken)
    verify_changes(connection)
    salt = connection.scalar(select(REALM.c.salt))
    if salt is None:
        raise InvalidInput(Reason.BACKUP_INVALID, "it belongs to no realm")
    about = _about(connection)
    made = about.get("made_at", "")
    return BackupAbout(
        int(made) if made.isdecimal() else None,
        about.get("realm"),
        head_of(connection),
        bytes(salt),
    )


def _about(connection: Connection) -> dict[str, str]:
    has = text("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'backup_info'")
    if connection.execute(has).first() is None:
        return {}
    rows = connection.execute(text("SELECT key, value FROM backup_info"))
    about = {str(row.key): str(row.value) for row in rows}
    if about.get("format") != FORMAT:
        raise InvalidInput(Reason.BACKUP_INVALID, "written by a newer idmap")
    return about


def _require_registry(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            raise InvalidInput(Reason.BACKUP_INVALID, f"{path}: not an SQLite database")
    with using(path, read_only=True) as connection:
        if current_schema(connection) is None:
            raise InvalidInput(Reason.BACKUP_INVALID, f"{path}: no registry's tables in it")


def _copy(path: Path, scratch: Path) -> None:
    """Through SQLite, so that a copied file's own WAL beside it counts; then only its bytes matter."""
    scratch.touch(mode=0o600)
    with (
        closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as original,
        closing(sqlite3.connect(scratch)) as copy,
    ):
        original.backup(copy)

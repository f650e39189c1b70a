"""`idmap db backup`: one consistent copy of the registry while the service runs, verified before it gets its name.

Always an SQLite file, whatever the database is, written by the same copier that a restore reads it with. Nobody waits
for it: it reads one state as any reader does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from idmap import __version__
from idmap.adapters.sql.backup_file import using, verified, write_about
from idmap.adapters.sql.copying import copy_rows, row_counts
from idmap.adapters.sql.engine import reading
from idmap.adapters.sql.high_water import sync_directory
from idmap.adapters.sql.reader import SqlReader
from idmap.adapters.sql.schema import check_schema, upgrade_connection
from idmap.application.ports import Progress
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class BackupMade:
    """What was written, after it was read back."""

    made_at: int
    size: int
    revision: int
    changes: int
    rows: Mapping[str, int]


def write_backup(
    engine: Engine, out: Path, *, realm: str, at: int, progress: Progress
) -> BackupMade:
    """Writes a backup to `out`, mode 0600, on the disk when this returns.

    Raises InvalidInput(REQUEST_INVALID) when `out` exists or cannot be written, InvalidInput(BACKUP_INVALID) or
    Conflict(RECORD_BROKEN) when what was read does not verify, Unavailable and SCHEMA_MISMATCH as the registry does.
    Nothing is left behind then.
    """
    if out.exists() or out.is_symlink():
        raise InvalidInput(Reason.REQUEST_INVALID, f"{out} exists already")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        try:
            part.unlink(missing_ok=True)
            os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise InvalidInput(Reason.REQUEST_INVALID, f"{out}: {error.strerror}") from error
        made = _write(engine, part, realm, at, progress)
        _sync(part)
        # A link, not a rename: it never replaces what somebody put there meanwhile.
        os.link(part, out)
    except FileExistsError as error:
        raise InvalidInput(Reason.REQUEST_INVALID, f"{out} exists already") from error
    finally:
        part.unlink(missing_ok=True)
    sync_directory(out.absolute().parent)
    return made


def _write(engine: Engine, part: Path, realm: str, at: int, progress: Progress) -> BackupMade:
    with reading(engine) as source:
        check_schema(source)
        revision = SqlReader(source).revision()
        with using(part) as target:
            upgrade_connection(target)
            counts = copy_rows(source, target, progress)
            write_about(target, at, realm, __version__)
    progress("verifying", 0, None)
    with using(part, read_only=True) as written:
        about = verified(written)
        if row_counts(written) != counts:
            raise InvalidInput(Reason.BACKUP_INVALID, "it has not as many rows as were read")
    return BackupMade(at, part.stat().st_size, revision, about.head.sequence, counts)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

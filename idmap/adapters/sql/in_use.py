"""Who has a database file open: everybody shares one lock beside it, a restore wants it alone.

The kernel drops the lock with its process, so that no crash leaves one behind. It is a file of its own,
`<database>.lock`: closing a descriptor of the database itself would drop SQLite's own locks in this process.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from idmap.adapters.sql.high_water import like_database
from idmap.domain.errors import Conflict, Unavailable
from idmap.domain.reasons import Reason


def share(database: Path) -> int:
    """Joins those who have the database open, until the descriptor is closed.

    Raises Conflict(DATABASE_IN_USE) while a restore is under way, Unavailable(SERVICE_UNAVAILABLE).
    """
    return _lock(database, fcntl.LOCK_SH, "a restore is under way")


@contextmanager
def alone(database: Path) -> Iterator[None]:
    """Nobody else has the database open, and nobody can open it, within the block.

    Raises Conflict(DATABASE_IN_USE) at once when somebody has it open, Unavailable as above.
    """
    descriptor = _lock(database, fcntl.LOCK_EX, "a service or a command of idmap has it open")
    try:
        yield
    finally:
        os.close(descriptor)


def _lock(database: Path, kind: int, otherwise: str) -> int:
    path = database.with_name(f"{database.name}.lock")
    try:
        descriptor = _open(path, database)
    except OSError as error:
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Conflict(Reason.DATABASE_IN_USE, f"{database}: {otherwise}") from None
    return descriptor


def _open(path: Path, database: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o660)
        like_database(descriptor, database)
        return descriptor

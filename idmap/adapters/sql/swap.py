"""A database file takes another's place in one step, and the old one is kept aside.

In WAL mode the newest commits may lie in a file of their own, which SQLite would apply to whatever lies beside it. So
the old database is first settled into its one file; one that is too damaged for that is moved aside with all its files,
and for a moment there is no database at all rather than half of one.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from idmap.adapters.sql.high_water import like_database, sync_directory
from idmap.application.ports import Progress
from idmap.domain.errors import Conflict
from idmap.domain.reasons import Reason

_BESIDE: Final = ("-wal", "-shm", "-journal")
_LOCKED: Final = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def require_alone(path: Path) -> None:
    """Raises Conflict(DATABASE_IN_USE) when a program that is not idmap has the database open; changes nothing."""
    _ask(path, "PRAGMA locking_mode = EXCLUSIVE", "BEGIN IMMEDIATE", "ROLLBACK")


def settle(path: Path) -> None:
    """Brings everything committed into the one file, as far as it is still a database.

    Raises Conflict(DATABASE_IN_USE) when a program that is not idmap has it open.
    """
    _ask(path, "PRAGMA journal_mode = DELETE")


def _ask(path: Path, *statements: str) -> None:
    """What is no database any more is nobody's."""
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(path, timeout=1, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement).fetchone()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED:
            raise Conflict(
                Reason.DATABASE_IN_USE, f"{path}: another program has it open"
            ) from error


def make_like(work: Path, path: Path) -> None:
    """Mode and owner of the database that it replaces; its bytes are on the disk afterwards."""
    descriptor = os.open(work, os.O_RDWR | os.O_CLOEXEC)
    try:
        like_database(descriptor, path)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(work: Path, path: Path, at: int, progress: Progress) -> str | None:
    """Replaces `path` by `work`; gives where the old one lies now."""
    aside = free_name(path, at) if path.exists() else None
    left = [end for end in _BESIDE if path.with_name(f"{path.name}{end}").exists()]
    if left:
        target = aside or free_name(path, at)
        if aside is not None:
            path.rename(aside)
        progress("moved aside", 0, None)
        for end in left:
            path.with_name(f"{path.name}{end}").rename(target.with_name(f"{target.name}{end}"))
            progress("moved aside", 0, None)
    elif aside is not None:
        os.link(path, aside)
        progress("kept aside", 0, None)
    work.replace(path)
    sync_directory(path.parent)
    progress("in place", 0, None)
    return None if aside is None else str(aside)


def free_name(path: Path, at: int) -> Path:
    """Where what is replaced is kept."""
    name = f"{path.name}.before-restore-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}"
    number, found = 1, path.with_name(name)
    while found.exists():
        number += 1
        found = path.with_name(f"{name}-{number}")
    return found

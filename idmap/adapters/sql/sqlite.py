"""How SQLite is opened so that several processes and threads share it and nothing acknowledged is
lost.

WAL lets readers go on while somebody writes; `synchronous=FULL` makes a commit durable before it
returns; foreign keys are checked; triggers fire for REPLACE too. Python's own transaction control
is switched off: a reader begins with BEGIN, a writer with BEGIN IMMEDIATE, so that no transaction
fails half-way for having read first. Whoever waits for the write lock asks often, so that a short pause of a long
run is enough to let a ban in (law 5); and what need not be kept is tried on a private copy, which
locks nothing.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from idmap.adapters.sql.database import BUSY_SECONDS, WRITES, refuse_impossible_values, translated
from idmap.adapters.sql.in_use import share
from idmap.domain.errors import InvalidInput, Unavailable
from idmap.domain.reasons import Reason

_ASK_MILLISECONDS: Final = 4
"""So often a waiting writer asks at least. SQLite's own handler comes to ask ten times a second only,
and would miss the pauses of somebody who writes a lot."""

POOL_SIZE: Final = 40
"""As many as the HTTP server has threads: a connection thrown away is five pragmas done again."""

_COPY_PRAGMAS: Final = (
    "PRAGMA synchronous = OFF",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA cache_size = -8192",
)
"""A copy is checked like the original, survives nothing, and keeps 8 MB of itself in memory."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA recursive_triggers = ON",
    "PRAGMA temp_store = MEMORY",
)


def sqlite_path(url: str) -> Path:
    """The file behind an SQLite URL.

    Raises InvalidInput(CONFIGURATION_INVALID) for one in memory, which no second process could share.
    """
    parsed = make_url(url)
    if parsed.database in {None, "", ":memory:"} or parsed.query:
        raise InvalidInput(Reason.CONFIGURATION_INVALID, "registry.url: a plain file is needed")
    return Path(str(parsed.database))


def make_sqlite_engine(url: str) -> Engine:
    """An engine whose transactions begin as the module's docstring says. Creates no file by
    itself.
    """
    sqlite_path(url)
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS}, pool_size=POOL_SIZE, max_overflow=-1
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    refuse_impossible_values(engine)
    return engine


class SqliteDatabase:
    """Implements `Database` on one file."""

    def __init__(self, url: str) -> None:
        self.path = sqlite_path(url)
        self.name = str(self.path)
        self.engine = make_sqlite_engine(url)
        self._watch: sqlite3.Connection | None = None
        self._watching = threading.Lock()
        self._let_go: Callable[[], object] | None = None

    def check_exists(self) -> None:
        if not self.path.is_file():
            raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"{self.path}: run 'idmap init' first")
        if self._let_go is None:
            self._let_go = weakref.finalize(self, os.close, share(self.path))

    @contextmanager
    def rehearsing(self) -> Iterator[Connection]:
        """The copy is a temporary database of SQLite's own: a file of mode 0600 in SQLITE_TMPDIR, TMPDIR or
        /var/tmp that has no name from the moment it is opened, so that no crash leaves it behind.
        """
        with translated():
            copy = _copied(self.path)
            engine = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
            refuse_impossible_values(engine)
            try:
                with engine.connect() as connection:
                    connection.exec_driver_sql("BEGIN")
                    yield connection
            finally:
                engine.dispose()
                copy.close()

    def change_token(self) -> int:
        """SQLite's `data_version` on a connection that never writes, so that our own commits show
        too.
        """
        with self._watching:
            try:
                if self._watch is None:
                    self._watch = sqlite3.connect(
                        self.path,
                        timeout=BUSY_SECONDS,
                        isolation_level=None,
                        check_same_thread=False,
                    )
                row = self._watch.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error as error:
                raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"the database: {error}") from error
        return int(row[0])

    def written(self) -> None:
        """Nothing to do: `data_version` shows it."""

    def close(self) -> None:
        with self._watching:
            if self._watch is not None:
                self._watch.close()
        self.engine.dispose()
        if self._let_go is not None:
            self._let_go()


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _on_begin(connection: Connection) -> None:
    if connection.get_execution_options().get(WRITES, False):
        _begin_immediate(connection)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_immediate(connection: Connection) -> None:
    """Waits its turn, asking every few milliseconds, BUSY_SECONDS at most."""
    cursor = connection.connection.cursor()
    deadline = time.monotonic() + BUSY_SECONDS
    cursor.execute(f"PRAGMA busy_timeout = {_ASK_MILLISECONDS}")
    try:
        while True:
            try:
                cursor.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() > deadline:
                    raise OperationalError("BEGIN IMMEDIATE", None, error) from error
            else:
                return
    finally:
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
        cursor.close()


def _copied(path: Path) -> sqlite3.Connection:
    """All pages in one step: one consistent state, read as any reader reads."""
    copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    try:
        for pragma in _COPY_PRAGMAS:
            copy.execute(pragma)
        with closing(sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)) as original:
            original.backup(copy)
    except sqlite3.Error as error:
        copy.close()
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"a copy of the database: {error}") from error
    except BaseException:
        copy.close()
        raise
    return copy

"""How SQLite is opened so that several processes and threads share it and nothing acknowledged is
lost.

WAL lets readers go on while somebody writes; `synchronous=FULL` makes a commit durable before it
returns; foreign keys are checked; triggers fire for REPLACE too. Python's own transaction control
is switched off: a reader begins with BEGIN, a writer with BEGIN IMMEDIATE, so that no transaction
fails half-way for having read first. Whoever waits for the write lock asks often, so that a short pause of a long
run is enough to let a ban in (law 5); and what need not be kept is tried on a private copy, which
locks nothing. A dialect branch for PostgreSQL belongs here and in
migration r0001, nowhere else.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from idmap.domain.errors import Conflict, InvalidInput, Unavailable
from idmap.domain.reasons import Reason

BUSY_SECONDS: Final = 30
"""How long a writer waits for another; every transaction is far shorter."""

_ASK_MILLISECONDS: Final = 4
"""So often a waiting writer asks at least. SQLite's own handler comes to ask ten times a second only,
and would miss the pauses of somebody who writes a lot."""

POOL_SIZE: Final = 40
"""As many as the HTTP server has threads: a connection thrown away is five pragmas done again."""

_IMMEDIATE: Final = "idmap_immediate"

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


def database_path(url: str) -> Path:
    """The file behind an SQLite URL.

    Raises InvalidInput(CONFIGURATION_INVALID) for another database, and for one in memory, which
    no second process could share.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidInput(Reason.CONFIGURATION_INVALID, "registry.url is not a URL") from error
    if parsed.get_backend_name() != "sqlite":
        raise InvalidInput(
            Reason.CONFIGURATION_INVALID,
            f"registry.url: {parsed.get_backend_name()} is not supported yet",
        )
    if parsed.database in {None, "", ":memory:"} or parsed.query:
        raise InvalidInput(Reason.CONFIGURATION_INVALID, "registry.url: a plain file is needed")
    return Path(str(parsed.database))


def make_engine(url: str) -> Engine:
    """An engine whose transactions begin as the module's docstring says. Creates no file by
    itself.
    """
    database_path(url)
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS}, pool_size=POOL_SIZE, max_overflow=-1
    )
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "begin", _on_begin)
    return engine


def _on_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _on_begin(connection: Connection) -> None:
    if connection.get_execution_options().get(_IMMEDIATE, False):
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


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent state; never commits. Raises Unavailable(SERVICE_UNAVAILABLE)."""
    with translated(), engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """An exclusive transaction that commits at the end of the block.

    Raises Unavailable(SERVICE_UNAVAILABLE), and Conflict(VERSION_CONFLICT) when the database
    itself refuses.
    """
    with (
        translated(),
        engine.connect().execution_options(**{_IMMEDIATE: True}) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def rehearsing(path: Path) -> Iterator[Connection]:
    """A transaction on a private copy of the newest committed state; never kept, and locks nothing.

    The copy is a temporary database of SQLite's own: a file of mode 0600 in SQLITE_TMPDIR, TMPDIR or
    /var/tmp that has no name from the moment it is opened, so that no crash leaves it behind.
    Raises Unavailable(SERVICE_UNAVAILABLE), also when there is no room for the copy.
    """
    with translated():
        copy = _copied(path)
        engine = create_engine("sqlite://", creator=lambda: copy, poolclass=StaticPool)
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                yield connection
        finally:
            engine.dispose()
            copy.close()


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


@contextmanager
def translated() -> Iterator[None]:
    """Turns the database's exceptions into ours, without parameters, which may name people."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict(Reason.VERSION_CONFLICT, f"the database refuses: {error.orig}") from error
    except DBAPIError as error:
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"the database: {error.orig}") from error

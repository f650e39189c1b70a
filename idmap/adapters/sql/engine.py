"""How SQLite is opened so that several processes and threads share it and nothing acknowledged is
lost.

WAL lets readers go on while somebody writes; `synchronous=FULL` makes a commit durable before it
returns; foreign keys are checked; triggers fire for REPLACE too. Python's own transaction control
is switched off: a reader begins with BEGIN, a writer with BEGIN IMMEDIATE, so that no transaction
fails half-way for having read first. A dialect branch for PostgreSQL belongs here and in
migration r0001, nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from idmap.domain.errors import Conflict, InvalidInput, Unavailable
from idmap.domain.reasons import Reason

BUSY_SECONDS: Final = 30
"""How long a writer waits for another. A nightly run writes 100 000 accounts in less."""

POOL_SIZE: Final = 40
"""As many as the HTTP server has threads: a connection thrown away is five pragmas done again."""

_IMMEDIATE: Final = "idmap_immediate"

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
    immediate = connection.get_execution_options().get(_IMMEDIATE, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


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
def translated() -> Iterator[None]:
    """Turns the database's exceptions into ours, without parameters, which may name people."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict(Reason.VERSION_CONFLICT, f"the database refuses: {error.orig}") from error
    except DBAPIError as error:
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"the database: {error.orig}") from error

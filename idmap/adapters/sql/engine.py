"""The way into a database, whichever it is: by its URL to an engine, and from there to transactions.

SQLite's ways are in sqlite.py, PostgreSQL's in postgresql.py; nothing else in this package, save the triggers in
the migrations, knows which of them it works on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from idmap.adapters.sql.database import WRITES, Database, translated
from idmap.adapters.sql.sqlite import SqliteDatabase, make_sqlite_engine, sqlite_path
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason


def make_engine(url: str) -> Engine:
    """An engine whose transactions begin as its database needs it. Connects to nothing, creates no file.

    Raises InvalidInput(CONFIGURATION_INVALID).
    """
    if _is_postgresql(url):
        # Imported here, as it needs the driver that sites on SQLite never load.
        from idmap.adapters.sql.postgresql import make_postgresql_engine

        return make_postgresql_engine(url)
    return make_sqlite_engine(url)


def open_database(url: str, outside: Path | None) -> Database:
    """The database of a URL; `outside` is the directory for what is kept outside it, which SQLite keeps beside it.

    Raises InvalidInput(CONFIGURATION_INVALID).
    """
    if _is_postgresql(url):
        from idmap.adapters.sql.postgresql import PostgresqlDatabase

        return PostgresqlDatabase(url, outside)
    return SqliteDatabase(url)


def database_path(url: str, outside: Path | None = None) -> Path:
    """What is kept outside the database has names that begin with this path: the file itself on SQLite.

    Raises InvalidInput(CONFIGURATION_INVALID).
    """
    if _is_postgresql(url):
        from idmap.adapters.sql.postgresql import outside_path

        return outside_path(outside)
    return sqlite_path(url)


def _is_postgresql(url: str) -> bool:
    try:
        name = make_url(url).get_backend_name()
    except ArgumentError:
        # Without the text: it may hold a password.
        raise InvalidInput(Reason.CONFIGURATION_INVALID, "registry.url is not a URL") from None
    if name not in {"sqlite", "postgresql"}:
        raise InvalidInput(
            Reason.CONFIGURATION_INVALID, "registry.url: sqlite or postgresql is needed"
        )
    return name == "postgresql"


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
        engine.connect().execution_options(**{WRITES: True}) as connection,
        connection.begin(),
    ):
        yield connection

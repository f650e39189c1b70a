"""How PostgreSQL is opened so that several replicas of the service share it and nothing acknowledged is lost.

A reader's transaction is REPEATABLE READ and READ ONLY: one consistent state. A writer's takes one advisory lock
before it reads anything, so that writers go one after the other, in the order in which they came: keys are numbered
by us, and the record of changes is a chain. Its isolation is READ COMMITTED, because a snapshot taken before the lock
was granted would be stale. Waiting has an end (`lock_timeout`); a writer that says nothing for as long loses its
transaction, and a client whose host is gone is noticed within seconds, so that nobody keeps a ban waiting (law 5).
A commit is on the disk before it returns, whatever the server's default is, and is announced by NOTIFY.

Between idmap and the server no pooler may hand connections from one transaction to the next: LISTEN would be lost.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

import psycopg
from psycopg import IsolationLevel
from sqlalchemy import Connection, Dialect, Engine, Integer, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from idmap.adapters.sql.database import BUSY_SECONDS, WRITES, refuse_impossible_values, translated
from idmap.adapters.sql.postgresql_changes import CHANNEL, ChangeWatch
from idmap.adapters.sql.postgresql_copies import copying
from idmap.adapters.sql.postgresql_url import check_url
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

OLDEST_SERVER: Final = 130_000
"""PostgreSQL 13, as `server_version_num` says it: the oldest with `pg_current_xact_id_if_assigned`."""

WRITERS_TURN: Final = 0x69_646D_6170
"""The key of the advisory lock: `idmap` in ASCII. Such locks are per database."""

POOL_SIZE: Final = 10
"""Connections kept; more are opened while more threads ask at once, so that none waits for another."""

_CONNECT_ARGUMENTS: Final = {
    "application_name": "idmap",
    "connect_timeout": 5,
    "client_encoding": "utf8",
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""Seconds, the last in milliseconds. A server that is gone is given up within ten seconds."""

_SESSION: Final = {
    "lock_timeout": f"{BUSY_SECONDS}s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    # The server's side of the connection: by default it would wait hours for a host that is gone.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
}

_BEGIN_SESSION: Final = (
    "SELECT current_setting('server_encoding'), current_setting('fsync'),"
    " current_setting('server_version_num')::int,"
    " has_database_privilege(current_database(), 'TEMPORARY'),"
    " set_config('synchronous_commit', CASE current_setting('synchronous_commit')"
    " WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END, false)"
    + "".join(f", set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
)
"""`off` would acknowledge what a crash of the server then forgets."""

_TAKE_TURN: Final = (
    f"SELECT set_config('idle_in_transaction_session_timeout', '{BUSY_SECONDS}s', true),"
    f" pg_advisory_xact_lock({WRITERS_TURN})"
)


def make_postgresql_engine(url: str, itself: str = "") -> Engine:
    """An engine whose transactions begin as the module's docstring says, and whose commits are announced by `itself`.
    Connects to nothing by itself.

    Raises InvalidInput(CONFIGURATION_INVALID) for a URL that `check_url` refuses.
    """
    engine = _plain_engine(check_url(url), pool_size=POOL_SIZE, max_overflow=-1, pool_pre_ping=True)
    event.listen(engine, "begin", _on_begin)

    @event.listens_for(engine, "commit")
    def announce(connection: Connection) -> None:
        """Only when the transaction wrote anything; delivered when it commits."""
        connection.exec_driver_sql(
            f"SELECT pg_notify('{CHANNEL}', '{itself}')"
            " WHERE pg_current_xact_id_if_assigned() IS NOT NULL"
        )

    return engine


def outside_path(outside: Path | None) -> Path:
    """What is kept outside the database has names that begin with this path.

    Raises InvalidInput(CONFIGURATION_INVALID) without a directory.
    """
    if outside is None:
        raise InvalidInput(
            Reason.CONFIGURATION_INVALID, "registry.marks_directory is needed on PostgreSQL"
        )
    return outside / "registry"


class PostgresqlDatabase:
    """Implements `Database` on one database of a server."""

    def __init__(self, url: str, outside: Path | None) -> None:
        self.path = outside_path(outside)
        self._url = check_url(url)
        self.name = str(self._url)
        itself = secrets.token_hex(8)
        self.engine = make_postgresql_engine(url, itself)
        self._watch = ChangeWatch(self._connect, itself)

    def check_exists(self) -> None:
        """Nothing to do: connecting tells."""

    @contextmanager
    def rehearsing(self) -> Iterator[Connection]:
        """The copy is made of temporary tables, on a connection that ends with it; see postgresql_copies.py."""
        # A statement prepared before a table is copied would go on reading the original.
        engine = _plain_engine(self._url, poolclass=NullPool, prepare_threshold=None)
        event.listen(engine, "begin", _on_begin_of_rehearsal)
        with (
            translated(),
            engine.connect() as connection,
            connection.begin() as transaction,
            copying(connection),
        ):
            yield connection
            transaction.rollback()

    def change_token(self) -> int:
        """Counts the announcements of others and our own commits."""
        return self._watch.token()

    def written(self) -> None:
        self._watch.count()

    def close(self) -> None:
        self._watch.close()
        self.engine.dispose()

    def _connect(self) -> psycopg.Connection[Any]:
        _, arguments = self.engine.dialect.create_connect_args(self._url)
        return psycopg.connect(**{**arguments, **_CONNECT_ARGUMENTS}, autocommit=True)


class _AnyInteger(Integer):
    """How the driver is told of an integer: as large as it is, so that one that fits no column is found nowhere, as on
    SQLite, instead of being refused. SQLAlchemy's own would cast it to the column's type first.
    """

    render_bind_cast = False

    def bind_processor(self, _dialect: Dialect) -> Callable[[int | None], int | None]:
        def checked(value: int | None) -> int | None:
            if value is not None and not -(2**63) <= value < 2**63:
                raise OverflowError("beyond 64 bits")
            return value

        return checked


def _plain_engine(url: URL, *, prepare_threshold: int | None = 5, **pool: Any) -> Engine:
    arguments = _CONNECT_ARGUMENTS | {"prepare_threshold": prepare_threshold}
    engine = create_engine(url, connect_args=arguments, **pool)
    engine.dialect.colspecs = {**engine.dialect.colspecs, Integer: _AnyInteger}
    event.listen(engine, "connect", _on_connect)
    refuse_impossible_values(engine)
    return engine


def _on_connect(raw: psycopg.Connection[Any], _record: Any) -> None:
    raw.autocommit = True
    row = raw.execute(_BEGIN_SESSION).fetchone()
    raw.autocommit = False
    encoding, fsync, version, temporary = row[:4] if row else ("", "", 0, False)
    for holds, wrong in (
        (version >= OLDEST_SERVER, "the server is older than PostgreSQL 13"),
        (encoding == "UTF8", f"the database's encoding is {encoding}, not UTF8"),
        (temporary, "the role may make no temporary tables; GRANT TEMPORARY ON DATABASE to it"),
        (fsync == "on", "the server runs with fsync = off, and a crash would forget numbers given"),
    ):
        if not holds:
            raise InvalidInput(Reason.CONFIGURATION_INVALID, f"registry.url: {wrong}")


def _on_begin(connection: Connection) -> None:
    raw = _raw(connection)
    if connection.get_execution_options().get(WRITES, False):
        raw.isolation_level, raw.read_only = IsolationLevel.READ_COMMITTED, False
        connection.exec_driver_sql(_TAKE_TURN)
    else:
        raw.isolation_level, raw.read_only = IsolationLevel.REPEATABLE_READ, True


def _on_begin_of_rehearsal(connection: Connection) -> None:
    _raw(connection).isolation_level = IsolationLevel.REPEATABLE_READ


def _raw(connection: Connection) -> psycopg.Connection[Any]:
    raw: Any = connection.connection.dbapi_connection
    return cast("psycopg.Connection[Any]", raw)

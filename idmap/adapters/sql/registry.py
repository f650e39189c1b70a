"""`Registry` on SQLite or PostgreSQL: opening, transactions, leases, and noticing what others committed.

One object serves all threads of a process; several processes may hold one each on the same database, on PostgreSQL on
several hosts. A write transaction commits in three steps: rows, then journal and marks outside the database, then the
commit itself. Not here: what differs between the two databases (database.py says what is asked of them), backup and
restore, which stand on the same marks.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, delete, insert, select, update

from idmap.adapters.sql.changes import holds
from idmap.adapters.sql.database import BUSY_SECONDS, Database
from idmap.adapters.sql.engine import open_database, reading, writing
from idmap.adapters.sql.high_water import HighWaterFile, Marks
from idmap.adapters.sql.journal import IssuedJournal
from idmap.adapters.sql.policy_writer import SqlWriter
from idmap.adapters.sql.reader import SqlReader
from idmap.adapters.sql.schema import check_schema, upgrade_connection
from idmap.adapters.sql.tables import LEASES, REALM
from idmap.adapters.sql.withheld import unread_lines
from idmap.application.ports import Author, Clock, RegistryReader, RegistryWriter
from idmap.domain.errors import InvalidInput, Unavailable
from idmap.domain.reasons import Reason

SALT_BYTES: Final = 32
"""As long as the digest it salts."""

_ITSELF: Final = Author("registry", "the database was behind its high-water marks")


def _system_clock() -> int:
    return int(time.time())


class SqlRegistry:
    """Implements `Registry`. Made by `open` or `create`."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._engine = database.engine
        self._clock = clock
        self._high_water = HighWaterFile(database.path)
        self._journal = IssuedJournal(database.path)
        self._writer = threading.Lock()
        self._writing_thread: int | None = None

    @classmethod
    def create(
        cls, url: str, clock: Clock = _system_clock, marks_directory: Path | None = None
    ) -> Self:
        """A new registry: the first schema and the realm's salt, in one transaction.

        Raises InvalidInput(CONFIGURATION_INVALID) when there is one already. The caller's umask
        decides who may open it. `marks_directory` as in `open`.
        """
        database = open_database(url, marks_directory)
        try:
            with writing(database.engine) as connection:
                upgrade_connection(connection)
                if connection.execute(select(REALM.c.realm_id)).first() is not None:
                    raise InvalidInput(
                        Reason.CONFIGURATION_INVALID, f"{database.name} is a registry already"
                    )
                salt = secrets.token_bytes(SALT_BYTES)
                connection.execute(insert(REALM).values(realm_id=1, salt=salt, created=clock()))
        finally:
            database.close()
        return cls.open(url, clock, marks_directory)

    @classmethod
    def open(
        cls, url: str, clock: Clock = _system_clock, marks_directory: Path | None = None
    ) -> Self:
        """An existing registry, raised above its high-water marks where it is behind them.

        `marks_directory` is where this host keeps the marks when the database is PostgreSQL; SQLite's lie beside it.
        Raises Unavailable(SERVICE_UNAVAILABLE) when there is no database or it cannot be read,
        IdmapError(SCHEMA_MISMATCH), Conflict(DATABASE_IN_USE) while it is being restored, and
        InvalidInput(CONFIGURATION_INVALID) for a URL or a high-water file that cannot be understood.
        """
        database = open_database(url, marks_directory)
        try:
            database.check_exists()
            with reading(database.engine) as connection:
                check_schema(connection)
            registry = cls(database, clock)
            registry._raise_above_marks()
        except BaseException:
            database.close()
            raise
        return registry

    @contextmanager
    def read(self) -> Iterator[RegistryReader]:
        with reading(self._engine) as connection:
            yield SqlReader(connection, self._high_water)

    @contextmanager
    def write(self, author: Author) -> Iterator[RegistryWriter]:
        with self._exclusive() as connection:
            marks = self._high_water.read()
            writer = self._writer_on(connection, author, marks)
            writer.note_lost_record()
            yield writer
            self._finish(writer, marks)

    @contextmanager
    def rehearse(self, author: Author) -> Iterator[RegistryWriter]:
        with self._database.rehearsing() as connection:
            yield self._writer_on(connection, author, self._high_water.read())

    def take_lease(self, name: str, holder: str, *, at: int, seconds: int) -> bool:
        with self._exclusive() as connection:
            row = connection.execute(select(LEASES).where(LEASES.c.name == name)).first()
            if row is not None and row.holder != holder and row.expires > at:
                return False
            values = {"holder": holder, "expires": at + seconds}
            if row is None:
                connection.execute(insert(LEASES).values(name=name, **values))
            else:
                connection.execute(update(LEASES).where(LEASES.c.name == name).values(**values))
            return True

    def release_lease(self, name: str, holder: str) -> None:
        with self._exclusive() as connection:
            connection.execute(
                delete(LEASES).where(LEASES.c.name == name, LEASES.c.holder == holder)
            )

    def change_token(self) -> int:
        return self._database.change_token()

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _exclusive(self) -> Iterator[Connection]:
        """One writer per process at a time, then one among the processes.

        Waiting on a lock of our own is fairer than SQLite's busy loop, takes no connection of PostgreSQL, and a
        transaction begun inside another of the same thread is a mistake to show, not to wait for.
        """
        if self._writing_thread == threading.get_ident():
            raise RuntimeError("a write transaction is open in this thread already")
        if not self._writer.acquire(timeout=BUSY_SECONDS):
            raise Unavailable(Reason.SERVICE_UNAVAILABLE, "another thread keeps writing")
        try:
            self._writing_thread = threading.get_ident()
            with writing(self._engine) as connection:
                yield connection
        finally:
            self._database.written()
            self._writing_thread = None
            self._writer.release()

    def _writer_on(self, connection: Connection, author: Author, marks: Marks) -> SqlWriter:
        return SqlWriter(connection, author, self._clock(), marks, self._journal)

    def _finish(self, writer: SqlWriter, before: Marks) -> None:
        """Rows, then journal and marks; the commit comes after."""
        writer.flush()
        try:
            after = writer.finish()
            if after != before:
                self._high_water.write(after)
        except OSError as error:
            raise Unavailable(
                Reason.SERVICE_UNAVAILABLE, f"{self._database.path}: {error}"
            ) from error

    def _raise_above_marks(self) -> None:
        """Looks without the lock first: opening is frequent, restoring is not."""
        marks = self._high_water.read()
        with reading(self._engine) as connection:
            reader = SqlReader(connection)
            behind = (
                reader.revision() < marks.revision
                or reader.ban_counter() < marks.ban_counter
                or any(marks.ranges_behind(reader.ranges()))
                or unread_lines(connection, self._journal)
                or not holds(connection, marks.record)
            )
        if behind:
            with self._exclusive() as connection:
                marks = self._high_water.read()
                writer = self._writer_on(connection, _ITSELF, marks)
                writer.note_lost_record()
                writer.raise_above_marks()
                self._finish(writer, marks)

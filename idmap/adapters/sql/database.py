"""What the registry asks of a database, and what both databases share: patience and the words for a failure.

How a transaction begins differs by database and is told in sqlite.py and postgresql.py; that it is one consistent
state for a reader, and exclusive for a writer, does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from idmap.domain.errors import Conflict, InvalidInput, Unavailable
from idmap.domain.reasons import Reason

BUSY_SECONDS: Final = 30
"""How long a writer waits for another; every transaction is far shorter."""

WRITES: Final = "idmap_writes"
"""The execution option of a connection whose next transaction is a writer's."""


class Database(Protocol):
    """One database, for all threads of a process."""

    @property
    def engine(self) -> Engine: ...
    @property
    def path(self) -> Path:
        """What is kept outside the database has names that begin with this one. On SQLite, the database itself."""
        ...

    @property
    def name(self) -> str:
        """For messages; no secret."""
        ...

    def check_exists(self) -> None:
        """Raises Unavailable(SERVICE_UNAVAILABLE) when there is none to open, Conflict(DATABASE_IN_USE) while it is
        being restored; nobody restores it from then on until `close`.
        """
        ...

    def rehearsing(self) -> AbstractContextManager[Connection]:
        """A transaction on a private copy of the newest committed state; never kept, and locks nothing shared.

        Raises Unavailable(SERVICE_UNAVAILABLE), also when there is no room for the copy.
        """
        ...

    def change_token(self) -> int:
        """Differs after any process committed anything. Raises Unavailable(SERVICE_UNAVAILABLE)."""
        ...

    def written(self) -> None:
        """Told after each write transaction of this process, however it ended."""
        ...

    def close(self) -> None: ...


@contextmanager
def translated() -> Iterator[None]:
    """Turns the database's exceptions into ours, without parameters, which may name people."""
    try:
        yield
    except IntegrityError as error:
        raise Conflict(Reason.VERSION_CONFLICT, f"the database refuses: {_said(error)}") from error
    except DBAPIError as error:
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"the database: {_said(error)}") from error
    except NoConnectionFree as error:
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, "the database: no connection free") from error


def refuse_impossible_values(engine: Engine) -> None:
    """From now on what no database can hold, a number beyond 64 bits or text that is no text, is the asker's mistake:
    InvalidInput(REQUEST_INVALID), without the value.
    """
    event.listen(engine, "handle_error", _refuse_impossible_value)


def _refuse_impossible_value(context: ExceptionContext) -> None:
    original = context.original_exception
    if isinstance(original, OverflowError | UnicodeEncodeError) or isinstance(
        context.sqlalchemy_exception, DataError
    ):
        raise InvalidInput(
            Reason.REQUEST_INVALID, f"a value cannot be stored: {type(original).__name__}"
        ) from original


def _said(error: DBAPIError) -> str:
    """The database's own words, without the values that PostgreSQL puts into its details."""
    original: Any = error.orig
    diagnostics = getattr(original, "diag", None)
    if diagnostics is None or diagnostics.sqlstate is None:
        return str(original)
    return f"{diagnostics.message_primary} ({diagnostics.sqlstate})"

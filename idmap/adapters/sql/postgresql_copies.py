"""A private copy of the registry's tables for a rehearsal, made of temporary tables.

Within the transaction a temporary table stands before the shared one of its name, so everything that reads or writes
the registry works on the copy without knowing. A table is copied when it is first written to; until then its rows are
read where they are, in the state in which the transaction began. The record of changes, which only grows, is not
copied at all: a view shows it with what the rehearsal adds. Shared tables are never written, so nobody waits for a
row, for a place in a unique index, or for the writers' lock (law 5). The transaction is rolled back, and nothing of
the copy is left.

Constraints of a table hold on its copy too; references between tables and the triggers are not checked there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Connection, event
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import SelectBase

from idmap.adapters.sql.tables import CHANGE_BODIES, CHANGES

_ONLY_GROW: Final = (CHANGES.name, CHANGE_BODIES.name)

_SCHEMA: Final = (
    "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = 'changes'::regclass"
)
"""Where the shared tables are, quoted where it needs to be."""


@contextmanager
def copying(connection: Connection) -> Iterator[None]:
    """Until the end of the block, `connection` writes to copies. Its transaction has just begun, at REPEATABLE READ."""
    schema = connection.exec_driver_sql(_SCHEMA).scalar_one()
    for table in _ONLY_GROW:
        _add_apart(connection, schema, table)
    copied = set(_ONLY_GROW)

    def copy_first(_: Connection, statement: Any, *_more: Any) -> None:
        if isinstance(statement, UpdateBase):
            name = str(statement.table)
            if name not in copied:
                _copy(connection, schema, name)
                copied.add(name)
        elif not isinstance(statement, SelectBase):
            # It might write to a shared table and keep others waiting.
            raise NotImplementedError(f"{type(statement).__name__} in a rehearsal")

    event.listen(connection, "before_execute", copy_first)
    try:
        yield
    finally:
        event.remove(connection, "before_execute", copy_first)


def _copy(connection: Connection, schema: str, table: str) -> None:
    run = connection.exec_driver_sql
    run(f"CREATE TEMPORARY TABLE {table} (LIKE {schema}.{table} INCLUDING ALL)")
    run(f"INSERT INTO pg_temp.{table} TABLE {schema}.{table}")
    run(f"ANALYZE pg_temp.{table}")


def _add_apart(connection: Connection, schema: str, table: str) -> None:
    run, added = connection.exec_driver_sql, f"pg_temp.{table}_added"
    run(f"CREATE TEMPORARY TABLE {table}_added (LIKE {schema}.{table} INCLUDING ALL)")
    run(f"CREATE TEMPORARY VIEW {table} AS TABLE {schema}.{table} UNION ALL TABLE {added}")
    rule = f"CREATE RULE add_apart AS ON INSERT TO pg_temp.{table} DO INSTEAD"
    run(f"{rule} INSERT INTO {added} VALUES (NEW.*)")  # noqa: S608  (our own tables' names)

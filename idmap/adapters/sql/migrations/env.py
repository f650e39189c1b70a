"""Alembic's entry: runs migrations on the connection, and in the transaction, that schema.py
hands over.

On PostgreSQL every text column is made with the collation "C", whatever the database's own is: text is then ordered
by its bytes, as on SQLite, and no update of the system's locale can put an index that says what is taken out of order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from alembic import context
from sqlalchemy import Column, Connection, Text, event

from idmap.adapters.sql.tables import METADATA


@contextmanager
def _text_in_order_of_bytes(connection: Connection) -> Iterator[None]:
    if connection.dialect.name != "postgresql":
        yield
        return
    event.listen(Column, "after_parent_attach", _collate)
    try:
        yield
    finally:
        event.remove(Column, "after_parent_attach", _collate)


def _collate(column: Column[object], _parent: object) -> None:
    if isinstance(column.type, Text) and column.type.collation is None:
        column.type.collation = "C"


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
    with _text_in_order_of_bytes(connection):
        context.run_migrations()


_run(context.config.attributes["connection"])

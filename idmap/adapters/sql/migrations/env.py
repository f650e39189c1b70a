"""Alembic's entry: runs migrations on the connection, and in the transaction, that schema.py
hands over.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from idmap.adapters.sql.tables import METADATA


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
    context.run_migrations()


_run(context.config.attributes["connection"])

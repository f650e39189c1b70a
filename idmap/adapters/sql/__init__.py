"""The registry in a relational database: SQLite now, PostgreSQL by the same tables later."""

from idmap.adapters.sql.registry import SqlRegistry
from idmap.adapters.sql.schema import SCHEMA, upgrade

__all__ = ["SCHEMA", "SqlRegistry", "upgrade"]

"""The registry in a relational database, SQLite or PostgreSQL: the same tables, the same answers."""

from idmap.adapters.sql.registry import SqlRegistry
from idmap.adapters.sql.schema import SCHEMA, upgrade

__all__ = ["SCHEMA", "SqlRegistry", "upgrade"]

"""Which schema a database has, which one this version of idmap needs, and the way from one to the
other.

A database is opened only when both are the same: an older one is upgraded by a person's command,
a newer one belongs to a newer idmap (reason SCHEMA_MISMATCH). Migrations are Alembic's, in
`migrations/`, reviewed by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from idmap.adapters.sql.engine import make_engine, writing
from idmap.domain.errors import IdmapError
from idmap.domain.reasons import Reason

SCHEMA: Final = "r0007"
"""The newest migration; a test compares it with the migrations themselves. Written here so that
opening a database does not load Alembic.
"""

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def current_schema(connection: Connection) -> str | None:
    """The schema of an open database; None for an empty one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def check_schema(connection: Connection) -> None:
    """Raises IdmapError(SCHEMA_MISMATCH) unless the database has exactly the schema of this
    version.
    """
    found = current_schema(connection)
    if found != SCHEMA:
        raise IdmapError(
            Reason.SCHEMA_MISMATCH,
            f"the database has {found or 'none'}, this version needs {SCHEMA}",
        )


def upgrade_connection(connection: Connection) -> None:
    """Runs the migrations that are missing, in the caller's transaction.

    Raises IdmapError(SCHEMA_MISMATCH) when the database has a schema that this version does not
    know.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    found = current_schema(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise IdmapError(
            Reason.SCHEMA_MISMATCH, f"the database has {found}, which is newer than {SCHEMA}"
        )
    command.upgrade(config, SCHEMA)


def upgrade(url: str) -> None:
    """Brings the database to the schema of this version, in one transaction. Raises as above."""
    engine = make_engine(url)
    try:
        with writing(engine) as connection:
            upgrade_connection(connection)
    finally:
        engine.dispose()

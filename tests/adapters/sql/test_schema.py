"""Migrations and tables agree, and only a database of the right schema is opened."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from idmap.adapters.sql import SCHEMA, SqlRegistry, upgrade
from idmap.adapters.sql.engine import make_engine, reading, writing
from idmap.adapters.sql.migrations.append_only_r0001 import trigger_statements
from idmap.adapters.sql.schema import MIGRATIONS, check_schema, current_schema
from idmap.adapters.sql.tables import METADATA
from idmap.domain.errors import Conflict, IdmapError
from idmap.domain.reasons import Reason


def url_of(directory: Path, name: str = "registry.db") -> str:
    return f"sqlite:///{directory}/{name}"


def tables_of(url: str) -> dict[str, str]:
    """Every table's and index's own SQL, blanks levelled."""
    engine = make_engine(url)
    with reading(engine) as connection:
        rows = connection.execute(
            text("SELECT name, sql FROM sqlite_master WHERE type != 'trigger' AND sql IS NOT NULL")
        )
        # A column added later stands behind the constraints, without the line break before it.
        found = {
            row.name: re.sub(r" (?=,)| ?\)$", "", re.sub(r"\s+", " ", row.sql)) for row in rows
        }
    engine.dispose()
    found.pop("alembic_version", None)
    return found


def test_an_upgrade_from_empty_leaves_no_drift(tmp_path: Path) -> None:
    upgrade(url_of(tmp_path))
    engine = make_engine(url_of(tmp_path))
    with reading(engine) as connection:
        check_schema(connection)
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_constraints_are_the_same_in_migrations_and_tables(tmp_path: Path) -> None:
    """Alembic does not compare CHECK constraints; the database's own text does."""
    upgrade(url_of(tmp_path))
    engine = make_engine(url_of(tmp_path, "declared.db"))
    with writing(engine) as connection:
        METADATA.create_all(connection)
    engine.dispose()
    migrated, declared = tables_of(url_of(tmp_path)), tables_of(url_of(tmp_path, "declared.db"))
    assert migrated.keys() == declared.keys()
    for name, sql in declared.items():
        assert sorted(migrated[name].split(", ")) == sorted(sql.split(", ")), name


def test_the_schema_named_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_heads() == [SCHEMA]


def test_an_upgrade_twice_changes_nothing(tmp_path: Path) -> None:
    upgrade(url_of(tmp_path))
    before = tables_of(url_of(tmp_path))
    upgrade(url_of(tmp_path))
    assert tables_of(url_of(tmp_path)) == before


@pytest.mark.parametrize("version", ["r0000", "r9999"])
def test_an_older_or_newer_schema_is_not_opened(tmp_path: Path, version: str) -> None:
    SqlRegistry.create(url_of(tmp_path)).close()
    engine = make_engine(url_of(tmp_path))
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})
    engine.dispose()
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.SCHEMA_MISMATCH) as caught:
        SqlRegistry.open(url_of(tmp_path))
    assert version in caught.value.detail
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.SCHEMA_MISMATCH):
        upgrade(url_of(tmp_path))


def test_an_empty_file_and_a_missing_one_are_not_opened(tmp_path: Path) -> None:
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.SERVICE_UNAVAILABLE):
        SqlRegistry.open(url_of(tmp_path))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "registry.db").touch()
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.SCHEMA_MISMATCH):
        SqlRegistry.open(url_of(tmp_path))


def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.SERVICE_UNAVAILABLE):
        SqlRegistry.open(url_of(tmp_path))


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "postgresql://h/d", "nonsense", "sqlite:///a?mode=ro"],
)
def test_a_url_that_cannot_be_shared_is_refused(url: str) -> None:
    for use in (SqlRegistry.open, SqlRegistry.create, upgrade):
        with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.CONFIGURATION_INVALID):
            use(url)


def test_a_registry_is_created_once(tmp_path: Path) -> None:
    registry = SqlRegistry.create(url_of(tmp_path))
    with registry.read() as reader:
        salt = reader.salt()
    registry.close()
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.CONFIGURATION_INVALID):
        SqlRegistry.create(url_of(tmp_path))
    registry = SqlRegistry.open(url_of(tmp_path))
    with registry.read() as reader:
        assert reader.salt() == salt
    registry.close()


def test_connections_are_durable_and_check_references(tmp_path: Path) -> None:
    SqlRegistry.create(url_of(tmp_path)).close()
    engine = make_engine(url_of(tmp_path))
    with reading(engine) as connection:
        assert current_schema(connection) == SCHEMA
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 30_000,
    }


def test_the_high_water_file_has_the_mode_of_the_database(tmp_path: Path) -> None:
    from tests.support.registry_scenes import furnish

    registry = SqlRegistry.create(url_of(tmp_path))
    (tmp_path / "registry.db").chmod(0o660)
    furnish(registry)
    registry.close()
    mode = (tmp_path / "registry.db.high-water.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o660


def test_tables_and_triggers_can_be_written_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    written = [
        str(CreateTable(table).compile(dialect=dialect)) for table in METADATA.tables.values()
    ]
    assert not any("SERIAL" in sql for sql in written), "keys are numbered by the registry"
    assert any("BYTEA" in sql for sql in written)
    triggers = list(trigger_statements("postgresql"))
    assert any("BEFORE TRUNCATE ON changes" in sql for sql in triggers)
    with pytest.raises(NotImplementedError):
        list(trigger_statements("mysql"))


def test_people_recorded_before_robots_existed_stay_people(tmp_path: Path) -> None:
    """The first schema, a person in it, and the upgrade."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = make_engine(url_of(tmp_path))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "r0001")
        connection.execute(
            text(
                "INSERT INTO identities (identity_id, issuer, subject, active, first_seen)"
                " VALUES (1, 'https://iam.example/', 'a', 1, 0)"
            )
        )
    engine.dispose()
    upgrade(url_of(tmp_path))
    engine = make_engine(url_of(tmp_path))
    with reading(engine) as connection:
        rows = connection.execute(text("SELECT subject, robot FROM identities")).all()
        assert [tuple(row) for row in rows] == [("a", 0)]
    engine.dispose()


def test_groups_and_ranges_of_before_go_on_and_a_path_may_change(tmp_path: Path) -> None:
    """The schema before stable ids: nothing is renamed by the upgrade, everything can be after it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = make_engine(url_of(tmp_path))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "r0002")
        for statement in (
            "INSERT INTO ranges VALUES ('people', 'people', 200000, 200099, 200000)",
            "INSERT INTO groups (group_id, issuer, path) VALUES (1, 'https://iam.example/', 'vo')",
        ):
            connection.execute(text(statement))
    engine.dispose()
    upgrade(url_of(tmp_path))
    engine = make_engine(url_of(tmp_path))
    with writing(engine) as connection:
        assert connection.execute(text("SELECT serves FROM ranges")).scalar_one() is None
        connection.execute(text("UPDATE groups SET path = 'community', external_id = 'x'"))
    for statement in (
        "UPDATE groups SET issuer = 'https://other.example/'",
        "UPDATE groups SET group_id = 2",
        "DELETE FROM groups",
        "UPDATE ranges SET serves = 'robots'",
    ):
        with pytest.raises(Conflict), writing(engine) as connection:
            connection.execute(text(statement))
    engine.dispose()

"""The schema on PostgreSQL: the migrations and the tables agree, and the database itself refuses what must not be."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from idmap.adapters.sql import SCHEMA, SqlRegistry, upgrade
from idmap.adapters.sql.engine import make_engine, reading, writing
from idmap.adapters.sql.schema import check_schema
from idmap.adapters.sql.tables import METADATA
from idmap.domain.accounts import AccountEvent
from idmap.domain.errors import IdmapError
from idmap.domain.names import ROOT_EQUIVALENT_GROUPS
from idmap.domain.reasons import Reason
from tests.adapters.sql.test_append_only import REFUSED as REFUSED_BY_SQLITE
from tests.support.postgresql import FreshRegistry, cluster, make_postgresql_registry
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    document,
    furnish,
    listed,
    listing,
    open_one,
)

ROOT = Path(__file__).parents[3]
NEVER_EMPTIED = (
    "ledger_numbers, ledger_names, ranges, groups, posix_groups, accounts, rule_versions, counters,"
    " realm, changes"
).split(", ")

REFUSED = [
    *(
        statement.replace("x'00'", r"'\x00'")
        for statement in REFUSED_BY_SQLITE
        if "OR REPLACE" not in statement
    ),
    *(f"TRUNCATE {table} CASCADE" for table in NEVER_EMPTIED),
    "INSERT INTO ledger_numbers SELECT kind, number, 'account:9', range_name, rule, issued_at,"
    " author, plan, NULL FROM ledger_numbers WHERE number = 200000"
    " ON CONFLICT (kind, number) DO UPDATE SET owner = 'account:9'",
    "INSERT INTO ledger_names SELECT name, kind, 'account:9', issued_at, author, plan, NULL"
    " FROM ledger_names WHERE name = 'bob' ON CONFLICT (name) DO UPDATE SET retired_at = NULL",
]

_UPGRADE = """
import sys
from idmap.adapters.sql import upgrade
upgrade(sys.argv[1])
print("done")
"""


@pytest.fixture
def database() -> Iterator[str]:
    """An empty database."""
    name = cluster().make_database()
    yield name
    cluster().drop_database(name)


@pytest.fixture
def registry() -> Iterator[FreshRegistry]:
    """A registry with two accounts, one of them closed, rules and a ban."""
    registry = make_postgresql_registry()
    furnish(registry)
    open_one(registry, "a", "alice")
    open_one(registry, "b", "bob")
    with registry.write(AUTHOR) as writer:
        writer.move_account(2, AccountEvent.CLOSED)
        writer.save_rules(document(), expect_version=0)
        writer.record_listing(listing(listed("a")))
    yield registry
    registry.close()


@pytest.fixture
def raw(registry: FreshRegistry) -> Iterator[psycopg.Connection[Any]]:
    """An administrator's connection, without any of our settings."""
    with cluster().connect(registry.database) as connection:
        yield connection


def rows_of(connection: psycopg.Connection[Any]) -> dict[str, list[Any]]:
    return {
        name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
        for name in METADATA.tables
    }


def shape_of(database: str) -> dict[str, list[Any]]:
    """Columns, constraints and indexes as the server writes them, whatever the order in which they were made."""
    questions = {
        "columns": "SELECT table_name, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'public'",
        "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = 'public'",
    }
    with cluster().connect(database) as connection:
        return {
            kind: sorted(row for row in connection.execute(question) if row[0] != "alembic_version")
            for kind, question in questions.items()
        }


def test_an_upgrade_from_empty_leaves_no_drift(database: str) -> None:
    upgrade(cluster().url(database))
    engine = make_engine(cluster().url(database))
    with reading(engine) as connection:
        check_schema(connection)
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()


def test_constraints_are_the_same_in_migrations_and_tables(database: str) -> None:
    """Alembic does not compare CHECK constraints; the server's own text does."""
    upgrade(cluster().url(database))
    declared = cluster().make_database()
    engine = make_engine(cluster().url(declared))
    with writing(engine) as connection:
        METADATA.create_all(connection)
    engine.dispose()
    migrated_shape, declared_shape = shape_of(database), shape_of(declared)
    cluster().drop_database(declared)
    for kind, rows in declared_shape.items():
        assert rows, kind
        assert migrated_shape[kind] == rows, kind


def test_every_text_is_ordered_by_its_bytes_whatever_the_databases_own_order_is() -> None:
    with cluster().connect("postgres") as connection:
        connection.execute(
            "CREATE DATABASE dictionary OWNER idmap TEMPLATE template0"
            " LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
        )
    upgrade(cluster().url("dictionary"))
    with cluster().connect("dictionary") as connection:
        assert connection.execute("SELECT 'B' > 'a'").fetchone() == (True,), "a dictionary's order"
        collations = connection.execute(
            "SELECT table_name, column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND data_type IN ('text', 'character varying')"
            " AND table_name != 'alembic_version' AND collation_name IS DISTINCT FROM 'C'"
        ).fetchall()
    cluster().drop_database("dictionary")
    assert collations == []


def test_of_two_upgrades_at_once_one_does_it_and_the_other_sees_it_done(database: str) -> None:
    upgrades = [
        subprocess.Popen(
            [sys.executable, "-c", _UPGRADE, cluster().url(database)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(3)
    ]  # fmt: skip
    for one in upgrades:
        output, _ = one.communicate(timeout=100)
        assert (one.returncode, output) == (0, "done\n")
    with cluster().connect(database) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [
            (SCHEMA,)
        ]
        assert connection.execute("SELECT count(*) FROM counters").fetchone() == (2,)


def test_of_two_inits_at_once_one_makes_the_registry(database: str, tmp_path: Path) -> None:
    outcomes: list[str] = []

    def init(who: int) -> None:
        try:
            SqlRegistry.create(cluster().url(database), lambda: NOW, tmp_path).close()
        except IdmapError as error:
            outcomes.append(str(error.reason))
        else:
            outcomes.append("made")

    threads = [threading.Thread(target=init, args=(who,)) for who in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert sorted(outcomes) == ["configuration_invalid", "configuration_invalid", "made"]


@pytest.mark.parametrize("version", ["r0000", "r9999"])
def test_an_older_or_newer_schema_is_not_opened(registry: FreshRegistry, version: str) -> None:
    with cluster().connect(registry.database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", (version,))
    for use in (registry.another, lambda: upgrade(registry.url)):
        with pytest.raises(IdmapError) as caught:
            use()
        assert caught.value.reason is Reason.SCHEMA_MISMATCH
        assert version in caught.value.detail


def test_a_failed_upgrade_leaves_nothing(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration runs in one transaction."""
    from idmap.adapters.sql.migrations.versions import r0001_registry

    def broken(_dialect: str) -> Iterator[str]:
        yield "SELECT no_such_function()"

    assert hasattr(r0001_registry, "trigger_statements")
    import idmap.adapters.sql.migrations.append_only_r0001 as triggers

    monkeypatch.setattr(triggers, "trigger_statements", broken)
    with pytest.raises(IdmapError):
        upgrade(cluster().url(database))
    monkeypatch.undo()
    with cluster().connect(database) as connection:
        tables = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).fetchone()
    assert tables == (0,)
    upgrade(cluster().url(database))


@pytest.mark.parametrize("statement", REFUSED)
def test_the_database_refuses(raw: psycopg.Connection[Any], statement: str) -> None:
    before = rows_of(raw)
    with pytest.raises((psycopg.IntegrityError, psycopg.NotSupportedError)):
        raw.execute(statement)
    assert rows_of(raw) == before


@pytest.mark.parametrize("number", [0, 999, 60_001, 65_534, 65_535, -1, "NULL"])
@pytest.mark.parametrize("kind", ["uid", "gid"])
def test_the_ledger_takes_no_refused_number(
    raw: psycopg.Connection[Any], kind: str, number: int | str
) -> None:
    """Law 10, without any of our code in between."""
    with pytest.raises(psycopg.IntegrityError):
        raw.execute(
            f"INSERT INTO ledger_numbers VALUES ('{kind}', {number}, 'account:9', NULL, NULL, 1,"
            " 'x', NULL, NULL)"
        )


@pytest.mark.parametrize("name", [*sorted(ROOT_EQUIVALENT_GROUPS), "ROOT", "", "x" * 33])
def test_the_ledger_takes_no_root_equivalent_name(raw: psycopg.Connection[Any], name: str) -> None:
    with pytest.raises(psycopg.IntegrityError):
        raw.execute(
            "INSERT INTO ledger_names VALUES (%s, 'group', 'group:9', 1, 'x', NULL, NULL)", (name,)
        )


def test_an_account_carries_only_the_number_issued_to_it(raw: psycopg.Connection[Any]) -> None:
    raw.execute("INSERT INTO ledger_names VALUES ('eve', 'user', 'account:9', 1, 'x', NULL, NULL)")
    for number in (200_500, 200_000):
        with pytest.raises(psycopg.IntegrityError):
            raw.execute(
                "INSERT INTO accounts"
                " VALUES (9, 'eve', %s, 1, '/h', '/s', 'active', NULL, NULL, false, 'r', '*', '', false)",
                (number,),
            )


def test_a_refusal_of_the_database_repeats_nobodys_data(registry: FreshRegistry) -> None:
    engine = make_engine(registry.url)
    with pytest.raises(IdmapError) as caught, writing(engine) as connection:
        connection.execute(
            text(
                "INSERT INTO identities (identity_id, issuer, subject, active, first_seen)"
                " SELECT 99, issuer, subject, true, 0 FROM identities WHERE subject = 'a'"
            )
        )
    engine.dispose()
    assert caught.value.reason is Reason.VERSION_CONFLICT
    assert "uq_identities_issuer_subject" in caught.value.detail
    assert "iam.example.org" not in f"{caught.value} {caught.value.detail}"

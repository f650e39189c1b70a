"""A registry of an earlier schema gets the columns that entries are found by, filled and guarded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from idmap.adapters.sql import upgrade
from idmap.adapters.sql.engine import make_engine, reading, writing
from idmap.adapters.sql.schema import MIGRATIONS
from idmap.domain.errors import Conflict
from tests.support.postgresql import cluster

BODIES = [
    '{"account_id":7,"username":"alice"}',
    '{"issuer":"https://iam.example/","subject":"a"}',
    '{"version":1}',
]


def _registry_of(schema: str, url: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = make_engine(url)
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, schema)
        for sequence, body in enumerate(BODIES, start=1):
            connection.execute(
                text(
                    "INSERT INTO changes (sequence, at, author, reason, action, commitment, chain)"
                    " VALUES (:n, 0, 'a', 'r', 'x', :zero, :zero)"
                ),
                {"n": sequence, "zero": b"\0"},
            )
            connection.execute(
                text("INSERT INTO change_bodies (sequence, salt, body) VALUES (:n, :zero, :body)"),
                {"n": sequence, "zero": b"\0", "body": body},
            )
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/registry.db"
        return
    name = cluster().make_database()
    yield cluster().url(name)
    cluster().drop_database(name)


@pytest.mark.parametrize("schema", ["r0001", "r0002"])
def test_entries_recorded_before_are_found_by_whom_they_concern(url: str, schema: str) -> None:
    _registry_of(schema, url)
    upgrade(url)
    engine = make_engine(url)
    with reading(engine) as connection:
        rows = connection.execute(
            text("SELECT account_id, issuer, subject FROM change_bodies ORDER BY sequence")
        ).all()
    assert [tuple(row) for row in rows] == [
        (7, None, None),
        (None, "https://iam.example/", "a"),
        (None, None, None),
    ]
    with pytest.raises(Conflict, match="change_bodies"), writing(engine) as connection:
        connection.execute(text("UPDATE change_bodies SET account_id = 8 WHERE sequence = 1"))
    engine.dispose()

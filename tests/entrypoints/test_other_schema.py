"""No process and no command works on a registry whose schema is not this version's, and none changes it."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from idmap.adapters.sql import SCHEMA
from idmap.domain.reasons import Reason
from idmap.entrypoints.cli.main import app
from tests.support.registries import make_registry

PROCESSES = ("serve", "work")
COMMANDS = (
    ("init", "--key-file", "{directory}/admin.key"),
    ("provision", "run"),
    ("provision", "history"),
    ("snapshot", "publish"),
    ("db", "check"),
    ("db", "upgrade"),
    ("doctor",),
)
"""All that open the registry itself; what goes over REST meets `serve`."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A site whose registry has just been made."""
    make_registry(directory=tmp_path).close()
    written = tmp_path / "idmap.toml"
    written.write_text(
        f"""
realm = "test"
[registry]
url = "sqlite:///{tmp_path}/registry.db"
[serve]
start_children = false
[sign]
socket = "{tmp_path}/sign.sock"
keys_directory = "{tmp_path}/keys"
[snapshot]
directory = "{tmp_path}/snapshot"
"""
    )
    return written


def make_schema(config: Path, version: str) -> bytes:
    """Gives a digest of the database's content."""
    with closing(sqlite3.connect(config.with_name("registry.db"))) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (version,))
        database.commit()
    return content(config)


def content(config: Path) -> bytes:
    with closing(sqlite3.connect(config.with_name("registry.db"))) as database:
        return hashlib.sha256("\n".join(database.iterdump()).encode()).digest()


def require_refused(config: Path, before: bytes, code: int | None, said: str) -> None:
    assert code == 1
    assert Reason.SCHEMA_MISMATCH in said
    assert "r9999" in said
    assert SCHEMA in said
    assert "Traceback" not in said
    assert content(config) == before
    assert not (config.parent / "admin.key").exists()


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_starts_on_a_newer_schema(process: str, config: Path) -> None:
    before = make_schema(config, "r9999")
    words = [sys.executable, "-m", "idmap", process, "--config", str(config)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    require_refused(config, before, done.returncode, done.stdout + done.stderr)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_command_works_on_a_newer_schema(words: tuple[str, ...], config: Path) -> None:
    before = make_schema(config, "r9999")
    written = [word.format(directory=config.parent) for word in words]
    result = CliRunner().invoke(app, [*written, "--config", str(config)])
    require_refused(config, before, result.exit_code, result.output)

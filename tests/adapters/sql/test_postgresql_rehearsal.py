"""The private copy behind a rehearsal on PostgreSQL: it locks nothing shared and leaves nothing behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from idmap.application.ports import CredentialKind, RegistryWriter, RunRecord
from idmap.domain.accounts import AccountEvent
from idmap.domain.plans import OpenGroup
from tests.support.postgresql import FreshRegistry, cluster, make_postgresql_registry
from tests.support.registry_scenes import (
    AUTHOR,
    LATER,
    NOW,
    OTHER,
    STAFF,
    VO,
    document,
    furnish,
    listed,
    listing,
    open_one,
    opening,
    person,
    profile,
)

ROOT = Path(__file__).parents[3]

_KILLED = """
import os, signal, sys
from pathlib import Path
from idmap.adapters.sql import SqlRegistry
from tests.support.registry_scenes import AUTHOR, NOW, STAFF, listed, listing
registry = SqlRegistry.open(sys.argv[1], marks_directory=Path(sys.argv[2]))
with registry.rehearse(AUTHOR) as writer:
    writer.record_listing(listing(*(listed(f"s{n}", STAFF) for n in range(500)), began=NOW + 1))
    writer.last_change()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def registry() -> Iterator[FreshRegistry]:
    registry = make_postgresql_registry()
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO), listed("b", VO, STAFF)))
    open_one(registry, "a", "alice")
    yield registry
    registry.close()


def sql(database: str, statement: str) -> list[Any]:
    with cluster().connect(database) as connection:
        return connection.execute(statement).fetchall()


def do_everything(writer: RegistryWriter) -> None:
    """Writes to every table that a writer writes to."""
    writer.save_issuer(profile(OTHER))
    writer.save_rules(document(), expect_version=0)
    writer.record_listing(listing(listed("b", VO), listed("c", LATER), began=NOW + 5))
    writer.open_group(OpenGroup(LATER, None), group_range="groups")
    account = writer.open_account(opening(person("b"), "bob"))
    writer.change_groups(account.account_id, join=[LATER])
    writer.move_account(1, AccountEvent.CLOSED)
    writer.add_ban(account_id=None, identity=person("c"), reason="x", until=None, at=NOW)
    writer.lift_ban(1)
    writer.add_credential(CredentialKind.NODE, "n1", b"d" * 32, node_class="login", at=NOW)
    writer.save_node_report(
        "n1", revision=1, ban_counter=1, masked=("x",), local_names=("carol",), at=NOW
    )
    writer.revoke_credential(CredentialKind.NODE, "n1")
    writer.save_run(RunRecord("r1", NOW, None, "planned", None, None))
    writer.save_run(RunRecord("r1", NOW, NOW + 1, "applied", None, None))
    writer.remove_issuer(OTHER)


def seen_by(reader: Any) -> list[object]:
    return [
        list(reader.every_account()),
        sorted(map(repr, reader.people())),
        reader.issuers(),
        reader.ranges(),
        reader.posix_groups(),
        reader.bans(),
        reader.credentials(),
        reader.runs(),
        reader.revision(),
        reader.ban_counter(),
        reader.rules_document(),
        reader.last_change(),
        reader.verify_changes(),
        [(change.action, change.body) for change in reader.changes(limit=1000)],
    ]


def test_everything_can_be_rehearsed_and_comes_out_as_it_does_in_earnest(
    registry: FreshRegistry,
) -> None:
    with registry.read() as reader:
        before = seen_by(reader)
    with registry.rehearse(AUTHOR) as writer:
        do_everything(writer)
        rehearsed = seen_by(writer)
    with registry.read() as reader:
        assert seen_by(reader) == before
    with registry.write(AUTHOR) as writer:
        do_everything(writer)
        assert seen_by(writer) == rehearsed
    assert rehearsed != before


def test_a_ban_of_the_very_person_commits_while_a_rehearsal_is_open(
    registry: FreshRegistry,
) -> None:
    """Law 5. Uncommitted rows in the shared tables would hold a place in a unique index."""
    with registry.rehearse(AUTHOR) as writer:
        do_everything(writer)
        done = threading.Event()

        def in_earnest() -> None:
            with registry.write(AUTHOR) as other:
                do_everything(other)
            done.set()

        threading.Thread(target=in_earnest, daemon=True).start()
        assert done.wait(20), "the writer waits for the rehearsal"
        assert writer.last_change() > 0
    with registry.read() as reader:
        assert reader.verify_changes() == reader.last_change()


def test_a_rehearsal_holds_no_lock_that_keeps_anybody_from_reading_or_writing(
    registry: FreshRegistry,
) -> None:
    with registry.rehearse(AUTHOR) as writer:
        do_everything(writer)
        held = sql(
            registry.database,
            "SELECT DISTINCT coalesce(c.relname, l.locktype), l.mode FROM pg_locks l"
            " LEFT JOIN pg_class c ON c.oid = l.relation"
            " LEFT JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE l.pid <> pg_backend_pid()"
            " AND (l.locktype = 'advisory' OR n.nspname = 'public')",
        )
    assert {name for name, _ in held} >= {"accounts", "identities", "changes"}
    assert {mode for _, mode in held} == {"AccessShareLock"}, "what every reader holds"


def test_only_statements_on_our_tables_are_rehearsed(registry: FreshRegistry) -> None:
    """Others might write to a shared table."""
    with registry._database.rehearsing() as connection, pytest.raises(NotImplementedError):
        connection.execute(text("UPDATE counters SET value = value + 1"))


def test_a_kill_in_a_rehearsal_leaves_no_copy_and_no_change(registry: FreshRegistry) -> None:
    with registry.read() as reader:
        before = seen_by(reader)
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, registry.url, str(registry.marks_directory)],
        cwd=ROOT, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 60
    temporary = "SELECT relname FROM pg_class WHERE relpersistence = 't'"
    while sql(registry.database, temporary):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with registry.read() as reader:
        assert seen_by(reader) == before

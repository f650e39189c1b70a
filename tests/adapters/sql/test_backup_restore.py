"""Backup and restore on SQLite: one consistent copy, and law 2 whatever was lost with the host."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from idmap.adapters.sql import SCHEMA, SqlRegistry
from idmap.adapters.sql.backup import BackupMade, write_backup
from idmap.adapters.sql.check import Verdict, check_database
from idmap.adapters.sql.copying import COPIED
from idmap.adapters.sql.engine import make_engine, reading, writing
from idmap.adapters.sql.in_use import alone
from idmap.adapters.sql.restore import Given, RestoreReport, RestoreRequest, restore
from idmap.adapters.sql.schema import MIGRATIONS
from idmap.adapters.sql.tables import METADATA
from idmap.application.ports import Author, CredentialKind
from idmap.domain.accounts import Account
from idmap.domain.errors import IdmapError
from idmap.domain.names import GroupName
from idmap.domain.plans import OpenGroup
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    LATER,
    NOW,
    OTHER,
    STAFF,
    VO,
    furnish,
    listed,
    listing,
    open_one,
    person,
)

REALM = "a-site"
OPERATOR = Author("os-user:root", "the disk died")


def quiet(what: str, done: int, total: int | None) -> None:
    """Nobody watches."""


class Host:
    """One service's host: a database and what lies beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "registry.db"
        self.url = f"sqlite:///{self.path}"
        self.registry = SqlRegistry.create(self.url, lambda: NOW)
        furnish(self.registry)
        with self.registry.write(AUTHOR) as writer:
            writer.record_listing(listing(listed("anna", VO, STAFF), listed("bert", VO)))
            writer.add_credential(CredentialKind.ADMIN_KEY, "bootstrap", bytes(32), at=NOW)
        open_one(self.registry, "anna", "anna", secondary_groups=(STAFF,))
        open_one(self.registry, "bert")

    def open(self) -> SqlRegistry:
        """The service starts."""
        self.registry = SqlRegistry.open(self.url, lambda: NOW)
        return self.registry

    def backup(self, name: str = "backup") -> Path:
        """`idmap db backup`."""
        out = self.directory / name
        backup_of(self.url, out)
        return out

    def restore(self, backup: Path, given: Given | None = None, **more: Any) -> RestoreReport:
        """`idmap db restore`, service stopped."""
        self.registry.close()
        request = RestoreRequest(backup, REALM, OPERATOR, NOW + 5, **more)
        return restore(self.url, request, given or Given(), quiet)

    def findings(self) -> list[str]:
        """What `idmap db check` calls wrong."""
        return [
            f"{f.check}: {f.saw}" for f in check_database(self.url) if f.verdict is Verdict.WRONG
        ]

    def files(self) -> dict[str, bytes]:
        """Everything in the directory but the lock and what reading leaves."""
        skip = {"registry.db.lock", "registry.db-shm", "registry.db-wal"}
        return {p.name: p.read_bytes() for p in self.directory.iterdir() if p.name not in skip}


def backup_of(url: str, out: Path) -> BackupMade:
    engine = make_engine(url)
    try:
        return write_backup(engine, out, realm=REALM, at=NOW, progress=quiet)
    finally:
        engine.dispose()


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table that is copied."""
    engine = make_engine(f"sqlite:///{path}")
    with reading(engine) as connection:
        rows = {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in COPIED
        }
    engine.dispose()
    return rows


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose service runs."""
    directory = tmp_path / "host"
    directory.mkdir()
    made = Host(directory)
    yield made
    made.registry.close()


def given_pair(account: Account) -> tuple[str, int]:
    return account.username, account.uid_number


# --- backup


def test_every_table_is_copied_but_leases() -> None:
    assert {table.name for table in COPIED} == METADATA.tables.keys() - {"leases"}


def test_a_backup_holds_every_row_and_is_the_owners_alone(host: Host) -> None:
    backup = host.backup()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert sorted(p.name for p in host.directory.iterdir() if "part" in p.name) == []
    assert rows_of(host.path) == rows_of(shutil.copy(backup, host.directory / "copy"))


def test_a_backup_is_one_state_of_a_registry_that_goes_on(host: Host) -> None:
    """Written to between any two steps; the copy ends where it began."""
    before = rows_of(host.path)
    number = 0

    def meanwhile(what: str, done: int, total: int | None) -> None:
        nonlocal number
        number += 1
        open_one(host.registry, f"s{number}", f"name{number}")

    engine = make_engine(host.url)
    made = write_backup(engine, host.directory / "b", realm=REALM, at=NOW, progress=meanwhile)
    engine.dispose()
    assert number > len(COPIED)
    assert made.rows["accounts"] == 2
    assert rows_of(host.directory / "b") == before


def test_a_backup_never_overwrites_and_leaves_nothing_when_it_fails(host: Host) -> None:
    out = host.directory / "there"
    out.write_text("precious")
    for place in (out, host.directory / "no" / "such"):
        before = host.files()
        with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.REQUEST_INVALID):
            backup_of(host.url, place)
        assert host.files() == before


def test_a_registry_that_does_not_verify_makes_no_backup(host: Host) -> None:
    """Better no backup, and somebody who looks, than one that cannot be restored."""
    with sqlite3.connect(host.path) as connection:
        connection.execute("DROP TRIGGER changes_never_changed")
        connection.execute("UPDATE changes SET author = 'nobody' WHERE sequence = 2")
    connection.close()
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.RECORD_BROKEN):
        host.backup()
    assert not (host.directory / "backup").exists()
    assert not list(host.directory.glob(".*"))


# --- restore


def test_a_restore_gives_back_every_row_and_goes_on(host: Host) -> None:
    backup = host.backup()
    before = rows_of(host.path)
    report = host.restore(backup)
    assert (report.lost_changes, report.lost_accounts, report.lost_groups) == (0, 0, 0)
    after = rows_of(host.path)
    for table in before.keys() - {"counters", "changes", "change_bodies"}:
        assert after[table] == before[table], table
    assert host.findings() == []
    registry = host.open()
    with registry.read() as reader:
        entry = reader.changes(after=reader.last_change() - 1)[0]
        assert (entry.author, entry.reason, entry.action) == (
            "os-user:root",
            "the disk died",
            "restore",
        )
    assert open_one(registry, "carl").uid_number == 200_002


def test_the_new_file_has_mode_and_triggers_of_a_registry(host: Host) -> None:
    host.path.chmod(0o640)
    host.restore(host.backup())
    assert stat.S_IMODE(host.path.stat().st_mode) == 0o640
    with sqlite3.connect(host.path) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute("DELETE FROM changes")
    connection.close()


def lose_something(host: Host) -> dict[str, tuple[str, int]]:
    """What happens between a backup and the restore; gives who got what."""
    got = {name: given_pair(open_one(host.registry, name, name)) for name in ("carl", "dora")}
    got["erik"] = given_pair(open_one(host.registry, "erik"))
    with host.registry.write(AUTHOR) as writer:
        group = writer.open_group(OpenGroup(LATER, GroupName("later")), group_range="groups")
        writer.add_ban(account_id=1, identity=None, reason="theft", until=None, at=NOW)
        writer.add_ban(
            account_id=None, identity=person("dora"), reason="spam", until=NOW + 50, at=NOW
        )
        writer.revoke_credential(CredentialKind.ADMIN_KEY, "bootstrap")
    got["group"] = (group.name, group.gid_number)
    return got


def nothing_goes_to_others(host: Host, got: dict[str, tuple[str, int]]) -> None:
    """Law 2 after a restore, tried by strangers who want those very names."""
    registry = host.registry
    numbers = {number for _, number in got.values()}
    for name in ("carl", "dora", "erik"):
        stranger = open_one(registry, f"not-{name}", name if name != "erik" else None)
        assert stranger.username not in {pair[0] for pair in got.values()}
        assert stranger.uid_number not in numbers
    other = OpenGroup(STAFF.__class__(STAFF.issuer, "other"), GroupName("later"))
    with registry.write(AUTHOR) as writer:
        group = writer.open_group(other, group_range="groups")
    assert (group.name, group.gid_number) != got["group"]
    assert group.name != "later"
    assert group.gid_number not in numbers


def test_what_was_issued_since_goes_to_nobody_else_and_comes_back(host: Host) -> None:
    backup = host.backup()
    got = lose_something(host)
    with host.registry.read() as reader:
        seen = (reader.revision(), reader.ban_counter(), reader.last_change())
    report = host.restore(backup)
    assert (report.lost_accounts, report.lost_groups) == (3, 1)
    assert report.lost_changes == seen[2] - report.backup_changes
    assert report.revision > seen[0]
    assert report.ban_counter > seen[1]
    assert host.findings() == []
    registry = host.open()
    with registry.read() as reader:
        assert (reader.revision(), reader.ban_counter()) == (report.revision, report.ban_counter)
    nothing_goes_to_others(host, got)
    for name in ("dora", "carl", "erik"):
        assert given_pair(open_one(registry, name)) == got[name]
    with registry.write(AUTHOR) as writer:
        again = writer.open_group(OpenGroup(LATER, None), group_range="groups")
    assert (again.name, again.gid_number) == got["group"]


def test_what_was_refused_stays_refused(host: Host) -> None:
    """Law 5: a restore lets nobody in; a ban finds its person again even when the account is lost."""
    backup = host.backup()
    lose_something(host)
    report = host.restore(backup)
    assert (report.bans_carried, report.credentials_revoked, report.bans_of_lost_accounts) == (
        2,
        1,
        0,
    )
    registry = host.open()
    with registry.read() as reader:
        assert [number for number, _ in reader.banned_uid_numbers(NOW + 6)] == [200_000]
        assert {ban.identity for ban in reader.bans()} == {None, person("dora")}
        found = reader.find_credential(bytes(32))
        assert found is not None
        assert found.revoked


def test_bans_of_groups_issuers_and_tokens_stay_what_they_are(host: Host) -> None:
    """Law 5, and law 3: whoever joins the group after the restore is reached, and one order lifts each."""
    backup = host.backup()
    with host.registry.write(AUTHOR) as writer:
        for what in (
            {"group": STAFF},
            {"group": LATER, "until": NOW + 90},
            {"issuer": OTHER},
            {"issuer": ISSUER, "token_id": "t1", "until": NOW + 60},
        ):
            writer.add_ban(
                **{"account_id": None, "identity": None, "until": None} | what, reason="x", at=NOW
            )
        assert [number for number, _ in writer.banned_uid_numbers(NOW)] == [200_000]
    report = host.restore(backup)
    assert (report.bans_carried, report.bans_of_unknown_tokens) == (4, 0)
    registry = host.open()
    with registry.read() as reader:
        assert {(ban.group, ban.issuer, ban.token_id, ban.until) for ban in reader.bans()} == {
            (STAFF, None, None, None),
            (LATER, None, None, NOW + 90),
            (None, OTHER, None, None),
            (None, ISSUER, "t1", NOW + 60),
        }
        assert reader.banned_uid_numbers(NOW) == ((200_000, 0),)
        assert reader.credential_bans().find(ISSUER, "t1", NOW) is not None
    with registry.write(AUTHOR) as writer:
        writer.record_observation(person("bert"), frozenset({STAFF}), None, NOW)
        assert len(writer.banned_uid_numbers(NOW)) == 2
    host.restore(host.backup("second"))
    with host.open().read() as reader:
        assert len(reader.bans()) == 4, "what is banned already is not banned twice"


def test_who_was_reached_and_is_not_known_to_be_any_more_is_banned_by_themselves(
    host: Host,
) -> None:
    """The backup does not know that bert joined, nor that carl was there at all."""
    backup = host.backup()
    open_one(host.registry, "carl")
    with host.registry.write(AUTHOR) as writer:
        for name in ("bert", "carl"):
            writer.record_observation(person(name), frozenset({STAFF}), None, NOW)
        writer.add_ban(
            account_id=None, identity=None, group=STAFF, reason="x", until=NOW + 50, at=NOW
        )
        assert len(writer.banned_uid_numbers(NOW)) == 3
    report = host.restore(backup)
    assert (report.bans_carried, report.bans_of_lost_accounts) == (3, 0)
    registry = host.open()
    with registry.read() as reader:
        assert reader.banned_uid_numbers(NOW) == ((200_000, NOW + 50), (200_001, NOW + 50))
        assert [ban.group for ban in reader.recorded(person("anna")).bans] == [STAFF]
        assert reader.recorded(person("carl")).bans[0].identity == person("carl")


def test_a_ban_of_the_backup_that_was_lengthened_since_lasts_as_long(host: Host) -> None:
    """Known already is only what lasts at least as long."""
    with host.registry.write(AUTHOR) as writer:
        for what in ({"identity": person("anna")}, {"group": VO}):
            writer.add_ban(
                **{"account_id": None, "identity": None} | what, reason="x", until=NOW + 5, at=NOW
            )
    backup = host.backup()
    with host.registry.write(AUTHOR) as writer:
        for what in ({"identity": person("anna")}, {"group": VO}):
            writer.add_ban(
                **{"account_id": None, "identity": None} | what, reason="y", until=None, at=NOW
            )
    assert host.restore(backup).bans_carried == 2
    with host.open().read() as reader:
        assert reader.banned_uid_numbers(NOW + 6) == ((200_000, 0), (200_001, 0))


def test_what_was_erased_does_not_come_back(host: Host) -> None:
    """Law 12: the body of an entry goes with its salt; an old backup must not undo that."""
    backup = host.backup()
    host.registry.close()
    with sqlite3.connect(host.path) as connection:
        connection.execute("DELETE FROM change_bodies WHERE sequence IN (6, 7)")
    connection.close()
    host.restore(backup)
    with host.open().read() as reader:
        assert [c.sequence for c in reader.changes(limit=1000) if c.body is None] == [6, 7]
        assert reader.verify_changes() > 7


def test_a_second_restore_of_the_same_backup_loses_nothing_more(host: Host) -> None:
    backup = host.backup()
    got = lose_something(host)
    host.restore(backup)
    host.restore(backup)
    host.open()
    nothing_goes_to_others(host, got)
    assert given_pair(open_one(host.registry, "carl")) == got["carl"]
    asides = list(host.directory.glob("registry.db.before-restore-*"))
    assert len(asides) == 2, "each replaced database is kept"


@pytest.mark.parametrize("damage", ["gone", "garbage", "truncated", "older schema"])
def test_a_database_that_is_gone_or_damaged_is_replaced(host: Host, damage: str) -> None:
    """Marks and journal are still there: they are enough."""
    backup = host.backup()
    got = lose_something(host)
    with host.registry.read() as reader:
        seen = reader.revision()
    host.registry.close()
    match damage:
        case "gone":
            host.path.unlink()
        case "garbage":
            host.path.write_bytes(b"nothing that anybody reads" * 400)
        case "truncated":
            os.truncate(host.path, host.path.stat().st_size // 2)
        case _:
            with sqlite3.connect(host.path) as connection:
                connection.execute("UPDATE alembic_version SET version_num = 'r0001'")
            connection.close()
    report = host.restore(backup)
    assert report.notes
    assert report.revision > seen
    assert host.findings() == []
    host.open()
    nothing_goes_to_others(host, got)
    assert given_pair(open_one(host.registry, "erik")) == got["erik"]


def test_a_dry_run_changes_nothing_and_says_the_same(host: Host) -> None:
    backup = host.backup()
    lose_something(host)
    host.registry.close()
    before = host.files()
    planned = host.restore(backup, dry_run=True)
    assert host.files() == before
    done = host.restore(backup)
    done.kept_aside = None
    assert planned == done


# --- refusals


def refused(host: Host, backup: Path, reason: Reason, **more: Any) -> None:
    """Refused, with nothing changed and nothing left behind."""
    host.registry.close()
    before = host.files()
    with pytest.raises(IdmapError, check=lambda e: e.reason is reason):
        host.restore(backup, **more)
    assert host.files() == before
    host.open()
    assert open_one(host.registry, "after").uid_number == 200_002


@pytest.mark.parametrize("what", ["missing", "empty", "text", "other", "directory"])
def test_what_is_no_backup_is_refused(host: Host, what: str) -> None:
    path = host.directory / "file"
    match what:
        case "empty":
            path.touch()
        case "text":
            path.write_text("SQLite format 4\n" * 100)
        case "other":
            sqlite3.connect(path).execute("CREATE TABLE t (a)").connection.close()
        case "directory":
            path = host.directory.parent
    refused(host, path, Reason.BACKUP_INVALID)


def test_a_damaged_backup_is_refused(host: Host) -> None:
    backup = host.backup()
    data = bytearray(backup.read_bytes())
    cut = host.directory / "cut"
    cut.write_bytes(data[: len(data) // 2])
    refused(host, cut, Reason.BACKUP_INVALID)


def test_a_backup_with_another_record_is_refused(host: Host) -> None:
    backup = host.backup()
    with sqlite3.connect(backup) as connection:
        connection.execute("DROP TRIGGER changes_never_changed")
        connection.execute("UPDATE changes SET reason = 'another' WHERE sequence = 3")
    connection.close()
    refused(host, backup, Reason.RECORD_BROKEN)


def test_a_backup_whose_ledger_was_changed_is_refused(host: Host) -> None:
    """Somebody gives an account to themselves in the file."""
    backup = host.backup()
    with sqlite3.connect(backup) as connection:
        connection.execute("DROP TRIGGER accounts_never_changed")
        connection.execute("UPDATE accounts SET uid_number = 200777 WHERE username = 'anna'")
    connection.close()
    refused(host, backup, Reason.BACKUP_INVALID)


def test_a_backup_of_a_newer_idmap_is_refused(host: Host) -> None:
    backup = host.backup()
    with sqlite3.connect(backup) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'r9999'")
    connection.close()
    refused(host, backup, Reason.SCHEMA_MISMATCH)


def test_another_realms_backup_needs_a_word(host: Host, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Host(tmp_path / "other")
    backup = other.backup()
    other.registry.close()
    refused(host, backup, Reason.BACKUP_FOREIGN)
    report = host.restore(backup, another_realm=True)
    assert report.lost_changes is None
    assert host.findings() == []


def test_a_restore_waits_for_nobody(host: Host) -> None:
    """The service runs, or somebody has the file open in sqlite3; and nobody opens during a restore."""
    backup = host.backup()
    request = RestoreRequest(backup, REALM, OPERATOR, NOW)
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.DATABASE_IN_USE):
        restore(host.url, request, Given(), quiet)
    host.registry.close()
    other = sqlite3.connect(host.path, isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("BEGIN")
    other.execute("SELECT count(*) FROM accounts").fetchone()
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.DATABASE_IN_USE):
        restore(host.url, request, Given(), quiet)
    other.close()
    with (
        alone(host.path),
        pytest.raises(IdmapError, check=lambda e: e.reason is Reason.DATABASE_IN_USE),
    ):
        host.open()
    host.open()


def test_a_backup_of_an_older_schema_is_upgraded_on_the_way(host: Host) -> None:
    old = host.directory / "old"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = make_engine(f"sqlite:///{old}")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "r0001")
        connection.execute(
            text("INSERT INTO realm (realm_id, salt, created) VALUES (1, :salt, 0)"),
            {"salt": bytes(32)},
        )
    engine.dispose()
    before = old.read_bytes()
    report = host.restore(old, another_realm=True)
    assert report.lost_accounts == 2
    assert old.read_bytes() == before
    engine = make_engine(host.url)
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == SCHEMA
    engine.dispose()
    assert host.findings() == []


def test_a_copied_database_serves_as_a_backup(host: Host) -> None:
    """All that somebody has is yesterday's file of a machine that was switched off."""
    host.registry.close()
    copied = shutil.copy(host.path, host.directory / "yesterday")
    host.open()
    got = lose_something(host)
    report = host.restore(copied)
    assert report.made_at is None
    host.open()
    nothing_goes_to_others(host, got)


# --- crashes

_CRASHING = """
import os, signal, sys
from pathlib import Path
from idmap.adapters.sql.restore import Given, RestoreRequest, restore
from idmap.application.ports import Author

steps = int(sys.argv[3])

def step(what, done, total):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)

request = RestoreRequest(Path(sys.argv[2]), "a-site", Author("os-user:root", "x"), 1700000005)
restore(sys.argv[1], request, Given(), step)
"""


@pytest.mark.timeout(400)
def test_a_restore_that_is_killed_leaves_the_old_or_the_new(host: Host, tmp_path: Path) -> None:
    """Killed while copying, and at every step after it; then the service starts, and the restore is done again."""
    backup = host.backup()
    got = lose_something(host)
    host.registry.close()
    kept = tmp_path / "kept"
    shutil.copytree(host.directory, kept)
    steps: list[str] = []
    request = RestoreRequest(backup, REALM, OPERATOR, NOW + 5)
    restore(host.url, request, Given(), lambda what, *_: steps.append(what))
    assert steps[-4:] == ["verifying", "keeping the marks", "kept aside", "in place"]
    seen = {"old": 0, "new": 0}
    for step in (0, len(steps) // 2, *range(len(steps) - 5, len(steps))):
        shutil.rmtree(host.directory)
        shutil.copytree(kept, host.directory)
        argv = [sys.executable, "-c", _CRASHING, host.url, str(backup), str(step)]
        done = subprocess.run(argv, capture_output=True, timeout=100)
        assert done.returncode == -signal.SIGKILL, done.stderr
        registry = host.open()
        with registry.read() as reader:
            accounts = len(list(reader.every_account()))
            assert reader.verify_changes() > 0
        assert accounts in {2, 5}
        seen["new" if accounts == 2 else "old"] += 1
        stranger = open_one(registry, "stranger", "carl")
        assert given_pair(stranger) not in got.values()
        registry.close()
        assert host.findings() == []
        host.restore(backup)
        host.open()
        nothing_goes_to_others(host, got)
        assert given_pair(open_one(host.registry, "carl")) == got["carl"]
        host.registry.close()
    assert seen == {"old": 6, "new": 1}
    host.open()

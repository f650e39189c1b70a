"""Backup and restore on PostgreSQL, and the way from one database to the other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.backup import write_backup
from idmap.adapters.sql.check import Verdict, check_database
from idmap.adapters.sql.copying import COPIED
from idmap.adapters.sql.engine import make_engine, reading
from idmap.adapters.sql.restore import Given, RestoreReport, RestoreRequest, restore
from idmap.application.ports import Author
from idmap.domain.errors import IdmapError
from idmap.domain.names import GroupName
from idmap.domain.plans import OpenGroup
from idmap.domain.reasons import Reason
from tests.support.postgresql import cluster
from tests.support.registry_scenes import AUTHOR, LATER, NOW, furnish, open_one, person

OPERATOR = Author("os-user:root", "moving")
NEVER_THE_SAME = {"counters", "changes", "change_bodies"}


def quiet(what: str, done: int, total: int | None) -> None:
    """Nobody watches."""


class Place:
    """A database and the directory for what lies outside it."""

    def __init__(self, url: str, outside: Path) -> None:
        self.url = url
        self.outside = outside

    def create(self) -> None:
        """`idmap init`, and a little site."""
        registry = SqlRegistry.create(self.url, lambda: NOW, self.outside)
        furnish(registry)
        open_one(registry, "anna", "anna")
        registry.close()

    def open(self, outside: Path | None = None) -> SqlRegistry:
        return SqlRegistry.open(self.url, lambda: NOW, outside or self.outside)

    def backup(self, out: Path) -> Path:
        engine = make_engine(self.url)
        try:
            write_backup(engine, out, realm="a-site", at=NOW, progress=quiet)
        finally:
            engine.dispose()
        return out

    def restore(self, backup: Path, *, dry_run: bool = False) -> RestoreReport:
        request = RestoreRequest(backup, "a-site", OPERATOR, NOW + 5, dry_run=dry_run)
        return restore(self.url, request, Given(), quiet, self.outside)

    def rows(self) -> dict[str, list[tuple[object, ...]]]:
        engine = make_engine(self.url)
        with reading(engine) as connection:
            rows = {
                table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
                for table in COPIED
            }
        engine.dispose()
        return rows

    def findings(self) -> list[str]:
        found = check_database(self.url, self.outside)
        return [f"{f.check}: {f.saw}" for f in found if f.verdict is Verdict.WRONG]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Place]:
    """An empty database on the server."""
    name = cluster().make_database()
    (tmp_path / "outside").mkdir()
    yield Place(cluster().url(name), tmp_path / "outside")
    cluster().drop_database(name)


@pytest.fixture
def file(tmp_path: Path) -> Place:
    """A registry on SQLite."""
    (tmp_path / "site").mkdir()
    made = Place(f"sqlite:///{tmp_path}/site/registry.db", tmp_path / "site")
    made.create()
    return made


def same(
    before: dict[str, list[tuple[object, ...]]], after: dict[str, list[tuple[object, ...]]]
) -> None:
    for table in before.keys() - NEVER_THE_SAME:
        assert after[table] == before[table], table
    assert after["changes"][: len(before["changes"])] == before["changes"]


def test_a_site_moves_to_postgresql_and_back(file: Place, server: Place, tmp_path: Path) -> None:
    """Every row the same, and each goes on where the other stood."""
    before = file.rows()
    report = server.restore(file.backup(tmp_path / "b1"))
    assert report.lost_accounts == 0
    same(before, server.rows())
    assert server.findings() == []
    registry = server.open()
    assert open_one(registry, "bert", "bert").uid_number == 200_001
    registry.close()
    before = server.rows()
    assert file.restore(server.backup(tmp_path / "b2")).lost_accounts == 0
    same(before, file.rows())
    assert file.findings() == []
    registry = file.open()
    assert open_one(registry, "carl", "carl").uid_number == 200_002
    with registry.read() as reader:
        assert reader.verify_changes() > 0
    registry.close()


def lose_something(server: Place) -> tuple[str, int]:
    registry = server.open()
    carl = open_one(registry, "carl", "carl")
    with registry.write(AUTHOR) as writer:
        writer.open_group(OpenGroup(LATER, GroupName("later")), group_range="groups")
        writer.add_ban(account_id=1, identity=None, reason="theft", until=None, at=NOW)
    registry.close()
    return carl.username, carl.uid_number


def test_a_restore_on_the_server_issues_nothing_again(server: Place, tmp_path: Path) -> None:
    server.create()
    backup = server.backup(tmp_path / "b")
    carl = lose_something(server)
    planned = server.restore(backup, dry_run=True)
    before = server.rows()
    report = server.restore(backup)
    assert before != server.rows()
    assert report.kept_aside is not None
    assert Path(report.kept_aside).stat().st_mode & 0o777 == 0o600
    report.kept_aside = None
    assert report == planned
    assert (report.lost_accounts, report.lost_groups, report.bans_carried) == (1, 1, 1)
    assert server.findings() == []
    registry = server.open()
    stranger = open_one(registry, "stranger", "carl")
    assert carl[0] != stranger.username
    assert carl[1] != stranger.uid_number
    again = open_one(registry, "carl")
    assert (again.username, again.uid_number) == carl
    with registry.read() as reader:
        assert [number for number, _ in reader.banned_uid_numbers(NOW + 6)] == [200_000]
    registry.close()
    name = make_url(server.url).database
    assert name is not None
    with cluster().connect(name) as connection:
        for statement in (
            "DELETE FROM changes",
            "DELETE FROM withheld",
            "UPDATE withheld SET name = 'x'",
            "TRUNCATE withheld",
        ):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
                connection.execute(statement)


def test_what_a_dry_run_or_a_refusal_saw_is_untouched(
    server: Place, file: Place, tmp_path: Path
) -> None:
    server.create()
    backup = server.backup(tmp_path / "b")
    lose_something(server)
    before, names = server.rows(), sorted(path.name for path in server.outside.iterdir())
    server.restore(backup, dry_run=True)
    assert server.rows() == before
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.BACKUP_FOREIGN):
        server.restore(file.backup(tmp_path / "foreign"))
    assert server.rows() == before
    assert {path.name for path in server.outside.iterdir()} - {"registry.lock"} == set(names)


def test_a_restore_on_the_server_waits_for_nobody(server: Place, tmp_path: Path) -> None:
    """A replica on whatever host, with other marks."""
    server.create()
    backup = server.backup(tmp_path / "b")
    (tmp_path / "elsewhere").mkdir()
    replica = server.open(tmp_path / "elsewhere")
    with replica.read() as reader:
        assert reader.revision() > 0
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.DATABASE_IN_USE):
        server.restore(backup)
    replica.close()
    server.restore(backup)


def test_hosts_that_take_turns_raise_no_alarm(server: Place, tmp_path: Path) -> None:
    """Each keeps marks and journal of its own; the record's head is seldom the one that a host wrote last."""
    server.create()
    (tmp_path / "elsewhere").mkdir()
    hosts = [server.open(), server.open(tmp_path / "elsewhere")]
    for number in range(6):
        open_one(hosts[number % 2], f"s{number}", f"name{number}")
        with hosts[1 - number % 2].write(AUTHOR) as writer:
            writer.add_ban(
                account_id=None, identity=person(f"z{number}"), reason="x", until=None, at=NOW
            )
    with hosts[0].read() as reader:
        actions = {change.action for change in reader.changes(limit=1000)}
    assert actions & {"record_behind", "withhold", "raise_counter"} == set()
    for host in hosts:
        host.close()
    for outside in (server.outside, tmp_path / "elsewhere"):
        found = [f for f in check_database(server.url, outside) if f.verdict is Verdict.WRONG]
        assert found == []


_CRASHING = """
import os, signal, sys
from pathlib import Path
from idmap.adapters.sql.restore import Given, RestoreRequest, restore
from idmap.application.ports import Author

steps = int(sys.argv[4])

def step(what, done, total):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), signal.SIGKILL)

request = RestoreRequest(Path(sys.argv[2]), "a-site", Author("os-user:root", "x"), 1700000005)
restore(sys.argv[1], request, Given(), step, Path(sys.argv[3]))
"""


@pytest.mark.timeout(300)
def test_a_restore_on_the_server_that_is_killed_leaves_the_old(
    server: Place, tmp_path: Path
) -> None:
    server.create()
    backup = server.backup(tmp_path / "b")
    carl = lose_something(server)
    steps: list[str] = []
    request = RestoreRequest(backup, "a-site", OPERATOR, NOW, dry_run=True)
    tell = steps.append
    restore(server.url, request, Given(), lambda what, *_: tell(what), server.outside)
    # The dry run keeps nothing aside, which is some steps more, and stops before the last two.
    for step in (1, len(steps), 2 * len(steps) - 1, 2 * len(steps) + 1):
        argv = [sys.executable, "-c", _CRASHING, server.url, str(backup), str(server.outside)]
        done = subprocess.run([*argv, str(step)], capture_output=True, timeout=60, env=os.environ)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        registry = server.open()
        with registry.read() as reader:
            assert reader.find_account(username="carl") is not None
            assert reader.verify_changes() > 0
        registry.close()
        assert server.findings() == []
    server.restore(backup)
    registry = server.open()
    assert open_one(registry, "stranger", "carl").username != "carl"
    again = open_one(registry, "carl")
    assert (again.username, again.uid_number) == carl
    registry.close()

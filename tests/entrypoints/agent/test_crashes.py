"""A crash, a full disk, a damaged file: whatever is left must be safe, and the next run must mend it."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from idmap.adapters.node_files.trust_db import TrustDb
from idmap.application.install_state import Reached, Step
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.reasons import Reason
from idmap.entrypoints.agent.inspect import verify_installed
from tests.support.registry_scenes import person
from tests.support.snapshot_site import SnapshotSite, installed_users

BAN_STEPS = {Step.BANS_SAVED, Step.REFUSED_INSTALLED, Step.BANS_INSTALLED}
SNAPSHOT_STEPS = [step for step in Step if step not in BAN_STEPS]


@pytest.fixture
def real_time_site(tmp_path: Path) -> Iterator[SnapshotSite]:
    """A site on the real clock, for agents that are processes of their own."""
    site = SnapshotSite(tmp_path, int(time.time()))
    site.publish()
    yield site
    site.close()


def in_child(action: Callable[[], None]) -> int:
    """Runs `action` in a forked process; gives how it ended (negative: by which signal)."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except NodeInstallFailed as error:
            os._exit(10 if error.reason is Reason.INSTALL_FAILED else 11)
        except BaseException:
            os._exit(12)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killing(step: Step) -> Reached:
    """A failpoint: kill -9 once `step` is reached."""

    def reached(now: Step) -> None:
        if now is step:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


@pytest.mark.parametrize("step", SNAPSHOT_STEPS)
def test_an_agent_killed_between_two_steps_leaves_a_safe_node_and_the_next_one_finishes(
    site: SnapshotSite, step: Step
) -> None:
    """Law 7: old or new, whole; nobody is let in by half of each; nothing older gets in afterwards."""
    site.agent().bans.fetch()
    site.agent().installer.sync()
    old_manifest = site.store.read_document("manifest") or b""
    carol = site.open_account("s-carol", "carol")
    site.ban(carol)
    site.publish()

    def sync() -> None:
        site.agent(killing(step)).installer.sync()

    assert in_child(sync) == -signal.SIGKILL
    users = installed_users(site.node)
    assert set(users) in ({"alice", "bob"}, {"alice", "bob", "carol"})
    bans = site.agent().files.read_bans()
    assert bans is not None
    assert bans.bans == ((carol.uid_number, 0),), "the ban list is in place before anything else"
    found = TrustDb(site.node / "trust.db").find_account(person("s-carol"))
    if "carol" in users:
        assert found == (carol.uid_number, "carol"), "trust.db is never behind posix.db"
    new_manifest = site.store.read_document("manifest") or b""
    site.store.put_document("manifest", old_manifest)
    with pytest.raises(NodeInstallFailed) as caught:
        site.agent().installer.sync()
    assert caught.value.reason is Reason.SNAPSHOT_OLDER
    site.store.put_document("manifest", new_manifest)
    agent = site.agent()
    agent.installer.sync()
    assert set(installed_users(site.node)) == {"alice", "bob", "carol"}
    assert verify_installed(agent) == []
    assert not list(site.node.rglob("*.tmp"))


def test_what_was_cached_before_the_crash_is_installed_without_the_service(
    site: SnapshotSite,
) -> None:
    """After the manifest is saved nothing more is needed from outside."""

    def sync() -> None:
        site.agent(killing(Step.MANIFEST_SAVED)).installer.sync()

    assert in_child(sync) == -signal.SIGKILL
    assert not (site.node / "posix.db").exists()
    site.server.asked.clear()
    assert site.agent().installer.remask()
    assert set(installed_users(site.node)) == {"alice", "bob"}
    assert site.server.asked == []


def test_a_ban_received_before_a_crash_is_installed_at_the_next_start(site: SnapshotSite) -> None:
    """Kill -9 between saving the envelope and compiling it."""
    alice = site.agent()
    alice.bans.fetch()
    banned = site.open_account("s-carol", "carol")
    site.ban(banned)
    site.publish()

    def fetch() -> None:
        site.agent(killing(Step.BANS_SAVED)).bans.fetch()

    assert in_child(fetch) == -signal.SIGKILL
    agent = site.agent()
    before = agent.files.read_bans()
    assert before is not None
    assert before.bans == ()
    agent.bans.restore()
    after = agent.files.read_bans()
    assert after is not None
    assert after.bans == ((banned.uid_number, 0),)


def test_a_ban_installed_before_a_crash_is_in_force_and_nothing_is_left_to_do(
    site: SnapshotSite,
) -> None:
    """Kill -9 right behind the replacement of bans.db, alone and in the middle of a synchronisation."""
    site.agent().bans.fetch()
    site.agent().installer.sync()
    carol = site.open_account("s-carol", "carol")
    site.ban(carol, until=site.clock.now + 500)
    site.publish()
    old = (site.node / "posix.db").read_bytes()

    assert in_child(lambda: site.agent(killing(Step.BANS_INSTALLED)).bans.fetch() and None) == (
        -signal.SIGKILL
    )
    banned = ((carol.uid_number, site.clock.now + 500),)
    agent = site.agent()
    found = agent.files.read_bans()
    assert found is not None
    assert found.bans == banned
    inode = (site.node / "bans.db").stat().st_ino
    agent.bans.restore()
    assert (site.node / "bans.db").stat().st_ino == inode
    assert not agent.bans.fetch(), "the list is installed already"

    site.ban(site.open_account("s-dora", "dora"))
    site.publish()
    assert in_child(lambda: site.agent(killing(Step.BANS_INSTALLED)).installer.sync() and None) == (
        -signal.SIGKILL
    )
    assert (site.node / "posix.db").read_bytes() == old, "names wait until the bans are there"
    found = site.agent().files.read_bans()
    assert found is not None
    assert len(found.bans) == 2
    agent = site.agent()
    assert agent.installer.sync()
    assert verify_installed(agent) == []
    assert not list(site.node.rglob("*.tmp"))


def test_a_ban_list_with_another_end_or_account_is_named_and_installed_again(
    site: SnapshotSite,
) -> None:
    """Same counter, same date, sound checksums: only a comparison of every entry finds it."""
    carol = site.open_account("s-carol", "carol")
    site.ban(carol, until=site.clock.now + 500)
    site.publish()
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    right = agent.files.read_bans()
    assert right is not None
    (uid, until) = right.bans[0]
    for wrong in (((uid, until - 499),), ((uid, 0),), ((uid - 1, until),), ()):
        agent.files.install_bans(replace(right, bans=wrong))
        assert [finding.file for finding in verify_installed(agent)] == ["bans.db"]
        agent.bans.restore()
        assert verify_installed(agent) == []
        agent.files.install_bans(replace(right, bans=wrong))
        assert agent.bans.fetch()
        assert agent.files.read_bans() == right


def test_a_ban_is_kept_across_restarts_and_a_deleted_bans_db(site: SnapshotSite) -> None:
    """The envelope beside it is verified again and installed again."""
    site.ban(site.open_account("s-carol", "carol"))
    site.publish()
    site.agent().bans.fetch()
    (site.node / "bans.db").unlink()
    agent = site.agent()
    agent.bans.restore()
    installed = agent.files.read_bans()
    assert installed is not None
    assert [uid for uid, _ in installed.bans] == [200_002]


def test_a_tampered_bans_envelope_is_not_installed_at_start(site: SnapshotSite) -> None:
    """What lies on disk is verified like what comes from the network."""
    agent = site.agent()
    agent.bans.fetch()
    kept = (site.node / "bans.db").read_bytes()
    path = site.node / "bans.envelope"
    path.write_bytes(path.read_bytes().replace(b'"sig":"', b'"sig":"AAAA'))
    agent.bans.restore()
    assert (site.node / "bans.db").read_bytes() == kept


@pytest.mark.parametrize("limit", [0, 100, 300, 2_000, 5_000, 20_000, 40_000])
def test_a_write_that_finds_no_room_keeps_the_old_files_and_leaves_nothing_partial(
    site: SnapshotSite, limit: int
) -> None:
    """RLIMIT_FSIZE stops writing at ever later places: state, envelope, chunk, trust.db, posix.db."""
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    names = ("posix.db", "trust.db", "bans.db")
    before = {name: (site.node / name).read_bytes() for name in names}
    site.open_accounts(200)
    site.publish()

    def sync() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        site.agent().installer.sync()

    assert in_child(sync) == 10
    for name in names:
        assert (site.node / name).read_bytes() == before[name], name
    assert not [p for p in site.node.rglob("*") if p.name.endswith((".tmp", ".previous"))]
    site.agent().installer.sync()
    assert len(installed_users(site.node)) == 202


def test_a_posix_db_that_cannot_be_written_stays_behind_a_whole_new_trust_db(
    site: SnapshotSite,
) -> None:
    """trust.db goes first; a new identity without its record is refused, so the pair is safe and mended later."""
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    before = (site.node / "posix.db").read_bytes()
    site.open_accounts(200)
    site.publish()
    compiler = site.directory / "compiler"
    compiler.write_text('#!/bin/sh\n[ "$1" = settle ] || { echo "disk full" >&2; exit 3; }\n')
    compiler.chmod(0o755)
    files = site.settings().files.model_copy(update={"compiler": compiler}).model_dump(mode="json")
    with pytest.raises(NodeInstallFailed) as caught:
        site.agent(files=files).installer.sync()
    assert caught.value.reason is Reason.INSTALL_FAILED
    assert (site.node / "posix.db").read_bytes() == before
    path = site.node / "trust.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM identities").fetchone() == (202,)
    agent = site.agent()
    agent.installer.sync()
    assert verify_installed(agent) == []
    assert len(installed_users(site.node)) == 202


@pytest.mark.root
def test_a_full_file_system_keeps_the_last_good_files(real_time_site: SnapshotSite) -> None:
    """A real tmpfs in a private mount namespace, filled to the last page; then room again."""
    site = real_time_site
    site.node.mkdir()
    config = site.write_config()
    agent = f"{sys.executable} -m idmap.entrypoints.agent.main"
    script = f"""
        set -eu
        mount -t tmpfs -o size=2m none {site.node}
        {agent} sync --once --config {config} >&2
        mkdir {site.directory}/kept
        cp {site.node}/*.db {site.directory}/kept
        dd if=/dev/zero of={site.node}/ballast bs=4096 2>/dev/null || true
        echo full; read go
        if {agent} sync --once --config {config} >&2; then echo installed; else echo failed; fi
        for name in posix trust bans; do
          cmp {site.node}/$name.db {site.directory}/kept/$name.db && echo same
        done
        find {site.node} -name '*.tmp' | wc -l
        rm {site.node}/ballast
        {agent} sync --once --config {config} >&2 && echo repaired
    """
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    site.open_accounts(300)
    site.publish()
    rest, errors = process.communicate("go\n", timeout=60)
    assert (first + rest).split() == ["full", "failed", *["same"] * 3, "0", "repaired"], errors
    assert "install_failed" in errors


def test_a_damaged_posix_db_is_installed_again(site: SnapshotSite) -> None:
    """`verify` names it; the next sync repairs it although nothing is new."""
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    path = site.node / "posix.db"
    damaged = bytearray(path.read_bytes())
    damaged[4096 + 8] ^= 1
    path.write_bytes(damaged)
    assert [f.file for f in verify_installed(agent)] == ["posix.db"]
    damaged[30] ^= 1
    path.write_bytes(damaged)
    assert agent.installer.sync()
    assert verify_installed(agent) == []

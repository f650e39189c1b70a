"""The running agent: events in, files installed, clock watched, service told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from idmap.application.install_bans import SkewJudge
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.manifest import HEARTBEAT_SECONDS
from idmap.entrypoints.agent.assemble import Agent
from idmap.entrypoints.agent.inspect import status_report
from idmap.entrypoints.agent.run import AgentLoop
from tests.support.snapshot_site import START, SnapshotSite, installed_users


@dataclass
class Ticks:
    """A clock that nobody sets but the test."""

    now: float = 1000.0
    site: SnapshotSite | None = None

    def __call__(self) -> float:
        return self.now


@dataclass
class Running:
    """A running agent."""

    agent: Agent
    ticks: Ticks = field(default_factory=Ticks)


@contextmanager
def running(site: SnapshotSite, **more: object) -> Iterator[Running]:
    """An agent in threads of this process, with its stream open."""
    run = Running(site.agent(poll_seconds=3600))
    stop = threading.Event()
    loop = AgentLoop(run.agent, stop, ticks=run.ticks, longest_delay=0.2, **more)  # type: ignore[arg-type]
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        wait_for(lambda: bool(site.server.streams) and (site.node / "posix.db").exists())
        asked = -1
        while asked != len(site.server.asked):  # what it asks for when it starts has been answered
            asked = len(site.server.asked)
            time.sleep(0.3)
        yield run
    finally:
        stop.set()
        loop.wake()
        site.server.end_streams()
        thread.join(timeout=20)
        assert not thread.is_alive()


def wait_for(fact: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits until it is so."""
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < seconds, "it never came true"
        time.sleep(0.01)


def banned(run: Running) -> tuple[int, ...]:
    """The uid numbers in bans.db."""
    bans = run.agent.files.read_bans()
    return tuple(uid for uid, _ in bans.bans) if bans else ()


def beat(site: SnapshotSite, run: Running, seconds: int = HEARTBEAT_SECONDS) -> None:
    """Time passes at the service and here; a heartbeat comes."""
    site.clock.now += seconds
    site.node_clock.now += seconds
    run.ticks.now += seconds
    site.publisher.publish_heartbeat()
    site.server.send_document("heartbeat")
    time.sleep(0.15)


def skew(run: Running) -> bool:
    """The flag in bans.db."""
    bans = run.agent.files.read_bans()
    return bans is not None and bans.clock_skew


def test_a_ban_in_the_stream_is_installed_at_once_and_reported(site: SnapshotSite) -> None:
    """Law 5: by what the stream brought, and without asking back."""
    with running(site) as run:
        wait_for(lambda: bool(site.server.reports))
        site.server.asked.clear()
        site.ban(site.open_account("s-carol", "carol"))
        site.publisher.publish_bans()
        site.server.send_document("bans")
        wait_for(lambda: banned(run) == (200_002,))
        assert "/v1/snapshot/bans" not in site.server.asked
        wait_for(lambda: site.server.reports[-1]["ban_counter"] == 1)


def test_a_ban_does_not_wait_for_a_snapshot_being_installed(site: SnapshotSite) -> None:
    """The two locks are two."""
    with running(site) as run, run.agent.files.snapshot_lock():
        site.ban(site.open_account("s-carol", "carol"))
        site.publisher.publish_bans()
        site.server.send_document("bans")
        wait_for(lambda: banned(run) == (200_002,))


def test_a_manifest_event_brings_the_snapshot(site: SnapshotSite) -> None:
    """Installed by its arrival; the report says the revision and the node's own names."""
    with running(site):
        site.open_account("s-carol", "carol")
        site.publish()
        site.server.send_document("manifest")
        wait_for(lambda: "carol" in installed_users(site.node))
        revision = site.publisher.revision
        wait_for(lambda: site.server.reports[-1]["revision"] == revision)
        assert site.server.reports[-1]["local_names"] == ["root"]
        assert site.server.reports[-1]["masked"] == []


def test_a_heartbeat_that_knows_more_brings_what_was_missed(site: SnapshotSite) -> None:
    """Lost events: revision and counter in the heartbeat tell of the gap."""
    with running(site) as run:
        site.ban(site.open_account("s-carol", "carol"))
        site.publish()
        site.server.send_document("heartbeat")
        wait_for(lambda: banned(run) == (200_002,))
        wait_for(lambda: "carol" in installed_users(site.node))


def test_garbage_in_the_stream_harms_nothing(site: SnapshotSite) -> None:
    """Unsigned bans, wrong types, unknown events, broken JSON: the next good event counts."""
    with running(site) as run:
        heartbeat = site.store.read_document("heartbeat") or b""
        for name, data in [
            ("bans", b"{}"),
            ("bans", heartbeat),
            ("bans", b"[" * 100_000),
            ("manifest", b"\xff\xfe"),
            ("heartbeat", b"null"),
            ("shutdown", b"now"),
        ]:
            site.server.send(name, data)
        site.ban(site.open_account("s-carol", "carol"))
        site.publisher.publish_bans()
        site.server.send_document("bans")
        wait_for(lambda: banned(run) == (200_002,))
        assert len(site.server.streams) == 1


def test_a_broken_stream_is_opened_again_and_the_ban_list_fetched_whole(site: SnapshotSite) -> None:
    """What was said in between is not lost."""
    with running(site) as run:
        site.ban(site.open_account("s-carol", "carol"))
        site.publisher.publish_bans()
        site.server.end_streams()
        wait_for(lambda: banned(run) == (200_002,))


def test_a_stream_without_heartbeats_is_given_up(site: SnapshotSite) -> None:
    """Comments keep a connection open; only signed heartbeats keep it trusted."""
    with running(site, silence_seconds=0.3):
        first = site.server.streams[0]
        for _ in range(60):
            first.put(b": still here\n\n")
            time.sleep(0.02)
        wait_for(lambda: bool(site.server.streams) and first not in site.server.streams)


def test_a_local_account_added_while_running_is_masked_and_reported(site: SnapshotSite) -> None:
    """The files are looked at every second."""
    with running(site):
        wait_for(lambda: bool(site.server.reports))
        site.passwd.write_text("root:x:0:0::/:/bin/sh\nbob:x:1500:1500::/:/bin/sh\n")
        wait_for(lambda: set(installed_users(site.node)) == {"alice"})
        wait_for(lambda: site.server.reports[-1]["masked"] == ["bob"])
        assert site.server.reports[-1]["local_names"] == ["bob", "root"]


def test_signed_time_in_bans_db_follows_the_heartbeats_within_a_minute(site: SnapshotSite) -> None:
    """So that a clock that runs slow revives nothing."""
    with running(site) as run:
        site.node_clock.now = START - 500_000
        for _ in range(14):
            beat(site, run)
        bans = run.agent.files.read_bans()
        assert bans is not None
        assert site.clock.now - 60 <= bans.signed_time <= site.clock.now
        assert run.agent.bans.effective_time() >= bans.signed_time
        assert not bans.clock_skew, "a slow clock is made up for, not refused"


def test_a_fast_clock_sets_the_skew_flag_and_setting_it_right_clears_it(site: SnapshotSite) -> None:
    """More than 120 s ahead of live heartbeats."""
    with running(site) as run:
        beat(site, run)
        site.node_clock.now += 119
        beat(site, run)
        beat(site, run)
        assert not skew(run)
        site.node_clock.now += 10
        beat(site, run)
        wait_for(lambda: skew(run))
        site.node_clock.now -= 129
        wait_for(lambda: not skew(run))


def test_a_stored_heartbeat_says_nothing_about_the_clock() -> None:
    """A mirror or a stopped worker serves old ones; the node must not lock everybody out (law 7)."""
    judge = SkewJudge()
    for _ in range(2):
        judge.connected()
        judge.hear(START - 9000, 10.0)
        judge.hear(START - 9000, 15.0)
        assert judge.is_fast(START, 15.0) is None
    judge.connected()
    judge.hear(START - 9000, 100.0)
    judge.hear(START - 8995, 100.1)  # a backlog: five seconds of signed time in no time at all
    assert judge.is_fast(START, 100.1) is None
    judge.hear(START, 105.0)
    judge.hear(START + 5, 110.0)
    assert judge.is_fast(START + 5, 110.0) is False
    assert judge.is_fast(START + 126, 110.0) is True
    assert judge.is_fast(START + 126 + 50, 160.0) is True, "without heartbeats, by the other clock"


def test_status_says_how_far_behind_a_silent_node_is(site: SnapshotSite) -> None:
    """Lag, contact, and the last error with its next step."""
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    report = status_report(agent)
    assert (report["in_contact"], report["lag_seconds"], report["clock_skew"]) == (True, 0, False)
    site.node_clock.now += 300
    site.server.faults["/v1/snapshot/manifest"] = lambda data: data[:0]
    try:
        agent.installer.sync()
    except NodeInstallFailed as error:
        agent.installer.note_failure("sync", error)
    report = status_report(agent)
    assert (report["in_contact"], report["lag_seconds"]) == (False, 300)
    assert report["last_error"]["reason"] == "manifest_invalid"
    assert report["last_error"]["next_step"]

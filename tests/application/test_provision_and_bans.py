"""Law 5 against a nightly run: a ban from another process is acknowledged while the run goes on.

No clock decides here. The ban is asked for at a known point of the run, by another process, and the run goes
on only when it is acknowledged; or the record of changes tells how many of the run's transactions went before.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.application.provision_apply import Pace
from idmap.application.provision_report import Outcome
from idmap.domain.guard import GuardLimits
from tests.support.provisioning import START, Site, identity
from tests.support.watched_registry import WatchedRegistry

PEOPLE = 6_000
BATCHES = 20
PATIENCE = 25
"""Seconds; less than a writer waits for the lock, so that whoever has to wait for a run fails here."""

_BANNER = """
import sys
from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Author
from tests.support.provisioning import START, identity
registry = SqlRegistry.open(sys.argv[1], lambda: START)
print("ready", flush=True)
for name in sys.stdin:
    print("asking", flush=True)
    with registry.write(Author("admin-key", "incident")) as writer:
        writer.add_ban(account_id=None, identity=identity(name.strip()), reason="x", until=None, at=START)
    print("acknowledged", flush=True)
"""


class Banner:
    """Another process that bans whom it is told to."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BANNER, url],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.banned: list[str] = []
        self._says("ready")

    def ask(self) -> None:
        """Asks for one more ban; returns once the other process is at it."""
        self.banned.append(f"banned{len(self.banned)}")
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self.banned[-1]}\n")
        self._process.stdin.flush()
        self._says("asking")

    def acknowledged(self) -> None:
        """Waits until the ban is committed."""
        self._says("acknowledged")

    def ban(self) -> None:
        self.ask()
        self.acknowledged()

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _says(self, word: str) -> None:
        said: list[str] = []
        assert self._process.stdout is not None
        reading = threading.Thread(
            target=lambda out: said.append(out.readline()), args=(self._process.stdout,)
        )
        reading.daemon = True
        reading.start()
        reading.join(PATIENCE)
        assert said == [f"{word}\n"], "the ban waits for the run"


@contextmanager
def at_point(of: Callable[[], None], numbers: range) -> Iterator[Callable[[], None]]:
    """Calls `of` at these passages of a failpoint; all of them must have been passed in the end."""
    passed = 0

    def here() -> None:
        nonlocal passed
        passed += 1
        if passed in numbers:
            of()

    yield here
    assert passed >= numbers[-1], "the run did not come by"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Nobody has an account yet and six thousand will have one."""
    registry = SqlRegistry.create(f"sqlite:///{tmp_path}/registry.db", lambda: START)
    site = Site(registry).prepare()
    site.source.members = {
        "demo/compute": {f"person{number}" for number in range(PEOPLE)},
        "demo/gpu": {f"person{number}" for number in range(0, PEOPLE, 2)},
    }
    yield site
    registry.close()


@pytest.fixture
def banner(site: Site, tmp_path: Path) -> Iterator[Banner]:
    banner = Banner(f"sqlite:///{tmp_path}/registry.db")
    yield banner
    banner.stop()


def bans_and_batches(site: Site) -> list[int]:
    """For each ban, in order: how many accounts the run had opened before it."""
    opened, found = 0, []
    with site.registry.read() as reader:
        after = 0
        while entries := reader.changes(after=after, limit=5000):
            for entry in entries:
                opened += entry.action == "open_account"
                if entry.action == "add_ban":
                    found.append(opened)
            after = entries[-1].sequence
    return found


def test_a_ban_waits_for_no_phase_of_a_first_run(site: Site, banner: Banner) -> None:
    """Acknowledged while the sources are read, while the run rehearses, and in every gap between its batches."""
    observe, registry = site.source.observe, site.registry

    def observing(watched, progress, known, facts):  # type: ignore[no-untyped-def]
        banner.ban()
        return observe(watched, progress, known, facts)

    site.source.observe = observing  # type: ignore[method-assign]
    with (
        at_point(banner.ban, range(1, 2)) as rehearsed,
        at_point(banner.ask, range(1, BATCHES)) as before_commit,
        at_point(banner.acknowledged, range(1, BATCHES)) as pause,
    ):
        site.registry = WatchedRegistry(registry, rehearsed, before_commit)
        site.pace = Pace(batch=2 * PEOPLE // BATCHES, pause=pause)
        report = site.run()
    assert report.outcome is Outcome.APPLIED, report.detail
    assert report.plan is not None
    assert len(report.plan.changes) == PEOPLE + 3
    assert report.notes == (), "a ban is nothing that makes a run begin again"
    with registry.read() as reader:
        assert {ban.identity for ban in reader.bans()} == set(map(identity, banner.banned))
        assert reader.verify_changes() > 2 * PEOPLE
    went_before = bans_and_batches(site)
    assert went_before[:2] == [0, 0], "before anything was applied"
    assert went_before[2:] == sorted(set(went_before[2:])), "one in each gap"
    assert went_before[-1] < PEOPLE


def test_a_run_at_its_own_pace_lets_every_ban_in_within_a_few_batches(
    site: Site, banner: Banner
) -> None:
    """With the pause as it is: asked for while a batch is written, acknowledged before the sixth after it ends."""
    registry = site.registry
    batches = 0

    def before_commit() -> None:
        nonlocal batches
        batches += 1
        if batches % 6 == 0:
            if banner.banned:
                banner.acknowledged()
            banner.ask()

    site.registry = WatchedRegistry(registry, before_commit=before_commit)
    assert site.run().outcome is Outcome.APPLIED
    banner.acknowledged()
    assert len(banner.banned) >= 7
    assert len(bans_and_batches(site)) == len(banner.banned)


def test_a_ban_waits_for_no_phase_of_a_night_that_removes(site: Site, banner: Banner) -> None:
    """And no ban moves the plan, so that what was judged is what is applied."""
    site.run()
    site.later(days=1)
    gone = {f"person{number}" for number in range(0, PEOPLE, 8)}
    site.source.members["demo/compute"] -= gone
    site.limits = GuardLimits(max_percent=15)
    registry = site.registry
    with at_point(banner.ban, range(1, 2)) as rehearsed, at_point(banner.ban, range(1, 4)) as pause:
        site.registry = WatchedRegistry(registry, rehearsed)
        site.pace = Pace(batch=400, pause=pause)
        report = site.run()
    assert report.outcome is Outcome.APPLIED, report.detail
    assert report.plan is not None
    assert report.plan.counts() == {"start_grace": len(gone)}
    assert len(banner.banned) == 4
    assert report.notes == ()

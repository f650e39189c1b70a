"""The nightly schedule: when runs are due, what is made up for, and that nothing ends the loop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from idmap.application.provision_report import Outcome, ProvisionReport
from idmap.domain.errors import Conflict, InvalidInput, Unavailable
from idmap.domain.reasons import Reason
from idmap.entrypoints.work.runner import last_started, new_run_id, run_scheduled
from idmap.entrypoints.work.schedule import Schedule, parse_schedule, run_schedule
from tests.support.provisioning import Site
from tests.support.registries import make_registry

NIGHTLY = parse_schedule("17 2 * * *", "UTC")
DAY = 86400


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def report(outcome: Outcome = Outcome.NOTHING_TO_DO) -> ProvisionReport:
    return ProvisionReport("run", outcome, 0, 0, 0)


class World:
    """A clock that moves as the loop sleeps, and the runs that were started."""

    def __init__(self, now: int, newest: int | None) -> None:
        self.now = now
        self.newest = newest
        self.started: list[int] = []
        self.outcome: Callable[[], ProvisionReport] = report
        self.record = True
        self.sleeps: list[float] = []

    def run(self) -> ProvisionReport:
        self.started.append(self.now)
        if self.record:
            self.newest = self.now
        return self.outcome()

    def go(self, schedule: Schedule, until: int) -> None:
        world = self

        class Stop(Event):
            def wait(self, timeout: float | None = None) -> bool:
                assert timeout is not None
                world.sleeps.append(timeout)
                world.now += int(timeout)
                if world.now >= until:
                    self.set()
                return self.is_set()

        run_schedule(schedule, self.run, lambda: self.newest, clock=lambda: self.now, stop=Stop())


# --- when ---------------------------------------------------------------------------------------


def test_the_default_is_once_a_night() -> None:
    assert NIGHTLY.next_run(at("2026-11-02T02:16:59")) == at("2026-11-02T02:17:00")
    assert NIGHTLY.next_run(at("2026-11-02T02:17:00")) == at("2026-11-03T02:17:00")


def test_the_time_zone_is_the_sites() -> None:
    berlin = parse_schedule("17 2 * * *", "Europe/Berlin")
    assert berlin.next_run(at("2026-07-01T12:00:00")) == at("2026-07-02T00:17:00")
    assert berlin.next_run(at("2026-12-01T12:00:00")) == at("2026-12-02T01:17:00")


def test_clocks_that_skip_or_repeat_the_hour_still_give_one_run() -> None:
    """Berlin skips 02:17 on 29 March 2026 and has it twice on 25 October 2026."""
    berlin = parse_schedule("17 2 * * *", "Europe/Berlin")
    spring = berlin.next_run(at("2026-03-28T12:00:00"))
    assert at("2026-03-29T00:00:00") < spring < at("2026-03-29T02:00:00")
    autumn = berlin.next_run(at("2026-10-24T12:00:00"))
    assert berlin.next_run(autumn) > autumn + DAY - 3700


@given(st.integers(0, 4_000_000_000))
def test_the_next_run_is_later_and_reached_without_a_gap(after: int) -> None:
    due = NIGHTLY.next_run(after)
    assert after < due <= after + DAY
    assert NIGHTLY.next_run(due - 1) == due


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("17 2 * *", "UTC"),
        ("", "UTC"),
        ("99 2 * * *", "UTC"),
        ("0 0 30 2 *", "UTC"),
        ("17 2 * * *", "Mars/Olympus"),
        ("17 2 * * *", "../../etc/passwd"),
        ("17 2 * * *", ""),
    ],
)
def test_a_schedule_that_is_none_stops_at_start_up(expression: str, zone: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_schedule(expression, zone)
    assert caught.value.reason is Reason.CONFIGURATION_INVALID
    assert "schedule." in caught.value.detail


# --- the loop -----------------------------------------------------------------------------------


def test_it_runs_when_due_and_only_then() -> None:
    world = World(at("2026-11-02T12:00:00"), at("2026-11-02T02:17:00"))
    world.go(NIGHTLY, at("2026-11-05T12:00:00"))
    assert [moment // DAY * DAY for moment in world.started] == [
        at("2026-11-03"),
        at("2026-11-04"),
        at("2026-11-05"),
    ]
    assert all(NIGHTLY.next_run(moment - DAY) + 60 >= moment for moment in world.started)
    assert max(world.sleeps) <= 60
    assert min(world.sleeps) >= 1


def test_a_missed_run_is_made_up_for_once_however_many_were_missed() -> None:
    """Down for a week: one run at once, then the schedule."""
    world = World(at("2026-11-09T12:00:00"), at("2026-11-02T02:17:00"))
    world.go(NIGHTLY, at("2026-11-10T12:00:00"))
    assert world.started[0] == at("2026-11-09T12:00:00")
    assert len(world.started) == 2


def test_a_new_site_waits_for_its_first_night() -> None:
    world = World(at("2026-11-02T12:00:00"), None)
    world.go(NIGHTLY, at("2026-11-03T12:00:00"))
    assert len(world.started) == 1
    assert world.started[0] >= at("2026-11-03T02:17:00")


def test_a_run_that_somebody_else_made_meanwhile_is_not_made_again() -> None:
    """By hand after a missed night, or by another replica a moment ago."""
    world = World(at("2026-11-03T02:17:30"), at("2026-11-03T02:17:01"))
    world.go(NIGHTLY, at("2026-11-03T12:00:00"))
    assert world.started == []


def raises(error: Exception) -> Callable[[], ProvisionReport]:
    def outcome() -> ProvisionReport:
        raise error

    return outcome


@pytest.mark.parametrize(
    ("outcome", "event", "reason"),
    [
        (
            lambda: ProvisionReport("r", Outcome.FAILED, 0, 0, 0, Reason.SOURCE_UNAVAILABLE, "x"),
            "provision_failed",
            "source_unavailable",
        ),
        (
            lambda: ProvisionReport("r", Outcome.STOPPED, 0, 0, 0, Reason.GUARD_STOPPED, "x"),
            "provision_failed",
            "guard_stopped",
        ),
        (raises(Conflict(Reason.ALREADY_RUNNING)), "provision_skipped", "already_running"),
        (
            raises(Unavailable(Reason.SERVICE_UNAVAILABLE)),
            "provision_failed",
            "service_unavailable",
        ),
        (raises(ZeroDivisionError("a secret text")), "provision_broke", "internal_error"),
    ],
)
def test_a_failing_run_is_logged_with_its_reason_and_the_next_night_comes(
    outcome: Callable[[], ProvisionReport], event: str, reason: str
) -> None:
    """Once a night, not once a second, even where it left no record."""
    world = World(at("2026-11-02T12:00:00"), at("2026-11-02T02:17:00"))
    world.outcome, world.record = outcome, False
    with structlog.testing.capture_logs() as events:
        world.go(NIGHTLY, at("2026-11-04T12:00:00"))
    assert len(world.started) == 2
    assert [(one["event"], one["reason"]) for one in events if "reason" in one] == [
        (event, reason)
    ] * 2
    assert "a secret text" not in repr(events)


def test_a_registry_that_cannot_be_asked_is_asked_again_later() -> None:
    world = World(at("2026-11-03T02:17:00"), at("2026-11-02T02:17:00"))
    asked = []

    def newest() -> int | None:
        asked.append(world.now)
        if len(asked) < 3:
            raise Unavailable(Reason.SERVICE_UNAVAILABLE, "the database")
        return world.newest

    class Stop(Event):
        def wait(self, timeout: float | None = None) -> bool:
            world.sleeps.append(timeout or 0)
            return self.is_set()

    stop = Stop()

    def run() -> ProvisionReport:
        stop.set()
        return world.run()

    run_schedule(NIGHTLY, run, newest, clock=lambda: world.now, stop=stop)
    assert len(world.started) == 1
    assert world.sleeps[:2] == [60, 60]


def test_a_stop_ends_the_loop_without_a_run() -> None:
    stop = Event()
    stop.set()
    run_schedule(NIGHTLY, raises(AssertionError()), lambda: 0, clock=lambda: DAY * 9, stop=stop)


# --- the run itself -----------------------------------------------------------------------------


def test_two_replicas_on_one_registry_make_one_run_a_night() -> None:
    """The second finds the first one's record, or its lease."""
    site = Site(make_registry()).prepare()
    site.source.members = {"demo/compute": {"alice"}}

    def run() -> ProvisionReport:
        return run_scheduled(site.registry, [site.source], site.limits, clock=lambda: site.now)

    class Once(Event):
        def wait(self, timeout: float | None = None) -> bool:
            del timeout
            self.set()
            return True

    site.now = at("2026-11-03T02:17:00")
    for _ in range(2):
        run_schedule(
            NIGHTLY,
            run,
            lambda: last_started(site.registry) or at("2026-11-02T02:17:00"),
            clock=lambda: site.now,
            stop=Once(),
        )
        site.now += 5
    with site.registry.read() as reader:
        assert [one.outcome for one in reader.runs()] == ["applied"]


def test_run_ids_sort_by_time_and_differ() -> None:
    first, second = new_run_id(0), new_run_id(0)
    assert first != second
    assert max(first, second) < new_run_id(at("2026-11-02"))

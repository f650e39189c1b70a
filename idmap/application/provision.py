"""One provisioning run: observe → plan → guard → apply.

The sources are read first, with no transaction open. Then the run is *rehearsed*: what they said is recorded,
the plan computed, and everything rolled back; so the plan and its hash are known before anything is kept. The guard
judges it. Only then one write transaction records the facts again, finds the same plan and applies it:
facts and changes are kept together or not at all, under an author who names the plan (law 12). A rehearsal that finds
nothing to do is kept as it is: there is no change to name a plan for.

A source that fails, a guard that stops, a range that is full: nothing is recorded and nobody is removed (laws 5
and 6). Every run but a dry one leaves a run record. It does *not* publish: who watches
the registry's revision does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from idmap.application.ports import Author, Clock, Progress, Registry, RunRecord, Source
from idmap.application.provision_report import Outcome, ProvisionReport, record_of
from idmap.application.provision_steps import (
    Judged,
    Observed,
    apply_plan,
    observe,
    record_and_plan,
    rehearse,
)
from idmap.domain.decision import day_of
from idmap.domain.errors import Conflict, IdmapError, InvalidInput
from idmap.domain.provisioning import GuardLimits, Plan, require_guard
from idmap.domain.reasons import Reason

LEASE: Final = "provision"
LEASE_SECONDS: Final = 600
"""Renewed while the sources are read; after a crash the next run waits at most this long."""

_RENEW_AFTER_SECONDS: Final = 60
_REHEARSALS: Final = 3
"""How often a plan is made again because somebody changed something between rehearsal and application."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What is asked of one run."""

    run_id: str
    why: str
    """Who or what started it, for the record: `nightly schedule`, `idmap provision run`."""
    dry_run: bool = False
    approve: str | None = None
    """The hash of the one plan that may pass the guard."""
    as_of: date | None = None
    """Plan as if it were the beginning of this later UTC day; implies a dry run. The sources' clock must agree."""

    @property
    def keeps_nothing(self) -> bool:
        return self.dry_run or self.as_of is not None


def silent(what: str, done: int, total: int | None) -> None:
    """Progress that nobody watches."""
    del what, done, total


def run_provision(
    registry: Registry,
    sources: Collection[Source],
    limits: GuardLimits,
    request: RunRequest,
    *,
    clock: Clock,
    progress: Progress = silent,
) -> ProvisionReport:
    """Runs once. Whatever idmap can name ends in the report; nothing was changed unless it says `applied`.

    Raises Conflict(ALREADY_RUNNING) when another run holds the lease, and InvalidInput(REQUEST_INVALID) for
    a day in the past; both leave no trace.
    """
    started = clock()
    run = _Run(
        registry,
        sources,
        limits,
        request,
        clock,
        progress,
        started,
        _planning_time(request, started),
    )
    with _lease(registry, request.run_id, clock) as renew:
        run.renew = renew
        if request.keeps_nothing:
            return run.go()
        _save(registry, request, RunRecord(request.run_id, started, None, "running", None, None))
        try:
            report = run.go()
        except BaseException:
            # A fault of ours, or Ctrl-C: the transaction was rolled back; the record says that the run is over.
            failure = RunRecord(
                request.run_id, started, clock(), Outcome.FAILED, str(Reason.INTERNAL_ERROR), None
            )
            _save(registry, request, failure)
            raise
        _save(registry, request, record_of(report))
        return report


class _RolledBack(Exception):
    """Ends a rehearsal's transaction without keeping anything."""


@dataclass(slots=True)
class _Run:
    """The four steps in order, and what is known so far for the report."""

    registry: Registry
    sources: Collection[Source]
    limits: GuardLimits
    request: RunRequest
    clock: Clock
    progress: Progress
    started: int
    at: int
    renew: Callable[[], None] = lambda: None
    observed: Observed | None = None
    judged: Judged | None = None

    def go(self) -> ProvisionReport:
        """The run as a report, whatever idmap can name."""
        try:
            outcome = self._steps()
        except IdmapError as error:
            stopped = error.reason in {Reason.GUARD_STOPPED, Reason.PLAN_STALE}
            return self._report(
                Outcome.STOPPED if stopped else Outcome.FAILED, error.reason, error.detail
            )
        return self._report(outcome, None, "")

    def _steps(self) -> Outcome:
        with self.registry.read() as reader:
            rules = reader.rules()
        self.observed = observe(rules, self.sources, self._tell)
        for _ in range(_REHEARSALS):
            self.renew()
            self.judged, kept = self._rehearse(self.observed)
            if self.request.keeps_nothing:
                return Outcome.PLANNED
            if kept:
                return Outcome.NOTHING_TO_DO
            require_guard(self.judged.plan, self.judged.guard, self.request.approve)
            if self._apply_same(self.observed, self.judged.plan):
                return Outcome.APPLIED if self.judged.plan.changes else Outcome.NOTHING_TO_DO
        raise Conflict(Reason.PLAN_STALE, "others keep changing what the plan rests on; run again")

    def _rehearse(self, observed: Observed) -> tuple[Judged, bool]:
        """The plan as the guard sees it, and whether the facts were kept: only where nothing is to be
        done and the guard has nothing to say, which is nearly every night and spares a second pass."""
        author = Author(f"provision:{self.request.run_id}", self.request.why)
        found: list[Judged] = []
        try:
            with self.registry.write(author) as writer:
                judged = rehearse(writer, observed, self.limits, self.at)
                found.append(judged)
                quiet = not judged.plan.changes and not judged.guard.stopped_by
                if self.request.keeps_nothing or self.request.approve is not None or not quiet:
                    raise _RolledBack
        except _RolledBack:
            return found[0], False
        return found[0], True

    def _apply_same(self, observed: Observed, plan: Plan) -> bool:
        """Keeps facts and changes; False, with nothing kept, when the plan is another one by now."""
        author = Author(f"provision:{self.request.run_id}", self.request.why, plan.digest)
        try:
            with self.registry.write(author) as writer:
                if record_and_plan(writer, observed, self.at) != plan:
                    raise _RolledBack
                apply_plan(writer, plan)
        except _RolledBack:
            return False
        return True

    def _tell(self, what: str, done: int, total: int | None) -> None:
        self.renew()
        self.progress(what, done, total)

    def _report(self, outcome: Outcome, reason: Reason | None, detail: str) -> ProvisionReport:
        return ProvisionReport(
            run_id=self.request.run_id,
            outcome=outcome,
            started=self.started,
            finished=self.clock(),
            planned_at=self.at,
            reason=reason,
            detail=detail,
            plan=None if self.judged is None else self.judged.plan,
            guard=None if self.judged is None else self.judged.guard,
            sources=() if self.observed is None else self.observed.numbers(),
            notes=() if self.observed is None else self.observed.notes,
        )


def _planning_time(request: RunRequest, now: int) -> int:
    if request.as_of is None or request.as_of == day_of(now):
        return now
    if request.as_of < day_of(now):
        raise InvalidInput(Reason.REQUEST_INVALID, f"as of {request.as_of}: the day is past")
    return beginning_of(request.as_of)


def beginning_of(day: date) -> int:
    """The first second of a UTC day."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


@contextmanager
def _lease(registry: Registry, holder: str, clock: Clock) -> Iterator[Callable[[], None]]:
    """Holds the lease for the block; gives a way to renew it, which asks the registry once a minute at most."""
    renewed = clock()

    def take() -> None:
        if not registry.take_lease(LEASE, holder, at=clock(), seconds=LEASE_SECONDS):
            raise Conflict(Reason.ALREADY_RUNNING, "another run holds the lease")

    def renew() -> None:
        nonlocal renewed
        if clock() - renewed >= _RENEW_AFTER_SECONDS:
            take()
            renewed = clock()

    take()
    try:
        yield renew
    finally:
        registry.release_lease(LEASE, holder)


def _save(registry: Registry, request: RunRequest, run: RunRecord) -> None:
    with registry.write(Author(f"provision:{request.run_id}", request.why)) as writer:
        writer.save_run(run)

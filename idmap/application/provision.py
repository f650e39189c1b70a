"""One provisioning run: observe → plan → guard → apply.

The sources are read first, with no transaction open. Then the run is *rehearsed* on a private copy of the
registry: what they said is recorded there and the plan computed, so plan and hash are known before anything is kept,
and nobody waits meanwhile: a ban least of all (law 5). The guard judges the plan. Only then it is applied, in short
write transactions: each makes sure that what the plan rests on did not move, keeps the facts and the changes of
the same people together or not at all, under an author who names the plan (law 12), and lets others in. When something
moved, the rest is rehearsed anew. A crash between two of them leaves what the next run completes.

A source that fails, a guard that stops, a range that is full: nothing is recorded and nobody is removed (laws 5
and 6). Every run but a dry one leaves a run record, and forgets what is kept of people no longer: facts that no rule
asks for, differences that no token showed for long. It does *not* publish: who watches the registry's revision does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Final

from idmap.application.ports import Author, Clock, Progress, Registry, RunRecord, Source
from idmap.application.provision_apply import Kept, Pace, apply_in_batches
from idmap.application.provision_report import Outcome, ProvisionReport, record_of
from idmap.application.provision_steps import (
    Observed,
    Rehearsed,
    apply_changes,
    observe,
    rehearse,
)
from idmap.domain.decision import day_of
from idmap.domain.differences import KEPT_SECONDS
from idmap.domain.errors import Conflict, IdmapError, InvalidInput
from idmap.domain.guard import GuardLimits, require_guard
from idmap.domain.plans import Plan
from idmap.domain.reasons import Reason

LEASE: Final = "provision"
LEASE_SECONDS: Final = 600
"""Renewed while the sources are read; after a crash the next run waits at most this long."""

_RENEW_AFTER_SECONDS: Final = 60
_REHEARSALS: Final = 3
"""How often in a row a plan is made again because somebody changed something before any of it was kept."""

_GENTLY: Final = Pace()


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
    pace: Pace = _GENTLY,
) -> ProvisionReport:
    """Runs once. Whatever idmap can name ends in the report. Nothing was changed unless it says `applied`, or
    its detail says how many changes had been applied before it was stopped.

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
        pace,
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
        _save(registry, request, record_of(report), forget_before=started - KEPT_SECONDS)
        return report


@dataclass(slots=True)
class _Run:
    """The four steps in order, and what is known so far for the report."""

    registry: Registry
    sources: Collection[Source]
    limits: GuardLimits
    request: RunRequest
    clock: Clock
    progress: Progress
    pace: Pace
    started: int
    at: int
    renew: Callable[[], None] = lambda: None
    observed: Observed | None = None
    rehearsed: Rehearsed | None = None
    passed: Plan | None = None
    """The plan that went through the guard and of which something is kept."""
    applied: int = 0
    differences: int = 0
    notes: list[str] = field(default_factory=list)

    def go(self) -> ProvisionReport:
        """The run as a report, whatever idmap can name."""
        try:
            outcome = self._steps()
        except IdmapError as error:
            stopped = error.reason in {Reason.GUARD_STOPPED, Reason.PLAN_STALE}
            detail = error.detail
            if self.applied:
                detail += f"; {self.applied} changes were applied before"
            return self._report(
                Outcome.STOPPED if stopped else Outcome.FAILED, error.reason, detail
            )
        return self._report(outcome, None, "")

    def _steps(self) -> Outcome:
        with self.registry.read() as reader:
            rules, known = reader.rules(), reader.group_ids()
            self.differences = reader.count_differences(self.started - KEPT_SECONDS)
        self.observed = observe(rules, self.sources, self._tell, known)
        in_vain = 0
        while in_vain < _REHEARSALS:
            self.renew()
            rehearsed = self.rehearsed = self._rehearse(self.observed)
            if self.request.keeps_nothing:
                return Outcome.PLANNED
            kept = self._apply(self.observed, rehearsed)
            if kept.complete:
                return Outcome.APPLIED if self.applied else Outcome.NOTHING_TO_DO
            in_vain = 0 if kept.batches else in_vain + 1
        raise Conflict(Reason.PLAN_STALE, "others keep changing what the plan rests on; run again")

    def _rehearse(self, observed: Observed) -> Rehearsed:
        """The plan, past the guard unless the run keeps nothing. A plan that takes several transactions is
        carried out on the copy too: what would stop it half-way, like a full range, stops it here."""
        with self.registry.rehearse(self._author(None)) as writer:
            rehearsed = self.rehearsed = rehearse(writer, observed, self.limits, self.at)
            if not self.request.keeps_nothing:
                self._require_guard(rehearsed)
                if len(rehearsed.plan.changes) > self.pace.batch:
                    apply_changes(writer, rehearsed.plan.changes)
        return rehearsed

    def _require_guard(self, rehearsed: Rehearsed) -> None:
        """What is left of a plan that passed has passed; anything more is judged as it stands."""
        plan = rehearsed.plan
        if self.passed is None or not set(plan.changes) <= set(self.passed.changes):
            require_guard(plan, rehearsed.guard, self.request.approve)

    def _apply(self, observed: Observed, rehearsed: Rehearsed) -> Kept:
        plan, before = rehearsed.plan, self.applied

        def between(changes: int) -> None:
            self.passed, self.applied = plan, before + changes
            self.renew()
            self.pace.pause()

        author = self._author(plan.digest if plan.changes else None)
        kept = apply_in_batches(
            self.registry, author, observed, rehearsed, batch=self.pace.batch, between=between
        )
        self.applied = before + kept.changes
        if kept.batches and not kept.complete:
            self.notes.append(
                f"{kept.changes} changes of plan {plan.digest} were applied, then others changed what it rests on"
            )
        return kept

    def _author(self, plan: str | None) -> Author:
        return Author(f"provision:{self.request.run_id}", self.request.why, plan)

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
            plan=None if self.rehearsed is None else self.rehearsed.plan,
            guard=None if self.rehearsed is None else self.rehearsed.guard,
            sources=() if self.observed is None else self.observed.numbers(),
            awaiting_approval=0 if self.rehearsed is None else self.rehearsed.awaiting_approval,
            differences=self.differences,
            notes=(
                *(() if self.observed is None else self.observed.notes),
                *(() if self.rehearsed is None else self.rehearsed.notes),
                *self.notes,
            ),
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


def _save(
    registry: Registry, request: RunRequest, run: RunRecord, forget_before: int | None = None
) -> None:
    with registry.write(Author(f"provision:{request.run_id}", request.why)) as writer:
        writer.save_run(run)
        if forget_before is not None:
            writer.forget_differences(forget_before)
            writer.forget_facts()

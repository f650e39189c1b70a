"""What one provisioning run has to say: to a person, to a program, and to the run's record.

Values only; `provision` fills them in, the command line and the API show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

from idmap.application.ports import Listing, RunRecord
from idmap.domain.guard import GuardReport
from idmap.domain.plans import Plan, plan_as_json
from idmap.domain.reasons import REASONS, Reason

_KEPT_CHANGES: Final = 5_000
"""A run record keeps its plan up to this size; of a larger one, the counts and the hash."""

_REASON_LENGTH: Final = 500


class Outcome(StrEnum):
    """How a run ended."""

    APPLIED = "applied"
    NOTHING_TO_DO = "nothing_to_do"
    STOPPED = "stopped"
    """By the guard, or because another plan than this one was approved."""
    FAILED = "failed"
    PLANNED = "planned"
    """A dry run; it leaves no run record."""


@dataclass(frozen=True, slots=True)
class SourceNumbers:
    """What one source said, in numbers."""

    source: str
    issuer: str
    groups: int
    people: int
    inactive: int
    unreadable: int


@dataclass(frozen=True, slots=True)
class ProvisionReport:
    """Everything about one run that a person or a program wants to know."""

    run_id: str
    outcome: Outcome
    started: int
    finished: int
    planned_at: int
    """The time the plan is for: the start, or the day asked for."""
    reason: Reason | None = None
    detail: str = ""
    plan: Plan | None = None
    guard: GuardReport | None = None
    sources: tuple[SourceNumbers, ...] = ()
    notes: tuple[str, ...] = ()
    """Records that could not be read in full, and issuers nobody reads."""
    awaiting_approval: int = 0
    """Accounts that wait for an administrator once the plan is carried out."""
    differences: int = 0
    """Memberships about which a token and a source disagreed when the run began."""

    @property
    def keeps_nothing(self) -> bool:
        """Whether it was a dry run."""
        return self.outcome is Outcome.PLANNED

    @property
    def next_step(self) -> str:
        """What somebody can do now."""
        if self.reason is not None:
            return REASONS[self.reason].next_step
        if self.keeps_nothing and self.plan is not None and self.plan.changes:
            if self.guard is not None and self.guard.stopped_by:
                return REASONS[Reason.GUARD_STOPPED].next_step
            return "Run again without --dry-run to apply it."
        return REASONS[Reason.OK].next_step


def numbers_of(listing: Listing) -> SourceNumbers:
    """A listing in numbers."""
    return SourceNumbers(
        source=listing.source,
        issuer=listing.issuer,
        groups=len(listing.watched),
        people=len(listing.people),
        inactive=sum(person.readable and not person.active for person in listing.people),
        unreadable=sum(not person.readable for person in listing.people),
    )


def report_as_json(report: ProvisionReport) -> dict[str, Any]:
    """The report as JSON-ready data; what `--json` prints."""
    return {
        "run_id": report.run_id,
        "outcome": str(report.outcome),
        "started": report.started,
        "finished": report.finished,
        "planned_at": report.planned_at,
        "reason": None if report.reason is None else str(report.reason),
        "detail": report.detail,
        "next_step": report.next_step,
        "plan": None
        if report.plan is None
        else {
            "digest": report.plan.digest,
            "counts": report.plan.counts(),
            **plan_as_json(report.plan),
        },
        "guard": None
        if report.guard is None
        else {
            "removals": report.guard.removals,
            "allowed": report.guard.allowed,
            "population": report.guard.population,
            "stopped_by": list(report.guard.stopped_by),
        },
        "sources": [asdict(numbers) for numbers in report.sources],
        "notes": list(report.notes),
        "awaiting_approval": report.awaiting_approval,
        "differences": report.differences,
    }


def record_of(report: ProvisionReport) -> RunRecord:
    """The run record: `reason` is the code, a colon and the detail."""
    reason = None if report.reason is None else f"{report.reason}: {report.detail}"[:_REASON_LENGTH]
    return RunRecord(
        run_id=report.run_id,
        started=report.started,
        finished=report.finished,
        outcome=report.outcome,
        reason=reason,
        plan=None if report.plan is None else _kept(report.plan),
    )


def _kept(plan: Plan) -> Mapping[str, Any]:
    summary = {"digest": plan.digest, "counts": plan.counts()}
    if len(plan.changes) > _KEPT_CHANGES:
        return {**summary, "rules_version": plan.rules_version, "changes": None}
    return {**summary, **plan_as_json(plan)}

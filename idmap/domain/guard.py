"""The guard: what one run may take away, and what stops it (law 5: sources lie)."""

from __future__ import annotations

from dataclasses import dataclass

from idmap.domain.errors import Conflict
from idmap.domain.groups import Group
from idmap.domain.plans import JoinAccount, LeaveAccount, OpenAccount, OpenGroup, Plan
from idmap.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """What one run may take away."""

    max_percent: int = 20
    """Of the usable accounts. Grouper's failsafe uses the same default."""
    floor: int = 3
    """So many are always allowed; on a small site a fifth would stop every second departure."""
    canaries: frozenset[str] = frozenset()
    """Usernames whose loss of anything stops the plan."""


@dataclass(frozen=True, slots=True)
class GuardReport:
    """What the guard saw."""

    removals: int
    allowed: int
    population: int
    stopped_by: tuple[str, ...]


def check_guard(
    plan: Plan, limits: GuardLimits, population: int, emptied: tuple[Group, ...]
) -> GuardReport:
    """Counts the accounts that lose something, and of shared ones everybody who has to leave. `population`: usable
    accounts before the plan, shared ones once for everybody in them; `emptied`: groups that had members and now have
    none. The caller decides what a stop means."""
    losing = [
        change
        for change in plan.changes
        if change.REMOVES and not isinstance(change, OpenGroup | OpenAccount | JoinAccount)
    ]
    losers = {change.username for change in losing}
    leavers = {change.identity for change in losing if isinstance(change, LeaveAccount)}
    others = {change.username for change in losing if not isinstance(change, LeaveAccount)}
    removals = len(others) + len(leavers)
    allowed = max(limits.floor, population * limits.max_percent // 100)
    stopped = []
    if removals > allowed:
        stopped.append(f"{removals} accounts lose something; {allowed} of {population} may")
    for canary in sorted(limits.canaries & losers):
        stopped.append(f"canary {canary} would lose something")
    for group in emptied:
        stopped.append(f"group {group.path} is empty now and was not before")
    return GuardReport(removals, allowed, population, tuple(stopped))


def require_guard(plan: Plan, report: GuardReport, approved: str | None) -> None:
    """Lets the plan pass or raises Conflict: GUARD_STOPPED, or PLAN_STALE when another plan was approved."""
    if approved is not None and approved != plan.digest:
        raise Conflict(
            Reason.PLAN_STALE, f"approved {approved[:16]}, the plan is {plan.digest[:16]}"
        )
    if report.stopped_by and approved is None:
        raise Conflict(Reason.GUARD_STOPPED, "; ".join(report.stopped_by))

"""The guard: what one run, or one version of the rules, may take away, and what stops it (law 5: sources lie)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from idmap.domain.errors import Conflict
from idmap.domain.facts import FactKind
from idmap.domain.groups import Group
from idmap.domain.identity import Issuer
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
    plan: Plan,
    limits: GuardLimits,
    population: int,
    emptied: tuple[Group, ...],
    unsaid: tuple[tuple[Issuer, FactKind], ...] = (),
) -> GuardReport:
    """Counts the accounts that lose something, and of shared ones everybody who has to leave. `population`: usable
    accounts before the plan, shared ones once for everybody in them; `emptied`: groups that had members and now have
    none; `unsaid`: kinds of facts that a source said of somebody and now says of nobody, as after a change of its
    configuration. The caller decides what a stop means."""
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
    for issuer, kind in unsaid:
        stopped.append(f"nobody of {issuer} has any {kind} now, and somebody had one before")
    return GuardReport(removals, allowed, population, tuple(stopped))


def require_guard(plan: Plan, report: GuardReport, approved: str | None) -> None:
    """Lets the plan pass or raises Conflict: GUARD_STOPPED, or PLAN_STALE when another plan was approved."""
    if approved is not None and approved != plan.digest:
        raise Conflict(
            Reason.PLAN_STALE, f"approved {approved[:16]}, the plan is {plan.digest[:16]}"
        )
    if report.stopped_by and approved is None:
        raise Conflict(Reason.GUARD_STOPPED, "; ".join(report.stopped_by))


class RulesTakeAway(Conflict):
    """Other rules would take accounts from more people than may lose one at once."""

    def __init__(self, detail: str, loses: int, allowed: int, entitled: int) -> None:
        super().__init__(Reason.RULES_TAKE_AWAY, detail)
        self.loses, self.allowed, self.entitled = loses, allowed, entitled

    @property
    def more(self) -> Mapping[str, object]:
        return {"loses": self.loses, "allowed": self.allowed, "entitled": self.entitled}


def require_few_losses(
    limits: GuardLimits,
    *,
    loses: int,
    entitled_before: int,
    entitled_after: int,
    canaries: Sequence[str] = (),
    accept: int | None = None,
) -> None:
    """Other rules in place of those in force: raises RulesTakeAway unless few enough people lose their entitlement.

    The limits are those of a nightly run, of all who were entitled. Nobody left at all, or a canary lost, is always
    too much. `accept` is how many losers somebody has looked at and means.
    """
    allowed = max(limits.floor, entitled_before * limits.max_percent // 100)
    stopped = []
    if loses and not entitled_after:
        stopped.append("nobody would be entitled to an account any more")
    if loses > allowed:
        stopped.append(f"{loses} people would lose theirs; {allowed} of {entitled_before} may")
    stopped += [f"canary {canary} would lose its account" for canary in sorted(canaries)]
    if stopped and (accept is None or accept < loses):
        raise RulesTakeAway("; ".join(stopped), loses, allowed, entitled_before)

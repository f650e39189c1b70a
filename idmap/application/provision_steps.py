"""The steps of a provisioning run, each by itself: observe, rehearse (plan and guard), record and plan, apply.

None of them opens a transaction or decides whether to go on: `provision` does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from idmap.application.ports import Listing, Progress, RegistryWriter, Source
from idmap.application.provision_report import SourceNumbers, numbers_of
from idmap.domain.accounts import AccountEvent, AccountState
from idmap.domain.errors import Conflict
from idmap.domain.groups import Group
from idmap.domain.provisioning import (
    Change,
    ChangeShell,
    GuardLimits,
    GuardReport,
    JoinGroups,
    LeaveGroups,
    OpenAccount,
    OpenGroup,
    PersonFacts,
    Plan,
    RestoreAccount,
    StartGrace,
    SuspendAccount,
    check_guard,
    plan_changes,
)
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet

_USABLE: Final = (AccountState.ACTIVE, AccountState.GRACE)


@dataclass(frozen=True, slots=True)
class Observed:
    """What all sources said of the groups that one version of the rules speaks of."""

    rules_version: int
    watched: frozenset[Group]
    listings: tuple[Listing, ...]
    notes: tuple[str, ...]

    def numbers(self) -> tuple[SourceNumbers, ...]:
        """Each source in numbers."""
        return tuple(numbers_of(listing) for listing in self.listings)


@dataclass(frozen=True, slots=True)
class Judged:
    """A plan with what the guard sees in it."""

    plan: Plan
    guard: GuardReport


def observe(rules: RuleSet, sources: Collection[Source], progress: Progress) -> Observed:
    """Asks every source about the groups of its issuer that the rules speak of, and no others.

    Raises SourceFailed: one source that cannot be read ends the run.
    """
    watched = rules.groups()
    listings = []
    for source in sources:
        its_groups = frozenset(group for group in watched if group.issuer == source.issuer)
        if its_groups:
            listings.append(source.observe(its_groups, progress))
    unread = sorted({group.issuer for group in watched} - {source.issuer for source in sources})
    notes = [f"no source reads {issuer}: its people stay as recorded" for issuer in unread]
    for listing in listings:
        notes.extend(f"{listing.source}: {note}" for note in listing.notes)
    return Observed(rules.version, watched, tuple(listings), tuple(notes))


def rehearse(writer: RegistryWriter, observed: Observed, limits: GuardLimits, at: int) -> Judged:
    """The plan and the guard's view of it. Records what was observed; the caller rolls it back."""
    states = writer.count_accounts()
    before = _members(writer.people(), observed.watched)
    after: Counter[Group] = Counter()
    plan = record_and_plan(writer, observed, at, after)
    emptied = tuple(sorted(group for group in before if before[group] and not after[group]))
    population = sum(states.get(state, 0) for state in _USABLE)
    return Judged(plan, check_guard(plan, limits, population, emptied))


def record_and_plan(
    writer: RegistryWriter, observed: Observed, at: int, members: Counter[Group] | None = None
) -> Plan:
    """Records the listings and computes the plan. Counts each group's people into `members` on the way.

    Raises Conflict(PLAN_STALE) when the rules changed since the sources were asked.
    """
    rules = writer.rules()
    if rules.version != observed.rules_version:
        raise Conflict(
            Reason.PLAN_STALE, "the rules changed while the sources were read; run again"
        )
    for listing in observed.listings:
        writer.record_listing(listing)
    people = _counted(writer.people(), observed.watched, members)
    return plan_changes(people, rules, writer.posix_groups(), at)


def apply_plan(writer: RegistryWriter, plan: Plan) -> None:
    """Carries out every change, in the plan's order. Raises Conflict; the transaction then rolls back."""
    group_range = writer.rules().group_range
    for change in plan.changes:
        _apply(writer, change, group_range)


def _apply(writer: RegistryWriter, change: Change, group_range: str) -> None:
    match change:
        case OpenGroup():
            writer.open_group(change, group_range=group_range)
        case OpenAccount():
            writer.open_account(change)
        case RestoreAccount():
            writer.move_account(change.account_id, AccountEvent.ENTITLEMENT_RETURNED)
        case StartGrace():
            writer.move_account(
                change.account_id, AccountEvent.ENTITLEMENT_LOST, grace_until=change.until
            )
        case SuspendAccount():
            writer.move_account(change.account_id, AccountEvent.GRACE_PASSED)
        case JoinGroups():
            writer.change_groups(change.account_id, join=change.groups)
        case LeaveGroups():
            writer.change_groups(change.account_id, leave=change.groups)
        case ChangeShell():
            writer.change_shell(change.account_id, change.shell)
        case _:
            assert_never(change)


def _members(people: Iterator[PersonFacts], watched: frozenset[Group]) -> Counter[Group]:
    counted: Counter[Group] = Counter()
    for _ in _counted(people, watched, counted):
        pass
    return counted


def _counted(
    people: Iterator[PersonFacts], watched: frozenset[Group], members: Counter[Group] | None
) -> Iterator[PersonFacts]:
    for person in people:
        if members is not None:
            members.update(person.recorded.groups & watched)
        yield person

"""The steps of a provisioning run, each by itself: observe, rehearse (record, plan, guard), apply.

None of them opens a transaction or decides whether to go on: `provision` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, assert_never

from idmap.application.account_named import account_named
from idmap.application.gather_standings import gather_standings, stuck_names
from idmap.application.ports import Listing, Progress, RegistryReader, RegistryWriter, Source
from idmap.application.provision_report import SourceNumbers, numbers_of
from idmap.domain.accounts import AccountEvent, AccountState
from idmap.domain.errors import Conflict, SourceFailed
from idmap.domain.facts import SAID_BY_SOURCES, FactKind
from idmap.domain.groups import Group
from idmap.domain.guard import GuardLimits, GuardReport, check_guard
from idmap.domain.identity import Identity
from idmap.domain.linking import LinkProof
from idmap.domain.plans import (
    Change,
    ChangeShell,
    CutGrace,
    CutTerms,
    ExtendTerms,
    JoinAccount,
    JoinGroups,
    KeepGroups,
    LeaveAccount,
    LeaveGroups,
    OpenAccount,
    OpenGroup,
    Plan,
    RestoreAccount,
    StartGrace,
    StartMembershipGrace,
    SuspendAccount,
    SuspendDenied,
)
from idmap.domain.provisioning import PersonFacts, plan_changes
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet

NO_IDS: Final[Mapping[Group, str]] = MappingProxyType({})


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
class Rehearsed:
    """A plan, what the guard sees in it, and what it takes to carry it out."""

    plan: Plan
    guard: GuardReport
    recorded: tuple[frozenset[Identity], ...]
    """For each listing: the people whose record it changes."""
    owners: Mapping[Identity, int]
    """The accounts of those who have one."""
    awaiting_approval: int
    """Accounts that are pending once the plan is carried out."""
    last_change: int
    """The newest entry of the record of changes when the rehearsal began."""
    notes: tuple[str, ...] = ()
    """Renamed groups that the rules still name by a former path; names that no shared account can have."""


def observe(
    rules: RuleSet,
    sources: Collection[Source],
    progress: Progress,
    known: Mapping[Group, str] = NO_IDS,
) -> Observed:
    """Asks every source about the groups of its issuer that the rules speak of, and no others; of their members, for
    the facts that the rules ask for, and no others.

    Raises SourceFailed: one source that cannot be read, or cannot tell what is asked for, ends the run.
    """
    watched, wanted = rules.groups(), rules.wanted_facts()
    listings = []
    for source in sources:
        its_groups = frozenset(group for group in watched if group.issuer == source.issuer)
        if its_groups:
            ids = {group: known[group] for group in its_groups if group in known}
            kinds = frozenset(kind for issuer, kind in wanted if issuer == source.issuer)
            listing = source.observe(its_groups, progress, ids, kinds)
            _require_covered(listing, kinds)
            listings.append(listing)
    unread = sorted({group.issuer for group in watched} - {source.issuer for source in sources})
    notes = [f"no source reads {issuer}: its people stay as recorded" for issuer in unread]
    read = {listing.issuer for listing in listings}
    notes.extend(
        f"the rules ask for each {kind} of {issuer}, and no source reads a group of it: nobody has one"
        for issuer, kind in sorted(wanted)
        if kind in SAID_BY_SOURCES and issuer not in read
    )
    for listing in listings:
        notes.extend(f"{listing.source}: {note}" for note in listing.notes)
    return Observed(rules.version, watched, tuple(listings), tuple(notes))


def rehearse(writer: RegistryWriter, observed: Observed, limits: GuardLimits, at: int) -> Rehearsed:
    """The plan and the guard's view of it. Records what was observed; `writer` is a rehearsal's.

    Raises Conflict(PLAN_STALE) when the rules changed since the sources were asked.
    """
    last_change = writer.last_change()
    states, population = writer.count_accounts(), writer.count_users()
    before, ids = writer.observed_groups(), writer.group_ids()
    kinds = writer.observed_fact_kinds() & writer.rules().wanted_facts()
    recorded = record(writer, observed)
    renamed = _renames(ids, writer.group_ids())
    before = frozenset(renamed.get(group, group) for group in before)
    watched = frozenset(renamed.get(group, group) for group in observed.watched)
    plan, owners = make_plan(writer, at, frozenset[Identity]().union(*recorded))
    emptied = tuple(sorted((before - writer.observed_groups()) & watched))
    unsaid = tuple(sorted(kinds - writer.observed_fact_kinds()))
    guard = check_guard(plan, limits, population, emptied, unsaid)
    new = sum(isinstance(change, OpenAccount) and change.pending for change in plan.changes)
    awaiting = states.get(AccountState.PENDING, 0) + new
    notes = (*_stale_paths(writer), *stuck_names(writer, writer.rules()))
    return Rehearsed(plan, guard, recorded, owners, awaiting, last_change, notes)


def record(writer: RegistryWriter, observed: Observed) -> tuple[frozenset[Identity], ...]:
    """Records the listings; gives, for each, the people whose record it changed. Raises Conflict(PLAN_STALE)."""
    if writer.rules().version != observed.rules_version:
        raise Conflict(
            Reason.PLAN_STALE, "the rules changed while the sources were read; run again"
        )
    return tuple(writer.record_listing(listing) for listing in observed.listings)


def make_plan(
    reader: RegistryReader, at: int, changed: Collection[Identity] = ()
) -> tuple[Plan, Mapping[Identity, int]]:
    """The plan for what is recorded, and the accounts of those of `changed` who have one."""
    owners: dict[Identity, int] = {}
    people = _noted(reader.people(), changed, owners) if changed else reader.people()
    rules = reader.rules()
    standings = gather_standings(reader, rules, at)
    return plan_changes(people, rules, reader.posix_groups(), at, standings), owners


def apply_changes(writer: RegistryWriter, changes: Iterable[Change]) -> None:
    """Carries out every change, in this order. Raises Conflict; the transaction is then worth nothing."""
    group_range = writer.rules().group_range
    for change in changes:
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
        case StartMembershipGrace():
            writer.set_membership_grace(change.account_id, change.groups, change.until)
        case KeepGroups():
            writer.set_membership_grace(change.account_id, change.groups, None)
        case LeaveGroups():
            writer.change_groups(change.account_id, leave=change.groups)
        case ChangeShell():
            writer.change_shell(change.account_id, change.shell)
        case ExtendTerms() | CutTerms():
            writer.change_terms(change.account_id, change.terms)
        case CutGrace():
            writer.move_account(change.account_id, AccountEvent.GRACE_CUT, grace_until=change.until)
        case SuspendDenied():
            writer.move_account(change.account_id, AccountEvent.DENIED_BY_RULE)
        case JoinAccount():
            account = account_named(writer, change.username)
            writer.link_identity(account.account_id, change.identity, LinkProof.RULE)
        case LeaveAccount():
            writer.unlink_identity(change.account_id, change.identity, by_rule=True)
        case _:
            assert_never(change)


def _require_covered(listing: Listing, wanted: frozenset[FactKind]) -> None:
    """What sources alone say, this one has to say: from its silence everybody would lose it."""
    missing = sorted((wanted & SAID_BY_SOURCES) - listing.covers)
    if missing:
        raise SourceFailed(
            Reason.SOURCE_LACKS_FACTS, f"{listing.source}: {', '.join(missing)} of {listing.issuer}"
        )


def _renames(before: Mapping[Group, str], after: Mapping[Group, str]) -> Mapping[Group, Group]:
    """Former group → the same group by its path of now."""
    now = {(group.issuer, external_id): group for group, external_id in after.items()}
    return {
        group: now[group.issuer, external_id]
        for group, external_id in before.items()
        if now.get((group.issuer, external_id), group) != group
    }


def _stale_paths(reader: RegistryReader) -> Iterator[str]:
    for path in reader.former_paths():
        named = ", ".join(path.named_by)
        if named:
            yield f"group {path.former.path} is {path.now.path} now; still named so by {named}"


def _noted(
    people: Iterator[PersonFacts], wanted: Collection[Identity], owners: dict[Identity, int]
) -> Iterator[PersonFacts]:
    for person in people:
        account = person.recorded.account
        if account is not None and person.recorded.identity in wanted:
            owners[person.recorded.identity] = account.account_id
        yield person

"""From what sources said to a list of changes: the plan, and the guard that may stop it.

Pure: gather (application) → `plan_changes` → `check_guard` → apply (application). A plan is a value that
can be printed, compared, hashed and approved. Removals are slow (law 5): losing the entitlement starts grace with
its date, and only a later run, after that date, plans suspension. What a source failed to say completely
never reaches this module (law 6).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any, ClassVar, Final

from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.decision import Decision, Grant, Recorded, day_of, decide
from idmap.domain.errors import Conflict
from idmap.domain.groups import Group, is_federated
from idmap.domain.identity import Identity
from idmap.domain.names import GroupName, Username, spell_group_names, spell_usernames
from idmap.domain.numbers import GidNumber
from idmap.domain.persons import as_one, memberships
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet
from idmap.domain.spelling import NO_SPELLING, PrefixCounter, Spelling


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """One identity with everything recorded about it after the sources were read."""

    recorded: Recorded
    preferred_username: str | None
    present_unchanged: bool = False
    """The source has the record but could not be read in full: it counts as unchanged (law 6)."""
    spelling: Spelling = NO_SPELLING
    """Facts beside the preferred name that may spell a username; only those that some class needs are on record."""


@dataclass(frozen=True, slots=True)
class OpenGroup:
    """Give a group its gid."""

    KIND: ClassVar[str] = "open_group"
    REMOVES: ClassVar[bool] = False
    group: Group
    spelled: GroupName | None
    instead: tuple[GroupName, ...] = ()
    """Tried in this order when that one is taken; after them the name is made from the number."""


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """Give a person an account: a number from the range, the first of the spelled names that is free."""

    KIND: ClassVar[str] = "open_account"
    REMOVES: ClassVar[bool] = False
    identity: Identity
    rule_id: str
    number_range: str
    spelled: Username | None
    primary_group: Group
    secondary_groups: tuple[Group, ...]
    shell: str
    home: str
    """Template with `{username}`."""
    instead: tuple[Username, ...] = ()
    """Tried in this order when `spelled` is taken."""
    last_suffix: int = 1
    """Each of them is tried with the numbers from 2 to this one too, before the next."""
    counter: PrefixCounter | None = None
    """Names the account when all of them are taken; without one the name is made from the number."""
    pending: bool = False
    """The class asks for an administrator's approval first."""


@dataclass(frozen=True, slots=True)
class RestoreAccount:
    """The entitlement returned: grace or suspension ends, everything is kept."""

    KIND: ClassVar[str] = "restore_account"
    REMOVES: ClassVar[bool] = False
    account_id: int
    username: Username


@dataclass(frozen=True, slots=True)
class StartGrace:
    """The entitlement is lost; the account is usable until the end of that day."""

    KIND: ClassVar[str] = "start_grace"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username
    until: date


@dataclass(frozen=True, slots=True)
class SuspendAccount:
    """Grace has passed."""

    KIND: ClassVar[str] = "suspend_account"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username


@dataclass(frozen=True, slots=True)
class JoinGroups:
    KIND: ClassVar[str] = "join_groups"
    REMOVES: ClassVar[bool] = False
    account_id: int
    username: Username
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class StartMembershipGrace:
    """The groups are left; the account keeps them until the end of that day."""

    KIND: ClassVar[str] = "start_membership_grace"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username
    groups: tuple[Group, ...]
    until: date


@dataclass(frozen=True, slots=True)
class KeepGroups:
    """The person is a member again: membership grace ends and nothing is lost."""

    KIND: ClassVar[str] = "keep_groups"
    REMOVES: ClassVar[bool] = False
    account_id: int
    username: Username
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class LeaveGroups:
    """Without membership grace, or after it: leaving a group is leaving its data. Running sessions keep theirs."""

    KIND: ClassVar[str] = "leave_groups"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class ChangeShell:
    KIND: ClassVar[str] = "change_shell"
    REMOVES: ClassVar[bool] = False
    account_id: int
    username: Username
    shell: str


Change = (
    OpenGroup
    | OpenAccount
    | RestoreAccount
    | StartGrace
    | SuspendAccount
    | JoinGroups
    | KeepGroups
    | StartMembershipGrace
    | LeaveGroups
    | ChangeShell
)

_ORDER: Final = (
    OpenGroup, OpenAccount, RestoreAccount, JoinGroups, KeepGroups, ChangeShell,
    StartMembershipGrace, LeaveGroups, StartGrace, SuspendAccount,
)  # fmt: skip
"""Gains before losses, so that a run cut short by a crash has taken nothing it had not announced."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A reviewable list of changes."""

    rules_version: int
    changes: tuple[Change, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON: what a person approves."""
        return hashlib.sha256(_canonical(plan_as_json(self)).encode()).hexdigest()

    def counts(self) -> dict[str, int]:
        """How many changes of each kind, in order of application; kinds without a change are left out."""
        found = {kind.KIND: 0 for kind in _ORDER}
        for change in self.changes:
            found[change.KIND] += 1
        return {kind: count for kind, count in found.items() if count}


def plan_changes(
    people: Iterable[PersonFacts],
    rules: RuleSet,
    posix_groups: Mapping[Group, PosixGroup],
    at: int,
) -> Plan:
    """Every change that brings the registry to what the rules say of the recorded facts at time `at`.

    `posix_groups` are the groups that have a gid already. A second call on the applied result gives
    an empty plan.
    """
    changes: list[Change] = [
        _open_group(group) for group in sorted(rules.posix_groups() - posix_groups.keys())
    ]
    groups_of = {
        # Who is in a site-local group, people here say; no source ends it.
        posix.gid_number: group
        for group, posix in posix_groups.items()
        if is_federated(group)
    }
    by_account: dict[int, list[PersonFacts]] = {}
    for person in people:
        if person.recorded.account is not None:
            by_account.setdefault(person.recorded.account.account_id, []).append(person)
        elif not person.present_unchanged:
            changes.extend(_changes_for_newcomer(person, rules, at))
    for identities in by_account.values():
        if not any(identity.present_unchanged for identity in identities):
            changes.extend(_changes_for_account(identities, rules, groups_of, at))
    changes.sort(key=lambda change: (_ORDER.index(type(change)), _subject_of(change)))
    return Plan(rules_version=rules.version, changes=tuple(changes))


def _open_group(group: Group) -> OpenGroup:
    names = spell_group_names(group.path)
    return OpenGroup(group, names[0] if names else None, names[1:])


def _changes_for_newcomer(person: PersonFacts, rules: RuleSet, at: int) -> Iterable[Change]:
    decision: Decision = decide(person.recorded, rules, at)
    if decision.grant is not None:
        yield _open(person, decision.grant, rules)


def _changes_for_account(
    identities: Sequence[PersonFacts],
    rules: RuleSet,
    groups_of: Mapping[GidNumber, Group],
    at: int,
) -> Iterable[Change]:
    """One account is one person, whatever number of identities they have: it is judged once, by what
    all of them together are members of. Otherwise one identity's leaving would end what another still gives."""
    recorded = [person.recorded for person in identities]
    account = recorded[0].account
    if account is None or account.state is AccountState.TOMBSTONE:
        return
    grant = decide(as_one(recorded), rules, at).grant
    if grant is None:
        yield from _without_grant(account, memberships(recorded), rules, groups_of, at)
    else:
        yield from _with_grant(account, grant, groups_of, at)


def _open(person: PersonFacts, grant: Grant, rules: RuleSet) -> OpenAccount:
    account_class = grant.rule.account_class
    # Robots have names of their own: a service account's must not be taken from a person who is yet to come.
    spelling = replace(person.spelling, preferred=person.preferred_username)
    spelled = () if grant.rule.robots else spell_usernames(spelling, account_class.naming)
    names = tuple(name for name in spelled if not rules.is_counted_name(name))
    return OpenAccount(
        identity=person.recorded.identity,
        rule_id=grant.rule.rule_id,
        number_range=account_class.number_range,
        spelled=names[0] if names else None,
        primary_group=account_class.primary_group,
        secondary_groups=tuple(sorted(grant.secondary_groups)),
        shell=account_class.shell,
        home=account_class.home,
        instead=names[1:],
        last_suffix=account_class.naming.last_suffix,
        counter=account_class.naming.counter,
        pending=account_class.approval_required,
    )


def _without_grant(
    account: Account,
    member_of: frozenset[Group],
    rules: RuleSet,
    groups_of: Mapping[GidNumber, Group],
    at: int,
) -> Iterable[Change]:
    """Grace first, suspension only after its last day. The rule that gave the account sets the lengths.

    Grace is the account's; a group the person has left is left by itself (memberships have a grace of their own). A
    pending account waits on: there is nothing yet to take away.
    """
    given_by = {rule.rule_id: rule.account_class for rule in rules.rules}.get(account.rule_id)
    membership_days = given_by.membership_grace_days if given_by else 0
    left = _held(account, groups_of) - member_of
    yield from _leaving(account, left, membership_days, groups_of, at)
    today = day_of(at)
    if account.state is AccountState.ACTIVE:
        days = given_by.grace_days if given_by else _DEFAULT_GRACE_DAYS
        until = today + timedelta(days=days)
        yield StartGrace(account.account_id, account.username, until)
    elif account.grace_until is not None and today > account.grace_until:
        # Only an account in grace has a date: a suspended one stays as it is.
        yield SuspendAccount(account.account_id, account.username)


_DEFAULT_GRACE_DAYS: Final = 30
"""When the rule that gave an account is gone: the same as a class that says nothing."""


def _with_grant(
    account: Account, grant: Grant, groups_of: Mapping[GidNumber, Group], at: int
) -> Iterable[Change]:
    if account.state in _RETURNING and not account.held:
        yield RestoreAccount(account.account_id, account.username)
    held = _held(account, groups_of)
    wanted = set(grant.secondary_groups) - {groups_of.get(account.primary_group.gid_number)}
    if wanted - held:
        yield JoinGroups(account.account_id, account.username, tuple(sorted(wanted - held)))
    days = grant.rule.account_class.membership_grace_days
    yield from _leaving(account, held - wanted, days, groups_of, at)
    if account.shell != grant.rule.account_class.shell:
        yield ChangeShell(account.account_id, account.username, grant.rule.account_class.shell)


_RETURNING: Final = frozenset({AccountState.GRACE, AccountState.SUSPENDED})
"""States that an entitlement ends by itself; a pending account waits for a person whatever the sources say."""


def _leaving(
    account: Account,
    left: set[Group],
    grace_days: int,
    groups_of: Mapping[GidNumber, Group],
    at: int,
) -> Iterable[Change]:
    """What becomes of held groups: `left` are the person's no more, the others are theirs.

    A day once promised is kept, whatever the rules say by then. A pending account has nothing to wait with.
    """
    today = day_of(at)
    promised = {groups_of[one.group.gid_number]: one.until for one in account.leaving}
    back = promised.keys() - left
    if back:
        yield KeepGroups(account.account_id, account.username, tuple(sorted(back)))
    if account.state is AccountState.PENDING:
        grace_days = 0
    over = {group for group, until in promised.items() if group in left and today > until}
    new = left - promised.keys()
    if new and grace_days:
        until = today + timedelta(days=grace_days)
        yield StartMembershipGrace(account.account_id, account.username, tuple(sorted(new)), until)
    elif new:
        over |= new
    if over:
        yield LeaveGroups(account.account_id, account.username, tuple(sorted(over)))


def _held(account: Account, groups_of: Mapping[GidNumber, Group]) -> set[Group]:
    return {groups_of[g.gid_number] for g in account.secondary_groups if g.gid_number in groups_of}


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
    """Counts the accounts that lose something. `population`: usable accounts before the plan;
    `emptied`: groups that had members and now have none. The caller decides what a stop means."""
    losers = {
        change.username
        for change in plan.changes
        if isinstance(change, StartGrace | SuspendAccount | StartMembershipGrace | LeaveGroups)
    }
    allowed = max(limits.floor, population * limits.max_percent // 100)
    stopped = []
    if len(losers) > allowed:
        stopped.append(f"{len(losers)} accounts lose something; {allowed} of {population} may")
    for canary in sorted(limits.canaries & losers):
        stopped.append(f"canary {canary} would lose something")
    for group in emptied:
        stopped.append(f"group {group.path} is empty now and was not before")
    return GuardReport(len(losers), allowed, population, tuple(stopped))


def require_guard(plan: Plan, report: GuardReport, approved: str | None) -> None:
    """Lets the plan pass or raises Conflict: GUARD_STOPPED, or PLAN_STALE when another plan was approved."""
    if approved is not None and approved != plan.digest:
        raise Conflict(
            Reason.PLAN_STALE, f"approved {approved[:16]}, the plan is {plan.digest[:16]}"
        )
    if report.stopped_by and approved is None:
        raise Conflict(Reason.GUARD_STOPPED, "; ".join(report.stopped_by))


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-ready data; the digest is over its canonical form."""
    return {
        "rules_version": plan.rules_version,
        "changes": [{"kind": change.KIND, **_plain(asdict(change))} for change in plan.changes],
    }


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case date():
            return value.isoformat()
        case _:
            return value


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _subject_of(change: Change) -> str:
    match change:
        case OpenGroup():
            return str(change.group)
        case OpenAccount():
            return str(change.identity)
        case _:
            return change.username

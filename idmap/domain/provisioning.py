"""From what is recorded to a plan: every change that brings accounts and groups to what the rules say.

Pure: gather (application) → `plan_changes` → `check_guard` → apply (application). Removals are slow (law 5): losing the
entitlement starts grace with its date, and only a later run, after that date, plans suspension. What a source
failed to say completely never reaches this module (law 6). Accounts that several people use are `shared_accounts`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import Final

from idmap.domain.accounts import Account, AccountState, AccountTerms, PosixGroup
from idmap.domain.decision import Decision, Grant, Recorded, day_of, decide
from idmap.domain.groups import Group, is_federated
from idmap.domain.names import Username, spell_group_names, spell_usernames
from idmap.domain.numbers import GidNumber, RangePurpose
from idmap.domain.persons import as_one, memberships
from idmap.domain.plans import (
    Change,
    ChangeShell,
    CutTerms,
    ExtendTerms,
    JoinGroups,
    KeepGroups,
    LeaveGroups,
    OpenAccount,
    OpenGroup,
    Plan,
    RestoreAccount,
    StartGrace,
    StartMembershipGrace,
    SuspendAccount,
    SuspendDenied,
    in_order,
)
from idmap.domain.rules import AccountKind, Denies, Rule, RuleSet
from idmap.domain.shared_accounts import let_in, stay_or_leave
from idmap.domain.spelling import NO_SPELLING, Spelling


@dataclass(frozen=True, slots=True)
class Standings:
    """Accounts beside those of the people planned for."""

    pools: Mapping[str, int]
    """For each class with a size, how many of its accounts are not closed."""
    shared: Mapping[Username, Account]
    """Shared accounts that may let people in, by name."""
    closed: frozenset[Username]
    """Names of shared accounts that let nobody in: somebody's own, closed for good, or banned."""


NO_STANDINGS: Final = Standings(MappingProxyType({}), MappingProxyType({}), frozenset())


@dataclass(frozen=True, slots=True)
class PersonFacts:
    """One identity with everything recorded about it after the sources were read."""

    recorded: Recorded
    preferred_username: str | None
    present_unchanged: bool = False
    """The source has the record but could not be read in full: it counts as unchanged (law 6)."""
    spelling: Spelling = NO_SPELLING
    """Facts beside the preferred name that may spell a username; only those that some class needs are on record."""


def plan_changes(
    people: Iterable[PersonFacts],
    rules: RuleSet,
    posix_groups: Mapping[Group, PosixGroup],
    at: int,
    standings: Standings = NO_STANDINGS,
) -> Plan:
    """Every change that brings the registry to what the rules say of the recorded facts at time `at`.

    `posix_groups` are the groups that have a gid already. A second call on the applied result gives an empty plan.
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
    newcomers: list[OpenAccount] = []
    by_account: dict[int, list[PersonFacts]] = {}
    for person in people:
        if person.recorded.account is not None:
            by_account.setdefault(person.recorded.account.account_id, []).append(person)
        elif not person.present_unchanged:
            newcomers.extend(_changes_for_newcomer(person, rules, at))
    for identities in by_account.values():
        if not any(identity.present_unchanged for identity in identities):
            changes.extend(_changes_for_account(identities, rules, groups_of, at))
    opening = _within_pools(newcomers, rules, standings.pools)
    changes.extend(let_in(opening, standings.shared, standings.closed))
    return Plan(rules_version=rules.version, changes=in_order(changes))


def _within_pools(
    newcomers: Iterable[OpenAccount], rules: RuleSet, pools: Mapping[str, int]
) -> Iterable[OpenAccount]:
    """A pool gives no more accounts than it has; who is first by identity is first."""
    used = dict(pools)
    for change in sorted(newcomers, key=lambda change: str(change.identity)):
        given = rules.class_of(change.rule_id)
        if given is not None and given.pool_size is not None:
            used[given.name] = used.get(given.name, 0) + 1
            if used[given.name] > given.pool_size:
                continue
        yield change


def _open_group(group: Group) -> OpenGroup:
    names = spell_group_names(group.path)
    return OpenGroup(group, names[0] if names else None, names[1:])


def _changes_for_newcomer(person: PersonFacts, rules: RuleSet, at: int) -> Iterable[OpenAccount]:
    decision: Decision = decide(person.recorded, rules, at)
    grant = decision.grant
    # A link and a ban do not mix: whoever is banned waits.
    waits = grant is not None and grant.account_class.is_shared
    if grant is not None and not (waits and any(b.holds(at) for b in person.recorded.bans)):
        yield _open(person, grant, rules)


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
    if account.shared:
        decisions = [(one, decide(one, rules, at)) for one in recorded]
        standing = stay_or_leave(account, decisions, at)
        yield from standing.leaving
        decision, member_of = standing.decision, standing.member_of
    else:
        decision, member_of = decide(as_one(recorded), rules, at), memberships(recorded)
    if decision.grant is None:
        yield from _without_grant(account, member_of, decision.denied_by, rules, groups_of, at)
    else:
        yield from _with_grant(account, decision.grant, groups_of, at)


_PURPOSES: Final = {AccountKind.POOL: RangePurpose.POOLS}
"""Which ranges accounts of a kind have their numbers from; the others from people's."""


def _open(person: PersonFacts, grant: Grant, rules: RuleSet) -> OpenAccount:
    account_class = grant.account_class
    robots = bool(grant.rule.condition.robots)
    # Robots have names of their own: a service account's must not be taken from a person who is yet to come.
    spelling = replace(person.spelling, preferred=person.preferred_username)
    spelled = () if robots else spell_usernames(spelling, account_class.naming)
    if account_class.kind is AccountKind.POOL:
        spelled = ()
    names: tuple[Username, ...] = tuple(n for n in spelled if not rules.is_counted_name(n))
    if account_class.shared_name is not None:
        names = (Username(account_class.shared_name),)
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
        last_suffix=1 if account_class.is_shared else account_class.naming.last_suffix,
        counter=None if account_class.is_shared else account_class.naming.counter,
        pending=account_class.approval_required,
        terms=terms_of(grant),
        purpose=_PURPOSES.get(account_class.kind, RangePurpose.PEOPLE),
        shared=account_class.is_shared,
    )


def terms_of(grant: Grant) -> AccountTerms:
    """What the account may do, and until when."""
    return AccountTerms(grant.access, grant.local_groups, grant.account_class.expires_on)


def _without_grant(
    account: Account,
    member_of: frozenset[Group],
    denied_by: Rule | None,
    rules: RuleSet,
    groups_of: Mapping[GidNumber, Group],
    at: int,
) -> Iterable[Change]:
    """Grace first, suspension only after its last day. The rule that gave the account sets the lengths, a deny rule
    its own.

    Grace is the account's; a group the person has left is left by itself (memberships have a grace of their own). A
    pending account waits on: there is nothing yet to take away.
    """
    given_by = rules.class_of(account.rule_id)
    membership_days = given_by.membership_grace_days if given_by else 0
    left = _held(account, groups_of) - member_of
    yield from _leaving(account, left, membership_days, groups_of, at)
    today = day_of(at)
    days = given_by.grace_days if given_by else _DEFAULT_GRACE_DAYS
    if denied_by is not None and isinstance(denied_by.outcome, Denies):
        days = denied_by.outcome.grace_days
        if not days and account.state in {AccountState.ACTIVE, AccountState.GRACE}:
            yield SuspendDenied(account.account_id, account.username, denied_by.rule_id)
            return
    if account.state is AccountState.ACTIVE:
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
    days = grant.account_class.membership_grace_days
    yield from _leaving(account, held - wanted, days, groups_of, at)
    if account.shell != grant.account_class.shell:
        yield ChangeShell(account.account_id, account.username, grant.account_class.shell)
    terms = terms_of(grant)
    if terms != account.terms:
        kind = CutTerms if terms.takes_from(account.terms) else ExtendTerms
        yield kind(account.account_id, account.username, terms)


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

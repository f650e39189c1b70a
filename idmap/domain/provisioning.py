"""From what is recorded to a plan: every change that brings accounts and groups to what the rules say.

Pure: gather (application) → `plan_changes` → `check_guard` → apply (application). What a source failed to say
completely never reaches this module (law 6). What becomes of one account is `account_changes`'; who uses an account
that several people have, `shared_accounts`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from idmap.domain.account_changes import held_groups, terms_of, with_grant, without_grant
from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.decision import Decision, Grant, Recorded, decide
from idmap.domain.groups import Group, is_federated
from idmap.domain.identity import Identity, Issuer
from idmap.domain.names import Username, spell_group_names, spell_usernames
from idmap.domain.numbers import GidNumber, RangePurpose
from idmap.domain.persons import as_one, memberships
from idmap.domain.plans import (
    Change,
    JoinAccount,
    LeaveAccount,
    OpenAccount,
    OpenGroup,
    Plan,
    in_order,
)
from idmap.domain.rules import AccountKind, RuleSet
from idmap.domain.shared_accounts import (
    Sharer,
    Sharing,
    Standing,
    common,
    in_order_of_arrival,
)
from idmap.domain.spelling import NO_SPELLING, Spelling


@dataclass(frozen=True, slots=True)
class Standings:
    """Accounts beside those of the people planned for."""

    pools: Mapping[str, int]
    """For each class with a size, how many of its accounts are not closed."""
    shared: Mapping[Username, Account]
    """Shared accounts that may let people in, by name."""
    closed: frozenset[Username]
    """Names of shared accounts that let nobody in: somebody's own or nobody's any more, closed, held, or banned."""
    banned_issuers: frozenset[Issuer] = frozenset()
    """Issuers of which no token is accepted: nobody of theirs is let into a shared account."""


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
        _open_group(group, rules) for group in sorted(rules.posix_groups() - posix_groups.keys())
    ]
    groups_of = federated_groups(posix_groups)
    newcomers: list[_Newcomer] = []
    own: dict[int, list[PersonFacts]] = {}
    sharing = Sharing(standings.shared, standings.closed, standings.banned_issuers)
    sharers: dict[Identity, PersonFacts] = {}
    for person in people:
        account = person.recorded.account
        if account is None:
            decision = decide(person.recorded, rules, at)
            if decision.grant is not None and not person.present_unchanged:
                newcomers.append(_Newcomer(person, decision))
        elif account.shared:
            sharers[person.recorded.identity] = person
            sharing.add_member(account, _member(person, account, rules, at))
        else:
            own.setdefault(account.account_id, []).append(person)
    for identities in own.values():
        if not any(identity.present_unchanged for identity in identities):
            changes.extend(_changes_for_account(identities, rules, groups_of, at))
    for newcomer in newcomers:
        if newcomer.is_shared:
            sharers[newcomer.identity] = newcomer.person
            sharing.add_newcomer(Sharer(newcomer.person.recorded, newcomer.decision), at)
    standing = sharing.settle(at)
    for account, found in standing.values():
        changes.extend(_changes_for_shared(account, found, rules, groups_of, at))
    leaving = [(account, one) for account, found in standing.values() for one in found.leaving]
    for _, sharer in leaving:
        if sharer.elsewhere is not None and sharer.other_name is None:
            person = sharers[sharer.recorded.identity]
            newcomers.append(_Newcomer(person, sharer.elsewhere))
    opening: list[Change] = list(
        _within_pools((one for one in newcomers if not one.is_shared), rules, standings.pools)
    )
    for name, arriving in sorted(sharing.arriving.items()):
        opening.extend(_let_in(name, arriving, sharers, standings.shared.get(name), rules))
    given = {c.identity for c in opening if isinstance(c, OpenAccount | JoinAccount)}
    changes.extend(opening)
    changes.extend(
        LeaveAccount(
            account.account_id, account.username, one.recorded.identity,
            moves=one.recorded.identity in given,
        )
        for account, one in leaving
    )  # fmt: skip
    return Plan(rules_version=rules.version, changes=in_order(changes))


def federated_groups(posix_groups: Mapping[Group, PosixGroup]) -> Mapping[GidNumber, Group]:
    """By gid, the groups that plans are about. Who is in a site-local group, people here say; no source ends it."""
    return {posix.gid_number: group for group, posix in posix_groups.items() if is_federated(group)}


@dataclass(frozen=True, slots=True)
class _Newcomer:
    """Somebody who is to get an account."""

    person: PersonFacts
    decision: Decision

    @property
    def identity(self) -> Identity:
        return self.person.recorded.identity

    @property
    def is_shared(self) -> bool:
        grant = self.decision.grant
        return grant is not None and grant.account_class.is_shared


def _within_pools(
    newcomers: Iterable[_Newcomer], rules: RuleSet, pools: Mapping[str, int]
) -> Iterable[OpenAccount]:
    """A pool gives no more accounts than it has; who is first by identity is first."""
    used = dict(pools)
    for newcomer in sorted(newcomers, key=lambda newcomer: newcomer.identity):
        grant = newcomer.decision.grant
        if grant is None:
            continue
        given = grant.account_class
        if given.pool_size is not None:
            used[given.name] = used.get(given.name, 0) + 1
            if used[given.name] > given.pool_size:
                continue
        yield _open(newcomer.person, grant, rules)


def _let_in(
    name: Username,
    arriving: Iterable[Sharer],
    people: Mapping[Identity, PersonFacts],
    account: Account | None,
    rules: RuleSet,
) -> Iterable[Change]:
    """They join; where there is no such account yet the first opens it, with what all of them give it together."""
    coming = list(in_order_of_arrival(arriving))
    account_id = None if account is None else account.account_id
    for number, sharer in enumerate(coming):
        grant = sharer.decision.grant
        if account is None and number == 0:
            yield _open(people[sharer.recorded.identity], common(coming), rules)
        elif grant is not None:
            yield JoinAccount(sharer.recorded.identity, name, grant.rule.rule_id, account_id)


def _member(person: PersonFacts, account: Account, rules: RuleSet, at: int) -> Sharer:
    decision = decide(person.recorded, rules, at)
    sharer = Sharer(person.recorded, decision, unreadable=person.present_unchanged)
    if sharer.unreadable or sharer.shared_name == account.username:
        return sharer
    return replace(sharer, elsewhere=decide(replace(person.recorded, account=None), rules, at))


def _open_group(group: Group, rules: RuleSet) -> OpenGroup:
    names = [name for name in spell_group_names(group.path) if not rules.is_kept_name(name)]
    return OpenGroup(group, names[0] if names else None, tuple(names[1:]))


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
    decision, member_of = decide(as_one(recorded), rules, at), memberships(recorded)
    if decision.grant is None:
        yield from without_grant(account, member_of, decision, rules, groups_of, at)
    else:
        yield from with_grant(account, decision.grant, groups_of, at)


def _changes_for_shared(
    account: Account,
    standing: Standing,
    rules: RuleSet,
    groups_of: Mapping[GidNumber, Group],
    at: int,
) -> Iterable[Change]:
    """The account itself; who comes and who leaves is told apart."""
    decision = standing.decision
    if decision is None:
        return
    if decision.grant is None:
        yield from without_grant(account, standing.member_of, decision, rules, groups_of, at)
        return
    grant = decision.grant
    if standing.waits:
        terms = terms_of(grant).where_also(account.terms)
        held = frozenset(held_groups(account, groups_of))
        grant = replace(grant, secondary_groups=grant.secondary_groups & held)
        yield from with_grant(account, grant, groups_of, at, terms)
    else:
        yield from with_grant(account, grant, groups_of, at)


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
    names: tuple[Username, ...] = tuple(n for n in spelled if not rules.is_kept_name(n))
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

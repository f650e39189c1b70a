"""What becomes of one account that there is, once it is known what the rules give it, or that they give it nothing.

Removals are slow (law 5): losing the entitlement starts grace with its date, and only a later run, after that date,
plans suspension; a deny rule may leave no grace. Leaving a group has a grace of its own. Pure; who is judged, and
whether alone or with others, is `provisioning`'s and `shared_accounts`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from idmap.domain.accounts import Account, AccountState, AccountTerms
from idmap.domain.decision import Decision, Grant, day_of
from idmap.domain.groups import Group
from idmap.domain.numbers import GidNumber
from idmap.domain.plans import (
    Change,
    ChangeShell,
    CutGrace,
    CutTerms,
    ExtendTerms,
    JoinGroups,
    KeepGroups,
    LeaveGroups,
    RestoreAccount,
    StartGrace,
    StartMembershipGrace,
    SuspendAccount,
    SuspendDenied,
)
from idmap.domain.rules import Denies, RuleSet


def terms_of(grant: Grant) -> AccountTerms:
    """What the account may do, and until when."""
    return AccountTerms(grant.access, grant.local_groups, grant.account_class.expires_on)


def without_grant(
    account: Account,
    member_of: frozenset[Group],
    decision: Decision,
    rules: RuleSet,
    groups_of: Mapping[GidNumber, Group],
    at: int,
) -> Iterable[Change]:
    """Grace first, suspension only after its last day. The rule that gave the account sets the lengths; a deny rule
    never gives more than would be left without it, and cuts what is left.

    Grace is the account's; a group the person has left is left by itself (memberships have a grace of their own). A
    pending account waits on: there is nothing yet to take away. What a deny rule says of node classes stands in grace.
    """
    given_by = rules.class_of(account.rule_id)
    membership_days = given_by.membership_grace_days if given_by and not account.shared else 0
    left = held_groups(account, groups_of) - member_of
    yield from _leaving(account, left, membership_days, groups_of, at)
    today = day_of(at)
    days = given_by.grace_days if given_by else _DEFAULT_GRACE_DAYS
    denied_by, usable = decision.denied_by, account.state in _USABLE
    if denied_by is not None and isinstance(denied_by.outcome, Denies):
        denied_days = denied_by.outcome.grace_days
        if not denied_days and usable:
            yield SuspendDenied(account.account_id, account.username, denied_by.rule_id)
            return
        days = denied_days if decision.entitled_but_denied else min(days, denied_days)
    terms = replace(account.terms, access=account.access.but_not_on(decision.denied_classes))
    if usable and terms != account.terms:
        yield CutTerms(account.account_id, account.username, terms)
    until = today + timedelta(days=days)
    if account.state is AccountState.ACTIVE:
        yield StartGrace(account.account_id, account.username, until)
    elif account.grace_until is not None and today > account.grace_until:
        # Only an account in grace has a date: a suspended one stays as it is.
        yield SuspendAccount(account.account_id, account.username)
    elif account.grace_until is not None and denied_by is not None and until < account.grace_until:
        yield CutGrace(account.account_id, account.username, until, denied_by.rule_id)


_USABLE: Final = frozenset({AccountState.ACTIVE, AccountState.GRACE})
_DEFAULT_GRACE_DAYS: Final = 30
"""When the rule that gave an account is gone: the same as a class that says nothing."""


def with_grant(
    account: Account,
    grant: Grant,
    groups_of: Mapping[GidNumber, Group],
    at: int,
    terms: AccountTerms | None = None,
) -> Iterable[Change]:
    """`terms`: where they are not simply the grant's."""
    if account.state in _RETURNING and not account.held:
        yield RestoreAccount(account.account_id, account.username)
    held = held_groups(account, groups_of)
    wanted = set(grant.secondary_groups) - {groups_of.get(account.primary_group.gid_number)}
    if wanted - held:
        yield JoinGroups(account.account_id, account.username, tuple(sorted(wanted - held)))
    days = 0 if account.shared else grant.account_class.membership_grace_days
    yield from _leaving(account, held - wanted, days, groups_of, at)
    if account.shell != grant.account_class.shell:
        yield ChangeShell(account.account_id, account.username, grant.account_class.shell)
    terms = terms_of(grant) if terms is None else terms
    if terms != account.terms:
        kind = CutTerms if terms.takes_from(account.terms) else ExtendTerms
        yield kind(account.account_id, account.username, terms)


def narrowed(
    account: Account, grant: Grant, groups_of: Mapping[GidNumber, Group]
) -> Iterable[Change]:
    """What a shared account loses when somebody is let in who is entitled to this and no more."""
    too_much = held_groups(account, groups_of) - grant.secondary_groups
    if too_much:
        yield LeaveGroups(account.account_id, account.username, tuple(sorted(too_much)))
    terms = terms_of(grant).where_also(account.terms)
    if terms != account.terms:
        yield CutTerms(account.account_id, account.username, terms)


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


def held_groups(account: Account, groups_of: Mapping[GidNumber, Group]) -> set[Group]:
    return {groups_of[g.gid_number] for g in account.secondary_groups if g.gid_number in groups_of}

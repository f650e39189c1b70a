"""Accounts that several people use: who is let in, who has to leave, and what all of them give the account.

Every member is judged by themselves. What such an account may do is what *every* member who is entitled gives it:
nobody gets at a group's data through an account that they share with somebody who is in it. The last member
leaves with the account's own grace, like anybody who loses an entitlement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from idmap.domain.accounts import Account
from idmap.domain.decision import Decision, Grant, Recorded
from idmap.domain.groups import Group
from idmap.domain.names import Username
from idmap.domain.plans import Change, JoinAccount, LeaveAccount, OpenAccount


@dataclass(frozen=True, slots=True)
class Standing:
    """A shared account after its members were judged."""

    decision: Decision
    member_of: frozenset[Group]
    leaving: tuple[LeaveAccount, ...]


def let_in(
    opening: Iterable[OpenAccount],
    known: Mapping[Username, Account],
    closed: frozenset[Username] = frozenset(),
) -> Iterable[Change]:
    """The accounts to open; who comes to a shared one that there is, or that somebody opens in the same plan, joins.

    `known` are the shared accounts by name; the names in `closed` let nobody in.
    """
    there = set(known)
    for change in opening:
        if not change.shared or change.spelled is None:
            yield change
        elif change.spelled in closed:
            continue
        elif change.spelled in there:
            yield JoinAccount(change.identity, change.spelled, change.rule_id)
        else:
            there.add(change.spelled)
            yield change


def stay_or_leave(
    account: Account, members: Sequence[tuple[Recorded, Decision]], at: int
) -> Standing:
    """Judges every member; who is entitled to another account, or to none, leaves, but for the last one.

    While a ban reaches the account nobody leaves it: unlinking would let them escape.
    """
    staying = [(one, d) for one, d in members if _gives(d.grant, account)]
    banned = any(ban.holds(at) for one, _ in members for ban in one.bans)
    kept = staying or list(members[:1])
    leaving = (
        ()
        if banned
        else tuple(
            LeaveAccount(account.account_id, account.username, one.identity)
            for one, _ in members
            if all(one.identity != other.identity for other, _ in kept)
        )
    )
    groups = frozenset[Group].intersection(*(one.groups for one, _ in kept))
    first = kept[0][1]
    if not staying:
        return Standing(replace(first, grant=None), groups, leaving)
    return Standing(replace(first, grant=_common(staying)), groups, leaving)


def _gives(grant: Grant | None, account: Account) -> bool:
    return grant is not None and grant.account_class.shared_name == account.username


def _common(staying: Sequence[tuple[Recorded, Decision]]) -> Grant:
    grants = [decision.grant for _, decision in staying if decision.grant is not None]
    common = grants[0]
    for other in grants[1:]:
        common = replace(
            common,
            secondary_groups=common.secondary_groups & other.secondary_groups,
            access=common.access.where_also(other.access),
            local_groups=common.local_groups & other.local_groups,
        )
    return common

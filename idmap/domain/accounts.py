"""The account an identity maps to, its states, and the one table of transitions.

Everything that affects an account's state is in this file (h11's habit). An illegal transition is one
exception. A tombstone is final: its name and number are never given again, the ledger sees to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from idmap.domain.errors import Conflict
from idmap.domain.names import GroupName, Username
from idmap.domain.node_access import EVERYWHERE, NodeAccess
from idmap.domain.numbers import GidNumber, UidNumber
from idmap.domain.reasons import Reason


class AccountState(StrEnum):
    PENDING = "pending"
    """Number and name are issued; not usable, and no node hears of it, until a person approves."""
    ACTIVE = "active"
    GRACE = "grace"
    SUSPENDED = "suspended"
    TOMBSTONE = "tombstone"


class AccountEvent(StrEnum):
    """What may happen to an account."""

    APPROVED_BY_PERSON = "approved_by_person"
    ENTITLEMENT_LOST = "entitlement_lost"
    GRACE_PASSED = "grace_passed"
    DENIED_BY_RULE = "denied_by_rule"
    """A deny rule matched; it gives no grace unless it says so."""
    GRACE_CUT = "grace_cut"
    """A deny rule matched an account in grace, and gives less of it than is left."""
    ENTITLEMENT_RETURNED = "entitlement_returned"
    SUSPENDED_BY_PERSON = "suspended_by_person"
    RESTORED_BY_PERSON = "restored_by_person"
    CLOSED = "closed"


_A, _E = AccountState, AccountEvent
TRANSITIONS: Final[Mapping[AccountState, Mapping[AccountEvent, AccountState]]] = MappingProxyType(
    {
        _A.PENDING: MappingProxyType(
            {
                _E.APPROVED_BY_PERSON: _A.ACTIVE,
                _E.CLOSED: _A.TOMBSTONE,
            }
        ),
        _A.ACTIVE: MappingProxyType(
            {
                _E.ENTITLEMENT_LOST: _A.GRACE,
                _E.DENIED_BY_RULE: _A.SUSPENDED,
                _E.SUSPENDED_BY_PERSON: _A.SUSPENDED,
                _E.CLOSED: _A.TOMBSTONE,
            }
        ),
        _A.GRACE: MappingProxyType(
            {
                _E.ENTITLEMENT_RETURNED: _A.ACTIVE,
                _E.GRACE_PASSED: _A.SUSPENDED,
                _E.GRACE_CUT: _A.GRACE,
                _E.DENIED_BY_RULE: _A.SUSPENDED,
                _E.SUSPENDED_BY_PERSON: _A.SUSPENDED,
                _E.CLOSED: _A.TOMBSTONE,
            }
        ),
        _A.SUSPENDED: MappingProxyType(
            {
                _E.ENTITLEMENT_RETURNED: _A.ACTIVE,
                _E.RESTORED_BY_PERSON: _A.ACTIVE,
                _E.CLOSED: _A.TOMBSTONE,
            }
        ),
        _A.TOMBSTONE: MappingProxyType({}),
    }
)


def next_state(state: AccountState, event: AccountEvent) -> AccountState:
    """The state after `event`. Raises Conflict(TRANSITION_REFUSED) where the table has none."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise Conflict(Reason.TRANSITION_REFUSED, f"{event} in state {state}") from None


UNKNOWN_TO_NODES: Final = frozenset({AccountState.PENDING, AccountState.TOMBSTONE})
"""Accounts in these states have no place on a node."""


def is_held(event: AccountEvent) -> bool:
    """Whether the account is *held* after `event`: suspended by a person, so that only a person restores it."""
    return event is AccountEvent.SUSPENDED_BY_PERSON


@dataclass(frozen=True, slots=True)
class PosixGroup:
    """A group as the nodes know it."""

    name: GroupName
    gid_number: GidNumber


@dataclass(frozen=True, slots=True)
class LeavingGroup:
    """A group that an account keeps for a while after its person left it (membership grace)."""

    group: PosixGroup
    until: date
    """The last day (UTC) of the membership."""


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """What the rules let an account do, beside its groups, and until when."""

    access: NodeAccess = EVERYWHERE
    local_groups: frozenset[str] = frozenset()
    expires_on: date | None = None

    def where_also(self, other: AccountTerms) -> AccountTerms:
        """What both give."""
        ends = [day for day in (self.expires_on, other.expires_on) if day is not None]
        return AccountTerms(
            self.access.where_also(other.access),
            self.local_groups & other.local_groups,
            min(ends, default=None),
        )

    def takes_from(self, before: AccountTerms) -> bool:
        """Whether these take away something that those gave."""
        sooner = self.expires_on is not None and (
            before.expires_on is None or self.expires_on < before.expires_on
        )
        return (
            sooner
            or not self.access.covers(before.access)
            or not before.local_groups <= self.local_groups
        )


NO_TERMS: Final = AccountTerms()
"""Everywhere, without an end."""


@dataclass(frozen=True, slots=True)
class Account:
    """The site's POSIX account. `username` and `uid_number` never change once issued."""

    account_id: int
    username: Username
    uid_number: UidNumber
    primary_group: PosixGroup
    secondary_groups: tuple[PosixGroup, ...]
    home: str
    shell: str
    state: AccountState
    grace_until: date | None
    """Last day (UTC) on which an account in grace is still usable; None in every other state."""
    expires_on: date | None
    """Last day (UTC) on which the account is usable at all; None for no end."""
    rule_id: str
    """The rule that gave it, for `explain`."""
    held: bool = False
    """Suspended by a person: provisioning leaves it suspended, whatever the sources say."""
    leaving: tuple[LeavingGroup, ...] = ()
    """Of `secondary_groups` those in membership grace; nodes are told of them as of the others."""
    access: NodeAccess = EVERYWHERE
    """The node classes on which it may be used."""
    local_groups: frozenset[str] = frozenset()
    """Names of groups of the nodes' own; each counts on nodes whose configuration lists it, and nowhere else."""
    shared: bool = False
    """Several people use it: its identities come and go by rule, and each is judged by itself."""

    @property
    def terms(self) -> AccountTerms:
        """Its terms as one value."""
        return AccountTerms(self.access, self.local_groups, self.expires_on)

    @property
    def has_private_group(self) -> bool:
        """Whether the primary group is the account's own; no other group may have a user's name."""
        return str(self.primary_group.name) == self.username

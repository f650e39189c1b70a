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
from idmap.domain.numbers import GidNumber, UidNumber
from idmap.domain.reasons import Reason


class AccountState(StrEnum):
    ACTIVE = "active"
    GRACE = "grace"
    SUSPENDED = "suspended"
    TOMBSTONE = "tombstone"


class AccountEvent(StrEnum):
    """What may happen to an account."""

    ENTITLEMENT_LOST = "entitlement_lost"
    GRACE_PASSED = "grace_passed"
    ENTITLEMENT_RETURNED = "entitlement_returned"
    SUSPENDED_BY_PERSON = "suspended_by_person"
    RESTORED_BY_PERSON = "restored_by_person"
    CLOSED = "closed"


_A, _E = AccountState, AccountEvent
TRANSITIONS: Final[Mapping[AccountState, Mapping[AccountEvent, AccountState]]] = MappingProxyType(
    {
        _A.ACTIVE: MappingProxyType(
            {
                _E.ENTITLEMENT_LOST: _A.GRACE,
                _E.SUSPENDED_BY_PERSON: _A.SUSPENDED,
                _E.CLOSED: _A.TOMBSTONE,
            }
        ),
        _A.GRACE: MappingProxyType(
            {
                _E.ENTITLEMENT_RETURNED: _A.ACTIVE,
                _E.GRACE_PASSED: _A.SUSPENDED,
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


def is_held(event: AccountEvent) -> bool:
    """Whether the account is *held* after `event`: suspended by a person, so that only a person restores it."""
    return event is AccountEvent.SUSPENDED_BY_PERSON


@dataclass(frozen=True, slots=True)
class PosixGroup:
    """A group as the nodes know it."""

    name: GroupName
    gid_number: GidNumber


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

    @property
    def has_private_group(self) -> bool:
        """Whether the primary group is the account's own; no other group may have a user's name."""
        return str(self.primary_group.name) == self.username

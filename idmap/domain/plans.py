"""The plan: a reviewable list of changes, as a value that can be printed, compared, hashed and approved.

Every kind of change is a type of its own and says whether it takes something away: gains come before losses.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, ClassVar, Final

from idmap.domain.accounts import NO_TERMS, AccountTerms
from idmap.domain.groups import Group
from idmap.domain.identity import Identity
from idmap.domain.names import GroupName, Username
from idmap.domain.numbers import RangePurpose
from idmap.domain.spelling import PrefixCounter


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
    terms: AccountTerms = NO_TERMS
    purpose: RangePurpose = RangePurpose.PEOPLE
    """What the range must be for."""
    shared: bool = False
    """Exactly the name `spelled`, and others join it."""


@dataclass(frozen=True, slots=True)
class RestoreAccount:
    """The entitlement returned: grace or suspension ends, everything is kept."""

    KIND: ClassVar[str] = "restore_account"
    REMOVES: ClassVar[bool] = False
    account_id: int
    username: Username


@dataclass(frozen=True, slots=True)
class JoinAccount:
    """A person is let into a shared account."""

    KIND: ClassVar[str] = "join_account"
    REMOVES: ClassVar[bool] = False
    identity: Identity
    username: Username
    rule_id: str
    account_id: int | None = None
    """None: somebody opens it in the same plan."""


@dataclass(frozen=True, slots=True)
class LeaveAccount:
    """A person no longer uses a shared account; the account stays with the others."""

    KIND: ClassVar[str] = "leave_account"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username
    identity: Identity
    moves: bool = False
    """They get another account in the same plan, and leave this one first."""


@dataclass(frozen=True, slots=True)
class StartGrace:
    """The entitlement is lost; the account is usable until the end of that day."""

    KIND: ClassVar[str] = "start_grace"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username
    until: date


@dataclass(frozen=True, slots=True)
class CutGrace:
    """A deny rule matches an account in grace, and gives less of it than is left."""

    KIND: ClassVar[str] = "cut_grace"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username
    until: date
    rule_id: str


@dataclass(frozen=True, slots=True)
class SuspendAccount:
    """Grace has passed."""

    KIND: ClassVar[str] = "suspend_account"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username


@dataclass(frozen=True, slots=True)
class SuspendDenied:
    """A deny rule matches, and gives no grace."""

    KIND: ClassVar[str] = "suspend_denied"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username
    rule_id: str


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


@dataclass(frozen=True, slots=True)
class ExtendTerms:
    """What the rules let the account do, and until when: nothing less than before."""

    KIND: ClassVar[str] = "extend_terms"
    REMOVES: ClassVar[bool] = False
    account_id: int
    username: Username
    terms: AccountTerms


@dataclass(frozen=True, slots=True)
class CutTerms:
    """The same, and something of it is taken away."""

    KIND: ClassVar[str] = "cut_terms"
    REMOVES: ClassVar[bool] = True
    account_id: int
    username: Username
    terms: AccountTerms


Change = (
    OpenGroup
    | OpenAccount
    | JoinAccount
    | RestoreAccount
    | StartGrace
    | CutGrace
    | SuspendAccount
    | SuspendDenied
    | LeaveAccount
    | JoinGroups
    | KeepGroups
    | StartMembershipGrace
    | LeaveGroups
    | ChangeShell
    | ExtendTerms
    | CutTerms
)

ORDER: Final[tuple[type[Change], ...]] = (
    OpenGroup, OpenAccount, JoinAccount, RestoreAccount, JoinGroups, KeepGroups, ChangeShell, ExtendTerms,
    CutTerms, StartMembershipGrace, LeaveGroups, StartGrace, CutGrace, SuspendAccount, SuspendDenied, LeaveAccount,
)  # fmt: skip
"""Gains before losses, so that a run cut short by a crash has taken nothing it had not announced. But whoever leaves an
account for another leaves first, in the same transaction (`provision_batches`)."""


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
        found = {kind.KIND: 0 for kind in ORDER}
        for change in self.changes:
            found[change.KIND] += 1
        return {kind: count for kind, count in found.items() if count}


def in_order(changes: list[Change]) -> tuple[Change, ...]:
    """The changes in the order in which they are applied; explicit names before those that give way."""
    return tuple(sorted(changes, key=lambda change: (_turn(change), subject_of(change))))


_TURNS: Final = {kind: (place, 1) for place, kind in enumerate(ORDER)}


def _turn(change: Change) -> tuple[int, int]:
    place, turn = _TURNS[type(change)]
    if isinstance(change, LeaveAccount) and change.moves:
        return _TURNS[OpenGroup][0], 2
    return (place, 0) if isinstance(change, OpenAccount) and change.shared else (place, turn)


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """The plan as JSON-ready data; the digest is over its canonical form."""
    return {
        "rules_version": plan.rules_version,
        "changes": [{"kind": change.KIND, **_members(change)} for change in plan.changes],
    }


def _members(change: Change) -> dict[str, Any]:
    """Terms are told as accounts tell them."""
    found = asdict(change)
    terms = getattr(change, "terms", None)
    if terms is not None:
        found["terms"] = {
            "node_classes": str(terms.access),
            "local_groups": sorted(terms.local_groups),
            "expires_on": terms.expires_on,
        }
    return {member: _plain(value) for member, value in found.items()}


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


def subject_of(change: Change) -> str:
    """Whom or what it is about, to sort by."""
    match change:
        case OpenGroup():
            return str(change.group)
        case OpenAccount() | JoinAccount():
            return str(change.identity)
        case LeaveAccount():
            return f"{change.username} {change.identity}"
        case _:
            return change.username

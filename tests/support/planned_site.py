"""Plans applied to plain values: what the registry does with a plan, without a registry. For properties of many nights.

Refuses what the registry refuses (`check_link`, `check_unlink`, the table of transitions, a name that was ever given),
so a plan that could not be carried out shows here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from idmap.application.provision_batches import cut
from idmap.domain.accounts import (
    Account,
    AccountEvent,
    AccountState,
    LeavingGroup,
    PosixGroup,
    is_held,
    next_state,
)
from idmap.domain.bans import Ban
from idmap.domain.decision import Recorded
from idmap.domain.groups import PRIVATE_GROUP, Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.linking import LinkProof, check_link, check_unlink
from idmap.domain.names import GroupName, Username
from idmap.domain.numbers import GidNumber, UidNumber
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
from idmap.domain.provisioning import PersonFacts, Standings, plan_changes
from idmap.domain.rule_document import parse_rules
from idmap.domain.rules import RuleSet
from idmap.domain.spelling import PrefixCounter

ISSUER = Issuer("https://iam.example.org/")

_EVENTS: Mapping[type[Change], AccountEvent] = {
    RestoreAccount: AccountEvent.ENTITLEMENT_RETURNED,
    StartGrace: AccountEvent.ENTITLEMENT_LOST,
    CutGrace: AccountEvent.GRACE_CUT,
    SuspendAccount: AccountEvent.GRACE_PASSED,
    SuspendDenied: AccountEvent.DENIED_BY_RULE,
}


def person(name: str) -> Identity:
    return Identity(ISSUER, Subject(f"uuid-of-{name}"))


def name_of(identity: Identity) -> str:
    """The inverse."""
    return identity.subject.removeprefix("uuid-of-")


def group(path: str) -> Group:
    return Group(ISSUER, path)


@dataclass(frozen=True)
class Seen:
    """What is on record of a name."""

    groups: frozenset[Group] = frozenset()
    active: bool = True
    unreadable: bool = False


FIRST_NUMBERS = {"people": 200_000, "groups": 300_000, "pools": 400_000}


@dataclass
class PlannedSite:
    """One site as values."""

    now: int
    rules: RuleSet = field(default_factory=lambda: RuleSet(0, ()))
    members: dict[str, set[str]] = field(default_factory=dict)
    """Group path → names; who was ever named is known for good."""
    inactive: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    banned: set[str] = field(default_factory=set)
    accounts: dict[int, Account] = field(default_factory=dict)
    links: dict[Identity, int] = field(default_factory=dict)
    posix: dict[Group, PosixGroup] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Every name ever given → its owner."""
    seen: dict[str, Seen] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    """Range → the next number."""

    def save(self, document: Mapping[str, Any]) -> None:
        self.rules = parse_rules(document, self.rules.version + 1)

    def record(self) -> None:
        """What the source says now goes on record: what cannot be read stays as it was."""
        listed = {one for some in self.members.values() for one in some}
        for name in sorted(listed | set(self.seen)):
            before = self.seen.get(name, Seen())
            if name in listed & self.unreadable:
                self.seen[name] = replace(before, unreadable=True)
                continue
            held = (path for path, names in self.members.items() if name in names)
            active = name not in self.inactive if name in listed else before.active
            self.seen[name] = Seen(frozenset(map(group, held)), active)

    def people(self) -> list[PersonFacts]:
        return [self._person(name) for name in self.seen]

    def recorded(self, name: str) -> Recorded:
        return self._person(name).recorded

    def _person(self, name: str) -> PersonFacts:
        identity = person(name)
        number = self.links.get(identity)
        seen = self.seen.get(name, Seen())
        recorded = Recorded(
            identity=identity,
            active_at_source=seen.active,
            groups=seen.groups,
            account=None if number is None else self.accounts[number],
            bans=self._bans(name, number),
        )
        return PersonFacts(recorded, name, present_unchanged=seen.unreadable)

    def _bans(self, name: str, number: int | None) -> tuple[Ban, ...]:
        reached = {one for one in self.banned if one == name}
        reached |= {
            one
            for one in self.banned
            if number is not None and self.links.get(person(one)) == number
        }
        return tuple(
            Ban(place, None, person(one), "x", "y", 0, None)
            for place, one in enumerate(sorted(reached))
        )

    def standings(self) -> Standings:
        """As `gather_standings`."""
        pools = {
            given.name: sum(
                one.rule_id in self.rules.rules_of_class(given.name)
                and one.state is not AccountState.TOMBSTONE
                for one in self.accounts.values()
            )
            for _, given in self.rules.account_rules()
            if given.pool_size is not None
        }
        by_name = {account.username: account for account in self.accounts.values()}
        shared, closed = {}, set()
        for name in map(Username, self.rules.shared_names):
            account = by_name.get(name)
            if account is None:
                if name in self.names:
                    closed.add(name)
            elif (
                account.shared
                and not account.held
                and account.state is not AccountState.TOMBSTONE
                and not any(self._bans("", account.account_id))
            ):
                shared[name] = account
            else:
                closed.add(name)
        return Standings(pools, shared, frozenset(closed))

    def plan(self) -> Plan:
        return plan_changes(self.people(), self.rules, self.posix, self.now, self.standings())

    def batches(self, plan: Plan, size: int = 1) -> list[tuple[Change, ...]]:
        """As `provision_apply` carries them out, by default as small as they may be."""
        everybody = frozenset(map(person, self.seen))
        return [batch.changes for batch in cut(plan, (everybody,), self.links, size)]

    # --- what the registry does

    def apply(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        match change:
            case OpenGroup():
                number = GidNumber(self._next_number("groups"))
                name = self._first_free((change.spelled, *change.instead)) or f"g{number}"
                self.names[name] = f"group {change.group}"
                self.posix[change.group] = PosixGroup(GroupName(name), number)
            case OpenAccount():
                self._open(change)
            case JoinAccount():
                account = next(
                    one for one in self.accounts.values() if one.username == change.username
                )
                assert change.account_id in (None, account.account_id)
                own = [
                    self.recorded(name_of(i))
                    for i, n in self.links.items()
                    if n == account.account_id
                ]
                recorded = self.recorded(name_of(change.identity))
                bans = self._bans("", account.account_id)
                check_link(account, own, recorded, bans, {ISSUER}, self.now, LinkProof.RULE)
                self.links[change.identity] = account.account_id
            case LeaveAccount():
                assert self.links.get(change.identity) == change.account_id
                own = [
                    self.recorded(name_of(i))
                    for i, n in self.links.items()
                    if n == change.account_id
                ]
                check_unlink(self.accounts[change.account_id], own, self.now, by_rule=True)
                del self.links[change.identity]
            case JoinGroups() | LeaveGroups() | KeepGroups() | StartMembershipGrace():
                self._change_groups(change)
            case ChangeShell():
                self._change(change.account_id, shell=change.shell)
            case ExtendTerms() | CutTerms():
                terms = change.terms
                self._change(
                    change.account_id,
                    access=terms.access,
                    local_groups=terms.local_groups,
                    expires_on=terms.expires_on,
                )
            case _:
                self.move(change.account_id, _EVENTS[type(change)], getattr(change, "until", None))

    def move(self, account_id: int, event: AccountEvent, until: Any = None) -> None:
        state = next_state(self.accounts[account_id].state, event)
        assert (state is AccountState.GRACE) == (until is not None)
        self._change(account_id, state=state, grace_until=until, held=is_held(event))

    def _change(self, account_id: int, **members: Any) -> None:
        self.accounts[account_id] = replace(self.accounts[account_id], **members)

    def _change_groups(
        self, change: JoinGroups | LeaveGroups | KeepGroups | StartMembershipGrace
    ) -> None:
        account = self.accounts[change.account_id]
        these = {self.posix[one] for one in change.groups}
        held, leaving = set(account.secondary_groups), set(account.leaving)
        match change:
            case JoinGroups():
                assert not these & held
                held |= these
            case LeaveGroups():
                assert these <= held
                held -= these
                leaving = {one for one in leaving if one.group not in these}
            case KeepGroups():
                leaving = {one for one in leaving if one.group not in these}
            case StartMembershipGrace(until=until):
                assert these <= held
                leaving |= {LeavingGroup(one, until) for one in these}
        ordered = tuple(sorted(held, key=lambda one: one.gid_number))
        kept = tuple(sorted(leaving, key=lambda one: one.group.gid_number))
        self._change(change.account_id, secondary_groups=ordered, leaving=kept)

    def _open(self, change: OpenAccount) -> None:
        assert change.identity not in self.links, f"{change.identity} has an account"
        number = UidNumber(self._next_number(change.number_range))
        name = self._first_free((change.spelled, *change.instead))
        if name is None and change.counter is not None:
            name = self._counted(change.counter)
        name = name or f"u{number}"
        if change.shared:
            assert name == change.spelled, f"{change.spelled} is taken"
        self.names[name] = f"account {number}"
        private = change.primary_group == PRIVATE_GROUP
        primary = (
            PosixGroup(GroupName(name), GidNumber(number))
            if private
            else self.posix[change.primary_group]
        )
        secondary = {self.posix[one] for one in change.secondary_groups} - {primary}
        account = Account(
            account_id=len(self.accounts) + 1,
            username=Username(name),
            uid_number=number,
            primary_group=primary,
            secondary_groups=tuple(sorted(secondary, key=lambda one: one.gid_number)),
            home=change.home,
            shell=change.shell,
            state=AccountState.PENDING if change.pending else AccountState.ACTIVE,
            grace_until=None,
            expires_on=change.terms.expires_on,
            rule_id=change.rule_id,
            access=change.terms.access,
            local_groups=change.terms.local_groups,
            shared=change.shared,
        )
        self.accounts[account.account_id] = account
        self.links[change.identity] = account.account_id

    def _first_free(self, wished: Iterable[str | None]) -> str | None:
        return next((n for n in wished if n is not None and n not in self.names), None)

    def _counted(self, counter: PrefixCounter) -> str:
        ends = (name.removeprefix(counter.prefix) for name in self.names)
        highest = max((int(end) for end in ends if end.isdigit()), default=0)
        return f"{counter.prefix}{highest + 1:0{counter.digits}}"

    def _next_number(self, of_range: str) -> int:
        number = self.numbers.get(of_range, FIRST_NUMBERS[of_range])
        self.numbers[of_range] = number + 1
        return number

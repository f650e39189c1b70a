"""Accounts that several people use: who is let in, who has to leave, and what all of them give the account.

Every member is judged by themselves. What such an account may do is what *every* one who is entitled gives it,
newcomers of the same plan included: nobody gets at a group's data through an account that they share with somebody
who is in it. Leaving has no grace, for nobody else's account ends. When nobody is entitled any more the account
ends like anybody's, and all its people keep it through its grace; once it is suspended, whoever is entitled to
another leaves it for that one.

Who cannot be unlinked for now, because a ban reaches the account (`linking`), or whose record cannot be read, stays;
until then nothing is added to what the account may do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from idmap.domain.accounts import Account, AccountState
from idmap.domain.decision import Decision, Grant, Recorded, day_of
from idmap.domain.groups import SHARED_ISSUER, Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.names import Username
from idmap.domain.rules import Denies

AT_REST: Final = frozenset({AccountState.SUSPENDED, AccountState.TOMBSTONE, AccountState.PENDING})
"""States in which nobody uses the account: also the last may leave it."""


def holder_of_shared(name: str) -> Identity:
    """Whom the name and number of a shared account are issued to: the account itself, whoever opens it (law 2).

    No token is of this identity. It stands among the identities of the account that nodes are told of, so that
    whatever remembers what was issued to whom knows this of shared accounts too.
    """
    return Identity(SHARED_ISSUER, Subject(name))


@dataclass(frozen=True, slots=True)
class Sharer:
    """Somebody who uses a shared account, or is about to, and what the rules say of them alone."""

    recorded: Recorded
    decision: Decision
    elsewhere: Decision | None = None
    """What they would be given if they had no account; asked for members who are not entitled to this one."""
    unreadable: bool = False
    """Their record counts as unchanged (law 6)."""

    @property
    def shared_name(self) -> Username | None:
        """The name of the shared account that the rules give them."""
        return _shared_name(self.decision.grant)

    @property
    def other_name(self) -> Username | None:
        """The same of the one that they would go to."""
        return _shared_name(self.elsewhere.grant if self.elsewhere else None)


@dataclass(frozen=True, slots=True)
class Standing:
    """A shared account after everybody was judged."""

    decision: Decision | None
    """What all of them give it; None when that cannot be told and all stays as it is."""
    member_of: frozenset[Group] = frozenset()
    """Groups that every one of them is in."""
    leaving: tuple[Sharer, ...] = ()
    waits: bool = False
    """Somebody who has to leave cannot: nothing is added."""


@dataclass(slots=True)
class Sharing:
    """Everybody who uses shared accounts, in one plan."""

    known: Mapping[Username, Account]
    """Shared accounts that may let people in."""
    closed: frozenset[Username]
    """Names that let nobody in."""
    banned_issuers: frozenset[Issuer] = frozenset()
    members: dict[Username, tuple[Account, list[Sharer]]] = field(default_factory=dict)
    arriving: dict[Username, list[Sharer]] = field(default_factory=dict)
    _movers: set[Identity] = field(default_factory=set)

    def add_member(self, account: Account, member: Sharer) -> None:
        """Somebody whose account it is now."""
        self.members.setdefault(account.username, (account, []))[1].append(member)

    def add_newcomer(self, newcomer: Sharer, at: int) -> None:
        """Somebody without an account, whom the rules give a shared one. Where that lets nobody in they wait; so does
        whoever is banned, or of a banned issuer."""
        name, issuer = newcomer.shared_name, newcomer.recorded.identity.issuer
        waits = issuer in self.banned_issuers or _is_banned([newcomer], at)
        if name is not None and name not in self.closed and not waits:
            self.arriving.setdefault(name, []).append(newcomer)

    def settle(self, at: int) -> Mapping[Username, tuple[Account, Standing]]:
        """Every account with its standing. Whoever leaves one for another arrives there, which may let others leave;
        so this is done until nobody moves any more. `arriving` holds whoever is let in then.
        """
        while True:
            found = {name: self._judged(name, at) for name in sorted({*self.members, *self.known})}
            moved = [
                sharer
                for _, standing in found.values()
                for sharer in standing.leaving
                if sharer.recorded.identity not in self._movers
            ]
            if not moved:
                self.arriving = {name: self._let_in(name, at) for name in self.arriving}
                return found
            for sharer in moved:
                self._movers.add(sharer.recorded.identity)
                if sharer.elsewhere is not None:
                    moving = replace(sharer, decision=sharer.elsewhere, elsewhere=None)
                    self.add_newcomer(moving, at)

    def _judged(self, name: Username, at: int) -> tuple[Account, Standing]:
        account, members = self.members.get(name) or (self.known[name], [])
        return account, judge(account, members, self._let_in(name, at), at)

    def _let_in(self, name: Username, at: int) -> list[Sharer]:
        """A link and a ban do not mix: whoever comes to an account that a ban reaches waits."""
        _, members = self.members.get(name, (None, []))
        return [] if _is_banned(members, at) else self.arriving.get(name, [])


def judge(
    account: Account, members: Sequence[Sharer], arriving: Sequence[Sharer], at: int
) -> Standing:
    """The account with its members and whoever comes to it in the same plan."""
    banned = _is_banned(members, at)
    staying = [one for one in members if one.unreadable or one.shared_name == account.username]
    if account.state is AccountState.TOMBSTONE or not (staying or arriving):
        return _without_anybody(account, members, banned, at)
    lost = tuple(one for one in members if one not in staying)
    readable = [one for one in staying if not one.unreadable]
    using = sorted([*readable, *arriving], key=lambda one: one.recorded.identity)
    return Standing(
        decision=replace(using[0].decision, grant=common(using)) if using else None,
        member_of=_groups(using),
        leaving=() if banned else lost,
        waits=(banned and bool(lost)) or len(readable) < len(staying),
    )


def common(using: Sequence[Sharer]) -> Grant:
    """What all of them give the account together; one at least, each of them entitled to it."""
    grants = [one.decision.grant for one in using if one.decision.grant is not None]
    found = grants[0]
    for other in grants[1:]:
        found = replace(
            found,
            secondary_groups=found.secondary_groups & other.secondary_groups,
            access=found.access.where_also(other.access),
            local_groups=found.local_groups & other.local_groups,
            slurm=found.slurm if found.slurm == other.slurm else found.account_class.slurm,
        )
    return found


def in_order_of_arrival(arriving: Iterable[Sharer]) -> Iterator[Sharer]:
    """Who comes first: by identity, those before others who leave another account for it."""
    return iter(
        sorted(arriving, key=lambda one: (one.recorded.account is not None, one.recorded.identity))
    )


def _without_anybody(
    account: Account, members: Sequence[Sharer], banned: bool, at: int
) -> Standing:
    """Nobody is entitled. Whom a rule denies leaves while there are others, who keep it through its grace; where all
    are denied, whoever is denied without grace does."""
    grace_is_over = account.grace_until is not None and day_of(at) > account.grace_until
    mildest = min(map(_denial, members), default=0)
    kept = [one for one in members if _denial(one) == mildest]
    denied = [one for one in members if _denial(one) > mildest]
    leaving: list[Sharer] = []
    if not banned and (account.state in AT_REST or grace_is_over):
        leaving = [one for one in members if one.elsewhere and one.elsewhere.grant is not None]
    elif not banned:
        leaving = denied
    if not members or account.state is AccountState.TOMBSTONE:
        return Standing(None, leaving=tuple(leaving))
    staying = [one for one in members if one not in leaving]
    judged = min(kept, key=lambda one: (_grace_of(one.decision), one.recorded.identity))
    classes = frozenset[str]().union(*(one.decision.denied_classes for one in staying))
    decision = replace(judged.decision, grant=None, denied_classes=classes)
    return Standing(decision, _groups(staying or members), tuple(leaving))


def _is_banned(people: Iterable[Sharer], at: int) -> bool:
    return any(ban.holds(at) for one in people for ban in one.recorded.bans)


def _denial(sharer: Sharer) -> int:
    """How strictly a rule denies them: not at all, with some grace, at once."""
    if sharer.decision.denied_by is None:
        return 0
    return 1 if _grace_of(sharer.decision) else 2


def _grace_of(decision: Decision) -> int:
    rule = decision.denied_by
    return rule.outcome.grace_days if rule and isinstance(rule.outcome, Denies) else 0


def _groups(people: Sequence[Sharer]) -> frozenset[Group]:
    return (
        frozenset[Group].intersection(*(one.recorded.groups for one in people))
        if people
        else frozenset()
    )


def _shared_name(grant: Grant | None) -> Username | None:
    name = None if grant is None else grant.account_class.shared_name
    return None if name is None else Username(name)

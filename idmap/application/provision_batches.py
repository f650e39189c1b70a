"""A rehearsed plan cut into batches, each small enough that nobody notices the lock it holds (law 5).

What a batch keeps stands by itself: everything recorded of one person and everything planned for their account
lie in the same one. So whoever looks between two batches, or after a crash, finds each person either as before or
as planned, and the next run plans what is left. Groups come before the accounts that need them, and whoever
loses something comes last. Whoever leaves an account for another does both at once; and nobody is let into a shared
account before it has lost what is cut because they come.

Pure. Not here: whether a batch may still be carried out; `provision_apply` asks that, in its transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from idmap.domain.groups import Group
from idmap.domain.identity import Identity
from idmap.domain.names import Username
from idmap.domain.plans import Change, JoinAccount, LeaveAccount, OpenAccount, OpenGroup, Plan

BATCH: Final = 250
"""How much is kept in one transaction: some 60 ms of the lock on two old cores."""

_MOVING: Final = 4
"""A change to an account that is there takes so many times as long as a new account or a recorded person."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is kept together."""

    recorded: tuple[frozenset[Identity], ...]
    """For each listing, in their order: the people whose record it changes."""
    changes: tuple[Change, ...]
    """In the plan's order."""


@dataclass(slots=True)
class _Unit:
    """One account or several that somebody moves between, one person without an account, or one group: never cut."""

    people: list[Identity]
    places: list[int]

    def weight(self, plan: Plan) -> int:
        """What it costs to keep, in new accounts."""
        changes = (plan.changes[place] for place in self.places)
        opens = (isinstance(change, OpenAccount | OpenGroup) for change in changes)
        return len(self.people) + sum(1 if opening else _MOVING for opening in opens)


def cut(
    plan: Plan,
    recorded: tuple[frozenset[Identity], ...],
    owners: Mapping[Identity, int],
    size: int,
) -> Iterator[Batch]:
    """The batches, in order; at least one, since even a listing that changes nobody was read.

    `owners`: the account of everyone in `recorded` who has one.
    """
    together, cut_accounts = _Together(), _cut_accounts(plan)
    everybody = frozenset[Identity]().union(*recorded)
    for person in sorted(everybody):
        if person in owners:
            together.tie(person, owners[person])
    for change in plan.changes:
        _tie(together, change, cut_accounts)
    units: dict[_Key, _Unit] = {}
    for person in sorted(everybody):
        units.setdefault(together.of(person), _Unit([], [])).people.append(person)
    for place, change in enumerate(plan.changes):
        units.setdefault(together.of(_whose(change)), _Unit([], [])).places.append(place)

    people: list[Identity] = []
    places: list[int] = []
    held = 0
    for unit in sorted(units.values(), key=lambda unit: _turn(plan, unit)):
        weight = unit.weight(plan)
        if held and held + weight > size:
            yield _batch(plan, recorded, people, places)
            people, places, held = [], [], 0
        held += weight
        people += unit.people
        places += unit.places
    yield _batch(plan, recorded, people, places)


_Key = Identity | Group | Username | int
"""A person, a group, a shared account that is opened in this plan, or an account that there is."""


class _Together:
    """What must not be cut apart (union-find)."""

    def __init__(self) -> None:
        self._above: dict[_Key, _Key] = {}

    def of(self, key: _Key) -> _Key:
        """One of those with which it belongs together, the same for all of them."""
        while (above := self._above.get(key, key)) != key:
            key = above
        return key

    def tie(self, one: _Key, other: _Key) -> None:
        """These two belong together."""
        one, other = self.of(one), self.of(other)
        if one != other:
            self._above[one] = other


def _cut_accounts(plan: Plan) -> frozenset[int]:
    """Shared accounts that lose something or somebody."""
    return frozenset(
        change.account_id
        for change in plan.changes
        if change.REMOVES and not isinstance(change, OpenGroup | OpenAccount | JoinAccount)
    )


def _tie(together: _Together, change: Change, cut_accounts: frozenset[int]) -> None:
    match change:
        case LeaveAccount():
            together.tie(change.identity, change.account_id)
        case JoinAccount(account_id=int(account_id)):
            if account_id in cut_accounts:
                together.tie(change.identity, account_id)
        case OpenAccount(shared=True, spelled=str(name)):
            together.tie(change.identity, name)
        case JoinAccount():
            together.tie(change.identity, change.username)
        case _:
            pass


def _whose(change: Change) -> _Key:
    match change:
        case OpenGroup():
            return change.group
        case OpenAccount() | JoinAccount():
            return change.identity
        case _:
            return change.account_id


def _turn(plan: Plan, unit: _Unit) -> tuple[bool, int]:
    loses = any(plan.changes[place].REMOVES for place in unit.places)
    return loses, unit.places[0] if unit.places else -1


def _batch(
    plan: Plan,
    recorded: tuple[frozenset[Identity], ...],
    people: list[Identity],
    places: list[int],
) -> Batch:
    here = frozenset(people)
    return Batch(
        recorded=tuple(here & changed for changed in recorded),
        changes=tuple(plan.changes[place] for place in sorted(places)),
    )

"""A rehearsed plan cut into batches, each small enough that nobody notices the lock it holds (law 5).

What a batch keeps stands by itself: everything recorded of one person and everything planned for their account
lie in the same one. So whoever looks between two batches, or after a crash, finds each person either as before or
as planned, and the next run plans what is left. Groups come before the accounts that need them, and whoever
loses something comes last.

Pure. Not here: whether a batch may still be carried out; `provision_apply` asks that, in its transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from idmap.domain.groups import Group
from idmap.domain.identity import Identity
from idmap.domain.plans import Change, JoinAccount, OpenAccount, OpenGroup, Plan

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
    """One account, one person without an account, or one group: never cut."""

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
    units: dict[Identity | Group | int, _Unit] = {}
    everybody = frozenset[Identity]().union(*recorded)
    for person in sorted(everybody, key=lambda person: (person.issuer, person.subject)):
        units.setdefault(owners.get(person, person), _Unit([], [])).people.append(person)
    for place, change in enumerate(plan.changes):
        units.setdefault(_whose(change), _Unit([], [])).places.append(place)

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


def _whose(change: Change) -> Identity | Group | int:
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

"""Numbers and names for new accounts and groups, each given once (law 2).

Works within one exclusive transaction: it reads where a range stands when it is first asked about
it, counts up in memory, and writes the ledger's rows with `flush`. A number is passed over when
the ledger has it already, when the marks outside the database count it as issued, when it lies
where none may lie (law 10), or when the name made from it is taken. Nothing is given back: a
range only ever moves upward. What was issued to the same person or group by a history that this
database does not hold is given to them again, and to nobody else (withheld.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, insert, or_, select, union, update

from idmap.adapters.sql.high_water import Marks
from idmap.adapters.sql.journal import Issue
from idmap.adapters.sql.records import purpose_of
from idmap.adapters.sql.tables import (
    LEDGER_NAMES,
    LEDGER_NUMBERS,
    NODE_LOCAL_NAMES,
    RANGES,
    WITHHELD,
)
from idmap.adapters.sql.withheld import NAME_WITHHELD, any_withheld, held_for, withheld_numbers
from idmap.application.ports import Author
from idmap.domain.errors import Conflict, InvalidInput
from idmap.domain.names import check_generated_name, counted_usernames
from idmap.domain.numbers import NumberKind, RangePurpose, is_refused_number
from idmap.domain.reasons import Reason
from idmap.domain.spelling import MAX_DIGITS, PrefixCounter

_PREFIXES: Final = {NumberKind.UID: "u", NumberKind.GID: "g"}
_NAME_KINDS: Final = {NumberKind.UID: "user", NumberKind.GID: "group"}

_SERVES: Final = {RangePurpose.PEOPLE: (RangePurpose.PEOPLE, RangePurpose.ROBOTS)}
"""Which of the two an account needs, the rules say when they are saved (policy_writer)."""

FOREIGN: Final = "foreign"
"""The ledger's owner of a number that was in use on the site before idmap could issue it."""

_NAMES_AT_ONCE: Final = 50

_WINDOW: Final = 4096
"""How many numbers ahead the ledger is asked about at once."""

_ISSUED_OR_LOCAL: Final = (
    exists().where(LEDGER_NAMES.c.name == bindparam("wanted")),
    exists().where(NODE_LOCAL_NAMES.c.name == bindparam("wanted")),
)
_TAKEN: Final = select(or_(*_ISSUED_OR_LOCAL, NAME_WITHHELD))
_TAKEN_FOR_HOLDER: Final = select(or_(*_ISSUED_OR_LOCAL))
_TAKEN_OF: Final = union(
    select(WITHHELD.c.name).where(WITHHELD.c.name.in_(bindparam("wanted", expanding=True))),
    select(LEDGER_NAMES.c.name).where(LEDGER_NAMES.c.name.in_(bindparam("wanted", expanding=True))),
    select(NODE_LOCAL_NAMES.c.name).where(
        NODE_LOCAL_NAMES.c.name.in_(bindparam("wanted", expanding=True))
    ),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """How something would like to be called, and whether its number is to be its private group's gid too."""

    names: Iterable[str] = ()
    """In order; all of them may be issued."""
    counter: PrefixCounter | None = None
    private_gid_owner: str | None = None


@dataclass(slots=True)
class _Standing:
    """Where a range stands within this transaction."""

    name: str
    purpose: RangePurpose
    last: int
    next_number: int
    issued: frozenset[tuple[NumberKind, int]] = frozenset()
    known_until: int = field(default=-1)


class Allocator:
    """Allocates in one write transaction."""

    def __init__(self, connection: Connection, marks: Marks, author: Author, at: int) -> None:
        self._connection = connection
        self._marks = marks
        self._author = author
        self._at = at
        self._standings: dict[str, _Standing] = {}
        self._new_numbers: list[dict[str, Any]] = []
        self._new_names: list[dict[str, Any]] = []
        self._pending_names: set[str] = set()
        self._counters: dict[str, int] = {}
        self._any_withheld = any_withheld(connection)
        """Nothing is added while an allocator is at work; most databases never have any."""
        self.issued: list[Issue] = []
        """Everything that this transaction gave out and the journal does not have yet."""

    def allocate(
        self,
        range_name: str,
        purpose: RangePurpose,
        wish: Wish,
        owner: str,
        rule: str | None,
        holder: str,
    ) -> tuple[int, str]:
        """A number of the range and a name: what `holder` once had; else the first wish that was never issued and no
        node has.

        When there is none left, the wish's counter names it, and without one the number does.
        Raises InvalidInput(RANGE_UNKNOWN) and Conflict(RANGE_EXHAUSTED), with nothing taken.
        """
        standing = self._standing(range_name, purpose)
        kinds = tuple(NumberKind) if wish.private_gid_owner is not None else (purpose.kind,)
        held = self._held_before(purpose, kinds, holder)
        if held is not None:
            again, lies_in = held
            # Or the marks, which end where the range stands, would not count it as issued.
            passed = self._standing(lies_in, purpose)
            passed.next_number = max(passed.next_number, again.number + 1)
            self._issue(again, purpose.kind, lies_in, owner, rule, wish.private_gid_owner)
            return again.number, again.name
        name = self._first_free(wish.names)
        if name is None and wish.counter is not None:
            name = self._counted(wish.counter)
        number = self._free_number(standing, kinds, standing.next_number)
        while name is None and self._is_taken(f"{_PREFIXES[purpose.kind]}{number}"):
            number = self._free_number(standing, kinds, number + 1)
        name = name or f"{_PREFIXES[purpose.kind]}{number}"
        standing.next_number = number + 1
        issue = Issue(_NAME_KINDS[purpose.kind], name, number, holder)
        self._issue(issue, purpose.kind, standing.name, owner, rule, wish.private_gid_owner)
        self.issued.append(issue)
        return number, name

    def reserve(self, standing_of: str, numbers: Iterable[tuple[NumberKind, int]]) -> None:
        """Numbers of a range that something else uses: in the ledger, so that they are never issued."""
        for kind, number in numbers:
            self._new_numbers.append(
                self._stamp(FOREIGN)
                | {"kind": str(kind), "number": number, "range_name": standing_of, "rule": None}
            )
        self._standings.pop(standing_of, None)
        self.flush()

    def is_taken(self, name: str) -> bool:
        """Whether the name was issued before, to a user or a group, or some node has it."""
        return self._is_taken(name)

    def flush(self) -> None:
        """Writes the ledger's rows and where the ranges stand."""
        if not self._new_numbers:
            return
        self._connection.execute(insert(LEDGER_NUMBERS), self._new_numbers)
        if self._new_names:
            self._connection.execute(insert(LEDGER_NAMES), self._new_names)
        self._new_numbers, self._new_names = [], []
        self._pending_names.clear()
        for standing in self._standings.values():
            self._connection.execute(
                update(RANGES)
                .where(RANGES.c.name == standing.name)
                .values(next_number=standing.next_number)
            )

    def _standing(self, name: str, purpose: RangePurpose) -> _Standing:
        standing = self._standings.get(name)
        if standing is None:
            row = self._connection.execute(select(RANGES).where(RANGES.c.name == name)).first()
            if row is None:
                raise InvalidInput(Reason.RANGE_UNKNOWN, f"range {name}")
            standing = _Standing(name, purpose_of(row), row.last, row.next_number)
            self._standings[name] = standing
        allowed = _SERVES.get(purpose, (purpose,))
        if standing.purpose not in allowed:
            raise InvalidInput(
                Reason.RANGE_UNKNOWN, f"range {name} is for {standing.purpose}, not {purpose}"
            )
        return standing

    def _held_before(
        self, purpose: RangePurpose, kinds: tuple[NumberKind, ...], holder: str
    ) -> tuple[Issue, str] | None:
        """Name and number that the holder had, while nobody has either, and the range that allows them."""
        kind = _NAME_KINDS[purpose.kind]
        if not self._any_withheld:
            return None
        for issue in held_for(self._connection, kind, holder):
            number_issued = exists().where(
                LEDGER_NUMBERS.c.kind.in_([str(kind) for kind in kinds]),
                LEDGER_NUMBERS.c.number == issue.number,
            )
            taken = issue.name in self._pending_names or self._connection.scalar(
                _TAKEN_FOR_HOLDER, {"wanted": issue.name}
            )
            if taken or self._connection.scalar(select(number_issued)):
                continue
            lies_in = self._range_of(issue, purpose)
            if lies_in is not None and not is_refused_number(issue.number):
                return issue, lies_in
        return None

    def _range_of(self, issue: Issue, purpose: RangePurpose) -> str | None:
        """The range of today in which a number from before lies, of a kind that may give it; nodes accept no other."""
        here = RANGES.c.first <= issue.number, RANGES.c.last >= issue.number
        row = self._connection.execute(select(RANGES).where(*here)).first()
        fits = row is not None and purpose_of(row) in _SERVES.get(purpose, (purpose,))
        return row.name if row is not None and fits else None

    def _free_number(self, standing: _Standing, kinds: tuple[NumberKind, ...], number: int) -> int:
        while number <= standing.last:
            allowed = self._marks.next_above(standing.purpose, number)
            if allowed != number:
                number = allowed
            elif is_refused_number(number) or self._is_issued(standing, kinds, number):
                number += 1
            else:
                return number
        raise Conflict(Reason.RANGE_EXHAUSTED, f"range {standing.name} ends at {standing.last}")

    def _is_issued(self, standing: _Standing, kinds: tuple[NumberKind, ...], number: int) -> bool:
        """Whether the ledger has it, or it is withheld. Numbers given in this transaction lie below `next_number`."""
        if number > standing.known_until:
            standing.known_until = number + _WINDOW
            found = select(LEDGER_NUMBERS.c.kind, LEDGER_NUMBERS.c.number).where(
                LEDGER_NUMBERS.c.kind.in_([str(kind) for kind in NumberKind]),
                LEDGER_NUMBERS.c.number.between(number, standing.known_until),
            )
            issued = {(NumberKind(row.kind), row.number) for row in self._connection.execute(found)}
            for kind, name_kind in _NAME_KINDS.items():
                withheld = withheld_numbers(
                    self._connection, name_kind, number, standing.known_until
                )
                issued |= {(kind, held) for held in withheld}
            standing.issued = frozenset(issued)
        return any((kind, number) in standing.issued for kind in kinds)

    def _first_free(self, names: Iterable[str]) -> str | None:
        """Asks about many at once: a common name has many numbered forms."""
        rest = iter(names)
        # The first is free as a rule, and the statement for one the cheaper.
        for name in itertools.islice(rest, 1):
            if not self._is_taken(check_generated_name(name)):
                return name
        while some := list(itertools.islice(rest, _NAMES_AT_ONCE)):
            wanted = [check_generated_name(name) for name in some]
            taken = self._pending_names | set(
                self._connection.scalars(_TAKEN_OF, {"wanted": wanted})
            )
            free = next((name for name in wanted if name not in taken), None)
            if free is not None:
                return free
        return None

    def _counted(self, counter: PrefixCounter) -> str:
        """One above the highest number that the prefix ever had: names are not looked for in gaps."""
        if counter.prefix not in self._counters:
            like = LEDGER_NAMES.c.name.like(f"{counter.prefix.replace('_', '^_')}%", escape="^")
            ends = (
                name.removeprefix(counter.prefix)
                for name in self._connection.scalars(select(LEDGER_NAMES.c.name).where(like))
            )
            digits = (end for end in ends if end.isascii() and end.isdigit())
            highest = (int(end) for end in digits if len(end) <= MAX_DIGITS)
            self._counters[counter.prefix] = max(highest, default=0)
        for name in counted_usernames(counter, self._counters[counter.prefix] + 1):
            self._counters[counter.prefix] = int(name.removeprefix(counter.prefix))
            if not self._is_taken(name):
                return name
        raise AssertionError("a counter has no end")

    def _is_taken(self, name: str) -> bool:
        if name in self._pending_names:
            return True
        return bool(self._connection.scalar(_TAKEN, {"wanted": name}))

    def _stamp(self, owner: str) -> dict[str, Any]:
        return {
            "owner": owner,
            "issued_at": self._at,
            "author": self._author.name,
            "plan": self._author.plan,
        }

    def _issue(
        self,
        issue: Issue,
        kind: NumberKind,
        range_name: str,
        owner: str,
        rule: str | None,
        private_gid_owner: str | None,
    ) -> None:
        numbers = {kind: owner}
        if private_gid_owner is not None:
            numbers[NumberKind.GID] = private_gid_owner
        for of_kind, number_owner in numbers.items():
            row = {"kind": str(of_kind), "number": issue.number, "range_name": range_name}
            self._new_numbers.append(self._stamp(number_owner) | row | {"rule": rule})
        self._new_names.append(self._stamp(owner) | {"kind": _NAME_KINDS[kind], "name": issue.name})
        self._pending_names.add(issue.name)

"""Numbers and names for new accounts and groups, each given once (law 2).

Works within one exclusive transaction: it reads where a range stands when it is first asked about
it, counts up in memory, and writes the ledger's rows with `flush`. A number is passed over when
the ledger has it already, when the marks outside the database count it as issued, when it lies
where none may lie (law 10), or when the name made from it is taken. Nothing is given back: a
range only ever moves upward. What was issued to the same person or group by a history that this
database does not hold is given to them again, and to nobody else (withheld.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, insert, or_, select, update

from idmap.adapters.sql.high_water import Marks
from idmap.adapters.sql.journal import Issue
from idmap.adapters.sql.tables import LEDGER_NAMES, LEDGER_NUMBERS, NODE_LOCAL_NAMES, RANGES
from idmap.adapters.sql.withheld import NAME_WITHHELD, any_withheld, held_for, withheld_numbers
from idmap.application.ports import Author
from idmap.domain.errors import Conflict, InvalidInput
from idmap.domain.names import check_generated_name
from idmap.domain.numbers import RangePurpose, is_refused_number
from idmap.domain.reasons import Reason

_KINDS: Final = {RangePurpose.PEOPLE: "uid", RangePurpose.GROUPS: "gid"}
_PREFIXES: Final = {RangePurpose.PEOPLE: "u", RangePurpose.GROUPS: "g"}
_NAME_KINDS: Final = {RangePurpose.PEOPLE: "user", RangePurpose.GROUPS: "group"}

_WINDOW: Final = 4096
"""How many numbers ahead the ledger is asked about at once."""

_ISSUED_OR_LOCAL: Final = (
    exists().where(LEDGER_NAMES.c.name == bindparam("wanted")),
    exists().where(NODE_LOCAL_NAMES.c.name == bindparam("wanted")),
)
_TAKEN: Final = select(or_(*_ISSUED_OR_LOCAL, NAME_WITHHELD))
_TAKEN_FOR_HOLDER: Final = select(or_(*_ISSUED_OR_LOCAL))


@dataclass(slots=True)
class _Standing:
    """Where a range stands within this transaction."""

    name: str
    purpose: RangePurpose
    last: int
    next_number: int
    issued: frozenset[int] = frozenset()
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
        self._any_withheld = any_withheld(connection)
        """Nothing is added while an allocator is at work; most databases never have any."""
        self.issued: list[Issue] = []
        """Everything that this transaction gave out and the journal does not have yet."""

    def allocate(
        self,
        range_name: str,
        purpose: RangePurpose,
        spelled: str | None,
        owner: str,
        rule: str | None,
        holder: str,
    ) -> tuple[int, str]:
        """A number of the range and a name: what `holder` once had; else the spelled name if it
        is free, else one made from the number.

        Raises InvalidInput(RANGE_UNKNOWN, NAME_REFUSED) and Conflict(RANGE_EXHAUSTED), with
        nothing taken.
        """
        standing = self._standing(range_name, purpose)
        again = self._held_before(purpose, holder)
        if again is not None:
            lies_in = self._range_of(again)
            if lies_in is not None:
                # Or the marks, which end where the range stands, would not count it as issued.
                passed = self._standing(lies_in, purpose)
                passed.next_number = max(passed.next_number, again.number + 1)
            self._issue(again.number, again.name, purpose, lies_in, owner, rule)
            return again.number, again.name
        if spelled is not None and self._is_taken(check_generated_name(spelled)):
            spelled = None
        number = self._free_number(standing, standing.next_number)
        while spelled is None and self._is_taken(f"{_PREFIXES[purpose]}{number}"):
            number = self._free_number(standing, number + 1)
        name = spelled or f"{_PREFIXES[purpose]}{number}"
        standing.next_number = number + 1
        self._issue(number, name, purpose, standing.name, owner, rule)
        self.issued.append(Issue(_NAME_KINDS[purpose], name, number, holder))
        return number, name

    def flush(self) -> None:
        """Writes the ledger's rows and where the ranges stand."""
        if not self._new_numbers:
            return
        self._connection.execute(insert(LEDGER_NUMBERS), self._new_numbers)
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
            standing = _Standing(name, RangePurpose(row.purpose), row.last, row.next_number)
            self._standings[name] = standing
        if standing.purpose is not purpose:
            raise InvalidInput(
                Reason.RANGE_UNKNOWN, f"range {name} is for {standing.purpose}, not {purpose}"
            )
        return standing

    def _held_before(self, purpose: RangePurpose, holder: str) -> Issue | None:
        """Name and number that the holder had, while nobody has either and a range allows them."""
        kind = _NAME_KINDS[purpose]
        if not self._any_withheld:
            return None
        for issue in held_for(self._connection, kind, holder):
            number_issued = exists().where(
                LEDGER_NUMBERS.c.kind == _KINDS[purpose], LEDGER_NUMBERS.c.number == issue.number
            )
            taken = issue.name in self._pending_names or self._connection.scalar(
                _TAKEN_FOR_HOLDER, {"wanted": issue.name}
            )
            if taken or self._connection.scalar(select(number_issued)):
                continue
            if not is_refused_number(issue.number) and self._range_of(issue) is not None:
                return issue
        return None

    def _range_of(self, issue: Issue) -> str | None:
        """The range of today in which a number from before lies; nodes accept it in no other."""
        purpose = "people" if issue.kind == "user" else "groups"
        found: str | None = self._connection.scalar(
            select(RANGES.c.name).where(
                RANGES.c.purpose == purpose,
                RANGES.c.first <= issue.number,
                RANGES.c.last >= issue.number,
            )
        )
        return found

    def _free_number(self, standing: _Standing, number: int) -> int:
        while number <= standing.last:
            allowed = self._marks.next_above(standing.purpose, number)
            if allowed != number:
                number = allowed
            elif is_refused_number(number) or self._is_issued(standing, number):
                number += 1
            else:
                return number
        raise Conflict(Reason.RANGE_EXHAUSTED, f"range {standing.name} ends at {standing.last}")

    def _is_issued(self, standing: _Standing, number: int) -> bool:
        """Whether the ledger has it, or it is withheld. Numbers given in this transaction lie below `next_number`."""
        if number > standing.known_until:
            standing.known_until = number + _WINDOW
            found = select(LEDGER_NUMBERS.c.number).where(
                LEDGER_NUMBERS.c.kind == _KINDS[standing.purpose],
                LEDGER_NUMBERS.c.number.between(number, standing.known_until),
            )
            standing.issued = frozenset(self._connection.scalars(found)) | withheld_numbers(
                self._connection, _NAME_KINDS[standing.purpose], number, standing.known_until
            )
        return number in standing.issued

    def _is_taken(self, name: str) -> bool:
        if name in self._pending_names:
            return True
        return bool(self._connection.scalar(_TAKEN, {"wanted": name}))

    def _issue(
        self,
        number: int,
        name: str,
        purpose: RangePurpose,
        range_name: str | None,
        owner: str,
        rule: str | None,
    ) -> None:
        issued = {
            "owner": owner,
            "issued_at": self._at,
            "author": self._author.name,
            "plan": self._author.plan,
        }
        self._new_numbers.append(
            issued
            | {
                "kind": _KINDS[purpose],
                "number": number,
                "range_name": range_name,
                "rule": rule,
            }
        )
        self._new_names.append(issued | {"kind": _NAME_KINDS[purpose], "name": name})
        self._pending_names.add(name)

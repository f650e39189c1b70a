"""One table of a rule document, read member by member; whatever is wrong is said with its name and its place.

The place is a JSON Pointer (RFC 6901), so that whoever has the file can show the line. Unknown members are refused: a
typo never becomes a rule that means something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import date
from difflib import get_close_matches
from typing import Any, Final, NoReturn, TypeVar

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

MAX_ITEMS: Final = 20_000
"""Of a list: twice the rules that decisions are measured with."""

MAX_TEXT: Final = 2048
"""Characters of a string; the longest issuer that is read."""

MAX_LINE: Final = 500
"""Characters of what people write for people; as long as a reason on the record of changes."""

_FIRST_DAY: Final = date(2000, 1, 1)
_LAST_DAY: Final = date(2199, 12, 31)
"""Days beyond these are typing errors, and near the ends of the calendar no day can be added."""

LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_PATH: Final = re.compile(r"/[!-9;-~]{0,254}", re.ASCII)
"""An absolute path without colon, blank or control character: it goes into passwd fields."""

Value = TypeVar("Value")


class RuleFault(InvalidInput):
    """What is wrong with a rule document, and where."""

    def __init__(self, reason: Reason, detail: str, pointer: str) -> None:
        super().__init__(reason, detail)
        self.pointer = pointer
        """RFC 6901; empty for the whole document."""

    @property
    def more(self) -> Mapping[str, object]:
        return {"pointer": self.pointer}


class Fields:
    """A table with the name by which people know it, as in `rule lhc`."""

    def __init__(self, body: object, where: str, pointer: str) -> None:
        """Raises RuleFault unless `body` is a table."""
        self.where = where
        self.pointer = pointer
        if not isinstance(body, Mapping):
            self.refuse("", "a table is needed")
        if not all(isinstance(member, str) for member in body):
            self.refuse("", "names of members are strings")
        self.body: Mapping[str, Any] = body

    def named(self, where: str) -> Fields:
        """The same table under the name that was found in it."""
        return Fields(self.body, where, self.pointer)

    def refuse(self, member: str, problem: str, reason: Reason = Reason.RULE_INVALID) -> NoReturn:
        """Raises RuleFault for a member; for the table itself without one."""
        said = f"{member}: {problem}" if member else problem
        raise RuleFault(reason, f"{self.where}: {said}", self.at(member))

    def at(self, member: str | int) -> str:
        """The place of a member; of the table itself without one."""
        return self.place(str(member)) if member != "" else self.pointer

    def place(self, member: str) -> str:
        """The same of any name that a table may have, also of an empty one."""
        return f"{self.pointer}/{member.replace('~', '~0').replace('/', '~1')}"

    def only(self, members: Collection[str]) -> None:
        """Refuses members of any other name, with the name that was probably meant."""
        unknown = sorted(self.body.keys() - set(members))
        if unknown:
            known = ", ".join(sorted(members))
            nearest = get_close_matches(unknown[0], sorted(members), n=1)
            meant = f"did you mean {nearest[0]}? " if nearest else ""
            shown = unknown[0] if unknown[0].isprintable() and unknown[0] else repr(unknown[0])
            detail = f"{self.where}: {shown[:80]}: unknown member; {meant}known are {known}"
            raise RuleFault(Reason.RULE_INVALID, detail, self.place(unknown[0]))

    def has(self, member: str) -> bool:
        """Whether the member is there."""
        return member in self.body

    def table(self, member: str, where: str | None = None) -> Fields:
        """A table inside this one; an empty one when it is absent."""
        return Fields(self.body.get(member, {}), where or self.where, self.at(member))

    def tables(self, member: str, singular: str) -> tuple[Fields, ...]:
        """A list of tables, named `singular 1`, `singular 2`, …"""
        rows = self.list(member)
        return tuple(
            Fields(row, f"{singular} {index}", f"{self.at(member)}/{index - 1}")
            for index, row in enumerate(rows, start=1)
        )

    def list(self, member: str) -> list[Any]:
        """A list; empty when it is absent."""
        value = self.body.get(member, [])
        if not isinstance(value, list):
            self.refuse(member, "a list is needed")
        if len(value) > MAX_ITEMS:
            self.refuse(member, f"at most {MAX_ITEMS} items")
        return value

    def each(self, member: str, read: Callable[[object], Value]) -> tuple[Value, ...]:
        """A list, every item read; InvalidInput of `read` becomes a RuleFault at the item."""
        found = []
        for index, item in enumerate(self.list(member)):
            try:
                found.append(read(item))
            except RuleFault:
                raise
            except InvalidInput as error:
                raise self._at_item(member, index, error.detail) from error
        return tuple(found)

    def text(self, member: str, default: str | None = None) -> str:
        """A string that is not empty, and that can be shown as it is."""
        value = self.body.get(member, default)
        if not isinstance(value, str) or not value:
            self.refuse(member, "a string is needed")
        if not _is_shown(value):
            self.refuse(member, f"at most {MAX_TEXT} printable characters")
        return value

    def line(self, member: str) -> str:
        """Words for people."""
        value = self.text(member)
        if len(value) > MAX_LINE:
            self.refuse(member, f"at most {MAX_LINE} characters")
        return value

    def texts(self, member: str) -> frozenset[str]:
        """A list of such strings, none of them twice."""
        found: set[str] = set()
        for index, one in enumerate(self.list(member)):
            if not isinstance(one, str) or not one or not _is_shown(one) or one in found:
                problem = f"strings of at most {MAX_TEXT} printable characters, none of them twice"
                raise self._at_item(member, index, problem)
            found.add(one)
        return frozenset(found)

    def label(self, member: str, default: str | None = None) -> str:
        """A name that people give."""
        value = self.body.get(member, default)
        if not isinstance(value, str) or not LABEL.fullmatch(value):
            self.refuse(member, "a-z, then a-z, 0-9, _ or -")
        return value

    def names(self, member: str, fits: Callable[[str], object], what: str) -> frozenset[str]:
        """A list of strings, `what` being those that fit."""
        found = self.texts(member)
        for index, one in enumerate(self.list(member)):
            if not fits(one):
                raise self._at_item(member, index, f"{what} are needed, not {one[:80]!r}")
        return found

    def path(self, member: str) -> str:
        """An absolute path that fits a passwd field."""
        value = self.body.get(member)
        if not isinstance(value, str) or not _PATH.fullmatch(value) or "/../" in f"{value}/":
            self.refuse(member, "an absolute path is needed")
        return value

    def number(self, member: str, default: int | None, lowest: int, highest: int) -> int:
        """A whole number within bounds, both included."""
        value = self.body.get(member, default)
        if type(value) is not int or not lowest <= value <= highest:
            self.refuse(member, f"{lowest} to {highest}")
        return value

    def boolean(self, member: str, default: bool) -> bool:
        """True or false."""
        value = self.body.get(member, default)
        if type(value) is not bool:
            self.refuse(member, "true or false is needed")
        return value

    def choice(self, member: str, allowed: Collection[str], default: str) -> str:
        """One of the words."""
        value = self.body.get(member, default)
        if not isinstance(value, str) or value not in allowed:
            self.refuse(member, f"one of {', '.join(allowed)}")
        return value

    def day(self, member: str) -> date | None:
        """A day of this or the next century, as `2026-12-04` or as TOML's own; None when it is absent."""
        if not self.has(member):
            return None
        value = self.body[member]
        day = value if type(value) is date else _iso_day(value)
        if day is None:
            self.refuse(member, 'a day is needed, as in "2026-12-04"')
        if not _FIRST_DAY <= day <= _LAST_DAY:
            self.refuse(member, f"{_FIRST_DAY} to {_LAST_DAY}")
        return day

    def _at_item(self, member: str, index: int, problem: str) -> RuleFault:
        detail = f"{self.where}: {member}: {problem}"
        return RuleFault(Reason.RULE_INVALID, detail, f"{self.at(member)}/{index}")


def _iso_day(value: object) -> date | None:
    """The day that is written just so; `date.fromisoformat` takes other forms too."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return day if day is not None and day.isoformat() == value else None


def _is_shown(value: str) -> bool:
    return len(value) <= MAX_TEXT and value.isprintable()

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
        self.body: Mapping[str, Any] = body

    def named(self, where: str) -> Fields:
        """The same table under the name that was found in it."""
        return Fields(self.body, where, self.pointer)

    def refuse(self, member: str, problem: str, reason: Reason = Reason.RULE_INVALID) -> NoReturn:
        """Raises RuleFault for a member; for the table itself without one."""
        said = f"{member}: {problem}" if member else problem
        raise RuleFault(reason, f"{self.where}: {said}", self.at(member))

    def at(self, member: str | int) -> str:
        """The place of a member."""
        step = str(member).replace("~", "~0").replace("/", "~1")
        return f"{self.pointer}/{step}" if step else self.pointer

    def only(self, members: Collection[str]) -> None:
        """Refuses members of any other name, with the name that was probably meant."""
        unknown = sorted(map(str, self.body.keys() - set(members)))
        if unknown:
            known = ", ".join(sorted(members))
            nearest = get_close_matches(unknown[0], sorted(members), n=1)
            meant = f"did you mean {nearest[0]}? " if nearest else ""
            self.refuse(unknown[0], f"unknown member; {meant}known are {known}")

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
                place = f"{self.at(member)}/{index}"
                detail = f"{self.where}: {member}: {error.detail}"
                raise RuleFault(Reason.RULE_INVALID, detail, place) from error
        return tuple(found)

    def text(self, member: str, default: str | None = None) -> str:
        """A string that is not empty."""
        value = self.body.get(member, default)
        if not isinstance(value, str) or not value:
            self.refuse(member, "a string is needed")
        return value

    def texts(self, member: str) -> frozenset[str]:
        """A list of strings, none of them empty or twice."""
        found = self.list(member)
        if not all(isinstance(one, str) and one for one in found) or len(set(found)) != len(found):
            self.refuse(member, "a list of strings is needed, none of them twice")
        return frozenset(found)

    def label(self, member: str, default: str | None = None) -> str:
        """A name that people give."""
        value = self.body.get(member, default)
        if not isinstance(value, str) or not LABEL.fullmatch(value):
            self.refuse(member, "a-z, then a-z, 0-9, _ or -")
        return value

    def labels(self, member: str) -> frozenset[str]:
        """A list of such names."""
        found = self.texts(member)
        if not all(map(LABEL.fullmatch, found)):
            self.refuse(member, "names of a-z, then a-z, 0-9, _ or -")
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
        """An ISO day, as a string or as TOML's own; None when it is absent."""
        value = self.body.get(member)
        if value is None:
            return None
        if type(value) is date:
            return value
        try:
            return date.fromisoformat(value) if isinstance(value, str) else self._no_day(member)
        except ValueError:
            self._no_day(member)

    def _no_day(self, member: str) -> NoReturn:
        self.refuse(member, 'a day is needed, as in "2026-12-04"')

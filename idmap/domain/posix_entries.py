"""Accounts and groups as a node's file carries them: the values that tools show, compare and export.

An entry cannot be made of anything that a line of text, a terminal or a file name would misread: names in the grammar
of the C reader, numbers outside law 10's refusals, strings without colons and control characters. So whatever is
printed or exported from entries needs no escaping, wherever the entries came from. It knows no file format.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from idmap.domain.accounts import AccountState
from idmap.domain.errors import InvalidInput
from idmap.domain.names import REFUSED_ON_NODES
from idmap.domain.numbers import is_refused_number
from idmap.domain.reasons import Reason

STATES: Final = (AccountState.ACTIVE, AccountState.GRACE, AccountState.SUSPENDED)
"""The states that travel to nodes, by their code in posix.db."""


class UserFlag(IntFlag):
    """What stands against an account on this one node, by its bit in posix.db."""

    ELSEWHERE = 1
    TOKEN_ONLY = 2


class GroupFlag(IntFlag):
    """What this one node does with a group, by its bit in posix.db."""

    MEMBERS_WITHHELD = 1


MAX_STRING: Final = 1023
"""Bytes of gecos, home or shell."""

_NAME: Final = re.compile(r"(?!-)(?!\d+\Z)(?!\.{1,2}\Z)[A-Za-z0-9_.+-]{1,32}", re.ASCII)
_PATH: Final = re.compile(r"/[!-9;-~ ]*", re.ASCII)
_GECOS_REFUSED: Final = re.compile(r"[:\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_FOLD: Final = str.maketrans("+-.", "___")


@dataclass(frozen=True, slots=True)
class UserEntry:
    """One account. Making it raises InvalidInput: NAME_REFUSED, NUMBER_REFUSED, REQUEST_INVALID."""

    username: str
    uid_number: int
    gid_number: int
    gecos: str
    home: str
    shell: str
    state: AccountState
    last_day: int
    """Last day of the account, in days since the epoch; 0: none."""
    grace_day: int
    secondary: tuple[int, ...]
    """Secondary gid numbers, in the order of the file."""
    elsewhere: bool = False
    """It may be used on nodes of other classes only."""
    token_only: bool = False
    """A login that shows no token is refused on nodes of this class."""

    def __post_init__(self) -> None:
        check_name(self.username)
        for number in (self.uid_number, self.gid_number, *self.secondary):
            check_number(self.username, number)
        if len(set(self.secondary)) != len(self.secondary):
            raise _invalid(f"{self.username}: a group twice")
        if _GECOS_REFUSED.search(self.gecos) or len(self.gecos.encode()) > MAX_STRING:
            raise _invalid(f"{self.username}: gecos {self.gecos[:40]!r}")
        for path in (self.home, self.shell):
            if not _PATH.fullmatch(path) or len(path) > MAX_STRING:
                raise _invalid(f"{self.username}: no plain absolute path: {path[:40]!r}")
        if self.state not in STATES or self.last_day < 0 or self.grace_day < 0:
            raise _invalid(f"{self.username}: state or days")


@dataclass(frozen=True, slots=True)
class GroupEntry:
    """One group with its members' usernames. Making it raises InvalidInput as UserEntry does."""

    name: str
    gid_number: int
    members: tuple[str, ...]
    members_withheld: bool = False
    """Who is in it, only the accounts' own lists tell on this node; `members` is empty then."""

    def __post_init__(self) -> None:
        check_name(self.name)
        check_number(self.name, self.gid_number)
        for member in self.members:
            check_name(member)
        if len(set(self.members)) != len(self.members):
            raise _invalid(f"group {self.name}: a member twice")
        if self.members_withheld and self.members:
            raise _invalid(f"group {self.name}: members, though its list is withheld")


@dataclass(frozen=True, slots=True)
class Entries:
    """All accounts and groups of one file, ascending by number."""

    revision: int
    users: tuple[UserEntry, ...]
    groups: tuple[GroupEntry, ...]

    def names_withheld(self) -> tuple[str, ...]:
        """The groups whose member lists are withheld."""
        return tuple(group.name for group in self.groups if group.members_withheld)


def check_name(name: str) -> None:
    """The C reader's own check of a name. Raises InvalidInput(NAME_REFUSED)."""
    if not _NAME.fullmatch(name) or name.lower().translate(_FOLD) in REFUSED_ON_NODES:
        raise InvalidInput(Reason.NAME_REFUSED, repr(name[:64]))


def check_number(name: str, number: int) -> None:
    """Law 10's refusals. Raises InvalidInput(NUMBER_REFUSED)."""
    if is_refused_number(number):
        raise InvalidInput(Reason.NUMBER_REFUSED, f"{name}: {number}")


def _invalid(detail: str) -> InvalidInput:
    return InvalidInput(Reason.REQUEST_INVALID, detail)

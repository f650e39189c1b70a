"""User and group records of posix.db, by reference or one after the other, each checked as it is read.

A record is read strictly: it names itself, fills exactly its size, pads with zeros, and its numbers lie inside the
header's windows. What passes becomes an entry of `domain/posix_entries`, which refuses the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from idmap.adapters.posix_reader.layout import Content, Damaged, Header
from idmap.domain.errors import InvalidInput
from idmap.domain.posix_entries import (
    STATES,
    GroupEntry,
    GroupFlag,
    UserEntry,
    UserFlag,
    check_name,
    check_number,
)

UNIT: Final = 8
_KNOWN_FLAGS: Final = int(UserFlag.ELSEWHERE | UserFlag.TOKEN_ONLY)
_KNOWN_GROUP_FLAGS: Final = int(GroupFlag.MEMBERS_WITHHELD)
_USER: Final = struct.Struct("<IIIIBBHHHIIII")
"""reference, size, uid, gid, name length, state, gecos, home, shell lengths, days × 2, gids, flags."""
_GROUP: Final = struct.Struct("<IIIIBB2sI")
"""reference, size, gid, members, name length, flags, 0, size of the members' names."""


@dataclass(frozen=True, slots=True)
class StoredUser:
    """A user record and where it is."""

    reference: int
    size: int
    entry: UserEntry


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group record and where it is; members are references, not yet followed."""

    reference: int
    size: int
    name: str
    gid_number: int
    members: tuple[int, ...]
    members_size: int
    members_withheld: bool


class Records:
    """Both record sections of one file. Raises Damaged."""

    def __init__(self, content: Content, header: Header) -> None:
        self._content = content
        self._header = header
        self._known: dict[int, StoredUser] = {}

    def user(self, reference: int) -> StoredUser:
        """The user record that a reference names."""
        known = self._known.get(reference)
        if known is None:
            known = self._known[reference] = self._read_user(reference)
        return known

    def group(self, reference: int) -> StoredGroup:
        """The group record that a reference names."""
        content, section = self._content, self._header.sections[1]
        at = _place(reference, section.offset)
        own, size, gid, count, name_length, flags, pad, members_size = content.unpack(
            _GROUP, at, section.end
        )
        end = _end(reference, own, at, size, section.end)
        if flags & ~_KNOWN_GROUP_FLAGS or any(pad):
            raise Damaged(f"group record at {at}: flags {flags}, or reserved bytes")
        name = content.text(at + _GROUP.size, name_length, end)
        lists = _aligned(at + _GROUP.size + name_length + 1, at, size, count)
        content.zeros(at + _GROUP.size + name_length + 1, lists)
        members = content.unpack(struct.Struct(f"<{count}I"), lists, end)
        content.zeros(lists + 4 * count, end)
        try:
            check_name(name)
            check_number(name, gid)
        except InvalidInput as error:
            raise Damaged(f"group record at {at}: {error.detail}") from None
        self._check_window(gid, self._header.gid_windows, name)
        withheld = bool(flags & GroupFlag.MEMBERS_WITHHELD)
        return StoredGroup(reference, size, name, gid, members, members_size, withheld)

    def users(self) -> Iterator[StoredUser]:
        """All user records, in the order of the file."""
        section = self._header.sections[0]
        at = section.offset
        while at < section.end:
            stored = self.user(at // UNIT)
            yield stored
            at += stored.size

    def groups(self) -> Iterator[StoredGroup]:
        """All group records, in the order of the file."""
        section = self._header.sections[1]
        at = section.offset
        while at < section.end:
            stored = self.group(at // UNIT)
            yield stored
            at += stored.size

    def group_entry(self, stored: StoredGroup) -> GroupEntry:
        """The group with its members' names."""
        names = tuple(self.user(reference).entry.username for reference in stored.members)
        try:
            return GroupEntry(stored.name, stored.gid_number, names, stored.members_withheld)
        except InvalidInput as error:
            raise Damaged(f"group {stored.name}: {error.detail}") from None

    def _read_user(self, reference: int) -> StoredUser:
        content, section = self._content, self._header.sections[0]
        at = _place(reference, section.offset)
        own, size, uid, gid, *rest = content.unpack(_USER, at, section.end)
        name_length, state, gecos_length, home_length, shell_length, last, grace, count, flags = (
            rest
        )
        end = _end(reference, own, at, size, section.end)
        if state >= len(STATES) or flags & ~_KNOWN_FLAGS:
            raise Damaged(f"user record at {at}: state {state}, flags {flags}")
        texts, here = [], at + _USER.size
        for length in (name_length, gecos_length, home_length, shell_length):
            texts.append(content.text(here, length, end))
            here += length + 1
        lists = _aligned(here, at, size, count)
        content.zeros(here, lists)
        gids = content.unpack(struct.Struct(f"<{count}I"), lists, end)
        content.zeros(lists + 4 * count, end)
        name, gecos, home, shell = texts
        try:
            entry = UserEntry(
                name, uid, gid, gecos, home, shell, STATES[state], last, grace, gids,
                elsewhere=bool(flags & UserFlag.ELSEWHERE),
                token_only=bool(flags & UserFlag.TOKEN_ONLY),
            )  # fmt: skip
        except InvalidInput as error:
            raise Damaged(f"user record at {at}: {error.detail}") from None
        self._check_window(uid, self._header.uid_windows, name)
        for number in (gid, *gids):
            self._check_window(number, self._header.gid_windows, name)
        return StoredUser(reference, size, entry)

    def _check_window(self, number: int, windows: tuple[tuple[int, int], ...], name: str) -> None:
        if not any(first <= number <= last for first, last in windows):
            raise Damaged(f"{name}: {number} is outside the windows")


def _place(reference: int, section_offset: int) -> int:
    if reference * UNIT < section_offset:
        raise Damaged(f"reference {reference} is none of its section")
    return reference * UNIT


def _end(reference: int, own: int, at: int, size: int, section_end: int) -> int:
    if own != reference or size == 0 or size % UNIT or at + size > section_end:
        raise Damaged(f"record at {at}: it does not name itself, or its size is wrong")
    return at + size


def _aligned(at: int, record: int, size: int, count: int) -> int:
    """Where the list begins; the list must be what fills the record."""
    lists = (at + 3) & ~3
    if (lists + 4 * count + UNIT - 1) // UNIT * UNIT != record + size:
        raise Damaged(f"record at {record}: {count} entries do not fill its {size} bytes")
    return lists

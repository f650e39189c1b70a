"""posix.db for tools: everything in it, or one account or group by name or number, found as the C reader finds it.

The file is read once and kept; a replacement afterwards is not noticed. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)
for whatever is not as docs/posix-db.md says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from idmap.adapters.posix_reader.hashes import hash_name, hash_number
from idmap.adapters.posix_reader.layout import (
    SLOT,
    Content,
    Damaged,
    Header,
    read_file,
    read_header,
    unreadable,
)
from idmap.adapters.posix_reader.records import Records
from idmap.domain.posix_entries import Entries, GroupEntry, UserEntry

_SLOT: Final = struct.Struct("<II")
_T = TypeVar("_T")


class PosixFile:
    """One posix.db."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content = Content(read_file(path))
        with self._damage():
            self.header: Header = read_header(self._content)
        self._records = Records(self._content, self.header)

    def entries(self) -> Entries:
        """Everything."""
        with self._damage():
            users = tuple(stored.entry for stored in self._records.users())
            groups = tuple(self._records.group_entry(g) for g in self._records.groups())
            if (len(users), len(groups)) != (self.header.users, self.header.groups):
                raise Damaged("the header counts other records than there are")
        return Entries(self.header.revision, users, groups)

    def find_user(self, name: str) -> UserEntry | None:
        """An account by its username, through the index."""
        hashed = hash_name(self.header.seed, name.encode("utf-8", "surrogateescape"))
        with self._damage():
            return self._search(
                2, hashed, hashed >> 32, self._user_at, lambda user: user.username == name
            )

    def find_user_by_number(self, uid_number: int) -> UserEntry | None:
        """An account by its uid number, through the index."""
        hashed = hash_number(self.header.seed, uid_number)
        with self._damage():
            return self._search(
                3, hashed, uid_number, self._user_at, lambda user: user.uid_number == uid_number
            )

    def find_group(self, name: str) -> GroupEntry | None:
        """A group by its name, through the index."""
        hashed = hash_name(self.header.seed, name.encode("utf-8", "surrogateescape"))
        with self._damage():
            return self._search(
                4, hashed, hashed >> 32, self._group_at, lambda group: group.name == name
            )

    def find_group_by_number(self, gid_number: int) -> GroupEntry | None:
        """A group by its gid number, through the index."""
        hashed = hash_number(self.header.seed, gid_number)
        with self._damage():
            return self._search(
                5, hashed, gid_number, self._group_at, lambda group: group.gid_number == gid_number
            )

    def _search(
        self,
        index: int,
        hashed: int,
        fingerprint: int,
        read: Callable[[int], _T],
        fits: Callable[[_T], bool],
    ) -> _T | None:
        section = self.header.sections[index]
        slots = section.size // SLOT
        for step in range(self.header.searches[index - 2]):
            at = section.offset + (hashed + step) % slots * SLOT
            found, reference = self._content.unpack(_SLOT, at, section.end)
            if reference == 0:
                return None
            if found == fingerprint and fits(record := read(reference)):
                return record
        return None

    def _user_at(self, reference: int) -> UserEntry:
        return self._records.user(reference).entry

    def _group_at(self, reference: int) -> GroupEntry:
        return self._records.group_entry(self._records.group(reference))

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except Damaged as error:
            raise unreadable(self._path, str(error)) from None

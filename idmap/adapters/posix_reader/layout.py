"""The header of posix.db and the one checked accessor that everything else is read through.

Offsets are those of docs/posix-db.md. Nothing is trusted: a place outside the file or outside its section is
`Damaged`, never an IndexError. It knows no records.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from idmap.domain.errors import NodeInstallFailed
from idmap.domain.reasons import Reason

HEADER_PAGE: Final = 4096
VERSION: Final = 1
SECTION_ALIGN: Final = 64
SLOT: Final = 8
MIN_SLOTS: Final = 8
WINDOW_MAX: Final = 16
SECTIONS: Final = (
    "users",
    "groups",
    "user-name index",
    "uid index",
    "group-name index",
    "gid index",
)

_HEAD: Final = struct.Struct("<8sIIQQqq16sIIII4I")
"""magic, version, flags, length, revision, created, not_after, seed, users, groups, windows × 2, searches × 4."""
_AT_SECTIONS: Final = 128
_AT_WINDOWS: Final = (256, 384)
_AT_CHECKSUM: Final = 1020
AT_SUPERSEDED: Final = 1024


class Damaged(Exception):
    """A place of the file that does not hold what the format says. Stays inside this package."""


@dataclass(frozen=True, slots=True)
class Section:
    """Where a part of the file lies."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True)
class Header:
    """The header page, checked."""

    revision: int
    created: int
    not_after: int
    seed: bytes
    users: int
    groups: int
    uid_windows: tuple[tuple[int, int], ...]
    gid_windows: tuple[tuple[int, int], ...]
    searches: tuple[int, ...]
    """Longest search of each index, in the order of the sections."""
    sections: tuple[Section, ...]
    superseded: int


class Content:
    """The file's bytes behind bounds checks."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    def unpack(self, shape: struct.Struct, at: int, end: int) -> tuple[Any, ...]:
        """Values at `at`, all before `end`. Raises Damaged."""
        return shape.unpack(self.take(at, shape.size, end))

    def take(self, at: int, size: int, end: int) -> bytes:
        """`size` bytes at `at`, all before `end`. Raises Damaged."""
        if at < 0 or size < 0 or at + size > min(end, len(self._data)):
            raise Damaged(f"byte {at}: {size} bytes reach beyond their place")
        return self._data[at : at + size]

    def text(self, at: int, size: int, end: int) -> str:
        """A string of `size` bytes and the zero behind it. Raises Damaged."""
        raw = self.take(at, size + 1, end)
        if raw[-1] != 0 or 0 in raw[:-1]:
            raise Damaged(f"byte {at}: a string without its end")
        try:
            return raw[:-1].decode("utf-8")
        except UnicodeDecodeError:
            raise Damaged(f"byte {at}: a string that is not UTF-8") from None

    def zeros(self, at: int, end: int) -> None:
        """Raises Damaged unless everything in between is zero."""
        if any(self.take(at, max(0, end - at), end)):
            raise Damaged(f"bytes {at}-{end - 1}: not zero")


def read_file(path: Path) -> bytes:
    """The whole of a regular file. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise unreadable(path, "not a regular file")
            return file.read()
    except OSError as error:
        raise unreadable(path, error.strerror or type(error).__name__) from None


def read_header(content: Content) -> Header:
    """The header page. Raises Damaged."""
    magic, version, flags, length, revision, created, not_after, seed, users, groups, *rest = (
        content.unpack(_HEAD, 0, HEADER_PAGE)
    )
    if magic != b"IDMAPPSX" or version != VERSION or flags != 0:
        raise Damaged(f"not a snapshot of version {VERSION}")
    if length != len(content):
        raise Damaged(f"the header says {length} bytes, the file has {len(content)}")
    checksum = content.unpack(struct.Struct("<I"), _AT_CHECKSUM, HEADER_PAGE)[0]
    if zlib.crc32(content.take(0, _AT_CHECKSUM, HEADER_PAGE)) != checksum:
        raise Damaged("the header's checksum does not fit")
    uid_count, gid_count, *searches = rest
    header = Header(
        revision=revision,
        created=created,
        not_after=not_after,
        seed=seed,
        users=users,
        groups=groups,
        uid_windows=_windows(content, _AT_WINDOWS[0], uid_count),
        gid_windows=_windows(content, _AT_WINDOWS[1], gid_count),
        searches=tuple(searches),
        sections=_sections(content),
        superseded=content.unpack(struct.Struct("<I"), AT_SUPERSEDED, HEADER_PAGE)[0],
    )
    for section, search in zip(header.sections[2:], header.searches, strict=True):
        slots, odd = divmod(section.size, SLOT)
        if odd or slots < MIN_SLOTS or slots & (slots - 1) or search > slots:
            raise Damaged(f"an index of {section.size} bytes, searched {search} deep")
    return header


def check_reserved(content: Content, header: Header) -> None:
    """Raises Damaged unless all that the header does not use is zero."""
    content.zeros(96, _AT_SECTIONS)
    content.zeros(_AT_SECTIONS + 16 * len(SECTIONS), _AT_WINDOWS[0])
    counts = (len(header.uid_windows), len(header.gid_windows))
    for at, count in zip(_AT_WINDOWS, counts, strict=True):
        content.zeros(at + 8 * count, at + 8 * WINDOW_MAX)
    content.zeros(512, _AT_CHECKSUM)
    content.zeros(AT_SUPERSEDED + 4, HEADER_PAGE)


def unreadable(path: Path, detail: str) -> NodeInstallFailed:
    """What a tool raises for a file that it cannot work with."""
    return NodeInstallFailed(Reason.NODE_FILES_UNREADABLE, f"{path}: {detail}")


def _windows(content: Content, at: int, count: int) -> tuple[tuple[int, int], ...]:
    if count > WINDOW_MAX:
        raise Damaged(f"{count} windows")
    flat = content.unpack(struct.Struct(f"<{2 * count}I"), at, HEADER_PAGE)
    windows = tuple(zip(flat[::2], flat[1::2], strict=True))
    if any(first > last for first, last in windows):
        raise Damaged("a window upside down")
    return windows


def _sections(content: Content) -> tuple[Section, ...]:
    flat = content.unpack(struct.Struct(f"<{2 * len(SECTIONS)}Q"), _AT_SECTIONS, HEADER_PAGE)
    sections = tuple(Section(o, s) for o, s in zip(flat[::2], flat[1::2], strict=True))
    for name, section in zip(SECTIONS, sections, strict=True):
        if section.offset < HEADER_PAGE or section.offset % SECTION_ALIGN:
            raise Damaged(f"{name}: begins at {section.offset}")
        if section.end > len(content):
            raise Damaged(f"{name}: ends at {section.end}, behind the file")
    return sections

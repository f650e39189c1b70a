"""The headers of bans.db and posix.db, for Python readers (docs/posix-db.md).

`idmap-verify` takes the newest signed time from here, the agent learns what is installed, `idmap-agent verify` checks
checksums and lengths. Read-only: `idmap-compile` is the only writer of both files.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

from idmap.application.install_state import InstalledBans, InstalledPosix
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.reasons import Reason

_VERSION: Final = 1
_BANS: Final = struct.Struct("<8sIIQQqqII4xI")
"""magic, version, flags, length, counter, issued, signed_time, count, body checksum, header checksum."""

_BAN: Final = struct.Struct("<I4xq")
_POSIX: Final = struct.Struct("<8sIIQQqq16sII")
"""magic, version, flags, length, revision, created, not_after, seed, users, groups."""

_POSIX_CHECKED: Final = 1020
_POSIX_SUPERSEDED: Final = slice(1024, 1028)
_POSIX_PAGE: Final = 4096
_CLOCK_SKEW: Final = 1


def read_bans(path: Path) -> InstalledBans | None:
    """bans.db, wholly checked; None when it is missing. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
    data = _read(path)
    if data is None:
        return None
    try:
        magic, version, flags, length, counter, issued, signed_time, count, body, head = (
            _BANS.unpack_from(data)
        )
    except struct.error:
        raise _unreadable(path, "too short") from None
    content = data[_BANS.size :]
    if magic != b"IDMAPBAN" or version != _VERSION:
        raise _unreadable(path, "not a ban list of version 1")
    if length != len(data) or len(content) != count * _BAN.size:
        raise _unreadable(path, "length")
    if zlib.crc32(data[: _BANS.size - 4]) != head or zlib.crc32(content) != body:
        raise _unreadable(path, "checksum")
    bans = tuple((uid, until) for uid, until in _BAN.iter_unpack(content))
    return InstalledBans(counter, issued, signed_time, bool(flags & _CLOCK_SKEW), bans)


def read_posix_header(path: Path) -> InstalledPosix | None:
    """posix.db's header; None when it is missing. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
    try:
        with path.open("rb") as file:
            page = file.read(_POSIX_PAGE)
            size = file.seek(0, 2)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, type(error).__name__) from None
    if len(page) < _POSIX_PAGE:
        raise _unreadable(path, "too short")
    magic, version, _, length, revision, created, not_after, seed, users, groups = (
        _POSIX.unpack_from(page)
    )
    if magic != b"IDMAPPSX" or version != _VERSION:
        raise _unreadable(path, "not a snapshot of version 1")
    if length != size:
        raise _unreadable(path, "length")
    if zlib.crc32(page[:_POSIX_CHECKED]) != struct.unpack_from("<I", page, _POSIX_CHECKED)[0]:
        raise _unreadable(path, "checksum")
    return InstalledPosix(revision, created, not_after, seed, users, groups)


def without_superseded_word(data: bytes) -> bytes:
    """posix.db's bytes with the one word cleared that may be written into an installed file."""
    return data[: _POSIX_SUPERSEDED.start] + bytes(4) + data[_POSIX_SUPERSEDED.stop :]


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(path, type(error).__name__) from None


def _unreadable(path: Path, detail: str) -> NodeInstallFailed:
    return NodeInstallFailed(Reason.NODE_FILES_UNREADABLE, f"{path}: {detail}")

"""The header of posix.db, for Python readers (docs/posix-db.md).

The agent learns from it what is installed, `idmap-agent verify` and `idmap doctor` check it. Read-only:
`idmap-compile` is the only writer of posix.db.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

from idmap.adapters.node_files.failures import unreadable
from idmap.application.install_state import InstalledPosix

_VERSION: Final = 1
_POSIX: Final = struct.Struct("<8sIIQQqq16sII")
"""magic, version, flags, length, revision, created, not_after, seed, users, groups."""

_POSIX_CHECKED: Final = 1020
_POSIX_SUPERSEDED: Final = slice(1024, 1028)
_POSIX_PAGE: Final = 4096


def read_posix_header(path: Path) -> InstalledPosix | None:
    """posix.db's header; None when it is missing. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
    try:
        with path.open("rb") as file:
            page = file.read(_POSIX_PAGE)
            size = file.seek(0, 2)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, type(error).__name__) from None
    if len(page) < _POSIX_PAGE:
        raise unreadable(path, "too short")
    magic, version, _, length, revision, created, not_after, seed, users, groups = (
        _POSIX.unpack_from(page)
    )
    if magic != b"IDMAPPSX" or version != _VERSION:
        raise unreadable(path, "not a snapshot of version 1")
    if length != size:
        raise unreadable(path, "length")
    if zlib.crc32(page[:_POSIX_CHECKED]) != struct.unpack_from("<I", page, _POSIX_CHECKED)[0]:
        raise unreadable(path, "checksum")
    return InstalledPosix(revision, created, not_after, seed, users, groups)


def without_superseded_word(data: bytes) -> bytes:
    """posix.db's bytes with the one word cleared that may be written into an installed file."""
    return data[: _POSIX_SUPERSEDED.start] + bytes(4) + data[_POSIX_SUPERSEDED.stop :]

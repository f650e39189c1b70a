"""bans.db: which uid numbers are refused here, until when (docs/posix-db.md).

Written by the agent; read by pam_idmap and idmap-principals in C, here by the agent, idmap-verify and `idmap doctor`.
Writing is deliberately forgiving in two places, because a list that is refused whole lets everyone on it in: a number
that no account can have is carried like any other (it matches nobody), and of two bans on one number the longer
counts. Reading forgives nothing: a file that is damaged anywhere is NODE_FILES_UNREADABLE.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

from idmap.adapters.node_files.failures import unreadable
from idmap.adapters.node_files.replace import replace_file
from idmap.application.install_state import InstalledBans
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.reasons import Reason

_MAGIC: Final = b"IDMAPBAN"
_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sIIQQqqII4x")
"""magic, version, flags, length, counter, issued, signed_time, count, checksum of the bans."""
_CHECKSUM: Final = struct.Struct("<I")
"""Of the header; behind it."""
_START: Final = _HEADER.size + _CHECKSUM.size
_BAN: Final = struct.Struct("<I4xq")
"""uid number, end or 0."""
_CLOCK_SKEW: Final = 1
_NO_END: Final = 1 << 63
"""Later than every end that the file can hold."""


def write_bans(path: Path, bans: InstalledBans) -> None:
    """Replaces bans.db (0644). Raises NodeInstallFailed with the old one in place: INSTALL_FAILED; MANIFEST_INVALID
    for a number that the file cannot hold.
    """
    replace_file(path, encode_bans_db(bans), mode=0o644)


def encode_bans_db(bans: InstalledBans) -> bytes:
    """The file's bytes. Raises NodeInstallFailed(MANIFEST_INVALID)."""
    # By number, then the one that lasts longest last: it is the one that stays.
    longest = dict(sorted(bans.bans, key=lambda ban: (ban[0], ban[1] or _NO_END)))
    try:
        content = b"".join(_BAN.pack(*ban) for ban in longest.items())
        header = _HEADER.pack(
            _MAGIC,
            _VERSION,
            _CLOCK_SKEW if bans.clock_skew else 0,
            _START + len(content),
            bans.counter,
            bans.issued,
            bans.signed_time,
            len(longest),
            zlib.crc32(content),
        )
    except struct.error as error:
        raise NodeInstallFailed(Reason.MANIFEST_INVALID, f"bans: {error}") from None
    return header + _CHECKSUM.pack(zlib.crc32(header)) + content


def read_bans(path: Path) -> InstalledBans | None:
    """bans.db, wholly checked; None when it is missing. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, type(error).__name__) from None
    if len(data) < _START:
        raise unreadable(path, "too short")
    magic, version, flags, length, counter, issued, signed_time, count, checksum = (
        _HEADER.unpack_from(data)
    )
    content = data[_START:]
    if magic != _MAGIC or version != _VERSION:
        raise unreadable(path, "not a ban list of version 1")
    if length != len(data) or len(content) != count * _BAN.size:
        raise unreadable(path, "length")
    (of_header,) = _CHECKSUM.unpack_from(data, _HEADER.size)
    if zlib.crc32(data[: _HEADER.size]) != of_header or zlib.crc32(content) != checksum:
        raise unreadable(path, "checksum")
    bans = tuple(_BAN.iter_unpack(content))
    return InstalledBans(counter, issued, signed_time, bool(flags & _CLOCK_SKEW), bans)

"""The files that libnss-cache maps: passwd.cache and group.cache with their sorted indexes.

An index is lines of one width, sorted by the bytes of the key: key, NUL, decimal offset of the line in the data file,
NULs up to the width, newline. The reader takes the width from the first line and searches by halves with strcmp, so a
number sorts as text (google/libnss-cache, scripts/index.sh; Debian's 0.18 reads exactly this). It ignores an index
older than its data file: write the data first. An empty data file gets an empty index. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

from idmap.adapters.posix_export.text import group_line, passwd_line
from idmap.domain.posix_entries import Entries


def nss_cache_files(entries: Entries) -> dict[str, bytes]:
    """File name → content, in the order in which they must be written."""
    users = [f"{passwd_line(user)}\n".encode() for user in entries.users]
    groups = [f"{group_line(group)}\n".encode() for group in entries.groups]
    return {
        "passwd.cache": b"".join(users),
        "passwd.cache.ixname": _index([user.username for user in entries.users], users),
        "passwd.cache.ixuid": _index([str(user.uid_number) for user in entries.users], users),
        "group.cache": b"".join(groups),
        "group.cache.ixname": _index([group.name for group in entries.groups], groups),
        "group.cache.ixgid": _index([str(group.gid_number) for group in entries.groups], groups),
    }


def _index(keys: Sequence[str], lines: Sequence[bytes]) -> bytes:
    rows, offset = [], 0
    for key, line in zip(keys, lines, strict=True):
        rows.append((key.encode("ascii"), b"%d" % offset))
        offset += len(line)
    width = max((len(key) + len(place) for key, place in rows), default=0) + 2
    return b"".join(
        (key + b"\0" + place).ljust(width, b"\0") + b"\n" for key, place in sorted(rows)
    )

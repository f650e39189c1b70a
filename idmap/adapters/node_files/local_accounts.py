"""The node's own accounts, from its passwd and group files: what federated names and numbers must not meet.

Reads the files themselves and never NSS, which would answer with our own records. A line that is not understood still
gives its name; a file that cannot be read stops the installation, because nothing could be masked by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from idmap.application.install_view import LocalAccounts
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.names import is_local_group
from idmap.domain.reasons import Reason

_MAX_FILE: Final = 64 * 1024 * 1024


def read_local_accounts(
    passwd: Path, group: Path, listed: frozenset[str] = frozenset()
) -> LocalAccounts:
    """Names and numbers of both files; of the `listed` groups those that accounts can be given here.

    Not given is gid 0, nor a number that some group of the system's has too, under whatever name it is listed (law 10);
    of a name that stands there twice the first counts, as for everybody who asks by name.

    Raises NodeInstallFailed(INSTALL_FAILED).
    """
    users: set[str] = set()
    uid_numbers: set[int] = set()
    groups: set[str] = set()
    gid_numbers: set[int] = set()
    given: dict[str, int] = {}
    withheld = {0}
    for fields in _lines(passwd):
        users.add(fields[0])
        uid_numbers.update(_number(fields, 2))
        gid_numbers.update(_number(fields, 3))
    for fields in _lines(group):
        groups.add(fields[0])
        numbers = _number(fields, 2)
        gid_numbers.update(numbers)
        if not is_local_group(fields[0]):
            withheld.update(numbers)
        elif fields[0] in listed and numbers:
            given.setdefault(fields[0], numbers[0])
    return LocalAccounts(
        frozenset(users),
        frozenset(uid_numbers),
        frozenset(groups),
        frozenset(gid_numbers),
        frozenset((name, number) for name, number in given.items() if number not in withheld),
    )


def file_marks(*paths: Path) -> tuple[tuple[int, int, int, int], ...]:
    """What changes when one of the files does: device, inode, size, time of change."""
    marks = []
    for path in paths:
        try:
            status = path.stat()
            marks.append((status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            marks.append((0, 0, 0, 0))
    return tuple(marks)


def _lines(path: Path) -> Iterator[list[str]]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise NodeInstallFailed(
            Reason.INSTALL_FAILED, f"{path}: {error.strerror}; nothing could be masked"
        ) from error
    if len(data) > _MAX_FILE:
        raise NodeInstallFailed(Reason.INSTALL_FAILED, f"{path}: too large")
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.strip().split(":")
        # `+` and `-` lines (nss_compat) name no account of this file.
        if fields[0] and fields[0][0] not in "#+-":
            yield fields


def _number(fields: list[str], index: int) -> tuple[int, ...]:
    text = fields[index].strip() if len(fields) > index else ""
    return (int(text),) if text.isascii() and text.isdigit() and len(text) <= 10 else ()

"""JSON user and group records for systemd's userdb drop-in directories (nss-systemd(8), systemd.io/USER_RECORD).

NAME.user and NAME.group hold the records, UID.user and GID.group are links to them, and an empty file
USER:GROUP.membership says that a user is in a group. Unlike passwd text a record can say when an account ends: a
suspended one, or one for nodes of other classes, is `locked`, and `notAfterUSec` is the end of its last day. It cannot
say that a token is demanded. Pure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain.accounts import AccountState
from idmap.domain.posix_entries import Entries, GroupEntry, UserEntry

_DAY_MICROSECONDS: Final = 86_400 * 1_000_000


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link to another file of the same directory."""

    target: str


def userdb_files(entries: Entries) -> dict[str, bytes | Link]:
    """File name → content or link."""
    files: dict[str, bytes | Link] = {}
    for user in entries.users:
        files[f"{user.username}.user"] = _encode(_user_record(user))
        files[f"{user.uid_number}.user"] = Link(f"{user.username}.user")
    for group in entries.groups:
        files[f"{group.name}.group"] = _encode(_group_record(group))
        files[f"{group.gid_number}.group"] = Link(f"{group.name}.group")
        for member in group.members:
            files[f"{member}:{group.name}.membership"] = b""
    return files


def _user_record(user: UserEntry) -> dict[str, Any]:
    record: dict[str, Any] = {
        "userName": user.username,
        "uid": user.uid_number,
        "gid": user.gid_number,
        "homeDirectory": user.home,
        "shell": user.shell,
        "disposition": "regular",
    }
    if user.gecos:
        record["realName"] = user.gecos
    if user.state is AccountState.SUSPENDED or user.elsewhere:
        record["locked"] = True
    ends = [user.last_day] if user.last_day else []
    if user.state is AccountState.GRACE:
        ends.append(user.grace_day)
    if ends:
        record["notAfterUSec"] = (min(ends) + 1) * _DAY_MICROSECONDS
    return record


def _group_record(group: GroupEntry) -> dict[str, Any]:
    return {"groupName": group.name, "gid": group.gid_number, "disposition": "regular"}


def _encode(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=True, sort_keys=True).encode("ascii") + b"\n"

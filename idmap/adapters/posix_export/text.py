"""passwd(5) and group(5) text, for containers and for static programs that know no NSS.

A line needs no escaping: an entry holds no colon, comma or newline where one would be misread. What the text form
would read as something else is refused, never altered: glibc's `compat` takes a name that begins with `+` as an
order to ask NIS. Passwords are `*`; state and dates have no place here, so a suspended account keeps its name and
numbers, and login is decided elsewhere. Pure.
"""

from __future__ import annotations

from idmap.domain.errors import InvalidInput
from idmap.domain.posix_entries import Entries, GroupEntry, UserEntry
from idmap.domain.reasons import Reason


def passwd_line(user: UserEntry) -> str:
    """One account, without the newline. Raises InvalidInput(NAME_REFUSED)."""
    _check(user.username)
    return f"{user.username}:*:{user.uid_number}:{user.gid_number}:{user.gecos}:{user.home}:{user.shell}"


def group_line(group: GroupEntry) -> str:
    """One group, without the newline. Raises InvalidInput(NAME_REFUSED)."""
    _check(group.name)
    for member in group.members:
        _check(member)
    return f"{group.name}:*:{group.gid_number}:{','.join(group.members)}"


def passwd_text(entries: Entries) -> bytes:
    """The whole passwd file, ascending by uid number."""
    return "".join(f"{passwd_line(user)}\n" for user in entries.users).encode()


def group_text(entries: Entries) -> bytes:
    """The whole group file, ascending by gid number."""
    return "".join(f"{group_line(group)}\n" for group in entries.groups).encode()


def _check(name: str) -> None:
    if name.startswith("+"):
        raise InvalidInput(
            Reason.NAME_REFUSED, f"{name}: in a text file, a leading + means to ask NIS"
        )

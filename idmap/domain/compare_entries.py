"""What differs between two snapshots: accounts and groups by number, field by field, and memberships by name.

Memberships are those that the accounts' own lists tell, so nobody leaves a group because its member list is withheld in
one file; that it is there and not here is said of the group. Accounts and groups are matched by *number*, because a
number never changes its owner (law 2); the same number under another name is therefore a rename, worth a look. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from idmap.domain.posix_entries import Entries, GroupEntry, UserEntry

FIELDS: Final = (
    "username",
    "gid_number",
    "gecos",
    "home",
    "shell",
    "state",
    "last_day",
    "grace_day",
    "elsewhere",
    "token_only",
)
"""Of an account, in the order of the report; memberships are told apart."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that differs."""

    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Changed:
    """What differs in one account or group that both snapshots have."""

    number: int
    name: str
    """The new one."""
    fields: tuple[FieldChange, ...]
    joined: tuple[str, ...] = ()
    """Of an account: groups; of a group: nothing, the accounts tell it."""
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that differs."""

    users_added: tuple[UserEntry, ...]
    users_removed: tuple[UserEntry, ...]
    users_changed: tuple[Changed, ...]
    groups_added: tuple[GroupEntry, ...]
    groups_removed: tuple[GroupEntry, ...]
    groups_changed: tuple[Changed, ...]

    def is_empty(self) -> bool:
        """Whether the two say the same of everybody."""
        return not (
            self.users_added
            or self.users_removed
            or self.users_changed
            or self.groups_added
            or self.groups_removed
            or self.groups_changed
        )


def compare(before: Entries, after: Entries) -> Difference:
    """What leads from `before` to `after`; revisions are not compared."""
    old_users = {user.uid_number: user for user in before.users}
    new_users = {user.uid_number: user for user in after.users}
    old_groups = {group.gid_number: group for group in before.groups}
    new_groups = {group.gid_number: group for group in after.groups}
    old_names = {number: group.name for number, group in old_groups.items()}
    new_names = {number: group.name for number, group in new_groups.items()}
    return Difference(
        users_added=tuple(u for u in after.users if u.uid_number not in old_users),
        users_removed=tuple(u for u in before.users if u.uid_number not in new_users),
        users_changed=_changed_users(old_users, new_users, old_names, new_names),
        groups_added=tuple(g for g in after.groups if g.gid_number not in old_groups),
        groups_removed=tuple(g for g in before.groups if g.gid_number not in new_groups),
        groups_changed=_changed_groups(old_groups, new_groups),
    )


def _changed_groups(
    old_groups: Mapping[int, GroupEntry], new_groups: Mapping[int, GroupEntry]
) -> tuple[Changed, ...]:
    changes = []
    for number, old in old_groups.items():
        new = new_groups.get(number)
        if new is None:
            continue
        fields = []
        if new.name != old.name:
            fields.append(FieldChange("name", old.name, new.name))
        if new.members_withheld != old.members_withheld:
            fields.append(FieldChange("member_list", _member_list(old), _member_list(new)))
        if fields:
            changes.append(Changed(number, new.name, tuple(fields)))
    return tuple(changes)


def _member_list(group: GroupEntry) -> str:
    return "withheld" if group.members_withheld else "stored"


def _changed_users(
    old_users: Mapping[int, UserEntry],
    new_users: Mapping[int, UserEntry],
    old_names: Mapping[int, str],
    new_names: Mapping[int, str],
) -> tuple[Changed, ...]:
    changes = []
    for number, old in old_users.items():
        new = new_users.get(number)
        if new is None or new == old:
            continue
        fields = tuple(
            FieldChange(field, str(getattr(old, field)), str(getattr(new, field)))
            for field in FIELDS
            if getattr(old, field) != getattr(new, field)
        )
        was, now = frozenset(old.secondary), frozenset(new.secondary)
        joined, left = _names(now - was, new_names), _names(was - now, old_names)
        if fields or joined or left:
            changes.append(Changed(number, new.username, fields, joined, left))
    return tuple(changes)


def _names(gids: Iterable[int], names: Mapping[int, str]) -> tuple[str, ...]:
    return tuple(names.get(gid, str(gid)) for gid in sorted(gids))

"""The POSIX view as a node reads it back: records from chunks, checked, masked, spelled for the compiler.

Every record is checked again here whoever signed it (law 10), and the whole is checked for what no single record
shows: doubled names and numbers, groups that do not exist. What clashes with the node's own accounts is
*masked*: left out on this node and reported. What depends on the node's class (may an account be used here? does a
key do?) becomes two flags, and names of the node's own groups become its own gid numbers; no other node's are seen.
Pure: bytes in, bytes out. It does not write posix.db; `idmap-compile` does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from idmap.domain.errors import InvalidInput
from idmap.domain.node_access import EVERYWHERE, NodeAccess, parse_node_access
from idmap.domain.posix import Windows, check_record
from idmap.domain.posix_entries import UserFlag
from idmap.domain.reasons import Reason

GROUPS_CHUNK: Final = "groups"
LOCAL_GROUPS_HEAD: Final = "# idmap-local-groups 1"
_STATES: Final = frozenset({"active", "grace", "suspended"})


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """One group line."""

    name: str
    gid_number: int


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One user line; `head` is the line up to its secondary gids."""

    name: str
    uid_number: int
    gid_number: int
    secondary: tuple[int, ...]
    head: str
    access: NodeAccess = EVERYWHERE
    local_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PosixView:
    """Accounts and groups together. Made by `merge`, which has checked them against each other."""

    groups: tuple[GroupRecord, ...]
    users: tuple[UserRecord, ...]


@dataclass(frozen=True, slots=True)
class LocalAccounts:
    """The node's own names and numbers."""

    users: frozenset[str]
    uid_numbers: frozenset[int]
    groups: frozenset[str]
    gid_numbers: frozenset[int]
    """Of its groups, and the primary ones of its users."""
    given: frozenset[tuple[str, int]] = frozenset()
    """Name and gid number of its groups that accounts may have here: those that its configuration lists."""


class MaskCause(StrEnum):
    """Why a record is left out on this node."""

    USERNAME = "local_username"
    UID_NUMBER = "local_uid_number"
    USER_NAMED_AS_GROUP = "local_group_has_the_username"
    GROUP_NAME = "local_group_name"
    GID_NUMBER = "local_gid_number"
    PRIMARY_GROUP = "primary_group_masked"


@dataclass(frozen=True, slots=True, order=True)
class Masked:
    """A record that is left out on this node."""

    kind: str
    """`user` or `group`."""
    name: str
    number: int
    cause: MaskCause


def parse_chunk(name: str, data: bytes, windows: Windows) -> PosixView:
    """The records of one chunk. Raises InvalidInput (NUMBER_REFUSED, NAME_REFUSED, MANIFEST_INVALID)."""
    groups: list[GroupRecord] = []
    users: list[UserRecord] = []
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise _invalid(f"chunk {name}: not ASCII") from None
    if text and not text.endswith("\n"):
        raise _invalid(f"chunk {name}: the last line does not end")
    for line in text.split("\n")[:-1]:
        if not line.replace("\t", "").isprintable():
            raise _invalid(f"chunk {name}: a control character")
        check_record(line, windows)
        if line.startswith("group\t"):
            _, group_name, gid = line.split("\t")
            groups.append(GroupRecord(group_name, int(gid)))
        elif name == GROUPS_CHUNK:
            raise _invalid(f"chunk {name}: a record of the other kind")
        else:
            users.append(_parse_user(line))
    if name != GROUPS_CHUNK:
        own = {(user.name, user.uid_number) for user in users if user.gid_number == user.uid_number}
        if any((group.name, group.gid_number) not in own for group in groups):
            raise _invalid(
                f"chunk {name}: a record of the other kind: no private group of an account in it"
            )
    return PosixView(tuple(groups), tuple(users))


class ChunkReader:
    """Reads chunks and keeps what it read, so that one changed account costs one chunk.

    The key is content, name *and* windows, so nothing that was checked under others is taken over. Only an agent that
    stays gains by it. Beyond `max_records` nothing more is kept: 200 000 take about 100 MB.
    """

    def __init__(self, max_records: int = 200_000) -> None:
        self._max_records = max_records
        self._records = 0
        self._known: dict[tuple[str, str, Windows], PosixView] = {}

    def read(self, name: str, sha256: str, data: bytes, windows: Windows) -> PosixView:
        """As `parse_chunk`; `sha256` is that of `data`, checked by the caller."""
        key = (name, sha256, windows)
        view = self._known.get(key)
        if view is None:
            view = parse_chunk(name, data, windows)
            size = len(view.users) + len(view.groups)
            if self._records + size <= self._max_records:
                self._known[key] = view
                self._records += size
        return view

    def keep_only(self, sha256s: frozenset[str]) -> None:
        """Forgets every other chunk."""
        self._known = {key: view for key, view in self._known.items() if key[1] in sha256s}
        self._records = sum(len(v.users) + len(v.groups) for v in self._known.values())


def merge(chunks: Iterable[PosixView]) -> PosixView:
    """All chunks as one. Raises InvalidInput: NAME_TAKEN, NUMBER_TAKEN for doubles, MANIFEST_INVALID for lost
    groups.
    """
    groups: list[GroupRecord] = []
    users: list[UserRecord] = []
    for chunk in chunks:
        groups.extend(chunk.groups)
        users.extend(chunk.users)
    gid_of = _distinct(((g.name, g.gid_number) for g in groups), "group")
    uid_of = _distinct(((u.name, u.uid_number) for u in users), "user")
    gid_numbers = frozenset(gid_of.values())
    for user in users:
        if user.gid_number not in gid_numbers or not gid_numbers.issuperset(user.secondary):
            raise _invalid(f"user {user.name}: a group that does not exist")
        if gid_of.get(user.name, user.uid_number) != uid_of[user.name]:
            raise InvalidInput(
                Reason.NAME_TAKEN, f"{user.name}: a group of another number has the user's name"
            )
    return PosixView(
        tuple(sorted(groups, key=lambda g: g.gid_number)),
        tuple(sorted(users, key=lambda u: u.uid_number)),
    )


def mask(view: PosixView, local: LocalAccounts) -> tuple[PosixView, tuple[Masked, ...]]:
    """What this node may see, and what it may not because the node's own accounts win (law 10)."""
    masked: list[Masked] = []
    groups: list[GroupRecord] = []
    hidden_gids: set[int] = set()
    private = {user.name for user in view.users if user.gid_number == user.uid_number}
    for group in view.groups:
        cause = _group_cause(group, local)
        if cause is None and group.name in private:
            cause = _private_group_cause(group, local)
        if cause is None:
            groups.append(group)
        else:
            hidden_gids.add(group.gid_number)
            masked.append(Masked("group", group.name, group.gid_number, cause))
    users: list[UserRecord] = []
    for user in view.users:
        cause = _user_cause(user, local, hidden_gids)
        if cause is not None:
            masked.append(Masked("user", user.name, user.uid_number, cause))
        elif hidden_gids.isdisjoint(user.secondary):
            users.append(user)
        else:
            kept = tuple(gid for gid in user.secondary if gid not in hidden_gids)
            users.append(replace(user, secondary=kept))
    return PosixView(tuple(groups), tuple(users)), tuple(sorted(masked))


def count_elsewhere(view: PosixView, node_class: str) -> int:
    """How many accounts may not be used on nodes of this class."""
    return sum(not user.access.admits(node_class) for user in view.users)


def compiler_input(
    view: PosixView,
    windows: Windows,
    *,
    revision: int,
    created: int,
    not_after: int,
    node_class: str | None = None,
    token_only: bool = False,
    members_withheld: Collection[int] = frozenset(),
) -> bytes:
    """The view as `idmap-compile posix` reads it (`idmap-posix 2`).

    Without `node_class` the file is for no node in particular, and every account may be used; with `token_only` a login
    there has to show a token. `members_withheld` are the gid numbers of groups whose member lists are not stored.
    """
    here = UserFlag.TOKEN_ONLY if token_only else UserFlag(0)
    at_home, away = int(here), int(here | UserFlag.ELSEWHERE)
    flags = (
        at_home if node_class is None or user.access.admits(node_class) else away
        for user in view.users
    )
    lines = [
        "idmap-posix\t2",
        f"revision\t{revision}",
        f"created\t{created}",
        f"not_after\t{not_after}",
        *(f"window\tuid\t{first}\t{last}" for first, last in windows.uid),
        *(f"window\tgid\t{first}\t{last}" for first, last in windows.gid),
        *(
            f"group\t{group.name}\t{group.gid_number}"
            + ("\tnomembers" if group.gid_number in members_withheld else "")
            for group in view.groups
        ),
        *(
            f"{user.head}\t{','.join(map(str, user.secondary))}\t{flag}"
            for user, flag in zip(view.users, flags, strict=True)
        ),
        f"end\t{len(view.groups)}\t{len(view.users)}",
    ]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def local_groups_text(view: PosixView, local: LocalAccounts) -> bytes:
    """The file by which a login is given groups of the node's own: `username:gid,gid`, behind a line that names it.

    Names that the node does not list, or does not have, are nothing here. Never empty, so that a file which was cut
    short is told from one that gives nobody anything.
    """
    gid_of = dict(local.given)
    lines = [LOCAL_GROUPS_HEAD]
    for user in view.users:
        gids = sorted({gid_of[name] for name in user.local_groups if name in gid_of})
        if gids:
            lines.append(f"{user.name}:{','.join(map(str, gids))}")
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _parse_user(line: str) -> UserRecord:
    _, name, uid, gid, state, expires, grace, home, shell, _gecos, gids, *more = line.split("\t")
    if state not in _STATES or (state == "grace" and grace == "0"):
        raise _invalid(f"user {name}: state {state[:20]!r}")
    if not (expires.isdecimal() and grace.isdecimal() and max(len(expires), len(grace)) < 10):
        raise _invalid(f"user {name}: a day that is no number")
    if not (home.startswith("/") and shell.startswith("/")) or ":" in home + shell:
        raise _invalid(f"user {name}: home and shell must be absolute paths without colons")
    secondary = tuple(int(number) for number in gids.split(",")) if gids else ()
    if len(set(secondary)) != len(secondary):
        raise _invalid(f"user {name}: a group twice")
    if not more:
        head = line[: -len(gids) - 1]
        return UserRecord(name, int(uid), int(gid), secondary, head)
    access, groups = more
    head = line.rsplit("\t", 3)[0]
    local_groups = tuple(filter(None, groups.split(",")))
    return UserRecord(
        name, int(uid), int(gid), secondary, head, parse_node_access(access), local_groups
    )


def _distinct(rows: Iterable[tuple[str, int]], kind: str) -> Mapping[str, int]:
    by_name: dict[str, int] = {}
    numbers: set[int] = set()
    for name, number in rows:
        if name in by_name:
            raise InvalidInput(Reason.NAME_TAKEN, f"{kind} {name}: twice")
        if number in numbers:
            raise InvalidInput(Reason.NUMBER_TAKEN, f"{kind} {name}: {number} twice")
        by_name[name] = number
        numbers.add(number)
    return by_name


def _group_cause(group: GroupRecord, local: LocalAccounts) -> MaskCause | None:
    if group.name in local.groups:
        return MaskCause.GROUP_NAME
    if group.gid_number in local.gid_numbers:
        return MaskCause.GID_NUMBER
    return None


def _private_group_cause(group: GroupRecord, local: LocalAccounts) -> MaskCause | None:
    """A private group goes where its account goes."""
    if group.name in local.users:
        return MaskCause.USERNAME
    if group.gid_number in local.uid_numbers:
        return MaskCause.UID_NUMBER
    return None


def _user_cause(user: UserRecord, local: LocalAccounts, hidden_gids: set[int]) -> MaskCause | None:
    if user.name in local.users:
        return MaskCause.USERNAME
    if user.uid_number in local.uid_numbers:
        return MaskCause.UID_NUMBER
    if user.name in local.groups:
        return MaskCause.USER_NAMED_AS_GROUP
    if user.gid_number in hidden_gids:
        return MaskCause.PRIMARY_GROUP
    return None


def _invalid(detail: str) -> InvalidInput:
    return InvalidInput(Reason.MANIFEST_INVALID, detail)

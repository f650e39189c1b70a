"""The POSIX view: what every node is told about accounts and groups, as canonical text.

One record per line, tab separated, in the very form that `idmap-compile` reads (docs/snapshot.md), so that
what is signed, what travels and what is compiled are the same bytes. Records are dealt into chunks by a
hash of the key, sorted within each: one changed account changes one chunk. Membership is stored
once, with the member. No identities, no mail addresses, no reasons (law 8, DESIGN §2).

An account that may be used everywhere and has no group of the nodes' own is spelled without the two fields that
say so, so that nodes of before these fields read every site that does not use them, and refuse the others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final

from idmap.domain.accounts import UNKNOWN_TO_NODES, Account, PosixGroup
from idmap.domain.errors import InvalidInput
from idmap.domain.names import (
    MAX_LOCAL_GROUPS,
    ROOT_EQUIVALENT_GROUPS,
    is_adoptable,
    is_local_group,
    is_reserved,
)
from idmap.domain.node_access import EVERYWHERE, parse_node_access
from idmap.domain.numbers import NumberKind, NumberRange, is_refused_number
from idmap.domain.reasons import Reason

USER_CHUNKS: Final = 64
"""At 1 M accounts a chunk is about 1.5 MB; the two-level tree of DESIGN §2 replaces the flat list then."""

_EPOCH: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Windows:
    """The runs of numbers that the signed manifest allows on a node."""

    uid: tuple[tuple[int, int], ...]
    gid: tuple[tuple[int, int], ...]


def windows_of(ranges: Iterable[NumberRange], with_private_groups: Collection[str] = ()) -> Windows:
    """Windows from the registry's ranges; those named have numbers that are private groups' gids too."""
    listed = sorted(ranges, key=lambda r: r.first)
    return Windows(
        uid=tuple((r.first, r.last) for r in listed if r.purpose.kind is NumberKind.UID),
        gid=tuple(
            (r.first, r.last)
            for r in listed
            if r.purpose.kind is NumberKind.GID or r.name in with_private_groups
        ),
    )


def user_line(account: Account) -> str:
    """One account as a record. The gecos field is the username, never a name or mail address."""
    fields = [
        "user",
        account.username,
        str(account.uid_number),
        str(account.primary_group.gid_number),
        str(account.state),
        str(_day_number(account.expires_on)),
        str(_day_number(account.grace_until)),
        account.home,
        account.shell,
        account.username,
        ",".join(str(n) for n in sorted(g.gid_number for g in account.secondary_groups)),
    ]
    if account.access != EVERYWHERE or account.local_groups:
        fields += [str(account.access), ",".join(sorted(account.local_groups))]
    return "\t".join(fields)


def group_line(group: PosixGroup) -> str:
    """One group as a record."""
    return f"group\t{group.name}\t{group.gid_number}"


def posix_chunks(accounts: Iterable[Account], groups: Iterable[PosixGroup]) -> dict[str, bytes]:
    """Chunk name → canonical bytes. Pending accounts and tombstones have no place on a node.

    A private group stands before its account, in the same chunk, so that one new account changes one chunk.
    """
    users: dict[int, list[tuple[int, str]]] = {index: [] for index in range(USER_CHUNKS)}
    for account in accounts:
        if account.state not in UNKNOWN_TO_NODES:
            line = user_line(account)
            if account.has_private_group:
                line = f"{group_line(account.primary_group)}\n{line}"
            users[chunk_index(account.username)].append((account.uid_number, line))
    group_lines = [line for _, line in sorted((g.gid_number, group_line(g)) for g in groups)]
    chunks = {"groups": _join(group_lines)}
    for index, rows in users.items():
        chunks[f"users-{index:02x}"] = _join([line for _, line in sorted(rows)])
    return chunks


def chunk_index(name: str) -> int:
    """Which user chunk a username belongs to: the top bits of SHA-256 of the name."""
    return hashlib.sha256(name.encode()).digest()[0] * USER_CHUNKS // 256


def check_record(line: str, windows: Windows) -> None:
    """The builder's and the signer's own refusal of a record (law 10).

    Raises InvalidInput: NUMBER_REFUSED, NAME_REFUSED, or MANIFEST_INVALID for a line that is no record.
    """
    fields = line.split("\t")
    match fields:
        case ["group", name, gid]:
            _check_number(gid, windows.gid, name)
            if name in ROOT_EQUIVALENT_GROUPS:
                raise InvalidInput(Reason.NAME_REFUSED, f"group {name}")
        case [
            "user",
            name,
            uid,
            gid,
            _state,
            _expires,
            _grace,
            _home,
            _shell,
            _gecos,
            gids,
            *more,
        ] if len(more) in {0, 2}:
            _check_number(uid, windows.uid, name)
            for number in (gid, *filter(None, gids.split(","))):
                _check_number(number, windows.gid, name)
            if more:
                _check_places(name, *more)
        case _:
            raise InvalidInput(Reason.MANIFEST_INVALID, f"not a record: {line[:80]!r}")
    if not is_adoptable(name) or is_reserved(name):
        raise InvalidInput(Reason.NAME_REFUSED, repr(name[:64]))


def _check_places(name: str, access: str, local_groups: str) -> None:
    """Node classes and local groups, each in its only spelling; neither is there when both say nothing."""
    groups = local_groups.split(",") if local_groups else []
    try:
        says_nothing = parse_node_access(access) == EVERYWHERE and not groups
    except InvalidInput as error:
        raise InvalidInput(Reason.MANIFEST_INVALID, f"{name}: {error.detail}") from None
    if says_nothing or groups != sorted(set(groups)) or len(groups) > MAX_LOCAL_GROUPS:
        raise InvalidInput(Reason.MANIFEST_INVALID, f"{name}: local groups {local_groups[:80]!r}")
    for group in groups:
        if not is_local_group(group):
            raise InvalidInput(Reason.NAME_REFUSED, f"{name}: local group {group[:64]!r}")


def _check_number(text: str, windows: tuple[tuple[int, int], ...], name: str) -> None:
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise InvalidInput(Reason.NUMBER_REFUSED, f"{name}: {text[:20]!r}")
    number = int(text)
    if is_refused_number(number) or not any(first <= number <= last for first, last in windows):
        raise InvalidInput(Reason.NUMBER_REFUSED, f"{name}: {number} is outside the windows")


def _day_number(day: date | None) -> int:
    return 0 if day is None else (day - _EPOCH).days


def _join(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode("ascii")

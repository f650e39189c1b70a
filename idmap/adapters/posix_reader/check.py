"""Whether a posix.db keeps every invariant of docs/posix-db.md, said as findings rather than with the first refusal.

Header, windows, sections, records and their order, each index slot by slot, and every member list against the group
lists of the users, unless it is withheld. The hash of each name is computed anew, so an index that only the C compiler
would believe is found. It does not tell whether the content is what was signed; `idmap-agent verify` does.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from idmap.adapters.posix_reader.hashes import hash_name, hash_number
from idmap.adapters.posix_reader.layout import (
    HEADER_PAGE,
    SECTIONS,
    SLOT,
    Content,
    Damaged,
    Header,
    check_reserved,
    read_file,
    read_header,
)
from idmap.adapters.posix_reader.records import Records, StoredGroup, StoredUser
from idmap.domain.numbers import HARD_HOLE, is_refused_number

MAX_FILL_PERCENT: Final = 61
MAX_FINDINGS: Final = 100
"""A file with more is not read by a person."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be."""

    place: str
    detail: str


def check_posix_file(path: Path) -> tuple[Finding, ...]:
    """All findings, at most MAX_FINDINGS. Raises NodeInstallFailed when there is nothing to read."""
    findings = []
    for finding in _check(Content(read_file(path))):
        findings.append(finding)
        if len(findings) >= MAX_FINDINGS:
            findings.append(Finding("file", "and more"))
            break
    return tuple(findings)


def mapping_notes(path: Path) -> tuple[str, ...]:
    """Why no reader would map the file where it lies, however sound its content is."""
    notes = []
    seen = os.lstat(path)
    if stat.S_ISLNK(seen.st_mode):
        notes.append("it is a symbolic link")
        seen = path.stat()
    if seen.st_uid != 0:
        notes.append(f"its owner is uid {seen.st_uid}, not root")
    if seen.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        notes.append("group or others may write to it")
    return tuple(notes)


def _check(content: Content) -> Iterator[Finding]:
    try:
        header = read_header(content)
    except Damaged as error:
        yield Finding("header", str(error))
        return
    yield from _check_header(content, header)
    records = Records(content, header)
    try:
        users, groups = list(records.users()), list(records.groups())
    except Damaged as error:
        yield Finding("records", str(error))
        return
    yield from _check_records(header, users, groups)
    yield from _check_members(users, groups)
    keys = (
        [_name_key(header, user.entry.username, user.reference) for user in users],
        [_number_key(header, user.entry.uid_number, user.reference) for user in users],
        [_name_key(header, group.name, group.reference) for group in groups],
        [_number_key(header, group.gid_number, group.reference) for group in groups],
    )
    for index, expected in enumerate(keys):
        yield from _check_index(content, header, index, expected)


def _name_key(header: Header, name: str, reference: int) -> tuple[int, int, int]:
    hashed = hash_name(header.seed, name.encode())
    return hashed, hashed >> 32, reference


def _number_key(header: Header, number: int, reference: int) -> tuple[int, int, int]:
    return hash_number(header.seed, number), number, reference


def _check_header(content: Content, header: Header) -> Iterator[Finding]:
    try:
        check_reserved(content, header)
    except Damaged as error:
        yield Finding("header", str(error))
    if header.superseded not in {0, 1}:
        yield Finding("header", f"superseded word {header.superseded}")
    if header.not_after and header.not_after <= header.created:
        yield Finding("header", "not_after is not after created")
    for first, last in (*header.uid_windows, *header.gid_windows):
        spans_hole = first <= HARD_HOLE[1] and HARD_HOLE[0] <= last
        if is_refused_number(first) or is_refused_number(last) or spans_hole:
            yield Finding("header", f"window {first}-{last} allows refused numbers")
    if header.sections[0].offset != HEADER_PAGE:
        yield Finding("header", "users do not begin behind the header page")
    end, before = HEADER_PAGE, "the header page"
    places = zip(header.sections, SECTIONS, strict=True)
    for section, name in sorted(places, key=lambda place: place[0].offset):
        if section.offset < end:
            yield Finding("header", f"{name} overlaps {before}")
        else:
            try:
                content.zeros(end, section.offset)
            except Damaged as error:
                yield Finding("header", f"before {name}: {error}")
        end, before = max(end, section.end), name
    try:
        content.zeros(end, len(content))
    except Damaged as error:
        yield Finding("header", f"behind {before}: {error}")


def _check_records(
    header: Header, users: list[StoredUser], groups: list[StoredGroup]
) -> Iterator[Finding]:
    if (len(users), len(groups)) != (header.users, header.groups):
        yield Finding(
            "header",
            f"counts {header.users} users and {header.groups} groups; there are {len(users)} and {len(groups)}",
        )
    entries = [user.entry for user in users]
    yield from _ascending("users", (entry.uid_number for entry in entries))
    yield from _ascending("groups", (group.gid_number for group in groups))
    yield from _unique("users", (entry.username for entry in entries))
    yield from _unique("groups", (group.name for group in groups))
    gid_of = {group.name: group.gid_number for group in groups}
    gids = frozenset(gid_of.values())
    for entry in entries:
        for gid in (entry.gid_number, *entry.secondary):
            if gid not in gids:
                yield Finding(f"user {entry.username}", f"gid {gid} is no group's")
        if gid_of.get(entry.username, entry.uid_number) != entry.uid_number:
            yield Finding(f"user {entry.username}", "a group of another number has the name")


def _check_members(users: list[StoredUser], groups: list[StoredGroup]) -> Iterator[Finding]:
    expected: dict[int, list[int]] = {group.gid_number: [] for group in groups}
    name_size = {user.reference: len(user.entry.username) + 1 for user in users}
    for user in users:
        for gid in user.entry.secondary:
            expected.setdefault(gid, []).append(user.reference)
    for group in groups:
        wanted = sorted(expected[group.gid_number])
        place = f"group {group.name}"
        if group.members_withheld:
            if group.members:
                yield Finding(place, f"{len(group.members)} members, though its list is withheld")
        elif list(group.members) != wanted:
            missing = len(set(wanted) - set(group.members))
            extra = len(set(group.members) - set(wanted))
            yield Finding(
                place,
                f"members are not the users who have it: {missing} missing, {extra} too many"
                if missing or extra
                else "members are not in ascending order, or one is there twice",
            )
        size = sum(name_size.get(reference, 0) for reference in group.members)
        if size != group.members_size:
            yield Finding(
                place, f"says its members' names take {group.members_size} bytes, not {size}"
            )


def _check_index(
    content: Content, header: Header, index: int, expected: list[tuple[int, int, int]]
) -> Iterator[Finding]:
    section, place = header.sections[index + 2], SECTIONS[index + 2]
    count = section.size // SLOT
    flat = content.unpack(struct.Struct(f"<{2 * count}I"), section.offset, section.end)
    slots = list(zip(flat[::2], flat[1::2], strict=True))
    used = [slot for slot in slots if slot[1] != 0]
    if len(used) * 100 > count * MAX_FILL_PERCENT:
        yield Finding(place, f"{len(used)} of {count} slots are used")
    if any(fingerprint for fingerprint, reference in slots if reference == 0):
        yield Finding(place, "a free slot with a fingerprint")
    if sorted(used) != sorted((fingerprint, reference) for _, fingerprint, reference in expected):
        yield Finding(place, "its slots are not the records, one for each")
    longest = 0
    for hashed, fingerprint, reference in expected:
        steps = 0
        while steps < count:
            slot = slots[(hashed + steps) % count]
            steps += 1
            if slot == (fingerprint, reference):
                longest = max(longest, steps)
                break
            if slot[1] == 0:
                yield Finding(place, f"record {reference} is not found")
                break
    if longest != header.searches[index]:
        yield Finding(place, f"longest search {longest}, the header says {header.searches[index]}")


def _ascending(place: str, numbers: Iterable[int]) -> Iterator[Finding]:
    before = -1
    for number in numbers:
        if number <= before:
            yield Finding(place, f"{number} stands behind {before}")
        before = number


def _unique(place: str, names: Iterable[str]) -> Iterator[Finding]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield Finding(place, f"{name} is there twice")
        seen.add(name)

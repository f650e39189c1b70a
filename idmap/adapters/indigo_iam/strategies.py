"""IAM's two ways of listing a group, and the proof that one reading of it is whole.

`accounts` reads `/iam/account/find/bygroup` (scope `iam:admin.read`): full records, a hundred at a time. `scim`
reads `/scim/Groups/{uuid}/members` and each person (scope `scim:read`): for a site whose IAM gives nothing more.
IAM pages by offset over rows that may change meanwhile, caps `count` silently, and joins `filter` with
the group condition by OR: so pages advance by what came, `filter` is never sent, and a reading counts only when
its unique ids are `totalResults` in number, that number never changed, and every person names the group
(research: iam-provisioning §2.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import quote

from idmap.adapters.indigo_iam.talker import IamTalker
from idmap.adapters.indigo_iam.translate import (
    GroupRef,
    PersonRecord,
    find_group,
    find_path,
    parse_group_row,
    parse_member_row,
    parse_page,
)
from idmap.domain.errors import SourceFailed
from idmap.domain.identity import Subject
from idmap.domain.reasons import Reason

PAGE_SIZE: Final = 100
"""IAM's own cap; without `count`, find/bygroup gives ten."""

Advance = Callable[[int, int], None]
"""Told how many rows have come, and of how many."""

Parse = Callable[[Any], PersonRecord]
"""Reads one user record: at the time of the listing, for the facts that are asked for."""

_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Reading:
    """One proved reading of a group: who is in it, and their records where the list carries them."""

    subjects: frozenset[Subject]
    records: tuple[PersonRecord, ...] = ()


class Strategy(Protocol):
    """One way of asking. Every method raises SourceFailed; SOURCE_INCOMPLETE may pass on another try."""

    @property
    def scope(self) -> str:
        """The OAuth scope that the client needs for it."""
        ...

    def find_groups(self, paths: frozenset[str]) -> Mapping[str, GroupRef]:
        """The groups of these exact paths; an absent one is not in the answer."""
        ...

    def find_path(self, uuid: str) -> str | None:
        """The path of now of a group known by its id; None when it is gone, or nothing here can tell."""
        ...

    def read_members(self, group: GroupRef, parse: Parse, advance: Advance) -> Reading: ...
    def complete(self, group: GroupRef, reading: Reading, parse: Parse) -> tuple[PersonRecord, ...]:
        """The records of a reading's people."""
        ...


class AccountsStrategy:
    """`/iam/account/find/bygroup`, with `iam:admin.read`."""

    scope: Final = "iam:admin.read"

    def __init__(self, talker: IamTalker) -> None:
        self._talker = talker

    def find_groups(self, paths: frozenset[str]) -> Mapping[str, GroupRef]:
        found = {
            path: find_group(self._talker.get("/iam/group/find/byname", {"name": path}), path)
            for path in sorted(paths)
        }
        return {path: group for path, group in found.items() if group is not None}

    def find_path(self, uuid: str) -> str | None:
        """By what a member's record calls the group: an empty one cannot be told from one that is gone."""
        path = f"/iam/account/find/bygroup/{quote(uuid, safe='')}"
        try:
            body = self._talker.find(path, {"startIndex": 1, "count": 1})
        except SourceFailed as error:
            if error.reason is not Reason.SOURCE_INCOMPLETE:
                raise
            return None  # IAM answers 400 for a group that it does not have
        rows = () if body is None else parse_page(body, start=1).rows
        return find_path(rows[0], uuid) if rows else None

    def read_members(self, group: GroupRef, parse: Parse, advance: Advance) -> Reading:
        path = f"/iam/account/find/bygroup/{quote(group.uuid, safe='')}"
        records = _read_pages(self._talker, path, parse, advance)
        subjects = _unique(record.subject for record in records)
        for record in records:
            _check_member(record, group)
        return Reading(subjects, tuple(records))

    def complete(self, group: GroupRef, reading: Reading, parse: Parse) -> tuple[PersonRecord, ...]:
        del group, parse  # the list carried whole records, judged when they were read
        return reading.records


class ScimStrategy:
    """`/scim/Groups/{uuid}/members` and `/scim/Users/{id}`, with `scim:read`. One request per person."""

    scope: Final = "scim:read"

    def __init__(self, talker: IamTalker) -> None:
        self._talker = talker

    def find_groups(self, paths: frozenset[str]) -> Mapping[str, GroupRef]:
        groups = _read_pages(self._talker, "/scim/Groups", parse_group_row)
        found = {group.path: group for group in groups if group.path in paths}
        if len(found) < len(paths):
            # The list has no order: a doubled row hides another, so absence needs the proof, presence does not.
            _unique(group.uuid for group in groups)
        return found

    def find_path(self, uuid: str) -> str | None:
        body = self._talker.find(f"/scim/Groups/{quote(uuid, safe='')}")
        return None if body is None else parse_group_row(body).path or None

    def read_members(self, group: GroupRef, parse: Parse, advance: Advance) -> Reading:
        del parse  # references only; `complete` reads the people and judges them
        path = f"/scim/Groups/{quote(group.uuid, safe='')}/members"
        return Reading(_unique(_read_pages(self._talker, path, parse_member_row, advance)))

    def complete(self, group: GroupRef, reading: Reading, parse: Parse) -> tuple[PersonRecord, ...]:
        return tuple(
            self._read_person(subject, group, parse) for subject in sorted(reading.subjects)
        )

    def _read_person(self, subject: Subject, group: GroupRef, parse: Parse) -> PersonRecord:
        body = self._talker.find(f"/scim/Users/{quote(subject, safe='')}")
        if body is None:
            raise _incomplete(f"{subject} is listed in {group.path} and does not exist")
        record = parse(body)
        if record.subject != subject:
            raise _incomplete(f"another person was given for {subject}")
        _check_member(record, group)
        return record


STRATEGIES: Final[Mapping[str, type[AccountsStrategy] | type[ScimStrategy]]] = MappingProxyType(
    {"accounts": AccountsStrategy, "scim": ScimStrategy}
)
"""By the name that settings use."""


def _read_pages(
    talker: IamTalker, path: str, parse: Callable[[Any], _Row], advance: Advance | None = None
) -> list[_Row]:
    """All rows of a list, in as many pages as the source likes."""
    rows: list[_Row] = []
    total: int | None = None
    while total is None or len(rows) < total:
        start = len(rows) + 1
        page = parse_page(talker.get(path, {"startIndex": start, "count": PAGE_SIZE}), start=start)
        if total is not None and page.total != total:
            raise _incomplete(f"{path} had {total} records and now has {page.total}")
        if not page.rows and len(rows) < page.total:
            raise _incomplete(f"{path} ends after {len(rows)} of {page.total} records")
        total = page.total
        rows.extend(parse(row) for row in page.rows)
        if advance is not None:
            advance(len(rows), total)
    if len(rows) > total:
        raise _incomplete(f"{path} gave {len(rows)} records and counts {total}")
    return rows


def _unique(ids: Iterable[_Row]) -> frozenset[_Row]:
    """The ids as a set. With as many rows as `totalResults`, a doubled row means that another was skipped."""
    every = list(ids)
    found = frozenset(every)
    if len(found) != len(every):
        raise _incomplete(f"{len(every)} records hold only {len(found)} different ids")
    return found


def _check_member(record: PersonRecord, group: GroupRef) -> None:
    if record.problem is None and group.uuid not in record.group_uuids:
        raise _incomplete(f"{record.subject} is listed in {group.path} and does not name it")


def _incomplete(what: str) -> SourceFailed:
    return SourceFailed(Reason.SOURCE_INCOMPLETE, what)

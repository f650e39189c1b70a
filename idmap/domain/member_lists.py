"""Whose member lists a node's posix.db withholds (ADR 0013): those of groups with more members than a number.

A list costs every program that looks the group up, and tells everybody on the node who else is on the site; who is in
the group is told by the accounts' own lists in any case, and those stay whole. The policy is the node's own and no
signed document speaks of it. Which lists it reaches depends on the members that the node has, not on names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason


class MemberPolicy(StrEnum):
    """What a node does with member lists."""

    FULL = "full"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class MemberLists:
    """A policy with its limit. Making it raises InvalidInput(REQUEST_INVALID) when the two do not fit."""

    policy: MemberPolicy = MemberPolicy.FULL
    above: int | None = None
    """With `empty`: the list of a group with more members than this is withheld; 0 means of every group with any."""

    def __post_init__(self) -> None:
        if self.policy is MemberPolicy.EMPTY and self.above is None:
            raise _invalid("policy empty needs above: the most members that a group shows")
        if self.policy is MemberPolicy.FULL and self.above is not None:
            raise _invalid("above is for policy empty only; full withholds no list")
        if self.above is not None and self.above < 0:
            raise _invalid(f"above {self.above}: a number of members is 0 or more")

    def withheld(self, secondary: Iterable[tuple[int, ...]]) -> frozenset[int]:
        """Gid numbers of the groups whose lists are withheld, given each account's secondary gid numbers.

        Counts in one pass, a number for each group; no list is held.
        """
        if self.above is None:
            return frozenset()
        members: dict[int, int] = {}
        for gids in secondary:
            for gid in gids:
                members[gid] = members.get(gid, 0) + 1
        return frozenset(gid for gid, count in members.items() if count > self.above)


FULL_LISTS: Final = MemberLists()
"""Every list as it is."""


def _invalid(detail: str) -> InvalidInput:
    return InvalidInput(Reason.REQUEST_INVALID, detail)

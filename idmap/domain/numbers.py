"""Where a uid or gid number may lie, and where never (law 10).

The hard refusals are the same in the rule loader, the ledger, the builder, the signer and the C reader
(`pam_module`), each applying them on its own. Crowded ranges are warnings that a person must
acknowledge when adding a range. Numbers come from ranges in order and are never given twice;
the ledger does that, not this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NewType

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

UidNumber = NewType("UidNumber", int)
GidNumber = NewType("GidNumber", int)

FIRST_NUMBER: Final = 1000
"""Below lie system accounts on every distribution."""

LAST_NUMBER: Final = 2**31 - 1
"""From 2^31 up, programs that hold ids in signed integers misbehave (desktop stacks, quota tools)."""

HARD_HOLE: Final = (60001, 65535)
"""homed, DynamicUser, nobody and the 16-bit overflow id live here (systemd UIDS-GIDS)."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """A range that other software uses too; allowed once a person has acknowledged it."""

    first: int
    last: int
    used_by: str


CROWDED: Final = (
    Crowded(1000, 60000, "useradd's default range of local people"),
    Crowded(100000, 165535, "the first subordinate ids of local people (subuid, subgid)"),
    Crowded(524288, 1879048191, "systemd-nspawn's container range"),
)


class NumberKind(StrEnum):
    """POSIX has two name spaces of numbers."""

    UID = "uid"
    GID = "gid"


class RangePurpose(StrEnum):
    """What a range's numbers are for; no two purposes share a range, so that a number tells whose it is.

    A private group has its account's number as gid: then that one number of people's or robots' is a gid too.
    """

    PEOPLE = "people"
    ROBOTS = "robots"
    POOLS = "pools"
    """Accounts that communities of short-lived jobs share; set apart here, issued by nothing yet."""
    GROUPS = "groups"

    @property
    def kind(self) -> NumberKind:
        """Which of the two name spaces of numbers it is issued in."""
        return NumberKind.GID if self is RangePurpose.GROUPS else NumberKind.UID

    @property
    def kinds(self) -> tuple[NumberKind, ...]:
        """Every one that a number of it may be taken in, a private group's gid included."""
        return (NumberKind.GID,) if self is RangePurpose.GROUPS else tuple(NumberKind)


@dataclass(frozen=True, slots=True)
class NumberRange:
    """A named, inclusive run of numbers for one purpose."""

    name: str
    purpose: RangePurpose
    first: int
    last: int

    def overlaps(self, other: NumberRange) -> bool:
        """Whether any number lies in both."""
        return self.first <= other.last and other.first <= self.last

    def __contains__(self, number: object) -> bool:
        return isinstance(number, int) and self.first <= number <= self.last


@dataclass(frozen=True, slots=True, order=True)
class ForeignNumber:
    """A number that something else on the site uses."""

    kind: NumberKind
    number: int
    name: str
    where: str
    """`nss` or `ldap`."""

    def __str__(self) -> str:
        return f"{self.kind} {self.number} is {self.name!r} in {self.where}"


def is_refused_number(number: int) -> bool:
    """Whether no issued number may ever be this one."""
    low, high = HARD_HOLE
    return not FIRST_NUMBER <= number <= LAST_NUMBER or low <= number <= high


def check_range(new: NumberRange, existing: tuple[NumberRange, ...]) -> tuple[Crowded, ...]:
    """Checks a range before it is added; gives the crowded ranges it touches.

    Raises InvalidInput: NUMBER_REFUSED when it touches a hard refusal or is empty,
    RANGE_OVERLAPS when it meets another range or reuses its name.
    """
    low, high = HARD_HOLE
    if new.first > new.last:
        raise InvalidInput(Reason.NUMBER_REFUSED, f"range {new.name}: first is above last")
    if is_refused_number(new.first) or is_refused_number(new.last):
        raise InvalidInput(Reason.NUMBER_REFUSED, f"range {new.name}: {new.first}-{new.last}")
    if new.first <= high and low <= new.last:
        raise InvalidInput(Reason.NUMBER_REFUSED, f"range {new.name} spans {low}-{high}")
    for other in existing:
        if new.name == other.name or new.overlaps(other):
            raise InvalidInput(
                Reason.RANGE_OVERLAPS,
                f"range {new.name} meets {other.name} ({other.first}-{other.last})",
            )
    return tuple(c for c in CROWDED if new.first <= c.last and c.first <= new.last)

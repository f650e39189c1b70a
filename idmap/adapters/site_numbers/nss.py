"""The numbers that this host's NSS knows: local files, and whatever else nsswitch.conf names.

Enumeration tells all of some services and nothing of others (SSSD gives none unless told to), so numbers spread over
the range are asked for one by one as well. That finds a populated range, not every single number: a site with a
directory names it under [site.ldap] too.
"""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterable, Iterator
from typing import Final

from idmap.domain.numbers import ForeignNumber, NumberKind

WHERE: Final = "nss"
PROBES: Final = 64
"""Numbers asked for one by one: each may cost a round trip to a directory."""


class NssNumbers:
    """Implements `SiteNumbers` on the C library's databases."""

    def find_in_use(self, kind: NumberKind, first: int, last: int) -> Iterable[ForeignNumber]:
        """What the enumeration gives, and what the probes find."""
        found: dict[int, ForeignNumber] = {}
        for known in _enumerate(kind):
            if first <= known.number <= last:
                found.setdefault(
                    known.number, known
                )  # a group's own name before that of a user in it
        for number in probes(first, last):
            name = None if number in found else _look_up(kind, number)
            if name is not None:
                found[number] = ForeignNumber(kind, number, name, WHERE)
        return tuple(found[number] for number in sorted(found))


def probes(first: int, last: int) -> tuple[int, ...]:
    """Half of the probes on the lowest numbers, where a site begins to issue; the others evenly, the last included."""
    if last - first < PROBES:
        return tuple(range(first, last + 1))
    near, spread = PROBES // 2, PROBES // 2
    step = (last - first) / spread
    even = (first + round(step * place) for place in range(1, spread + 1))
    return tuple(sorted({*range(first, first + near), *even}))


def _enumerate(kind: NumberKind) -> Iterator[ForeignNumber]:
    if kind is NumberKind.UID:
        for user in pwd.getpwall():
            yield ForeignNumber(kind, user.pw_uid, user.pw_name, WHERE)
        return
    for group in grp.getgrall():
        yield ForeignNumber(kind, group.gr_gid, group.gr_name, WHERE)
    for user in pwd.getpwall():  # a primary group needs no entry of its own
        yield ForeignNumber(kind, user.pw_gid, user.pw_name, WHERE)


def _look_up(kind: NumberKind, number: int) -> str | None:
    try:
        if kind is NumberKind.UID:
            return pwd.getpwuid(number).pw_name
        return grp.getgrgid(number).gr_name
    except KeyError:
        return None

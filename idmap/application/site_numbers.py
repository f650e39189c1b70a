"""Ranges against what exists on the site: nothing that something else uses is ever issued.

What NSS and the directory tell is compared with the ledger: a number under the name that we issued it to is ours;
any other is foreign. A range in which foreign numbers live is refused, or takes them as holes once a person
acknowledged that. The site is asked before any lock is held (law 5); what cannot be asked stops the order (law 4).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from idmap.application.ports import Author, Registry, RegistryReader, SiteNumbers
from idmap.domain.errors import Conflict, InvalidInput, NotFound
from idmap.domain.numbers import ForeignNumber, NumberRange, check_range
from idmap.domain.reasons import Reason

SHOWN: Final = 10
"""How many foreign numbers a refusal names."""


@dataclass(frozen=True, slots=True)
class AddedRange:
    """What was acknowledged with a new range."""

    warnings: tuple[str, ...]
    holes: int
    """Numbers of it that are never issued because something else uses them."""


@dataclass(frozen=True, slots=True)
class CheckedRange:
    """What else uses numbers of one range."""

    range: NumberRange
    foreign: tuple[ForeignNumber, ...]
    """Those that are not holes yet."""
    taken: tuple[ForeignNumber, ...]
    """Those that idmap has issued: two now share a number."""


def add_range(
    registry: Registry,
    author: Author,
    new: NumberRange,
    site: Collection[SiteNumbers] = (),
    *,
    acknowledge: bool,
    acknowledge_foreign: bool = False,
) -> AddedRange:
    """Adds a range.

    Raises InvalidInput: what `check_range` raises, and RANGE_CROWDED when it lies where others may live,
    unacknowledged; Conflict(NUMBERS_FOREIGN) when others do live there; Unavailable(SITE_UNAVAILABLE).
    """
    with registry.read() as reader:
        crowded = check_range(new, tuple(status.range for status in reader.ranges()))
    warnings = tuple(f"{c.first}-{c.last} is also {c.used_by}" for c in crowded)
    if warnings and not acknowledge:
        raise InvalidInput(Reason.RANGE_CROWDED, "; ".join(warnings))
    in_use = _in_use(site, new)
    with registry.write(author) as writer:
        checked = _compare(writer, new, in_use)
        if checked.foreign and not acknowledge_foreign:
            raise Conflict(
                Reason.NUMBERS_FOREIGN, f"range {new.name}: {name_some(checked.foreign)}"
            )
        writer.add_range(new)
        holes = writer.reserve_numbers(new.name, checked.foreign) if checked.foreign else 0
    return AddedRange(warnings, holes)


def check_ranges(
    registry: Registry, site: Collection[SiteNumbers], name: str | None = None
) -> tuple[CheckedRange, ...]:
    """Every range, or the one of that name, against the site as it is now. Raises NotFound, Unavailable."""
    with registry.read() as reader:
        ranges = [s.range for s in reader.ranges() if name is None or s.range.name == name]
    if name is not None and not ranges:
        raise NotFound(f"range {name!r}")
    in_use = [_in_use(site, known) for known in ranges]
    with registry.read() as reader:
        return tuple(
            _compare(reader, known, found) for known, found in zip(ranges, in_use, strict=True)
        )


def acknowledge_foreign(
    registry: Registry, author: Author, site: Collection[SiteNumbers], name: str
) -> int:
    """Makes what else lives in a range holes of it; gives how many. Raises NotFound, Unavailable."""
    (checked,) = check_ranges(registry, site, name)
    with registry.write(author) as writer:
        # Issued in the meantime or not is the ledger's to say, in this transaction.
        fresh = _compare(writer, checked.range, checked.foreign)
        return writer.reserve_numbers(name, fresh.foreign) if fresh.foreign else 0


def name_some(found: Collection[ForeignNumber]) -> str:
    """At most ten of them, and how many more."""
    shown = "; ".join(str(number) for number in sorted(found)[:SHOWN])
    more = len(found) - SHOWN
    return f"{shown}; and {more} more" if more > 0 else shown


def _in_use(site: Collection[SiteNumbers], new: NumberRange) -> tuple[ForeignNumber, ...]:
    return tuple(
        number
        for numbers in site
        for kind in new.purpose.kinds
        for number in numbers.find_in_use(kind, new.first, new.last)
    )


def _compare(
    reader: RegistryReader, known: NumberRange, in_use: Iterable[ForeignNumber]
) -> CheckedRange:
    issued = {
        kind: reader.issued_numbers(kind, known.first, known.last) for kind in known.purpose.kinds
    }
    foreign: dict[tuple[str, int], ForeignNumber] = {}
    taken: dict[tuple[str, int], ForeignNumber] = {}
    for number in sorted(in_use):
        of_kind = issued[number.kind]
        key = (str(number.kind), number.number)
        if number.number not in of_kind:
            foreign.setdefault(key, number)
        elif of_kind[number.number] not in {None, number.name}:
            taken.setdefault(key, number)
    return CheckedRange(known, tuple(foreign.values()), tuple(taken.values()))

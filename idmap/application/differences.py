"""Tokens compared with what sources said, away from the doors: note now, compare and write every few seconds.

`AssertedGroups.note` is called for every token that a door takes, thousands of times a second: it looks into a
dictionary and writes nothing. `flush` then compares each person's newest token once, and writes only what changed: a
new difference, one that a later token settled, or the hour in which one was last seen. So at most one row of a person
and group is written per flush, and a registry that nobody disagrees with is not written to at all. Differences are
observations: no entry in the record of changes, no new revision.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from idmap.application.ports import Author, Registry, RegistryReader
from idmap.domain.checks import Check
from idmap.domain.claims import VerifiedClaims
from idmap.domain.differences import (
    Assertion,
    Difference,
    DifferenceKind,
    assertion_of,
    comparable,
    disagreements,
)
from idmap.domain.groups import Group
from idmap.domain.identity import Identity

LIMIT: Final = 10_000
"""People noted between two flushes, some 300 bytes each; who comes later is noted after the next one."""

COMPARED_FOR_SECONDS: Final = 3600
"""So long the same token is not compared again, and the time a difference was last seen is not written anew."""

_AT_ONCE: Final = 250
"""People per transaction: a ban waits some milliseconds for it at most (law 5)."""

_AUTHOR: Final = Author("differences", "tokens were compared with what sources said")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is to be written."""

    seen: tuple[Difference, ...]
    """New ones, and those whose time is to be written anew."""
    settled: tuple[Difference, ...]
    """Token and source agree by now."""

    def __bool__(self) -> bool:
        return bool(self.seen or self.settled)


class AssertedGroups:
    """What tokens asserted since the last flush; for all threads of a process. Holds no token and no part of one."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._noted: dict[Identity, Assertion] = {}
        self._newest: dict[Identity, Assertion] = {}
        """By person, the newest assertion noted in this hour."""
        self._hour_began = 0

    def note(self, claims: VerifiedClaims) -> None:
        """A token was verified at a door."""
        if not claims.groups:
            return
        newest = self._newest.get(claims.identity)
        if newest is not None and (
            claims.issued_at < newest.issued_at
            or (claims.issued_at == newest.issued_at and claims.groups == newest.groups)
        ):
            return
        assertion = assertion_of(claims)
        if assertion is None:
            return
        with self._lock:
            if len(self._noted) < self._limit or assertion.identity in self._noted:
                self._noted[assertion.identity] = self._newest[assertion.identity] = assertion

    def __len__(self) -> int:
        """How many people are to be compared at the next flush."""
        return len(self._noted)

    def flush(self, registry: Registry, at: int) -> int:
        """Compares what was noted, at time `at`; gives how many differences were written or settled.

        Raises what the registry does; what was noted is then forgotten, and comes again with the next tokens.
        """
        with self._lock:
            noted, self._noted = tuple(self._noted.values()), {}
            over = len(self._newest) > 2 * self._limit
            if over or not 0 <= at - self._hour_began < COMPARED_FOR_SECONDS:
                self._newest = {one.identity: one for one in noted}
                self._hour_began = at
        return sum(_compare_and_write(registry, some, at) for some in _in_parts(noted))


def compare(reader: RegistryReader, assertions: Sequence[Assertion], at: int) -> Comparison:
    """What the assertions come to beside what is on record. People who are on no record leave no trace here, and
    nobody is compared whose record at the source could not be read."""
    spoken_of, listed = reader.rules().groups(), reader.listed_groups()
    compared = {one.identity: comparable(one, spoken_of, listed) for one in assertions}
    theirs = {one.identity: one for one in assertions if compared[one.identity]}
    by_sources = reader.said_by_sources(theirs.keys())
    standing = {
        (one.identity, one.group, one.kind): one for one in reader.differences_of(by_sources.keys())
    }
    found = {
        (identity, group, kind)
        for identity, member_of in by_sources.items()
        for group, kind in disagreements(theirs[identity], member_of, compared[identity]).items()
    }
    return Comparison(
        seen=tuple(_seen(found, standing, at)),
        settled=tuple(
            one
            for key, one in standing.items()
            if key not in found and one.group in compared[one.identity]
        ),
    )


def difference_check(reader: RegistryReader, claims: VerifiedClaims) -> Check | None:
    """The comparison of one token in a line for `explain`; None when the token asserts no groups."""
    assertion = assertion_of(claims)
    if assertion is None:
        return None
    name = "token and source agree on groups"
    compared = comparable(assertion, reader.rules().groups(), reader.listed_groups())
    known = reader.facts(claims.identity)
    if not compared:
        return Check(name, "no source listed a group that the rules speak of since then", True)
    if known is not None and known.present_unchanged:
        return Check(name, "the person's record at the source could not be read", True)
    member_of = reader.said_by_sources([claims.identity]).get(claims.identity, frozenset())
    found = disagreements(assertion, member_of, compared)
    if not found:
        return Check(name, f"{len(compared)} group(s) compared", True)
    shown = "; ".join(f"{group.path}: {_WORDS[kind]}" for group, kind in sorted(found.items()))
    return Check(name, shown, False)


_WORDS: Final = {
    DifferenceKind.NOT_IN_TOKEN: "in the source, not in the token",
    DifferenceKind.NOT_IN_SOURCE: "in the token, not in the source",
}

_Key = tuple[Identity, Group, DifferenceKind]


def _compare_and_write(registry: Registry, assertions: Sequence[Assertion], at: int) -> int:
    """Looks first, without the lock: most of the time everybody agrees."""
    with registry.read() as reader:
        if not compare(reader, assertions, at):
            return 0
    with registry.write(_AUTHOR) as writer:
        found = compare(writer, assertions, at)
        writer.save_differences(found.seen)
        writer.settle_differences(found.settled)
    return len(found.seen) + len(found.settled)


def _seen(
    found: Collection[_Key], standing: dict[_Key, Difference], at: int
) -> Iterator[Difference]:
    for key in sorted(found):
        before = standing.get(key)
        if before is None:
            yield Difference(*key, first_seen=at, last_seen=at)
        elif at - before.last_seen >= COMPARED_FOR_SECONDS:
            yield replace(before, last_seen=at)


def _in_parts(noted: Sequence[Assertion]) -> Iterator[Sequence[Assertion]]:
    for start in range(0, len(noted), _AT_ONCE):
        yield noted[start : start + _AT_ONCE]

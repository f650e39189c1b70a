"""What-if: what other rules would change for everybody on record, before they are in force.

Reads everybody once, in one consistent state and without the write lock, and decides with both versions. Memory is
bounded: what is kept are counts, the names of those who lose up to a limit, and one page of people where a
page is asked for. Changes nothing.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from idmap.application.ports import RegistryReader
from idmap.domain.decision import Recorded
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.names import Username
from idmap.domain.persons import as_one
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet
from idmap.domain.what_if import Comparison, Effect, Outcome

NAMES_SHOWN: Final = 50
"""Enough to recognise a mistake; the counts tell the rest, and pages everybody."""


@dataclass(frozen=True, slots=True)
class PeopleAsked:
    """Which people are wanted by name: those whom any, or this one, effect reaches; by identity, after one."""

    effect: Effect | None = None
    after: Identity | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class PersonChange:
    """One person and what would become of them."""

    identity: Identity
    username: Username | None
    """Of the account that they have already."""
    outcome: Outcome


@dataclass(slots=True)
class RuleCount:
    """How many people one rule gives an account to."""

    before: int = 0
    after: int = 0
    gains: int = 0
    """Of `after`, those who had no account from any rule."""
    loses: int = 0
    """Of `before`, those who get none from any."""


@dataclass(slots=True)
class RuleComparison:
    """Counts over the whole population, and those people who were asked for."""

    people: int = 0
    entitled_before: int = 0
    entitled: int = 0
    effects: Counter[Effect] = field(default_factory=Counter)
    by_rule: dict[str, RuleCount] = field(default_factory=dict)
    gaining: list[Identity] = field(default_factory=list)
    """The first NAMES_SHOWN; so is `losing`."""
    losing: list[Identity] = field(default_factory=list)
    losing_canaries: list[Username] = field(default_factory=list)
    page: tuple[PersonChange, ...] = ()
    next: Identity | None = None
    """Where the page after this one begins; None when there is none, or no people were asked for."""

    @property
    def gains(self) -> int:
        return self.effects[Effect.GAINS]

    @property
    def loses(self) -> int:
        return self.effects[Effect.LOSES]


def compare_rules(
    reader: RegistryReader,
    before: RuleSet,
    after: RuleSet,
    at: int,
    *,
    asked: PeopleAsked | None = None,
    canaries: frozenset[str] = frozenset(),
) -> RuleComparison:
    """`after` in place of `before`, at time `at`."""
    found = RuleComparison()
    people = _Page(asked) if asked is not None else None
    compare = Comparison(before, after, at)
    for recorded in every_one(reader):
        outcome = compare(recorded)
        _count(found, outcome)
        if outcome.effects:
            _note(found, recorded, outcome, canaries)
            if people is not None:
                people.add(recorded, outcome)
    if people is not None:
        found.page, found.next = people.finished()
    return found


def every_one(reader: RegistryReader) -> Iterator[Recorded]:
    """Everybody once, however many identities they have; only those of linked accounts are held in memory.

    Several people who share an account are each judged by themselves.
    """
    linked = reader.shared_accounts()
    together: dict[int, list[Recorded]] = {}
    for facts in reader.people():
        account = facts.recorded.account
        if account is None or account.shared or account.account_id not in linked:
            yield facts.recorded
        else:
            together.setdefault(account.account_id, []).append(facts.recorded)
    for identities in together.values():
        yield as_one(identities)


def parse_identity(text: str) -> Identity:
    """The inverse of `str`: where a page begins. Raises InvalidInput(REQUEST_INVALID)."""
    subject, separator, issuer = text.rpartition(" @ ")
    if not separator:
        raise InvalidInput(Reason.REQUEST_INVALID, "after: the `next` of a page is needed")
    return Identity(Issuer(issuer), Subject(subject))


def _count(found: RuleComparison, outcome: Outcome) -> None:
    found.people += 1
    for effect in outcome.effects:
        found.effects[effect] += 1
    if outcome.before is not None:
        found.entitled_before += 1
        count = found.by_rule.setdefault(outcome.before.rule.rule_id, RuleCount())
        count.before += 1
        count.loses += outcome.after is None
    if outcome.after is not None:
        found.entitled += 1
        count = found.by_rule.setdefault(outcome.after.rule.rule_id, RuleCount())
        count.after += 1
        count.gains += outcome.before is None


def _note(
    found: RuleComparison, recorded: Recorded, outcome: Outcome, canaries: frozenset[str]
) -> None:
    if Effect.GAINS in outcome.effects and len(found.gaining) < NAMES_SHOWN:
        found.gaining.append(recorded.identity)
    if Effect.LOSES in outcome.effects:
        if len(found.losing) < NAMES_SHOWN:
            found.losing.append(recorded.identity)
        if recorded.account is not None and recorded.account.username in canaries:
            found.losing_canaries.append(recorded.account.username)


class _Backwards:
    """An identity that a heap takes for larger the smaller it is."""

    def __init__(self, change: PersonChange) -> None:
        self.change = change

    def __lt__(self, other: _Backwards) -> bool:
        return self.change.identity > other.change.identity


class _Page:
    """The first so many people after one, in order of identity, whatever order they come in."""

    def __init__(self, asked: PeopleAsked) -> None:
        self._asked = asked
        self._heap: list[_Backwards] = []

    def add(self, recorded: Recorded, outcome: Outcome) -> None:
        asked = self._asked
        if asked.effect is not None and asked.effect not in outcome.effects:
            return
        if asked.after is not None and recorded.identity <= asked.after:
            return
        account = recorded.account
        username = None if account is None else account.username
        entry = _Backwards(PersonChange(recorded.identity, username, outcome))
        if len(self._heap) <= asked.limit:
            heapq.heappush(self._heap, entry)
        else:
            heapq.heappushpop(self._heap, entry)

    def finished(self) -> tuple[tuple[PersonChange, ...], Identity | None]:
        changes = sorted((one.change for one in self._heap), key=lambda change: change.identity)
        page = tuple(changes[: self._asked.limit])
        more = len(changes) > self._asked.limit
        return page, page[-1].identity if more else None

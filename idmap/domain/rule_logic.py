"""What follows from a condition: whether anybody can fulfil it, and whether others always hold where it does.

A condition is taken apart into *cases*: sets of people of whom something is sure. Another condition *covers* a case
when what is sure is enough for it. Both are sound and not complete: what is said to never match never does, and what
is said to be covered always is, but not everything that is so is found. `decide` is never asked here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from idmap.domain.conditions import Condition, Item, Part, Who, item_order
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.rules import Denies, Gives, Rule, RuleSet

MAX_SPLIT: Final = 64
"""A list of alternatives that is longer is looked at as one."""

_NOBODY: Final = Subject("\0")
"""No condition can name it."""


@dataclass(frozen=True, slots=True)
class Case:
    """Some of the people who fulfil a condition, and what is sure about each of them."""

    issuer: Issuer
    robot: bool
    held: frozenset[Item]
    """They hold all of these,"""
    absent: frozenset[Item]
    """none of these,"""
    one_of: tuple[frozenset[Item], ...] = ()
    """and of each of these sets at least one; no set is empty."""
    named: frozenset[Subject] = frozenset()
    """They are one of these; empty when nothing is sure about that."""

    def someone(self) -> Who:
        """One of them."""
        return Who(
            active=True,
            robot=self.robot,
            identities=frozenset({Identity(self.issuer, min(self.named, default=_NOBODY))}),
            held=self.held | {min(some, key=item_order) for some in self.one_of},
        )


def cases_of(condition: Condition) -> Iterator[Case]:
    """Everybody who fulfils it is in one of these; none when nobody can."""
    held = frozenset[Item]().union(*(part.all for part in condition.parts))
    absent = frozenset[Item]().union(*(part.none for part in condition.parts))
    if held & absent:
        return
    one_of = [part.any - absent for part in condition.parts if part.any]
    grants = any(part.grants() for part in condition.parts)
    for robot in (True, False) if condition.robots is None else (condition.robots,):
        case = Case(condition.issuer, robot, held, absent)
        if condition.subjects:
            yield replace(case, named=condition.subjects)
        if all(one_of) and (grants or not condition.subjects):
            yield from _split(case, one_of)


def _split(case: Case, one_of: list[frozenset[Item]]) -> Iterator[Case]:
    """One case for each alternative of the shortest list that is a choice at all."""
    sure = case.held | {item for some in one_of if len(some) == 1 for item in some}
    open_ = sorted((some for some in one_of if not some & sure), key=len)
    if not open_ or len(open_[0]) > MAX_SPLIT:
        yield replace(case, held=sure, one_of=tuple(open_))
        return
    for item in sorted(open_[0], key=item_order):
        rest = tuple(some for some in open_[1:] if item not in some)
        yield replace(case, held=sure | {item}, one_of=rest)


def covers(condition: Condition, case: Case) -> bool:
    """Whether everybody in the case certainly fulfils the condition."""
    if condition.issuer != case.issuer or condition.robots not in (None, case.robot):
        return False
    if case.named and case.named <= condition.subjects:
        return all(_sure(replace(part, any=frozenset()), case) for part in condition.parts)
    if condition.subjects and not any(part.grants() for part in condition.parts):
        return False
    # Whoever is named is asked for less, never for more.
    return all(_sure(part, case) for part in condition.parts)


def _sure(part: Part, case: Case) -> bool:
    return (
        part.all <= case.held
        and part.none <= case.absent
        and (
            not part.any
            or not part.any.isdisjoint(case.held)
            or any(some <= part.any for some in case.one_of)
        )
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a rule, whoever comes."""

    matches: bool
    """Whether anybody can fulfil its condition, as far as is known."""
    denied_by: tuple[Rule, ...] = ()
    """Deny rules that together take the account from everybody who does."""
    preceded_by: tuple[Rule, ...] = ()
    """Of an account rule: what together always wins or denies before it."""


def judge(rules: RuleSet) -> Iterator[tuple[Rule, Verdict]]:
    """Every rule in order of precedence."""
    for position, rule in enumerate(rules.rules):
        cases = list(cases_of(rule.condition))
        if not cases:
            yield rule, Verdict(matches=False)
            continue
        denied: tuple[Rule, ...] = ()
        preceded: tuple[Rule, ...] = ()
        if not denies_everything(rule):
            denied = _covering(rules, cases, lambda _, other: denies_everything(other))
        if not denied and isinstance(rule.outcome, Gives):
            preceded = _covering(rules, cases, partial(_wins_before, position))
        yield rule, Verdict(True, denied, preceded)


def denies_everything(rule: Rule) -> bool:
    """Whether it takes the account altogether."""
    return isinstance(rule.outcome, Denies) and not rule.outcome.node_classes


def _wins_before(position: int, place: int, rule: Rule) -> bool:
    return denies_everything(rule) or (place < position and isinstance(rule.outcome, Gives))


def _covering(
    rules: RuleSet, cases: Iterable[Case], counts: Callable[[int, Rule], bool]
) -> tuple[Rule, ...]:
    """One rule for each case that covers it; empty when some case has none."""
    found: dict[str, Rule] = {}
    for case in cases:
        # Whatever covers all of the case may match any one of it, so it is among that one's candidates.
        for place, rule in rules.candidates(case.someone()):
            if counts(place, rule) and covers(rule.condition, case):
                found[rule.rule_id] = rule
                break
        else:
            return ()
    return tuple(found.values())

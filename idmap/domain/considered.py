"""Every rule as `idmap explain` shows it: each part of its condition with input and outcome, and what would help.

Asks the very conditions that `decide` asks, of the same person; only it asks all of them, in order of precedence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from idmap.domain.conditions import PartShown
from idmap.domain.decision import Grant, Recorded, who_of
from idmap.domain.rules import Adds, Denies, Gives, RuleSet

HELPS_SHOWN: Final = 10
"""The nearest rules; more would hide them."""


@dataclass(frozen=True, slots=True)
class Considered:
    """One rule, what it does, and whether and why it matched."""

    rule_id: str
    effect: str
    priority: int
    condition: str
    parts: tuple[PartShown, ...]
    matched: bool
    used: bool
    """It made the outcome: the winner, what added to it, what denied it."""


def consider(recorded: Recorded, rules: RuleSet, grant: Grant | None) -> tuple[Considered, ...]:
    """Every rule in order of precedence; `grant` is what `decide` gave."""
    who = who_of(recorded)
    used = set() if grant is None else {grant.rule.rule_id, *grant.added_by}
    found = []
    for rule in rules.rules:
        matched = rule.condition.holds(who)
        found.append(
            Considered(
                rule_id=rule.rule_id,
                effect=effect_of(rule.outcome),
                priority=rule.priority,
                condition=rule.condition.in_words(),
                parts=rule.condition.show(who),
                matched=matched,
                used=rule.rule_id in used or (matched and isinstance(rule.outcome, Denies)),
            )
        )
    return tuple(found)


def effect_of(outcome: Gives | Adds | Denies) -> str:
    """As documents write it."""
    match outcome:
        case Gives():
            return "account"
        case Adds():
            return "add"
        case Denies():
            return "deny"


def would_let_in(considered: Iterable[Considered]) -> tuple[str, ...]:
    """What it would take, the nearest first: deny rules that stand in the way, then account rules by what they lack."""
    denials = [one for one in considered if one.effect == "deny" and one.matched]
    lacking = sorted(
        (
            (sum(not part.held for part in one.parts), position, one)
            for position, one in enumerate(considered)
            if one.effect == "account" and not one.matched
        ),
        key=lambda found: found[:2],
    )
    said = [f"Rule {one.rule_id} denies: {one.condition}." for one in denials]
    for _, _, one in lacking:
        parts = [part for part in one.parts if not part.held]
        wanted = "; ".join(f"{part.wanted} (now: {part.had})" for part in parts)
        said.append(f"Rule {one.rule_id} would match with {wanted}.")
    return tuple(said[:HELPS_SHOWN])

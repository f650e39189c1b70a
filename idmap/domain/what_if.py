"""What another version of the rules would make of a person: every respect in which the outcome differs.

Two answers of `decide` beside each other, at one time, without a door: what the next plan would rest on. What an
account has already (its number, name, primary group and home) no rule takes back, and is not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from idmap.domain.decision import Decision, Grant, Recorded, decide
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet


class Effect(StrEnum):
    """In what the outcome differs. Of the first two a person has one or none; the others are of those entitled by
    both, but for `denied`."""

    GAINS = "gains"
    """Entitled to an account now."""
    LOSES = "loses"
    """Not any more."""
    DENIED = "denied"
    """Refused by a deny rule, and was not before."""
    MOVES = "moves"
    """Another rule gives the account."""
    CLASS = "class"
    GROUPS = "groups"
    """Secondary groups."""
    SHELL = "shell"
    NODE_CLASSES = "node_classes"
    LOCAL_GROUPS = "local_groups"
    EXPIRY = "expiry"
    SLURM = "slurm"


_OF_GRANTS: Final[Mapping[Effect, Callable[[Grant], object]]] = MappingProxyType(
    {
        Effect.MOVES: lambda grant: grant.rule.rule_id,
        Effect.CLASS: lambda grant: grant.account_class.name,
        Effect.GROUPS: lambda grant: grant.secondary_groups,
        Effect.SHELL: lambda grant: grant.account_class.shell,
        Effect.NODE_CLASSES: lambda grant: grant.access,
        Effect.LOCAL_GROUPS: lambda grant: grant.local_groups,
        Effect.EXPIRY: lambda grant: grant.account_class.expires_on,
        Effect.SLURM: lambda grant: grant.slurm,
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What both versions make of everybody of whom the same is recorded."""

    before: Grant | None
    after: Grant | None
    reason: Reason
    """Of the later version; OK when it gives an account."""
    effects: frozenset[Effect]


def outcome_of(before: Decision, after: Decision) -> Outcome:
    """Two decisions about one person."""
    one, other = before.grant, after.grant
    effects = set()
    if after.denied_by is not None and before.denied_by is None:
        effects.add(Effect.DENIED)
    if one is None and other is not None:
        effects.add(Effect.GAINS)
    elif one is not None and other is None:
        effects.add(Effect.LOSES)
    elif one is not None and other is not None:
        effects |= {effect for effect, of in _OF_GRANTS.items() if of(one) != of(other)}
    return Outcome(one, other, after.reason, frozenset(effects))


class Comparison:
    """Decides with both versions, once for all of whom the same is recorded: a site has far fewer kinds of people than
    people. `limit` bounds what is remembered."""

    def __init__(self, before: RuleSet, after: RuleSet, at: int, limit: int = 20_000) -> None:
        self._before, self._after, self._at = before, after, at
        self._limit = limit
        self._known: dict[Hashable, Outcome] = {}
        self._named = _named(before) | _named(after)

    def __call__(self, recorded: Recorded) -> Outcome:
        """What becomes of one person."""
        if self._named and not self._named.isdisjoint({recorded.identity, *recorded.also}):
            return self._decide(recorded)
        # All that `decide` looks at without a door; of identities their issuers, where no rule names the subject.
        issuers: Hashable = recorded.identity.issuer
        if recorded.also:
            issuers = frozenset({issuers, *(identity.issuer for identity in recorded.also)})
        key = (
            recorded.groups,
            recorded.facts,
            issuers,
            recorded.active_at_source,
            recorded.robot,
            recorded.account is None,
        )
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self._limit:
                self._known.clear()
            found = self._known[key] = self._decide(recorded)
        return found

    def _decide(self, recorded: Recorded) -> Outcome:
        before = decide(recorded, self._before, self._at)
        return outcome_of(before, decide(recorded, self._after, self._at))


def _named(rules: RuleSet) -> frozenset[Identity]:
    return frozenset(
        Identity(rule.condition.issuer, subject)
        for rule in rules.rules
        for subject in rule.condition.subjects
    )

"""What-if: who gains and who loses when rules change, before they are saved.

Runs `decide` over everybody on record with both versions; bounded memory, a bounded list of names. Changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from idmap.application.ports import Registry, RegistryReader
from idmap.domain.decision import Recorded, decide
from idmap.domain.identity import Identity
from idmap.domain.persons import as_one
from idmap.domain.rules import RuleSet

NAMES_SHOWN: Final = 50
"""Enough to recognise a mistake; the counts tell the rest."""


@dataclass(slots=True)
class RuleComparison:
    """Counts over the whole population, and the first few of each kind."""

    people: int = 0
    entitled: int = 0
    gains: int = 0
    loses: int = 0
    moves: int = 0
    """Entitled before and after, by another rule."""
    gaining: list[Identity] = field(default_factory=list)
    losing: list[Identity] = field(default_factory=list)


def compare_rules(registry: Registry, proposed: RuleSet, at: int) -> RuleComparison:
    """The newest saved rules against `proposed`, at time `at`."""
    found = RuleComparison()
    with registry.read() as reader:
        saved = reader.rules()
        for recorded in _persons(reader):
            before = decide(recorded, saved, at)
            after = decide(recorded, proposed, at)
            found.people += 1
            found.entitled += after.allowed
            if before.grant is None and after.grant is not None:
                found.gains += 1
                _note(found.gaining, recorded.identity)
            elif before.grant is not None and after.grant is None:
                found.loses += 1
                _note(found.losing, recorded.identity)
            elif before.grant is not None and after.grant is not None:
                found.moves += before.grant.rule.rule_id != after.grant.rule.rule_id
    return found


def _persons(reader: RegistryReader) -> Iterator[Recorded]:
    """Everybody once, however many identities they have; only those who have several are held in memory. Who shares an
    account is another person."""
    shared = reader.shared_accounts()
    together: dict[int, list[Recorded]] = {}
    for facts in reader.people():
        account = facts.recorded.account
        if account is None or account.shared or account.account_id not in shared:
            yield facts.recorded
        else:
            together.setdefault(account.account_id, []).append(facts.recorded)
    for identities in together.values():
        yield as_one(identities)


def _note(names: list[Identity], identity: Identity) -> None:
    if len(names) < NAMES_SHOWN:
        names.append(identity)

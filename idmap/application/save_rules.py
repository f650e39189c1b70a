"""Other rules come into force: a new version, one of before again, a pin or its end.

The same checks before each: what the rules name is there, their examples come out, nothing found in them is an error,
and no more people lose their entitlement than somebody has accepted. What takes long, the what-if, is done before the
write lock is taken, so that a ban waits for nobody (law 5); within it only a look whether what the checks rest on is
as it was. If not, they are made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from idmap.application.compare_rules import RuleComparison, compare_rules
from idmap.application.gather_surroundings import gather_surroundings
from idmap.application.ports import (
    Author,
    CredentialKind,
    Registry,
    RegistryReader,
    RegistryWriter,
)
from idmap.application.questions import RulesPin
from idmap.domain.administrators import last_administrator_check
from idmap.domain.decision import day_of
from idmap.domain.errors import Conflict, NotFound
from idmap.domain.findings import Finding, require_no_errors
from idmap.domain.guard import GuardLimits, require_few_losses
from idmap.domain.reasons import Reason
from idmap.domain.rule_examples import check_examples
from idmap.domain.rule_fields import RuleFault
from idmap.domain.rule_findings import find_in_rules
from idmap.domain.rules import RuleSet

T = TypeVar("T")

_TRIES: Final = 3
"""How often the checks are made again because somebody changed what they rest on."""


@dataclass(frozen=True, slots=True)
class RulesChange:
    """How rules come into force: by whom, under which limits."""

    author: Author
    limits: GuardLimits
    at: int
    accept_loss: int | None = None
    """So many people may lose their entitlement, whatever the limits."""
    expect_version: int | None = None
    """The newest version that the author has seen; 0 for none."""


@dataclass(frozen=True, slots=True)
class SavedRules:
    """A version that was saved, what was found in it, and what it means for people."""

    rules: RuleSet
    document: Mapping[str, Any]
    findings: tuple[Finding, ...]
    compared: RuleComparison
    in_force: int
    """The version in force now: another one while one is pinned."""


def save_rules(registry: Registry, change: RulesChange, document: Mapping[str, Any]) -> SavedRules:
    """A new version. Raises RuleFault (RULE_INVALID, RANGE_UNKNOWN, RULE_EXAMPLE_FAILED, …), RulesRefused,
    RulesTakeAway, and Conflict(VERSION_CONFLICT)."""
    found: tuple[Finding, ...] = ()

    def prepare(reader: RegistryReader) -> RuleSet:
        nonlocal found
        rules = reader.check_rules(document)
        found = examine(reader, document, rules, change.at)
        require_no_errors(found)
        check_examples(rules, change.at)
        return rules

    def keep(writer: RegistryWriter, compared: RuleComparison) -> SavedRules:
        saved = writer.save_rules(document, expect_version=change.expect_version)
        return SavedRules(saved, document, found, compared, writer.rules().version)

    return _bring_into_force(registry, change, prepare, keep)


def roll_back(registry: Registry, change: RulesChange, version: int) -> SavedRules:
    """The document of that version as a new one. Raises NotFound, and what `save_rules` raises."""
    with registry.read() as reader:
        found = reader.rules_document(version)
    if found is None:
        raise NotFound(f"version {version} of the rules")
    return save_rules(registry, change, found[1])


def pin_rules(
    registry: Registry, change: RulesChange, version: int
) -> tuple[RulesPin, RuleComparison]:
    """That version is in force, whatever is saved after. Raises NotFound, RulesTakeAway."""

    def keep(writer: RegistryWriter, compared: RuleComparison) -> tuple[RulesPin, RuleComparison]:
        return writer.pin_rules(version), compared

    return _bring_into_force(registry, change, lambda reader: reader.rules_of(version), keep)


def unpin_rules(registry: Registry, change: RulesChange) -> tuple[int, RuleComparison]:
    """The newest version is in force again; gives it. Raises NotFound, RulesTakeAway."""

    def prepare(reader: RegistryReader) -> RuleSet:
        if reader.rules_pin() is None:
            raise NotFound("no version of the rules is pinned")
        return reader.rules_of(_newest(reader))

    def keep(writer: RegistryWriter, compared: RuleComparison) -> tuple[int, RuleComparison]:
        writer.unpin_rules()
        return writer.rules().version, compared

    return _bring_into_force(registry, change, prepare, keep)


def examine(
    reader: RegistryReader, document: Mapping[str, Any], rules: RuleSet, at: int
) -> tuple[Finding, ...]:
    """Everything found in rules that were read from the document, at this site."""
    return find_in_rules(document, rules, day_of(at), gather_surroundings(reader, rules))


class _Moved(Exception):
    """What the checks rest on is not as it was."""


def _bring_into_force(
    registry: Registry,
    change: RulesChange,
    prepare: Callable[[RegistryReader], RuleSet],
    keep: Callable[[RegistryWriter, RuleComparison], T],
) -> T:
    for _ in range(_TRIES):
        with registry.read() as reader:
            state = _state(reader)
            if change.expect_version is not None and change.expect_version != _newest(reader):
                raise Conflict(Reason.VERSION_CONFLICT, f"rules are at version {_newest(reader)}")
            after = prepare(reader)
            _require_administrator(reader, after)
            compared = _compare(reader, after, change)
        try:
            with registry.write(change.author) as writer:
                if _state(writer) != state:
                    raise _Moved
                return keep(writer, compared)
        except _Moved:
            continue
    raise Conflict(Reason.PLAN_STALE, "others keep changing what the what-if rests on")


def _require_administrator(reader: RegistryReader, after: RuleSet) -> None:
    """Somebody can change these rules again."""
    keys = (one for one in reader.credentials() if one.kind is CredentialKind.ADMIN_KEY)
    problem = last_administrator_check(after, any(not key.revoked for key in keys))
    if problem is not None:
        raise RuleFault(Reason.RULE_INVALID, problem, "/admins")


def _compare(reader: RegistryReader, after: RuleSet, change: RulesChange) -> RuleComparison:
    before = reader.rules()
    if before.rules == after.rules:
        return RuleComparison()
    canaries = change.limits.canaries
    found = compare_rules(reader, before, after, change.at, canaries=canaries)
    require_few_losses(
        change.limits,
        loses=found.loses,
        entitled_before=found.entitled_before,
        entitled_after=found.entitled,
        canaries=found.losing_canaries,
        accept=change.accept_loss,
    )
    return found


def _state(reader: RegistryReader) -> tuple[int, int, int]:
    """Differs when accounts, groups, issuers, ranges or rules were changed."""
    return reader.revision(), _newest(reader), reader.rules().version


def _newest(reader: RegistryReader) -> int:
    found = reader.rules_document()
    return 0 if found is None else found[0]

"""The JSON that the routes give about rules: versions, findings, differences, verdicts and what-ifs."""

from __future__ import annotations

from typing import Any, NotRequired, cast

from typing_extensions import TypedDict

from idmap.application.compare_rules import PersonChange, RuleComparison
from idmap.application.questions import RulesPin, RulesVersion
from idmap.application.try_rules import NotVerified, Verdict
from idmap.domain.checks import Check
from idmap.domain.considered import Considered
from idmap.domain.decision import Decision, Grant
from idmap.domain.findings import Finding, FindingCode, Severity
from idmap.domain.reasons import Reason
from idmap.domain.rule_diff import SectionDiff
from idmap.domain.rule_examples import ExampleFailure
from idmap.domain.rules import SlurmAssociation
from idmap.domain.what_if import Effect
from idmap.entrypoints.http.answers import Count, Day, Seconds, exact
from idmap.entrypoints.http.documents import IdentityDocument, Next, identity_document
from idmap.entrypoints.http.door_documents import CheckDocument


@exact
class FindingDocument(TypedDict):
    """Something found in rules; an error refuses the save."""

    severity: Severity
    code: FindingCode
    name: str
    pointer: str
    sentence: str


@exact
class WhatIfCounts(TypedDict):
    """How many people other rules reach, of everybody on record."""

    people: Count
    entitled: Count
    gains: Count
    loses: Count
    denied: Count
    moves: Count
    effects: dict[str, Count]


@exact
class RuleCountDocument(TypedDict):
    """How many people one rule gives an account to, before and after."""

    rule: str
    before: Count
    after: Count
    gains: Count
    loses: Count


@exact
class SlurmDocument(TypedDict):
    """Where jobs are charged."""

    account: str
    qos: list[str]


@exact
class GrantDocument(TypedDict):
    """What somebody is given."""

    rule: str
    account_class: str
    secondary_groups: list[str]
    node_classes: str
    local_groups: list[str]
    shell: str
    expires_on: Day | None
    slurm: SlurmDocument | None
    added_by: list[str]


@exact
class PersonChangeDocument(TypedDict):
    """One person whom the rules would reach."""

    identity: IdentityDocument
    username: str | None
    effects: list[Effect]
    reason: Reason
    before: GrantDocument | None
    after: GrantDocument | None


@exact
class ExampleFailureDocument(TypedDict):
    """An example that does not come out as it says."""

    example: str
    pointer: str
    expected: str
    found: str


@exact
class WhatIfDocument(WhatIfCounts):
    """Counts first; names of a few, and people by pages on request."""

    against_version: Count
    pinned: bool
    by_rule: list[RuleCountDocument]
    gaining: list[IdentityDocument]
    losing: list[IdentityDocument]
    findings: list[FindingDocument]
    failing_examples: list[ExampleFailureDocument]
    changes: NotRequired[list[PersonChangeDocument]]
    next: NotRequired[Next]


@exact
class ConsideredPart(TypedDict):
    """One part of a condition."""

    wanted: str
    had: str
    held: bool


@exact
class ConsideredRule(TypedDict):
    """One rule with every part of its condition."""

    rule: str
    effect: str
    priority: int
    condition: str
    matched: bool
    used: bool
    parts: list[ConsideredPart]


@exact
class NowDocument(TypedDict):
    """What the rules in force say."""

    allowed: bool
    reason: Reason
    gives: GrantDocument | None


@exact
class UnmetDocument(TypedDict):
    """A demand that a token does not fulfil, and what it lacks."""

    demand: str
    reason: Reason


@exact
class AtDoorDocument(TypedDict):
    """What a door would say to the token."""

    door: str
    allowed: bool
    reasons: list[Reason]
    unmet: list[UnmetDocument]


@exact
class VerdictDocument(TypedDict):
    """What rules make of one person."""

    identity: IdentityDocument | None
    username: str | None
    against_version: Count
    allowed: bool
    reason: Reason
    gives: GrantDocument | None
    denied_by: str | None
    now: NowDocument | None
    effects: list[Effect]
    rules: list[ConsideredRule]
    would_help: list[str]
    checks: list[CheckDocument]
    at_door: AtDoorDocument | None
    findings: list[FindingDocument]
    failing_examples: list[ExampleFailureDocument]


@exact
class RulesDocument(TypedDict):
    """A version of the rules with the document as saved; version 0 has none."""

    version: Count
    document: dict[str, Any] | None
    in_force: Count
    """The version that decides: this one, unless another is pinned."""


@exact
class SavedRulesDocument(RulesDocument):
    """A version just saved."""

    findings: list[FindingDocument]
    what_if: WhatIfCounts


@exact
class PinDocument(TypedDict):
    """The pinned version; null when none is, and the newest one is in force."""

    version: Count | None
    pinned_at: Seconds | None
    author: str | None
    reason: str | None
    newest: Count


@exact
class PinnedDocument(PinDocument):
    """The pin after a change of it, with what that means for people."""

    what_if: WhatIfCounts


@exact
class MemberChangeDocument(TypedDict):
    """One member before and after; null where it was not there."""

    member: str
    before: Any
    after: Any


@exact
class SectionDocument(TypedDict):
    """What differs in one section, by the names of its entries."""

    section: str
    added: dict[str, dict[str, Any]]
    removed: dict[str, dict[str, Any]]
    changed: dict[str, list[MemberChangeDocument]]
    moved: list[str]


@exact
class RulesDiffDocument(TypedDict):
    """What differs between two versions."""

    before: Count
    after: Count
    sections: list[SectionDocument]


RulesSchemaDocument = TypedDict(
    "RulesSchemaDocument",
    {
        "$schema": str,
        "$id": str,
        "title": str,
        "type": str,
        "required": list[str],
        "if": dict[str, Any],
        "then": dict[str, Any],
        "else": dict[str, Any],
        "$defs": dict[str, Any],
    },
)
"""JSON Schema (draft 2020-12) of rule documents."""
exact(RulesSchemaDocument)


@exact
class RulesVersionDocument(TypedDict):
    """One saved version, without its document."""

    version: Count
    saved_at: Seconds
    author: str
    reason: str
    rules: Count
    classes: Count
    in_force: bool
    pinned: bool


@exact
class RulesVersionsPage(TypedDict):
    """Versions, newest first."""

    versions: list[RulesVersionDocument]
    next: Next


def rules_version_document(saved: RulesVersion) -> RulesVersionDocument:
    """Who saved it and why, how much it holds, and whether it decides."""
    return {
        "version": saved.version,
        "saved_at": saved.saved_at,
        "author": saved.author,
        "reason": saved.reason,
        "rules": saved.rules,
        "classes": saved.classes,
        "in_force": saved.in_force,
        "pinned": saved.pinned,
    }


def pin_document(pin: RulesPin | None, newest: int) -> PinDocument:
    """The pin, or that there is none."""
    if pin is None:
        return {
            "version": None,
            "pinned_at": None,
            "author": None,
            "reason": None,
            "newest": newest,
        }
    return {
        "version": pin.version,
        "pinned_at": pin.pinned_at,
        "author": pin.author,
        "reason": pin.reason,
        "newest": newest,
    }


def finding_document(finding: Finding) -> FindingDocument:
    """With severity and place."""
    return {
        "severity": finding.severity,
        "code": finding.code,
        "name": finding.name,
        "pointer": finding.pointer,
        "sentence": finding.sentence,
    }


def counts_document(found: RuleComparison) -> WhatIfCounts:
    """The counts alone."""
    effects = {str(effect): found.effects[effect] for effect in Effect}
    return {
        "people": found.people,
        "entitled": found.entitled,
        "gains": found.gains,
        "loses": found.loses,
        "denied": found.effects[Effect.DENIED],
        "moves": found.effects[Effect.MOVES],
        "effects": effects,
    }


def what_if_document(
    found: RuleComparison,
    against_version: int,
    pinned: bool,
    findings: list[FindingDocument],
    failing: list[ExampleFailureDocument],
    *,
    with_people: bool,
) -> WhatIfDocument:
    """Everything about everybody."""
    counts = counts_document(found)
    document: WhatIfDocument = {
        "against_version": against_version,
        "pinned": pinned,
        "people": counts["people"],
        "entitled": counts["entitled"],
        "gains": counts["gains"],
        "loses": counts["loses"],
        "denied": counts["denied"],
        "moves": counts["moves"],
        "effects": counts["effects"],
        "by_rule": [
            {
                "rule": rule,
                "before": count.before,
                "after": count.after,
                "gains": count.gains,
                "loses": count.loses,
            }
            for rule, count in sorted(found.by_rule.items())
        ],
        "gaining": [identity_document(identity) for identity in found.gaining],
        "losing": [identity_document(identity) for identity in found.losing],
        "findings": findings,
        "failing_examples": failing,
    }
    if with_people:
        document["changes"] = [_change_document(change) for change in found.page]
        document["next"] = None if found.next is None else str(found.next)
    return document


def example_document(failure: ExampleFailure) -> ExampleFailureDocument:
    """What was expected and what came out."""
    return {
        "example": failure.name,
        "pointer": f"/examples/{failure.position}",
        "expected": failure.expected,
        "found": failure.found,
    }


def verdict_document(
    found: Verdict | NotVerified,
    against_version: int,
    findings: list[FindingDocument],
    failing: list[ExampleFailureDocument],
) -> VerdictDocument:
    """Of somebody, or of a token that opens nothing."""
    checks = [_check(check) for check in found.checks]
    if isinstance(found, NotVerified):
        return {
            "identity": None,
            "username": None,
            "against_version": against_version,
            "allowed": False,
            "reason": found.reason,
            "gives": None,
            "denied_by": None,
            "now": None,
            "effects": [],
            "rules": [],
            "would_help": [found.next_step],
            "checks": checks,
            "at_door": None,
            "findings": findings,
            "failing_examples": failing,
        }
    decision, account = found.decision, found.person.account
    return {
        "identity": identity_document(found.identity),
        "username": None if account is None else account.username,
        "against_version": against_version,
        "allowed": decision.allowed,
        "reason": decision.reason,
        "gives": _grant_document(decision.grant),
        "denied_by": None if decision.denied_by is None else decision.denied_by.rule_id,
        "now": _now(found.now),
        "effects": sorted(found.effects),
        "rules": [considered_rule(one) for one in found.considered],
        "would_help": list(found.helps),
        "checks": checks,
        "at_door": _at_door(found),
        "findings": findings,
        "failing_examples": failing,
    }


def considered_rule(considered: Considered) -> ConsideredRule:
    """One rule as it was looked at."""
    return {
        "rule": considered.rule_id,
        "effect": considered.effect,
        "priority": considered.priority,
        "condition": considered.condition,
        "matched": considered.matched,
        "used": considered.used,
        "parts": [
            {"wanted": part.wanted, "had": part.had, "held": part.held} for part in considered.parts
        ],
    }


def diff_document(before: int, after: int, sections: tuple[SectionDiff, ...]) -> RulesDiffDocument:
    """Section by section; what is the same is not there."""
    return {"before": before, "after": after, "sections": [_section(one) for one in sections]}


def _section(section: SectionDiff) -> SectionDocument:
    return cast("SectionDocument", section.document())


def _check(check: Check) -> CheckDocument:
    return {"check": check.name, "shown": check.shown, "passed": check.passed}


def _slurm(slurm: SlurmAssociation | None) -> SlurmDocument | None:
    return None if slurm is None else {"account": slurm.account, "qos": list(slurm.qos)}


def _change_document(change: PersonChange) -> PersonChangeDocument:
    outcome = change.outcome
    return {
        "identity": identity_document(change.identity),
        "username": change.username,
        "effects": sorted(outcome.effects),
        "reason": outcome.reason,
        "before": _grant_document(outcome.before),
        "after": _grant_document(outcome.after),
    }


def _grant_document(grant: Grant | None) -> GrantDocument | None:
    if grant is None:
        return None
    expires = grant.account_class.expires_on
    return {
        "rule": grant.rule.rule_id,
        "account_class": grant.account_class.name,
        "secondary_groups": sorted(group.path for group in grant.secondary_groups),
        "node_classes": str(grant.access),
        "local_groups": sorted(grant.local_groups),
        "shell": grant.account_class.shell,
        "expires_on": None if expires is None else expires.isoformat(),
        "slurm": _slurm(grant.slurm),
        "added_by": list(grant.added_by),
    }


def _now(decision: Decision) -> NowDocument:
    return {
        "allowed": decision.allowed,
        "reason": decision.reason,
        "gives": _grant_document(decision.grant),
    }


def _at_door(found: Verdict) -> AtDoorDocument | None:
    if found.door is None:
        return None
    reasons = list(found.at_door)
    return {
        "door": str(found.door),
        "allowed": reasons == [Reason.OK],
        "reasons": reasons,
        "unmet": [{"demand": demand, "reason": reason} for demand, reason in found.unmet],
    }

"""The JSON that the routes take and give about rules: versions, findings, differences, verdicts and what-ifs."""

from __future__ import annotations

from typing import Any, NotRequired

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from typing_extensions import TypedDict

from idmap.application.compare_rules import (
    PeopleAsked,
    PersonChange,
    RuleComparison,
    parse_identity,
)
from idmap.application.questions import RulesPin, RulesVersion
from idmap.application.try_rules import NotVerified, Verdict
from idmap.domain.considered import Considered
from idmap.domain.decision import Decision, Grant
from idmap.domain.findings import Finding
from idmap.domain.rule_diff import SectionDiff
from idmap.domain.rule_examples import ExampleFailure
from idmap.domain.what_if import Effect
from idmap.entrypoints.http.documents import IdentityDocument, ReasonText, identity_document

MAX_VERSION = 2**31 - 1


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RulesTestRequest(_Request):
    """Rules to try: on one identity, on a token shown at a door, or on everybody. Else those in force."""

    document: dict[str, Any] | None = None
    identity: IdentityDocument | None = None
    token: SecretStr | None = Field(default=None, description="An access token, whole.")
    door: str | None = Field(
        default=None, max_length=64, description="With `token`: where it is shown."
    )
    issuer: str | None = Field(
        default=None, max_length=2048, description="Whose an opaque token is."
    )
    people: bool = Field(default=False, description="Of everybody: also who they are.")
    effect: Effect | None = Field(
        default=None, description="With `people`: those whom this reaches."
    )
    after: str | None = Field(
        default=None, max_length=2400, description="With `people`: the `next` of a page."
    )
    limit: int = Field(default=100, ge=1, le=1000, description="With `people`: at most so many.")

    @model_validator(mode="after")
    def _one_subject(self) -> RulesTestRequest:
        if self.identity is not None and self.token is not None:
            raise ValueError("either identity or token")
        if (self.token is None) != (self.door is None):
            raise ValueError("token and door come together")
        return self

    def people_asked(self) -> PeopleAsked | None:
        """The page that is wanted, if any. Raises InvalidInput(REQUEST_INVALID)."""
        if not self.people:
            return None
        after = None if self.after is None else parse_identity(self.after)
        return PeopleAsked(self.effect, after, self.limit)


class VersionRequest(_Request):
    """A version to go back to, or to pin."""

    version: int = Field(ge=1, le=MAX_VERSION)
    reason: ReasonText = None


class FindingDocument(TypedDict):
    """Something found in rules; an error refuses the save."""

    severity: str
    code: str
    name: str
    pointer: str
    sentence: str


class WhatIfCounts(TypedDict):
    """How many people other rules reach, of everybody on record."""

    people: int
    entitled: int
    gains: int
    loses: int
    denied: int
    moves: int
    effects: dict[str, int]


class RuleCountDocument(TypedDict):
    """How many people one rule gives an account to, before and after."""

    rule: str
    before: int
    after: int
    gains: int
    loses: int


class GrantDocument(TypedDict):
    """What somebody is given."""

    rule: str
    account_class: str
    secondary_groups: list[str]
    node_classes: str
    local_groups: list[str]
    shell: str
    expires_on: str | None
    slurm: dict[str, Any] | None
    added_by: list[str]


class PersonChangeDocument(TypedDict):
    """One person whom the rules would reach."""

    identity: dict[str, str]
    username: str | None
    effects: list[str]
    reason: str
    before: GrantDocument | None
    after: GrantDocument | None


class ExampleFailureDocument(TypedDict):
    """An example that does not come out as it says."""

    example: str
    pointer: str
    expected: str
    found: str


class WhatIfDocument(WhatIfCounts):
    """Counts first; names of a few, and people by pages on request."""

    against_version: int
    pinned: bool
    by_rule: list[RuleCountDocument]
    gaining: list[dict[str, str]]
    losing: list[dict[str, str]]
    findings: list[FindingDocument]
    failing_examples: list[ExampleFailureDocument]
    changes: NotRequired[list[PersonChangeDocument]]
    next: NotRequired[str | None]


class ConsideredPart(TypedDict):
    """One part of a condition."""

    wanted: str
    had: str
    held: bool


class ConsideredRule(TypedDict):
    """One rule with every part of its condition."""

    rule: str
    effect: str
    priority: int
    condition: str
    matched: bool
    used: bool
    parts: list[ConsideredPart]


class NowDocument(TypedDict):
    """What the rules in force say."""

    allowed: bool
    reason: str
    gives: GrantDocument | None


class AtDoorDocument(TypedDict):
    """What a door would say to the token."""

    door: str
    allowed: bool
    reasons: list[str]
    unmet: list[dict[str, str]]


class VerdictDocument(TypedDict):
    """What rules make of one person."""

    identity: dict[str, str] | None
    username: str | None
    against_version: int
    allowed: bool
    reason: str
    gives: GrantDocument | None
    denied_by: str | None
    now: NowDocument | None
    effects: list[str]
    rules: list[ConsideredRule]
    would_help: list[str]
    checks: list[dict[str, Any]]
    at_door: AtDoorDocument | None
    findings: list[FindingDocument]
    failing_examples: list[ExampleFailureDocument]


class RulesDocument(TypedDict):
    """A version of the rules with the document as saved; version 0 has none."""

    version: int
    document: dict[str, Any] | None
    in_force: int
    """The version that decides: this one, unless another is pinned."""


class SavedRulesDocument(RulesDocument):
    """A version just saved."""

    findings: list[FindingDocument]
    what_if: WhatIfCounts


class PinDocument(TypedDict):
    """The pinned version; null when none is, and the newest one is in force."""

    version: int | None
    pinned_at: int | None
    author: str | None
    reason: str | None
    newest: int


class PinnedDocument(PinDocument):
    """The pin after a change of it, with what that means for people."""

    what_if: WhatIfCounts


class RulesDiffDocument(TypedDict):
    """What differs between two versions."""

    before: int
    after: int
    sections: list[dict[str, Any]]


def rules_version_document(saved: RulesVersion) -> dict[str, Any]:
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
        "severity": str(finding.severity),
        "code": str(finding.code),
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
    checks: list[dict[str, Any]] = [
        {"check": check.name, "shown": check.shown, "passed": check.passed}
        for check in found.checks
    ]
    if isinstance(found, NotVerified):
        return {
            "identity": None,
            "username": None,
            "against_version": against_version,
            "allowed": False,
            "reason": str(found.reason),
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
        "reason": str(decision.reason),
        "gives": _grant_document(decision.grant),
        "denied_by": None if decision.denied_by is None else decision.denied_by.rule_id,
        "now": _now(found.now),
        "effects": sorted(map(str, found.effects)),
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
    return {"before": before, "after": after, "sections": [one.document() for one in sections]}


def _change_document(change: PersonChange) -> PersonChangeDocument:
    outcome = change.outcome
    return {
        "identity": identity_document(change.identity),
        "username": change.username,
        "effects": sorted(map(str, outcome.effects)),
        "reason": str(outcome.reason),
        "before": _grant_document(outcome.before),
        "after": _grant_document(outcome.after),
    }


def _grant_document(grant: Grant | None) -> GrantDocument | None:
    if grant is None:
        return None
    expires = grant.account_class.expires_on
    slurm = grant.slurm
    return {
        "rule": grant.rule.rule_id,
        "account_class": grant.account_class.name,
        "secondary_groups": sorted(group.path for group in grant.secondary_groups),
        "node_classes": str(grant.access),
        "local_groups": sorted(grant.local_groups),
        "shell": grant.account_class.shell,
        "expires_on": None if expires is None else expires.isoformat(),
        "slurm": None if slurm is None else {"account": slurm.account, "qos": list(slurm.qos)},
        "added_by": list(grant.added_by),
    }


def _now(decision: Decision) -> NowDocument:
    return {
        "allowed": decision.allowed,
        "reason": str(decision.reason),
        "gives": _grant_document(decision.grant),
    }


def _at_door(found: Verdict) -> AtDoorDocument | None:
    if found.door is None:
        return None
    reasons = [str(reason) for reason in found.at_door]
    return {
        "door": str(found.door),
        "allowed": reasons == ["ok"],
        "reasons": reasons,
        "unmet": [{"demand": demand, "reason": str(reason)} for demand, reason in found.unmet],
    }

"""The JSON that doors get: whose token it is, who I am, my account, and why."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from idmap.application.explain import Explanation
from idmap.application.readiness import ClassReadiness
from idmap.application.resolve import Resolved
from idmap.domain.accounts import AccountState
from idmap.domain.considered import Considered
from idmap.domain.reasons import REASONS, Reason
from idmap.domain.roles import Role
from idmap.entrypoints.http.answers import Count, Number, Seconds, exact
from idmap.entrypoints.http.documents import (
    AccountDocument,
    GroupDocument,
    IdentityDocument,
    PathDocument,
    RecordedDocument,
    SlurmDocument,
    groups_of,
    identity_document,
    recorded_document,
    slurm_document,
)


@exact
class ResolvedDocument(TypedDict):
    """DESIGN §2: the answer is always the full record."""

    username: str
    uid: Number
    gid: Number
    groups: list[GroupDocument]
    home: str
    shell: str
    state: AccountState
    expiry: Seconds | None
    valid_until: Seconds
    capabilities: list[str]
    node_classes: str
    local_groups: list[str]
    slurm: SlurmDocument | None
    reason: Reason
    decision_id: str
    revision: Count


def resolved_document(resolved: Resolved) -> ResolvedDocument:
    """Primary group first."""
    account = resolved.account
    return {
        "username": account.username,
        "uid": account.uid_number,
        "gid": account.primary_group.gid_number,
        "groups": groups_of(account),
        "home": account.home,
        "shell": account.shell,
        "state": account.state,
        "expiry": resolved.expires_at,
        "valid_until": resolved.valid_until,
        "capabilities": sorted(str(one) for one in resolved.claims.capabilities),
        "node_classes": str(account.access),
        "local_groups": sorted(account.local_groups),
        "slurm": slurm_document(resolved.slurm),
        "reason": resolved.reason,
        "decision_id": resolved.decision_id,
        "revision": resolved.revision,
    }


@exact
class ClassReadinessDocument(TypedDict):
    """How many nodes of a class have the revision."""

    ready: bool
    nodes: Count
    current: Count


def readiness_document(found: ClassReadiness) -> ClassReadinessDocument:
    """Of one node class."""
    return {"ready": found.ready, "nodes": found.nodes, "current": found.current}


@exact
class MeDocument(TypedDict):
    """The caller's identity, account, decision, roles at the admin door, and whether the nodes know it yet."""

    identity: IdentityDocument
    account: AccountDocument | None
    usable: bool
    reason: Reason
    next_step: str
    entitled: bool
    rule: str | None
    added_by: list[str]
    """Rules that add groups, node classes or more to what `rule` gives."""
    rules_version: Count
    roles: list[Role]
    manages: list[PathDocument]
    revision: Count
    ready: dict[str, ClassReadinessDocument]


@exact
class OpenedDocument(TypedDict):
    """An account, and the revision with which the nodes learn of it."""

    account: AccountDocument
    revision: Count
    ready: bool


@exact
class CheckDocument(TypedDict):
    """One check, with what it looked at."""

    check: str
    shown: str
    passed: bool


@exact
class ConsideredDocument(TypedDict):
    """One rule, with its condition."""

    rule: str
    condition: str
    matched: bool


def considered_document(considered: Considered) -> ConsideredDocument:
    """As `explain` shows it."""
    return {
        "rule": considered.rule_id,
        "condition": considered.condition,
        "matched": considered.matched,
    }


@exact
class ExplanationDocument(TypedDict):
    """An explanation, in the order things were looked at."""

    identity: IdentityDocument | None
    door: str | None
    outcome: Reason
    sentence: str
    reasons: list[Reason]
    checks: list[CheckDocument]
    rules_version: Count
    rules: list[ConsideredDocument]
    would_help: list[str]
    recorded: RecordedDocument | None


def explanation_document(explanation: Explanation) -> ExplanationDocument:
    """The story of one identity, or of a token that did not get as far as one."""
    recorded = explanation.recorded
    return {
        "identity": None
        if explanation.identity is None
        else identity_document(explanation.identity),
        "door": None if explanation.door is None else str(explanation.door),
        "outcome": explanation.outcome,
        "sentence": REASONS[explanation.outcome].sentence,
        "reasons": list(explanation.reasons),
        "checks": [
            {"check": check.name, "shown": check.shown, "passed": check.passed}
            for check in explanation.checks
        ],
        "rules_version": explanation.rules_version,
        "rules": [considered_document(rule) for rule in explanation.considered],
        "would_help": list(explanation.helps),
        "recorded": None if recorded is None else recorded_document(recorded),
    }


@exact
class ExplanationsDocument(TypedDict):
    """One explanation for each identity that was asked about."""

    explanations: list[ExplanationDocument]


@exact
class KeyDocument(TypedDict):
    """An issuer's key."""

    key: dict[str, Any]
    """A JWK (RFC 7517), as the issuer published it."""


@exact
class IntrospectedDocument(TypedDict):
    """Whose an opaque token is: the salted digest for the node's trust.db."""

    identity: str
    expires_at: Seconds


@exact
class NotIntrospectedDocument(TypedDict):
    """Why it is nobody's."""

    refused: Reason
    proved: bool
    """Whether a person may see the reason."""


@exact
class AliveDocument(TypedDict):
    """The process lives."""

    status: Literal["alive"]


@exact
class ReadyDocument(TypedDict):
    """The registry answers."""

    status: Literal["ready"]
    revision: Count
    snapshot: Literal["published", "none"]
    low_ranges: list[str]


@exact
class NotReadyDocument(TypedDict):
    """It does not."""

    status: Literal["registry unavailable"]

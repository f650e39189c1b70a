"""The JSON that the routes take and give, with the words OpenAPI shows.

JSON faces follow POSIX and say `uid` and `gid`; times are whole seconds since the epoch, days are ISO dates (UTC).
Request documents refuse members they do not know.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from idmap.application.explain import Explanation
from idmap.application.ports import (
    ChangeEntry,
    MachineCredential,
    NodeStatus,
    RangeStatus,
    RunRecord,
)
from idmap.application.resolve import Resolved
from idmap.domain.accounts import Account, PosixGroup
from idmap.domain.bans import Ban
from idmap.domain.decision import Recorded
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Identity, Issuer, parse_subject
from idmap.domain.linking import Evidence
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import REASONS, Reason

Label = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]{0,62}$")]
"""A name that people give to machines and ranges."""

ReasonText = Annotated[
    str | None, Field(max_length=500, description="Why; goes on the record. Or send Idmap-Reason.")
]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class IdentityDocument(_Request):
    """An identity: both strings exact, byte for byte."""

    issuer: str = Field(min_length=1, max_length=2048)
    subject: str = Field(min_length=1, max_length=255)

    def identity(self) -> Identity:
        """As the domain knows it. Raises InvalidInput(REQUEST_INVALID)."""
        return identity_from(self.issuer, self.subject)


class ResolveRequest(_Request):
    """Whose token is it at this door?"""

    token: SecretStr = Field(description="The access token, whole.")
    door: str = Field(max_length=64, examples=["component:portal"])
    issuer: str | None = Field(
        default=None, max_length=2048, description="Whose an opaque token is, exactly as trusted."
    )


class KeyRequest(_Request):
    """A key id that trust.db does not have."""

    issuer: str = Field(min_length=1, max_length=2048)
    kid: str = Field(min_length=1, max_length=255)


class IntrospectRequest(_Request):
    """Whose opaque token is it at this node's door?"""

    token: SecretStr = Field(description="The access token, whole.")
    door: str = Field(max_length=64, examples=["ssh:login"])


class ExplainRequest(_Request):
    """Exactly one of token (with its door), identity, account."""

    token: SecretStr | None = None
    issuer: str | None = Field(
        default=None, max_length=2048, description="Whose an opaque token is, exactly as trusted."
    )
    identity: IdentityDocument | None = None
    account: str | None = Field(default=None, max_length=64)
    door: str | None = Field(default=None, max_length=64)


class ReasonRequest(_Request):
    """A change that needs nothing but its reason."""

    reason: ReasonText = None


class RangeRequest(_Request):
    """A range to add."""

    name: Label
    purpose: RangePurpose
    first: int
    last: int
    acknowledge: bool = Field(
        default=False,
        description="The numbers may be used by other software too, and that is meant.",
    )
    acknowledge_foreign: bool = Field(
        default=False,
        description="Something else on the site has numbers of it; those are never issued.",
    )
    reason: ReasonText = None

    def range(self) -> NumberRange:
        """As the domain knows it."""
        return NumberRange(self.name, self.purpose, self.first, self.last)


class NodeRequest(_Request):
    """A node to enrol."""

    name: Label
    node_class: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")
    reason: ReasonText = None


class ComponentRequest(_Request):
    """A component to add, with the doors whose tokens it may present."""

    name: Label
    doors: tuple[str, ...] = Field(min_length=1, max_length=32)
    reason: ReasonText = None


class RulesTestRequest(_Request):
    """Rules to try, on one identity or on everybody. Without a document, the saved ones."""

    document: dict[str, Any] | None = None
    identity: IdentityDocument | None = None


class NodeReport(_Request):
    """What a node tells about itself."""

    revision: int = Field(ge=0, lt=2**63)
    ban_counter: int = Field(ge=0, lt=2**63)
    masked: tuple[Annotated[str, Field(max_length=255)], ...] = Field(default=(), max_length=10_000)
    local_names: tuple[Annotated[str, Field(max_length=255)], ...] = Field(
        default=(), max_length=10_000
    )


def identity_from(issuer: str, subject: str) -> Identity:
    """An identity from a request. Raises InvalidInput(REQUEST_INVALID)."""
    try:
        return Identity(Issuer(issuer), parse_subject(subject))
    except InvalidInput as error:
        raise InvalidInput(Reason.REQUEST_INVALID, error.detail) from error


def identity_document(identity: Identity) -> dict[str, str]:
    """Both strings."""
    return {"issuer": identity.issuer, "subject": identity.subject}


def group_document(group: PosixGroup) -> dict[str, Any]:
    """Name and number."""
    return {"name": group.name, "gid": group.gid_number}


def account_document(account: Account) -> dict[str, Any]:
    """An account as administrators and its owner see it; the primary group comes first."""
    return {
        "username": account.username,
        "uid": account.uid_number,
        "gid": account.primary_group.gid_number,
        "groups": _groups(account),
        "leaving": [
            {**group_document(one.group), "until": _day(one.until)} for one in account.leaving
        ],
        "home": account.home,
        "shell": account.shell,
        "state": str(account.state),
        "grace_until": _day(account.grace_until),
        "expires_on": _day(account.expires_on),
        "rule": account.rule_id,
    }


def resolved_document(resolved: Resolved) -> dict[str, Any]:
    """DESIGN §2: the answer is always the full record."""
    account = resolved.account
    return {
        "username": account.username,
        "uid": account.uid_number,
        "gid": account.primary_group.gid_number,
        "groups": _groups(account),
        "home": account.home,
        "shell": account.shell,
        "state": str(account.state),
        "expiry": resolved.expires_at,
        "valid_until": resolved.valid_until,
        "capabilities": sorted(str(one) for one in resolved.claims.capabilities),
        "reason": str(resolved.reason),
        "decision_id": resolved.decision_id,
        "revision": resolved.revision,
    }


def recorded_document(recorded: Recorded) -> dict[str, Any]:
    """Everything known about one identity."""
    return {
        "identity": identity_document(recorded.identity),
        "active_at_source": recorded.active_at_source,
        "groups": sorted(group.path for group in recorded.groups),
        "account": None if recorded.account is None else account_document(recorded.account),
        "bans": [ban_document(ban) for ban in recorded.bans],
    }


def ban_document(ban: Ban) -> dict[str, Any]:
    """A ban with what it is of, who ordered it and why."""
    group, token = ban.group, ban.token_id is not None
    return {
        "id": ban.ban_id,
        "kind": str(ban.kind),
        "account_id": ban.account_id,
        "identity": None if ban.identity is None else identity_document(ban.identity),
        "group": None if group is None else {"issuer": group.issuer, "path": group.path},
        "issuer": None if token else ban.issuer,
        "token": {"issuer": ban.issuer, "token_id": ban.token_id} if token else None,
        "reason": ban.reason,
        "author": ban.author,
        "since": ban.since,
        "until": ban.until,
    }


def evidence_document(evidence: Evidence) -> dict[str, Any]:
    """What a source says of somebody, and who else says so."""
    return {
        "id": evidence.evidence_id,
        "source": evidence.source,
        "identity": identity_document(evidence.identity),
        "account": evidence.username,
        "claims": {
            "kind": str(evidence.claims.kind),
            "issuer": evidence.claims.issuer,
            "subject": evidence.claims.subject,
        },
        "state": str(evidence.state),
        "first_seen": evidence.first_seen,
        "withdrawn": evidence.withdrawn,
        "contradicted": evidence.contradicted,
        "rivals": [identity_document(rival) for rival in evidence.rivals],
    }


def range_document(status: RangeStatus) -> dict[str, Any]:
    """A range and what is left of it."""
    return {
        "name": status.range.name,
        "purpose": str(status.range.purpose),
        "first": status.range.first,
        "last": status.range.last,
        "next": status.next_number,
        "free": status.free,
        "low": status.is_low,
    }


def node_document(node: NodeStatus, revision: int, ban_counter: int) -> dict[str, Any]:
    """What a node reported, beside what it should have."""
    return {
        "name": node.name,
        "node_class": node.node_class,
        "revision": node.revision,
        "ban_counter": node.ban_counter,
        "reported": node.reported,
        "masked": list(node.masked),
        "current": node.reported is not None
        and node.revision >= revision
        and node.ban_counter >= ban_counter,
    }


def component_document(component: MachineCredential) -> dict[str, Any]:
    """A component with the doors whose tokens it may present."""
    return {
        "name": component.name,
        "doors": list(component.doors),
        "created": component.created,
        "revoked": component.revoked,
    }


def change_document(change: ChangeEntry) -> dict[str, Any]:
    """One leaf of the record."""
    return {
        "sequence": change.sequence,
        "at": change.at,
        "author": change.author,
        "reason": change.reason,
        "plan": change.plan,
        "action": change.action,
        "body": None if change.body is None else dict(change.body),
        "commitment": change.commitment,
    }


def run_document(run: RunRecord) -> dict[str, Any]:
    """One provisioning run."""
    return {
        "run_id": run.run_id,
        "started": run.started,
        "finished": run.finished,
        "outcome": run.outcome,
        "reason": run.reason,
        "plan": None if run.plan is None else dict(run.plan),
    }


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """An explanation, in the order things were looked at."""
    recorded = explanation.recorded
    return {
        "identity": None
        if explanation.identity is None
        else identity_document(explanation.identity),
        "door": None if explanation.door is None else str(explanation.door),
        "outcome": str(explanation.outcome),
        "sentence": REASONS[explanation.outcome].sentence,
        "reasons": [str(reason) for reason in explanation.reasons],
        "checks": [
            {"check": check.name, "shown": check.shown, "passed": check.passed}
            for check in explanation.checks
        ],
        "rules_version": explanation.rules_version,
        "rules": [
            {"rule": rule.rule_id, "condition": rule.condition, "matched": rule.matched}
            for rule in explanation.considered
        ],
        "would_help": list(explanation.helps),
        "recorded": None if recorded is None else recorded_document(recorded),
    }


def _groups(account: Account) -> list[dict[str, Any]]:
    return [group_document(g) for g in (account.primary_group, *account.secondary_groups)]


def _day(day: date | None) -> str | None:
    return None if day is None else day.isoformat()

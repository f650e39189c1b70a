"""Several identities of one account, and newcomers who wait for approval.

A person links their own second identity with two fresh tokens, one in the header and one in the body; neither is
kept, logged or repeated. Administrators link by order, or by approving what an issuer said. `dry_run` carries an
order out on a private copy: it refuses what the real one would, and changes nothing.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from idmap.application.approve_account import approve_account
from idmap.application.link_identities import (
    Linked,
    approve_evidence,
    link,
    link_own,
    refuse_evidence,
    unlink,
)
from idmap.domain.doors import API
from idmap.domain.linking import Evidence, EvidenceState
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.callers import (
    AdminRoute,
    ApiRoute,
    CallerAt,
    ReasonHeader,
    author_of,
)
from idmap.entrypoints.http.documents import (
    IdentityDocument,
    ReasonRequest,
    ReasonText,
    account_document,
    identity_document,
    identity_from,
)
from idmap.entrypoints.http.parts import Parts

people = APIRouter(route_class=ApiRoute, tags=["people"])
administrators = APIRouter(route_class=AdminRoute, tags=["people"])

DryRun = Annotated[bool, Query(description="Only say what would happen.")]


class LinkRequest(BaseModel):
    """A second, fresh token of the same person, with the audience of the API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr = Field(description="The other identity's access token, whole.")
    issuer: str | None = Field(
        default=None, max_length=2048, description="Whose an opaque token is, exactly as trusted."
    )


class LinkOrder(IdentityDocument):
    """An identity to link, and why."""

    reason: ReasonText = None


@people.get("/v1/me/links", summary="The identities linked to my account")
def show_my_links(caller: CallerAt, parts: Parts) -> dict[str, Any]:
    """Whoever finds one here that is not theirs tells the site at once."""
    assert caller.claims is not None  # noqa: S101  # the API entrance takes nothing but tokens
    with parts.registry.read() as reader:
        account = reader.recorded(caller.claims.identity).account
        found = () if account is None else reader.identities_of(account.account_id)
    return {
        "account": None if account is None else account_document(account),
        "identities": [identity_document(identity) for identity in found],
    }


@people.post("/v1/me/links", summary="Link another of my identities to my account")
def link_my_identity(body: LinkRequest, caller: CallerAt, parts: Parts) -> dict[str, Any]:
    """Both logins must be at most ten minutes old. Doing it again changes nothing."""
    assert caller.claims is not None  # noqa: S101  # the API entrance takes nothing but tokens
    at = parts.clock()
    token = Secret(body.token.get_secret_value())
    other = parts.verifier.verify(token, API, at, issuer=body.issuer)
    return _linked_document(link_own(parts.registry, caller.claims, other, at))


@administrators.post("/v1/accounts/{name}/identities", summary="Link an identity to an account")
def link_identity(
    name: str,
    body: LinkOrder,
    caller: CallerAt,
    parts: Parts,
    dry_run: DryRun = False,
    reason: ReasonHeader = None,
) -> dict[str, Any]:
    """The identity may never have been seen. One that has an account is not taken from it."""
    author = author_of(caller, reason, body.reason)
    return _linked_document(link(parts.registry, author, name, body.identity(), rehearse=dry_run))


@administrators.delete("/v1/accounts/{name}/identities", summary="Unlink an identity")
def unlink_identity(
    name: str,
    caller: CallerAt,
    parts: Parts,
    issuer: Annotated[str, Query(max_length=2048)],
    subject: Annotated[str, Query(max_length=255)],
    dry_run: DryRun = False,
    reason: ReasonHeader = None,
) -> dict[str, Any]:
    """Number and name stay with the account; a rule may give the identity an account of its own."""
    author = author_of(caller, reason)
    identity = identity_from(issuer, subject)
    return _linked_document(unlink(parts.registry, author, name, identity, rehearse=dry_run))


@administrators.post("/v1/accounts/{name}/approve", summary="Approve a pending account")
def approve(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """Active from now on, with the groups the rules give today."""
    author = author_of(caller, reason, body.reason)
    return account_document(approve_account(parts.registry, author, name, parts.clock()))


@administrators.get("/v1/links/evidence", summary="What issuers say of people's other ids")
def list_evidence(
    parts: Parts,
    after: Annotated[int, Query(ge=0, description="The `next` of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    state: EvidenceState = EvidenceState.OPEN,
) -> dict[str, Any]:
    """One page, in order of id; `next` is null on the last. What is `contradicted` cannot be approved."""
    with parts.registry.read() as reader:
        found = reader.evidence(after=after, limit=limit + 1, state=state)
    page = found[:limit]
    return {
        "evidence": [_evidence_document(one) for one in page],
        "next": page[-1].evidence_id if len(found) > limit else None,
    }


@administrators.post("/v1/links/evidence/{evidence_id}/approve", summary="Approve evidence")
def approve_link(
    evidence_id: int,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    dry_run: DryRun = False,
    reason: ReasonHeader = None,
) -> dict[str, Any]:
    """The claimed identity is linked to the person's account."""
    author = author_of(caller, reason, body.reason)
    found = approve_evidence(parts.registry, author, evidence_id, rehearse=dry_run)
    return _linked_document(found)


@administrators.post("/v1/links/evidence/{evidence_id}/refuse", summary="Refuse evidence")
def refuse_link(
    evidence_id: int,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    dry_run: DryRun = False,
    reason: ReasonHeader = None,
) -> dict[str, Any]:
    """It stays refused when the source says it again."""
    author = author_of(caller, reason, body.reason)
    found = refuse_evidence(parts.registry, author, evidence_id, rehearse=dry_run)
    return _evidence_document(found)


def _linked_document(linked: Linked) -> dict[str, Any]:
    return {
        "account": account_document(linked.account),
        "identities": [identity_document(identity) for identity in linked.identities],
        "changed": linked.changed,
    }


def _evidence_document(evidence: Evidence) -> dict[str, Any]:
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

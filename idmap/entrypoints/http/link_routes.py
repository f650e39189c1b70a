"""Several identities of one account, and newcomers who wait for approval.

A person links their own second identity with two fresh tokens, one in the header and one in the body; neither is
kept, logged or repeated. Administrators link by order, or by approving what an issuer said. `dry_run` carries an
order out on a private copy: it refuses what the real one would, and changes nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from starlette.responses import Response

from idmap.application.administrators import check_reach
from idmap.application.approve_account import approve_account
from idmap.application.link_identities import (
    Linked,
    approve_evidence,
    concerned_by,
    link,
    link_own,
    refuse_evidence,
    unlink,
)
from idmap.application.ports import Author, RegistryReader
from idmap.application.questions import EvidenceQuestion
from idmap.domain.doors import API
from idmap.domain.linking import EvidenceState
from idmap.domain.roles import Permission
from idmap.domain.secrets import Secret
from idmap.entrypoints.http import resources
from idmap.entrypoints.http.callers import (
    AdminRoute,
    ApiRoute,
    CallerAt,
    ReasonHeader,
    author_of,
)
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.documents import (
    IdentityDocument,
    ReasonRequest,
    ReasonText,
    account_document,
    evidence_document,
    identity_document,
    identity_from,
)
from idmap.entrypoints.http.paging import After, Limit, paged
from idmap.entrypoints.http.parts import Parts, ServeParts
from idmap.entrypoints.http.permissions import needs

people = APIRouter(route_class=ApiRoute, tags=["people"])
administrators = APIRouter(route_class=AdminRoute, tags=["people"])

EvidenceId = Annotated[int, Path(ge=1, lt=2**31)]
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


@administrators.post(
    "/v1/accounts/{name}/identities",
    summary="Link an identity to an account",
    dependencies=[changes(resources.account)],
)
@needs(Permission.ACCOUNTS)
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
    identity = body.identity()
    with _looking(parts, author, dry_run) as reader:
        check_reach(reader, caller.held, name, identity)
    return _linked_document(link(parts.registry, author, name, identity, rehearse=dry_run))


@administrators.delete(
    "/v1/accounts/{name}/identities",
    summary="Unlink an identity",
    dependencies=[changes(resources.account)],
)
@needs(Permission.ACCOUNTS)
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
    with _looking(parts, author, dry_run) as reader:
        check_reach(reader, caller.held, name, identity)
    return _linked_document(unlink(parts.registry, author, name, identity, rehearse=dry_run))


@administrators.post(
    "/v1/accounts/{name}/approve",
    summary="Approve a pending account",
    dependencies=[changes(resources.account)],
)
@needs(Permission.ACCOUNTS)
def approve(
    name: str, body: ReasonRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """Active from now on, with the groups the rules give today."""
    author = author_of(caller, reason, body.reason)
    with parts.registry.write(author) as writer:
        check_reach(writer, caller.held, name)
    approved = approve_account(parts.registry, author, name, parts.clock())
    with parts.registry.read() as reader:
        shown = resources.account(reader, Given({"name": approved.username}, {}))
    return account_document(approved) if shown is None else dict(shown.document)


@administrators.get("/v1/links/evidence", summary="What issuers say of people's other ids")
@needs(Permission.READ)
def list_evidence(
    parts: Parts,
    after: After = None,
    limit: Limit = 100,
    state: EvidenceState = EvidenceState.OPEN,
    linkable: Annotated[
        bool,
        Query(description="Only what a door here would take, and is not linked already."),
    ] = False,
) -> dict[str, Any]:
    """One page, in order of id. What is `contradicted` cannot be approved."""
    asked = EvidenceQuestion(state=state, linkable=linkable)
    with parts.registry.read() as reader:
        page = reader.page_of_evidence(asked, after=after, limit=limit)
    return paged("evidence", page, evidence_document)


@administrators.get("/v1/links/evidence/{evidence_id}", summary="One piece of evidence")
@needs(Permission.READ)
def show_evidence(evidence_id: EvidenceId, parts: Parts) -> Response:
    """Whatever its state, withdrawn or not."""
    with parts.registry.read() as reader:
        given = Given({"evidence_id": str(evidence_id)}, {})
        return resources.show(resources.evidence, reader, given)


@administrators.post(
    "/v1/links/evidence/{evidence_id}/approve",
    summary="Approve evidence",
    dependencies=[changes(resources.evidence)],
)
@needs(Permission.ACCOUNTS)
def approve_link(
    evidence_id: EvidenceId,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    dry_run: DryRun = False,
    reason: ReasonHeader = None,
) -> dict[str, Any]:
    """The claimed identity is linked to the person's account."""
    author = author_of(caller, reason, body.reason)
    with _looking(parts, author, dry_run) as reader:
        evidence = reader.find_evidence(evidence_id)
        if evidence is not None:
            check_reach(reader, caller.held, None, *concerned_by(evidence))
    found = approve_evidence(parts.registry, author, evidence_id, rehearse=dry_run)
    return _linked_document(found)


@administrators.post(
    "/v1/links/evidence/{evidence_id}/refuse",
    summary="Refuse evidence",
    dependencies=[changes(resources.evidence)],
)
@needs(Permission.ACCOUNTS)
def refuse_link(
    evidence_id: EvidenceId,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    dry_run: DryRun = False,
    reason: ReasonHeader = None,
) -> dict[str, Any]:
    """It stays refused when the source says it again."""
    author = author_of(caller, reason, body.reason)
    found = refuse_evidence(parts.registry, author, evidence_id, rehearse=dry_run)
    return evidence_document(found)


def _looking(
    parts: ServeParts, author: Author, dry_run: bool
) -> AbstractContextManager[RegistryReader]:
    """The registry as the change will find it; without one, as it is."""
    return parts.registry.read() if dry_run else parts.registry.write(author)


def _linked_document(linked: Linked) -> dict[str, Any]:
    return {
        "account": account_document(linked.account),
        "identities": [identity_document(identity) for identity in linked.identities],
        "changed": linked.changed,
    }

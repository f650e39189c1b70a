"""Several identities of one account, and newcomers who wait for approval.

A person links their own second identity with two fresh tokens, one in the header and one in the body; neither is
kept, logged or repeated. Administrators link by order, or by approving what an issuer said. `dry_run` carries an
order out on a private copy: it refuses what the real one would, and changes nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from idmap.application.administrators import check_reach
from idmap.application.approve_account import approve_account
from idmap.application.demanded import require_demanded
from idmap.application.link_identities import (
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
from idmap.entrypoints.http.answers import One
from idmap.entrypoints.http.callers import (
    AdminRoute,
    ApiRoute,
    CallerAt,
    ReasonHeader,
    author_of,
)
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.documents import (
    EvidenceDocument,
    EvidencePage,
    LinkedDocument,
    LinksDocument,
    OneAccountDocument,
    account_document,
    evidence_document,
    identity_document,
    linked_document,
)
from idmap.entrypoints.http.paging import After, Limit, words
from idmap.entrypoints.http.parts import Parts, ServeParts
from idmap.entrypoints.http.permissions import needs
from idmap.entrypoints.http.request_documents import (
    IdentityRequest,
    IssuerText,
    NamedInPath,
    ReasonRequest,
    ReasonText,
    identity_from,
)

people = APIRouter(route_class=ApiRoute, tags=["people"])
administrators = APIRouter(route_class=AdminRoute, tags=["people"])

EvidenceId = Annotated[int, Path(ge=1, lt=2**31)]
DryRun = Annotated[bool, Query(description="Only say what would happen.")]


class LinkRequest(BaseModel):
    """A second, fresh token of the same person, with the audience of the API."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    token: SecretStr = Field(description="The other identity's access token, whole.")
    issuer: IssuerText | None = Field(default=None, description="Whose an opaque token is.")


class LinkOrder(IdentityRequest):
    """An identity to link, and why."""

    reason: ReasonText = None


@people.get("/v1/me/links", summary="The identities linked to my account")
def show_my_links(caller: CallerAt, parts: Parts) -> LinksDocument:
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
def link_my_identity(body: LinkRequest, caller: CallerAt, parts: Parts) -> LinkedDocument:
    """Both logins must be at most ten minutes old. Doing it again changes nothing."""
    assert caller.claims is not None  # noqa: S101  # the API entrance takes nothing but tokens
    at = parts.clock()
    token = Secret(body.token.get_secret_value())
    other = parts.verifier.verify(token, API, at, issuer=body.issuer)
    require_demanded(parts.remembered, other, at)
    return linked_document(link_own(parts.registry, caller.claims, other, at))


@administrators.post(
    "/v1/accounts/{name}/identities",
    summary="Link an identity to an account",
    dependencies=[changes(resources.account)],
)
@needs(Permission.ACCOUNTS)
def link_identity(
    name: NamedInPath,
    body: LinkOrder,
    caller: CallerAt,
    parts: Parts,
    dry_run: DryRun = False,
    reason: ReasonHeader = None,
) -> LinkedDocument:
    """The identity may never have been seen. One that has an account is not taken from it."""
    author = author_of(caller, reason, body.reason)
    identity = body.identity()
    with _looking(parts, author, dry_run) as reader:
        check_reach(reader, caller.held, name, identity)
    return linked_document(link(parts.registry, author, name, identity, rehearse=dry_run))


@administrators.delete(
    "/v1/accounts/{name}/identities",
    summary="Unlink an identity",
    dependencies=[changes(resources.account)],
)
@needs(Permission.ACCOUNTS)
def unlink_identity(
    name: NamedInPath,
    caller: CallerAt,
    parts: Parts,
    issuer: Annotated[str, words("The exact string.", 2048)],
    subject: Annotated[str, words("With it, the identity.", 255)],
    dry_run: DryRun = False,
    reason: ReasonHeader = None,
) -> LinkedDocument:
    """Number and name stay with the account; a rule may give the identity an account of its own."""
    author = author_of(caller, reason)
    identity = identity_from(issuer, subject)
    with _looking(parts, author, dry_run) as reader:
        check_reach(reader, caller.held, name, identity)
    return linked_document(unlink(parts.registry, author, name, identity, rehearse=dry_run))


@administrators.post(
    "/v1/accounts/{name}/approve",
    summary="Approve a pending account",
    dependencies=[changes(resources.account)],
)
@needs(Permission.ACCOUNTS)
def approve(
    name: NamedInPath,
    body: ReasonRequest,
    caller: CallerAt,
    parts: Parts,
    reason: ReasonHeader = None,
) -> OneAccountDocument:
    """Active from now on, with the groups the rules give today."""
    author = author_of(caller, reason, body.reason)
    with parts.registry.write(author) as writer:
        check_reach(writer, caller.held, name)
    approved = approve_account(parts.registry, author, name, parts.clock())
    with parts.registry.read() as reader:
        return resources.shown_account(reader, approved)


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
) -> EvidencePage:
    """One page, in order of id. What is `contradicted` cannot be approved."""
    asked = EvidenceQuestion(state=state, linkable=linkable)
    with parts.registry.read() as reader:
        page = reader.page_of_evidence(asked, after=after, limit=limit)
    return {"evidence": [evidence_document(one) for one in page.items], "next": page.next}


@administrators.get("/v1/links/evidence/{evidence_id}", summary="One piece of evidence")
@needs(Permission.READ)
def show_evidence(evidence_id: EvidenceId, parts: Parts) -> One[EvidenceDocument]:
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
) -> LinkedDocument:
    """The claimed identity is linked to the person's account."""
    author = author_of(caller, reason, body.reason)
    with _looking(parts, author, dry_run) as reader:
        evidence = reader.find_evidence(evidence_id)
        if evidence is not None:
            check_reach(reader, caller.held, None, *concerned_by(evidence))
    found = approve_evidence(parts.registry, author, evidence_id, rehearse=dry_run)
    return linked_document(found)


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
) -> EvidenceDocument:
    """It stays refused when the source says it again."""
    author = author_of(caller, reason, body.reason)
    found = refuse_evidence(parts.registry, author, evidence_id, rehearse=dry_run)
    return evidence_document(found)


def _looking(
    parts: ServeParts, author: Author, dry_run: bool
) -> AbstractContextManager[RegistryReader]:
    """The registry as the change will find it; without one, as it is."""
    return parts.registry.read() if dry_run else parts.registry.write(author)

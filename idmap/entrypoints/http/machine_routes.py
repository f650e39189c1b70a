"""The admin door on machines and on the record: nodes, components, changes, runs, explain."""

from __future__ import annotations

from math import ceil
from typing import Annotated

from fastapi import APIRouter, Query

from idmap.application.account_named import find_account
from idmap.application.administer import add_component, enrol_node, revoke
from idmap.application.explain import Explanation, explain_account, explain_identity, explain_token
from idmap.application.ports import CredentialKind
from idmap.application.questions import ChangeQuestion
from idmap.domain.doors import API, parse_door
from idmap.domain.errors import InvalidInput, NotFound
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.domain.roles import Permission
from idmap.domain.secrets import Secret
from idmap.entrypoints.http import paging, resources
from idmap.entrypoints.http.answers import One
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.changing import Given, changes
from idmap.entrypoints.http.door_documents import ExplanationsDocument, explanation_document
from idmap.entrypoints.http.machine_documents import (
    AddedComponentDocument,
    ChangesPage,
    ComponentDocument,
    ComponentsPage,
    EnrolledNodeDocument,
    NodeDocument,
    NodesPage,
    RevokedDocument,
    RunsPage,
    VerifiedChangesDocument,
    change_document,
    component_document,
    node_document,
    run_document,
)
from idmap.entrypoints.http.paging import (
    After,
    Limit,
    Text,
    Time,
    asked_identity,
    words,
)
from idmap.entrypoints.http.parts import Parts, ServeParts
from idmap.entrypoints.http.permissions import needs
from idmap.entrypoints.http.request_documents import (
    ComponentRequest,
    ExplainRequest,
    NamedInPath,
    NodeRequest,
)

router = APIRouter(route_class=AdminRoute, tags=["machines and the record"])


@router.get("/v1/nodes", summary="Enrolled nodes")
@needs(Permission.READ)
def list_nodes(
    parts: Parts,
    after: After = None,
    limit: Limit = 1000,
    node_class: Annotated[Text, words("Of this class.", 31, alias="class")] = None,
) -> NodesPage:
    """By name: what each last reported, beside the revision and ban counter of now."""
    with parts.registry.read() as reader:
        revision, counter = reader.revision(), reader.ban_counter()
        page = reader.page_of_nodes(node_class=node_class, after=after, limit=limit)
    return {
        "nodes": [node_document(node, revision, counter) for node in page.items],
        "next": page.next,
        "revision": revision,
        "ban_counter": counter,
    }


@router.get("/v1/nodes/{name}", summary="One enrolled node")
@needs(Permission.READ)
def show_node(name: NamedInPath, parts: Parts) -> One[NodeDocument]:
    """What it last reported; its `ETag` changes with each report."""
    with parts.registry.read() as reader:
        return resources.show(resources.node, reader, Given({"name": name}, {}))


@router.post("/v1/nodes", summary="Enrol a node", status_code=201)
@needs(Permission.MACHINES)
def post_node(
    body: NodeRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> EnrolledNodeDocument:
    """The secret is in this answer and nowhere else; idmap keeps its digest."""
    author = author_of(caller, reason, body.reason)
    credential, secret = enrol_node(
        parts.registry, author, parts.make_secret, body.name, body.node_class, parts.clock()
    )
    return {
        "name": credential.name,
        "node_class": credential.node_class,
        "created": credential.created,
        "secret": secret.reveal(),
    }


@router.delete(
    "/v1/nodes/{name}",
    summary="Revoke a node's credential",
    dependencies=[changes(resources.node)],
)
@needs(Permission.MACHINES)
def delete_node(
    name: NamedInPath, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> RevokedDocument:
    """Its stream ends and it is told nothing more."""
    revoke(parts.registry, author_of(caller, reason), CredentialKind.NODE, name)
    return {"revoked": name}


@router.get("/v1/components", summary="Components")
@needs(Permission.READ)
def list_components(parts: Parts, after: After = None, limit: Limit = 1000) -> ComponentsPage:
    """Each with the doors whose tokens it may present; revoked ones too, in the order they were made."""
    with parts.registry.read() as reader:
        page = reader.page_of_machines(CredentialKind.COMPONENT, after=after, limit=limit)
    return {"components": [component_document(one) for one in page.items], "next": page.next}


@router.get("/v1/components/{name}", summary="One component")
@needs(Permission.READ)
def show_component(name: NamedInPath, parts: Parts) -> One[ComponentDocument]:
    """While its credential is in force."""
    with parts.registry.read() as reader:
        return resources.show(resources.component, reader, Given({"name": name}, {}))


@router.post("/v1/components", summary="Add a component", status_code=201)
@needs(Permission.MACHINES)
def post_component(
    body: ComponentRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> AddedComponentDocument:
    """The secret is in this answer and nowhere else; idmap keeps its digest."""
    author = author_of(caller, reason, body.reason)
    credential, secret = add_component(
        parts.registry, author, parts.make_secret, body.name, body.doors, parts.clock()
    )
    return {
        "name": credential.name,
        "doors": list(credential.doors),
        "created": credential.created,
        "secret": secret.reveal(),
    }


@router.delete(
    "/v1/components/{name}",
    summary="Revoke a component's credential",
    dependencies=[changes(resources.component)],
)
@needs(Permission.MACHINES)
def delete_component(
    name: NamedInPath, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> RevokedDocument:
    """From the next request on."""
    revoke(parts.registry, author_of(caller, reason), CredentialKind.COMPONENT, name)
    return {"revoked": name}


@router.get("/v1/changes", summary="The record of changes")
@needs(Permission.READ)
def list_changes(
    parts: Parts,
    after: After = None,
    limit: Limit = 100,
    author: paging.Author = None,
    action: Annotated[Text, words("As in `add_ban`.")] = None,
    since: Annotated[Time, Query(description="From then on.")] = None,
    until: Annotated[Time, Query(description="Before then.")] = None,
    account: Annotated[
        Text, words("A username: entries that name the account or one of its identities.")
    ] = None,
    issuer: paging.Issuer = None,
    subject: paging.Subject = None,
) -> ChangesPage:
    """Oldest first: who, when, why, under which plan; `body` is null once erased, the commitment stays. An erased
    entry is no longer found by whom it concerned.
    """
    identity = asked_identity(issuer, subject)
    if account is not None and identity is not None:
        raise InvalidInput(Reason.REQUEST_INVALID, "either an account or an identity")
    with parts.registry.read() as reader:
        concerned = None if account is None else find_account(reader, account)
        if account is not None and concerned is None:
            raise NotFound(f"account {account!r}")
        asked = ChangeQuestion(
            author=author,
            action=action,
            since=None if since is None else ceil(since.timestamp()),
            until=None if until is None else ceil(until.timestamp()),
            account_id=None if concerned is None else concerned.account_id,
            identity=identity,
        )
        page = reader.page_of_changes(asked, after=after, limit=limit)
    return {"changes": [change_document(one) for one in page.items], "next": page.next}


@router.get("/v1/changes/verify", summary="Check the record of changes")
@needs(Permission.READ)
def verify_changes(parts: Parts) -> VerifiedChangesDocument:
    """Every commitment and the chain; a problem names what is broken."""
    with parts.registry.read() as reader:
        return {"verified": reader.verify_changes()}


@router.get("/v1/runs", summary="Provisioning runs")
@needs(Permission.READ)
def list_runs(
    parts: Parts, after: After = None, limit: Annotated[int, Query(ge=1, le=200)] = 20
) -> RunsPage:
    """Newest first, with their plans."""
    with parts.registry.read() as reader:
        page = reader.page_of_runs(after=after, limit=limit)
    return {"runs": [run_document(one) for one in page.items], "next": page.next}


@router.get("/v1/explain", summary="Why has an identity or an account what it has, or has not?")
@needs(Permission.READ)
def show_explanation(
    parts: Parts,
    issuer: paging.Issuer = None,
    subject: paging.Subject = None,
    account: Annotated[Text, words("A username.")] = None,
    door: Annotated[Text, words("At this door, as in `api` or `ssh:login`.")] = None,
    token: Annotated[Text, Query(include_in_schema=False)] = None,
) -> ExplanationsDocument:
    """Every check and rule in order, from what is on record. A token is taken by POST alone: addresses are logged."""
    if token is not None:
        raise InvalidInput(Reason.REQUEST_INVALID, "token: by POST, never in an address")
    return _explained(parts, asked_identity(issuer, subject), account, door)


@router.post("/v1/explain", summary="Why has a person, or has not, an account?")
@needs(Permission.READ)
def explain(body: ExplainRequest, parts: Parts) -> ExplanationsDocument:
    """Every check and rule in order. The token is not repeated, stored or logged."""
    if body.issuer is not None and body.token is None:
        raise InvalidInput(Reason.REQUEST_INVALID, "issuer: says whose an opaque token is")
    if body.token is None:
        identity = None if body.identity is None else body.identity.identity()
        return _explained(parts, identity, body.account, body.door)
    if body.identity is not None or body.account is not None:
        raise InvalidInput(Reason.REQUEST_INVALID, "exactly one of token, identity, account")
    token = Secret(body.token.get_secret_value())
    door = API if body.door is None else parse_door(body.door)
    found = explain_token(parts.registry, parts.verifier, token, door, parts.clock(), body.issuer)
    return {"explanations": [explanation_document(found)]}


def _explained(
    parts: ServeParts, identity: Identity | None, account: str | None, door_name: str | None
) -> ExplanationsDocument:
    door = None if door_name is None else parse_door(door_name)
    at = parts.clock()
    if identity is not None and account is None:
        found: tuple[Explanation, ...] = (explain_identity(parts.registry, identity, door, at),)
    elif account is not None and identity is None:
        found = explain_account(parts.registry, account, door, at)
    else:
        raise InvalidInput(Reason.REQUEST_INVALID, "exactly one of token, identity, account")
    return {"explanations": [explanation_document(explanation) for explanation in found]}

"""The admin door on machines and on the record: nodes, components, changes, runs, explain."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from idmap.application.administer import add_component, enrol_node, revoke
from idmap.application.explain import Explanation, explain_account, explain_identity, explain_token
from idmap.application.ports import CredentialKind
from idmap.domain.doors import API, parse_door
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.callers import AdminRoute, CallerAt, ReasonHeader, author_of
from idmap.entrypoints.http.documents import (
    ComponentRequest,
    ExplainRequest,
    NodeRequest,
    change_document,
    explanation_document,
    node_document,
    run_document,
)
from idmap.entrypoints.http.parts import Parts

router = APIRouter(route_class=AdminRoute, tags=["machines and the record"])


@router.get("/v1/nodes", summary="Enrolled nodes")
def list_nodes(parts: Parts) -> dict[str, Any]:
    """What each last reported, beside the revision and ban counter of now."""
    with parts.registry.read() as reader:
        revision, counter = reader.revision(), reader.ban_counter()
        nodes = [node_document(node, revision, counter) for node in reader.nodes()]
    return {"nodes": nodes, "revision": revision, "ban_counter": counter}


@router.post("/v1/nodes", summary="Enrol a node", status_code=201)
def post_node(
    body: NodeRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
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


@router.delete("/v1/nodes/{name}", summary="Revoke a node's credential")
def delete_node(
    name: str, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """Its stream ends and it is told nothing more."""
    revoke(parts.registry, author_of(caller, reason), CredentialKind.NODE, name)
    return {"revoked": name}


@router.get("/v1/components", summary="Components")
def list_components(parts: Parts) -> dict[str, Any]:
    """Each with the doors whose tokens it may present."""
    with parts.registry.read() as reader:
        found = [c for c in reader.credentials() if c.kind is CredentialKind.COMPONENT]
    return {
        "components": [
            {"name": c.name, "doors": list(c.doors), "created": c.created, "revoked": c.revoked}
            for c in found
        ]
    }


@router.post("/v1/components", summary="Add a component", status_code=201)
def post_component(
    body: ComponentRequest, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
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


@router.delete("/v1/components/{name}", summary="Revoke a component's credential")
def delete_component(
    name: str, caller: CallerAt, parts: Parts, reason: ReasonHeader = None
) -> dict[str, Any]:
    """From the next request on."""
    revoke(parts.registry, author_of(caller, reason), CredentialKind.COMPONENT, name)
    return {"revoked": name}


@router.get("/v1/changes", summary="The record of changes")
def list_changes(
    parts: Parts,
    after: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Who, when, why, under which plan; `body` is null once erased, the commitment stays."""
    with parts.registry.read() as reader:
        found = reader.changes(after=after, limit=limit + 1)
    page = found[:limit]
    return {
        "changes": [change_document(change) for change in page],
        "next": page[-1].sequence if len(found) > limit else None,
    }


@router.get("/v1/changes/verify", summary="Check the record of changes")
def verify_changes(parts: Parts) -> dict[str, Any]:
    """Every commitment and the chain; a problem names what is broken."""
    with parts.registry.read() as reader:
        return {"verified": reader.verify_changes()}


@router.get("/v1/runs", summary="Provisioning runs")
def list_runs(parts: Parts, limit: Annotated[int, Query(ge=1, le=200)] = 20) -> dict[str, Any]:
    """Newest first, with their plans."""
    with parts.registry.read() as reader:
        return {"runs": [run_document(run) for run in reader.runs(limit=limit)]}


@router.post("/v1/explain", summary="Why has a person, or has not, an account?")
def explain(body: ExplainRequest, parts: Parts) -> dict[str, Any]:
    """Every check and rule in order. The token is not repeated, stored or logged."""
    given = [body.token, body.identity, body.account]
    if sum(part is not None for part in given) != 1:
        raise InvalidInput(Reason.REQUEST_INVALID, "exactly one of token, identity, account")
    if body.issuer is not None and body.token is None:
        raise InvalidInput(Reason.REQUEST_INVALID, "issuer: says whose an opaque token is")
    at = parts.clock()
    door = None if body.door is None else parse_door(body.door)
    if body.token is not None:
        token = Secret(body.token.get_secret_value())
        found: tuple[Explanation, ...] = (
            explain_token(parts.registry, parts.verifier, token, door or API, at, body.issuer),
        )
    elif body.identity is not None:
        found = (explain_identity(parts.registry, body.identity.identity(), door, at),)
    else:
        found = explain_account(parts.registry, body.account or "", door, at)
    return {"explanations": [explanation_document(explanation) for explanation in found]}

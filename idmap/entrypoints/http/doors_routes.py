"""What components and people ask: whose token is it, who am I, give me my account.

Each answer is the decision and nothing softer. Answers about people are never cached on the way (`no-store`);
a component keeps one at most until its `valid_until`.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from idmap.application.open_account import facts_with_token, open_own_account
from idmap.application.readiness import readiness
from idmap.application.resolve import resolve
from idmap.domain.accounts import UNKNOWN_TO_NODES, AccountState
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import decide
from idmap.domain.doors import API, parse_door
from idmap.domain.errors import IdmapError
from idmap.domain.reasons import REASONS
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.callers import ApiRoute, CallerAt, ComponentRoute
from idmap.entrypoints.http.documents import (
    ResolveRequest,
    account_document,
    identity_document,
    resolved_document,
)
from idmap.entrypoints.http.parts import Parts, Running, running

components = APIRouter(route_class=ComponentRoute, tags=["components"])
people = APIRouter(route_class=ApiRoute, tags=["people"])

REMEMBERED_DECISIONS: Final = 10_000
"""So many decision ids are logged once only; after that the memory starts anew."""

_log = structlog.get_logger("idmap.http")


@components.post("/v1/resolve", summary="Whose token is it at this door?")
def resolve_token(
    body: ResolveRequest, caller: CallerAt, parts: Parts, request: Request
) -> Response:
    """The full account record, or a problem with the reason. A token that proves nothing is `not_accepted`."""
    door = parse_door(body.door)
    run = running(request)
    assert caller.credential is not None  # noqa: S101  # the component entrance takes nothing else
    token = Secret(body.token.get_secret_value())
    try:
        found = resolve(
            run.remembered,
            parts.verifier,
            token,
            door,
            caller.credential.doors,
            parts.clock(),
            body.issuer,
        )
    except IdmapError as error:
        if str(door) in caller.credential.doors:
            run.metrics.count_decision(str(door), error.reason)
        raise
    run.metrics.count_decision(str(door), found.reason)
    if _is_new(run, found.decision_id):
        _log.info(
            "decision_made",
            decision_id=found.decision_id,
            door=str(door),
            username=found.account.username,
            code=str(found.reason),
            revision=found.revision,
            caller=caller.name,
        )
    return JSONResponse(resolved_document(found))


@people.get("/v1/me", summary="Who am I here?")
def show_me(
    caller: CallerAt,
    parts: Parts,
    revision: Annotated[
        int | None,
        Query(
            ge=0,
            description="Revision to wait for, as POST /v1/me/account gave it; else the newest.",
        ),
    ] = None,
) -> dict[str, Any]:
    """The caller's identity, account, decision, and whether the nodes know it yet."""
    claims = _claims(caller.claims)
    at = parts.clock()
    with parts.registry.read() as reader:
        rules = reader.rules()
        decision = decide(reader.recorded(claims.identity), rules, at, API, claims)
        entitled = decide(facts_with_token(reader, claims), rules, at)
        newest = reader.revision()
        ready = readiness(reader, newest if revision is None else revision)
    grant = entitled.grant
    return {
        "identity": identity_document(claims.identity),
        "account": None if decision.account is None else account_document(decision.account),
        "usable": decision.allowed,
        "reason": str(decision.reason),
        "next_step": REASONS[decision.reason].next_step,
        "entitled": entitled.allowed,
        "rule": None if grant is None else grant.rule.rule_id,
        "rules_version": rules.version,
        "revision": newest,
        "ready": {
            name: {"ready": found.ready, "nodes": found.nodes, "current": found.current}
            for name, found in sorted(ready.items())
        },
    }


@people.post(
    "/v1/me/account",
    summary="Give me my account",
    responses={
        202: {
            "description": "Made now; the nodes learn of it with this revision, or once it is approved."
        }
    },
)
def open_my_account(caller: CallerAt, parts: Parts) -> Response:
    """200 with the account there was, 202 with a new one or one that waits for approval. Asking again changes
    nothing.
    """
    opened = open_own_account(parts.registry, _claims(caller.claims), parts.clock())
    with parts.registry.read() as reader:
        ready = readiness(reader, opened.revision)
    document = {
        "account": account_document(opened.account),
        "revision": opened.revision,
        "ready": not opened.created
        and opened.account.state not in UNKNOWN_TO_NODES
        and any(found.ready for found in ready.values()),
    }
    waits = opened.created or opened.account.state is AccountState.PENDING
    return JSONResponse(document, status_code=202 if waits else 200)


def _claims(claims: VerifiedClaims | None) -> VerifiedClaims:
    assert claims is not None  # noqa: S101  # the API entrance takes nothing but tokens
    return claims


def _is_new(run: Running, decision_id: str) -> bool:
    if decision_id in run.seen_decisions:
        return False
    if len(run.seen_decisions) >= REMEMBERED_DECISIONS:
        run.seen_decisions.clear()
    run.seen_decisions.add(decision_id)
    return True

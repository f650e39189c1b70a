"""What components and people ask: whose token is it, who am I, give me my account.

Each answer is the decision and nothing softer. Answers about people are never cached on the way (`no-store`);
a component keeps one at most until its `valid_until`.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from typing import Annotated, Any, Final

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import ValidationError
from starlette.responses import Response

from idmap.application.open_account import facts_with_token, open_own_account
from idmap.application.readiness import readiness
from idmap.application.resolve import Resolved, resolve, resolve_from_memory
from idmap.domain.accounts import UNKNOWN_TO_NODES, AccountState
from idmap.domain.administrators import held_roles
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import decide
from idmap.domain.doors import API, parse_door
from idmap.domain.errors import IdmapError, InvalidInput, Refused
from idmap.domain.reasons import REASONS
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.answers import Json
from idmap.entrypoints.http.callers import ApiRoute, Caller, CallerAt, ComponentRoute
from idmap.entrypoints.http.documents import account_document, identity_document, path_document
from idmap.entrypoints.http.door_documents import (
    MeDocument,
    OpenedDocument,
    ResolvedDocument,
    readiness_document,
    resolved_document,
)
from idmap.entrypoints.http.parts import Parts, Running, running
from idmap.entrypoints.http.request_documents import ResolveRequest


class ResolveRoute(ComponentRoute):
    """Answers from memory at once what memory can answer: a thread of its own would cost ten times as much."""

    async def answer_at_once(
        self, request: Request, caller: Caller, present: Mapping[Hashable, Any]
    ) -> Response | None:
        try:
            body = ResolveRequest.model_validate_json(await request.body())
            door = parse_door(body.door)
        except (ValidationError, InvalidInput):
            return None
        run = running(request)
        try:
            found = resolve_from_memory(
                present,
                run.parts.verifier,
                Secret(body.token.get_secret_value()),
                door,
                _doors_of(caller),
                run.parts.clock(),
                run.asserted.note,
            )
        except Refused as refused:
            run.metrics.count_decision(str(door), refused.reason)
            raise
        return None if found is None else _answer(run, found, caller)


components = APIRouter(route_class=ResolveRoute, tags=["components"])
people = APIRouter(route_class=ApiRoute, tags=["people"])

REMEMBERED_DECISIONS: Final = 10_000
"""So many decision ids are logged once only; after that the memory starts anew."""

_dump: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

_log = structlog.get_logger("idmap.http")


@components.post(
    "/v1/resolve",
    summary="Whose token is it at this door?",
    responses={200: {"description": "Who it is.", "model": ResolvedDocument}},
)
def resolve_token(
    body: ResolveRequest, caller: CallerAt, parts: Parts, request: Request
) -> Response:
    """The full account record, or a problem with the reason. A token that proves nothing is `not_accepted`."""
    door = parse_door(body.door)
    run = running(request)
    doors = _doors_of(caller)
    token = Secret(body.token.get_secret_value())
    try:
        found = resolve(
            parts.remembered,
            parts.verifier,
            token,
            door,
            doors,
            parts.clock(),
            body.issuer,
            run.asserted.note,
        )
    except IdmapError as error:
        if str(door) in doors:
            run.metrics.count_decision(str(door), error.reason)
        raise
    return _answer(run, found, caller)


def _answer(run: Running, found: Resolved, caller: Caller) -> Response:
    door = str(found.claims.door)
    run.metrics.count_decision(door, found.reason)
    if _is_new(run, found.decision_id):
        _log.info(
            "decision_made",
            decision_id=found.decision_id,
            door=door,
            username=found.account.username,
            code=str(found.reason),
            revision=found.revision,
            caller=caller.name,
        )
    return Response(_dump(resolved_document(found)), media_type="application/json")


def _doors_of(caller: Caller) -> tuple[str, ...]:
    assert caller.credential is not None  # noqa: S101  # the component entrance takes nothing else
    return caller.credential.doors


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
) -> MeDocument:
    """The caller's identity, account, decision, roles at the admin door, and whether the nodes know it yet."""
    claims = _claims(caller.claims)
    at = parts.clock()
    with parts.registry.read() as reader:
        rules = reader.rules()
        recorded = reader.recorded(claims.identity)
        refused = reader.credential_bans(issuer=claims.identity.issuer, token_id=claims.token_id)
        decision = decide(recorded, rules, at, API, claims, refused)
        entitled = decide(facts_with_token(reader, claims), rules, at)
        newest = reader.revision()
        ready = readiness(reader, newest if revision is None else revision)
    held = held_roles(recorded, rules)
    grant = entitled.grant
    return {
        "identity": identity_document(claims.identity),
        "account": None if decision.account is None else account_document(decision.account),
        "usable": decision.allowed,
        "reason": decision.reason,
        "next_step": REASONS[decision.reason].next_step,
        "entitled": entitled.allowed,
        "rule": None if grant is None else grant.rule.rule_id,
        "added_by": [] if grant is None else list(grant.added_by),
        "rules_version": rules.version,
        "roles": sorted(held.roles),
        "manages": [path_document(one) for one in sorted(held.manages)],
        "revision": newest,
        "ready": {name: readiness_document(found) for name, found in sorted(ready.items())},
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
def open_my_account(caller: CallerAt, parts: Parts) -> Json[OpenedDocument]:
    """200 with the account there was, 202 with a new one or one that waits for approval. Asking again changes
    nothing.
    """
    opened = open_own_account(parts.registry, _claims(caller.claims), parts.clock())
    with parts.registry.read() as reader:
        ready = readiness(reader, opened.revision)
    document: OpenedDocument = {
        "account": account_document(opened.account),
        "revision": opened.revision,
        "ready": not opened.created
        and opened.account.state not in UNKNOWN_TO_NODES
        and any(found.ready for found in ready.values()),
    }
    waits = opened.created or opened.account.state is AccountState.PENDING
    return Json(document, status_code=202 if waits else 200)


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

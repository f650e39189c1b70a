"""What a node's verifier may ask: a key that its trust.db does not have, and whose an opaque token is.

The caller is a component whose doors name the node's (docs/adr/0012-the-verifier-has-a-credential-of-its-own.md): it
can ask these two questions and present tokens of that door, nothing more. The second answer is an identity's salted
digest, for the node's own trust.db to look up, so that what is masked on a node stays masked.
"""

from __future__ import annotations

from fastapi import APIRouter, Request

from idmap.application.demanded import require_demanded
from idmap.domain.doors import DoorKind, parse_door
from idmap.domain.errors import IdmapError, InvalidInput, NotFound, Refused, TokenRefused
from idmap.domain.identity import identity_digest
from idmap.domain.issuers import find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.callers import CallerAt, ComponentRoute
from idmap.entrypoints.http.door_documents import (
    IntrospectedDocument,
    KeyDocument,
    NotIntrospectedDocument,
)
from idmap.entrypoints.http.openapi import failing
from idmap.entrypoints.http.parts import Parts, running
from idmap.entrypoints.http.request_documents import IntrospectRequest, KeyRequest

router = APIRouter(route_class=ComponentRoute, tags=["nodes"])


@router.post(
    "/v1/nodes/self/keys", summary="A key that trust.db does not have", responses=failing(404)
)
def find_key(body: KeyRequest, caller: CallerAt, parts: Parts, request: Request) -> KeyDocument:
    """The issuer's key of that id, after one bounded fetch at most; else 404."""
    assert caller.credential is not None  # noqa: S101  # the component entrance takes nothing else
    if not any(parse_door(door).kind is DoorKind.SSH for door in caller.credential.doors):
        raise Refused(Reason.DOOR_REFUSED, "keys are for the verifiers of nodes")
    issuers = running(request).parts.remembered.get("issuers", lambda reader: reader.issuers())
    profile = find_profile(issuers, body.issuer)
    if profile is None or parts.keys is None:
        raise NotFound("no such issuer")
    try:
        found = parts.keys.find_key(profile, body.kid)
    except IdmapError as error:
        raise NotFound(error.detail) from error
    if found is None:
        raise NotFound("no such key")
    return {"key": dict(found)}


@router.post("/v1/nodes/self/introspect", summary="Whose opaque token is it?")
def introspect(
    body: IntrospectRequest, caller: CallerAt, parts: Parts, request: Request
) -> IntrospectedDocument | NotIntrospectedDocument:
    """`identity`, or `refused` with the reason for the node's log; `proved`: whether a person may see it."""
    assert caller.credential is not None  # noqa: S101  # the component entrance takes nothing else
    door = parse_door(body.door)
    if str(door) not in caller.credential.doors:
        raise Refused(Reason.DOOR_REFUSED, f"{door} is not among the component's doors")
    if door.kind is not DoorKind.SSH:
        raise InvalidInput(Reason.REQUEST_INVALID, "door: an ssh door is needed")
    remembered = running(request).parts.remembered
    try:
        token = Secret(body.token.get_secret_value())
        at = parts.clock()
        claims = parts.verifier.verify(token, door, at)
        require_demanded(remembered, claims, at)
    except IdmapError as error:
        proved = isinstance(error, TokenRefused) and error.proved
        return {"refused": error.reason, "proved": proved}
    salt = remembered.get("salt", lambda reader: reader.salt())
    return {
        "identity": identity_digest(salt, claims.identity).hex(),
        "expires_at": claims.expires_at,
    }

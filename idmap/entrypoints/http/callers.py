"""Who stands at which entrance, and the one place where credentials are looked at.

Every route belongs to one entrance, and each entrance takes one kind of credential (law 13): a token for the
API, a token with the admin audience or an admin key, a component's credential, a node's credential. At the admin
door the caller's roles must have the permission that the route needs. Both checks run before anything of the request's
body is read. A credential nobody knows is `not_accepted`; one that is
known but belongs elsewhere is told so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Final

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from idmap.application.administrators import admit_administrator
from idmap.application.demanded import require_demanded
from idmap.application.ports import Author, CredentialKind, MachineCredential
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import ADMIN, API
from idmap.domain.errors import Conflict, InvalidInput, Refused, TokenRefused
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.domain.roles import EVERYTHING, NOBODY, Held
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.answers import answering
from idmap.entrypoints.http.changing import OneChange, changing, fingerprint, parse_key
from idmap.entrypoints.http.conditions import Conditions
from idmap.entrypoints.http.entrances import READING, Entrance
from idmap.entrypoints.http.openapi import documented
from idmap.entrypoints.http.parts import ServeParts, running
from idmap.entrypoints.http.permissions import permission_of, require, with_permission

MAX_REASON: Final = 500
_BEARER: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)", re.ASCII)
"""RFC 6750 §2.1."""


_KINDS: Final = {
    Entrance.ADMIN: CredentialKind.ADMIN_KEY,
    Entrance.COMPONENT: CredentialKind.COMPONENT,
    Entrance.NODE: CredentialKind.NODE,
}
_TOKEN_DOORS: Final = {Entrance.API: API, Entrance.ADMIN: ADMIN}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who proved who they are at an entrance."""

    entrance: Entrance
    name: str
    """As the record of changes writes it."""
    claims: VerifiedClaims | None = None
    credential: MachineCredential | None = None
    held: Held = NOBODY
    """What roles they have, at the admin door."""

    @property
    def identity(self) -> Identity | None:
        """Of a person; None for a machine."""
        return None if self.claims is None else self.claims.identity

    def sees_detail(self, reason: Reason) -> bool:
        """Administrators and components see private details; others only what concerns their own request."""
        trusted = self.entrance in (Entrance.ADMIN, Entrance.COMPONENT)
        return trusted or reason is Reason.REQUEST_INVALID


class _DocumentedRoute(APIRoute):
    """A route of one entrance, of which OpenAPI knows everything."""

    entrance: ClassVar[Entrance]

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        run = self.prepared(endpoint, options)
        super().__init__(path, run, **documented(self.entrance, endpoint, options))

    @staticmethod
    def prepared(endpoint: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
        """What FastAPI calls: the endpoint, its document made an answer."""
        return answering(endpoint, options.get("status_code") or 200)


class _EntranceRoute(_DocumentedRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def enter(request: Request) -> Response:
            caller, present = await _enter(request, self.entrance)
            return await self.answer_at_once(request, caller, present) or await handle(request)

        return enter

    async def answer_at_once(
        self, _request: Request, _caller: Caller, _present: Mapping[Hashable, Any]
    ) -> Response | None:
        """For routes asked thousands of times a second: an answer from what is remembered; None: the usual way."""
        return None


async def _enter(request: Request, entrance: Entrance) -> tuple[Caller, Mapping[Hashable, Any]]:
    """Who it is, and what was remembered when they were recognised."""
    headers = request.headers.getlist("authorization")
    run = running(request)
    parts = run.parts
    present = parts.remembered.present()
    caller = recognise(present, entrance, headers)
    if caller is None:
        caller = await run_in_threadpool(authenticate, parts, entrance, headers)
        if entrance is Entrance.API and caller.claims is not None:
            run.asserted.note(caller.claims)
    request.state.caller = caller
    return caller, present


class OpenRoute(_DocumentedRoute):
    """No credential is asked for, and none is looked at."""

    entrance: ClassVar[Entrance] = Entrance.OPEN


class ApiRoute(_EntranceRoute):
    """A person's token with an audience of the API."""

    entrance = Entrance.API


class AdminRoute(_EntranceRoute):
    """An admin key, or an administrator's fresh token with an audience of the admin door, and a role that has the
    permission of the route (`permissions.needs`).

    What changes something is one transaction with its conditions, its key and its answer (`changing`), by itself. A
    route only says which thing it changes: `dependencies=[changes(resource)]`. An answer to GET that carries `ETag`
    honours `If-None-Match`.
    """

    entrance = Entrance.ADMIN

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.permission = permission_of(endpoint)
        super().__init__(path, endpoint, **with_permission(endpoint, self.permission, options))

    @staticmethod
    def prepared(endpoint: Callable[..., Any], options: Mapping[str, Any]) -> Callable[..., Any]:
        """What changes something runs as one change."""
        if READING.issuperset(options.get("methods") or ["GET"]):
            return answering(endpoint, options.get("status_code") or 200)
        return changing(endpoint, options.get("status_code") or 200)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super(_EntranceRoute, self).get_route_handler()

        async def enter(request: Request) -> Response:
            caller, _ = await _enter(request, self.entrance)
            require(caller.held, self.permission)
            conditions = Conditions.of(request.headers)
            if request.method not in READING:
                return await _change(request, caller, conditions, handle)
            answer = await handle(request)
            tag = answer.headers.get("etag")
            if answer.status_code == 200 and conditions.not_modified(tag):
                return Response(status_code=304, headers={"ETag": str(tag)})
            return answer

        return enter


class ComponentRoute(_EntranceRoute):
    """A component's own credential."""

    entrance = Entrance.COMPONENT


class NodeRoute(_EntranceRoute):
    """An enrolled node's credential."""

    entrance = Entrance.NODE


async def _change(
    request: Request,
    caller: Caller,
    conditions: Conditions,
    handle: Callable[[Request], Coroutine[Any, Any, Response]],
) -> Response:
    """Hands the endpoint its change. A key is in use by one request at a time: Conflict(REQUEST_RUNNING)."""
    run = running(request)
    key = parse_key(request.headers.getlist("idempotency-key"))
    change = OneChange(
        run.parts.registry,
        run.parts.make_secret,
        caller=caller.name,
        at=run.parts.clock(),
        conditions=conditions,
        key=key,
        fingerprint=b"" if key is None else fingerprint(request, await request.body()),
        keep_seconds=run.parts.keep_answers_seconds,
    )
    request.state.change = change
    request.state.parts = replace(run.parts, registry=change, make_secret=change.make_secret)
    if key is None:
        return await handle(request)
    claim = (caller.name, key)
    if claim in run.keys_in_use:
        raise Conflict(Reason.REQUEST_RUNNING, f"key {key!r}")
    run.keys_in_use.add(claim)
    try:
        return await handle(request)
    finally:
        run.keys_in_use.discard(claim)


def authenticate(parts: ServeParts, entrance: Entrance, headers: list[str]) -> Caller:
    """The caller behind the Authorization headers. Raises Refused and TokenRefused."""
    if not headers:
        raise Refused(Reason.CREDENTIAL_MISSING)
    match = _BEARER.fullmatch(headers[0])
    if len(headers) != 1 or match is None:
        raise TokenRefused(Reason.CREDENTIAL_REFUSED, "not one bearer credential")
    secret = Secret(match[1])
    if "." in match[1]:
        return _person(parts, entrance, secret)
    return _machine(parts, entrance, secret)


def recognise(
    present: Mapping[Hashable, Any], entrance: Entrance, headers: list[str]
) -> Caller | None:
    """A machine whose credential is remembered and belongs here; reads nothing. All else is for `authenticate`."""
    match = _BEARER.fullmatch(headers[0]) if len(headers) == 1 else None
    if match is None or "." in match[1]:
        return None
    found: MachineCredential | None = present.get(("credential", Secret(match[1]).sha256()))
    if found is None or found.revoked or _KINDS.get(entrance) is not found.kind:
        return None
    return _machine_caller(entrance, found)


def _machine(parts: ServeParts, entrance: Entrance, secret: Secret) -> Caller:
    digest = secret.sha256()
    found = parts.remembered.get(("credential", digest), lambda r: r.find_credential(digest))
    if found is None and entrance is Entrance.API and parts.verifier.takes_opaque(API):
        # Never at the admin door: a mistyped admin key is no token to show an issuer.
        return _person(parts, entrance, secret)
    if found is None or found.revoked:
        known = "unknown" if found is None else f"{found.kind} {found.name!r} is revoked"
        raise TokenRefused(Reason.CREDENTIAL_REFUSED, known)
    if _KINDS.get(entrance) is not found.kind:
        raise Refused(Reason.CREDENTIAL_REFUSED, f"{found.kind} {found.name!r} at {entrance}")
    return _machine_caller(entrance, found)


def _machine_caller(entrance: Entrance, found: MachineCredential) -> Caller:
    is_key = found.kind is CredentialKind.ADMIN_KEY
    kind = "admin-key" if is_key else str(found.kind)
    held = EVERYTHING if is_key else NOBODY
    return Caller(entrance, f"{kind}:{found.name}", credential=found, held=held)


def _person(parts: ServeParts, entrance: Entrance, token: Secret) -> Caller:
    door = _TOKEN_DOORS.get(entrance)
    if door is None:
        raise TokenRefused(Reason.CREDENTIAL_REFUSED, f"a token where {entrance} is asked for")
    at = parts.clock()
    claims = parts.verifier.verify(token, door, at)
    held = NOBODY
    if entrance is Entrance.ADMIN:
        with parts.registry.read() as reader:
            held = admit_administrator(reader, claims, at)
    else:
        require_demanded(parts.remembered, claims, at)
    return Caller(entrance, f"identity:{claims.identity}", claims=claims, held=held)


async def _caller(request: Request) -> Caller:
    caller = request.state.caller
    assert isinstance(caller, Caller)  # noqa: S101  # set by the route class
    return caller


CallerAt = Annotated[Caller, Depends(_caller)]
"""For routes: who is asking."""

ReasonHeader = Annotated[
    str | None,
    Header(alias="Idmap-Reason", description="Why the change is made; UTF-8, for the record."),
]


def author_of(caller: Caller, header: str | None, body: str | None = None) -> Author:
    """The author of a change. Raises InvalidInput(REQUEST_INVALID) when no usable reason was given (law 12)."""
    reason = body if body is not None else header
    if reason is not None and body is None:
        # HTTP hands header bytes over as Latin-1; ours are UTF-8.
        reason = reason.encode("latin-1", "replace").decode("utf-8", "replace")
    reason = (reason or "").strip()
    if not reason or len(reason) > MAX_REASON or not reason.isprintable():
        raise InvalidInput(
            Reason.REQUEST_INVALID,
            f"reason: say why in 1 to {MAX_REASON} characters (body member or Idmap-Reason)",
        )
    return Author(caller.name, reason)

"""The control endpoints under `/simulator`: change records, order faults, mint tokens, count.

They exist only with `--control`, and answer loopback peers only: whoever reaches them is anybody.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, ParamSpec, TypeVar

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .changes import Change, apply_change
from .directory import NameTaken, UnknownRecord
from .errors import Refusal
from .faults import FaultSpec
from .instance import Instance
from .keys import SignWith
from .paging import ListOrder
from .records import login_client_id
from .specs import GroupSpec, PersonSpec, Spec, enrol, found_group
from .tokens import ACCESS_TOKEN_SECONDS, Profile, Subject, TokenWish, groups_scopes

Body = TypeVar("Body", bound=Spec)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

USER_SCOPES = "openid profile email"
# What a login usually asks for.


class TokenSpec(Spec):
    """A token to mint: for a `person` (username or UUID) or a registered `client`.

    `groups` true asks for the default groups, a list asks for these by name and in this order; both
    matter to the `wlcg` profile only. `extra` replaces claims, a null removes one.
    """

    person: str | None = None
    client: str | None = None
    profile: Profile | None = None
    client_id: str = login_client_id()
    audience: str | tuple[str, ...] = ()
    scope: str | None = None
    groups: bool | tuple[str, ...] = False
    lifetime_seconds: int = ACCESS_TOKEN_SECONDS
    include_authn_info: bool | None = None
    auth_time: int | None = None
    extra: dict[str, Any] = Field(default_factory=dict)
    sign_with: SignWith = "good"
    kid: str | None = None
    minimum_payload_bytes: int = Field(default=0, ge=0, le=65_536)


class RotationSpec(Spec):
    """How to rotate: whether the old keys stay published."""

    keep_old: bool = True


class SettingsSpec(Spec):
    """Settings that can change while the instance runs."""

    profile: Profile | None = None
    include_authn_info: bool | None = None
    list_order: ListOrder | None = None
    include_labels: bool | None = None
    include_attributes: bool | None = None


async def health(instance: Instance, _request: Request) -> Response:
    """`GET /simulator/health`: whose process this is and what it holds."""
    return JSONResponse(
        {
            "pid": os.getpid(),
            "issuer": instance.settings.issuer,
            "people": len(instance.directory.list_people()),
            "groups": len(instance.directory.list_groups()),
            "kid": instance.keys.kid,
        }
    )


async def mint_token(instance: Instance, request: Request) -> Response:
    """`POST /simulator/token`: an access token as if this person had logged in."""
    spec = await _body(request, TokenSpec)
    subject, client_id, default_scope = _subject(instance, spec)
    settings = instance.settings
    authn_info = spec.include_authn_info
    wish = TokenWish(
        profile=spec.profile or settings.profile,
        client_id=client_id,
        audience=(spec.audience,) if isinstance(spec.audience, str) else spec.audience,
        scopes=(
            *(default_scope if spec.scope is None else spec.scope).split(),
            *groups_scopes(spec.groups),
        ),
        lifetime_seconds=spec.lifetime_seconds,
        include_authn_info=settings.include_authn_info if authn_info is None else authn_info,
        auth_time=spec.auth_time,
        extra=spec.extra,
        minimum_payload_bytes=spec.minimum_payload_bytes,
    )
    token, claims = instance.issue(wish, subject, sign_with=spec.sign_with, kid=spec.kid)
    return JSONResponse(
        {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": spec.lifetime_seconds,
            "bytes": len(token),
            "claims": claims,
        },
        headers={"Cache-Control": "no-store"},
    )


async def change(instance: Instance, request: Request) -> Response:
    """`POST /simulator/changes`: one change, at once."""
    _tried(apply_change, await _body(request, Change), instance.directory, instance.now())
    return JSONResponse({"done": True})


async def create_person(instance: Instance, request: Request) -> Response:
    """`POST /simulator/people`: enrol a person."""
    spec = await _body(request, PersonSpec)
    person = _tried(enrol, spec, instance.directory, instance.now())
    return JSONResponse(instance.draughtsman.user(person, single=True), HTTPStatus.CREATED)


async def create_group(instance: Instance, request: Request) -> Response:
    """`POST /simulator/groups`: found a group and its missing ancestors."""
    group = _tried(found_group, await _body(request, GroupSpec), instance.directory)
    return JSONResponse(instance.draughtsman.group(group), HTTPStatus.CREATED)


async def show_person(instance: Instance, request: Request) -> Response:
    """`GET /simulator/people/{name}`: a person by username or UUID, without a token."""
    person = _tried(instance.directory.get_person, request.path_params["name"])
    return JSONResponse(instance.draughtsman.user(person, single=True))


async def order_fault(instance: Instance, request: Request) -> Response:
    """`POST /simulator/faults`: put a fault in force."""
    fault = instance.faults.order(await _body(request, FaultSpec))
    return JSONResponse({"fault": fault.number}, HTTPStatus.CREATED)


async def list_faults(instance: Instance, _request: Request) -> Response:
    """`GET /simulator/faults`: the faults still in force."""
    return JSONResponse(
        {
            "faults": [
                {
                    "fault": fault.number,
                    "seen": fault.seen,
                    "acted": fault.acted,
                    "spec": fault.spec.model_dump(mode="json"),
                }
                for fault in instance.faults.list_faults()
            ]
        }
    )


async def clear_faults(instance: Instance, _request: Request) -> Response:
    """`DELETE /simulator/faults`: lift every fault."""
    instance.faults.clear()
    return JSONResponse({"done": True})


async def rotate_keys(instance: Instance, request: Request) -> Response:
    """`POST /simulator/keys/rotate`: sign with a new key."""
    spec = await _body(request, RotationSpec)
    return JSONResponse({"kid": instance.keys.rotate(keep_old=spec.keep_old)})


async def forget_tokens(instance: Instance, _request: Request) -> Response:
    """`POST /simulator/tokens/forget`: every token issued so far gets 401 from now on."""
    instance.grants.forget_all()
    return JSONResponse({"done": True})


async def change_settings(instance: Instance, request: Request) -> Response:
    """`POST /simulator/settings`: change what is given, keep the rest."""
    spec = await _body(request, SettingsSpec)
    instance.change_settings(**spec.model_dump(exclude_none=True))
    return JSONResponse(
        {name: getattr(instance.settings, name) for name in SettingsSpec.model_fields}
    )


async def show_requests(instance: Instance, _request: Request) -> Response:
    """`GET /simulator/requests`: counts by route, and the last requests. Control calls are not counted."""
    log = instance.requests
    return JSONResponse(
        {
            "total": log.counts.total(),
            "counts": dict(sorted(log.counts.items())),
            "recent": list(log.recent),
        }
    )


async def clear_requests(instance: Instance, _request: Request) -> Response:
    """`DELETE /simulator/requests`: count from zero."""
    instance.requests.clear()
    return JSONResponse({"done": True})


def require_loopback(request: Request) -> None:
    """Raise `Refusal` 403 unless the peer is this machine."""
    host = request.client.host if request.client else ""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise _refused(HTTPStatus.FORBIDDEN, "the control endpoints answer loopback peers only")


def _subject(instance: Instance, spec: TokenSpec) -> tuple[Subject, str, str]:
    """Whom the token is for, the client it is issued to, and the scope when none is asked."""
    if spec.client is not None and spec.person is None:
        client = instance.clients.find_client(spec.client)
        if client is None:
            raise _refused(HTTPStatus.NOT_FOUND, f"no client {spec.client!r}")
        return Subject(client.client_id), client.client_id, " ".join(client.scopes)
    if spec.person is None or spec.client is not None:
        raise _refused(HTTPStatus.BAD_REQUEST, "give either person or client")
    person = _tried(instance.directory.get_person, spec.person)
    groups = instance.directory.list_groups_of(person)
    return Subject(person.id, person, groups), spec.client_id, USER_SCOPES


async def _body(request: Request, model: type[Body]) -> Body:
    """The request's JSON body as `model`; an empty body means all defaults."""
    try:
        return model.model_validate_json(await request.body() or b"{}")
    except ValidationError as error:
        problems = json.loads(error.json(include_url=False, include_context=False))
        raise _refused(HTTPStatus.BAD_REQUEST, json.dumps(problems)) from None


def _tried(
    act: Callable[Arguments, Result], *args: Arguments.args, **kw: Arguments.kwargs
) -> Result:
    """What `act` returns, with its errors as 404, 409 and 400."""
    try:
        return act(*args, **kw)
    except UnknownRecord as error:
        raise _refused(HTTPStatus.NOT_FOUND, str(error)) from None
    except NameTaken as error:
        raise _refused(HTTPStatus.CONFLICT, str(error)) from None
    except ValueError as error:
        raise _refused(HTTPStatus.BAD_REQUEST, str(error)) from None


def _refused(status: HTTPStatus, text: str) -> Refusal:
    return Refusal(JSONResponse({"error": text}, status))

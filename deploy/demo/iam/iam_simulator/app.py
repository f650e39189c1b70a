"""The web application: which path leads to which handler, and what surrounds every request.

Around each handler: a fault may act, a `Refusal` becomes its response, and the request is counted.
Unknown paths get the container's HTML page, as at IAM.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from . import control, find, oidc, scim
from .changes import apply_change
from .errors import Refusal, page
from .faults import replacement, truncated
from .instance import Instance
from .paging import find_paging, read_page

Handler = Callable[[Instance, Request], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]

IAM_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/.well-known/openid-configuration", oidc.discovery),
    ("GET", "/jwk", oidc.published_keys),
    ("POST", "/token", oidc.token),
    ("GET", "/userinfo", oidc.userinfo),
    ("POST", "/introspect", oidc.introspect),
    ("GET", "/scim/Users", scim.users),
    ("GET", "/scim/Users/{id}", scim.user),
    ("GET", "/scim/Me", scim.me),
    ("GET", "/scim/Groups", scim.groups),
    ("GET", "/scim/Groups/{id}", scim.group),
    ("GET", "/scim/Groups/{id}/members", scim.members),
    ("GET", "/scim/Groups/{id}/subgroups", scim.subgroups),
    ("GET", "/iam/group/find/byname", find.group_by_name),
    ("GET", "/iam/group/find/bylabel", find.groups_by_label),
    ("GET", "/iam/group/search", find.search_groups),
    ("GET", "/iam/account/find/bygroup/{id}", find.accounts_by_group),
    ("GET", "/iam/account/find/byusername", find.account_by_username),
    ("GET", "/iam/account/search", find.search_accounts),
)

CONTROL_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/simulator/health", control.health),
    ("POST", "/simulator/token", control.mint_token),
    ("POST", "/simulator/tokens/forget", control.forget_tokens),
    ("POST", "/simulator/changes", control.change),
    ("POST", "/simulator/people", control.create_person),
    ("GET", "/simulator/people/{name:path}", control.show_person),
    ("POST", "/simulator/groups", control.create_group),
    ("POST", "/simulator/faults", control.order_fault),
    ("GET", "/simulator/faults", control.list_faults),
    ("DELETE", "/simulator/faults", control.clear_faults),
    ("POST", "/simulator/keys/rotate", control.rotate_keys),
    ("POST", "/simulator/settings", control.change_settings),
    ("GET", "/simulator/requests", control.show_requests),
    ("DELETE", "/simulator/requests", control.clear_requests),
)


def create_app(instance: Instance) -> Starlette:
    """The application for `instance`; the control routes only if its settings say so."""
    routes = [
        Route(path, _played(instance, method, path, handler), methods=[method])
        for method, path, handler in IAM_ROUTES
    ]
    if instance.settings.control:
        routes += [
            Route(path, _controlled(instance, handler), methods=[method])
            for method, path, handler in CONTROL_ROUTES
        ]
    return Starlette(routes=routes, exception_handlers={HTTPException: _container_page})


def _played(instance: Instance, method: str, pattern: str, handler: Handler) -> Endpoint:
    """A handler of the simulated IAM, with faults and counting around it."""

    async def endpoint(request: Request) -> Response:
        response = await _answer(instance, request, handler)
        query = [(k, v) for k, v in request.query_params.multi_items() if k != "access_token"]
        instance.requests.record(
            f"{method} {pattern}",
            {
                "method": request.method,
                "path": request.url.path,
                "query": dict(query),
                "status": response.status_code,
            },
        )
        return response

    return endpoint


def _controlled(instance: Instance, handler: Handler) -> Endpoint:
    """A control handler: loopback only, neither faulted nor counted."""

    async def endpoint(request: Request) -> Response:
        try:
            control.require_loopback(request)
            return await handler(instance, request)
        except Refusal as refusal:
            return refusal.response

    return endpoint


async def _answer(instance: Instance, request: Request, handler: Handler) -> Response:
    fault = instance.faults.take(request.method, request.url.path, _page_number(request))
    if fault is None:
        return await _handled(instance, request, handler)
    await asyncio.sleep(fault.delay_ms / 1000)
    try:
        for change in fault.drift:
            apply_change(change, instance.directory, instance.now())
    except (LookupError, ValueError) as error:
        return JSONResponse({"error": f"the drift of a fault is impossible: {error}"}, 500)
    request.state.fault = fault
    response = replacement(fault) or await _handled(instance, request, handler)
    return truncated(response) if fault.truncate else response


async def _handled(instance: Instance, request: Request, handler: Handler) -> Response:
    try:
        return await handler(instance, request)
    except Refusal as refusal:
        return refusal.response


def _page_number(request: Request) -> int | None:
    """Which page of a list this request asks for; None when it asks for none."""
    if find_paging(request.url.path) is None:
        return None
    try:
        return read_page(request.url.path, request.query_params).number
    except Refusal:
        return None


async def _container_page(_request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return page(status)

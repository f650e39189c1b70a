"""What every request passes first and every answer last.

Gives the correlation id, bounds the body, counts, sets the headers that browsers heed, and turns an exception that
nobody expected into a problem. Logs no path with its query, no header and no body.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import structlog
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from idmap.domain.reasons import Reason
from idmap.entrypoints.http.problems import problem

MAX_BODY: Final = 1024 * 1024
"""Rules of a large site are some 100 KiB; nothing else comes near."""

_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"strict-transport-security", b"max-age=31536000"),
)
"""Answers are data, never pages; the console sets its own policy when it comes."""

_log = structlog.get_logger("idmap.http")


class Edge:
    """Pure ASGI middleware: no task per request, no copy of a stream."""

    def __init__(self, app: ASGIApp, count: Callable[[str, str, int], None]) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = secrets.token_hex(8)
        scope["state"] = {**scope.get("state", {}), "correlation_id": correlation_id}
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    *_HEADERS,
                    (b"idmap-correlation-id", correlation_id.encode("ascii")),
                ]
                if not any(name == b"cache-control" for name, _ in message["headers"]):
                    message["headers"].append((b"cache-control", b"no-store"))
            await send(message)

        try:
            await self._app(scope, _bounded(scope, receive), send_with_headers)
        except Exception:
            _log.exception("request_failed", correlation_id=correlation_id, route=_route_of(scope))
            if status:
                raise
            answer = problem(Reason.INTERNAL_ERROR, correlation_id)
            await answer(scope, receive, send_with_headers)
        finally:
            self._count(scope["method"], _route_of(scope), status)


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """`receive` that stops reading at MAX_BODY; a declared length above it is refused before any byte is read."""
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    # Seven digits say more than MAX_BODY does; Python itself refuses to read thousands of them.
    fits = declared.isdigit() and len(declared) <= 7 and int(declared) <= MAX_BODY
    seen = 0 if fits else MAX_BODY + 1

    async def bounded_receive() -> Message:
        nonlocal seen
        if seen > MAX_BODY:
            raise HTTPException(413)
        message = await receive()
        if message["type"] == "http.request":
            seen += len(message.get("body", b""))
            if seen > MAX_BODY:
                raise HTTPException(413)
        return message

    return bounded_receive


def _route_of(scope: Scope) -> str:
    """The route's template: a closed set, so that neither metrics nor logs grow with what strangers ask for."""
    return getattr(scope.get("route"), "path", None) or "unknown"

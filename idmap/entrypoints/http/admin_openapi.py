"""What OpenAPI says of every route of the admin door: its headers and how it may fail.

Said once here, so that a new route has it by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "next_step", "correlation_id"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:idmap:reason:version_conflict"]},
        "title": {"type": "string", "description": "One sentence."},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable; docs/error-codes.md lists them."},
        "next_step": {"type": "string"},
        "detail": {"type": "string"},
        "correlation_id": {"type": "string", "description": "The same in the service's log."},
    },
}


def _failure(description: str) -> dict[str, Any]:
    content = {"application/problem+json": {"schema": _PROBLEM}}
    return {"description": description, "content": content}


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "examples": [example]},
    }


_IF_NONE_MATCH: Final = _header(
    "If-None-Match", "Tags that the caller has, or `*`: 304 when one is current.", '"3"'
)
_CONDITIONS: Final = (
    _header(
        "If-Match",
        "The `ETag` that the change was made to, a list of them, or `*`: 412 `version_conflict` when it is "
        "another now, checked in the transaction of the change.",
        '"3"',
    ),
    _header("If-None-Match", "`*`: only when there is none yet, else 412.", "*"),
    _header(
        "Idempotency-Key",
        "A string of the caller's, new for each request. The same request with the same key is done once and "
        "answered alike (`Idempotency-Replayed: true`), for 24 hours unless the site says otherwise.",
        '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    ),
)
_OF_READING: Final[Mapping[int | str, Any]] = {"4XX": _failure("A problem (RFC 9457).")}
_OF_ONE: Final[Mapping[int | str, Any]] = {
    200: {
        "description": "The thing, with its tag.",
        "headers": {"ETag": {"description": "Strong (RFC 9110).", "schema": {"type": "string"}}},
    },
    304: {"description": "The caller has it: see `If-None-Match`."},
}
_OF_CHANGING: Final[Mapping[int | str, Any]] = {
    **_OF_READING,
    409: _failure("`request_running`, `secret_given_once`, or the change does not fit what is."),
    412: _failure("`version_conflict`: a condition does not hold; nothing was changed."),
    422: _failure("`idempotency_key_reused`, or the document cannot be used."),
}


def documented(path: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a route with its headers and failures."""
    changes = not {"GET", "HEAD"}.issuperset(options.get("methods") or ["GET"])
    shown = list(_CONDITIONS) if changes else [_IF_NONE_MATCH] if "{" in path else []
    extra = dict(options.get("openapi_extra") or {})
    extra["parameters"] = [*extra.get("parameters", ()), *shown]
    if shown == [_IF_NONE_MATCH]:
        options = {**options, "responses": {**_OF_ONE, **(options.get("responses") or {})}}
    responses = {**(_OF_CHANGING if changes else _OF_READING), **(options.get("responses") or {})}
    return {**options, "openapi_extra": extra, "responses": responses}

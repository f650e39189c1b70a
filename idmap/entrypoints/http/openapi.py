"""What OpenAPI says of every route: the document it answers with, how it may fail, what it takes to enter.

Said once here, so that a new route has it by itself: the document is read off the return annotation (`answers`), the
failures follow from entrance and method, with the codes of each status from the one table of `problems`. A route that
fails in more ways says so with `responses=failing(404)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from pydantic import TypeAdapter

from idmap.entrypoints.http.answers import described
from idmap.entrypoints.http.entrances import READING, Entrance
from idmap.entrypoints.http.problems import MEDIA_TYPE, ProblemDocument, codes_of

_WHEN: Final[Mapping[int, str]] = {
    400: "What was sent cannot be read, or breaks the form it has here.",
    401: "No credential, or one that is not accepted.",
    403: "The credential is known and does not open this; or the decision is no.",
    404: "There is no such thing.",
    409: "It does not fit what is; or the same request is running, or gave its secret already.",
    412: "A condition does not hold; nothing was changed.",
    413: "The body is larger than 1 MiB.",
    422: "The document cannot be used; or the key belongs to another request.",
    500: "A failure of the service; its log has the cause under the correlation id.",
    503: "The registry, the signer or something of the site does not answer.",
}
"""Every status of a problem."""

_READ_FAILS: Final[Mapping[Entrance, tuple[int, ...]]] = {
    Entrance.OPEN: (),
    Entrance.API: (400, 401, 403),
    Entrance.ADMIN: (400, 401, 403, 404),
    Entrance.COMPONENT: (400, 401, 403),
    Entrance.NODE: (400, 401, 403, 404),
}
_CHANGE_FAILS: Final[Mapping[Entrance, tuple[int, ...]]] = {
    Entrance.OPEN: (400, 413),
    Entrance.API: (400, 401, 403, 409, 413, 422),
    Entrance.ADMIN: (400, 401, 403, 404, 409, 412, 413, 422),
    Entrance.COMPONENT: (400, 401, 403, 413),
    Entrance.NODE: (400, 401, 403, 413),
}
_ALWAYS_FAILS: Final = (500, 503)

_ENTERS: Final[Mapping[Entrance, tuple[str, str]]] = {
    Entrance.API: ("token", "A person's access token with an audience of the API."),
    Entrance.ADMIN: (
        "administrator",
        "An admin key, or an administrator's fresh token with an audience of the admin door.",
    ),
    Entrance.COMPONENT: ("component", "A component's credential."),
    Entrance.NODE: ("node", "An enrolled node's credential."),
}


def _parameter(name: str, description: str, example: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string", "examples": [example]},
    }


_IF_NONE_MATCH: Final = _parameter(
    "If-None-Match", "Tags that the caller has, or `*`: 304 when one is current.", '"3"'
)
_CONDITIONS: Final = (
    _parameter(
        "If-Match",
        "The `ETag` that the change was made to, a list of them, or `*`: 412 `version_conflict` when it is "
        "another now, checked in the transaction of the change.",
        '"3"',
    ),
    _parameter("If-None-Match", "`*`: only when there is none yet, else 412.", "*"),
    _parameter(
        "Idempotency-Key",
        "A string of the caller's, new for each request. The same request with the same key is done once and "
        "answered alike (`Idempotency-Replayed: true`), for 24 hours unless the site says otherwise.",
        '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
    ),
)


def _told(description: str, schema: Mapping[str, Any], *, always: bool = False) -> dict[str, Any]:
    """One header of an answer."""
    return {"description": description, "required": always, "schema": dict(schema)}


_TAG: Final = {"type": "string", "pattern": r'^"[!#-~]*"$'}
_TEXT: Final = {"type": "string"}
_CORRELATION: Final = _told(
    "The same in the service's log.", {"type": "string", "pattern": "^[0-9a-f]{16}$"}, always=True
)
_OF_CHANGING: Final = {
    "ETag": _told("Of the thing as it is now, where the change is of one.", _TAG),
    "Content-Location": _told("Where the answer is got, where it is the thing itself.", _TEXT),
    "Idempotency-Replayed": _told("The request was answered before.", {"const": "true"}),
}
_CHALLENGE: Final = {
    "WWW-Authenticate": _told("RFC 6750 §3; not for a token in the body.", _TEXT),
}


def _tagged(*, always: bool) -> dict[str, Any]:
    return {"ETag": _told("Of the single thing; strong (RFC 9110).", _TAG, always=always)}


def failing(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For the `responses` of a route: problems with these statuses."""
    return {
        status: {
            "description": _WHEN[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/Problem{status}"}}},
            **({"headers": dict(_CHALLENGE)} if status == HTTPStatus.UNAUTHORIZED else {}),
        }
        for status in statuses
    }


def carrying(media_type: str, description: str, *, binary: bool = False) -> dict[str, Any]:
    """One of a route's `responses`: something else than JSON."""
    schema = {"type": "string", **({"format": "binary"} if binary else {})}
    return {"description": description, "content": {media_type: {"schema": schema}}}


def documented(
    entrance: Entrance, endpoint: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of a route with all that is known of its answers. FastAPI makes none of them: see `answers`."""
    status = options.get("status_code") or 200
    changes = not READING.issuperset(options.get("methods") or ["GET"])
    of_admin = entrance is Entrance.ADMIN
    answered = described(endpoint)
    of_one = of_admin and not changes and answered.tagged
    fails = (_CHANGE_FAILS if changes else _READ_FAILS)[entrance]
    own: dict[int | str, dict[str, Any]] = dict(options.get("responses") or {})
    tag = _tagged(always=answered.always_tagged)
    good = {status, *(code for code in own if isinstance(code, int) and code < 300)}
    responses: dict[int | str, dict[str, Any]] = failing(*fails, *_ALWAYS_FAILS)
    for code, answer in own.items():
        responses[code] = dict(answer)
    for code in good:
        answer = responses.setdefault(code, {})
        if answered.document is not None and "content" not in answer:
            answer.setdefault("model", answered.document)
        headers = tag if of_one else _OF_CHANGING if of_admin and changes else {}
        answer["headers"] = {**headers, **answer.get("headers", {})}
    if of_one:
        responses.setdefault(304, {"description": "The caller has it: see `If-None-Match`."})
        responses[304]["headers"] = _tagged(always=True)
    extra = dict(options.get("openapi_extra") or {})
    shown = () if not of_admin else _CONDITIONS if changes else (_IF_NONE_MATCH,) if of_one else ()
    extra["parameters"] = [*extra.get("parameters", ()), *shown]
    if entrance in _ENTERS:
        extra["security"] = [{_ENTERS[entrance][0]: []}]
    return {
        **options,
        "response_model": None,
        "responses": responses,
        "openapi_extra": extra,
    }


_THEIRS: Final = "HTTPValidationError"
"""What FastAPI says where it would answer 422; here that is a problem with status 400."""


class DocumentedApi(FastAPI):
    """With the schemas of problems, and what every answer carries."""

    def openapi(self) -> dict[str, Any]:
        """The document, made once."""
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        parts = document.setdefault("components", {})
        parts.setdefault("schemas", {}).update(_problem_schemas(_WHEN))
        parts["securitySchemes"] = {
            name: {"type": "http", "scheme": "bearer", "description": description}
            for name, description in _ENTERS.values()
        }
        for operations in document["paths"].values():
            for operation in operations.values():
                answers = operation["responses"]
                if _THEIRS in str(answers.get("422")):
                    del answers["422"]
                for answer in answers.values():
                    answer.setdefault("headers", {})["Idmap-Correlation-Id"] = _CORRELATION
        for name in (_THEIRS, "ValidationError"):
            parts["schemas"].pop(name, None)
        return document


def _problem_schemas(statuses: Iterable[int]) -> dict[str, dict[str, Any]]:
    """One for each status, with the codes that it may have."""
    made = {}
    for status in statuses:
        schema = TypeAdapter(ProblemDocument).json_schema()
        schema["title"] = f"Problem{status}"
        codes = sorted(str(reason) for reason in codes_of(status))
        schema["properties"]["status"] = {"const": status, "title": "Status"}
        schema["properties"]["code"]["enum"] = codes
        schema["properties"]["type"]["enum"] = [f"urn:idmap:reason:{code}" for code in codes]
        made[f"Problem{status}"] = schema
    return made

"""Refusals as RFC 9457 problems: one table from reason to status, one place that decides what the outside sees.

Before a credential is proved the outside sees `not_accepted` and a correlation id, nothing else (law 11); the
real reason is in the log under the same id. The private detail goes to administrators and components only.
Where HTTP itself refuses (405, 413), its own status stands beside the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, NotRequired

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from typing_extensions import TypedDict

from idmap.domain.errors import IdmapError, TokenRefused
from idmap.domain.reasons import REASONS, Reason
from idmap.entrypoints.http.answers import exact

MEDIA_TYPE: Final = "application/problem+json"

_R = Reason
_BY_STATUS: Final[Mapping[int, tuple[Reason, ...]]] = {
    200: (_R.OK,),
    400: (_R.REQUEST_INVALID,),
    401: (
        _R.NOT_ACCEPTED, _R.CREDENTIAL_MISSING, _R.TOKEN_MALFORMED, _R.TOKEN_TOO_LARGE, _R.TOKEN_OPAQUE,
        _R.HEADER_REFUSED, _R.TYPE_REFUSED, _R.ALGORITHM_REFUSED, _R.ISSUER_UNKNOWN, _R.KEY_UNKNOWN,
        _R.SIGNATURE_INVALID, _R.CLAIM_MISSING, _R.CLAIM_INVALID, _R.TOKEN_EXPIRED, _R.TOKEN_INACTIVE,
        _R.TOKEN_NOT_YET_VALID, _R.TOKEN_TOO_OLD, _R.SENDER_CONSTRAINED, _R.WLCG_VERSION_REFUSED,
        _R.AUTHENTICATION_TOO_OLD, _R.USERINFO_MISMATCH,
    ),
    403: (
        _R.AUDIENCE_REFUSED, _R.ROBOT_REFUSED, _R.ASSURANCE_TOO_LOW, _R.ACR_REFUSED, _R.CAPABILITY_MISSING,
        _R.IDENTITY_UNKNOWN, _R.IDENTITY_MISMATCH,
        _R.ACCOUNT_UNKNOWN, _R.ACCOUNT_PENDING, _R.ACCOUNT_AWAITS_APPROVAL, _R.ACCOUNT_SUSPENDED, _R.ACCOUNT_EXPIRED,
        _R.ACCOUNT_CLOSED, _R.GRACE_ENDED, _R.BANNED, _R.NO_RULE_MATCHES, _R.DENIED_BY_RULE,
        _R.NODE_CLASS_REFUSED, _R.TOKEN_DEMANDED, _R.LOCAL_ACCOUNT,
        _R.CREDENTIAL_REFUSED, _R.ROLE_MISSING, _R.OWN_CASE, _R.DOOR_REFUSED,
    ),
    404: (_R.NOT_FOUND,),
    409: (
        _R.NAME_TAKEN, _R.NUMBER_TAKEN, _R.RANGE_EXHAUSTED, _R.RANGE_OVERLAPS, _R.RANGE_CROWDED,
        _R.NUMBERS_FOREIGN, _R.GROUP_REPLACED, _R.POOL_FULL, _R.RULES_TAKE_AWAY,
        _R.TRANSITION_REFUSED, _R.REQUEST_RUNNING, _R.SECRET_GIVEN_ONCE,
        _R.IDENTITY_LINKED_ELSEWHERE, _R.IDENTITY_NOT_LINKABLE, _R.ROBOT_AND_PERSON,
        _R.LAST_IDENTITY, _R.ACCOUNT_SHARED, _R.EVIDENCE_CONTRADICTED, _R.EVIDENCE_SETTLED,
        _R.GUARD_STOPPED, _R.PLAN_STALE, _R.ALREADY_RUNNING, _R.SNAPSHOT_OLDER, _R.SIGNER_REFUSED,
    ),
    412: (_R.VERSION_CONFLICT,),
    422: (
        _R.IDEMPOTENCY_KEY_REUSED, _R.NAME_REFUSED, _R.NUMBER_REFUSED, _R.RANGE_UNKNOWN, _R.RULE_INVALID,
        _R.RULE_EXAMPLE_FAILED, _R.CLASS_WITHOUT_PRIMARY_GROUP, _R.ISSUER_INVALID, _R.PAIRWISE_SUBJECT,
    ),
    500: (
        _R.INTERNAL_ERROR, _R.CONFIGURATION_INVALID, _R.NODE_FILES_UNREADABLE, _R.MANIFEST_INVALID,
        _R.MANIFEST_UNTRUSTED, _R.DOWNLOAD_TAMPERED, _R.INSTALL_FAILED, _R.RECORD_BROKEN,
        _R.BACKUP_INVALID, _R.BACKUP_FOREIGN,
    ),
    502: (
        _R.SOURCE_INCOMPLETE, _R.SOURCE_REFUSED, _R.SOURCE_GROUP_MISSING, _R.SOURCE_LACKS_FACTS,
        _R.DOWNLOAD_FAILED,
    ),
    503: (
        _R.ISSUER_UNAVAILABLE, _R.SNAPSHOT_EXPIRED, _R.CLOCK_SKEW, _R.AGENT_UNAVAILABLE,
        _R.SERVICE_UNAVAILABLE, _R.SOURCE_UNAVAILABLE, _R.SIGNER_UNAVAILABLE, _R.SCHEMA_MISMATCH,
        _R.SITE_UNAVAILABLE, _R.DATABASE_IN_USE,
    ),
}  # fmt: skip

STATUS: Final[Mapping[Reason, int]] = {
    reason: status for status, reasons in _BY_STATUS.items() for reason in reasons
}
"""Every reason's HTTP status; a test holds it complete."""

_OF_HTTP: Final[Mapping[int, Reason]] = {
    400: _R.REQUEST_INVALID,
    404: _R.NOT_FOUND,
    405: _R.REQUEST_INVALID,
    413: _R.REQUEST_INVALID,
    503: _R.SERVICE_UNAVAILABLE,
}
"""Where HTTP itself refuses."""


@exact
class ProblemDocument(TypedDict):
    """A problem (RFC 9457)."""

    type: Annotated[str, Field(examples=["urn:idmap:reason:version_conflict"])]
    title: Annotated[str, Field(description="One sentence.")]
    status: int
    code: Annotated[str, Field(description="Stable; docs/error-codes.md lists them.")]
    next_step: str
    correlation_id: Annotated[str, Field(description="The same in the service's log.")]
    detail: NotRequired[str]
    concerns: NotRequired[Annotated[str, Field(description="The credential, or a token sent.")]]
    pointer: NotRequired[
        Annotated[str, Field(description="The place in the document sent (RFC 6901).")]
    ]
    findings: NotRequired[
        Annotated[
            list[dict[str, str]], Field(description="All that was found in rules that are refused.")
        ]
    ]
    loses: NotRequired[Annotated[int, Field(description="Of `rules_take_away`: how many people.")]]
    allowed: NotRequired[Annotated[int, Field(description="How many may, unless accepted.")]]
    entitled: NotRequired[Annotated[int, Field(description="Of how many.")]]


_log = structlog.get_logger("idmap.http")


def codes_of(status: int) -> frozenset[Reason]:
    """Every code that a problem with this status may have."""
    of_http = {_OF_HTTP[status]} if status in _OF_HTTP else set()
    return frozenset(_BY_STATUS.get(status, ())) | of_http


def public_reason(error: IdmapError) -> Reason:
    """What the outside may see of an error (law 11).

    An issuer that could not be asked is met before anything is proved, and would tell that it is trusted here.
    """
    if isinstance(error, TokenRefused) and not error.proved:
        return Reason.NOT_ACCEPTED
    if error.reason is Reason.ISSUER_UNAVAILABLE:
        return Reason.NOT_ACCEPTED
    return error.reason


def problem(
    reason: Reason,
    correlation_id: str,
    *,
    detail: str | None = None,
    status: int | None = None,
    concerns: str | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, object] | None = None,
) -> Response:
    """One problem document."""
    code = status or STATUS[reason]
    body: ProblemDocument = {
        "type": f"urn:idmap:reason:{reason}",
        "title": REASONS[reason].sentence,
        "status": code,
        "code": str(reason),
        "next_step": REASONS[reason].next_step,
        "correlation_id": correlation_id,
    }
    if detail:
        body["detail"] = detail
    if concerns:
        body["concerns"] = concerns
    return JSONResponse(
        {**body, **(more or {})},
        status_code=code,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Every way a request can fail becomes a problem."""
    app.add_exception_handler(IdmapError, _on_idmap_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error)


def correlation_id_of(request: Request) -> str:
    """The id that joins the answer to the log."""
    return str(request.state.correlation_id)


def log_refusal(request: Request, code: Reason, detail: str, shown: Reason, status: int) -> None:
    """One line per refusal, never holding a credential or a request's body."""
    caller = getattr(request.state, "caller", None)
    route = request.scope.get("route")
    _log.info(
        "request_refused",
        code=str(code),
        detail=detail,
        shown=str(shown),
        status=status,
        correlation_id=correlation_id_of(request),
        method=request.method,
        route=getattr(route, "path", None),
        caller=None if caller is None else caller.name,
    )


async def _on_idmap_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, IdmapError)  # noqa: S101  # registered for this class
    caller = getattr(request.state, "caller", None)
    shown = public_reason(error)
    status = STATUS[shown]
    log_refusal(request, error.reason, error.detail, shown, status)
    sees_detail = shown is error.reason and caller is not None and caller.sees_detail(shown)
    headers = {}
    if caller is None and status == 401:
        # RFC 6750 §3: an error is named only when a credential was shown.
        missing = error.reason is Reason.CREDENTIAL_MISSING
        challenge = 'Bearer realm="idmap"' + ("" if missing else ', error="invalid_token"')
        headers = {"WWW-Authenticate": challenge}
    concerns = None
    if isinstance(error, TokenRefused) or shown is Reason.NOT_ACCEPTED:
        concerns = "credential" if caller is None else "token"
    return problem(
        shown,
        correlation_id_of(request),
        detail=error.detail if sees_detail else None,
        concerns=concerns,
        headers=headers,
        more=error.more if sees_detail else None,
    )


async def _on_validation_error(request: Request, error: Exception) -> Response:
    """Names the first field and what is wrong with it; never repeats what was sent."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this class
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
    detail = f"{where}: {first['msg']}"
    log_refusal(request, Reason.REQUEST_INVALID, detail, Reason.REQUEST_INVALID, 400)
    caller = getattr(request.state, "caller", None)
    return problem(
        Reason.REQUEST_INVALID,
        correlation_id_of(request),
        detail=detail if caller is not None else None,
    )


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for this class
    reason = _OF_HTTP.get(error.status_code, Reason.REQUEST_INVALID)
    log_refusal(request, reason, f"HTTP {error.status_code}", reason, error.status_code)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed(request)
    return problem(reason, correlation_id_of(request), status=error.status_code, headers=headers)


def _allowed(request: Request) -> str:
    """Every method of the path (RFC 9110 §10.2.1): the router names those of the first route with that path."""
    methods: set[str] = set()
    for route in request.app.routes:
        if route.matches(request.scope)[0] is not Match.NONE:
            methods |= route.methods or set()
    return ", ".join(sorted(methods))

"""How the instance says no, in IAM's several voices.

Handlers raise `Refusal` with a finished response; the app returns it. There is one constructor per
shape: SCIM error, OAuth error, refused bearer, and Tomcat's HTML pages. The 401 that repeats the
token and the 500 that shows a stack trace are IAM's own (MITREid, Spring), not accidents here.
"""

from __future__ import annotations

import html
from http import HTTPStatus

from starlette.responses import HTMLResponse, JSONResponse, Response

SCIM_MEDIA_TYPE = "application/scim+json"
SCIM_ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"

_FRAMES = (
    "org.springframework.data.domain.AbstractPageRequest",
    "org.springframework.data.domain.PageRequest",
    "it.infn.mw.iam.api",
    "org.springframework.web.servlet.DispatcherServlet",
    "org.springframework.security.web.FilterChainProxy",
    "org.apache.catalina.core.StandardWrapperValve",
    "org.apache.tomcat.util.threads.TaskThread",
    "java.base/java.lang.Thread",
)
# Enough lines to show a log reader why a source's body must be cut before it is logged.


class Refusal(Exception):
    """A request that ends here with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response


def scim_error(status: int, detail: str) -> Refusal:
    """A SCIM error (RFC 7644 §3.12); `status` is a string in the body."""
    body = {"schemas": [SCIM_ERROR_SCHEMA], "status": str(status), "detail": detail}
    return Refusal(JSONResponse(body, status, media_type=SCIM_MEDIA_TYPE))


def oauth_error(status: int, error: str, description: str) -> Refusal:
    """An OAuth error (RFC 6749 §5.2)."""
    body = {"error": error, "error_description": description}
    headers = {"Cache-Control": "no-store"}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Basic realm="oauth2/client"'
    return Refusal(JSONResponse(body, status, headers))


def no_bearer() -> Refusal:
    """401 for a request without a token."""
    text = "Full authentication is required to access this resource"
    return _bearer_refusal(HTTPStatus.UNAUTHORIZED, "unauthorized", text)


def bad_bearer(token: str) -> Refusal:
    """401 for an unknown or expired token. It repeats the whole token, in the body and a header."""
    return _bearer_refusal(
        HTTPStatus.UNAUTHORIZED, "invalid_token", f"Invalid access token: {token}"
    )


def insufficient_scope(scope: str) -> Refusal:
    """403 for a good token without the scope."""
    text = "Insufficient scope for this resource"
    return _bearer_refusal(HTTPStatus.FORBIDDEN, "insufficient_scope", text, scope)


def page(status: int, text: str = "") -> HTMLResponse:
    """A servlet container's HTML page, as sent for unknown paths and 406."""
    phrase = HTTPStatus(status).phrase
    detail = f"<p>{html.escape(text)}</p>" if text else ""
    return HTMLResponse(
        f"<!doctype html><html lang='en'><head><title>HTTP Status {status} – {phrase}</title>"
        f"</head><body><h1>HTTP Status {status} – {phrase}</h1>{detail}</body></html>",
        status,
    )


def crash_page(message: str, status: int = HTTPStatus.INTERNAL_SERVER_ERROR) -> HTMLResponse:
    """A 500 page with a stack trace."""
    frames = "\n".join(
        f"\tat {frame}.invoke(Simulated.java:{40 + 17 * line})"
        for line, frame in enumerate(frame for _ in range(6) for frame in _FRAMES)
    )
    trace = html.escape(f"java.lang.IllegalArgumentException: {message}\n{frames}")
    phrase = HTTPStatus(status).phrase
    return HTMLResponse(
        f"<!doctype html><html lang='en'><head><title>HTTP Status {status} – {phrase}</title>"
        f"</head><body><h1>HTTP Status {status} – {phrase}</h1><pre>{trace}</pre></body></html>",
        status,
    )


def _bearer_refusal(
    status: HTTPStatus, error: str, description: str, scope: str | None = None
) -> Refusal:
    body = {"error": error, "error_description": description}
    challenge = f'Bearer realm="oauth2/client", error="{error}"'
    challenge += f', error_description="{_header_safe(description)}"'
    if scope is not None:
        body["scope"] = scope
        challenge += f', scope="{scope}"'
    headers = {"WWW-Authenticate": challenge, "Cache-Control": "no-store"}
    return Refusal(JSONResponse(body, status, headers))


def _header_safe(text: str) -> str:
    return "".join(char for char in text if char.isascii() and char.isprintable() and char != '"')

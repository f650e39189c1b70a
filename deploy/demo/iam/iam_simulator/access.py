"""Who may ask: bearer tokens for the APIs, client credentials for the token endpoints.

Order as in Spring: 401 before 403, both before the path is looked at any closer; then 406.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import unquote_plus

from starlette.requests import Request

from .clients import Client
from .errors import Refusal, bad_bearer, insufficient_scope, no_bearer, oauth_error, page
from .grants import Grant
from .instance import Instance

SCIM_READ = "scim:read"
ADMIN_READ = "iam:admin.read"

_SCIM_RANGES = frozenset({"application/scim+json", "application/*", "*/*"})
# Media ranges that let Spring choose `application/scim+json`; plain `application/json` does not.


def require_grant(instance: Instance, request: Request) -> Grant:
    """The grant behind the request's bearer token. Raises `Refusal` 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise no_bearer()
    grant = instance.grants.find_live(token.strip(), instance.now())
    if grant is None:
        raise bad_bearer(token.strip())
    return grant


def require_scope(instance: Instance, request: Request, scope: str) -> Grant:
    """The grant behind the request, which holds `scope`. Raises `Refusal` 401 or 403."""
    grant = require_grant(instance, request)
    if scope not in grant.scopes:
        raise insufficient_scope(scope)
    return grant


def require_scim_accepted(request: Request) -> None:
    """Raise `Refusal` 406 unless the client accepts `application/scim+json`."""
    accept = request.headers.get("accept", "")
    ranges = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if accept.strip() and not ranges & _SCIM_RANGES:
        raise Refusal(page(406, "Could not find acceptable representation"))


def require_client(instance: Instance, request: Request, form: Mapping[str, str]) -> Client:
    """The client that authenticates by HTTP basic or in the form (RFC 6749 §2.3.1).

    Raises `Refusal` 401 `invalid_client`.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        client_id, client_secret = _basic(credentials.strip())
    else:
        client_id, client_secret = form.get("client_id", ""), form.get("client_secret", "")
    client = instance.clients.find_authenticated(client_id, client_secret)
    if client is None:
        raise oauth_error(401, "invalid_client", "Bad client credentials")
    return client


def _basic(credentials: str) -> tuple[str, str]:
    try:
        text = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    client_id, _, client_secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(client_secret)

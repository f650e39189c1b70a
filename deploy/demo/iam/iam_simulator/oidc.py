"""The OpenID Connect face: discovery, keys, client credentials, userinfo and introspection.

There is no login and no token exchange; a person's token comes from `POST /simulator/token`. Two
quirks of IAM are played: discovery and introspection print the issuer with a trailing slash that
tokens may lack, and introspection joins several audiences with spaces (indigo-iam/iam#1118, #714).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from .access import require_client, require_grant
from .errors import Refusal, insufficient_scope, oauth_error, page
from .grants import Grant
from .instance import Instance, with_slash
from .records import Person
from .shapes import instant
from .tokens import ACCESS_TOKEN_SECONDS, GROUPS_SCOPE, Subject, TokenWish, wlcg_groups

ENDPOINTS = {
    "authorization_endpoint": "/authorize",
    "token_endpoint": "/token",
    "userinfo_endpoint": "/userinfo",
    "jwks_uri": "/jwk",
    "registration_endpoint": "/iam/api/client-registration",
    "introspection_endpoint": "/introspect",
    "revocation_endpoint": "/revoke",
    "device_authorization_endpoint": "/devicecode",
    "op_policy_uri": "/about",
    "op_tos_uri": "/about",
    "scim_endpoint": "/scim",
}
# What IAM advertises. Those not played here answer 404, as the README says.


async def discovery(instance: Instance, _request: Request) -> Response:
    """`GET /.well-known/openid-configuration`."""
    base_url = instance.settings.base_url
    return JSONResponse(
        {
            "issuer": instance.settings.discovery_issuer,
            **{name: base_url + path for name, path in ENDPOINTS.items()},
            "response_types_supported": ["code", "token"],
            "grant_types_supported": ["client_credentials"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "claim_types_supported": ["normal"],
            "claims_parameter_supported": False,
            "request_parameter_supported": True,
            "request_uri_parameter_supported": False,
            "require_request_uri_registration": False,
            "code_challenge_methods_supported": ["plain", "S256"],
            "scopes_supported": ["openid", "profile", "email", GROUPS_SCOPE, "ssh-keys", "attr"],
        }
    )


async def published_keys(instance: Instance, _request: Request) -> Response:
    """`GET /jwk`."""
    return JSONResponse(instance.keys.published())


async def token(instance: Instance, request: Request) -> Response:
    """`POST /token` with client_credentials: `sub` is the client id, and there are no groups.

    Without `scope` the client gets all it is registered for. `audience` is a list by spaces.
    """
    form = await _form(request)
    client = require_client(instance, request, form)
    if form.get("grant_type") != "client_credentials":
        raise oauth_error(400, "unsupported_grant_type", "Only client_credentials is simulated")
    scopes = tuple(form.get("scope", "").split()) or client.scopes
    refused = sorted(set(scopes) - set(client.scopes))
    if refused:
        raise oauth_error(400, "invalid_scope", f"Invalid scope: {' '.join(refused)}")
    wish = TokenWish(
        profile=instance.settings.profile,
        client_id=client.client_id,
        audience=tuple(form.get("audience", "").split()),
        scopes=scopes,
    )
    issued, _ = instance.issue(wish, Subject(client.client_id))
    return JSONResponse(
        {
            "access_token": issued,
            "token_type": "Bearer",
            "expires_in": ACCESS_TOKEN_SECONDS - 1,
            "scope": " ".join(scopes),
        },
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )


async def userinfo(instance: Instance, request: Request) -> Response:
    """`GET /userinfo` for a person's token with scope `openid`."""
    grant = require_grant(instance, request)
    if "openid" not in grant.scopes:
        raise insufficient_scope("openid")
    person = instance.directory.find_person_by_id(grant.sub) if grant.is_for_person else None
    if person is None:
        raise Refusal(page(404))
    claims = {
        "sub": person.id,
        "name": person.full_name,
        "preferred_username": person.username,
        "given_name": person.given_name,
        "family_name": person.family_name,
        "email": person.email,
        "email_verified": True,
        "updated_at": instant(person.last_modified),
        **_groups_and_organisation(instance, grant, person),
    }
    if "ssh-keys" in grant.scopes and person.ssh_keys:
        claims["ssh_keys"] = [
            {"value": key.value, "fingerprint": key.fingerprint, "display": key.display}
            for key in person.ssh_keys
        ]
    if "attr" in grant.scopes and person.attributes:
        claims["attr"] = dict(person.attributes)
    return JSONResponse(claims)


async def introspect(instance: Instance, request: Request) -> Response:
    """`POST /introspect` by a registered client: `{"active": false}` for what is not live here."""
    form = await _form(request)
    require_client(instance, request, form)
    grant = instance.grants.find_live(form.get("token", ""), instance.now())
    if grant is None:
        return JSONResponse({"active": False})
    claims = grant.claims
    audience = claims.get("aud")
    body: dict[str, Any] = {
        "active": True,
        "sub": claims.get("sub"),
        "iss": with_slash(str(claims.get("iss", instance.settings.issuer))),
        "client_id": grant.client_id,
        "scope": " ".join(sorted(grant.scopes)),
        "token_type": "Bearer",
        "iat": claims.get("iat"),
        "exp": claims.get("exp"),
        "jti": claims.get("jti"),
    }
    if audience is not None:
        body["aud"] = audience if isinstance(audience, str) else " ".join(audience)
    person = instance.directory.find_person_by_id(grant.sub) if grant.is_for_person else None
    if person is not None:
        body |= {
            "user_id": person.username,
            "name": person.full_name,
            "email": person.email,
            "preferred_username": person.username,
            **_groups_and_organisation(instance, grant, person),
        }
    return JSONResponse(body)


def _groups_and_organisation(instance: Instance, grant: Grant, person: Person) -> dict[str, Any]:
    memberships = instance.directory.list_groups_of(person)
    if grant.profile == "iam":
        return {
            "organisation_name": instance.settings.organisation,
            "groups": [group.path for group in memberships],
        }
    asked = sorted(scope for scope in grant.scopes if scope.startswith(GROUPS_SCOPE))
    groups = wlcg_groups(asked, memberships)
    return {} if groups is None else {"wlcg.groups": groups}


async def _form(request: Request) -> dict[str, str]:
    """The URL-encoded form of a request; the first value of each name."""
    try:
        parsed = parse_qs((await request.body()).decode(), max_num_fields=50)
    except (UnicodeDecodeError, ValueError):
        raise oauth_error(400, "invalid_request", "The form cannot be read") from None
    return {name: values[0] for name, values in parsed.items()}

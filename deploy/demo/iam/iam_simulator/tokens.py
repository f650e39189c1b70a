"""What an access token says, by IAM's token profiles.

Pure: who, when and the random token id come as arguments. `iam` and `wlcg` are played exactly;
`aarc` and `kc` are not. Sources: INDIGO IAM 1.12 token profiles; WLCG Common JWT Profile 1.3.

| claim | `iam` | `wlcg` |
| --- | --- | --- |
| iss, sub, iat, exp, jti, client_id | yes | yes |
| scope, nbf, wlcg.ver | no | yes |
| aud | when asked | when asked, else the "any" audience |
| groups | `groups`, with authn info only | `wlcg.groups`, when the scope asks |
| name, email, preferred_username | with authn info | with authn info |
| organisation_name | with authn info | no |
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, assert_never

from .records import Group, Person

Profile = Literal["iam", "wlcg"]

WLCG_ANY_AUDIENCE = "https://wlcg.cern.ch/jwt/v1/any"
WLCG_VERSION = "1.0"
# Issuers keep saying 1.0 under later versions of the profile.

GROUPS_SCOPE = "wlcg.groups"

ACCESS_TOKEN_SECONDS = 3600
# IAM's default lifetime of an access token.


@dataclass(frozen=True, slots=True)
class TokenWish:
    """What a token is asked to be, apart from whom it is for."""

    client_id: str
    profile: Profile = "iam"
    audience: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    lifetime_seconds: int = ACCESS_TOKEN_SECONDS
    include_authn_info: bool = False
    auth_time: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    minimum_payload_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a token is for. A client has no person and no groups (indigo-iam/iam#681)."""

    sub: str
    person: Person | None = None
    groups: Sequence[Group] = ()


def access_token_claims(
    wish: TokenWish,
    subject: Subject,
    *,
    issuer: str,
    organisation: str,
    now: datetime,
    token_id: str,
) -> dict[str, Any]:
    """The claims of an access token, in IAM's order. `issuer` is used exactly as given.

    A token that is to have expired already was issued one usual lifetime before it expired. `extra`
    is applied last: its values replace claims, and a null removes one.
    """
    expires = int(now.timestamp()) + wish.lifetime_seconds
    issued = expires - ACCESS_TOKEN_SECONDS if wish.lifetime_seconds <= 0 else int(now.timestamp())
    claims: dict[str, Any] = {"sub": subject.sub, "iss": issuer}
    audience = wish.audience
    match wish.profile:
        case "iam":
            if wish.include_authn_info and subject.person is not None:
                claims |= _authn_info(subject.person)
                claims["organisation_name"] = organisation
                claims["groups"] = [group.path for group in subject.groups]
        case "wlcg":
            audience = audience or (WLCG_ANY_AUDIENCE,)
            claims["wlcg.ver"] = WLCG_VERSION
            claims["nbf"] = issued
            claims["scope"] = " ".join(wish.scopes)
            groups = wlcg_groups(wish.scopes, subject.groups)
            if groups is not None:
                claims["wlcg.groups"] = groups
            if wish.include_authn_info and subject.person is not None:
                claims |= _authn_info(subject.person)
        case _:
            assert_never(wish.profile)
    if audience:
        claims["aud"] = audience[0] if len(audience) == 1 else list(audience)
    if wish.auth_time is not None:
        claims["auth_time"] = wish.auth_time
    claims |= {"exp": expires, "iat": issued, "jti": token_id, "client_id": wish.client_id}
    claims |= wish.extra
    claims = {name: value for name, value in claims.items() if value is not None}
    return _padded(claims, wish.minimum_payload_bytes)


def wlcg_groups(scopes: Sequence[str], memberships: Sequence[Group]) -> list[str] | None:
    """The value of `wlcg.groups`, or None when no scope asked for groups.

    Groups asked for by name come first, in the order asked, if the person is in them. All default
    groups follow, even when only one group was asked for (indigo-iam/iam#388). Optional groups come
    only by name.
    """
    asked = [scope for scope in scopes if scope.split(":", 1)[0] == GROUPS_SCOPE]
    if not asked:
        return None
    held = {f"/{group.path}": group for group in memberships}
    named = [scope.partition(":")[2] for scope in asked]
    first = [path for path in named if path in held]
    rest = [path for path, group in held.items() if not group.is_optional]
    return list(dict.fromkeys([*first, *rest]))


def groups_scopes(groups: bool | Sequence[str]) -> tuple[str, ...]:
    """The scopes that ask for groups: none, the default ones (True), or these paths in this order."""
    if isinstance(groups, bool):
        return (GROUPS_SCOPE,) if groups else ()
    return tuple(f"{GROUPS_SCOPE}:/{path.removeprefix('/')}" for path in groups)


def _authn_info(person: Person) -> dict[str, Any]:
    return {
        "name": person.full_name,
        "email": person.email,
        "preferred_username": person.username,
    }


def _padded(claims: dict[str, Any], minimum_bytes: int) -> dict[str, Any]:
    """The claims with a `padding` claim when their JSON is shorter than `minimum_bytes`."""
    missing = minimum_bytes - len(json.dumps(claims, ensure_ascii=False).encode())
    return claims if missing <= 0 else {**claims, "padding": "x" * missing}

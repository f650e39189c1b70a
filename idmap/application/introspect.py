"""Verify one opaque token at one door: ask the one issuer it can be of, then check its answer like any claims.

An opaque token is never sprayed: it goes to the issuer that the request names, or to the one that the site marked for
the door, or nowhere. What the issuer says of it must be active, for this door by `aud` (or, without one, by
`client_id`), and pass every check of a signed token's claims. Nothing is remembered: neither a yes, because
revocation is what introspection is for, nor a fault (a peer refuses people for an hour after a hiccup).

INDIGO IAM's answers have their own spelling, read as such for its profiles only: a slash is always appended to `iss`,
and several audiences are one string joined by spaces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from idmap.domain.claims import VerifiedClaims, check_claims
from idmap.domain.doors import Door, DoorKind
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.introspection import OnTimeout
from idmap.domain.issuers import IssuerProfile, find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

_IAM_ANSWERS: Final = frozenset({"indigo-iam", "indigo-iam-aarc", "indigo-iam-kc", "wlcg"})
"""Ready-made profiles of issuers that are INDIGO IAM."""

_OPAQUE: Final = re.compile(r"[A-Za-z0-9._~+/-]{20,4096}=*", re.ASCII)
"""RFC 6750 §2.1 with at least 20 characters: what is shorter was typed by a person and may be the password of
something else; it goes to no network."""

_TYPES: Final = frozenset({"", "bearer"})
_TYPS: Final = frozenset({"", "bearer", "jwt", "at+jwt"})
"""Keycloak says `typ: Refresh` and `typ: ID` of what is no access token."""


class Introspector(Protocol):
    """Asks one issuer about one token."""

    def introspect(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        """The issuer's answer, whatever it says (RFC 7662 §2.2).

        Raises Unavailable(ISSUER_UNAVAILABLE), and TokenRefused when the issuer refuses to answer us.
        """
        ...


def is_opaque(token: Secret) -> bool:
    """Whether it looks like an opaque token, and could be nothing else."""
    text = token.reveal()
    return text.count(".") not in (2, 4) and _OPAQUE.fullmatch(text) is not None


class OpaqueTokens:
    """Opaque tokens of the issuers a site trusts."""

    def __init__(
        self, issuers: Callable[[], Iterable[IssuerProfile]], introspector: Introspector
    ) -> None:
        self._issuers = issuers
        self._introspector = introspector

    def takes(self, door: Door) -> bool:
        """Whether an issuer is marked for the door."""
        return any(p.introspection and door in p.introspection.doors for p in self._issuers())

    def verify(self, token: Secret, door: Door, at: int, issuer: str | None) -> VerifiedClaims:
        """The claims, once everything held. `issuer` is what the request says of it, if anything.

        Raises TokenRefused; Unavailable(ISSUER_UNAVAILABLE) when the issuer is silent, unless its profile takes that
        for a refusal.
        """
        profile = choose_issuer(self._issuers(), door, issuer)
        try:
            answer = self._introspector.introspect(profile, token)
        except Unavailable as error:
            assert profile.introspection is not None  # noqa: S101  # chosen for having it
            if profile.introspection.on_timeout is OnTimeout.REFUSE:
                raise TokenRefused(Reason.TOKEN_INACTIVE, error.detail) from error
            raise
        return check_claims(introspected_claims(answer, profile, door, at), profile, door, at)


def choose_issuer(
    profiles: Iterable[IssuerProfile], door: Door, issuer: str | None
) -> IssuerProfile:
    """The one issuer to ask, by exact name or by the door's mark. Raises TokenRefused before anybody is asked."""
    if issuer is not None:
        profile = find_profile(profiles, issuer)
        if profile is None:
            raise TokenRefused(Reason.ISSUER_UNKNOWN, repr(issuer[:255]))
        if profile.introspection is None:
            raise TokenRefused(Reason.TOKEN_OPAQUE, f"{profile.issuer} has no introspection here")
    else:
        marked = [p for p in profiles if p.introspection and door in p.introspection.doors]
        if len(marked) != 1:
            raise TokenRefused(
                Reason.TOKEN_OPAQUE, f"{len(marked)} issuers take opaque tokens at {door}"
            )
        profile = marked[0]
    if not profile.audiences.get(door):
        raise TokenRefused(Reason.AUDIENCE_REFUSED, f"{profile.issuer} has no audience for {door}")
    return profile


def introspected_claims(
    answer: Mapping[str, Any], profile: IssuerProfile, door: Door, at: int
) -> Mapping[str, Any]:
    """The answer in the form of a token's claims.

    Raises TokenRefused unless it vouches for an access token of this issuer.
    """
    if answer.get("active") is not True:
        raise TokenRefused(Reason.TOKEN_INACTIVE, f"{profile.issuer} says so")
    for name, allowed in (("token_type", _TYPES), ("typ", _TYPS)):
        kind = answer.get(name) or ""
        if not isinstance(kind, str) or kind.lower() not in allowed:
            raise TokenRefused(Reason.TYPE_REFUSED, f"{name} {str(kind)[:64]!r}")
    if "iss" in answer and not _is_own(answer["iss"], profile):
        raise TokenRefused(Reason.ISSUER_UNKNOWN, f"answers for {str(answer['iss'])[:255]!r}")
    claims = dict(answer)
    audience = claims.get("aud")
    if str(profile.profile) in _IAM_ANSWERS and isinstance(audience, str):
        audience = audience.split()
    claims["aud"] = audience or claims.get("client_id")
    if "iat" not in claims and door.kind is not DoorKind.ADMIN:
        # RFC 7662 §2.2: optional. The issuer vouches for it now; when the person was there nobody says.
        claims["iat"] = at
        claims.setdefault("auth_time", 0)  # nobody said when the person logged in: never recently
    return claims


def _is_own(issuer: object, profile: IssuerProfile) -> bool:
    spelled = profile.spells()
    if not isinstance(issuer, str):
        return False
    if str(profile.profile) in _IAM_ANSWERS and issuer.endswith("/") and issuer[:-1] in spelled:
        return True
    return issuer in spelled

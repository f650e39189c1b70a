"""Verify one opaque token at one door: ask the one issuer it can be of, then check its answer like any claims.

An opaque token is never sprayed: it goes to the issuer that the request names, or to the one that the site marked for
the door, or nowhere. What the issuer says of it must be active, for this door by `aud` (or, without one, by
`client_id`), and pass every check of a signed token's claims. Nothing is remembered: neither a yes, because
revocation is what introspection is for, nor a fault (a peer refuses people for an hour after a hiccup).
Userinfo may add groups afterwards, where the profile asks for it (`enrich`); it authenticates nobody.

INDIGO IAM's answers have their own spelling, read as such for its profiles only: a slash is always appended to `iss`,
and several audiences are one string joined by spaces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from idmap.application.enrich import UserinfoSource, enrich
from idmap.domain.checks import Check, step
from idmap.domain.claims import VerifiedClaims, check_claims
from idmap.domain.claims_shown import bounded
from idmap.domain.doors import Door, DoorKind
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.introspection import Introspection, OnTimeout, Userinfo
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


class Introspector(UserinfoSource, Protocol):
    """Asks one issuer about one token; its userinfo only after introspection authenticated that."""

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

    def verify(
        self,
        token: Secret,
        door: Door,
        at: int,
        issuer: str | None,
        trace: list[Check] | None = None,
    ) -> VerifiedClaims:
        """The claims, once everything held. `issuer` is what the request says of it, if anything.

        Raises TokenRefused; Unavailable(ISSUER_UNAVAILABLE) when the issuer is silent, unless its profile takes that
        for a refusal. `trace` is that of TokenVerifier.verify.
        """
        with step(trace, "issuer to ask", _shown_choice, door, issuer):
            profile, settings = choose_issuer(self._issuers(), door, issuer)
        with step(trace, "issuer answers", _shown_question, profile):
            answer = self._ask(profile, settings, token)
        with step(trace, "active", _shown, answer, "active"):
            check_active(answer, profile)
        with step(trace, "type", _shown, answer, "token_type", "typ"):
            check_kind(answer)
        with step(trace, "issuer of the answer", _shown, answer, "iss"):
            check_issuer(answer, profile)
        claims = introspected_claims(answer, profile, door, at)
        verified = check_claims(claims, profile, door, at, trace)
        if settings.userinfo is Userinfo.NEVER:
            return verified
        required = settings.userinfo is Userinfo.REQUIRED
        source = self._introspector
        return enrich(verified, claims, profile, token, source, required=required, trace=trace)

    def _ask(
        self, profile: IssuerProfile, settings: Introspection, token: Secret
    ) -> Mapping[str, Any]:
        try:
            return self._introspector.introspect(profile, token)
        except Unavailable as error:
            if settings.on_timeout is OnTimeout.REFUSE:
                raise TokenRefused(Reason.TOKEN_INACTIVE, error.detail) from error
            raise


def choose_issuer(
    profiles: Iterable[IssuerProfile], door: Door, issuer: str | None
) -> tuple[IssuerProfile, Introspection]:
    """The one issuer to ask, by exact name or by the door's mark, and how it is asked.

    Raises TokenRefused before anybody is asked.
    """
    if issuer is not None:
        profile = find_profile(profiles, issuer)
        if profile is None:
            raise TokenRefused(Reason.ISSUER_UNKNOWN, repr(issuer[:255]))
        settings = profile.introspection
        if settings is None:
            raise TokenRefused(Reason.TOKEN_OPAQUE, f"{profile.issuer} has no introspection here")
    else:
        asking = [(one, one.introspection) for one in profiles if one.introspection is not None]
        marked = [(one, how) for one, how in asking if door in how.doors]
        if len(marked) != 1:
            raise TokenRefused(
                Reason.TOKEN_OPAQUE, f"{len(marked)} issuers take opaque tokens at {door}"
            )
        [(profile, settings)] = marked
    if not profile.audiences.get(door):
        raise TokenRefused(Reason.AUDIENCE_REFUSED, f"{profile.issuer} has no audience for {door}")
    return profile, settings


def check_active(answer: Mapping[str, Any], profile: IssuerProfile) -> None:
    """Nothing but `true` is a yes (RFC 7662 §2.2). Raises TokenRefused(TOKEN_INACTIVE)."""
    if answer.get("active") is not True:
        raise TokenRefused(Reason.TOKEN_INACTIVE, f"{profile.issuer} says so")


def check_kind(answer: Mapping[str, Any]) -> None:
    """An access token, where the answer says what it is. Raises TokenRefused(TYPE_REFUSED)."""
    for name, allowed in (("token_type", _TYPES), ("typ", _TYPS)):
        kind = answer.get(name) or ""
        if not isinstance(kind, str) or kind.lower() not in allowed:
            raise TokenRefused(Reason.TYPE_REFUSED, f"{name} {str(kind)[:64]!r}")


def check_issuer(answer: Mapping[str, Any], profile: IssuerProfile) -> None:
    """The issuer that was asked, where the answer names one. Raises TokenRefused(ISSUER_UNKNOWN)."""
    if "iss" in answer and not _is_own(answer["iss"], profile):
        raise TokenRefused(Reason.ISSUER_UNKNOWN, f"answers for {str(answer['iss'])[:255]!r}")


def introspected_claims(
    answer: Mapping[str, Any], profile: IssuerProfile, door: Door, at: int
) -> Mapping[str, Any]:
    """The answer in the form of a token's claims; whether they hold is for the checks of any token's claims."""
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


def _shown_choice(door: Door, issuer: str | None) -> str:
    named = "nobody names it" if issuer is None else f"the request names {bounded(issuer)}"
    return f"{named}, at {door}"


def _shown_question(profile: IssuerProfile) -> str:
    return f"{profile.issuer} is asked for introspection"


def _shown(answer: Mapping[str, Any], *names: str) -> str:
    return ", ".join(f"{n} {bounded(answer[n])}" if n in answer else f"no {n}" for n in names)


def _is_own(issuer: object, profile: IssuerProfile) -> bool:
    spelled = profile.spells()
    if not isinstance(issuer, str):
        return False
    if str(profile.profile) in _IAM_ANSWERS and issuer.endswith("/") and issuer[:-1] in spelled:
        return True
    return issuer in spelled

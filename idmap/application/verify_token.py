"""Verify one token at one door: exact, offline, explainable.

The order is the security argument: read strictly → refuse headers that bring their own key → find the
issuer by its exact string → only then ask for a key → signature → claims. Nothing is fetched, from
anywhere, before the issuer matched a trusted one. What is proved must be of no banned issuer and no banned token. Every
check leaves a line in `trace`, which `idmap explain` prints.

It does *not* look at accounts, rules or bans of people: that is `decide`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, Protocol

from idmap.application.introspect import is_opaque
from idmap.application.ports import IssuerKeys, SignatureChecker
from idmap.domain.bans import Ban
from idmap.domain.checks import Check, step
from idmap.domain.claims import VerifiedClaims, check_claims
from idmap.domain.claims_shown import bounded
from idmap.domain.doors import Door
from idmap.domain.errors import TokenRefused
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.domain.tokens import UnverifiedToken, parse_token

_KEY_FAMILY: Final[Mapping[str, tuple[str, str | None]]] = {
    "RS": ("RSA", None),
    "PS": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed": ("OKP", "Ed25519"),
}
"""Which key (RFC 7518 §6.1) an algorithm needs; RFC 8725 §3.1 asks that they be bound together."""

MAX_KEY_ID: Final = 255
"""Longest `kid` looked up."""


FindBan = Callable[[Issuer, str | None, int], Ban | None]
"""The ban in force at a time that refuses a token of the issuer with this id."""


class OpaqueVerifier(Protocol):
    """Verifies what is no signed token by asking its issuer (`introspect.OpaqueTokens`)."""

    def verify(
        self,
        token: Secret,
        door: Door,
        at: int,
        issuer: str | None,
        trace: list[Check] | None = None,
    ) -> VerifiedClaims: ...
    def takes(self, door: Door) -> bool:
        """Whether an issuer is marked for the door."""
        ...


class TokenVerifier:
    """Verifies tokens of the issuers a site trusts.

    `find_issuer` gives the profile that spells exactly that string, or None: it must not guess.
    """

    def __init__(
        self,
        find_issuer: Callable[[str], IssuerProfile | None],
        keys: IssuerKeys,
        signatures: SignatureChecker,
        opaque: OpaqueVerifier | None = None,
        *,
        find_ban: FindBan | None = None,
    ) -> None:
        """Without `opaque`, opaque tokens are refused; without `find_ban`, bans of tokens are another's to know."""
        self._find_issuer = find_issuer
        self._keys = keys
        self._signatures = signatures
        self._opaque = opaque
        self._find_ban = find_ban

    def verify(
        self,
        token: Secret,
        door: Door,
        at: int,
        trace: list[Check] | None = None,
        issuer: str | None = None,
    ) -> VerifiedClaims:
        """The claims, once everything held at `door` and time `at` (seconds since the epoch).

        Raises TokenRefused; its `proved` says whether the signature had held. `trace` collects one Check per
        step, the failing one last. May raise Unavailable(ISSUER_UNAVAILABLE) when no key was ever fetched.
        `issuer` says whose an opaque token is; a signed one says so itself.
        """
        claims = self._proved(token, door, at, trace, issuer)
        if self._find_ban is not None:
            ban = self._find_ban(claims.identity.issuer, claims.token_id, at)
            with step(trace, "not banned", _shown_credential, claims, ban):
                if ban is not None:
                    detail = f"ban {ban.ban_id} of {ban.of}"
                    raise TokenRefused(Reason.BANNED, detail, proved=True)
        return claims

    def _proved(
        self, token: Secret, door: Door, at: int, trace: list[Check] | None, issuer: str | None
    ) -> VerifiedClaims:
        if self._opaque is not None and is_opaque(token):
            with step(trace, "opaque token", _shown_length, token):
                pass  # nothing in it to check: its issuer is asked
            return self._opaque.verify(token, door, at, issuer, trace)
        with step(trace, "well-formed signed token", _shown_length, token):
            unverified = parse_token(token)
        with step(trace, "issuer trusted", _shown_issuer, unverified):
            profile = self._trusted(unverified)
        with step(trace, "type", _shown_member, unverified, "typ"):
            _check_type(unverified, profile)
        with step(trace, "algorithm allowed", _shown_member, unverified, "alg"):
            algorithm = _algorithm(unverified, profile)
        with step(trace, "key known", _shown_member, unverified, "kid"):
            jwk = self._key(unverified, profile, algorithm)
        with step(trace, "signature", _shown_signature, algorithm, profile):
            if not self._signatures.check(unverified, jwk, algorithm):
                raise TokenRefused(Reason.SIGNATURE_INVALID)
        return check_claims(unverified.claims, profile, door, at, trace)

    def recall(
        self, _token: Secret, _door: Door, _at: int, _present: Mapping[Hashable, Any]
    ) -> VerifiedClaims | None:
        """The claims, if this very token was verified a moment ago and `present` still says the same; never waits."""
        return None

    def takes_opaque(self, door: Door) -> bool:
        """Whether an opaque token at that door has an issuer to go to without being told."""
        return self._opaque is not None and self._opaque.takes(door)

    def _trusted(self, token: UnverifiedToken) -> IssuerProfile:
        profile = self._find_issuer(token.issuer)
        if profile is None:
            raise TokenRefused(Reason.ISSUER_UNKNOWN, repr(token.issuer[:255]))
        return profile

    def _key(
        self, token: UnverifiedToken, profile: IssuerProfile, algorithm: str
    ) -> Mapping[str, Any]:
        key_id = token.header.get("kid")
        if key_id is not None and not (isinstance(key_id, str) and 0 < len(key_id) <= MAX_KEY_ID):
            raise TokenRefused(Reason.KEY_UNKNOWN, "kid: not a short string")
        jwk = self._keys.find_key(profile, key_id)
        if jwk is None:
            raise TokenRefused(Reason.KEY_UNKNOWN, f"kid {str(key_id)[:64]!r} of {profile.issuer}")
        if not key_fits(jwk, algorithm):
            raise TokenRefused(Reason.ALGORITHM_REFUSED, f"{algorithm} with a {jwk.get('kty')} key")
        return jwk


def key_fits(jwk: Mapping[str, Any], algorithm: str) -> bool:
    """Whether the key is of the algorithm's family, meant for signatures, and not bound to another algorithm."""
    for prefix, (key_type, curve) in _KEY_FAMILY.items():
        if algorithm.startswith(prefix):
            fits = jwk.get("kty") == key_type and jwk.get("crv") == curve
            return (
                fits and jwk.get("use", "sig") == "sig" and jwk.get("alg", algorithm) == algorithm
            )
    return False


def _check_type(token: UnverifiedToken, profile: IssuerProfile) -> None:
    """RFC 9068 §4 wants `at+jwt`; INDIGO IAM and WLCG send none, so the profile lists what passes."""
    kind = token.header.get("typ", "")
    if not isinstance(kind, str):
        raise TokenRefused(Reason.TYPE_REFUSED, "typ: not a string")
    if kind.lower().removeprefix("application/") not in profile.accepted_types:
        raise TokenRefused(Reason.TYPE_REFUSED, repr(kind[:64]))


def _algorithm(token: UnverifiedToken, profile: IssuerProfile) -> str:
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in profile.algorithms:
        raise TokenRefused(Reason.ALGORITHM_REFUSED, repr(algorithm)[:64])
    return algorithm


def _shown_length(token: Secret) -> str:
    return f"{len(token)} characters"


def _shown_issuer(token: UnverifiedToken) -> str:
    return repr(token.issuer[:255])


def _shown_member(token: UnverifiedToken, name: str) -> str:
    return bounded(token.header[name]) if name in token.header else f"no {name}"


def _shown_credential(claims: VerifiedClaims, ban: Ban | None) -> str:
    named = "a jti" if claims.token_id is not None else "no jti"
    return f"{claims.identity.issuer}, {named}" + (f", {ban.reason!r}" if ban is not None else "")


def _shown_signature(algorithm: str, profile: IssuerProfile) -> str:
    return f"{algorithm} by {profile.issuer}"

"""JWS signatures through joserfc, one key and one algorithm at a time.

By the time this is asked, the token has been read strictly and key and algorithm were bound together; joserfc gets
exactly that one algorithm and that one public key, never a set and never the token's own choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry
from joserfc.util import to_bytes, urlsafe_b64decode

from idmap.domain.tokens import UnverifiedToken

SHORTEST_RSA_BITS: Final = 2048
"""RFC 7518 §3.3 and §3.5: shorter keys MUST NOT be used; the library only warns."""

KEYS_KEPT: Final = 256
"""Imported keys remembered: some issuers' worth, with rotations."""


class JoseSignatures:
    """The SignatureChecker port on joserfc (RFC 7515, RFC 7518, RFC 8037)."""

    def check(self, token: UnverifiedToken, jwk: Mapping[str, Any], algorithm: str) -> bool:
        """Whether the signature over the token's first two parts holds."""
        # RFC 9864 names the curve; `EdDSA` is the older, polymorphic name and here means Ed25519 only.
        name = "Ed25519" if algorithm == "EdDSA" else algorithm
        try:
            key = _import_key(_public_part(jwk))
            if key is None:
                return False
            model = JWSRegistry(algorithms=[name]).get_alg(name)
            model.check_key(key)
            return bool(model.verify(token.signed, token.signature, key))
        except (JoseError, ValueError, TypeError, KeyError):
            return False


@lru_cache(maxsize=KEYS_KEPT)
def _import_key(members: tuple[tuple[str, str], ...]) -> Any:
    """The library's key, made once per key rather than once per token; None for one that is too short."""
    jwk: dict[str, Any] = dict(members)
    if jwk["kty"] == "RSA" and _modulus_bits(jwk) < SHORTEST_RSA_BITS:
        return None
    return JWKRegistry.import_key(jwk)


def _modulus_bits(jwk: Mapping[str, Any]) -> int:
    return int.from_bytes(urlsafe_b64decode(to_bytes(jwk["n"])), "big").bit_length()


def _public_part(jwk: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Only public members: a private key in a JWKS must not turn into an HMAC secret or worse."""
    names = ("kty", "crv", "x", "y", "n", "e")
    return tuple((name, jwk[name]) for name in names if name in jwk)

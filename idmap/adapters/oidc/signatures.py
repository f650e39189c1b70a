"""JWS signatures through joserfc, one key and one algorithm at a time.

By the time this is asked, the token has been read strictly and key and algorithm were bound together; joserfc gets
exactly that one algorithm and that one public key, never a set and never the token's own choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry

from idmap.domain.tokens import UnverifiedToken


class JoseSignatures:
    """The SignatureChecker port on joserfc (RFC 7515, RFC 7518, RFC 8037)."""

    def check(self, token: UnverifiedToken, jwk: Mapping[str, Any], algorithm: str) -> bool:
        """Whether the signature over the token's first two parts holds."""
        # RFC 9864 names the curve; `EdDSA` is the older, polymorphic name and here means Ed25519 only.
        name = "Ed25519" if algorithm == "EdDSA" else algorithm
        try:
            key = JWKRegistry.import_key(_public_part(jwk))
            model = JWSRegistry(algorithms=[name]).get_alg(name)
            model.check_key(key)
            return bool(model.verify(token.signed, token.signature, key))
        except (JoseError, ValueError, TypeError, KeyError):
            return False


def _public_part(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """Only public members: a private key in a JWKS must not turn into an HMAC secret or worse."""
    return {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e", "kid") if name in jwk}

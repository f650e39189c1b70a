"""Coverage-guided: whatever arrives, the verifier gives claims, TokenRefused or Unavailable.

    python tests/fuzz/fuzz_verify_token.py -max_total_time=60 [CORPUS]

Needs atheris (dev, not locked). The first byte chooses how the rest is read: as a token's text, as its parts, or as the
claims of a token whose signature is taken to hold, since no fuzzer signs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["idmap"]):
    from idmap.application.verify_token import TokenVerifier
    from idmap.domain.errors import TokenRefused, Unavailable
    from idmap.domain.issuers import find_profile
    from idmap.domain.secrets import Secret
    from idmap.domain.tokens import UnverifiedToken

from tests.support.tokens import NOW, SSH, FakeIssuerKeys, profile, public_jwk, segment


class _Holds:
    """A SignatureChecker to which every signature holds: what lies behind it is what is searched."""

    def check(self, token: UnverifiedToken, jwk: Mapping[str, Any], algorithm: str) -> bool:
        return True


_TRUSTED = profile()
_VERIFIER = TokenVerifier(
    lambda text: find_profile((_TRUSTED,), text),
    FakeIssuerKeys((public_jwk("rsa", "k1"),)),
    _Holds(),
)
_HEADER = segment({"alg": "RS256", "kid": "k1"})


def one_input(data: bytes) -> None:
    """One input of the fuzzer."""
    rest = data[1:]
    match data[:1]:
        case b"t":
            text = rest.decode("utf-8", "surrogateescape")
        case b"p":
            text = ".".join(segment(part) for part in rest.split(b"\0"))
        case _:
            text = f"{_HEADER}.{segment(rest)}.AAAA"
    try:
        _VERIFIER.verify(Secret(text), SSH, NOW, [])
    except (TokenRefused, Unavailable):
        return


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

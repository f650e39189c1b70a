"""The signing keys of the instance: one that signs, some still published, one never published.

Keys are RSA-2048 and sign RS256 only. With a key file they survive a restart; without, they last as
long as the process. The unpublished key exists so that a test can meet a well-formed token with a
signature nobody can verify.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from .private_files import read_private, write_private

KEY_BITS = 2048
# What an IAM instance generates for itself.

FIRST_KEY_NUMBER = 1
# IAM's own default kid is "rsa1"; the next keys count on from there.

SignWith = Literal["good", "other"]


class SigningKeys:
    """The key ring. The first published key signs."""

    def __init__(self, key_file: Path | None = None) -> None:
        """Load the ring from `key_file`; when it is absent, make one key and store it there.

        Raises `TooOpen`, or `ValueError` for a file that holds something else.
        """
        self._key_file = key_file
        self._published: list[RSAKey] = []
        stored = read_private(key_file) if key_file else None
        if stored is None:
            self._published = [_generate(f"rsa{FIRST_KEY_NUMBER}")]
            self._store()
        else:
            self._published = _parse_keys(stored, key_file)
        self._made = len(self._published)

    @property
    def kid(self) -> str:
        """The kid of the key that signs now."""
        return _kid_of(self._published[0])

    @cached_property
    def _other(self) -> RSAKey:
        return _generate("other")

    def published(self) -> dict[str, Any]:
        """The JWK Set at `/jwk`: public halves only, in IAM's spelling."""
        return {
            "keys": [
                {**key.as_dict(private=False), "use": "sig", "alg": "RS256"}
                for key in self._published
            ]
        }

    def rotate(self, *, keep_old: bool) -> str:
        """Sign with a new key from now on; the old ones stay published or vanish. Returns the kid."""
        self._made += 1
        taken = {_kid_of(key) for key in self._published}
        while f"rsa{self._made}" in taken:
            self._made += 1
        kept = self._published if keep_old else []
        self._published = [_generate(f"rsa{self._made}"), *kept]
        self._store()
        return self.kid

    def sign(
        self, claims: dict[str, Any], *, kid: str | None = None, sign_with: SignWith = "good"
    ) -> str:
        """The compact JWS of `claims`. The header is `kid` and `alg` alone: IAM sets no `typ`.

        `kid` overrides what the header says, not which key signs.
        """
        key = self._published[0] if sign_with == "good" else self._other
        payload = json.dumps(claims, separators=(",", ":"), ensure_ascii=False)
        header = {"kid": self.kid if kid is None else kid, "alg": "RS256"}
        return jws.serialize_compact(header, payload.encode(), key, algorithms=["RS256"])

    def _store(self) -> None:
        if self._key_file is not None:
            keys = [key.as_dict(private=True) for key in self._published]
            write_private(self._key_file, json.dumps({"keys": keys}, indent=1))


def _generate(kid: str) -> RSAKey:
    return RSAKey.generate_key(KEY_BITS, {"kid": kid}, private=True)


def _parse_keys(stored: str, key_file: Path | None) -> list[RSAKey]:
    """The keys of a stored ring. Raises `ValueError` without a word of what was stored."""
    try:
        keys = [RSAKey.import_key(key) for key in json.loads(stored)["keys"]]
    except (ValueError, TypeError, KeyError, JoseError):
        raise ValueError(f"{key_file} is not a JWK Set of RSA keys") from None
    if not keys:
        raise ValueError(f"{key_file} holds no key")
    return keys


def _kid_of(key: RSAKey) -> str:
    kid = key.kid
    if kid is None:
        raise ValueError("a signing key needs a kid")
    return kid

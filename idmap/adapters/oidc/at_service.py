"""What a node's verifier may ask the service: a key that trust.db does not have, and whose an opaque token is.

Two questions, each one bounded exchange over TLS (or loopback), with a credential of the verifier's own that opens
nothing else (docs/adr/0012-the-verifier-has-a-credential-of-its-own.md). Without an answer: `service_unavailable`.
"""

from __future__ import annotations

import json
import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2

from idmap.adapters.oidc.exchange import Ask, NoAnswer, exchange
from idmap.adapters.oidc.key_files import Jwk, public_keys
from idmap.domain.doors import Door
from idmap.domain.errors import InvalidInput, TokenRefused, Unavailable
from idmap.domain.issuers import IssuerProfile, is_loopback_url
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

KEY_SECONDS: Final = 3.0
"""A login waits this long for a key at most; the service goes on fetching, and the next login finds it."""

INTROSPECTION_SECONDS: Final = 6.0
"""More than the service gives the issuer, less than PAM's ten."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_UNAVAILABLE: Final = frozenset({Reason.ISSUER_UNAVAILABLE, Reason.SERVICE_UNAVAILABLE})


class ServiceQuestions:
    """One service as the verifier of one node sees it."""

    def __init__(
        self, url: str, credential: Callable[[], Secret], *, ca_file: Path | None = None
    ) -> None:
        if not url.startswith("https://") and not is_loopback_url(url):
            raise InvalidInput(
                Reason.CONFIGURATION_INVALID, "service.url: plain http is for loopback only"
            )
        self._url = url.rstrip("/")
        self._credential = credential
        self._tls: ssl.SSLContext | None = (
            None if ca_file is None else ssl.create_default_context(cafile=ca_file)
        )

    def find_key(self, profile: IssuerProfile, key_id: str) -> Jwk | None:
        """The issuer's key of that id, or None when the issuer has none. Raises Unavailable(SERVICE_UNAVAILABLE)."""
        sent = {"issuer": profile.issuer, "kid": key_id}
        found = self._post("/v1/nodes/self/keys", sent, KEY_SECONDS)
        keys = public_keys([found.get("key")])
        return keys[0] if keys and keys[0].get("kid") == key_id else None

    def introspect(self, token: Secret, door: Door) -> bytes:
        """The salted digest of the identity that the token's issuer vouches for.

        Raises TokenRefused, Unavailable(SERVICE_UNAVAILABLE or ISSUER_UNAVAILABLE).
        """
        sent = {"token": token.reveal(), "door": str(door)}
        answer = self._post("/v1/nodes/self/introspect", sent, INTROSPECTION_SECONDS)
        digest, code = answer.get("identity"), answer.get("refused")
        if isinstance(digest, str) and code is None and _DIGEST.fullmatch(digest):
            return bytes.fromhex(digest)
        try:
            reason = Reason(str(code))
        except ValueError:
            raise _unavailable("an answer without identity or reason") from None
        if reason in _UNAVAILABLE:
            raise Unavailable(reason, "says the service")
        raise TokenRefused(reason, "says the service", proved=answer.get("proved") is True)

    def _post(self, path: str, sent: Mapping[str, str], seconds: float) -> Mapping[str, Any]:
        try:
            headers = {"Authorization": f"Bearer {self._credential().reveal()}"}
            ask = Ask("POST", self._url + path, headers=headers, document=sent)
            status, body = exchange(
                ask, seconds=seconds, tls=self._tls, proxy_from_environment=False
            )
            value = json.loads(body) if status == 200 else None
        except (NoAnswer, InvalidInput) as error:
            raise _unavailable(str(error)) from None
        except (ValueError, RecursionError, httpx2.HTTPError) as error:
            raise _unavailable(f"{path}: {type(error).__name__}") from None
        if status == 404:
            return {}
        if not isinstance(value, dict):
            raise _unavailable(f"{path} answered {status}, or no JSON object")
        return value


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(Reason.SERVICE_UNAVAILABLE, detail)

"""RFC 7662 over HTTP: one bounded question to one issuer about one token.

The token goes in the body of a POST to the issuer's own endpoint and nowhere else (law 9); our client authenticates
with HTTP Basic (RFC 6749 §2.3.1). Few questions are open per issuer, so that a slow one does not hold every thread;
more are `issuer_unavailable` at once. The endpoint is discovered once an hour; nothing else is remembered.

It does *not* judge the answer: `application.introspect` does.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote_plus

from idmap.adapters.oidc.exchange import Ask, NoAnswer, exchange
from idmap.adapters.oidc.jwks import discover, fetch_json, is_safe_url
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.introspection import Introspection
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

INTROSPECTION_SECONDS: Final = 4.0
"""For one question, discovery included; PAM waits ten for everything."""

OPEN_QUESTIONS: Final = 8
"""Per issuer; FastAPI has 40 threads."""

ENDPOINT_SECONDS: Final = 3600


class HttpIntrospector:
    """The Introspector port. `find_secret` gives the client's secret by the name in the profile."""

    def __init__(
        self,
        find_secret: Callable[[str], Secret],
        *,
        seconds: float = INTROSPECTION_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find_secret = find_secret
        self._seconds = seconds
        self._clock = clock
        self._endpoints: dict[str, tuple[float, str]] = {}
        self._slots: dict[str, threading.Semaphore] = {}
        self._lock = threading.Lock()

    def introspect(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        """See Introspector.introspect."""
        settings = profile.introspection
        if settings is None:
            raise TokenRefused(Reason.TOKEN_OPAQUE, f"{profile.issuer} has no introspection here")
        with self._lock:
            slots = self._slots.setdefault(profile.issuer, threading.Semaphore(OPEN_QUESTIONS))
        if not slots.acquire(blocking=False):
            raise _unavailable(f"{profile.issuer}: {OPEN_QUESTIONS} questions are open already")
        try:
            return self._ask(profile, settings, token)
        finally:
            slots.release()

    def _ask(
        self, profile: IssuerProfile, settings: Introspection, token: Secret
    ) -> Mapping[str, Any]:
        deadline = time.monotonic() + self._seconds
        url = settings.endpoint or self._endpoint(profile)
        ask = Ask(
            "POST",
            url,
            headers={
                "Authorization": _basic(settings.client_id, self._find_secret(settings.secret))
            },
            form={"token": token.reveal(), "token_type_hint": "access_token"},
        )
        try:
            status, body = exchange(ask, seconds=max(0.01, deadline - time.monotonic()))
            value = json.loads(body) if status == 200 else None
        except NoAnswer as error:
            raise _unavailable(str(error)) from None
        except (ValueError, RecursionError) as error:
            # `from None`: the error holds the body, which speaks of a person.
            raise _unavailable(f"{url}: {type(error).__name__}") from None
        if status in (401, 403):
            raise TokenRefused(Reason.TOKEN_INACTIVE, f"{url} answered {status} to our client")
        if not isinstance(value, dict):
            raise _unavailable(f"{url} answered {status}, or no JSON object")
        return value

    def _endpoint(self, profile: IssuerProfile) -> str:
        known = self._endpoints.get(profile.issuer)
        if known is not None and self._clock() - known[0] < ENDPOINT_SECONDS:
            return known[1]
        document = discover(profile.issuer, profile.spells(), self._fetch)
        url = document.get("introspection_endpoint")
        if not isinstance(url, str) or not is_safe_url(url):
            raise _unavailable(f"{profile.issuer} names no https introspection_endpoint")
        self._endpoints[profile.issuer] = (self._clock(), url)
        return url

    def _fetch(self, url: str) -> Mapping[str, Any]:
        return fetch_json(url, seconds=self._seconds / 2)


def _basic(client_id: str, secret: Secret) -> str:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(Reason.ISSUER_UNAVAILABLE, detail)

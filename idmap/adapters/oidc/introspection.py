"""RFC 7662 over HTTP: one bounded question to one issuer about one token; and userinfo, when that is asked for.

The token goes in the body of a POST to the issuer's own endpoint and nowhere else (law 9); our client authenticates
with HTTP Basic (RFC 6749 §2.3.1). To userinfo it goes as RFC 6750 §2.1 has it. Few questions are open per issuer, so
that a slow one does not hold every thread; more are `issuer_unavailable` at once. The endpoints are discovered once
an hour; nothing else is remembered.

It does *not* judge the answers: `application.introspect` and `application.enrich` do.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import quote_plus

from idmap.adapters.oidc.exchange import Ask, NoAnswer, exchange
from idmap.adapters.oidc.jwks import discover, fetch_json, is_safe_url
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

INTROSPECTION_SECONDS: Final = 4.0
"""For one question, discovery included; PAM waits ten for everything."""

USERINFO_SECONDS: Final = 1.5
"""Besides: with introspection's four less than the six that a node's verifier waits for the service."""

OPEN_QUESTIONS: Final = 8
"""Per issuer; FastAPI has 40 threads."""

ENDPOINT_SECONDS: Final = 3600

_ENDPOINTS: Final = ("introspection_endpoint", "userinfo_endpoint")


class HttpIntrospector:
    """The Introspector port. `find_secret` gives the client's secret by the name in the profile."""

    def __init__(
        self,
        find_secret: Callable[[str], Secret],
        *,
        seconds: float = INTROSPECTION_SECONDS,
        userinfo_seconds: float = USERINFO_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find_secret = find_secret
        self._seconds = seconds
        self._userinfo_seconds = userinfo_seconds
        self._clock = clock
        self._discovered: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._slots: dict[str, threading.Semaphore] = {}
        self._lock = threading.Lock()

    def introspect(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        """See Introspector.introspect."""
        settings = profile.introspection
        if settings is None:
            raise TokenRefused(Reason.TOKEN_OPAQUE, f"{profile.issuer} has no introspection here")
        with self._slot(profile):
            deadline = time.monotonic() + self._seconds
            url = settings.endpoint or self._endpoint(
                profile, "introspection_endpoint", self._seconds / 2
            )
            secret = self._find_secret(settings.secret)
            ask = Ask(
                "POST",
                url,
                headers={"Authorization": _basic(settings.client_id, secret)},
                form={"token": token.reveal(), "token_type_hint": "access_token"},
            )
            return _answer(ask, deadline)

    def userinfo(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        """See UserinfoSource.userinfo."""
        endpoint = profile.introspection and profile.introspection.userinfo_endpoint
        with self._slot(profile):
            deadline = time.monotonic() + self._userinfo_seconds
            url = endpoint or self._endpoint(
                profile, "userinfo_endpoint", self._userinfo_seconds / 2
            )
            return _answer(
                Ask("GET", url, headers={"Authorization": f"Bearer {token.reveal()}"}), deadline
            )

    @contextmanager
    def _slot(self, profile: IssuerProfile) -> Iterator[None]:
        with self._lock:
            slots = self._slots.setdefault(profile.issuer, threading.Semaphore(OPEN_QUESTIONS))
        if not slots.acquire(blocking=False):
            raise _unavailable(f"{profile.issuer}: {OPEN_QUESTIONS} questions are open already")
        try:
            yield
        finally:
            slots.release()

    def _endpoint(self, profile: IssuerProfile, name: str, seconds: float) -> str:
        known = self._discovered.get(profile.issuer)
        if known is None or self._clock() - known[0] >= ENDPOINT_SECONDS:
            document = discover(
                profile.issuer, profile.spells(), lambda url: fetch_json(url, seconds=seconds)
            )
            named = {endpoint: document.get(endpoint) for endpoint in _ENDPOINTS}
            known = (self._clock(), named)
        url = known[1][name]
        if not isinstance(url, str) or not is_safe_url(url):
            self._discovered.pop(profile.issuer, None)  # no fault sticks
            raise _unavailable(f"{profile.issuer} names no https {name}")
        self._discovered[profile.issuer] = known
        return url


def _answer(ask: Ask, deadline: float) -> Mapping[str, Any]:
    """A JSON object. Raises TokenRefused(TOKEN_INACTIVE) for a 401 or 403, Unavailable for everything else."""
    try:
        status, body = exchange(ask, seconds=max(0.01, deadline - time.monotonic()))
        value = json.loads(body) if status == 200 else None
    except NoAnswer as error:
        raise _unavailable(str(error)) from None
    except (ValueError, RecursionError) as error:
        # `from None`: the error holds the body, which speaks of a person.
        raise _unavailable(f"{ask.url}: {type(error).__name__}") from None
    if status in (401, 403):
        raise TokenRefused(Reason.TOKEN_INACTIVE, f"{ask.url} answered {status}")
    if not isinstance(value, dict):
        raise _unavailable(f"{ask.url} answered {status}, or no JSON object")
    return value


def _basic(client_id: str, secret: Secret) -> str:
    pair = f"{quote_plus(client_id)}:{quote_plus(secret.reveal())}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(Reason.ISSUER_UNAVAILABLE, detail)

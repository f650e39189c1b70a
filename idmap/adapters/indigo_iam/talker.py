"""Speaks to INDIGO IAM: a client-credentials token, GET, JSON, and nothing that could leak either.

Authlib fetches the token and renews it before it expires; a 401 renews it once more and repeats the
request, because short tokens expire in a long crawl. 5xx and timeouts are tried again a few times. Everything
else becomes a SourceFailed with a reason a person can act on. Bodies and headers never reach a log or an
exception: IAM's 401 repeats the whole token, and its 500 is a page with a stack trace (research:
iam-provisioning §2.x).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx2
import structlog
from authlib.integrations.httpx_client import (  # type: ignore[import-untyped]  # Authlib ships no types
    OAuth2Client,
    OAuthError,
)

from idmap.adapters.indigo_iam.transport import BoundedTransport
from idmap.domain.errors import SourceFailed
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

BACKOFF_SECONDS: Final = (0.5, 2.0, 5.0)
"""Waits between attempts; their number bounds the attempts. A restart of IAM takes longer: the next run's matter."""

WHOLE_ANSWER_TIMEOUTS: Final = 6
"""An answer may take this many read timeouts as a whole: a page of 100 full records is slow on a busy IAM."""

_ACCEPT: Final = "application/scim+json, application/json"
"""`application/json` alone is answered 406 on the SCIM endpoints."""

_TRY_AGAIN: Final = frozenset({429, 500, 502, 503, 504})
_OAUTH_ERRORS: Final = frozenset(
    "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type "
    "invalid_scope".split()
)
"""RFC 6749 §5.2. Only these words are repeated from a token endpoint's answer."""

_log = structlog.get_logger("idmap.indigo_iam")


class IamTalker:
    """A session with one INDIGO IAM. Not for several threads at once."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: Secret,
        scope: str,
        timeout_seconds: float = 20,
        sleep: Callable[[float], object] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        """`url` is IAM's base address without a trailing slash. `transport` is for tests."""
        # At DEBUG httpcore2 logs response headers, and IAM's 401 repeats the token there (law 9).
        logging.getLogger("httpcore2").setLevel(logging.INFO)
        self._url = url.rstrip("/")
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._transport = transport
        self._client: Any = None

    def _session(self) -> Any:
        """Authlib's client, made when it is first needed."""
        if self._client is None:
            bounded = BoundedTransport(
                self._transport or httpx2.HTTPTransport(),
                max_seconds=WHOLE_ANSWER_TIMEOUTS * self._timeout_seconds,
            )
            self._client = OAuth2Client(
                self._client_id,
                self._client_secret.reveal(),
                scope=self._scope,
                grant_type="client_credentials",
                token_endpoint=f"{self._url}/token",
                headers={"Accept": _ACCEPT},
                timeout=self._timeout_seconds,
                follow_redirects=False,
                # No .netrc, no proxies from the environment: what we send goes to the address configured.
                trust_env=False,
                transport=bounded,
            )
            self._client.register_compliance_hook("access_token_response", _check_token_answer)
        return self._client

    def get(self, path: str, params: Mapping[str, str | int] | None = None) -> object:
        """The decoded JSON of a 200. Raises SourceFailed."""
        found = self.find(path, params)
        if found is None:
            raise SourceFailed(Reason.SOURCE_INCOMPLETE, f"{path} is answered 404")
        return found

    def find(self, path: str, params: Mapping[str, str | int] | None = None) -> object | None:
        """The same, with None for a 404."""
        response = self._request(path, params or {})
        status = response.status_code
        if status == 404:
            return None
        if status in {401, 403}:
            raise SourceFailed(Reason.SOURCE_REFUSED, f"{path} is answered {status}")
        if status == 400:
            # What was found a moment ago is unknown now: the source changes under our feet.
            raise SourceFailed(Reason.SOURCE_INCOMPLETE, f"{path} is answered 400")
        if status != 200:
            raise SourceFailed(Reason.SOURCE_UNAVAILABLE, f"{path} is answered {status}")
        try:
            return _not_null(json.loads(response.content))
        except (ValueError, RecursionError):
            # Without its cause: a JSON error carries the body it could not read.
            raise SourceFailed(
                Reason.SOURCE_UNAVAILABLE, f"{path} is answered 200 with something that is not JSON"
            ) from None

    def close(self) -> None:
        """Closes the connections and forgets the token; the next request begins anew."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _request(self, path: str, params: Mapping[str, str | int]) -> httpx2.Response:
        """Any answer but a 5xx or a first 401."""
        renewed = False
        waits = iter(BACKOFF_SECONDS)
        while True:
            response, failure = self._attempt(path, params)
            if response is not None:
                if response.status_code == 401 and not renewed:
                    renewed = True
                    self._session().token = None
                    continue
                if response.status_code not in _TRY_AGAIN:
                    return response
                failure = f"is answered {response.status_code}"
            wait = next(waits, None)
            if wait is None:
                raise SourceFailed(Reason.SOURCE_UNAVAILABLE, f"{path} {failure}")
            _log.info("source_retry", path=path, problem=failure, wait_seconds=wait)
            self._sleep(wait)

    def _attempt(
        self, path: str, params: Mapping[str, str | int]
    ) -> tuple[httpx2.Response | None, str]:
        """One request: an answer, or what went wrong on the way and may pass."""
        try:
            session = self._session()
            if not session.token:
                session.fetch_token()
            response: httpx2.Response = session.get(f"{self._url}{path}", params=dict(params))
            return response, ""
        except httpx2.HTTPStatusError as error:  # only the token endpoint's answers are raised
            if error.response.status_code in {400, 401, 403}:
                raise _token_refused(str(error.response.status_code)) from None
            return None, f"needs a token, and /token is answered {error.response.status_code}"
        except OAuthError as error:
            named = error.error if error.error in _OAUTH_ERRORS else "an error"
            raise _token_refused(named) from None
        except httpx2.HTTPError as error:
            return None, f"failed: {type(error).__name__}"
        except _BadTokenAnswer:
            raise SourceFailed(
                Reason.SOURCE_UNAVAILABLE, "/token is answered without a token"
            ) from None
        except ValueError:
            # Authlib's "not a JSON object"; without its cause, which may carry the body.
            raise SourceFailed(
                Reason.SOURCE_UNAVAILABLE, "/token is not answered with JSON"
            ) from None


class _BadTokenAnswer(Exception):
    """The token endpoint answered 200 with something that Authlib would stumble over later."""


def _check_token_answer(response: httpx2.Response) -> httpx2.Response:
    if response.status_code == 200:
        try:
            answer = json.loads(response.content)
        except (ValueError, RecursionError):
            raise _BadTokenAnswer from None
        if (
            not isinstance(answer, dict)
            or not isinstance(answer.get("access_token"), str)
            or str(answer.get("token_type", "bearer")).lower() != "bearer"
            or type(answer.get("expires_in", 0)) is not int
        ):
            raise _BadTokenAnswer
    return response


def _not_null(document: object) -> object:
    if document is None:
        raise ValueError("null")
    return document


def _token_refused(what: str) -> SourceFailed:
    return SourceFailed(Reason.SOURCE_REFUSED, f"the token endpoint refuses this client: {what}")

"""Calling the control endpoints of a running simulator, with the standard library alone.

Used by the `token` command and by `testing`. It speaks to `/simulator` and `/token` only.
"""

from __future__ import annotations

import base64
import json
import ssl
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

MOST_ANSWER_BYTES = 16 * 1024 * 1024
CALL_SECONDS = 30.0


class ControlError(Exception):
    """The simulator refused; `status` is the HTTP status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class ControlClient:
    """Calls to one simulator. Proxies of the environment are not used: it is on this machine."""

    def __init__(self, url: str, ca_file: Path | None = None) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"{url!r} is not an http address")
        self._url = url.rstrip("/")
        context = ssl.create_default_context(cafile=ca_file)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # So that the server's own certificate serves as `ca_file`, whoever signed it.
        self._opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))

    def call(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call `/simulator/<name>`. Raises `ControlError` when refused, `OSError` when unreachable."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{self._url}/simulator/{name}"
        return self._send(Request(url, data, headers, method=method))  # noqa: S310 - see __init__

    def client_token(self, client_id: str, client_secret: str, scope: str | None = None) -> str:
        """An access token by client_credentials with HTTP basic. Raises as `call` does."""
        form = {"grant_type": "client_credentials", **({"scope": scope} if scope else {})}
        credentials = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
        request = Request(  # noqa: S310 - see __init__
            f"{self._url}/token",
            urlencode(form).encode(),
            {"Authorization": f"Basic {credentials}"},
        )
        return str(self._send(request)["access_token"])

    def _send(self, request: Request) -> dict[str, Any]:
        try:
            with self._opener.open(request, timeout=CALL_SECONDS) as response:
                answer: dict[str, Any] = json.loads(response.read(MOST_ANSWER_BYTES))
                return answer
        except HTTPError as error:
            with error:
                text = error.read(4096).decode(errors="replace")
            raise ControlError(error.code, text) from None
        except HTTPException as error:
            raise ConnectionError(f"{request.full_url} does not speak HTTP: {error!r}") from None

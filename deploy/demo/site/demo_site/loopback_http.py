"""HTTP requests from inside a private host, whose loopback the runner cannot reach.

The request travels on standard input, so credentials in headers are in no argument. Plain HTTP to
loopback only; no redirects are followed, no proxy is used.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo_site.private_host import PrivateHost

_SCRIPT = """
import http.client, json, sys, urllib.parse
wanted = json.load(sys.stdin)
url = urllib.parse.urlsplit(wanted["url"])
connection = http.client.HTTPConnection(url.hostname, url.port or 80, timeout=wanted["timeout"])
target = url.path or "/"
if url.query:
    target += "?" + url.query
body = wanted["body"]
encoded = None if body is None else body.encode()
connection.request(wanted["method"], target, encoded, wanted["headers"])
answer = connection.getresponse()
text = answer.read().decode("utf-8", "replace")
json.dump({"status": answer.status, "headers": dict(answer.getheaders()), "text": text}, sys.stdout)
"""


@dataclass(frozen=True)
class Answer:
    """A response, whatever its status. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


def request(
    host: PrivateHost,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: object = None,
    timeout: float = 10.0,
) -> Answer:
    """Sends one request; `body` is text as it is, or anything else as JSON.

    Raises PrivateHostError when no response comes.
    """
    sent = {name.lower(): value for name, value in (headers or {}).items()}
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
        sent.setdefault("content-type", "application/json")
    wanted = {"method": method, "url": url, "headers": sent, "body": body, "timeout": timeout}
    asked = host.run(
        [host.python, "-I", "-S", "-c", _SCRIPT], input=json.dumps(wanted), timeout=timeout + 10
    )
    answer = json.loads(asked.check().stdout)
    lower = {name.lower(): value for name, value in answer["headers"].items()}
    return Answer(answer["status"], lower, answer["text"])

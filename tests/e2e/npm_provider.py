"""The npm package `oidc-provider` as an issuer nobody here wrote (see oidc_provider/server.mjs).

`running_oidc_provider()` starts it on this machine's loopback, or, given a private host, on that
host's. The issuer makes its keys at start; tokens are minted and signed by the package itself.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_site import PrivateHost, PrivateHostError
from demo_site.loopback_http import request

SERVER = Path(__file__).parent / "oidc_provider" / "server.mjs"
PORT_INSIDE = 4480
CLIENT = "idmap-test-portal"
"""Whose tokens /mint makes; what introspection names where a token has no audience."""
START_SECONDS = 30.0

Post = Callable[[str, str], str]


@dataclass(frozen=True)
class RunningProvider:
    """A running issuer. `post` is how its loopback is reached: URL and JSON in, JSON out."""

    issuer: str
    post: Post

    def mint(
        self,
        *,
        sub: str,
        audience: str | None,
        scope: str = "ssh",
        groups: Sequence[str] = (),
        acr: str | None = None,
        seconds: int = 600,
        opaque: bool = False,
    ) -> str:
        """An access token (JWT, RS256, or opaque) of the person `sub` for `audience`.

        Without an audience and with the scope `openid`, an opaque one that userinfo takes.
        """
        wanted = {
            "sub": sub,
            "aud": audience,
            "scope": scope,
            "groups": list(groups),
            **({} if acr is None else {"acr": acr}),
            "seconds": seconds,
            "format": "opaque" if opaque else "jwt",
        }
        token: str = self._ask("mint", **wanted)["access_token"]
        return token

    def rotate(self) -> None:
        """Replaces the signing key; the old one is published no more."""
        self._ask("rotate")

    def revoke(self, token: str) -> None:
        """Ends an opaque token."""
        self._ask("revoke", token=token)

    def introspection_client(self) -> tuple[str, str]:
        """Id and secret of the client that may introspect."""
        client = self._ask("client")
        return client["client_id"], client["client_secret"]

    def counts(self) -> dict[str, int]:
        """How often each of the package's own endpoints was asked."""
        found: dict[str, int] = self._ask("counts")
        return found

    def _ask(self, name: str, **wanted: Any) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.post(f"{self.issuer}/{name}", json.dumps(wanted)))
        if "error" in answer:
            raise PrivateHostError(f"{SERVER.name} /{name}: {answer['error']}")
        return answer


def node() -> str:
    """The real path of Node.js; PrivateHostError says how to get it."""
    found = shutil.which("node")
    if found is None or not (SERVER.parent / "node_modules" / "oidc-provider").is_dir():
        raise PrivateHostError("Node.js or oidc-provider is not installed; run: make setup")
    return str(Path(found).resolve())


def node_directory() -> Path:
    """What a private host must expose so that its users can run Node.js."""
    return Path(node()).parent.parent


def _post_here(url: str, body: str) -> str:
    asked = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


@contextmanager
def running_oidc_provider(host: PrivateHost | None = None) -> Iterator[RunningProvider]:
    """Runs the provider while the block runs."""
    if host is not None:
        with _inside(host) as running:
            yield running
        return
    process = subprocess.Popen(
        [node(), str(SERVER), "0", "until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise PrivateHostError(f"{SERVER.name} did not start")
        yield RunningProvider(json.loads(line)["issuer"], _post_here)
    finally:
        process.stdin.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
        process.stdout.close()


@contextmanager
def _inside(host: PrivateHost) -> Iterator[RunningProvider]:
    argv = [node(), str(SERVER), str(PORT_INSIDE)]
    service = host.start("oidc-provider", argv, user="nobody")

    def issuer() -> str:
        for line in service.output().splitlines():
            if line.startswith('{"issuer"'):
                found: str = json.loads(line)["issuer"]
                return found
        return ""

    def post(url: str, body: str) -> str:
        return request(host, "POST", url, body=json.loads(body)).text

    try:
        found = host.wait_for(issuer, START_SECONDS, "oidc-provider", service)
        yield RunningProvider(found, post)
    finally:
        service.stop()

"""One HTTP server to be asked: the real service over a real registry, or a bare async route.

`bench.resolve_server ours PORT DIRECTORY` first makes a site of 100 accounts there and writes the
requests (see load.c): `again`, 10 000 tokens to be asked about over and over, and `new`, as many to be
asked about once. `bare` answers a constant document of the same size, `reading` does so once it has read
the request. All run under the same Granian with the same settings, each in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.adapters.sql import SqlRegistry
from idmap.application.banned_credentials import find_ban_in
from idmap.application.remembered import Remembered
from idmap.application.verified_tokens import VerifiedTokens
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile, find_profile
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.app import create_app
from idmap.entrypoints.http.parts import ServeParts
from idmap.entrypoints.http.server import run_server
from tests.entrypoints.http.site import PORTAL, Clock, Site, make_site
from tests.support.tokens import FakeIssuerKeys, public_jwk

ACCOUNTS = 100
TOKENS = 10_000
ANSWER = {
    "username": "alice",
    "uid": 200000,
    "gid": 300000,
    "groups": [{"name": "hpc", "gid": 300000}, {"name": "hpc_gpu", "gid": 300001}],
    "home": "/home/alice",
    "shell": "/bin/bash",
    "state": "active",
}


@dataclass(frozen=True)
class Listening:
    """The `serve` section of the settings."""

    port: int
    listen: str = "127.0.0.1"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False


def request(credential: str, token: str) -> bytes:
    """One whole request, after a line with its length."""
    body = json.dumps({"token": token, "door": str(PORTAL)}).encode()
    head = (
        "POST /v1/resolve HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {credential}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    whole = head.encode() + body
    return b"%d\n" % len(whole) + whole


def write_requests(site: Site, directory: Path) -> None:
    """Accounts for everybody, then both files of requests."""
    for number in range(ACCOUNTS):
        answer = site.newcomer(f"person{number}")
        if answer.status_code != 202:
            sys.exit(f"no account for person{number}: {answer.text}")
    for name in ("again", "new"):
        with (directory / name).open("wb") as out:
            for number in range(TOKENS):
                subject = f"person{number % ACCOUNTS}"
                token = site.token(subject, door=PORTAL, jti=f"{name}-{number}")
                out.write(request(site.secrets["portal"], token))


def real(directory: Path) -> FastAPI:
    """The service over the site's registry."""
    place = directory / "site"
    for site in make_site(place):
        write_requests(site, directory)
    clock = Clock()
    registry = SqlRegistry.open(f"sqlite:///{place}/registry.db", clock)
    remembered = Remembered(registry)

    def find(text: str) -> IssuerProfile | None:
        issuers = remembered.get("issuers", lambda reader: reader.issuers())
        return find_profile(issuers, Issuer(text))

    keys = FakeIssuerKeys((public_jwk("rsa", "k1"),))
    verifier = VerifiedTokens(
        find,
        keys,
        JoseSignatures(),
        state=lambda: remembered.get(
            "state", lambda r: (r.revision(), r.ban_counter(), r.rules().version)
        ),
        present_state=lambda present: present.get("state"),
        find_ban=find_ban_in(remembered),
    )
    store = DirectorySnapshotStore(place / "snapshot")
    unused = Secret("never issued in a measurement")
    return create_app(
        ServeParts(registry, remembered, verifier, store, clock, lambda: unused, "demo")
    )


def bare() -> FastAPI:
    """One trivial route, which does not even read its request."""
    app = FastAPI()

    @app.post("/v1/resolve")
    async def answer() -> dict[str, Any]:
        return ANSWER

    return app


def reading() -> FastAPI:
    """The same, and it waits for the request's body, as whoever looks at a token must."""
    app = FastAPI()

    @app.post("/v1/resolve")
    async def answer(request: Request) -> dict[str, Any]:
        await request.body()
        return ANSWER

    return app


def main() -> None:
    """See the module; serves until it is ended."""
    kind, port, directory = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    app = {"ours": lambda: real(directory), "bare": bare, "reading": reading}[kind]()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_server(app, Listening(port), asyncio.Event()))


if __name__ == "__main__":
    main()

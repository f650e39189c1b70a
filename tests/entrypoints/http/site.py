"""One small site behind the HTTP door: a real registry, a real store, real signatures, a clock that stands still."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.testclient import TestClient

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.adapters.sql import SqlRegistry
from idmap.application.banned_credentials import find_ban_in
from idmap.application.ports import Author, CredentialKind, Registry, RegistryReader
from idmap.application.remembered import Remembered
from idmap.application.verified_tokens import VerifiedTokens
from idmap.domain.doors import ADMIN, API, Door, parse_door
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile, find_profile
from idmap.domain.manifest import (
    BANS_TYPE,
    HEARTBEAT_TYPE,
    MANIFEST_TYPE,
    BanList,
    Envelope,
    Heartbeat,
    Manifest,
    encode_bans,
    encode_envelope,
    encode_heartbeat,
    encode_manifest,
)
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.posix import Windows
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.app import create_app
from idmap.entrypoints.http.parts import ServeParts
from tests.support.tokens import ISSUER, NOW, FakeIssuerKeys, claims, mint, profile, public_jwk

PORTAL = parse_door("component:portal")
SSH = parse_door("ssh:login")
AUDIENCES = {
    API: "https://idmap.example/api",
    ADMIN: "https://idmap.example/admin",
    SSH: "ssh://login.example",
    PORTAL: "https://portal.example",
}
ADMINISTRATOR = "the-administrator"
RULES: Mapping[str, Any] = {
    "format": 1,
    "classes": {
        "users": {
            "range": "people",
            "primary_group": "hpc",
            "shell": "/bin/bash",
            "home": "/home/{username}",
        }
    },
    "rules": [
        {
            "id": "members",
            "issuer": ISSUER,
            "group": "hpc",
            "class": "users",
            "secondary_groups": ["hpc/gpu"],
        }
    ],
    "admins": [
        {"issuer": ISSUER, "subject": ADMINISTRATOR},
        {"issuer": ISSUER, "group": "hpc/admins"},
    ],
}
SETUP = Author("test", "set up the site")
_CREDENTIALS = (
    (CredentialKind.ADMIN_KEY, "bootstrap"),
    (CredentialKind.COMPONENT, "portal"),
    (CredentialKind.COMPONENT, "gate"),
    (CredentialKind.NODE, "login1"),
    (CredentialKind.NODE, "gone1"),
)


@dataclass
class Clock:
    """Stands still until it is told."""

    now: int = NOW

    def __call__(self) -> int:
        return self.now


@dataclass
class Site:
    """The site, and what a test says to it."""

    registry: Registry
    store: DirectorySnapshotStore
    clock: Clock
    app: FastAPI
    client: TestClient
    secrets: dict[str, str] = field(default_factory=dict)
    """Every secret that exists: none may be seen in a log or an answer."""
    minted: list[str] = field(default_factory=list)

    def token(self, subject: str = "alice", door: Door = API, **changes: Any) -> str:
        """A token of one person for one door; members of hpc unless the test says otherwise."""
        self.minted.append(token_of(subject, door, self.clock.now, **changes))
        return self.minted[-1]

    def ask(
        self, method: str, path: str, credential: str | None = None, **options: Any
    ) -> httpx2.Response:
        """One request; `credential` is the name of a machine credential or a bearer string."""
        headers = {"Idmap-Reason": "a test", **options.pop("headers", {})}
        if credential is not None:
            headers["Authorization"] = f"Bearer {self.secrets.get(credential, credential)}"
        answer: httpx2.Response = self.client.request(method, path, headers=headers, **options)
        return answer

    def resolve(self, token: str, door: Door = PORTAL, **options: Any) -> httpx2.Response:
        """What the portal asks."""
        body = {"token": token, "door": str(door)}
        return self.ask("POST", "/v1/resolve", "portal", json=body, **options)

    def newcomer(self, subject: str = "alice", **changes: Any) -> httpx2.Response:
        """A person asks for their account."""
        return self.ask("POST", "/v1/me/account", self.token(subject, **changes))

    def publish(self, revision: int = 1, counter: int = 1) -> None:
        """Documents as `work` would publish them; the signatures are nobody's business here."""
        windows = Windows(uid=((200000, 299999),), gid=((300000, 399999),))
        manifest = Manifest("demo", revision, NOW, NOW + 60, windows, counter, {}, (), ())
        self.put("manifest", MANIFEST_TYPE, encode_manifest(manifest))
        self.put("bans", BANS_TYPE, encode_bans(BanList("demo", counter, NOW, ((200000, 0),))))
        heartbeat = Heartbeat("demo", NOW, revision, counter)
        self.put("heartbeat", HEARTBEAT_TYPE, encode_heartbeat(heartbeat))

    def put(self, name: str, kind: str, payload: bytes) -> None:
        """One document."""
        self.store.put_document(name, encode_envelope(Envelope(kind, payload, {"k": b"s"})))


def token_of(subject: str, door: Door, now: int = NOW, **changes: Any) -> str:
    """A member of hpc shows this."""
    given = {"sub": subject, "aud": AUDIENCES[door], "iat": now - 10, "exp": now + 3600}
    person = {"groups": ["hpc", "hpc/gpu"], "preferred_username": subject}
    return mint(claims(API, **{**given, **person, **changes})).reveal()


def trusted(**changes: Any) -> IssuerProfile:
    """The issuer of the site, whose tokens may be recorded."""
    doors = {door: frozenset({audience}) for door, audience in AUDIENCES.items()}
    return profile(**{"audiences": doors, "record_groups_from_tokens": True, **changes})


def make_site(directory: Path) -> Iterator[Site]:
    """A site with an issuer, ranges, rules, and one credential of each kind."""
    shutil.copytree(_template(), directory, dirs_exist_ok=True)
    with open_site(directory) as site, site.client:
        yield site


@contextmanager
def open_site(directory: Path, registry: SqlRegistry | None = None) -> Iterator[Site]:
    """The site whose registry lies there, or is given. Whoever enters its client has the event stream running."""
    clock = Clock()
    if registry is None:
        registry = SqlRegistry.open(f"sqlite:///{directory}/registry.db", clock)
    store = DirectorySnapshotStore(directory / "snapshot")
    numbers = count(1)
    secrets = {name: _secret_of(name) for _, name in _CREDENTIALS}

    def make_secret() -> Secret:
        secret = Secret(f"made-{next(numbers)}-{'abcdefghij' * 4}")
        secrets[f"made {len(secrets)}"] = secret.reveal()
        return secret

    def find(text: str) -> IssuerProfile | None:
        issuers = remembered.get("issuers", lambda reader: reader.issuers())
        return find_profile(issuers, Issuer(text))

    remembered = Remembered(registry)

    keys = FakeIssuerKeys((public_jwk("rsa", "k1"),))
    parts = ServeParts(
        registry=registry,
        remembered=remembered,
        verifier=VerifiedTokens(
            find,
            keys,
            JoseSignatures(),
            state=lambda: remembered.get("state", _state),
            present_state=lambda present: present.get("state"),
            find_ban=find_ban_in(remembered),
        ),
        store=store,
        clock=clock,
        make_secret=make_secret,
        realm="demo",
        poll_seconds=0.02,
    )
    app = create_app(parts)
    client = TestClient(app, raise_server_exceptions=True, base_url="https://idmap.example")
    try:
        yield Site(registry, store, clock, app, client, secrets)
    finally:
        registry.close()


def _state(reader: RegistryReader) -> tuple[int, ...]:
    return (reader.revision(), reader.ban_counter(), reader.rules().version)


@cache
def _template() -> Path:
    """The site's registry, set up once per run and copied for every test; the migrations take their time."""
    kept = tempfile.TemporaryDirectory(prefix="idmap-test-site-")
    atexit.register(kept.cleanup)
    clock = Clock()
    registry = SqlRegistry.create(f"sqlite:///{kept.name}/registry.db", clock)
    furnish(registry, clock)
    registry.close()
    return Path(kept.name)


def furnish(registry: Registry, clock: Clock) -> None:
    """What every site has."""
    with registry.write(SETUP) as writer:
        writer.save_issuer(trusted())
        writer.add_range(NumberRange("people", RangePurpose.PEOPLE, 200000, 200099))
        writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 300000, 300099))
        writer.save_rules(RULES, expect_version=None)
        for kind, name in _CREDENTIALS:
            writer.add_credential(
                kind,
                name,
                Secret(_secret_of(name)).sha256(),
                node_class="login" if kind is CredentialKind.NODE else None,
                doors={"portal": (str(PORTAL), "api"), "gate": ("gate",)}.get(name, ()),
                at=clock(),
            )
        writer.revoke_credential(CredentialKind.NODE, "gone1")


def _secret_of(name: str) -> str:
    return f"idmap-test-{name}-{'0123456789' * 4}"

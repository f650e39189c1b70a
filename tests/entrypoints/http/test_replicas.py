"""Two services on one database, SQLite and PostgreSQL: conditions and keys hold between them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.testclient import TestClient

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.adapters.sql import SqlRegistry
from idmap.application.administer import add_admin_key
from idmap.application.remembered import Remembered
from idmap.application.verify_token import TokenVerifier
from idmap.entrypoints.bootstrap import make_secret
from idmap.entrypoints.http.app import create_app
from idmap.entrypoints.http.parts import ServeParts
from tests.support.postgresql import make_postgresql_registry
from tests.support.registries import make_registry
from tests.support.registry_scenes import AUTHOR, NOW, document, furnish, opening, person
from tests.support.tokens import FakeIssuerKeys, public_jwk

KEYED = {"Idempotency-Key": "one"}
BAN = {"account": "alice", "reason": "stolen laptop"}


class Replicas:
    """The services, asked in turn."""

    def __init__(self, clients: list[TestClient], secret: str) -> None:
        self._clients, self._secret = clients, secret

    def ask(self, number: int, method: str, path: str, **more: Any) -> httpx2.Response:
        """One request of the administrator to one of them."""
        headers = {"Authorization": f"Bearer {self._secret}", "Idmap-Reason": "a test"}
        headers |= more.pop("headers", {})
        client = self._clients[number % len(self._clients)]
        return client.request(method, path, headers=headers, **more)

    def many(self, *request: Any, **more: Any) -> list[httpx2.Response]:
        """The same request sixteen times at once, to all of them."""
        with ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda n: self.ask(n, *request, **more), range(16)))


def _service(registry: SqlRegistry, directory: Path) -> TestClient:
    parts = ServeParts(
        registry=registry,
        remembered=Remembered(registry),
        verifier=TokenVerifier(
            lambda _: None, FakeIssuerKeys((public_jwk("rsa", "k1"),)), JoseSignatures()
        ),
        store=DirectorySnapshotStore(directory),
        clock=lambda: NOW,
        make_secret=make_secret,
        realm="test",
    )
    return TestClient(create_app(parts), base_url="https://idmap.example")


@pytest.fixture(params=["sqlite", "postgresql"])
def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replicas]:
    with ExitStack() as stack:
        if request.param == "sqlite":
            first = make_registry(directory=tmp_path)
            second = SqlRegistry.open(f"sqlite:///{tmp_path}/registry.db", lambda: NOW)
        else:
            first = fresh = make_postgresql_registry()
            second = fresh.another()
        stack.callback(first.close)
        stack.callback(second.close)
        furnish(first)
        with first.write(AUTHOR) as writer:
            writer.open_account(opening(person("alice"), "alice"))
            writer.save_rules(document(), expect_version=None)
        secret = add_admin_key(first, AUTHOR, make_secret, "a", NOW).reveal()
        clients = [
            stack.enter_context(_service(registry, tmp_path / "snapshot"))
            for registry in (first, second)
        ]
        yield Replicas(clients, secret)


def test_a_key_is_used_once_among_all(replicas: Replicas) -> None:
    """Whoever comes second at the same service is told to wait; at the other it gets the same answer."""
    answers = replicas.many("POST", "/v1/bans", json=BAN, headers=KEYED)
    assert {answer.status_code for answer in answers} <= {201, 409}
    done = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in done}) == 1
    for number in (0, 1):
        assert len(replicas.ask(number, "GET", "/v1/bans").json()["bans"]) == 1
        again = replicas.ask(number, "POST", "/v1/bans", json=BAN, headers=KEYED)
        assert (again.content, again.headers["idempotency-replayed"]) == (done[0].content, "true")


def test_of_many_who_read_the_same_one_writes_among_all(replicas: Replicas) -> None:
    tag = {"If-Match": replicas.ask(1, "GET", "/v1/accounts/alice").headers["etag"]}
    answers = replicas.many("POST", "/v1/accounts/alice/suspend", json={}, headers=tag)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 15
    rules = {"If-Match": replicas.ask(0, "GET", "/v1/rules").headers["etag"]}
    answers = replicas.many("PUT", "/v1/rules", json=document(), headers=rules)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 15
    assert replicas.ask(1, "GET", "/v1/rules").headers["etag"] == '"2"'


def test_both_tell_the_same_tag(replicas: Replicas) -> None:
    for path in ("/v1/accounts/alice", "/v1/groups/vo", "/v1/rules"):
        tags = {replicas.ask(number, "GET", path).headers["etag"] for number in (0, 1)}
        assert len(tags) == 1

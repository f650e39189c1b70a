"""The cache of issuers' keys: fetched rarely, stubborn in outages, deaf to floods."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from idmap.adapters.oidc.jwks import (
    MAX_DOCUMENT,
    REFRESH_SECONDS,
    STALE_LIMIT_SECONDS,
    UNKNOWN_KEY_COOLDOWN_SECONDS,
    JwksCache,
    fetch_json,
    fetch_keys,
    pick_key,
)
from idmap.domain.errors import Unavailable
from idmap.domain.reasons import Reason
from tests.support.tokens import ISSUER, profile, public_jwk


class _World:
    """An issuer whose keys, honesty and health the test decides, and a clock."""

    def __init__(self) -> None:
        self.now = 1_000_000
        self.keys = [public_jwk("rsa", "k1")]
        self.issuer = ISSUER
        self.healthy = True
        self.fetched: list[str] = []

    def fetch(self, url: str) -> Mapping[str, Any]:
        self.fetched.append(url)
        if not self.healthy:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "down")
        if url.endswith("openid-configuration"):
            return {"issuer": self.issuer, "jwks_uri": "https://iam.example/jwk"}
        return {"keys": self.keys}

    def cache(self, directory: Path | None = None) -> JwksCache:
        return JwksCache(directory, lambda: self.now, self.fetch, aside=lambda errand: errand())


def test_keys_are_fetched_once_and_kept() -> None:
    """A thousand questions, one discovery, one fetch."""
    world = _World()
    cache = world.cache()
    for _ in range(1000):
        assert cache.find_key(profile(), "k1")
    assert world.fetched == [
        "https://iam.example/.well-known/openid-configuration",
        "https://iam.example/jwk",
    ]


def test_a_flood_of_unknown_key_ids_causes_one_fetch_a_minute() -> None:
    """GHSA-fhv5-28vv-h8m8 in another library: one refetch per unknown `kid`. Not here."""
    world = _World()
    cache = world.cache()
    cache.find_key(profile(), "k1")
    before = len(world.fetched)
    for number in range(500):
        assert cache.find_key(profile(), f"bogus-{number}") is None
    assert len(world.fetched) == before + 2
    world.now += UNKNOWN_KEY_COOLDOWN_SECONDS - 1
    assert cache.find_key(profile(), "bogus") is None
    assert len(world.fetched) == before + 2
    world.now += 1
    assert cache.find_key(profile(), "bogus") is None
    assert len(world.fetched) == before + 4


def test_a_rotated_key_is_found_at_once_and_the_withdrawn_one_is_gone() -> None:
    """The new key id triggers the one bounded fetch; a routine refresh just before does not count."""
    world = _World()
    cache = world.cache()
    cache.find_key(profile(), "k1")
    version = cache.version
    world.keys = [public_jwk("rsa-new", "k2")]
    assert cache.find_key(profile(), "k2")
    assert cache.find_key(profile(), "k1") is None
    assert cache.version > version


def test_a_silent_issuer_does_not_cost_the_known_keys() -> None:
    """Stale keys serve for two days; then nobody is admitted on them."""
    world = _World()
    cache = world.cache()
    cache.find_key(profile(), "k1")
    world.healthy = False
    world.now += STALE_LIMIT_SECONDS
    assert cache.find_key(profile(), "k1")
    world.now += 1
    with pytest.raises(Unavailable):
        cache.find_key(profile(), "k1")


def test_keys_survive_a_restart_and_reach_other_processes(tmp_path: Path) -> None:
    """A second process reads what the first fetched, also while the issuer is down."""
    world = _World()
    world.cache(tmp_path).find_key(profile(), "k1")
    world.healthy = False
    assert world.cache(tmp_path).find_key(profile(), "k1")


def test_keys_are_refreshed_after_an_hour() -> None:
    """A withdrawn key disappears within the hour."""
    world = _World()
    cache = world.cache()
    cache.find_key(profile(), "k1")
    world.keys = [public_jwk("rsa-new", "k2")]
    world.now += REFRESH_SECONDS
    assert cache.find_key(profile(), "k1") is None


def test_discovery_must_speak_of_this_very_issuer() -> None:
    """A slash more or less is another issuer (INDIGO IAM issue 1118)."""
    world = _World()
    world.issuer = "https://iam.example"
    with pytest.raises(Unavailable, match="names the issuer"):
        fetch_keys(profile(), world.fetch)
    with pytest.raises(Unavailable):
        world.cache().find_key(profile(), "k1")


def test_private_members_never_enter_the_cache() -> None:
    """An issuer that publishes a private key by mistake does not make us hold it."""
    leaking = {**public_jwk("rsa", "k1"), "d": "secret", "k": "secret"}
    keys = fetch_keys(profile(jwks_uri="https://iam.example/jwk"), lambda _: {"keys": [leaking]})
    assert not {"d", "k"} & keys[0].keys()


@pytest.mark.parametrize(
    "answer", [{}, {"keys": 1}, {"keys": []}, {"keys": [{"kty": "oct", "k": "x"}]}, {"keys": [1]}]
)
def test_a_jwks_without_public_keys_is_an_unavailable_issuer(answer: dict[str, Any]) -> None:
    """Symmetric keys are no keys."""
    with pytest.raises(Unavailable):
        fetch_keys(profile(jwks_uri="https://iam.example/jwk"), lambda _: answer)


def test_without_a_key_id_the_only_key_is_meant() -> None:
    """With two keys and no id, none is."""
    one, two = public_jwk("rsa", "k1"), public_jwk("p256", "e1")
    assert pick_key((one,), None) == one
    assert pick_key((one, two), None) is None


@contextmanager
def _server(status: int, body: bytes, headers: dict[str, str] | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/jwk"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_json_object_is_fetched() -> None:
    """Over plain http, since it is loopback."""
    with _server(200, b'{"keys": []}') as url:
        assert fetch_json(url) == {"keys": []}


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (500, b"{}", {}),
        (302, b"", {"Location": "http://127.0.0.1:1/"}),
        (200, b"<html>", {}),
        (200, b"[]", {}),
        (200, json.dumps({"keys": "x" * MAX_DOCUMENT}).encode(), {}),
    ],
)
def test_what_is_no_small_json_object_is_refused(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    """Errors, redirects, pages, lists and floods: the issuer is unavailable, nothing else happens."""
    with _server(status, body, headers) as url, pytest.raises(Unavailable):
        fetch_json(url)

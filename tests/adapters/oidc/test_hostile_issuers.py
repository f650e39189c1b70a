"""Issuers that answer badly, slowly or endlessly: bounded, with a reason, and nobody else pays for it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from idmap.adapters.oidc.jwks import (
    OVERDUE_SECONDS,
    REFRESH_SECONDS,
    JwksCache,
    fetch_json,
    fetch_keys,
)
from idmap.application.single_flight import WAITING
from idmap.domain.errors import Unavailable
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from tests.support.hostile_servers import (
    DRIPS,
    Behave,
    answer,
    drip,
    flood,
    full_backlog,
    hang_up,
    hold,
    hostile,
)
from tests.support.tokens import profile, public_jwk

SECONDS = 0.5
"""The deadline in these tests; the drips and floods would take hours."""

quick = partial(fetch_json, seconds=SECONDS)
patient = partial(fetch_json, seconds=60)
GOOD = json.dumps({"keys": [public_jwk("rsa", "k1")]}).encode()


def at(url: str) -> IssuerProfile:
    """An issuer whose keys are at that address."""
    return profile(issuer=Issuer(url), jwks_uri=url)


@pytest.mark.parametrize(
    ("behave", "stated"),
    [
        (answer("200 OK", b"<html><body>Sign in</body></html>"), "JSONDecodeError"),
        (answer("500 Oh", b'{"keys": []}'), "answered 500"),
        (answer("204 Nothing", b""), "answered 204"),
        (answer("200 OK", b"[]"), "no JSON object"),
        (answer("200 OK", b"[" * 100_000), "RecursionError"),
        (answer("200 OK", b"\xff\xfe{"), "UnicodeDecodeError"),
        (answer("200 OK", b"\x1f\x8b\x08\x00", "Content-Encoding: gzip"), "Error"),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"), "no answer within"),
        (drip(b"HTTP/1.1 200 OK\r\nX-Slow: "), "no answer within"),
        (drip(b"H"), "no answer within"),
        (hold, "no answer within|Timeout"),
        (hang_up, "Error"),
    ],
    ids="html 500 204 list deep bytes gzip drip-body drip-headers drip-status silence hang-up".split(),
)
def test_a_bad_answer_ends_in_bounded_time_with_its_reason(behave: Behave, stated: str) -> None:
    """The log says what happened; nothing of it becomes a key."""
    with hostile(behave) as server:
        with pytest.raises(Unavailable, match=stated) as refused:
            fetch_keys(at(server.url), quick)
        assert refused.value.reason is Reason.ISSUER_UNAVAILABLE
        assert server.sent < DRIPS


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Same", "308 Same"])
def test_a_redirect_to_another_host_is_not_followed(status: str) -> None:
    """Where it points is never contacted, whatever it would say."""
    with (
        hostile(answer("200 OK", GOOD)) as elsewhere,
        hostile(answer(status, b"", f"Location: {elsewhere.url}")) as server,
    ):
        with pytest.raises(Unavailable, match="answered 30"):
            fetch_keys(at(server.url), quick)
        assert (server.visits, elsewhere.visits) == (1, 0)


def test_of_fifty_megabytes_only_the_first_part_is_taken() -> None:
    """The connection is closed at the first byte too many; what was taken beyond lies in socket buffers."""
    with hostile(flood(50)) as server:
        with pytest.raises(Unavailable, match="more than"):
            fetch_keys(at(server.url), patient)
        assert server.sent < 25 * 1024 * 1024


def test_a_connection_that_is_never_completed_ends_too() -> None:
    """A firewall that drops packets looks like this."""
    with full_backlog() as url, pytest.raises(Unavailable):
        fetch_keys(at(url), quick)


def test_a_silent_issuer_holds_few_threads_and_others_are_served() -> None:
    """Every thread of a pool asks for the silent one; the pool still has room for the healthy one."""
    pool = ThreadPoolExecutor(2 * WAITING)
    with hostile(hold) as silent, hostile(answer("200 OK", GOOD)) as healthy:
        cache = JwksCache(None, lambda: 1_000_000, patient)

        def ask(url: str) -> str:
            try:
                return "key" if cache.find_key(at(url), "k1") else "none"
            except Unavailable as error:
                return str(error.reason)

        stuck = [pool.submit(ask, silent.url) for _ in range(10 * WAITING)]
        served = pool.submit(ask, healthy.url)
        assert served.result(timeout=60) == "key"
        assert not silent.released.is_set()
        assert silent.visits == 1
        silent.released.set()
        assert {one.result(timeout=60) for one in stuck} == {"issuer_unavailable"}
        pool.shutdown()


def test_known_keys_serve_while_a_refresh_hangs() -> None:
    """The refresh goes on beside; nobody whose key is known waits for it, not even the one who started it."""
    with hostile(hold) as silent:
        world: dict[str, Any] = {"now": 1_000_000, "down": False}

        def fetch(url: str) -> Any:
            return patient(url) if world["down"] else json.loads(GOOD)

        cache = JwksCache(None, lambda: world["now"], fetch)
        assert cache.find_key(at(silent.url), "k1")
        world.update(now=world["now"] + REFRESH_SECONDS, down=True)
        for _ in range(100):
            assert cache.find_key(at(silent.url), "k1")
        assert not silent.released.is_set()
    wait_for_threads("issuer-keys")
    assert silent.visits <= 1


def test_overdue_keys_are_looked_up_first_and_serve_if_the_issuer_fails() -> None:
    """After an idle night a withdrawn key opens nothing; with the issuer down the known ones still do."""
    world: dict[str, Any] = {"now": 1_000_000, "answer": json.loads(GOOD)}

    def fetch(url: str) -> Any:
        if world["answer"] is None:
            raise Unavailable(Reason.ISSUER_UNAVAILABLE, "down")
        return world["answer"]

    asked = at("https://iam.example/")
    cache = JwksCache(None, lambda: world["now"], fetch)
    assert cache.find_key(asked, "k1")
    world.update(now=world["now"] + OVERDUE_SECONDS, answer=None)
    assert cache.find_key(asked, "k1")
    world.update(now=world["now"] + 30, answer={"keys": [public_jwk("rsa-new", "k2")]})
    assert cache.find_key(asked, "k1") is None
    assert cache.find_key(asked, "k2")


def test_rotation_while_many_log_in_refuses_nobody_and_fetches_once() -> None:
    """Everybody who shows the new key id at the same moment waits for the one fetch."""
    keys = [public_jwk("rsa", "k1")]
    fetched: list[str] = []
    started, go = threading.Event(), threading.Event()

    def fetch(url: str) -> Any:
        if fetched:
            started.set()
            go.wait(60)
        fetched.append(url)
        return {"keys": list(keys)}

    asked = at("https://iam.example/")
    cache = JwksCache(None, lambda: 1_000_000, fetch)
    assert cache.find_key(asked, "k1")
    keys[:] = [public_jwk("rsa-new", "k2")]
    with ThreadPoolExecutor(WAITING) as pool:
        first = pool.submit(cache.find_key, asked, "k2")
        assert started.wait(60)
        others = [pool.submit(cache.find_key, asked, "k2") for _ in range(WAITING - 1)]
        assert cache.find_key(asked, "k1"), "the old key serves until the new ones are there"
        go.set()
        assert all(found.result(timeout=60) for found in (first, *others))
    assert len(fetched) == 2
    assert cache.find_key(asked, "k1") is None


def _stored(directory: Path) -> Path:
    (file,) = directory.iterdir()
    return file


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"\x00garbage",
        lambda _: b"[" * 100_000,
        lambda _: b"",
        lambda value: json.dumps([value]).encode(),
        lambda value: json.dumps({**value, "issuer": "https://other.example/"}).encode(),
        lambda value: json.dumps({**value, "fetched": 9_000_000_000}).encode(),
        lambda value: json.dumps({**value, "fetched": "now"}).encode(),
        lambda value: json.dumps({**value, "keys": [1, None, "x"]}).encode(),
        lambda value: json.dumps(
            {**value, "keys": [{"kty": "oct", "k": "eA", "kid": "k1"}]}
        ).encode(),
        lambda value: json.dumps({**value, "keys": {}}).encode(),
    ],
    ids="garbage deep empty list other-issuer future no-date no-keys symmetric table".split(),
)
def test_a_damaged_file_counts_as_absent(damage: Any, tmp_path: Path) -> None:
    """The issuer is asked again; nothing of the file is believed."""
    asked = at("https://iam.example/")
    fetched: list[str] = []

    def fetch(url: str) -> Any:
        fetched.append(url)
        return {"keys": [public_jwk("rsa-new", "k2")]}

    JwksCache(tmp_path, lambda: 1_000_000, lambda _: json.loads(GOOD)).find_key(asked, "k1")
    file = _stored(tmp_path)
    file.write_bytes(damage(json.loads(file.read_bytes())))
    cache = JwksCache(tmp_path, lambda: 1_000_000, fetch)
    assert cache.find_key(asked, "k2")
    assert fetched
    assert json.loads(file.read_bytes())["issuer"] == asked.issuer


def test_what_one_process_fetched_another_knows_at_once(tmp_path: Path) -> None:
    """`serve` meets the new key first; `work` publishes it without asking the issuer."""
    asked = at("https://iam.example/")
    answers = [json.loads(GOOD), {"keys": [public_jwk("rsa-new", "k2")]}]
    now = [1_000_000]
    serve = JwksCache(tmp_path, lambda: now[0], lambda _: answers[0])
    work = JwksCache(tmp_path, lambda: now[0], lambda _: pytest.fail("asked the issuer"))
    serve.find_key(asked, "k1")
    assert work.keys_of(asked)[0]["kid"] == "k1"
    answers.pop(0)
    now[0] += 1
    assert serve.find_key(asked, "k2")
    assert work.keys_of(asked)[0]["kid"] == "k2"


def wait_for_threads(name: str) -> None:
    """Joins every thread of that name."""
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join(60)

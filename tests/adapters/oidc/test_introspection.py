"""Introspection over HTTP: the token goes to its issuer's endpoint, bounded, and a fault is only a fault."""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import pytest

from idmap.adapters.oidc.at_service import ServiceQuestions
from idmap.adapters.oidc.introspection import OPEN_QUESTIONS, HttpIntrospector
from idmap.domain.errors import InvalidInput, TokenRefused, Unavailable
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from tests.support.hostile_servers import Behave, answer, drip, flood, hang_up, hold, hostile
from tests.support.tokens import SSH, profile, public_jwk

TOKEN = Secret("opaque-token-0123456789-abcdefghij")
CLIENT_SECRET = Secret("s3cr:t/+ with=odd&characters")


def at(url: str, endpoint: str | None) -> IssuerProfile:
    asks = Introspection("the client:id", "iam", endpoint=endpoint)
    return profile(issuer=Issuer(url), introspection=asks)


def introspector(seconds: float = 0.5) -> HttpIntrospector:
    return HttpIntrospector({"iam": CLIENT_SECRET}.__getitem__, seconds=seconds)


class _Issuer(ThreadingHTTPServer):
    """Discovery and introspection; remembers what was asked."""

    said: Mapping[str, Any] = {"active": True}

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.asked: list[tuple[str, str, str | None, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _Issuer

    def do_GET(self) -> None:
        self._answer({"issuer": self.server.url, "introspection_endpoint": f"{self.server.url}/i"})

    def do_POST(self) -> None:
        self._answer(self.server.said)

    def _answer(self, value: Mapping[str, Any]) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = (self.command, self.path, self.headers.get("Authorization"), body)
        self.server.asked.append(asked)
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        return


@contextmanager
def issuer() -> Iterator[_Issuer]:
    with _Issuer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_the_question_is_rfc_7662s_with_the_clients_own_credential() -> None:
    """The token in the body, never in the address; the endpoint discovered once for many questions."""
    with issuer() as server:
        asking = introspector(10)
        for _ in range(3):
            assert asking.introspect(at(server.url, None), TOKEN) == {"active": True}
        assert [(method, path) for method, path, _, _ in server.asked] == [
            ("GET", "/.well-known/openid-configuration"),
            *[("POST", "/i")] * 3,
        ]
        _, path, authorization, body = server.asked[-1]
        assert TOKEN.reveal() not in path
        assert authorization is not None
        client, secret = b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        assert (unquote_plus(client), unquote_plus(secret)) == (
            "the client:id",
            CLIENT_SECRET.reveal(),
        )
        sent = parse_qs(body.decode())
        assert sent == {"token": [TOKEN.reveal()], "token_type_hint": ["access_token"]}
        assert server.asked[0][2] is None


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (answer("401 No", b"{}"), Reason.TOKEN_INACTIVE),
        (answer("403 No", b"{}"), Reason.TOKEN_INACTIVE),
        (answer("500 Oh", b'{"active": true}'), Reason.ISSUER_UNAVAILABLE),
        (answer("404 Oh", b'{"active": true}'), Reason.ISSUER_UNAVAILABLE),
        (answer("200 OK", b"<html>"), Reason.ISSUER_UNAVAILABLE),
        (answer("200 OK", b"[true]"), Reason.ISSUER_UNAVAILABLE),
        (answer("200 OK", b"[" * 100_000), Reason.ISSUER_UNAVAILABLE),
        (hold, Reason.ISSUER_UNAVAILABLE),
        (hang_up, Reason.ISSUER_UNAVAILABLE),
        (flood(5), Reason.ISSUER_UNAVAILABLE),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"), Reason.ISSUER_UNAVAILABLE),
    ],
    ids="401 403 500 404 html list deep silence hang-up flood drip".split(),
)
def test_whatever_is_no_answer_admits_nobody_and_does_not_stick(
    behave: Behave, reason: Reason
) -> None:
    """A 401 is a no; everything else is an issuer that could not be asked. The next question is a new one."""
    with hostile(behave) as server, issuer() as healthy:
        asking = introspector()
        with pytest.raises((TokenRefused, Unavailable)) as refused:
            asking.introspect(at(server.url, server.url), TOKEN)
        assert refused.value.reason is reason
        assert TOKEN.reveal() not in str(refused.value)
        mended = at(server.url, f"{healthy.url}/i")
        assert asking.introspect(mended, TOKEN) == {"active": True}


def test_a_redirect_does_not_carry_the_token_elsewhere() -> None:
    """Law 9: for its own issuer, and nobody else."""
    with (
        hostile(answer("200 OK", b'{"active": true}')) as elsewhere,
        hostile(answer("307 There", b"", f"Location: {elsewhere.url}")) as server,
    ):
        with pytest.raises(Unavailable):
            introspector().introspect(at(server.url, server.url), TOKEN)
        assert (server.visits, elsewhere.visits) == (1, 0)


def test_a_slow_issuer_holds_few_threads_and_others_are_asked() -> None:
    """Beyond a handful of open questions the answer is `issuer_unavailable` at once."""
    with hostile(hold) as silent, issuer() as healthy:
        asking = introspector(60)
        with ThreadPoolExecutor(OPEN_QUESTIONS + 1) as pool:

            def ask() -> Reason:
                with pytest.raises(Unavailable) as refused:
                    asking.introspect(at(silent.url, silent.url), TOKEN)
                return refused.value.reason

            stuck = [pool.submit(ask) for _ in range(3 * OPEN_QUESTIONS)]
            other = at(healthy.url, f"{healthy.url}/i")
            served = pool.submit(asking.introspect, other, TOKEN)
            assert served.result(timeout=60) == {"active": True}
            assert not silent.released.is_set()
            silent.released.set()
            assert {one.result(timeout=60) for one in stuck} == {Reason.ISSUER_UNAVAILABLE}


def node(url: str) -> ServiceQuestions:
    return ServiceQuestions(url, lambda: Secret("the-verifiers-own"))


@pytest.mark.parametrize(
    ("body", "reason", "proved"),
    [
        ({"refused": "token_inactive", "proved": False}, Reason.TOKEN_INACTIVE, False),
        ({"refused": "audience_refused", "proved": True}, Reason.AUDIENCE_REFUSED, True),
        ({"refused": "issuer_unavailable"}, Reason.ISSUER_UNAVAILABLE, None),
        ({"refused": "made_up"}, Reason.SERVICE_UNAVAILABLE, None),
        ({"identity": "xyz"}, Reason.SERVICE_UNAVAILABLE, None),
        ({"identity": "0" * 64, "refused": "banned"}, Reason.BANNED, False),
        ({"identity": ["0" * 64]}, Reason.SERVICE_UNAVAILABLE, None),
        ({}, Reason.SERVICE_UNAVAILABLE, None),
    ],
)
def test_a_node_believes_a_digest_or_a_reason_and_nothing_between(
    body: dict[str, Any], reason: Reason, proved: bool | None
) -> None:
    """Half an answer is none (law 4)."""
    with hostile(answer("200 OK", json.dumps(body).encode())) as service:
        with pytest.raises((TokenRefused, Unavailable)) as refused:
            node(service.url).introspect(TOKEN, SSH)
        assert refused.value.reason is reason
        assert getattr(refused.value, "proved", None) is proved


def test_a_key_that_was_not_asked_for_is_no_key() -> None:
    """Nor is a symmetric one."""
    wrong = [public_jwk("rsa", "k2"), {"kty": "oct", "k": "eA", "kid": "k1"}, {}, None, 1]
    for key in wrong:
        with hostile(answer("200 OK", json.dumps({"key": key}).encode())) as service:
            assert node(service.url).find_key(profile(), "k1") is None
    with hostile(
        answer("200 OK", json.dumps({"key": public_jwk("rsa", "k1")}).encode())
    ) as service:
        assert node(service.url).find_key(profile(), "k1") == public_jwk("rsa", "k1")


def test_a_service_that_is_away_or_refuses_is_unavailable_and_404_is_an_answer() -> None:
    """Each within its bound; a credential nobody takes admits nobody."""
    for behave in (
        hang_up,
        answer("401 No", b"{}"),
        answer("500 Oh", b"{}"),
        answer("200 OK", b"x"),
    ):
        with hostile(behave) as service, pytest.raises(Unavailable) as refused:
            node(service.url).find_key(profile(), "k1")
        assert refused.value.reason is Reason.SERVICE_UNAVAILABLE
    with hostile(answer("404 None", b"{}")) as service:
        assert node(service.url).find_key(profile(), "k1") is None


def test_a_node_sends_nothing_over_plain_http_but_to_itself() -> None:
    """DESIGN §3: clients refuse plain http except loopback."""
    with pytest.raises(InvalidInput):
        ServiceQuestions("http://idmap.example", lambda: Secret("x"))

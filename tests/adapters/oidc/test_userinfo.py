"""Userinfo over HTTP: the token goes to its issuer's endpoint alone, bounded in time and size, and no fault sticks."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import pytest

from idmap.adapters.oidc.introspection import OPEN_QUESTIONS, HttpIntrospector
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection, Userinfo
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from tests.support.hostile_servers import (
    Behave,
    answer,
    drip,
    flood,
    full_backlog,
    hang_up,
    hold,
    hostile,
)
from tests.support.tokens import profile

TOKEN = Secret("opaque-token-0123456789-abcdefghij")
CLIENT_SECRET = Secret("a-secret-of-the-client")
PERSON = {"sub": "alice", "groups": ["vo"]}
GENEROUS = 60.0
"""Seconds that no test comes near."""


def at(issuer: str, endpoint: str | None = None) -> IssuerProfile:
    asks = Introspection("idmap", "iam", userinfo=Userinfo.IF_POSSIBLE, userinfo_endpoint=endpoint)
    return profile(issuer=Issuer(issuer), introspection=asks)


def asking(seconds: float = 0.5) -> HttpIntrospector:
    return HttpIntrospector({"iam": CLIENT_SECRET}.__getitem__, userinfo_seconds=seconds)


def said(value: object) -> Behave:
    return answer("200 OK", json.dumps(value).encode())


def test_the_endpoint_is_the_discovered_one() -> None:
    """And the one that the profile names needs no discovery."""
    with hostile(said(PERSON)) as endpoint:
        document: dict[str, str] = {"userinfo_endpoint": f"{endpoint.url}me"}

        def discovery(server: object, connection: object) -> None:
            said({**document, "issuer": issuer.url})(server, connection)  # type: ignore[arg-type]

        with hostile(discovery) as issuer:
            source = asking(GENEROUS)
            for _ in range(3):
                assert source.userinfo(at(issuer.url), TOKEN) == PERSON
            assert (issuer.visits, endpoint.visits) == (1, 3)
            assert source.userinfo(at("https://iam.example/", endpoint.url), TOKEN) == PERSON
            document.clear()
            for _ in range(2):  # nothing is remembered of an issuer that names none
                with pytest.raises(Unavailable):
                    asking(GENEROUS).userinfo(at(issuer.url), TOKEN)


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (answer("401 No", b"{}"), Reason.TOKEN_INACTIVE),
        (answer("403 No", b"{}"), Reason.TOKEN_INACTIVE),
        (answer("500 Oh", json.dumps(PERSON).encode()), Reason.ISSUER_UNAVAILABLE),
        (answer("200 OK", b"<html>"), Reason.ISSUER_UNAVAILABLE),
        (answer("200 OK", b"eyJhbGciOiJub25lIn0.e30."), Reason.ISSUER_UNAVAILABLE),
        (answer("200 OK", b'["alice"]'), Reason.ISSUER_UNAVAILABLE),
        (answer("200 OK", b"[" * 100_000), Reason.ISSUER_UNAVAILABLE),
        (hold, Reason.ISSUER_UNAVAILABLE),
        (hang_up, Reason.ISSUER_UNAVAILABLE),
        (drip(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"), Reason.ISSUER_UNAVAILABLE),
        (drip(b"HTTP/1.1 200 OK\r\nX: "), Reason.ISSUER_UNAVAILABLE),
    ],
    ids="401 403 500 html jwt list deep silence hang-up drip drip-headers".split(),
)
def test_whatever_is_no_answer_says_so_and_does_not_stick(behave: Behave, reason: Reason) -> None:
    """Within its bound; the next question is a new one; the token is in no error."""
    with hostile(behave) as server, hostile(said(PERSON)) as healthy:
        source = asking()
        started = time.monotonic()
        with pytest.raises((TokenRefused, Unavailable)) as refused:
            source.userinfo(at("https://iam.example/", server.url), TOKEN)
        assert time.monotonic() - started < GENEROUS
        assert refused.value.reason is reason
        assert TOKEN.reveal() not in str(refused.value)
        assert source.userinfo(at("https://iam.example/", healthy.url), TOKEN) == PERSON


def test_of_fifty_megabytes_little_is_taken() -> None:
    """Reading stops with the first byte too many."""
    with hostile(flood(50)) as server:
        with pytest.raises(Unavailable) as refused:
            asking(GENEROUS).userinfo(at("https://iam.example/", server.url), TOKEN)
        assert "more than" in refused.value.detail
        assert server.sent < 40 * 2**20, "the socket's buffers, not the whole"


def test_a_redirect_does_not_carry_the_token_elsewhere() -> None:
    """Law 9: for its own issuer, and nobody else."""
    with (
        hostile(said(PERSON)) as elsewhere,
        hostile(answer("302 There", b"", f"Location: {elsewhere.url}")) as server,
    ):
        with pytest.raises(Unavailable):
            asking().userinfo(at("https://iam.example/", server.url), TOKEN)
        assert (server.visits, elsewhere.visits) == (1, 0)


def test_a_host_that_takes_no_connections_is_given_up() -> None:
    """Its queue is full: nothing is refused, nothing is accepted."""
    with full_backlog() as url, pytest.raises(Unavailable):
        asking().userinfo(at("https://iam.example/", url), TOKEN)


def test_userinfo_counts_among_an_issuers_open_questions() -> None:
    """A slow one holds no more threads than slow introspection does."""
    source = asking(GENEROUS)
    slow = at("https://iam.example/", "http://127.0.0.1:9/")
    with ExitStack() as held:
        for _ in range(OPEN_QUESTIONS):
            held.enter_context(source._slot(slow))
        with pytest.raises(Unavailable, match="open already"):
            source.userinfo(slow, TOKEN)

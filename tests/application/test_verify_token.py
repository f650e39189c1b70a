"""Token verification: what comes out of it. What is refused, and each limit, is in the corpus (tests/tokens)."""

from __future__ import annotations

import pytest

from idmap.domain.claims import Check
from idmap.domain.errors import TokenRefused
from idmap.domain.groups import Group
from idmap.domain.identity import Issuer
from idmap.domain.secrets import Secret
from tests.support.tokens import ISSUER, NOW, SSH, claims, mint, profile, verifier

_STEPS = [
    "well-formed signed token",
    "issuer trusted",
    "type",
    "algorithm allowed",
    "key known",
    "signature",
    "claims",
]


def test_an_ordinary_token_gives_its_identity() -> None:
    """The canonical issuer and the subject, and nothing derived from e-mail or names."""
    subject, _ = verifier()
    verified = subject.verify(mint(claims(email="root@localhost")), SSH, NOW)
    assert (ISSUER, claims()["sub"]) == (verified.identity.issuer, verified.identity.subject)


def test_everything_a_door_needs_comes_out() -> None:
    """Dates in whole seconds, the client, the token's id, what it asserts, and how a name might be spelled."""
    subject, _ = verifier()
    given = claims(groups=["vo", "vo/sub"], preferred_username="alice", exp=NOW + 60.5)
    verified = subject.verify(mint(given), SSH, NOW)
    assert (verified.issued_at, verified.expires_at) == (NOW - 10, NOW + 60)
    assert (verified.client_id, verified.token_id) == ("demo-client", "a")
    assert verified.groups == {Group(Issuer(ISSUER), "vo"), Group(Issuer(ISSUER), "vo/sub")}
    assert verified.preferred_username == "alice"


def test_an_alias_is_the_canonical_issuer() -> None:
    """Aliases are explicit; the identity always carries the canonical string (law 1)."""
    subject, _ = verifier(profile(aliases=frozenset({Issuer("https://iam.example")})))
    verified = subject.verify(mint(claims(iss="https://iam.example")), SSH, NOW)
    assert verified.identity.issuer == ISSUER


def test_the_trace_names_every_check_and_never_the_token() -> None:
    """`explain` shows the checks in order, the failing one last, and nothing of the credential."""
    subject, _ = verifier()
    token = mint(claims(aud="https://elsewhere"))
    trace: list[Check] = []
    with pytest.raises(TokenRefused):
        subject.verify(token, SSH, NOW, trace)
    assert [check.name for check in trace] == _STEPS
    assert [check.passed for check in trace] == [True] * 6 + [False]
    shown = " ".join(check.shown for check in trace)
    assert not any(part in shown for part in token.reveal().split("."))


def test_the_first_failing_check_ends_it() -> None:
    """Nothing after the check that failed was looked at: no key, no signature, no claim."""
    subject, keys = verifier()
    trace: list[Check] = []
    with pytest.raises(TokenRefused):
        subject.verify(Secret("opaque"), SSH, NOW, trace)
    assert ([check.name for check in trace], keys.asked) == (_STEPS[:1], [])

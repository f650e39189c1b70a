"""Token verification: what comes out of it. What is refused, and each limit, is in the corpus (tests/tokens)."""

from __future__ import annotations

import pytest

from idmap.domain.checks import Check
from idmap.domain.doors import ADMIN
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
    "not bound to a key",
    "not expired",
    "issued in the past",
    "valid already",
    "not too old",
    "audience",
    "claims demanded",
    "WLCG version",
    "type claim",
    "client",
    "subject",
    "person or robot",
    "assurance",
    "authentication",
    "capabilities",
    "groups",
    "authenticated lately",
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
    through = _STEPS.index("audience") + 1
    assert [check.name for check in trace] == _STEPS[:through]
    assert [check.passed for check in trace] == [True] * (through - 1) + [False]
    shown = " ".join(check.shown for check in trace)
    assert not any(part in shown for part in token.reveal().split("."))


def test_every_check_says_what_it_looked_at() -> None:
    """Enough to see why, for somebody who has not the token: dates, audiences, counts, what the profile wants."""
    demanding = profile(
        required_claims=frozenset({"wlcg.ver"}),
        required_assurance=frozenset({"high"}),
        required_acr={SSH: frozenset({"mfa"})},
    )
    given = claims(
        aud=["ssh://login.example", *(f"https://{n}.example" for n in range(9))],
        eduperson_assurance=["low", "high"], acr="mfa", groups=["vo/sub", "vo", 7],
        email="alice@example.org", **{"wlcg.ver": "1.3"},
    )  # fmt: skip
    trace: list[Check] = []
    verifier(demanding)[0].verify(mint(given), SSH, NOW, trace)
    now = "now 1800000000 (2027-01-15 08:00:00 UTC)"
    others = ", ".join(f"'https://{n}.example'" for n in range(4))
    client = "client_id 'demo-client'"
    assert [(check.name, check.shown) for check in trace][6:] == [
        ("not bound to a key", "no cnf"),
        ("not expired", f"exp 1800003600 (2027-01-15 09:00:00 UTC), {now}, leeway 60 s"),
        ("issued in the past", "iat 1799999990 (2027-01-15 07:59:50 UTC)"),
        ("valid already", "no nbf"),
        ("not too old", "10 s, at most 86400 s"),
        (
            "audience",
            f"aud 'ssh://login.example', {others} and 5 more; ssh:login takes 'ssh://login.example'",
        ),
        ("claims demanded", "wlcg.ver"),
        ("WLCG version", "wlcg.ver '1.3'"),
        ("type claim", "no typ; none is demanded"),
        ("client", f"{client}; jti is there"),
        ("subject", f"sub '{claims()['sub']}'"),
        ("person or robot", f"sub '{claims()['sub']}', {client}, no azp; the profile says: refuse"),
        ("assurance", "eduperson_assurance 'low', 'high'; one of 'high' is demanded"),
        ("authentication", "acr 'mfa'; ssh:login wants one of 'mfa'"),
        ("capabilities", "none"),
        ("groups", "'vo', 'vo/sub', 0 resource(s), read from groups"),
        ("authenticated lately", "not asked at ssh:login"),
    ]
    assert all(check.passed for check in trace)
    admin: list[Check] = []
    given = claims(ADMIN, auth_time=NOW - 60, scope="compute.read compute.x", groups=["vo"])
    verifier()[0].verify(mint(given), ADMIN, NOW, admin)
    assert [check.shown for check in admin][-3:] == [
        "'compute.read'",
        "left aside: the token is for its capabilities",
        f"auth_time 1799999940 (2027-01-15 07:59:00 UTC), {now}, at most 900 s ago",
    ]


def test_what_a_stranger_sent_is_shown_short_and_without_control_characters() -> None:
    """The words go to a terminal, and into a report."""
    trace: list[Check] = []
    given = claims(
        client_id="\x1b[2J" + "x" * 200, scope="openid", acr={"a": ["b" * 999]}, typ=["\u202e" * 99, {}],
        azp="\n✓ signature: fine", eduperson_assurance=[["x"] * 9] * 99,
    )  # fmt: skip
    verifier()[0].verify(mint(given), SSH, NOW, trace)
    for check in trace:
        assert check.shown.isprintable(), check
        assert len(check.shown) < 600, check


def test_the_first_failing_check_ends_it() -> None:
    """Nothing after the check that failed was looked at: no key, no signature, no claim."""
    subject, keys = verifier()
    trace: list[Check] = []
    with pytest.raises(TokenRefused):
        subject.verify(Secret("opaque"), SSH, NOW, trace)
    assert ([check.name for check in trace], keys.asked) == (_STEPS[:1], [])

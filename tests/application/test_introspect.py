"""Opaque tokens: one issuer, asked by name or by the door's mark; its answer checked like any claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.introspect import OpaqueTokens, is_opaque
from idmap.application.verify_token import TokenVerifier
from idmap.domain.checks import Check
from idmap.domain.claims import CLAIM_CHECKS
from idmap.domain.doors import ADMIN, API, Door
from idmap.domain.errors import InvalidInput, TokenRefused, Unavailable
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection, OnTimeout, parse_introspection
from idmap.domain.issuer_document import parse_profile, profile_document
from idmap.domain.issuers import IssuerProfile, ProfileName, find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from tests.support.tokens import AUDIENCES, ISSUER, NOW, SSH, FakeIssuerKeys, claims, mint, profile

TOKEN = Secret("opaque-token-0123456789-abcdefghij")
OTHER = "https://other.example/"


@dataclass
class Asked:
    """An Introspector that answers as told and remembers who was asked."""

    answer: Mapping[str, Any] | Exception
    issuers: list[str] = field(default_factory=list)

    def introspect(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        self.issuers.append(profile.issuer)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def userinfo(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        raise AssertionError("nobody asked for userinfo")


def asks(*doors: Door, **changes: Any) -> Introspection:
    return Introspection("idmap", "iam", frozenset(doors), **changes)


def said(**changes: Any) -> dict[str, Any]:
    """An answer that passes; None removes a member."""
    answer = {"active": True, **claims(), "token_type": "Bearer", **changes}
    return {name: value for name, value in answer.items() if value is not None}


def verify(
    answer: Mapping[str, Any] | Exception,
    *profiles: IssuerProfile,
    door: Door = SSH,
    issuer: str | None = None,
    trace: list[Check] | None = None,
) -> tuple[Any, list[str]]:
    """What comes out, and who was asked for it."""
    trusted = profiles or (profile(introspection=asks(SSH)),)
    asked = Asked(answer)
    verifier = TokenVerifier(
        lambda text: find_profile(trusted, text),
        FakeIssuerKeys(()),
        JoseSignatures(),
        OpaqueTokens(lambda: trusted, asked),
    )
    try:
        return verifier.verify(TOKEN, door, NOW, trace, issuer), asked.issuers
    except (TokenRefused, Unavailable) as error:
        return error.reason, asked.issuers


def test_an_active_token_for_this_door_is_its_owners() -> None:
    """One question to one issuer; the trace names every step and not the token."""
    trace: list[Check] = []
    found, asked = verify(said(), trace=trace)
    assert (found.identity.issuer, found.identity.subject) == (ISSUER, claims()["sub"])
    assert found.door == SSH
    assert asked == [ISSUER]
    assert TOKEN.reveal() not in repr(trace)
    assert [(check.name, check.shown) for check in trace][:6] == [
        ("opaque token", "34 characters"),
        ("issuer to ask", "nobody names it, at ssh:login"),
        ("issuer answers", f"{ISSUER} is asked for introspection"),
        ("active", "active True"),
        ("type", "token_type 'Bearer', no typ"),
        ("issuer of the answer", f"iss '{ISSUER}'"),
    ]
    assert [check.name for check in trace][6:] == [check.name for check in CLAIM_CHECKS]
    assert all(check.passed for check in trace)


def test_the_step_that_refuses_is_the_last_one_shown() -> None:
    """Whatever is wrong, it is said where it was found."""
    silent = Unavailable(Reason.ISSUER_UNAVAILABLE, "no answer")
    nobody = (profile(),)
    for answer, trusted, last in (
        (said(), nobody, "issuer to ask"),
        (silent, (), "issuer answers"),
        (said(active=False), (), "active"),
        (said(typ="ID"), (), "type"),
        (said(iss=OTHER), (), "issuer of the answer"),
        (said(aud="elsewhere"), (), "audience"),
        (said(exp=NOW - 100), (), "not expired"),
    ):
        trace: list[Check] = []
        reason, _ = verify(answer, *trusted, trace=trace)
        assert [check.name for check in trace if not check.passed] == [last]
        assert trace[-1].name == last
        assert reason in trace[-1].shown
        assert TOKEN.reveal() not in repr(trace)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"active": False}, Reason.TOKEN_INACTIVE),
        ({"active": None}, Reason.TOKEN_INACTIVE),
        ({"active": "true"}, Reason.TOKEN_INACTIVE),
        ({"active": 1}, Reason.TOKEN_INACTIVE),
        ({"aud": AUDIENCES[API]}, Reason.AUDIENCE_REFUSED),
        ({"aud": AUDIENCES[SSH] + "x"}, Reason.AUDIENCE_REFUSED),
        ({"aud": None}, Reason.AUDIENCE_REFUSED),
        ({"aud": None, "client_id": None}, Reason.CLAIM_MISSING),
        ({"aud": {"a": 1}}, Reason.CLAIM_INVALID),
        ({"aud": [AUDIENCES[SSH], 1]}, Reason.CLAIM_INVALID),
        ({"iss": OTHER}, Reason.ISSUER_UNKNOWN),
        ({"iss": 1}, Reason.ISSUER_UNKNOWN),
        ({"iss": ISSUER + "/x"}, Reason.ISSUER_UNKNOWN),
        ({"exp": NOW - 100}, Reason.TOKEN_EXPIRED),
        ({"exp": None}, Reason.CLAIM_MISSING),
        ({"exp": "2030-01-01"}, Reason.CLAIM_INVALID),
        ({"iat": NOW - 90_000}, Reason.TOKEN_TOO_OLD),
        ({"nbf": NOW + 900}, Reason.TOKEN_NOT_YET_VALID),
        ({"sub": None}, Reason.CLAIM_MISSING),
        ({"sub": "demo-client"}, Reason.ROBOT_REFUSED),
        ({"cnf": {"x5t#S256": "…"}}, Reason.SENDER_CONSTRAINED),
        ({"token_type": "DPoP"}, Reason.TYPE_REFUSED),
        ({"token_type": "refresh_token"}, Reason.TYPE_REFUSED),
        ({"token_type": 7}, Reason.TYPE_REFUSED),
        ({"typ": "Refresh"}, Reason.TYPE_REFUSED),
        ({"typ": "ID"}, Reason.TYPE_REFUSED),
    ],
)
def test_an_answer_that_does_not_vouch_for_this_door_refuses(
    changes: dict[str, Any], reason: Reason
) -> None:
    """Userinfo's hole, an answer without audience, is none here (design review C19)."""
    assert verify(said(**changes))[0] is reason


def test_a_client_id_that_the_door_lists_stands_in_for_a_missing_audience() -> None:
    """Only for a missing one: an audience for elsewhere is not mended by the client."""
    listed = profile(audiences={SSH: frozenset({"ssh-client"})}, introspection=asks(SSH))
    assert verify(said(aud=None, client_id="ssh-client"), listed)[0].client_id == "ssh-client"
    refused = said(aud="elsewhere", client_id="ssh-client")
    assert verify(refused, listed)[0] is Reason.AUDIENCE_REFUSED


def test_indigo_iams_spelling_is_read_for_its_profiles_only() -> None:
    """A slash appended to `iss`, audiences joined by spaces (research iam-provisioning §2.6)."""
    plain = Issuer("https://iam.example")
    answer = said(iss="https://iam.example/", aud=f"other {AUDIENCES[SSH]}")
    iam = profile(issuer=plain, introspection=asks(SSH))
    generic = profile(issuer=plain, profile=ProfileName.GENERIC, introspection=asks(SSH))
    assert verify(answer, iam)[0].identity.issuer == plain
    assert verify(answer, generic)[0] is Reason.ISSUER_UNKNOWN
    assert verify({**answer, "iss": plain}, generic)[0] is Reason.AUDIENCE_REFUSED
    assert verify({**answer, "iss": "https://iam.example//"}, iam)[0] is Reason.ISSUER_UNKNOWN
    with_slash = profile(introspection=asks(SSH))
    assert verify({**answer, "iss": plain}, with_slash)[0] is Reason.ISSUER_UNKNOWN


def test_a_token_is_never_sprayed() -> None:
    """Nobody is asked when it is not clear who, and nobody but the one named or marked."""
    other = profile(
        issuer=Issuer(OTHER), audiences={SSH: frozenset({"x"})}, introspection=asks(SSH)
    )
    marked, unmarked = profile(introspection=asks(SSH)), profile(introspection=asks())
    assert verify(said(), marked, other) == (Reason.TOKEN_OPAQUE, [])
    assert verify(said(), unmarked) == (Reason.TOKEN_OPAQUE, [])
    assert verify(said(), profile()) == (Reason.TOKEN_OPAQUE, [])
    assert verify(said(), marked, other, issuer=ISSUER)[1] == [ISSUER]
    assert verify(said(), unmarked, other, issuer=ISSUER)[1] == [ISSUER]
    assert verify(said(), profile(), other, issuer=ISSUER) == (Reason.TOKEN_OPAQUE, [])
    for stranger in ("https://iam.example", ISSUER + "/", "https://attacker.example/", ""):
        assert verify(said(), marked, issuer=stranger) == (Reason.ISSUER_UNKNOWN, [])


def test_an_issuer_without_an_audience_for_the_door_is_not_asked() -> None:
    """The answer could not help."""
    only_api = profile(audiences={API: frozenset({"a"})}, introspection=asks())
    assert verify(said(), only_api, issuer=ISSUER) == (Reason.AUDIENCE_REFUSED, [])


def test_silence_is_unavailable_unless_the_profile_takes_it_for_a_no() -> None:
    """It is never a yes; and it does not stick."""
    silent = Unavailable(Reason.ISSUER_UNAVAILABLE, "no answer")
    strict = profile(introspection=asks(SSH, on_timeout=OnTimeout.REFUSE))
    assert verify(silent)[0] is Reason.ISSUER_UNAVAILABLE
    assert verify(silent, strict)[0] is Reason.TOKEN_INACTIVE
    asked = Asked(silent)
    trusted = (profile(introspection=asks(SSH)),)
    tokens = OpaqueTokens(lambda: trusted, asked)
    with pytest.raises(Unavailable):
        tokens.verify(TOKEN, SSH, NOW, None)
    asked.answer = said()
    assert tokens.verify(TOKEN, SSH, NOW, None).identity.issuer == ISSUER
    asked.answer = said(active=False)
    with pytest.raises(TokenRefused):
        tokens.verify(TOKEN, SSH, NOW, None)


def test_without_a_time_of_issue_the_admin_door_stays_shut() -> None:
    """RFC 7662 makes `iat` optional; how long ago somebody was there must be said by somebody (law 13)."""
    assert verify(said(iat=None))[0].issued_at == NOW
    admin = said(iat=None, aud=AUDIENCES[ADMIN])
    assert verify(admin, door=ADMIN, issuer=ISSUER)[0] is Reason.CLAIM_MISSING


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "correct horse battery staple!",
        "x" * 19,
        "passwörd-passwörd-passwörd",
        "x" * 5000,
        mint().reveal(),
        "a.b.c",
        ".".join(["aaaaaaaaaa"] * 5),
    ],
)
def test_what_is_no_opaque_token_goes_nowhere(text: str) -> None:
    """A password typed at the wrong prompt is not shown to an issuer; a signed token speaks for itself."""
    assert not is_opaque(Secret(text))


def test_the_profile_travels_as_a_document() -> None:
    """And without introspection it is the document it was before."""
    whole = profile(
        introspection=asks(SSH, API, endpoint="https://iam.example/i", on_timeout=OnTimeout.REFUSE)
    )
    assert parse_profile(profile_document(whole)) == whole
    assert "introspection" not in profile_document(profile())


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": ""},
        {"secret": "../etc/passwd"},
        {"secret": "A"},
        {"doors": ["admin"]},
        {"doors": "ssh:login"},
        {"doors": ["everywhere"]},
        {"endpoint": "http://iam.example/introspect"},
        {"endpoint": "file:///etc/passwd"},
        {"on_timeout": "accept"},
        {"client_secret": "hunter2"},
    ],
)
def test_what_cannot_stand_in_a_profile_is_refused(changes: dict[str, Any]) -> None:
    """Above all a secret."""
    with pytest.raises(InvalidInput):
        parse_introspection({"client_id": "idmap", "secret": "iam", **changes})

"""Userinfo: asked last, about exactly the same person, for groups and a name alone; never in place of introspection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.introspect import OpaqueTokens
from idmap.application.verify_token import TokenVerifier
from idmap.domain.checks import Check
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import API, Door
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.introspection import Introspection, Userinfo
from idmap.domain.issuers import GroupsDialect, IssuerProfile, find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from tests.support.tokens import AUDIENCES, NOW, SSH, FakeIssuerKeys, claims, profile

TOKEN = Secret("opaque-token-0123456789-abcdefghij")
SUBJECT = claims()["sub"]
SILENT = Unavailable(Reason.ISSUER_UNAVAILABLE, "no answer")
UNWELCOME = TokenRefused(Reason.TOKEN_INACTIVE, "answered 401")


@dataclass
class Issuer:
    """Says of the token, and of its holder, what it was told; remembers what it was asked."""

    introspected: Mapping[str, Any]
    person: Mapping[str, Any] | Exception
    asked: list[str] = field(default_factory=list)

    def introspect(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        self.asked.append("introspection")
        return self.introspected

    def userinfo(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        self.asked.append("userinfo")
        if isinstance(self.person, Exception):
            raise self.person
        return self.person


@dataclass
class Outcome:
    """What came of one token."""

    claims: VerifiedClaims | None
    reason: Reason | None
    asked: list[str]
    trace: list[Check]

    @property
    def groups(self) -> list[str]:
        assert self.claims is not None
        return sorted(group.path for group in self.claims.groups)

    @property
    def told(self) -> str:
        return next(check.shown for check in self.trace if check.name == "userinfo")


def shown(
    person: Mapping[str, Any] | Exception,
    *,
    asks: Userinfo = Userinfo.IF_POSSIBLE,
    introspected: Mapping[str, Any] | None = None,
    door: Door = API,
    settings: Introspection | None = None,
    **trust: Any,
) -> Outcome:
    """An opaque token at the API of a site that asks userinfo, unless `asks` says otherwise."""
    plain = Introspection("idmap", "iam", frozenset({API}), userinfo=asks)
    trusted = profile(introspection=settings or plain, **trust)
    answer = {"active": True, **claims(API)} if introspected is None else introspected
    issuer, trace = Issuer(answer, person), []
    verifier = TokenVerifier(
        lambda text: find_profile((trusted,), text),
        FakeIssuerKeys(()),
        JoseSignatures(),
        OpaqueTokens(lambda: (trusted,), issuer),
    )
    reason, found = None, None
    try:
        found = verifier.verify(TOKEN, door, NOW, trace)
    except (TokenRefused, Unavailable) as error:
        reason = error.reason
    assert TOKEN.reveal() not in repr(trace)
    return Outcome(found, reason, issuer.asked, trace)


def test_groups_and_a_name_are_added() -> None:
    """After introspection, once; and explain says where they come from."""
    person = {
        "sub": SUBJECT,
        "groups": ["vo", "vo/sub"],
        "preferred_username": "alice",
        "email": "a@b",
    }
    found = shown(person)
    assert found.claims is not None
    assert (found.groups, found.claims.preferred_username) == (["vo", "vo/sub"], "alice")
    assert found.asked == ["introspection", "userinfo"]
    assert (
        found.told == "about the same subject; adds groups, preferred_username: 2 group(s) in all"
    )
    assert "a@b" not in repr(found.trace)


def test_without_a_word_in_the_profile_nobody_is_asked() -> None:
    """The profile's choice, and `never` is the default."""
    found = shown({"sub": SUBJECT, "groups": ["vo"]}, asks=Userinfo.NEVER)
    assert (found.groups, found.asked) == ([], ["introspection"])


def test_at_ssh_nobody_is_asked() -> None:
    """A node learns whose the token is and nothing else of it: groups decide nothing there, so a fault must not."""
    settings = Introspection("idmap", "iam", frozenset({SSH}), userinfo=Userinfo.REQUIRED)
    found = shown(SILENT, door=SSH, introspected={"active": True, **claims()}, settings=settings)
    assert (found.reason, found.asked) == (None, ["introspection"])
    assert found.told == "not asked: at ssh:login no groups of a token count"


@pytest.mark.parametrize(
    "introspected",
    [
        {"active": False},
        {"active": True, **claims(API), "aud": AUDIENCES[SSH]},
        {"active": True, **claims(API), "exp": NOW - 100},
        {"active": True, **claims(API), "sub": "demo-client"},
        {"active": True, **claims(API), "cnf": {}},
    ],
)
def test_userinfo_is_never_asked_about_a_token_that_does_not_hold(
    introspected: Mapping[str, Any],
) -> None:
    """Law 13: what it would say has no audience. The token is shown to nobody who cannot change the outcome."""
    found = shown(
        {"sub": SUBJECT, "aud": AUDIENCES[API], "active": True}, introspected=introspected
    )
    assert (found.claims, found.asked) == (None, ["introspection"])


@pytest.mark.parametrize(
    "subject",
    ["somebody-else", SUBJECT.upper(), f"{SUBJECT} ", f"{SUBJECT}\0", "", None, 7, [SUBJECT], {"sub": SUBJECT}],
)  # fmt: skip
@pytest.mark.parametrize("asks", [Userinfo.IF_POSSIBLE, Userinfo.REQUIRED])
def test_an_answer_about_somebody_else_refuses(subject: object, asks: Userinfo) -> None:
    """OpenID Connect Core §5.3.2: byte for byte, whatever the profile says about faults."""
    found = shown({"sub": subject, "groups": ["admins"]}, asks=asks)
    assert found.reason is Reason.USERINFO_MISMATCH
    assert [check.name for check in found.trace if not check.passed] == ["userinfo"]
    assert shown({"groups": ["admins"]}, asks=asks).reason is Reason.USERINFO_MISMATCH


def test_another_subject_claim_must_agree_too() -> None:
    """It may be missing from userinfo; it may not name somebody else."""
    introspected = {"active": True, **claims(API), "voperson_id": "a@iam.example"}
    named: dict[str, Any] = {"subject_claim": "voperson_id", "introspected": introspected}
    assert shown({"sub": SUBJECT, "groups": ["vo"]}, **named).groups == ["vo"]
    same = {"sub": SUBJECT, "voperson_id": "a@iam.example", "groups": ["vo"]}
    assert shown(same, **named).groups == ["vo"]
    for other in ({**same, "voperson_id": "b@iam.example"}, {**same, "sub": "b"}):
        assert shown(other, **named).reason is Reason.USERINFO_MISMATCH
    nameless = {name: value for name, value in introspected.items() if name != "sub"}
    assert shown(same, subject_claim="voperson_id", introspected=nameless).reason is (
        Reason.USERINFO_MISMATCH
    )


@pytest.mark.parametrize("fault", [SILENT, UNWELCOME])
def test_a_fault_adds_nothing_and_says_so(fault: Exception) -> None:
    """Groups are unknown then; what introspection said stands, the person is still the person."""
    found = shown(fault)
    assert (found.groups, found.reason) == ([], None)
    assert found.told.startswith("adds nothing, so groups may be unknown; not required: ")
    both = {"active": True, **claims(API, groups=["vo"])}
    assert shown(fault, introspected=both).groups == ["vo"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(SILENT, Reason.ISSUER_UNAVAILABLE), (UNWELCOME, Reason.TOKEN_INACTIVE)],
)
def test_a_fault_refuses_where_the_profile_requires_userinfo(
    fault: Exception, reason: Reason
) -> None:
    """With the reason of the fault; the next question is a new one."""
    found = shown(fault, asks=Userinfo.REQUIRED)
    assert (found.claims, found.reason) == (None, reason)
    assert not found.trace[-1].passed
    assert shown({"sub": SUBJECT, "groups": ["vo"]}, asks=Userinfo.REQUIRED).groups == ["vo"]


def test_what_introspection_said_is_not_replaced() -> None:
    """An empty list is an answer: this token carries no groups, whatever its holder has elsewhere."""
    person = {
        "sub": SUBJECT,
        "groups": ["admins"],
        "wlcg.groups": ["/vo"],
        "preferred_username": "root",
    }
    introspected = {"active": True, **claims(API, groups=[], preferred_username="alice")}
    found = shown(person, introspected=introspected)
    assert found.claims is not None
    assert (found.groups, found.claims.preferred_username) == (["vo"], "alice")


def test_a_token_for_its_capabilities_gets_no_groups_from_userinfo() -> None:
    """WLCG 1.3: capabilities come before groups; so nobody is asked for them."""
    introspected = {"active": True, **claims(API, scope="compute.read")}
    found = shown({"sub": SUBJECT, "groups": ["vo"]}, introspected=introspected)
    assert (found.groups, found.asked) == ([], ["introspection"])
    assert found.told == "not asked: the token is for its capabilities"


def test_nothing_that_a_token_proves_is_taken_from_userinfo() -> None:
    """Not even where a profile was told to read groups from such a claim."""
    odd = dict.fromkeys(("aud", "scope", "exp", "acr", "cnf", "groups"), GroupsDialect.PATH)
    person = {
        "sub": SUBJECT, "groups": ["vo"], "scope": ["compute.read"], "exp": NOW + 10**9, "acr": "mfa",
        "cnf": {}, "eduperson_assurance": ["high"], "aud": ["x"], "client_id": "other", "jti": "other", "active": False,
    }  # fmt: skip
    found, plain = shown(person, groups_claims=odd), shown(person)
    for claimed in (found.claims, plain.claims):
        assert claimed is not None
        assert (claimed.expires_at, claimed.client_id, claimed.token_id) == (
            NOW + 3600, "demo-client", "a",
        )  # fmt: skip
        assert (claimed.assurance.acr, claimed.assurance.values) == (None, frozenset())
        assert claimed.capabilities == frozenset()
    wants = {"required_acr": {API: frozenset({"mfa"})}}
    assert shown(person, **wants).reason is Reason.ACR_REFUSED


@pytest.mark.parametrize(
    "groups", [7, "vo", None, {"a": 1}, [["vo"]], ["../etc"], ["vo"] * 3, [None, "vo"]]
)
def test_odd_groups_are_left_out(groups: object) -> None:
    """Read as cautiously as a token's."""
    found = shown({"sub": SUBJECT, "groups": groups, "preferred_username": 7})
    assert found.claims is not None
    assert set(found.groups) <= {"vo"}
    assert found.claims.preferred_username is None

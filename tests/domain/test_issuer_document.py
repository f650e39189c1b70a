"""Profiles as documents: the ready-made ones, the way there and back, and what older versions saved."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.adapters.sql.records import profile_of, profile_text
from idmap.domain.doors import parse_door
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection, OnTimeout, Userinfo
from idmap.domain.issuer_document import parse_profile, profile_document
from idmap.domain.issuers import (
    ASYMMETRIC_ALGORITHMS,
    GroupsDialect,
    IssuerProfile,
    ProfileName,
    RobotRule,
    is_loopback_url,
)
from idmap.domain.profiles import READY_MADE
from idmap.domain.reasons import Reason
from idmap.domain.trust import IssuersDocument, TrustedIssuer, encode_issuers, parse_issuers

MINIMAL: dict[str, Any] = {
    "issuer": "https://iam.example/",
    "audiences": {"api": ["https://idmap.example/api"]},
}
NEEDED = {"urn_namespace": "urn:geant:example.org"}

INTROSPECTION = Introspection(
    "idmap", "iam", frozenset(), "https://iam.example/x", OnTimeout.REFUSE
)
WITH_USERINFO = replace(
    INTROSPECTION, userinfo=Userinfo.REQUIRED, userinfo_endpoint="https://iam.example/me"
)

SAVED_BEFORE = {
    "issuer": "https://iam.example/",
    "aliases": ["https://iam.example"],
    "profile": "generic",
    "subject_claim": "sub",
    "algorithms": ["ES256", "RS256"],
    "audiences": {"ssh:login": ["ssh://login.example"]},
    "groups_claims": {"groups": "path", "wlcg.groups": "path"},
    "record_groups_from_tokens": True,
    "accepted_types": ["", "at+jwt", "jwt"],
    "leeway_seconds": 60,
    "max_age_seconds": 86400,
    "jwks_uri": None,
}
"""Every member a profile had at first, as registries and nodes hold it."""


def _ready_made(name: ProfileName) -> IssuerProfile:
    needed = {member: NEEDED[member] for member in READY_MADE[name].needs}
    return parse_profile({**MINIMAL, "profile": str(name), **needed})


def test_every_ready_made_profile_stands() -> None:
    """Complete, and each refused while a member is missing that only the site knows."""
    assert READY_MADE.keys() == set(ProfileName)
    for name, ready in READY_MADE.items():
        profile = _ready_made(name)
        assert profile.profile is name
        assert profile.robots is RobotRule.REFUSE
        assert not profile.parents_implied
        for member in ready.needs:
            with pytest.raises(InvalidInput, match=member):
                parse_profile({**MINIMAL, "profile": str(name)})


@pytest.mark.parametrize("name", ["indigo-iam", "generic"])
def test_a_profile_saved_before_means_what_it_meant(name: str) -> None:
    """Registry rows and the nodes' trust data survive an upgrade with no word changed."""
    saved = {**SAVED_BEFORE, "profile": name}
    profile = profile_of(json.dumps(saved))
    assert profile_document(profile) == saved, "nodes of the version before read it too"
    assert json.loads(profile_text(profile)) == saved
    plain = IssuerProfile(profile.issuer, profile.audiences)
    for member in {one.name for one in fields(IssuerProfile)} - set(saved):
        assert getattr(profile, member) == getattr(plain, member), member
    chunk = {"format": 1, "salt": "00", "issuers": [{"profile": saved, "keys": []}]}
    assert parse_issuers(json.dumps(chunk).encode()).issuers == (TrustedIssuer(profile, ()),)


def test_wlcg_tokens_say_their_version() -> None:
    """WLCG profile 1.3 makes `wlcg.ver` a MUST; a profile saved before learns it, others stay as they were."""
    saved = profile_of(json.dumps({**SAVED_BEFORE, "profile": "wlcg"}))
    assert saved.required_claims == {"wlcg.ver"}
    assert {name for name in ProfileName if _ready_made(name).required_claims} == {ProfileName.WLCG}


_TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
_SETS = st.frozensets(_TEXT, max_size=2)
_DOORS = st.sampled_from([parse_door(door) for door in ("api", "ssh:login", "component:ce")])


@st.composite
def _profiles(draw: st.DrawFn) -> IssuerProfile:
    doors = draw(st.frozensets(_DOORS, min_size=1))
    named = draw(st.booleans())
    dialects = st.sampled_from(GroupsDialect)
    if not named:
        dialects = dialects.filter(lambda one: one is not GroupsDialect.ENTITLEMENT)
    return IssuerProfile(
        issuer=Issuer("https://iam.example/"),
        audiences={door: frozenset({f"https://{door}"}) for door in doors},
        aliases=draw(st.sampled_from([frozenset(), frozenset({Issuer("https://iam.example")})])),
        profile=draw(st.sampled_from(ProfileName)),
        subject_claim=draw(_TEXT),
        algorithms=draw(st.frozensets(st.sampled_from(sorted(ASYMMETRIC_ALGORITHMS)), min_size=1)),
        groups_claims=draw(st.dictionaries(_TEXT, dialects, max_size=3)),
        record_groups_from_tokens=draw(st.booleans()),
        accepted_types=draw(_SETS) | {""},
        leeway_seconds=draw(st.integers(0, 300)),
        max_age_seconds=draw(st.integers(60, 31 * 86400)),
        jwks_uri=draw(st.sampled_from([None, "https://iam.example/jwk"])),
        accepted_type_claims=draw(_SETS),
        urn_namespace=draw(st.sampled_from(["urn:mace:egi.eu", "urn:geant:a%2Fb"])) if named else None,
        urn_authorities=draw(_SETS) | ({""} if named else frozenset()),
        parents_implied=draw(st.booleans()),
        required_assurance=draw(_SETS),
        required_acr={door: frozenset({"mfa"}) for door in doors if draw(st.booleans())},
        robots=draw(st.sampled_from(RobotRule)),
        required_claims=draw(_SETS),
        required_capabilities={
            door: frozenset({"compute.read"}) for door in doors if draw(st.booleans())
        },
        introspection=draw(st.sampled_from([None, INTROSPECTION, WITH_USERINFO])),
    )  # fmt: skip


@given(_profiles())
def test_every_profile_survives_its_document(profile: IssuerProfile) -> None:
    """As a REST body, as a row, and as trust data for nodes."""
    document = profile_document(profile)
    assert parse_profile(document) == profile
    assert json.loads(json.dumps(document)) == document
    assert profile_of(profile_text(profile)) == profile
    data = encode_issuers(IssuersDocument(b"salt", (TrustedIssuer(profile, ()),)))
    assert parse_issuers(data).issuers == (TrustedIssuer(profile, ()),)


REFUSED: dict[str, dict[str, Any]] = {
    "an unknown member": {"trust_everything": True},
    "an unknown profile": {"profile": "okta"},
    "a profile that is a list": {"profile": ["generic"]},
    "no audiences": {"audiences": {}},
    "a symmetric algorithm": {"algorithms": ["HS256"]},
    "no algorithm": {"algorithms": []},
    "entitlements without a namespace": {"groups_claims": {"entitlements": "entitlement"}},
    "a namespace without authorities": {"urn_namespace": "urn:mace:egi.eu"},
    "a namespace in capitals": {"urn_namespace": "URN:mace:egi.eu", "urn_authorities": [""]},
    "a namespace that is no URN": {"urn_namespace": "egi.eu", "urn_authorities": [""]},
    "a namespace with a group in it": {"urn_namespace": "urn:mace:a:group:b", "urn_authorities": [""]},
    "a dialect nobody knows": {"groups_claims": {"groups": "regex"}},
    "a flag that is a word": {"parents_implied": "no"},
    "acr for a door without audiences": {"required_acr": {"admin": ["mfa"]}},
    "acr with nothing in it": {"required_acr": {"api": []}},
    "a capability for a door without audiences": {"required_capabilities": {"admin": ["compute.read"]}},
    "a capability that has a path": {"required_capabilities": {"api": ["storage.read:/"]}},
    "claims demanded as one word": {"required_claims": "wlcg.ver"},
    "introspection at a door without audiences": {
        "introspection": {"client_id": "idmap", "secret": "iam", "doors": ["ssh:login"]}
    },
    "userinfo that authenticates": {
        "introspection": {"client_id": "idmap", "secret": "iam", "userinfo": "instead"}
    },
    "userinfo over plain http": {
        "introspection": {
            "client_id": "a", "secret": "iam", "userinfo": "required", "userinfo_endpoint": "http://iam.example/me"
        }
    },
    "an endpoint that is no URL": {
        "introspection": {"client_id": "a", "secret": "iam", "endpoint": "https://["}
    },
    "an endpoint for userinfo that is no URL": {
        "introspection": {
            "client_id": "a", "secret": "iam", "userinfo": "required", "userinfo_endpoint": "http://[::1"
        }
    },
    "an endpoint for userinfo that is never asked": {
        "introspection": {"client_id": "a", "secret": "iam", "userinfo_endpoint": "https://iam.example/me"}
    },
    "a robot rule nobody knows": {"robots": "allow"},
    "introspection that is a word": {"introspection": "required"},
    "introspection without a client": {"introspection": {"client_id": None, "secret": "iam"}},
    "introspection without a secret": {"introspection": {"client_id": "idmap", "secret": None}},
    "a secret's name that is a path": {"introspection": {"client_id": "a", "secret": "../shadow"}},
    "seconds as text": {"leeway_seconds": "60"},
    "seconds as a flag": {"leeway_seconds": True},
    "no subject claim": {"subject_claim": ""},
    "no type at all": {"accepted_types": []},
    "a member that is null": {"algorithms": None},
}  # fmt: skip


NAMED = {
    "entitlements without a namespace": "urn_namespace",
    "a namespace without authorities": "urn_authorities",
    "a dialect nobody knows": "groups",
}
"""Cases in which another member than the one written is named."""


@pytest.mark.parametrize("name", REFUSED)
def test_a_profile_that_cannot_stand_is_refused(name: str) -> None:
    """Nothing is saved, and the detail names the member."""
    with pytest.raises(InvalidInput) as caught:
        parse_profile({**MINIMAL, **REFUSED[name]})
    assert caught.value.reason is Reason.ISSUER_INVALID
    named = caught.value.detail.partition(":")[0]
    assert named == NAMED.get(name) or any(member in named for member in REFUSED[name])


@pytest.mark.parametrize("url", ["http://[", "http://[::1", "http://[zz]/"])
def test_what_is_no_url_is_not_on_loopback(url: str) -> None:
    """A hostile discovery document may say anything; Python raises for some of it."""
    assert not is_loopback_url(url)

"""Groups of one issuer, however a token spells them: one canonical id, and nothing implied."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.asserted_groups import read_asserted
from idmap.domain.entitlements import ResourceEntitlement
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group, implied_groups, make_group, parse_group, parse_group_id
from idmap.domain.issuer_document import parse_profile
from idmap.domain.issuers import IssuerProfile
from tests.support.tokens import ISSUER

NAMESPACE = "urn:geant:example.org"


def _profile(name: str, **members: Any) -> IssuerProfile:
    audiences = {"api": ["https://idmap.example/api"]}
    return parse_profile({"issuer": ISSUER, "profile": name, "audiences": audiences, **members})


def _paths(profile: IssuerProfile, **claims: Any) -> set[str]:
    groups = read_asserted(claims, profile).groups
    assert {group.issuer for group in groups} <= {ISSUER}
    return {group.path for group in groups}


AARC = _profile("indigo-iam-aarc", urn_namespace=NAMESPACE)


def test_the_same_group_has_the_same_id_in_every_token_profile() -> None:
    """A rule that names `vo/sub` holds whichever profile an INDIGO IAM client is set to."""
    spelled = [
        _paths(_profile("indigo-iam"), groups=["vo", "vo/sub"]),
        _paths(_profile("indigo-iam"), **{"wlcg.groups": ["/vo", "/vo/sub"]}),
        _paths(_profile("wlcg"), **{"wlcg.groups": ["/vo", "/vo/sub"]}),
        _paths(_profile("indigo-iam-kc"), roles=["vo", "vo/sub"]),
        _paths(AARC, entitlements=[f"{NAMESPACE}:group:vo", f"{NAMESPACE}:group:vo:sub"]),
        _paths(AARC, eduperson_entitlement=[f"{NAMESPACE}:group:vo:sub", f"{NAMESPACE}:group:vo"]),
        _paths(_profile("keycloak"), groups=["/vo", "/vo/sub"]),
    ]
    assert all(paths == {"vo", "vo/sub"} for paths in spelled)


def test_a_child_is_not_its_parent() -> None:
    """The published parser lets a member of `vo:sub` pass for one of `vo`; WLCG 1.3 forbids it too."""
    urn = f"{NAMESPACE}:group:vo:sub"
    assert _paths(AARC, entitlements=[urn]) == {"vo/sub"}
    assert _paths(_profile("wlcg"), **{"wlcg.groups": ["/vo/sub"]}) == {"vo/sub"}
    implied = _profile("indigo-iam-aarc", urn_namespace=NAMESPACE, parents_implied=True)
    assert _paths(implied, entitlements=[urn]) == {"vo", "vo/sub"}


def test_a_role_is_an_id_of_its_own() -> None:
    """EGI Check-in names a role in each URN; holding it does not make a member unless the profile says so."""
    egi = _profile("egi-checkin")
    urn = "urn:mace:egi.eu:group:vo.example.eu:ops:role=member#aai.egi.eu"
    assert _paths(egi, entitlements=urn) == {"vo.example.eu/ops:role=member"}
    implied = _profile("egi-checkin", parents_implied=True)
    assert _paths(implied, entitlements=urn) == {
        "vo.example.eu/ops:role=member", "vo.example.eu/ops", "vo.example.eu",
    }  # fmt: skip


def test_an_encoded_separator_does_not_reach_another_group() -> None:
    """`vo%3Asub` and `vo%2Fsub` are single odd names, not the group `vo/sub`."""
    assert _paths(AARC, entitlements=[f"{NAMESPACE}:group:vo%3Asub"]) == {"vo%3Asub"}
    assert _paths(AARC, entitlements=[f"{NAMESPACE}:group:vo%2Fsub"]) == {"vo%2Fsub"}
    assert _paths(AARC, entitlements=[f"{NAMESPACE}:group:vo:r%6Fle=x"]) == {"vo/role%3Dx"}
    assert _paths(AARC, entitlements=[f"{NAMESPACE}:group:v%6F"]) == {"vo"}


def test_only_the_pinned_namespace_and_authorities_count() -> None:
    """A proxy passes on what others assert; their groups are not this issuer's."""
    egi = _profile("egi-checkin")
    assert not _paths(
        egi,
        entitlements=[
            "urn:mace:egi.eu:group:vo",
            "urn:mace:egi.eu:group:vo#evil.example",
            "urn:mace:example.org:group:vo#aai.egi.eu",
            "urn:mace:egi.eu:sub:group:vo#aai.egi.eu",
        ],
    )


def test_what_cannot_be_read_is_left_out() -> None:
    """One bad value never hides or widens the others."""
    odd = [None, 7, {}, "", "no urn", f"{NAMESPACE}:group:vo::x", f"{NAMESPACE}:group:good"]
    assert _paths(AARC, entitlements=odd, eduperson_entitlement=7) == {"good"}
    assert not _paths(_profile("indigo-iam"), groups="vo")
    assert not _paths(_profile("indigo-iam"), groups=["vo:role=admin", "vo%2Fsub", "../vo", "vo/"])
    assert not _paths(AARC, groups=["vo"])


def test_a_blank_is_read_like_its_encoding() -> None:
    """Helmholtz sends raw blanks in sub-groups; both spellings are one group."""
    helmholtz = _profile("helmholtz")
    for name in ("Data Managers", "Data%20Managers"):
        urn = f"urn:geant:helmholtz.de:group:HDF:{name}#login.helmholtz.de"
        assert _paths(helmholtz, entitlements=[urn]) == {"HDF/Data%20Managers"}


def test_keycloak_needs_full_paths() -> None:
    """With short names on, two groups `ops` of different parents look the same: none is read."""
    keycloak = _profile("keycloak")
    assert _paths(keycloak, groups=["ops", "/vo/ops", "/vo/a~/b", "/", "/vo//x", "/My Group"]) == {
        "vo/ops", "My%20Group",
    }  # fmt: skip


def test_realm_roles_never_meet_groups() -> None:
    """A role `admin` and a group `admin` are two things."""
    keycloak = _profile("keycloak")
    held = _paths(keycloak, groups=["/admin"], realm_access={"roles": ["admin", 7, ""]})
    assert held == {"admin", ":role=admin"}
    assert not _paths(keycloak, realm_access="admin")


def test_resources_stand_apart_from_groups() -> None:
    """AARC-G027 rights are reported and make nobody a member."""
    claims = {"entitlements": [f"{NAMESPACE}:res:vo:act:submit"]}
    asserted = read_asserted(claims, AARC)
    assert asserted.groups == frozenset()
    assert asserted.resources == {
        ResourceEntitlement(NAMESPACE, ("vo",), frozenset({"submit"}))
    }  # fmt: skip


_NAMES = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)


@given(st.lists(_NAMES, min_size=1, max_size=4), st.none() | _NAMES)
def test_a_rule_can_name_every_group(names: list[str], role: str | None) -> None:
    """The canonical id is itself a spelling, and two different groups never share it."""
    group = make_group(AARC.issuer, names, role)
    assert parse_group_id(AARC.issuer, group.path) == group
    assert parse_group_id(AARC.issuer, f"/{group.path}") == group
    others = [["x", *names], [*names, "x"], [f"x{names[0]}", *names[1:]]]
    assert all(make_group(AARC.issuer, other, role) != group for other in others)
    assert group not in implied_groups(group)
    assert len(implied_groups(group)) == len(names) - (role is None)


@given(st.from_regex(r"/?[A-Za-z0-9][\w.-]{0,6}(/[A-Za-z0-9][\w.-]{0,6}){0,3}", fullmatch=True))
def test_plain_paths_are_ids_already(spelling: str) -> None:
    """What rules named before roles and encodings existed still means the same."""
    try:
        group = parse_group(AARC.issuer, spelling)
    except InvalidInput:
        assert not spelling.isascii()
        return
    assert parse_group_id(AARC.issuer, spelling) == group


@pytest.mark.parametrize(
    "spelling",
    ["", "/", "vo/", "vo//sub", "vo sub", "vo%2fsub", "v%6F", "vo%", "vo%FF", "vo:sub", "vo:role=",
     "vo:role=a:role=b", "vo:role=a/b", ":role=", "vo#x", "_vo", "vö", "a" * 513, None, 7, ["vo"]],
)  # fmt: skip
def test_a_rule_names_a_group_in_one_way_only(spelling: object) -> None:
    """A second spelling would be a rule that silently matches nobody."""
    with pytest.raises(InvalidInput):
        parse_group_id(AARC.issuer, spelling)


def test_the_groups_kept_are_of_the_issuer_asked() -> None:
    """Two issuers may both have `vo`; they are two groups (law 1)."""
    other = parse_profile({"issuer": "https://o.example/", "audiences": {"api": ["x"]}})
    claims = {"groups": ["vo"]}
    assert read_asserted(claims, other).groups == {Group(other.issuer, "vo")}
    assert read_asserted(claims, other).groups.isdisjoint(
        read_asserted(claims, _profile("indigo-iam")).groups
    )

"""Claims against a profile: assurance, authentication, capabilities, robots, the audience for everybody."""

from __future__ import annotations

from typing import Any

import pytest

from idmap.domain.capabilities import Capability, find_capability
from idmap.domain.claims import VerifiedClaims, check_claims
from idmap.domain.doors import ADMIN, API, Door, parse_door
from idmap.domain.errors import InvalidInput, TokenRefused
from idmap.domain.identity import Issuer
from idmap.domain.issuers import WLCG_ANY_AUDIENCE, IssuerProfile, RobotRule, check_profile
from idmap.domain.reasons import Reason
from tests.support.tokens import AUDIENCES, NOW, SSH, claims, profile

RAF = "https://refeds.org/assurance/"
MFA = "https://refeds.org/profile/mfa"


def _check(given: dict[str, Any], issuer: IssuerProfile, door: Door = SSH) -> VerifiedClaims:
    return check_claims(given, issuer, door, NOW)


def _refused(given: dict[str, Any], issuer: IssuerProfile, door: Door = SSH) -> Reason:
    with pytest.raises(TokenRefused) as caught:
        _check(given, issuer, door)
    assert caught.value.proved
    return caught.value.reason


def test_one_of_the_assurance_values_is_enough() -> None:
    """A string or a list; compared byte for byte, none ranks above another."""
    issuer = profile(required_assurance=frozenset({f"{RAF}IAP/medium", f"{RAF}IAP/high"}))
    for said in (f"{RAF}IAP/medium", [f"{RAF}IAP/low", f"{RAF}IAP/high"]):
        assert _check(claims(eduperson_assurance=said), issuer).assurance.values
    for said in (None, [], f"{RAF}IAP/low", [f"{RAF}IAP/MEDIUM"], 7, {f"{RAF}IAP/high": 1}, [[7]]):
        assert _refused(claims(eduperson_assurance=said), issuer) is Reason.ASSURANCE_TOO_LOW


def test_a_door_may_want_a_second_factor() -> None:
    """Only that door does: the others stay as they were."""
    issuer = profile(required_acr={ADMIN: frozenset({MFA})})
    assert _check(claims(ADMIN, acr=MFA), issuer, ADMIN).assurance.acr == MFA
    for said in (None, "0", f"{MFA}/", [MFA], 7):
        assert _refused(claims(ADMIN, acr=said), issuer, ADMIN) is Reason.ACR_REFUSED
    assert _check(claims(acr="0"), issuer)


@pytest.mark.parametrize(
    "scope",
    ["openid compute.read", ["compute.create"], "storage.read:/", "compute.unheard", "storage.read",
     "compute.read:/path", "COMPUTE.read"],
)  # fmt: skip
def test_with_any_capability_the_groups_do_not_authorise(scope: object) -> None:
    """WLCG 1.3; also with one that nobody can read, for it was meant as one."""
    verified = _check(claims(scope=scope, groups=["vo"]), profile())
    assert verified.groups == frozenset()


def test_without_a_capability_the_groups_count() -> None:
    """Ordinary scopes, and none at all."""
    for scope in (None, "", "openid profile wlcg.groups:/vo", ["offline_access"]):
        verified = _check(claims(scope=scope, groups=["vo"]), profile())
        assert [group.path for group in verified.groups] == ["vo"]
        assert verified.capabilities == frozenset()


def test_a_scope_that_cannot_be_read_is_refused() -> None:
    """It might have narrowed the token."""
    for scope in (7, {"compute.read": 1}, [7], "a" * 9000):
        assert _refused(claims(scope=scope), profile()) is Reason.CLAIM_INVALID


def test_capabilities_are_reported_when_well_formed() -> None:
    """`compute` without a path, `storage` with one that does not climb."""
    scope = "compute.read compute.cancel storage.read:/a/b"
    assert _check(claims(scope=scope), profile()).capabilities == {
        Capability("compute", "read"), Capability("compute", "cancel"), Capability("storage", "read", "/a/b"),
    }  # fmt: skip
    assert str(find_capability("storage.read:/a/b")) == "storage.read:/a/b"
    for odd in ("compute.read:", "compute", "compute.delete", "storage.read", "storage.read:a",
                "storage.read:/a/../b", "storage.read:/..", "storage.cancel:/", "xcompute.read"):  # fmt: skip
        assert find_capability(odd) is None, odd


ROBOTS = {
    "the client itself": {"sub": "demo-client"},
    "the authorised party": {"sub": "demo-client", "client_id": None, "azp": "demo-client"},
    "a host": {"sub": "host:node1.example"},
}


@pytest.mark.parametrize("name", ROBOTS)
def test_a_robot_is_refused_unless_rules_may_speak_of_it(name: str) -> None:
    """Even then it is marked, so that no rule for people matches it."""
    given = claims(**ROBOTS[name])
    assert _refused(given, profile()) is Reason.ROBOT_REFUSED
    assert _check(given, profile(robots=RobotRule.BY_RULE)).robot
    assert not _check(claims(), profile(robots=RobotRule.BY_RULE)).robot


def test_another_subject_claim_does_not_hide_a_robot() -> None:
    """A client stays a client when the profile reads `voperson_id`."""
    issuer = profile(subject_claim="voperson_id")
    for robot in ({"sub": "demo-client"}, {"sub": "host:x"}, {"voperson_id": "demo-client"}):
        given = claims(**{"voperson_id": "a@iam.example", **robot})
        assert _refused(given, issuer) is Reason.ROBOT_REFUSED


def test_the_subject_claim_is_the_one_named() -> None:
    """Without it there is no identity; `sub` does not step in."""
    issuer = profile(subject_claim="voperson_id")
    assert _check(claims(voperson_id="a@iam.example"), issuer).identity.subject == "a@iam.example"
    assert _refused(claims(), issuer) is Reason.CLAIM_MISSING


def test_a_keycloak_id_token_is_not_an_access_token() -> None:
    """Its header says JWT like that of an access token; the claim `typ` tells them apart."""
    issuer = profile(accepted_type_claims=frozenset({"Bearer"}))
    assert _check(claims(typ="Bearer"), issuer)
    for kind in ("ID", "Refresh", "bearer", "", None, ["Bearer"], {}):
        assert _refused(claims(typ=kind), issuer) is Reason.TYPE_REFUSED


def test_the_audience_for_everybody_is_opted_into_by_name() -> None:
    """For the API or a component; the profile check refuses it elsewhere, and it opens one kind of door."""
    anybody = {API: frozenset({WLCG_ANY_AUDIENCE}), SSH: frozenset({AUDIENCES[SSH]})}
    issuer = profile(audiences=anybody)
    assert _check(claims(aud=WLCG_ANY_AUDIENCE), issuer, API)
    assert _refused(claims(aud=WLCG_ANY_AUDIENCE), issuer) is Reason.AUDIENCE_REFUSED
    assert _refused(claims(aud=WLCG_ANY_AUDIENCE), profile(), API) is Reason.AUDIENCE_REFUSED
    for door in ("ssh:login", "admin", "gate"):
        with pytest.raises(InvalidInput):
            profile(audiences={parse_door(door): frozenset({WLCG_ANY_AUDIENCE})})
    with pytest.raises(InvalidInput):
        profile(
            audiences=dict.fromkeys((API, parse_door("component:ce")), anybody[API]),
        )


@pytest.mark.parametrize("version", ["2.0", "1", "1.", "0.9", "1.0.0", "١.٠", 1.0, 1, ["1.0"], ""])
def test_an_unknown_wlcg_major_is_refused(version: object) -> None:
    """Any minor of major 1 passes."""
    assert _refused(claims(**{"wlcg.ver": version}), profile()) is Reason.WLCG_VERSION_REFUSED
    for known in ("1.0", "1.3", "1.27"):
        assert _check(claims(**{"wlcg.ver": known}), profile())


def test_odd_claims_never_break_the_check() -> None:
    """A refusal or claims, never an exception of another kind."""
    for odd in (None, 7, 1.5, "", [], [[]], {}, {"a": []}, True, "x" * 300):
        for name in ("azp", "client_id", "typ", "acr", "scope", "groups", "eduperson_assurance"):
            issuer = profile(
                required_acr={SSH: frozenset({MFA})}, accepted_type_claims=frozenset({"Bearer"})
            )
            try:
                _check({**claims(typ="Bearer", acr=MFA), name: odd}, issuer)
            except TokenRefused:
                continue


def test_a_profile_for_checks_is_itself_checked() -> None:
    """`profile` in these tests goes through `check_profile`."""
    with pytest.raises(InvalidInput):
        check_profile(IssuerProfile(Issuer("https://iam.example/"), {API: frozenset()}))

"""Access tokens are what IAM's `iam` and `wlcg` profiles say, checked by an independent library."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from iam_simulator.testing import RunningSimulator

COMMON = {"iss", "sub", "iat", "exp", "jti", "client_id"}
WLCG_ANY = "https://wlcg.cern.ch/jwt/v1/any"


def verified(iam: RunningSimulator, token: str, **options: Any) -> dict[str, Any]:
    """The claims, by PyJWT with the keys the simulator publishes."""
    with_audience = "audience" in options
    key = jwt.PyJWKClient(f"{iam.url}/jwk").get_signing_key_from_jwt(token)
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        issuer=iam.issuer,
        options={"verify_aud": with_audience},
        **options,
    )
    return claims


def test_the_header_names_key_and_algorithm_and_nothing_else(iam: RunningSimulator) -> None:
    """IAM has no `at+jwt`, nor any `typ`."""
    header = jwt.get_unverified_header(iam.token("alice"))
    assert header == {"kid": "rsa1", "alg": "RS256"}


def test_an_iam_token_says_little(iam: RunningSimulator) -> None:
    """No audience, no scope, no groups, no name."""
    claims = verified(iam, iam.token("alice", groups=True))
    assert set(claims) == COMMON
    assert claims["sub"] == iam.person_id("alice")
    assert claims["iss"].endswith("/")
    assert claims["exp"] - claims["iat"] == 3600


def test_an_iam_token_with_authn_info_says_who_and_which_groups(iam: RunningSimulator) -> None:
    """Groups have no leading slash."""
    claims = verified(iam, iam.token("bob", include_authn_info=True))
    extra = {"name", "email", "preferred_username", "organisation_name", "groups"}
    assert set(claims) == COMMON | extra
    assert claims["groups"] == ["demo", "demo/compute"]
    assert claims["preferred_username"] == "bob"
    assert claims["organisation_name"] == "demo"


def test_a_wlcg_token_has_version_scope_nbf_and_the_any_audience(iam: RunningSimulator) -> None:
    """Groups are absent unless asked for."""
    claims = verified(iam, iam.token("alice", profile="wlcg"), audience=WLCG_ANY)
    assert set(claims) == COMMON | {"wlcg.ver", "scope", "nbf", "aud"}
    assert claims["wlcg.ver"] == "1.0"
    assert claims["aud"] == WLCG_ANY


def test_wlcg_groups_come_with_a_slash_and_without_the_optional_ones(
    iam: RunningSimulator,
) -> None:
    """Alice is in `demo/admins`, which is optional."""
    claims = verified(iam, iam.token("alice", profile="wlcg", groups=True))
    assert claims["wlcg.groups"] == ["/demo", "/demo/compute", "/demo/gpu"]
    assert "wlcg.groups" in claims["scope"].split()


def test_wlcg_groups_asked_by_name_come_first_and_the_defaults_follow(
    iam: RunningSimulator,
) -> None:
    """Optional groups appear by name; a group she is not in is dropped."""
    groups = ["/demo/admins", "/demo/gpu", "/demo/hostile"]
    claims = verified(iam, iam.token("alice", profile="wlcg", groups=groups))
    assert claims["wlcg.groups"] == ["/demo/admins", "/demo/gpu", "/demo", "/demo/compute"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [("ssh://demo", "ssh://demo"), (["ssh://a"], "ssh://a"), (["a", "b"], ["a", "b"])],
)
def test_one_audience_is_a_string_and_several_are_a_list(
    iam: RunningSimulator, asked: Any, said: Any
) -> None:
    """In both profiles."""
    for profile in ("iam", "wlcg"):
        assert verified(iam, iam.token("bob", profile=profile, audience=asked))["aud"] == said


def test_tokens_have_real_sizes(iam: RunningSimulator) -> None:
    """Between about 650 and 1,400 bytes for everyone with a usual name."""
    for person in ("alice", "bob", "carol", "erin", "heidi"):
        for profile in ("iam", "wlcg"):
            for authn_info in (False, True):
                minted = iam.mint(
                    person,
                    profile=profile,
                    include_authn_info=authn_info,
                    groups=True,
                    audience="ssh://demo",
                )
                assert 650 <= minted["bytes"] == len(minted["access_token"]) <= 1450


def test_erins_token_with_groups_exceeds_1023_bytes(iam: RunningSimulator) -> None:
    """More than a C buffer of 1,024 holds; alice's does not."""
    assert iam.mint("erin", profile="wlcg", groups=True)["bytes"] > 1023
    assert iam.mint("erin", include_authn_info=True)["bytes"] > 1023
    assert iam.mint("alice", profile="wlcg", groups=True)["bytes"] <= 1023


def test_claims_can_be_padded_to_any_size(iam: RunningSimulator) -> None:
    """For limits beyond what groups reach."""
    token = iam.token("alice", minimum_payload_bytes=6000)
    assert len(token) > 8000
    assert verified(iam, token)["sub"] == iam.person_id("alice")


def test_an_expired_token_was_issued_in_the_past(iam: RunningSimulator) -> None:
    """Its times are in order."""
    minted = iam.mint("alice", lifetime_seconds=-120, profile="wlcg")
    with pytest.raises(jwt.ExpiredSignatureError):
        verified(iam, minted["access_token"])
    claims = minted["claims"]
    assert claims["iat"] == claims["nbf"] < claims["exp"] < time.time()


def test_extra_claims_replace_add_and_remove(iam: RunningSimulator) -> None:
    """A null removes a claim."""
    extra = {"acr": "https://refeds.org/profile/mfa", "sub": "x", "jti": None}
    claims = verified(iam, iam.token("alice", extra=extra, auth_time=1700000000))
    assert claims["acr"] == extra["acr"]
    assert claims["sub"] == "x"
    assert "jti" not in claims
    assert claims["auth_time"] == 1700000000


def test_the_other_key_makes_a_signature_that_does_not_verify(iam: RunningSimulator) -> None:
    """The header still names the published key."""
    with pytest.raises(jwt.InvalidSignatureError):
        verified(iam, iam.token("alice", sign_with="other"))


def test_a_false_kid_leads_to_no_key(iam: RunningSimulator) -> None:
    """The signature itself is good."""
    token = iam.token("alice", kid="nowhere")
    with pytest.raises(jwt.PyJWKClientError):
        verified(iam, token)


def test_after_a_rotation_old_tokens_verify_only_while_the_old_key_is_kept(
    fresh_iam: RunningSimulator,
) -> None:
    """Two rotations: one gentle, one abrupt."""
    old = fresh_iam.token("alice")
    fresh_iam.control("POST", "keys/rotate", {"keep_old": True})
    assert jwt.get_unverified_header(fresh_iam.token("alice"))["kid"] == "rsa2"
    assert verified(fresh_iam, old)["sub"] == fresh_iam.person_id("alice")
    fresh_iam.control("POST", "keys/rotate", {"keep_old": False})
    with pytest.raises(jwt.PyJWKClientError):
        verified(fresh_iam, old)

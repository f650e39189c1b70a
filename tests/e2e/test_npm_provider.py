"""The third-party issuer mints what we need: RS256 access tokens of people, for one audience."""

from __future__ import annotations

import json

import jwt
import pytest

from demo_site import PrivateHost
from demo_site.loopback_http import request
from tests.e2e.npm_provider import RunningProvider, running_oidc_provider


def keys(host: PrivateHost, provider: RunningProvider) -> jwt.PyJWKSet:
    discovered = request(host, "GET", f"{provider.issuer}/.well-known/openid-configuration")
    assert discovered.json()["issuer"] == provider.issuer
    return jwt.PyJWKSet.from_dict(request(host, "GET", discovered.json()["jwks_uri"]).json())


def test_its_token_is_a_persons_and_verifies_with_its_published_keys(
    private_host: PrivateHost, oidc_provider: RunningProvider
) -> None:
    token = oidc_provider.mint(sub="person-1", audience="ssh.example", groups=["hpc/users"])
    key = keys(private_host, oidc_provider)[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, algorithms=["RS256"], audience="ssh.example", issuer=oidc_provider.issuer
    )
    assert claims["sub"] == "person-1" != claims["client_id"]
    assert claims["groups"] == ["hpc/users"]
    assert claims["exp"] - claims["iat"] == 600


def test_its_token_is_for_no_other_audience(
    private_host: PrivateHost, oidc_provider: RunningProvider
) -> None:
    token = oidc_provider.mint(sub="person-1", audience="api.example")
    key = keys(private_host, oidc_provider)[jwt.get_unverified_header(token)["kid"]]
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, algorithms=["RS256"], audience="ssh.example")


def test_it_also_runs_on_the_machine_itself() -> None:
    with running_oidc_provider() as provider:
        token = provider.mint(sub="person-2", audience="ssh.example", seconds=60)
        claims = jwt.decode(token, options={"verify_signature": False})
        assert claims["iss"] == provider.issuer
        assert claims["exp"] - claims["iat"] == 60


def test_keys_are_new_each_time() -> None:
    found = set()
    for _ in range(2):
        with running_oidc_provider() as provider:
            token = provider.mint(sub="p", audience="a")
            found.add(json.dumps(jwt.get_unverified_header(token)["kid"]))
    assert len(found) == 2

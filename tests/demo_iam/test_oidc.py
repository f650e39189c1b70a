"""Discovery, keys, client credentials, userinfo and introspection."""

from __future__ import annotations

from typing import Any

import httpx2
import jwt
import pytest

from iam_simulator.testing import RunningSimulator, running_simulator

DISCOVERY = "/.well-known/openid-configuration"


def introspected(iam: RunningSimulator, http: httpx2.Client, token: str) -> dict[str, Any]:
    """What introspection says to a registered client."""
    secret = iam.client_secrets["idmap-scim"]
    answer = http.post(f"{iam.url}/introspect", data={"token": token}, auth=("idmap-scim", secret))
    assert answer.status_code == 200
    body: dict[str, Any] = answer.json()
    return body


def test_discovery_leads_to_the_keys(iam: RunningSimulator, anonymous: httpx2.Client) -> None:
    """The keys are public halves of RSA-2048."""
    document = anonymous.get(iam.url + DISCOVERY).json()
    assert document["issuer"] == iam.issuer
    assert document["jwks_uri"] == f"{iam.url}/jwk"
    (key,) = anonymous.get(document["jwks_uri"]).json()["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}
    assert jwt.PyJWK(key).key.key_size == 2048


def test_discovery_adds_the_slash_that_tokens_lack(anonymous: httpx2.Client) -> None:
    """indigo-iam/iam#1118: the issuer of tokens is exactly what was configured."""
    with running_simulator(issuer="https://iam.example.org") as iam:
        token = iam.token("alice")
        document = anonymous.get(iam.url + DISCOVERY).json()
        says = introspected(iam, anonymous, token)
    assert (
        jwt.decode(token, options={"verify_signature": False})["iss"] == "https://iam.example.org"
    )
    assert document["issuer"] == says["iss"] == "https://iam.example.org/"
    assert document["jwks_uri"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("post", [False, True])
def test_a_client_gets_a_token_by_basic_or_post(
    iam: RunningSimulator, anonymous: httpx2.Client, post: bool
) -> None:
    """Its `sub` is the client id, and it has no groups."""
    secret = iam.client_secrets["idmap-both"]
    form = {"grant_type": "client_credentials", "scope": "scim:read"}
    if post:
        form |= {"client_id": "idmap-both", "client_secret": secret}
    basic: dict[str, Any] = {} if post else {"auth": ("idmap-both", secret)}
    answer = anonymous.post(f"{iam.url}/token", data=form, **basic)
    body = answer.json()
    assert answer.status_code == 200
    assert body["token_type"] == "Bearer"
    assert body["scope"] == "scim:read"
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert claims["sub"] == claims["client_id"] == "idmap-both"
    assert "groups" not in claims


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"scope": "iam:admin.read"}, 400, "invalid_scope"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
def test_a_bad_token_request_is_refused(
    iam: RunningSimulator, anonymous: httpx2.Client, form: dict[str, str], status: int, error: str
) -> None:
    """With the codes of RFC 6749."""
    good = {
        "grant_type": "client_credentials",
        "client_id": "idmap-scim",
        "client_secret": iam.client_secrets["idmap-scim"],
    }
    answer = anonymous.post(f"{iam.url}/token", data={**good, **form})
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_userinfo_follows_the_profile_of_the_token(
    iam: RunningSimulator, anonymous: httpx2.Client
) -> None:
    """`wlcg` drops groups and organisation, and adds `wlcg.groups` when asked."""

    def userinfo(**options: Any) -> dict[str, Any]:
        token = iam.token("bob", **options)
        answer = anonymous.get(f"{iam.url}/userinfo", headers={"Authorization": f"Bearer {token}"})
        body: dict[str, Any] = answer.json()
        return body

    plain = userinfo()
    assert plain["groups"] == ["demo", "demo/compute"]
    assert plain["organisation_name"] == "demo"
    wlcg = userinfo(profile="wlcg", groups=True)
    assert wlcg["wlcg.groups"] == ["/demo", "/demo/compute"]
    assert not {"groups", "organisation_name"} & set(wlcg)


def test_introspection_joins_audiences_with_a_space(
    iam: RunningSimulator, anonymous: httpx2.Client
) -> None:
    """A list in the token is one string here."""
    says = introspected(iam, anonymous, iam.token("alice", audience=["ssh://a", "ssh://b"]))
    assert says["active"] is True
    assert says["aud"] == "ssh://a ssh://b"
    assert says["user_id"] == "alice"


def test_introspection_of_a_strange_or_expired_token_is_inactive(
    iam: RunningSimulator, anonymous: httpx2.Client
) -> None:
    """And says nothing more."""
    for token in ("x", iam.token("alice", lifetime_seconds=-1)):
        assert introspected(iam, anonymous, token) == {"active": False}

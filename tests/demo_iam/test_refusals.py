"""Refusals speak in IAM's several voices, including the ones a careless client would log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from iam_simulator.testing import RunningSimulator

Get = Callable[..., Any]


def test_a_401_repeats_the_whole_token_in_body_and_header(iam: RunningSimulator, get: Get) -> None:
    """Whoever logs this answer logs the token."""
    token = iam.token("alice", lifetime_seconds=-10)
    answer = get(iam, "/scim/Users", token=token)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_token"
    assert token in answer.text
    assert token in answer.headers["www-authenticate"]


def test_a_request_without_a_token_is_401(iam: RunningSimulator, anonymous: httpx2.Client) -> None:
    """The error is another one than for a bad token."""
    answer = anonymous.get(f"{iam.url}/scim/Users")
    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthorized"


@pytest.mark.parametrize(
    ("client", "path", "scope"),
    [
        ("idmap-admin", "/scim/Users", "scim:read"),
        ("idmap-admin", "/scim/Groups", "scim:read"),
        ("idmap-scim", "/iam/account/search", "iam:admin.read"),
        ("idmap-scim", "/iam/group/find/byname?name=demo", "iam:admin.read"),
        ("no-scopes", "/scim/Me", "scim:read"),
    ],
)
def test_each_family_of_endpoints_needs_its_own_scope(
    iam: RunningSimulator, get: Get, client: str, path: str, scope: str
) -> None:
    """`scim:read` does not open `/iam`, nor the other way round."""
    answer = get(iam, path, client=client)
    assert answer.status_code == 403
    assert answer.json()["error"] == "insufficient_scope"
    assert answer.json()["scope"] == scope


@pytest.mark.parametrize(
    "path", ["/scim/Users", "/scim/Groups", "/iam/group/find/byname?name=demo"]
)
def test_accepting_plain_json_alone_is_406(iam: RunningSimulator, get: Get, path: str) -> None:
    """SCIM's media type must be accepted."""
    assert get(iam, path, accept="application/json").status_code == 406
    for accept in ("application/scim+json", "*/*", "application/json, application/scim+json;q=0.5"):
        assert get(iam, path, accept=accept).status_code == 200


@pytest.mark.parametrize(
    "path", ["/scim/Users/nobody", "/scim/Groups/none", "/scim/Groups/x/members"]
)
def test_an_unknown_record_is_a_scim_404(iam: RunningSimulator, get: Get, path: str) -> None:
    """The status in the body is a string."""
    answer = get(iam, path)
    assert answer.status_code == 404
    body = answer.json()
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert body["status"] == "404"
    assert body["detail"]


def test_an_unknown_path_is_an_html_page(iam: RunningSimulator, get: Get) -> None:
    """Version 1.12 has no `ServiceProviderConfig`; probing for it finds HTML."""
    answer = get(iam, "/scim/ServiceProviderConfig")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


def test_a_token_of_the_other_key_opens_nothing(iam: RunningSimulator, get: Get) -> None:
    """It was not issued here."""
    token = iam.token("alice", scope="scim:read", sign_with="other")
    assert get(iam, "/scim/Users", token=token).status_code == 401


def test_a_forgotten_token_is_401_and_a_new_one_works(
    fresh_iam: RunningSimulator, get: Get
) -> None:
    """This is how a token that ends in mid-crawl is played."""
    token = fresh_iam.client_token()
    assert get(fresh_iam, "/scim/Users", token=token).status_code == 200
    fresh_iam.control("POST", "tokens/forget")
    assert get(fresh_iam, "/scim/Users", token=token).status_code == 401
    assert get(fresh_iam, "/scim/Users", token=fresh_iam.client_token()).status_code == 200

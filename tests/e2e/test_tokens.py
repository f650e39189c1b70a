"""Tokens of a provider that nobody here wrote, at a real sshd: signed and opaque, rotation, outages, and who was asked.

npm `oidc-provider`, `idmap serve` with its children, an agent and a verifier of its own user in one private host. The
counts are those of the provider's own endpoints and of the service's metrics.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from demo_site import PrivateHost
from demo_site.loopback_http import request
from demo_site.site import (
    API_AUDIENCE,
    SERVICE_FILE,
    SERVICE_URL,
    SSH_AUDIENCE,
    DemoSite,
    serve,
    start_site,
)
from tests.e2e.npm_provider import CLIENT, RunningProvider, node_directory, running_oidc_provider

WHY = ("--reason", "tokens of a third party")
SECRET = "/etc/idmap/npm.secret"
VERIFY_KEY = "/etc/idmap/verify.key"


@dataclass
class World:
    """A site that trusts the provider, and one person of it with an account."""

    site: DemoSite
    provider: RunningProvider
    username: str

    def token(self, *, opaque: bool = False, audience: str = SSH_AUDIENCE) -> str:
        return self.provider.mint(sub="visitor-1", audience=audience, opaque=opaque)

    def logs_in(self, token: str) -> bool:
        done = self.site.laptop.with_secret(self.username, token)
        return done.returncode == 0 and f"({self.username})" in done.stdout

    def refusal(self, token: str) -> str:
        """The reason in the verifier's log for a login that must fail."""
        done = self.site.laptop.with_secret(self.username, token)
        assert done.returncode != 0, done.stdout
        lines = self.site.services["verify"].output().splitlines()
        refused = [line for line in lines if "token_refused" in line]
        found = re.search(r"reason\W+([a-z_]+)", refused[-1])
        assert found, refused[-1]
        return found[1]

    def served(self) -> float:
        """Requests the service has answered, by its own count, without those that ask for it."""
        text = request(self.site.host, "GET", f"{SERVICE_URL}/metrics").text
        counts = re.findall(r"^idmap_http_requests_total\{(.*)\} (\S+)$", text, re.MULTILINE)
        assert counts, text[:2000]
        return sum(float(count) for labels, count in counts if "/metrics" not in labels)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Everything running; the verifier may ask the service."""
    with PrivateHost(expose=[node_directory()]) as host:
        site = start_site(host)
        with running_oidc_provider(host) as provider:
            yield World(site, provider, _introduce(site, provider))


def _introduce(site: DemoSite, provider: RunningProvider) -> str:
    """Trusts the provider, gives its person an account, gives the verifier its credential."""
    host = site.host
    client_id, secret = provider.introspection_client()
    host.write(SECRET, f"{secret}\n", mode=0o600, owner="idmap:idmap")
    settings = host.read(SERVICE_FILE)
    host.write(SERVICE_FILE, f'{settings}\n[introspection.npm]\nclient_secret_file = "{SECRET}"\n')
    site.services["serve"].stop()
    serve(site)
    _trust(site, provider, client_id)
    rules = json.loads(site.idmap("rules", "show", "--json").check().stdout)["document"]
    rules["classes"]["visitor"] = {**rules["classes"]["personal"], "primary_group": "visitors"}
    rules["rules"].append(
        {"id": "visitors", "issuer": provider.issuer, "group": "visitors", "class": "visitor"}
    )
    host.write("/etc/idmap/rules.json", json.dumps(rules))
    site.idmap("rules", "apply", "/etc/idmap/rules.json", *WHY).check()
    token = provider.mint(sub="visitor-1", audience=API_AUDIENCE, groups=["visitors"], opaque=True)
    answer = site.api("POST", "/v1/me/account", token, body={})
    assert answer.status == 202, site.services["serve"].output()[-3000:]
    adding = ["components", "add", "login1-verify", "--door", "ssh:login", "--out", VERIFY_KEY]
    site.idmap(*adding, *WHY).check()
    host.run(["chown", "idmap-verify:idmap-verify", VERIFY_KEY]).check()
    site.services["verify"].stop()
    site.start_service("verify", ["idmap-verify"], user="idmap-verify")
    site.wait_for_revision()
    return str(answer.json()["account"]["username"])


def _trust(site: DemoSite, provider: RunningProvider, client_id: str, **opaque: str) -> None:
    document = {
        "issuer": provider.issuer,
        "profile": "generic",
        "audiences": {"api": [API_AUDIENCE, CLIENT], "ssh:login": [SSH_AUDIENCE]},
        "record_groups_from_tokens": True,
        "introspection": {
            "client_id": client_id, "secret": "npm", "doors": ["ssh:login", "api"], **opaque,
        },
    }  # fmt: skip
    headers = {"Authorization": f"Bearer {site.admin_key()}", "Idmap-Reason": "a third party"}
    saved = request(site.host, "PUT", f"{SERVICE_URL}/v1/issuers", headers=headers, body=document)
    assert saved.status < 300, saved.text


def test_a_warm_login_with_a_jwt_asks_nobody(world: World) -> None:
    """Five logins: no request at the provider and none at the service."""
    assert world.logs_in(world.token())
    tokens = [world.token() for _ in range(5)]
    world.site.services["agent"].stop()  # its own polls are not a login's
    before = (world.provider.counts(), world.served())
    assert all(world.logs_in(token) for token in tokens)
    assert (world.provider.counts(), world.served()) == before
    world.site.start_service("agent", ["idmap-agent", "run"])


def test_a_rotated_key_costs_one_question_and_no_login(world: World) -> None:
    """Logins go on through the rotation; the provider is asked for its keys once, the withdrawn key is gone."""
    assert world.logs_in(world.token())
    old = world.token()
    before = world.provider.counts().get("/jwks", 0)
    world.provider.rotate()
    assert all(world.logs_in(world.token()) for _ in range(4))
    assert world.provider.counts()["/jwks"] == before + 1
    world.site.host.wait_for(
        lambda: (not world.logs_in(old)) or None, 90, "the withdrawn key to leave the node"
    )
    assert world.refusal(old) == "key_unknown"
    assert world.logs_in(world.token())


def test_an_opaque_token_logs_in_until_it_is_revoked(world: World) -> None:
    """One introspection per login, by the service; the issuer's no holds at once."""
    token = world.token(opaque=True)
    assert token.count(".") == 0
    asked = world.provider.counts().get("/token/introspection", 0)
    assert world.logs_in(token)
    assert world.logs_in(token)
    assert world.provider.counts()["/token/introspection"] == asked + 2
    world.provider.revoke(token)
    assert world.refusal(token) == "token_inactive"


def test_an_opaque_token_for_another_audience_opens_no_ssh(world: World) -> None:
    """Law 13, said by the issuer."""
    token = world.token(opaque=True, audience=API_AUDIENCE)
    assert world.refusal(token) == "audience_refused"
    assert world.site.api("GET", "/v1/me", token).status == 200


def test_userinfo_tells_the_groups_of_an_opaque_token_after_introspection(world: World) -> None:
    """Where the profile asks for it. The package takes no token with an audience there; that costs nobody a login."""
    site, provider = world.site, world.provider
    client_id, _ = provider.introspection_client()

    def mint(audience: str | None, scope: str) -> str:
        return provider.mint(
            sub="visitor-2", audience=audience, scope=scope, groups=["visitors"], opaque=True
        )

    plain = mint(None, "openid")
    before = provider.counts().get("/me", 0)
    assert site.api("POST", "/v1/me/account", plain, body={}).json()["code"] == "no_rule_matches"
    assert provider.counts().get("/me", 0) == before, "userinfo was asked, and no profile says so"
    _trust(site, provider, client_id, userinfo="if_possible")
    try:
        site.host.write("/root/token", plain, mode=0o600)
        explain = ("explain", "--token-file", "/root/token", "--door", "api")
        told = site.idmap(*explain, "--issuer", provider.issuer).check().stdout
        assert "✓ active: active True" in told
        assert "✓ userinfo: about the same subject; adds groups: 1 group(s) in all" in told
        assert plain not in told
        opened = site.api("POST", "/v1/me/account", plain, body={})
        assert opened.status == 202, opened.text
        assert provider.counts()["/me"] == before + 2
        bound = mint(API_AUDIENCE, "ssh")
        site.host.write("/root/token", bound, mode=0o600)
        told = site.idmap(*explain).check().stdout
        assert (
            "✓ userinfo: adds nothing, so groups may be unknown; not required: token_inactive"
            in told
        )
        assert site.api("GET", "/v1/me", bound).status == 200
        _trust(site, provider, client_id, userinfo="required")
        assert site.api("GET", "/v1/me", bound).status == 401
        assert site.api("GET", "/v1/me", plain).status == 200
        asked = provider.counts()["/me"]
        assert world.logs_in(world.token(opaque=True)), (
            "ssh needs no groups, so userinfo's no is no matter"
        )
        assert provider.counts()["/me"] == asked
        provider.revoke(plain)
        assert site.api("GET", "/v1/me", plain).status == 401
    finally:
        _trust(site, provider, client_id)


def test_with_the_service_down_each_kind_of_token_has_its_own_reason(world: World) -> None:
    """DESIGN §2: a known key works; an unknown one is `key_unknown`; opaque is `service_unavailable`."""
    known, opaque = world.token(), world.token(opaque=True)
    assert world.logs_in(known)
    world.site.services["serve"].stop()
    assert world.logs_in(known)
    assert world.refusal(opaque) == "service_unavailable"
    world.provider.rotate()
    unknown = world.token()
    assert world.refusal(unknown) == "key_unknown"
    assert world.logs_in(known)
    serve(world.site)
    assert world.logs_in(opaque)
    world.site.host.wait_for(
        lambda: world.logs_in(unknown) or None, 60, "the node to ask for the key again"
    )


def test_no_token_is_in_any_log(world: World) -> None:
    """Law 9, after all of this."""
    token, opaque = world.token(), world.token(opaque=True)
    assert world.logs_in(token)
    assert world.logs_in(opaque)
    logs = "".join(world.site.services[name].output() for name in ("serve", "verify", "agent"))
    for secret in (*token.split("."), opaque):
        assert secret not in logs

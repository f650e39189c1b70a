"""What a node's verifier may ask, and opaque tokens at the other doors, over the real routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from idmap.adapters.oidc.jwks import pick_key
from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.adapters.sql import SqlRegistry
from idmap.application.banned_credentials import find_ban_in
from idmap.application.introspect import OpaqueTokens
from idmap.application.ports import CredentialKind
from idmap.application.remembered import Remembered
from idmap.application.verified_tokens import VerifiedTokens
from idmap.domain.doors import API
from idmap.domain.errors import Unavailable
from idmap.domain.identity import Identity, Issuer, Subject, identity_digest
from idmap.domain.introspection import Introspection
from idmap.domain.issuers import IssuerProfile, find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.parts import ServeParts
from tests.entrypoints.http.site import AUDIENCES, PORTAL, SETUP, SSH, Site, make_site, trusted
from tests.support.tokens import ISSUER, NOW, claims, public_jwk

OPAQUE = "opaque-token-0123456789-abcdefghij"


class World:
    """The site of the other tests, with an issuer that can be asked and a verifier's credential."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.answer: Mapping[str, Any] | Exception = {}
        self.asked: list[str] = []
        self.keys = [public_jwk("rsa", "k1"), public_jwk("rsa-new", "k2")]
        self.key_error: Exception | None = None
        remembered = Remembered(site.registry)

        def issuers() -> tuple[IssuerProfile, ...]:
            return remembered.get("issuers", lambda reader: reader.issuers())

        parts = site.app.state.running.parts
        assert isinstance(parts, ServeParts)
        object.__setattr__(parts, "keys", self)
        object.__setattr__(
            parts,
            "verifier",
            VerifiedTokens(
                lambda text: find_profile(issuers(), text),
                self,
                JoseSignatures(),
                OpaqueTokens(issuers, self),
                state=lambda: remembered.get("state", lambda r: (r.revision(), r.ban_counter())),
                find_ban=find_ban_in(remembered),
            ),
        )
        with site.registry.write(SETUP) as writer:
            asks = Introspection("idmap", "iam", frozenset({SSH, API}))
            writer.save_issuer(trusted(introspection=asks))
            for name, door in (("verify", SSH), ("only-portal", PORTAL)):
                site.secrets[name] = f"idmap-{name}-0123456789"
                writer.add_credential(
                    CredentialKind.COMPONENT,
                    name,
                    Secret(site.secrets[name]).sha256(),
                    doors=(str(door),),
                    at=NOW,
                )

    def find_key(self, profile: IssuerProfile, key_id: str | None) -> Mapping[str, Any] | None:
        if self.key_error is not None:
            raise self.key_error
        return pick_key(tuple(self.keys), key_id)

    def userinfo(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        raise AssertionError("nobody asked for userinfo")

    def introspect(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        self.asked.append(profile.issuer)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def says(self, door: Any = SSH, **changes: Any) -> None:
        given = claims(API, **{"sub": "alice", "aud": AUDIENCES[door], **changes})
        self.answer = {"active": True, **given}

    def ask(self, path: str, body: Any, who: str = "verify") -> Any:
        return self.site.ask("POST", f"/v1/nodes/self/{path}", who, json=body)

    def whose(self, who: str = "verify", door: str = "ssh:login") -> Any:
        return self.ask("introspect", {"token": OPAQUE, "door": door}, who)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    for site in make_site(tmp_path):
        assert isinstance(site.registry, SqlRegistry)
        yield World(site)


def test_a_verifier_is_told_a_key_by_its_id(world: World) -> None:
    """Or that there is none; an issuer that is not trusted has none either."""
    found = world.ask("keys", {"issuer": ISSUER, "kid": "k2"})
    assert found.json() == {"key": public_jwk("rsa-new", "k2")}
    assert world.ask("keys", {"issuer": ISSUER, "kid": "k9"}).status_code == 404
    assert world.ask("keys", {"issuer": ISSUER[:-1], "kid": "k2"}).status_code == 404
    world.key_error = Unavailable(Reason.ISSUER_UNAVAILABLE, "down")
    assert world.ask("keys", {"issuer": ISSUER, "kid": "k2"}).status_code == 404


def test_whose_an_opaque_token_is_comes_as_a_salted_digest(world: World) -> None:
    """Never as issuer and subject: identities reach a node in this form only."""
    world.says()
    answer = world.whose()
    with world.site.registry.read() as reader:
        salt = reader.salt()
    identity = Identity(Issuer(ISSUER), Subject("alice"))
    assert answer.json()["identity"] == identity_digest(salt, identity).hex()
    assert "alice" not in answer.text
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("changes", "code", "proved"),
    [
        ({"aud": AUDIENCES[PORTAL]}, "audience_refused", True),
        ({"exp": NOW - 1000}, "token_expired", True),
        ({"sub": "demo-client"}, "robot_refused", True),
        ({"iss": "https://other.example/"}, "issuer_unknown", False),
    ],
)
def test_a_refusal_comes_with_its_reason_for_the_nodes_log(
    world: World, changes: dict[str, Any], code: str, proved: bool
) -> None:
    """And says whether the person may see it (law 11)."""
    world.says(**changes)
    assert world.whose().json() == {"refused": code, "proved": proved}


@pytest.mark.parametrize("token_id", [None, "a"], ids=["issuer", "token"])
def test_an_opaque_token_that_is_banned_is_refused_to_the_node_by_the_next_question(
    world: World, token_id: str | None
) -> None:
    """The node knows no issuer of such a token: the service looks, each time."""
    world.says(jti="a")
    assert "identity" in world.whose().json()
    with world.site.registry.write(SETUP) as writer:
        writer.add_ban(
            account_id=None, identity=None, issuer=Issuer(ISSUER), token_id=token_id, reason="x",
            until=None, at=NOW,
        )  # fmt: skip
    assert world.whose().json() == {"refused": "banned", "proved": True}
    world.says(jti="b")
    assert ("identity" in world.whose().json()) == (token_id is not None)


def test_a_silent_issuer_is_named_to_the_node_and_does_not_stick(world: World) -> None:
    """DESIGN §2: `issuer_unavailable`; the next question is a new one."""
    world.answer = Unavailable(Reason.ISSUER_UNAVAILABLE, "no answer")
    assert world.whose().json() == {"refused": "issuer_unavailable", "proved": False}
    world.says()
    assert "identity" in world.whose().json()


def test_only_the_verifier_of_the_door_may_ask(world: World) -> None:
    """Law 13: another component's credential, another door, a node's own: none of them; and nobody is asked."""
    for who, door in (("only-portal", "ssh:login"), ("verify", "ssh:other"), ("verify", "api")):
        assert world.whose(who, door).json()["code"] == "door_refused"
    assert world.whose("login1").json()["code"] == "credential_refused"
    key = {"issuer": ISSUER, "kid": "k2"}
    assert world.ask("keys", key, "only-portal").json()["code"] == "door_refused"
    assert world.asked == []


def test_a_component_may_say_whose_an_opaque_token_is(world: World) -> None:
    """`issuer` in the body; without it nobody is marked for this door, and nobody is asked."""
    world.site.newcomer()
    world.says(PORTAL)
    refused = world.site.resolve(OPAQUE)
    assert (refused.json()["code"], world.asked) == ("not_accepted", [])
    body = {"token": OPAQUE, "door": str(PORTAL), "issuer": ISSUER}
    answer = world.site.ask("POST", "/v1/resolve", "portal", json=body)
    assert (answer.status_code, answer.json()["username"]) == (200, "alice")
    assert world.asked == [ISSUER]
    body["issuer"] = "https://attacker.example/"
    assert world.site.ask("POST", "/v1/resolve", "portal", json=body).status_code == 401
    assert world.asked == [ISSUER]


def test_a_newcomer_may_come_with_an_opaque_token(world: World) -> None:
    """At the API's own door, when an issuer is marked for it."""
    world.says(API, groups=["hpc"], preferred_username="alice")
    assert world.site.ask("POST", "/v1/me/account", OPAQUE).status_code == 202
    world.answer = {"active": False}
    assert world.site.ask("GET", "/v1/me", OPAQUE).json()["code"] == "not_accepted"


def test_a_mistyped_admin_key_is_shown_to_no_issuer(world: World) -> None:
    """Law 9: what is no token of theirs is not theirs to see."""
    for path in ("/v1/accounts", "/v1/rules"):
        refused = world.site.ask("GET", path, "mistyped-admin-key-0123456789-abcdef")
        assert refused.json()["code"] == "not_accepted"
    assert world.asked == []


def test_a_ban_is_felt_by_a_remembered_token(world: World) -> None:
    """Law 5: what is remembered is the verification, never the decision; and a ban drops that too."""
    world.site.newcomer()
    token = world.site.token(door=PORTAL)
    assert all(world.site.resolve(token).status_code == 200 for _ in range(3))
    ban = {"identity": {"issuer": ISSUER, "subject": "alice"}}
    world.site.ask("POST", "/v1/bans", "bootstrap", json=ban)
    assert world.site.resolve(token).json()["code"] == "banned"


def test_an_issuer_that_is_trusted_no_more_is_felt_by_a_remembered_token(world: World) -> None:
    """At the next request."""
    world.site.newcomer()
    token = world.site.token(door=PORTAL)
    assert world.site.resolve(token).status_code == 200
    with world.site.registry.write(SETUP) as writer:
        writer.remove_issuer(Issuer(ISSUER))
    assert world.site.resolve(token).json()["code"] == "not_accepted"

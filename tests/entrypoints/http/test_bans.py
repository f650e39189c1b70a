"""Bans of groups, issuers and tokens at every door that asks the service, and the orders that make them."""

from __future__ import annotations

from typing import Any

import pytest

from idmap.domain.doors import ADMIN, API
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from tests.entrypoints.http.site import ADMINISTRATOR, PORTAL, SETUP, Site, trusted
from tests.support.tokens import ISSUER

OTHER = "https://other.example/"
ALIAS = "https://other.example"
TOKEN = {"token": {"issuer": ISSUER, "token_id": "leaked"}}
GROUP = {"group": {"issuer": ISSUER, "path": "hpc/gpu"}}


@pytest.fixture
def site(site: Site) -> Site:
    """A second issuer with an alias; alice has her account."""
    with site.registry.write(SETUP) as writer:
        other = trusted(
            issuer=Issuer(OTHER),
            aliases=frozenset({Issuer(ALIAS)}),
            record_groups_from_tokens=False,
        )
        writer.save_issuer(other)
    assert site.newcomer().status_code == 202
    return site


def ban(site: Site, **body: Any) -> dict[str, Any]:
    answer = site.ask("POST", "/v1/bans", "bootstrap", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def at_every_door(site: Site, subject: str = "alice", **claims: Any) -> dict[str, Any]:
    """What a token of a person gets at the API, the admin door and from a component; `ok`, or the code."""
    asked = {
        "api": site.ask("GET", "/v1/me", site.token(subject, door=API, **claims)),
        "admin": site.ask("GET", "/v1/rules", site.token(subject, door=ADMIN, **claims)),
        "component": site.resolve(site.token(subject, door=PORTAL, **claims)),
    }
    told = asked["api"].json()  # who is banned may see so: it is their own account
    return {
        door: told["reason"]
        if answer is asked["api"] and answer.is_success
        else "ok"
        if answer.is_success
        else answer.json()["code"]
        for door, answer in asked.items()
    }


def link_other(site: Site, account: str = "alice") -> None:
    """Makes `work` at the other issuer an identity of the account."""
    body = {"issuer": OTHER, "subject": "work"}
    path = f"/v1/accounts/{account}/identities"
    assert site.ask("POST", path, "bootstrap", json=body).is_success


# --- orders that are refused


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**TOKEN, **GROUP},
        {"account": "alice", "issuer": ISSUER},
        {"issuer": "https://unknown.example/"},
        {"issuer": ISSUER.rstrip("/")},
        {"group": {"issuer": "https://unknown.example/", "path": "hpc"}},
        {"group": {"issuer": "idmap:local", "path": "video"}},
        {"group": {"issuer": ISSUER, "path": "a//b"}},
        {"group": {"issuer": ISSUER}},
        {"token": {"issuer": ISSUER, "token_id": ""}},
        {"token": {"issuer": ISSUER, "token_id": "x" * 256}},
        {"token": {"issuer": ISSUER, "token_id": "a\0b"}},
        {"token": {"issuer": "https://unknown.example/", "token_id": "x"}},
        {"issuer": ISSUER, "until": 1},
        {"identity": {"issuer": ISSUER, "subject": "é"}},
        {"groups": "x"},
    ],
)
def test_an_order_that_cannot_be_meant_is_refused_and_bans_nobody(
    site: Site, body: dict[str, Any]
) -> None:
    for query in ("", "?dry_run=true"):
        answer = site.ask("POST", f"/v1/bans{query}", "bootstrap", json=body)
        assert refusal(answer) == (400, "request_invalid"), answer.text
    assert site.ask("GET", "/v1/bans", "bootstrap").json()["bans"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"issuer": ALIAS},
        {"group": {"issuer": ALIAS, "path": "hpc"}},
        {"token": {"issuer": ALIAS, "token_id": "x"}},
        {"identity": {"issuer": ALIAS, "subject": "x"}},
    ],
)
def test_an_alias_is_told_the_issuers_own_name(site: Site, body: dict[str, Any]) -> None:
    """A ban under an alias would refuse nobody, and look like one."""
    answer = site.ask("POST", "/v1/bans", "bootstrap", json=body).json()
    assert f"write {OTHER!r}" in answer["detail"]


# --- groups


def test_a_banned_group_is_refused_at_every_door_with_whoever_joins_it_later(site: Site) -> None:
    """Members on record; a child's are not its parent's."""
    made = ban(site, **GROUP)
    assert (made["kind"], made["closes"]) == ("group", 1)
    assert set(at_every_door(site).values()) == {"banned"}
    assert site.newcomer("bob", groups=["hpc"]).status_code == 202
    assert at_every_door(site, "bob", groups=["hpc"])["component"] == "ok"
    refused = site.newcomer("eve", groups=["hpc", "hpc/gpu"])
    assert refusal(refused) == (403, "banned")
    with site.registry.write(SETUP) as writer:
        joined = frozenset({Group(Issuer(ISSUER), "hpc/gpu")})
        writer.record_observation(
            Identity(Issuer(ISSUER), Subject("bob")), joined, None, site.clock.now
        )
    assert set(at_every_door(site, "bob", groups=["hpc"]).values()) == {"banned"}
    site.ask("DELETE", f"/v1/bans/{made['id']}", "bootstrap")
    assert at_every_door(site)["component"] == "ok"


def test_a_banned_administrator_finds_the_admin_door_closed(site: Site) -> None:
    """Through a group, whatever role the rules give them."""
    assert site.newcomer("root", groups=["hpc", "hpc/admins"]).status_code == 202
    assert at_every_door(site, "root")["admin"] == "ok"
    made = ban(site, group={"issuer": ISSUER, "path": "hpc"})
    assert at_every_door(site, "root")["admin"] == "banned"
    assert any("hpc/admins" in warning for warning in made["warnings"]) is False
    made = ban(site, group={"issuer": ISSUER, "path": "hpc/admins"})
    assert any("hpc/admins" in warning for warning in made["warnings"])


# --- issuers


def test_a_banned_issuer_is_refused_at_every_door_and_its_name_told_to_nobody_unproved(
    site: Site,
) -> None:
    """By whatever name the token calls it; a forged one learns nothing (law 11)."""
    made = ban(site, issuer=ISSUER, until=site.clock.now + 30)
    assert (made["kind"], made["closes"]) == ("issuer", 1)
    assert set(at_every_door(site).values()) == {"banned"}
    assert refusal(site.newcomer("somebody")) == (403, "banned")
    forged = site.token()[:-8] + "AAAAAAAA"
    assert refusal(site.ask("GET", "/v1/me", forged)) == (401, "not_accepted")
    site.clock.now += 30
    assert at_every_door(site)["component"] == "ok"


def test_who_has_another_issuers_identity_too_comes_in_by_that_one(site: Site) -> None:
    """The account is not closed; only the banned issuer's word counts for nothing."""
    link_other(site)
    made = ban(site, issuer=OTHER)
    assert made["closes"] == 0
    for name in (OTHER, ALIAS):
        assert at_every_door(site, "work", iss=name)["component"] == "banned"
    assert at_every_door(site)["component"] == "ok"
    shown = site.ask("GET", "/v1/accounts/alice", "bootstrap").json()
    assert shown["bans"] == []
    site.ask("DELETE", f"/v1/bans/{made['id']}", "bootstrap")
    ban(site, issuer=ISSUER)
    assert at_every_door(site)["component"] == "banned"
    assert at_every_door(site, "work", iss=OTHER)["component"] == "ok"


def test_nothing_is_linked_over_a_banned_issuer(site: Site) -> None:
    """By two logins or by order."""
    ban(site, issuer=OTHER)
    other = site.token("work", iss=OTHER)
    answer = site.ask("POST", "/v1/me/links", site.token(), json={"token": other})
    assert refusal(answer) == (403, "banned")
    body = {"issuer": OTHER, "subject": "work"}
    with site.registry.write(SETUP) as writer:
        seen = Identity(Issuer(OTHER), Subject("work"))
        writer.record_observation(seen, frozenset(), None, site.clock.now)
    answer = site.ask("POST", "/v1/accounts/alice/identities", "bootstrap", json=body)
    assert refusal(answer)[1] == "banned"


# --- tokens


def test_a_banned_token_is_refused_at_every_door_and_the_next_one_is_not(site: Site) -> None:
    """It is no ban of the person, and reaches the memory of verified tokens too."""
    leaked = site.token(door=PORTAL, jti="leaked")
    assert [site.resolve(leaked).status_code for _ in range(3)] == [200] * 3
    made = ban(site, **TOKEN)
    assert (made["kind"], made["closes"], made["token"]) == ("token", 0, TOKEN["token"])
    assert [site.resolve(leaked).json()["code"] for _ in range(3)] == ["banned"] * 3
    assert set(at_every_door(site, jti="leaked").values()) == {"banned"}
    assert at_every_door(site, jti="fresh")["component"] == "ok"
    assert at_every_door(site, jti=None)["component"] == "ok"
    assert at_every_door(site, ADMINISTRATOR, jti="leaked")["admin"] == "banned"
    other = at_every_door(site, "work", iss=OTHER, jti="leaked")
    assert other["api"] == "account_unknown", "the same id at another issuer is another token"
    site.ask("DELETE", f"/v1/bans/{made['id']}", "bootstrap")
    assert site.resolve(leaked).status_code == 200


def test_a_ban_by_another_process_reaches_what_is_remembered(site: Site) -> None:
    """Whoever committed it: the next answer knows."""
    leaked = site.token(door=PORTAL, jti="leaked")
    assert [site.resolve(leaked).status_code for _ in range(2)] == [200] * 2
    with site.registry.write(SETUP) as writer:
        writer.add_ban(
            account_id=None, identity=None, issuer=Issuer(ISSUER), token_id="leaked", reason="x",
            until=site.clock.now + 20, at=site.clock.now,
        )  # fmt: skip
    assert site.resolve(leaked).json()["code"] == "banned"
    site.clock.now += 20
    assert site.resolve(leaked).status_code == 200


# --- what an order says


def test_a_dry_run_counts_warns_and_changes_nothing(site: Site) -> None:
    site.newcomer("bob", groups=["hpc"])
    before = site.ask("GET", "/v1/changes/verify", "bootstrap").json()
    for body, closes in (
        ({"issuer": ISSUER}, 2),
        (GROUP, 1),
        ({"group": {"issuer": ISSUER, "path": "hpc"}}, 2),
        ({"group": {"issuer": ISSUER, "path": "never/seen"}}, 0),
        (TOKEN, 0),
        ({"account": "alice"}, 1),
        ({"identity": {"issuer": ISSUER, "subject": "stranger"}}, 0),
    ):
        answer = site.ask("POST", "/v1/bans?dry_run=true", "bootstrap", json=body)
        assert (answer.status_code, answer.json()["closes"]) == (200, closes), body
        assert bool(answer.json()["warnings"]) == (body == {"issuer": ISSUER})
    assert site.ask("GET", "/v1/changes/verify", "bootstrap").json() == before
    assert at_every_door(site)["component"] == "ok"


def test_whoever_keeps_administrators_out_is_warned_and_obeyed(site: Site) -> None:
    """Themselves among them. The admin key opens still: it is no person."""
    own = site.token(ADMINISTRATOR, door=ADMIN)
    answer = site.ask("POST", "/v1/bans", own, json={"issuer": ISSUER})
    assert answer.status_code == 201
    (me, named, group) = answer.json()["warnings"]
    assert me.startswith("you, ")
    assert ADMINISTRATOR in named
    assert "hpc/admins" in group
    assert refusal(site.ask("GET", "/v1/rules", own)) == (403, "banned")
    assert site.ask("DELETE", "/v1/bans/1", "bootstrap").is_success
    for body in (
        {"identity": {"issuer": ISSUER, "subject": ADMINISTRATOR}},
        {"group": {"issuer": ISSUER, "path": "hpc/admins"}},
    ):
        made = ban(site, **body)
        assert len(made["warnings"]) == 1
        site.ask("DELETE", f"/v1/bans/{made['id']}", "bootstrap")


def test_an_order_sent_again_with_its_key_bans_once(site: Site) -> None:
    """And answers the same, warnings and all."""
    headers = {"Idempotency-Key": '"one"'}
    first, second = (
        site.ask("POST", "/v1/bans", "bootstrap", json={"issuer": ISSUER}, headers=headers)
        for _ in range(2)
    )
    assert first.json() == second.json()
    assert len(site.ask("GET", "/v1/bans", "bootstrap").json()["bans"]) == 1


def test_lists_and_single_bans_say_what_they_are_of(site: Site) -> None:
    """One member names it, and lists narrow by it."""
    link_other(site)
    identity = {"identity": {"issuer": ISSUER, "subject": "alice"}}
    bodies = [{"account": "alice"}, identity, GROUP, {"issuer": OTHER}, TOKEN]
    ids = [ban(site, **body)["id"] for body in bodies]

    def found(**query: Any) -> list[int]:
        answer = site.ask("GET", "/v1/bans", "bootstrap", params=query)
        assert answer.is_success, answer.text
        return [one["id"] for one in answer.json()["bans"]]

    assert found() == ids
    for number, kind in zip(ids, ("account", "identity", "group", "issuer", "token"), strict=True):
        assert found(kind=kind) == [number]
        shown = site.ask("GET", f"/v1/bans/{number}", "bootstrap").json()
        named = [
            name for name in ("account_id", "identity", "group", "issuer", "token") if shown[name]
        ]
        assert named == ["account_id" if kind == "account" else kind]
    assert found(account="alice") == ids[:3]
    assert found(issuer=ISSUER) == [ids[1], ids[2], ids[4]]
    assert found(issuer=ISSUER, subject="alice") == [ids[1]]
    assert found(issuer=ISSUER, group="hpc/gpu") == [ids[2]]
    assert found(token_id="leaked") == [ids[4]]
    assert refusal(site.ask("GET", "/v1/bans?subject=x", "bootstrap")) == (400, "request_invalid")
    assert refusal(site.ask("GET", "/v1/bans?kind=x", "bootstrap")) == (400, "request_invalid")


# --- explain


def checks(site: Site, **body: Any) -> dict[str, str]:
    """The failing checks of the first explanation."""
    answer = site.ask("POST", "/v1/explain", "bootstrap", json=body).json()
    return {
        check["check"]: check["shown"]
        for check in answer["explanations"][0]["checks"]
        if not check["passed"]
    }


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ({"account": "alice"}, "ban 1 of the account: a test (this person's account)"),
        (
            {"identity": {"issuer": ISSUER, "subject": "alice"}},
            f"ban 1 of identity alice @ {ISSUER}: a test (this very identity)",
        ),
        (
            {"identity": {"issuer": OTHER, "subject": "work"}},
            f"ban 1 of identity work @ {OTHER}: a test (linked to the same account)",
        ),
        (GROUP, f"ban 1 of group hpc/gpu @ {ISSUER}: a test (this identity is recorded in it)"),
    ],
)
def test_explain_says_which_ban_and_why_it_reaches_the_person(
    site: Site, order: dict[str, Any], words: str
) -> None:
    link_other(site)
    ban(site, **order)
    failing = checks(site, identity={"issuer": ISSUER, "subject": "alice"})
    assert failing == {"no ban in force": words}


def test_explain_says_it_of_groups_of_linked_identities_and_of_issuers(site: Site) -> None:
    link_other(site)
    made = ban(site, **GROUP)
    failing = checks(site, identity={"issuer": OTHER, "subject": "work"})
    assert "linked to the same account is recorded in it" in failing["no ban in force"]
    site.ask("DELETE", f"/v1/bans/{made['id']}", "bootstrap")
    ban(site, issuer=OTHER)
    failing = checks(site, identity={"issuer": OTHER, "subject": "work"})
    assert "no ban in force" not in failing, "the account is open by the other issuer"
    assert f"of issuer {OTHER}" in failing["tokens of its issuer accepted"]
    assert checks(site, identity={"issuer": ISSUER, "subject": "alice"}) == {}
    ban(site, issuer=ISSUER)
    failing = checks(site, identity={"issuer": ISSUER, "subject": "alice"})
    assert "no identity of the person is of an issuer" in failing["no ban in force"]


def test_explain_shows_a_banned_token_without_its_id(site: Site) -> None:
    """Safe to paste: neither the token nor its id."""
    ban(site, token={"issuer": ISSUER, "token_id": "an-id-to-keep"}, reason="on a forum")
    token = site.token(door=PORTAL, jti="an-id-to-keep")
    body = {"token": token, "door": str(PORTAL)}
    answer = site.ask("POST", "/v1/explain", "bootstrap", json=body)
    (told,) = answer.json()["explanations"]
    assert told["outcome"] == "banned"
    last = told["checks"][-1]
    assert (last["check"], last["passed"]) == ("not banned", False)
    assert "ban 1 of one token of" in last["shown"]
    assert "on a forum" in last["shown"]
    assert "an-id-to-keep" not in answer.text

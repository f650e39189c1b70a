"""`POST /v1/resolve`: the full record or the reason, the same at every door."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from idmap.domain.accounts import AccountEvent
from idmap.domain.doors import API, parse_door
from tests.entrypoints.http.site import PORTAL, RULES, SETUP, SSH, Site
from tests.support.tokens import ISSUER

BAN = {"identity": {"issuer": ISSUER, "subject": "alice"}}


@pytest.fixture
def alice(site: Site) -> Site:
    """A site where alice has an account."""
    assert site.newcomer().status_code == 202
    return site


def test_the_answer_is_the_full_record(alice: Site) -> None:
    """DESIGN §2 names the members; whoever asks needs nothing else to run a job."""
    answer = alice.resolve(alice.token(door=PORTAL))
    body = answer.json()
    assert answer.status_code == 200
    assert {name: body[name] for name in ("username", "uid", "home", "shell", "state")} == {
        "username": "alice",
        "uid": 200000,
        "home": "/home/alice",
        "shell": "/bin/bash",
        "state": "active",
    }
    assert [group["name"] for group in body["groups"]] == ["hpc", "hpc_gpu"]
    assert body["gid"] == body["groups"][0]["gid"]
    assert {"expiry", "valid_until", "reason", "decision_id", "revision"} < set(body)
    assert answer.headers["cache-control"] == "no-store"


def test_an_answer_lives_a_minute_at_most_and_never_longer_than_the_token(alice: Site) -> None:
    """Law 5."""
    now = alice.clock.now
    long = alice.resolve(alice.token(door=PORTAL)).json()
    short = alice.resolve(alice.token(door=PORTAL, exp=now + 20)).json()
    assert (long["valid_until"], long["expiry"]) == (now + 60, now + 3600)
    assert (short["valid_until"], short["expiry"]) == (now + 20, now + 20)


def test_an_account_in_grace_ends_with_its_last_day(alice: Site) -> None:
    """What is handed out never outlives the account."""
    today = date(2027, 1, 15)  # of the site's clock
    with alice.registry.write(SETUP) as writer:
        account = writer.find_account(username="alice")
        assert account is not None
        writer.move_account(account.account_id, AccountEvent.ENTITLEMENT_LOST, today)
    body = alice.resolve(alice.token(door=PORTAL, exp=alice.clock.now + 80_000)).json()
    assert body["state"] == "grace"
    assert body["expiry"] == 1_800_057_600  # the first second of the next day, UTC


def test_the_same_question_has_the_same_decision(alice: Site) -> None:
    """Another token of the same person at the same door is the same decision."""
    first, second = (alice.resolve(alice.token(door=PORTAL, jti=i)).json() for i in "12")
    assert first["decision_id"] == second["decision_id"]


@pytest.mark.parametrize("what", ["person", "door", "rules", "revision", "ban of another"])
def test_a_decision_made_of_something_else_has_another_id(alice: Site, what: str) -> None:
    """Identity, door, rule version, revision and what bans stand: each is a part of the id."""
    before = alice.resolve(alice.token(door=PORTAL)).json()["decision_id"]
    token, door = alice.token(door=PORTAL), PORTAL
    if what == "person":
        alice.newcomer("bob")
        before = alice.resolve(token).json()["decision_id"]
        token = alice.token("bob", door=PORTAL)
    elif what == "door":
        token, door = alice.token(door=API), API
    elif what == "rules":
        alice.ask("PUT", "/v1/rules", "bootstrap", json={**RULES, "admins": []})
    elif what == "revision":
        alice.newcomer("bob")
    else:
        other = {"identity": {"issuer": ISSUER, "subject": "mallory"}}
        alice.ask("POST", "/v1/bans", "bootstrap", json=other)
    assert alice.resolve(token, door).json()["decision_id"] != before


@pytest.mark.parametrize("ban", [BAN, {"account": "alice"}], ids=["identity", "account"])
def test_a_ban_refuses_the_next_request_and_lifting_ends_it(alice: Site, ban: Any) -> None:
    """Law 5, at the doors that ask us: no cache stands in between."""
    token = alice.token(door=PORTAL)
    assert alice.resolve(token).status_code == 200
    made = alice.ask("POST", "/v1/bans", "bootstrap", json=ban).json()
    refused = alice.resolve(token)
    assert (refused.status_code, refused.json()["code"]) == (403, "banned")
    alice.ask("DELETE", f"/v1/bans/{made['id']}", "bootstrap")
    assert alice.resolve(token).status_code == 200


def test_a_ban_with_an_end_ends_by_itself(alice: Site) -> None:
    """`until` is a moment, not a note."""
    alice.ask("POST", "/v1/bans", "bootstrap", json={**BAN, "until": alice.clock.now + 30})
    assert alice.resolve(alice.token(door=PORTAL)).json()["code"] == "banned"
    alice.clock.now += 30
    assert alice.resolve(alice.token(door=PORTAL)).status_code == 200


def test_a_component_speaks_for_its_own_doors_only(alice: Site) -> None:
    """No confused deputies (design review H17): the portal may not present what was meant for ssh or the gate."""
    for door in (SSH, parse_door("gate")):
        refused = alice.resolve(alice.token(door=SSH), door)
        assert (refused.status_code, refused.json()["code"]) == (403, "door_refused")
    for credential in ("gate",):
        body = {"token": alice.token(door=PORTAL), "door": str(PORTAL)}
        answer = alice.ask("POST", "/v1/resolve", credential, json=body)
        assert answer.json()["code"] == "door_refused"


def test_a_token_for_another_door_is_told_so(alice: Site) -> None:
    """Law 13: the audience decides, and the signature held, so the reason may be told."""
    body = alice.resolve(alice.token(door=SSH)).json()
    assert (body["code"], body["concerns"]) == ("audience_refused", "token")


@pytest.mark.parametrize("who", ["nobody", "suspended", "closed"])
def test_whoever_has_no_usable_account_is_refused_with_the_reason(alice: Site, who: str) -> None:
    """Empty means nobody (law 4)."""
    expected = {
        "nobody": "account_unknown",
        "suspended": "account_suspended",
        "closed": "account_unknown",
    }
    verb = {"suspended": "suspend", "closed": "close"}.get(who)
    if verb:
        assert alice.ask("POST", f"/v1/accounts/alice/{verb}", "bootstrap", json={}).is_success
    answer = alice.resolve(alice.token("alice" if verb else "nobody", door=PORTAL))
    assert (answer.status_code, answer.json()["code"]) == (403, expected[who])


def test_a_door_that_does_not_exist_is_a_bad_request(alice: Site) -> None:
    """Nothing is guessed."""
    body = {"token": alice.token(), "door": "component:"}
    answer = alice.ask("POST", "/v1/resolve", "portal", json=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")


def test_two_doors_agree_about_a_person(alice: Site) -> None:
    """Law 3: at one revision the account is the same everywhere."""
    portal = alice.resolve(alice.token(door=PORTAL)).json()
    api = alice.resolve(alice.token(door=API), API).json()
    me = alice.ask("GET", "/v1/me", alice.token()).json()["account"]
    for member in ("username", "uid", "gid", "groups", "home", "shell", "state"):
        assert portal[member] == api[member] == me[member]

"""A newcomer's way in: `/v1/me` and `POST /v1/me/account`."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.entrypoints.http.site import SETUP, Site, trusted
from tests.support.tokens import ISSUER

HOSTILE = {
    "root": "root",
    "a service": "slurm",
    "an image's user": "ubuntu",
    "a path": "../x",
    "very long": "a" * 255,
    "longer than any claim": "a" * 300,
    "look-alike Unicode": "аlice",  # the first letter is Cyrillic
    "a generated name": "u200001",
    "a separator": "alice:0:0",
    "a newline": "alice\nroot",
    "upper-case root": "ROOT",
    "number": "0",
    "nothing": "",
}


def test_a_newcomer_gets_an_account_and_the_revision_to_wait_for(site: Site) -> None:
    """202: made now, not on the nodes yet."""
    answer = site.newcomer()
    body = answer.json()
    assert (answer.status_code, body["ready"]) == (202, False)
    assert (body["account"]["username"], body["account"]["uid"]) == ("alice", 200000)
    with site.registry.read() as reader:
        assert body["revision"] == reader.revision()


def test_asking_again_changes_nothing(site: Site) -> None:
    """Idempotent: 200, the same account, no new revision, nothing on the record."""
    first = site.newcomer().json()
    with site.registry.read() as reader:
        changes = len(reader.changes(limit=1000))
    again = site.newcomer()
    assert (again.status_code, again.json()["account"]) == (200, first["account"])
    assert again.json()["revision"] == first["revision"]
    with site.registry.read() as reader:
        assert len(reader.changes(limit=1000)) == changes


def test_many_calls_at_once_make_one_account(site: Site) -> None:
    """Impatient people press twice; a write transaction is exclusive."""
    tokens = [site.token("alice", jti=str(number)) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda t: site.ask("POST", "/v1/me/account", t), tokens))
    assert {answer.status_code for answer in answers} <= {200, 202}
    assert [answer.status_code for answer in answers].count(202) == 1
    assert len({answer.json()["account"]["uid"] for answer in answers}) == 1
    with site.registry.read() as reader:
        assert sum(reader.count_accounts().values()) == 1


def test_newcomers_at_once_get_different_accounts(site: Site) -> None:
    """No number and no name twice (law 2)."""
    names = [f"person{number:02}" for number in range(12)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(site.newcomer, names))
    accounts = [answer.json()["account"] for answer in answers]
    assert len({account["uid"] for account in accounts}) == len(names)
    assert {account["username"] for account in accounts} == set(names)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_name_becomes_a_generated_one(site: Site, name: str) -> None:
    """The person gets an account; the name they asked for is nobody's (issue 2, Must show)."""
    body = site.newcomer("5f1c", preferred_username=name).json()
    assert body["account"]["username"] == "u200000"
    assert body["account"]["home"] == "/home/u200000"
    assert site.ask("GET", "/v1/accounts/root", "bootstrap").status_code == 404


def test_two_people_of_one_name_are_two_accounts(site: Site) -> None:
    """Law 1: the name only spells; the second gets a name from the number."""
    first = site.newcomer("s1", preferred_username="alice").json()["account"]
    second = site.newcomer("s2", preferred_username="alice").json()["account"]
    assert (first["username"], second["username"]) == ("alice", "u200001")


def test_a_stranger_whom_no_rule_knows_leaves_no_trace(site: Site) -> None:
    """403 with the next step; nothing is recorded, so strangers cannot fill the registry."""
    answer = site.newcomer("mallory", groups=["elsewhere"])
    assert (answer.status_code, answer.json()["code"]) == (403, "no_rule_matches")
    assert answer.json()["next_step"]
    with site.registry.read() as reader:
        assert not list(reader.people())


def test_without_permission_to_record_a_tokens_groups_give_nothing(site: Site) -> None:
    """Law 3: recorded facts decide; a credential never widens."""
    with site.registry.write(SETUP) as writer:
        writer.save_issuer(trusted(record_groups_from_tokens=False))
    assert site.newcomer().json()["code"] == "no_rule_matches"
    me = site.ask("GET", "/v1/me", site.token()).json()
    assert (me["entitled"], me["account"]) == (False, None)


def test_a_banned_newcomer_gets_no_account(site: Site) -> None:
    """The ban of an identity that has no account yet stands."""
    ban = {"identity": {"issuer": ISSUER, "subject": "alice"}}
    site.ask("POST", "/v1/bans", "bootstrap", json=ban)
    assert site.newcomer().json()["code"] == "banned"
    with site.registry.read() as reader:
        assert not reader.count_accounts() or not sum(reader.count_accounts().values())


def test_a_banned_person_does_not_get_their_account_confirmed(site: Site) -> None:
    """Nor when the account was there before."""
    site.newcomer()
    site.ask("POST", "/v1/bans", "bootstrap", json={"account": "alice"})
    assert site.newcomer().json()["code"] == "banned"


def test_a_closed_account_is_never_opened_again(site: Site) -> None:
    """A tombstone is final (law 2)."""
    site.newcomer()
    site.ask("POST", "/v1/accounts/alice/close", "bootstrap", json={"reason": "left"})
    assert site.newcomer().status_code == 403


def test_an_exhausted_range_refuses(site: Site) -> None:
    """Nothing is taken from elsewhere (law 4)."""
    for number in range(100):
        assert site.newcomer(f"p{number:03}x").status_code == 202
    answer = site.newcomer("onetoomany")
    assert (answer.status_code, answer.json()["code"]) == (409, "range_exhausted")


def test_two_issuers_that_differ_by_a_slash_are_two_issuers(site: Site) -> None:
    """Law 1: byte for byte. The same subject at the other issuer is another person."""
    other = trusted(issuer=ISSUER.rstrip("/"))
    with site.registry.write(SETUP) as writer:
        writer.save_issuer(other)
    assert site.newcomer().status_code == 202
    answer = site.newcomer(iss=ISSUER.rstrip("/"))
    assert answer.json()["code"] == "no_rule_matches"
    me = site.ask("GET", "/v1/me", site.token(iss=ISSUER.rstrip("/"))).json()
    assert (me["identity"]["issuer"], me["account"]) == (ISSUER.rstrip("/"), None)


def test_me_tells_who_i_am_before_and_after(site: Site) -> None:
    """Before: no account, but entitled. After: the account, usable."""
    before = site.ask("GET", "/v1/me", site.token()).json()
    assert before["identity"] == {"issuer": ISSUER, "subject": "alice"}
    assert (before["account"], before["reason"]) == (None, "account_unknown")
    assert (before["entitled"], before["rule"]) == (True, "members")
    site.newcomer()
    after = site.ask("GET", "/v1/me", site.token()).json()
    assert (after["account"]["username"], after["usable"], after["reason"]) == ("alice", True, "ok")


def test_ready_is_when_every_node_of_the_class_has_the_revision(site: Site) -> None:
    """Waiting for one's own revision does not depend on what others change later."""
    revision = site.newcomer().json()["revision"]

    def ready() -> dict[str, object]:
        path = f"/v1/me?revision={revision}"
        found: dict[str, object] = site.ask("GET", path, site.token()).json()["ready"]["login"]
        return found

    assert ready() == {"ready": False, "nodes": 1, "current": 0}
    report = {"revision": revision, "ban_counter": 0}
    assert site.ask("POST", "/v1/nodes/self/report", "login1", json=report).status_code == 200
    site.newcomer("bob")
    assert ready() == {"ready": True, "nodes": 1, "current": 1}


def test_a_nodes_own_names_are_given_to_nobody(site: Site) -> None:
    """Law 10: a newcomer named like a local account of a node gets a generated name."""
    report = {"revision": 0, "ban_counter": 0, "local_names": ["alice"]}
    site.ask("POST", "/v1/nodes/self/report", "login1", json=report)
    assert site.newcomer().json()["account"]["username"] == "u200000"

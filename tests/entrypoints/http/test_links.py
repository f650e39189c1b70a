"""Linking at the HTTP door: two fresh logins, an administrator's order, evidence, approval."""

from __future__ import annotations

from typing import Any

import pytest

from idmap.application.ports import ListedPerson, Listing
from idmap.domain.doors import ADMIN
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.linking import LinkedId, LinkedIdKind
from tests.entrypoints.http.site import ADMINISTRATOR, PORTAL, RULES, SETUP, Site, trusted
from tests.support.tokens import ISSUER, NOW

OTHER = "https://other.example/"
THIRD = "https://third.example/"
HOME = {"issuer": ISSUER, "subject": "alice"}
WORK = {"issuer": OTHER, "subject": "work"}


@pytest.fixture
def site(site: Site) -> Site:
    """Two more issuers, and alice with her account."""
    with site.registry.write(SETUP) as writer:
        for issuer in (OTHER, THIRD):
            writer.save_issuer(trusted(issuer=Issuer(issuer), record_groups_from_tokens=False))
    site.newcomer("alice")
    return site


def second(site: Site, subject: str = "work", **changes: Any) -> str:
    """A token of another issuer for the same door."""
    return site.token(subject, **{"iss": OTHER, **changes})


def link(site: Site, own: str, other: str) -> Any:
    return site.ask("POST", "/v1/me/links", own, json={"token": other})


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def linked(site: Site, account: str = "alice") -> list[dict[str, str]]:
    found = site.ask("GET", f"/v1/accounts/{account}", "bootstrap").json()["identities"]
    assert isinstance(found, list)
    return found


def test_two_fresh_logins_make_one_person(site: Site) -> None:
    """From then on either token is answered with the same account, and the record says on what proof."""
    answer = link(site, site.token(), second(site))
    assert answer.status_code == 200
    assert (answer.json()["identities"], answer.json()["changed"]) == ([HOME, WORK], True)
    mine = site.ask("GET", "/v1/me", second(site)).json()
    assert (mine["account"]["username"], mine["usable"]) == ("alice", True)
    assert (mine["entitled"], mine["rule"]) == (True, "members"), "by what alice is a member of"
    assert site.ask("GET", "/v1/me/links", second(site)).json()["identities"] == [HOME, WORK]
    resolved = site.resolve(second(site, aud="https://portal.example"), PORTAL).json()
    assert resolved["uid"] == 200000
    change = site.ask("GET", "/v1/changes?limit=1000", "bootstrap").json()["changes"][-1]
    assert change["author"] == f"self:alice @ {ISSUER}"
    assert (change["action"], change["body"]["proof"]) == ("link_identity", "two_logins")


def test_linking_again_changes_nothing(site: Site) -> None:
    link(site, site.token(), second(site))
    with site.registry.read() as reader:
        before = (reader.revision(), reader.last_change())
    for own, other in ((site.token(), second(site)), (second(site), site.token())):
        answer = link(site, own, other)
        assert (answer.status_code, answer.json()["changed"]) == (200, False)
    with site.registry.read() as reader:
        assert (reader.revision(), reader.last_change()) == before


@pytest.mark.parametrize("stale", ["own", "other"])
@pytest.mark.parametrize(
    "login",
    [{"iat": NOW - 601}, {"auth_time": NOW - 601}, {"auth_time": "today"}, {"auth_time": NOW + 90}],
    ids=["issued", "logged_in", "unreadable", "to_come"],
)
def test_an_old_login_proves_nothing(site: Site, stale: str, login: dict[str, Any]) -> None:
    """A refreshed token is issued now and says when the person was there."""
    own = site.token(**(login if stale == "own" else {}))
    other = second(site, **(login if stale == "other" else {}))
    assert refusal(link(site, own, other)) == (401, "authentication_too_old")
    assert linked(site) == [HOME]


def test_a_login_at_the_limit_still_counts(site: Site) -> None:
    at: dict[str, Any] = {"iat": NOW - 5, "auth_time": NOW - 600}
    assert link(site, site.token(**at), second(site, **at)).status_code == 200


@pytest.mark.parametrize(
    ("other", "refused"),
    [
        ({"aud": "ssh://login.example"}, (403, "audience_refused")),
        ({"exp": NOW - 100, "iat": NOW - 200}, (401, "token_expired")),
        ({"iss": "https://nobody.example/"}, (401, "not_accepted")),
        ({"sub": "robot", "client_id": "robot"}, (403, "robot_refused")),
    ],
    ids=["another door's", "expired", "untrusted", "robot"],
)
def test_the_second_token_is_verified_like_the_first(
    site: Site, other: dict[str, Any], refused: tuple[int, str]
) -> None:
    assert refusal(link(site, site.token(), second(site, **other))) == refused
    assert refusal(link(site, site.token(), second(site)[:-6] + "AAAAAA")) == (401, "not_accepted")
    assert linked(site) == [HOME]


def test_one_identity_twice_is_no_proof_of_two(site: Site) -> None:
    answer = link(site, site.token(), site.token(jti="another"))
    assert refusal(answer) == (400, "request_invalid")


def test_merging_two_accounts_is_not_for_people_to_do(site: Site) -> None:
    site.newcomer("bob")
    assert refusal(link(site, site.token(), site.token("bob"))) == (
        409,
        "identity_linked_elsewhere",
    )
    assert linked(site) == [HOME]


def test_who_has_no_account_links_nothing(site: Site) -> None:
    """Nor is an account found by way of the second token: whoever comes is who is served."""
    assert refusal(link(site, second(site), site.token("stranger"))) == (403, "account_unknown")
    assert refusal(link(site, second(site), site.token("alice"))) == (403, "account_unknown")


@pytest.mark.parametrize("who", [{"account": "alice"}, {"identity": HOME}, {"identity": WORK}])
def test_a_ban_is_not_linked_away(site: Site, who: dict[str, Any]) -> None:
    site.ask("POST", "/v1/bans", "bootstrap", json={**who, "reason": "stolen"})
    assert refusal(link(site, site.token(), second(site))) == (403, "banned")
    answer = site.ask("POST", "/v1/accounts/alice/identities", "bootstrap", json=WORK)
    assert refusal(answer) == (403, "banned")
    assert linked(site) == [HOME]


def test_a_ban_of_a_linked_identity_closes_every_way_in(site: Site) -> None:
    link(site, site.token(), second(site))
    site.ask("POST", "/v1/bans", "bootstrap", json={"identity": WORK, "reason": "stolen"})
    for token in (site.token(), second(site)):
        assert site.ask("GET", "/v1/me", token).json()["reason"] == "banned"
    gone = site.ask("DELETE", "/v1/accounts/alice/identities", "bootstrap", params=WORK)
    assert refusal(gone) == (403, "banned")


def test_an_administrator_links_and_unlinks_with_a_reason(site: Site) -> None:
    body = {**WORK, "reason": "seen both passports"}
    answer = site.ask("POST", "/v1/accounts/alice/identities", "bootstrap", json=body)
    assert answer.json()["identities"] == [HOME, WORK]
    change = site.ask("GET", "/v1/changes?limit=1000", "bootstrap").json()["changes"][-1]
    assert (change["reason"], change["body"]["proof"]) == ("seen both passports", "administrator")
    answer = site.ask("DELETE", "/v1/accounts/200000/identities", "bootstrap", params=WORK)
    assert answer.json()["identities"] == [HOME]
    answer = site.ask("DELETE", "/v1/accounts/alice/identities", "bootstrap", params=HOME)
    assert refusal(answer) == (409, "last_identity")
    answer = site.ask("DELETE", "/v1/accounts/alice/identities", "bootstrap", params=WORK)
    assert refusal(answer) == (404, "not_found")


def test_a_dry_run_refuses_the_same_and_keeps_nothing(site: Site) -> None:
    with site.registry.read() as reader:
        before = (reader.revision(), reader.last_change())
    where = "/v1/accounts/alice/identities?dry_run=true"
    assert site.ask("POST", where, "bootstrap", json=WORK).json()["identities"] == [HOME, WORK]
    answer = site.ask("DELETE", where, "bootstrap", params={**HOME, "dry_run": "true"})
    assert refusal(answer) == (409, "last_identity")
    with site.registry.read() as reader:
        assert (reader.revision(), reader.last_change()) == before
    assert linked(site) == [HOME]


def test_a_link_makes_nobody_an_administrator(site: Site) -> None:
    """Roles are the identity's own: the rules name one identity, not one person."""
    site.newcomer(ADMINISTRATOR)
    name = site.ask("GET", "/v1/me", site.token(ADMINISTRATOR)).json()["account"]["username"]
    site.ask("POST", f"/v1/accounts/{name}/identities", "bootstrap", json=WORK)
    assert site.ask("GET", "/v1/accounts", site.token(ADMINISTRATOR, ADMIN)).status_code == 200
    weaker = site.token("work", ADMIN, iss=OTHER)
    assert refusal(site.ask("GET", "/v1/accounts", weaker)) == (403, "role_missing")


def test_a_link_is_made_to_what_was_read_and_once_per_key(site: Site) -> None:
    """If-Match and Idempotency-Key, as for every change at the admin door."""
    read = site.ask("GET", "/v1/accounts/alice", "bootstrap").headers["etag"]
    made = site.ask(
        "POST",
        "/v1/accounts/alice/identities",
        "bootstrap",
        json=WORK,
        headers={"If-Match": read, "Idempotency-Key": '"one"'},
    )
    assert made.status_code == 200
    assert made.headers["etag"] != read
    again = site.ask(
        "POST",
        "/v1/accounts/alice/identities",
        "bootstrap",
        json=WORK,
        headers={"If-Match": read, "Idempotency-Key": '"one"'},
    )
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == made.json()
    stale = site.ask(
        "DELETE",
        "/v1/accounts/alice/identities",
        "bootstrap",
        params=WORK,
        headers={"If-Match": read},
    )
    assert refusal(stale) == (412, "version_conflict")
    assert linked(site) == [HOME, WORK]


# --- evidence ---------------------------------------------------------------------------------


def say(site: Site, issuer: str = ISSUER, began: int = NOW, **said: tuple[LinkedId, ...]) -> None:
    """A source of this issuer lists these people of `hpc` with what it says of their other ids."""
    group = Group(Issuer(issuer), "hpc")
    people = tuple(
        ListedPerson(
            Identity(Issuer(issuer), Subject(subject)),
            frozenset({group}),
            active=True,
            preferred_username=subject,
            linked_ids=linked_ids,
        )
        for subject, linked_ids in said.items()
    )
    listing = Listing(f"of {issuer}", Issuer(issuer), frozenset({group}), people, began)
    with site.registry.write(SETUP) as writer:
        writer.record_listing(listing)


def claim(subject: str = "work", issuer: str = OTHER) -> LinkedId:
    return LinkedId(LinkedIdKind.OIDC, issuer, subject)


def evidence(site: Site, **query: str) -> list[dict[str, Any]]:
    found = site.ask("GET", "/v1/links/evidence", "bootstrap", params=query).json()["evidence"]
    assert isinstance(found, list)
    return found


def settle(site: Site, number: int, verb: str, **query: str) -> Any:
    return site.ask(
        "POST",
        f"/v1/links/evidence/{number}/{verb}",
        "bootstrap",
        json={"reason": "checked"},
        params=query,
    )


def test_an_issuers_word_becomes_a_link_once_it_is_approved(site: Site) -> None:
    say(site, alice=(claim(),))
    (found,) = evidence(site, linkable="true")
    assert (found["identity"], found["account"]) == (HOME, "alice")
    shown = site.ask("GET", f"/v1/links/evidence/{found['id']}", "bootstrap")
    assert (shown.json(), "etag" in shown.headers) == (found, True)
    assert found["claims"] == {"kind": "oidc", **WORK}
    assert not found["contradicted"]
    assert linked(site) == [HOME]
    assert settle(site, found["id"], "approve", dry_run="true").status_code == 200
    assert linked(site) == [HOME]
    assert settle(site, found["id"], "approve").json()["identities"] == [HOME, WORK]
    assert evidence(site) == []
    assert [one["id"] for one in evidence(site, state="approved")] == [found["id"]]
    assert refusal(settle(site, found["id"], "approve")) == (409, "evidence_settled")
    changes = site.ask("GET", "/v1/changes?limit=1000", "bootstrap").json()["changes"][-2:]
    assert [change["reason"] for change in changes] == ["checked"] * 2
    assert (changes[0]["body"]["proof"], changes[0]["body"]["evidence"]) == (
        "evidence",
        found["id"],
    )


def test_two_issuers_claiming_one_linked_id_is_a_clear_refusal(site: Site) -> None:
    """Neither is approved until an administrator has refused one of them."""
    site.newcomer("bob")
    say(site, alice=(claim(issuer=THIRD),))
    say(site, OTHER, mallory=(claim(issuer=THIRD),))
    both = evidence(site)
    assert [one["contradicted"] for one in both] == [True, True]
    assert both[0]["rivals"] == [{"issuer": OTHER, "subject": "mallory"}]
    for one in both:
        answer = settle(site, one["id"], "approve")
        assert refusal(answer) == (409, "evidence_contradicted")
        assert "refuse" in answer.json()["next_step"]
        assert "claims" in answer.json()["title"]
    assert linked(site) == [HOME]
    assert settle(site, both[1]["id"], "refuse").json()["state"] == "refused"
    assert [one["contradicted"] for one in evidence(site)] == [False]
    assert settle(site, both[0]["id"], "approve").json()["identities"] == [
        HOME,
        {"issuer": THIRD, "subject": "work"},
    ]


def test_evidence_that_the_source_withdrew_cannot_be_approved(site: Site) -> None:
    say(site, alice=(claim(),))
    (found,) = evidence(site)
    say(site, began=NOW + 1, alice=())
    assert evidence(site) == []
    assert refusal(settle(site, found["id"], "approve")) == (409, "evidence_settled")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (claim(issuer="https://nobody.example/"), "identity_not_linkable"),
        (LinkedId(LinkedIdKind.SAML, OTHER, "work"), "identity_not_linkable"),
        (LinkedId(LinkedIdKind.CERTIFICATE, "CN=CA", "CN=Alice"), "identity_not_linkable"),
        (claim(subject="näme"), "identity_not_linkable"),
    ],
    ids=["untrusted", "saml", "certificate", "no subject"],
)
def test_what_no_door_takes_is_not_linked(site: Site, said: LinkedId, code: str) -> None:
    """A SAML user of an issuer's entity id is not the subject of its tokens."""
    say(site, alice=(said,))
    (found,) = evidence(site)
    assert refusal(settle(site, found["id"], "approve")) == (409, code)
    assert linked(site) == [HOME]


def test_evidence_about_somebody_without_an_account_links_nothing(site: Site) -> None:
    say(site, newcomer=(claim(),))
    (found,) = evidence(site)
    assert refusal(settle(site, found["id"], "approve")) == (403, "account_unknown")
    assert settle(site, 4711, "approve").status_code == 404
    assert settle(site, 4711, "refuse").status_code == 404


def test_evidence_comes_in_pages(site: Site) -> None:
    say(site, alice=tuple(claim(f"w{number}") for number in range(5)))
    page = site.ask("GET", "/v1/links/evidence?limit=3", "bootstrap").json()
    rest = site.ask("GET", f"/v1/links/evidence?after={page['next']}", "bootstrap").json()
    assert (len(page["evidence"]), len(rest["evidence"]), rest["next"]) == (3, 2, None)


# --- approval ---------------------------------------------------------------------------------

APPROVED_FIRST: dict[str, Any] = {
    **RULES,
    "classes": {"users": {**RULES["classes"]["users"], "approval": "required"}},
}


@pytest.fixture
def careful(site: Site) -> Site:
    """Newcomers wait for an administrator."""
    with site.registry.write(SETUP) as writer:
        writer.save_rules(APPROVED_FIRST, expect_version=None)
    return site


def test_a_newcomer_waits_for_approval(careful: Site) -> None:
    answer = careful.newcomer("bob")
    assert (answer.status_code, answer.json()["account"]["state"]) == (202, "pending")
    again = careful.newcomer("bob")
    assert (again.status_code, again.json()["account"]) == (202, answer.json()["account"])
    assert not again.json()["ready"]
    mine = careful.ask("GET", "/v1/me", careful.token("bob")).json()
    assert (mine["usable"], mine["reason"]) == (False, "account_awaits_approval")
    assert refusal(careful.resolve(careful.token("bob", PORTAL))) == (
        403,
        "account_awaits_approval",
    )
    waiting = careful.ask("GET", "/v1/accounts?state=pending", "bootstrap").json()["accounts"]
    assert [account["username"] for account in waiting] == ["bob"]
    assert 'idmap_accounts{state="pending"} 1.0' in careful.ask("GET", "/metrics").text
    assert refusal(link(careful, careful.token("bob"), second(careful))) == (
        403,
        "account_awaits_approval",
    )

    body = {"reason": "known to us"}
    answer = careful.ask("POST", "/v1/accounts/bob/approve", "bootstrap", json=body)
    assert (answer.json()["state"], answer.json()["uid"]) == ("active", 200001)
    assert careful.resolve(careful.token("bob", PORTAL)).status_code == 200
    answer = careful.ask("POST", "/v1/accounts/bob/approve", "bootstrap", json=body)
    assert refusal(answer) == (409, "transition_refused")
    assert careful.newcomer("bob").status_code == 200


def test_who_is_no_longer_entitled_is_not_approved(careful: Site) -> None:
    careful.newcomer("bob")
    say(careful, began=NOW + 100)
    answer = careful.ask("POST", "/v1/accounts/bob/approve", "bootstrap", json={"reason": "late"})
    assert refusal(answer) == (403, "no_rule_matches")
    state = careful.ask("GET", "/v1/accounts/bob", "bootstrap").json()["state"]
    assert state == "pending"


def test_an_approved_account_starts_with_the_groups_of_today(careful: Site) -> None:
    """It was in hpc/gpu when it asked, and has left since."""
    careful.newcomer("bob")
    group = {path: Group(Issuer(ISSUER), path) for path in ("hpc", "hpc/gpu")}
    bob = ListedPerson(
        Identity(Issuer(ISSUER), Subject("bob")), frozenset({group["hpc"]}), True, "bob"
    )
    with careful.registry.write(SETUP) as writer:
        writer.record_listing(
            Listing("iam", Issuer(ISSUER), frozenset(group.values()), (bob,), NOW + 100)
        )
    answer = careful.ask("POST", "/v1/accounts/bob/approve", "bootstrap", json={"reason": "known"})
    assert [one["name"] for one in answer.json()["groups"]] == ["hpc"]


def test_an_administrator_whose_own_account_waits_is_an_administrator(careful: Site) -> None:
    careful.newcomer(ADMINISTRATOR)
    token = careful.token(ADMINISTRATOR, ADMIN)
    assert careful.ask("GET", "/v1/accounts", token).status_code == 200

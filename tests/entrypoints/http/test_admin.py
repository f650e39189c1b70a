"""The admin door: what is ordered is done once, under a name and a reason."""

from __future__ import annotations

from typing import Any

import pytest

from idmap.domain.doors import ADMIN
from idmap.domain.issuer_document import profile_document
from tests.entrypoints.http.site import ADMINISTRATOR, PORTAL, RULES, Site, trusted
from tests.support.tokens import ISSUER


def _ask(site: Site, method: str, path: str, **options: Any) -> Any:
    answer = site.ask(method, path, "bootstrap", **options)
    assert answer.is_success, answer.text
    return answer.json()


def _last_change(site: Site) -> dict[str, Any]:
    changes: list[dict[str, Any]] = _ask(site, "GET", "/v1/changes?limit=1000")["changes"]
    return changes[-1]


def test_an_issuer_is_saved_shown_and_removed(site: Site) -> None:
    """Two issuers that differ by a slash stand side by side."""
    other = profile_document(trusted(issuer="https://iam.example"))
    assert _ask(site, "PUT", "/v1/issuers", json=other) == other
    listed = [i["issuer"] for i in _ask(site, "GET", "/v1/issuers")["issuers"]]
    assert sorted(listed) == ["https://iam.example", "https://iam.example/"]
    _ask(site, "DELETE", "/v1/issuers", params={"issuer": "https://iam.example"})
    listed = [i["issuer"] for i in _ask(site, "GET", "/v1/issuers")["issuers"]]
    assert listed == ["https://iam.example/"]


def test_an_alias_belongs_to_one_issuer(site: Site) -> None:
    """Otherwise one token would have two issuers."""
    other = profile_document(trusted(issuer="https://b.example/", aliases=frozenset({ISSUER})))
    answer = site.ask("PUT", "/v1/issuers", "bootstrap", json=other)
    assert answer.json()["code"] == "issuer_invalid"


def test_a_removed_issuer_opens_nothing(site: Site) -> None:
    """From the next request on."""
    assert site.newcomer().status_code == 202
    _ask(site, "DELETE", "/v1/issuers", params={"issuer": ISSUER})
    assert site.ask("GET", "/v1/me", site.token()).json()["code"] == "not_accepted"


def test_rules_carry_their_version(site: Site) -> None:
    """ETag and If-Match: whoever writes has read the newest; every version is kept."""
    shown = site.ask("GET", "/v1/rules", "bootstrap")
    assert (shown.headers["etag"], shown.json()["document"]) == ('"1"', RULES)
    changed = {**RULES, "admins": []}
    stale = {"If-Match": '"7"'}
    answer = site.ask("PUT", "/v1/rules", "bootstrap", json=changed, headers=stale)
    assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")
    fresh = {"If-Match": '"1"'}
    answer = site.ask("PUT", "/v1/rules", "bootstrap", json=changed, headers=fresh)
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert _ask(site, "GET", "/v1/rules/versions/1")["document"] == RULES
    assert _ask(site, "GET", "/v1/rules")["document"] == changed


def test_a_what_if_counts_and_saves_nothing(site: Site) -> None:
    """Who gains and who loses, before it happens."""
    site.newcomer("alice")
    site.newcomer("bob", groups=["hpc"])
    proposed = {**RULES, "rules": [{**RULES["rules"][0], "group": "hpc/gpu"}]}
    found = _ask(site, "POST", "/v1/rules/test", json={"document": proposed})
    assert {n: found[n] for n in ("people", "entitled", "gains", "loses", "moves")} == {
        "people": 2,
        "entitled": 1,
        "gains": 0,
        "loses": 1,
        "moves": 0,
    }
    assert found["losing"] == [{"issuer": ISSUER, "subject": "bob"}]
    one = {"document": proposed, "identity": {"issuer": ISSUER, "subject": "bob"}}
    assert _ask(site, "POST", "/v1/rules/test", json=one)["reason"] == "no_rule_matches"
    assert _ask(site, "GET", "/v1/rules")["version"] == 1


def test_a_class_without_a_primary_group_is_refused(site: Site) -> None:
    """With its own code."""
    broken = {**RULES, "classes": {"users": {**RULES["classes"]["users"], "primary_group": ""}}}
    answer = site.ask("PUT", "/v1/rules", "bootstrap", json=broken)
    assert (answer.status_code, answer.json()["code"]) == (422, "class_without_primary_group")


def test_a_crowded_range_wants_to_be_acknowledged(site: Site) -> None:
    """The refusal names who else lives there."""
    body = {"name": "local", "purpose": "people", "first": 20000, "last": 20999}
    refused = site.ask("POST", "/v1/ranges", "bootstrap", json=body).json()
    assert refused["code"] == "range_crowded"
    assert "useradd" in refused["detail"]
    made = _ask(site, "POST", "/v1/ranges", json={**body, "acknowledge": True})
    assert "useradd" in made["warnings"][0]
    names = [r["name"] for r in _ask(site, "GET", "/v1/ranges")["ranges"]]
    assert sorted(names) == ["groups", "local", "people"]


def test_accounts_are_listed_by_pages(site: Site) -> None:
    """Every account once, whatever the size of the page."""
    for number in range(5):
        site.newcomer(f"person{number}")
    seen: list[str] = []
    after: int | None = 0
    while after is not None:
        page = _ask(site, "GET", f"/v1/accounts?limit=2&after={after}")
        seen += [account["username"] for account in page["accounts"]]
        after = page["next"]
    assert seen == [f"person{number}" for number in range(5)]
    assert len(_ask(site, "GET", "/v1/accounts?search=son3")["accounts"]) == 1
    assert _ask(site, "GET", "/v1/accounts?state=suspended")["accounts"] == []


def test_an_account_is_found_by_name_and_by_number(site: Site) -> None:
    """With everything that belongs to it."""
    site.newcomer()
    by_name = _ask(site, "GET", "/v1/accounts/alice")
    assert by_name == _ask(site, "GET", "/v1/accounts/200000")
    assert by_name["identities"] == [{"issuer": ISSUER, "subject": "alice"}]
    groups = _ask(site, "GET", "/v1/groups")["groups"]
    assert [(g["path"], g["name"]) for g in groups] == [("hpc", "hpc"), ("hpc/gpu", "hpc_gpu")]


def test_an_account_shows_every_ban_that_reaches_it(site: Site) -> None:
    """Its own and those of its identities, as the identity shows them."""
    site.newcomer()
    until = "2040-01-01T00:00:00Z"
    _ask(site, "POST", "/v1/bans", json={"account": "alice", "until": until, "reason": "one"})
    who = {"identity": {"issuer": ISSUER, "subject": "alice"}, "reason": "two"}
    _ask(site, "POST", "/v1/bans", json=who)
    shown = _ask(site, "GET", "/v1/accounts/alice")["bans"]
    assert [ban["reason"] for ban in shown] == ["one", "two"]
    query = {"issuer": ISSUER, "subject": "alice"}
    assert _ask(site, "GET", "/v1/identities", params=query)["bans"] == shown


def test_an_account_is_suspended_restored_and_closed(site: Site) -> None:
    """Along the table of transitions; after closing, nothing."""
    site.newcomer()
    for verb, state in (("suspend", "suspended"), ("restore", "active"), ("close", "tombstone")):
        moved = _ask(site, "POST", f"/v1/accounts/alice/{verb}", json={"reason": verb})
        assert moved["state"] == state
    answer = site.ask("POST", "/v1/accounts/alice/restore", "bootstrap", json={})
    assert (answer.status_code, answer.json()["code"]) in {
        (409, "transition_refused"),
        (404, "not_found"),
    }


def test_an_identity_shows_what_is_on_record(site: Site) -> None:
    """Also one never seen: nothing."""
    site.newcomer()
    query = {"issuer": ISSUER, "subject": "alice"}
    found = _ask(site, "GET", "/v1/identities", params=query)
    assert found["groups"] == ["hpc", "hpc/gpu"]
    assert found["account"]["username"] == "alice"
    nobody = _ask(site, "GET", "/v1/identities", params={**query, "subject": "x"})
    assert (nobody["groups"], nobody["account"]) == ([], None)


def test_bans_raise_the_counter_and_stay_listed_until_lifted(site: Site) -> None:
    """The counter is what nodes compare."""
    site.newcomer()
    before = _ask(site, "GET", "/v1/bans")["ban_counter"]
    ban = _ask(site, "POST", "/v1/bans", json={"account": "alice", "reason": "stolen laptop"})
    listed = _ask(site, "GET", "/v1/bans")
    assert listed["ban_counter"] > before
    assert [(b["id"], b["reason"], b["author"]) for b in listed["bans"]] == [
        (ban["id"], "stolen laptop", "admin-key:bootstrap")
    ]
    _ask(site, "DELETE", f"/v1/bans/{ban['id']}", headers={"Idmap-Reason": "found again"})
    assert _ask(site, "GET", "/v1/bans")["bans"] == []
    assert _last_change(site)["reason"] == "found again"


def test_an_enrolled_node_gets_a_secret_that_works_and_is_told_once(site: Site) -> None:
    """Until it is revoked."""
    made = _ask(site, "POST", "/v1/nodes", json={"name": "login2", "node_class": "login"})
    site.publish()
    assert made["secret"].startswith("idmap-node-")
    assert site.ask("GET", "/v1/snapshot/manifest", made["secret"]).status_code == 200
    assert made["secret"] not in site.ask("GET", "/v1/nodes", "bootstrap").text
    _ask(site, "DELETE", "/v1/nodes/login2")
    answer = site.ask("GET", "/v1/snapshot/manifest", made["secret"])
    assert answer.json()["code"] == "not_accepted"


def test_a_component_is_added_listed_and_revoked(site: Site) -> None:
    """With its doors, and never the admin door."""
    site.newcomer()
    made = _ask(site, "POST", "/v1/components", json={"name": "hub", "doors": [str(PORTAL)]})
    body = {"token": site.token(door=PORTAL), "door": str(PORTAL)}
    assert site.ask("POST", "/v1/resolve", made["secret"], json=body).status_code == 200
    _ask(site, "DELETE", "/v1/components/hub")
    assert site.ask("POST", "/v1/resolve", made["secret"], json=body).status_code == 401
    listed = {c["name"]: c for c in _ask(site, "GET", "/v1/components")["components"]}
    assert (listed["hub"]["revoked"], listed["portal"]["revoked"]) == (True, False)


def test_every_change_is_on_the_record_under_its_author(site: Site) -> None:
    """Law 12: an administrator by token is named by identity; the record proves itself."""
    token = site.token(ADMINISTRATOR, ADMIN)
    body = {"name": "hub", "doors": ["api"], "reason": "für das Portal"}
    assert site.ask("POST", "/v1/components", token, json=body).status_code == 201
    last = _last_change(site)
    assert last["author"] == f"identity:{ADMINISTRATOR} @ {ISSUER}"
    assert last["reason"] == "für das Portal"
    reason = {"Idmap-Reason": "für später".encode()}
    _ask(site, "DELETE", "/v1/components/hub", headers=reason)
    assert _last_change(site)["reason"] == "für später"
    site.newcomer()
    assert _last_change(site)["author"] == f"self:alice @ {ISSUER}"
    assert _ask(site, "GET", "/v1/changes/verify")["verified"] == _last_change(site)["sequence"]


def test_runs_are_listed(site: Site) -> None:
    """None yet."""
    assert _ask(site, "GET", "/v1/runs") == {"runs": [], "next": None}


@pytest.mark.parametrize(
    ("changes", "outcome", "failing"),
    [
        ({}, "account_unknown", "account"),
        ({"groups": ["elsewhere"]}, "account_unknown", "account"),
        ({"aud": "https://other.example"}, "audience_refused", "audience"),
        ({"iss": "https://iam.example"}, "issuer_unknown", "issuer trusted"),
        ({"exp": 1}, "token_expired", "not expired"),
    ],
)
def test_explain_names_the_check_that_failed(
    site: Site, changes: dict[str, Any], outcome: str, failing: str
) -> None:
    """For an administrator the real reason, whatever strangers are told."""
    token = site.token("alice", **changes)
    found = _ask(site, "POST", "/v1/explain", json={"token": token, "door": "api"})
    (story,) = found["explanations"]
    assert story["outcome"] == outcome
    assert failing in [c["check"] for c in story["checks"] if not c["passed"]]
    assert story["would_help"]
    assert token not in str(found)
    assert not any(part in str(found) for part in token.split("."))


def test_explain_shows_rules_and_what_would_help(site: Site) -> None:
    """By identity and by account."""
    identity = {"issuer": ISSUER, "subject": "nobody"}
    (story,) = _ask(site, "POST", "/v1/explain", json={"identity": identity})["explanations"]
    assert story["outcome"] == "no_rule_matches"
    assert [(r["rule"], r["matched"]) for r in story["rules"]] == [("members", False)]
    assert any("any of hpc" in step for step in story["would_help"])
    site.newcomer()
    (story,) = _ask(site, "POST", "/v1/explain", json={"account": "alice"})["explanations"]
    assert (story["outcome"], story["would_help"]) == ("ok", [])
    _ask(site, "POST", "/v1/bans", json={"account": "alice", "reason": "stolen"})
    (story,) = _ask(site, "POST", "/v1/explain", json={"account": "alice"})["explanations"]
    assert story["outcome"] == "banned"
    assert any("stolen" in c["shown"] for c in story["checks"] if not c["passed"])


@pytest.mark.parametrize(
    "asked",
    [
        {"account": "alice"},
        {"account": "alice", "door": "ssh:login"},
        {"issuer": ISSUER, "subject": "nobody"},
        {"issuer": ISSUER, "subject": "alice", "door": "api"},
    ],
)
def test_explain_answers_a_get_as_it_answers_a_post(site: Site, asked: dict[str, str]) -> None:
    """What needs no token can stand in a link."""
    site.newcomer()
    body = {name: asked[name] for name in ("account", "door") if name in asked}
    if "issuer" in asked:
        body["identity"] = {"issuer": asked["issuer"], "subject": asked["subject"]}  # type: ignore[assignment]
    shown = _ask(site, "GET", "/v1/explain", params=asked)
    assert shown == _ask(site, "POST", "/v1/explain", json=body)
    assert len(shown["explanations"]) == 1


def test_a_token_in_the_address_of_explain_is_refused(site: Site) -> None:
    """Addresses end up in the logs of whatever lies between; and nobody shall get used to it."""
    token = site.token()
    answer = site.ask("GET", "/v1/explain", "bootstrap", params={"token": token, "account": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")
    assert token not in answer.text
    document = site.ask("GET", "/openapi.json").json()["paths"]["/v1/explain"]["get"]
    assert "token" not in {parameter["name"] for parameter in document["parameters"]}


def test_an_account_is_ordered_about_by_number_too(site: Site) -> None:
    """As it is shown by number; the commands say so in their help."""
    number = site.newcomer().json()["account"]["uid"]
    answer = site.ask("POST", f"/v1/accounts/{number}/suspend", "bootstrap", json={"reason": "x"})
    assert answer.json()["state"] == "suspended"
    ban = {"account": str(number), "reason": "stolen"}
    assert site.ask("POST", "/v1/bans", "bootstrap", json=ban).status_code == 201

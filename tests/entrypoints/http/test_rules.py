"""Rules at the admin door: refused by place, tried on people and tokens, compared, gone back to, pinned."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from idmap.domain.rule_schema import rules_schema
from tests.entrypoints.http.site import ADMIN, PORTAL, RULES, SSH, Site
from tests.support.tokens import ISSUER

SECOND: dict[str, Any] = {**copy.deepcopy(dict(RULES)), "format": 2}
SECOND["admins"] = [{**admin, "role": "site-admin"} for admin in RULES["admins"]]


def rules(**sections: Any) -> dict[str, Any]:
    """The site's rules in format 2, with other sections."""
    return {**copy.deepcopy(SECOND), **sections}


def ask(site: Site, method: str, path: str, status: int = 200, **options: Any) -> Any:
    """An administrator's request that is answered so."""
    answer = site.ask(method, path, "bootstrap", **options)
    assert answer.status_code == status, answer.text
    return answer.json()


@pytest.fixture
def people(site: Site) -> Site:
    """Five people with accounts, two of them in hpc/gpu."""
    for number in range(5):
        groups = ["hpc", "hpc/gpu"] if number < 2 else ["hpc"]
        site.newcomer(f"person{number}", groups=groups)
    return site


GPU_ONLY = rules(rules=[{**RULES["rules"][0], "group": "hpc/gpu"}])


@pytest.mark.parametrize(
    ("broken", "pointer", "said"),
    [
        (rules(rule=[]), "/rule", "did you mean rules?"),
        (
            rules(rules=[{**RULES["rules"][0], "clas": "users"}]),
            "/rules/0/clas",
            "did you mean class?",
        ),
        (
            rules(classes={"users": {**RULES["classes"]["users"], "range": "nowhere"}}),
            "/classes/users/range",
            "range nowhere",
        ),
        (
            rules(rules=[{**RULES["rules"][0], "issuer": "https://nobody.example/"}]),
            "/rules/0/issuer",
            "is not trusted here",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(
    site: Site, broken: dict[str, Any], pointer: str, said: str
) -> None:
    """By a save and by a test alike; nothing is saved."""
    saved = ask(site, "PUT", "/v1/rules", 422, json=broken)
    tried = ask(site, "POST", "/v1/rules/test", 422, json={"document": broken})
    for problem in (saved, tried):
        assert problem["pointer"] == pointer
        assert said in problem["detail"]
    assert ask(site, "GET", "/v1/rules")["version"] == 1


def test_errors_refuse_and_warnings_ride_along(site: Site) -> None:
    """All findings stand in the refusal and in the answer."""
    never = {**RULES["rules"][0], "id": "never", "when": {"groups": {"all": ["x"], "none": ["x"]}}}
    del never["group"]
    document = rules(rules=[RULES["rules"][0], never])
    problem = ask(site, "PUT", "/v1/rules", 422, json=document)
    assert (problem["code"], problem["pointer"]) == ("rule_invalid", "/rules/1")
    assert [one["code"] for one in problem["findings"]] == ["never_matches", "no_examples"]
    hidden = {**RULES["rules"][0], "id": "hidden"}
    saved = ask(site, "PUT", "/v1/rules", json=rules(rules=[RULES["rules"][0], hidden]))
    assert [(one["severity"], one["code"], one["pointer"]) for one in saved["findings"]] == [
        ("warning", "unreachable", "/rules/1"),
        ("hint", "no_examples", ""),
    ]


def test_an_example_that_fails_refuses_the_save(site: Site) -> None:
    """A test tells, and goes on."""
    example = {"name": "a stranger", "issuer": ISSUER, "expect": {"rule": "members"}}
    document = rules(examples=[example])
    problem = ask(site, "PUT", "/v1/rules", 422, json=document)
    assert (problem["code"], problem["pointer"]) == ("rule_example_failed", "/examples/0")
    found = ask(site, "POST", "/v1/rules/test", json={"document": document})
    assert found["failing_examples"] == [
        {
            "example": "a stranger",
            "pointer": "/examples/0",
            "expected": "rule members",
            "found": "refused no_rule_matches",
        }
    ]


def test_taking_away_from_too_many_wants_to_be_accepted(people: Site) -> None:
    """With the counts; the right number lets it pass, once."""
    empty = rules(rules=[], classes={})
    problem = ask(people, "PUT", "/v1/rules", 409, json=empty)
    assert problem["code"] == "rules_take_away"
    assert {n: problem[n] for n in ("loses", "allowed", "entitled")} == {
        "loses": 5,
        "allowed": 3,
        "entitled": 5,
    }
    ask(people, "PUT", "/v1/rules?accept_loss=4", 409, json=empty)
    saved = ask(people, "PUT", "/v1/rules?accept_loss=5", json=empty)
    assert (saved["version"], saved["what_if"]["loses"]) == (2, 5)


def test_an_expected_version_is_the_newest(site: Site) -> None:
    """Like `If-Match`, for those who have a number and no tag."""
    ask(site, "PUT", "/v1/rules?expect_version=7", 412, json=rules())
    assert ask(site, "PUT", "/v1/rules?expect_version=1", json=rules())["version"] == 2


def test_a_change_that_is_repeated_is_made_once(people: Site) -> None:
    """With its key, whatever it is."""
    headers = {"Idempotency-Key": '"once"'}
    for _ in range(2):
        ask(people, "POST", "/v1/rules/rollback", json={"version": 1}, headers=headers)
    assert ask(people, "GET", "/v1/rules")["version"] == 2


def test_versions_are_compared(site: Site) -> None:
    """Member by member, with a tag that never changes; 0 is before the first."""
    changed = rules(rules=[{**RULES["rules"][0], "secondary_groups": []}])
    ask(site, "PUT", "/v1/rules", json=changed, headers={"Idmap-Reason": "no gpu for all"})
    answer = site.ask("GET", "/v1/rules/versions/1/diff/2", "bootstrap")
    sections = {section["section"]: section for section in answer.json()["sections"]}
    assert sections["rules"]["changed"] == {
        "members": [{"member": "secondary_groups", "before": ["hpc/gpu"], "after": []}]
    }
    tag = answer.headers["etag"]
    again = site.ask(
        "GET", "/v1/rules/versions/1/diff/2", "bootstrap", headers={"If-None-Match": tag}
    )
    assert again.status_code == 304
    first = ask(site, "GET", "/v1/rules/versions/0/diff/1")["sections"]
    assert {"rules", "classes", "admins"} <= {section["section"] for section in first}
    ask(site, "GET", "/v1/rules/versions/1/diff/9", 404)
    newest = ask(site, "GET", "/v1/rules/versions")["versions"][0]
    assert (newest["version"], newest["reason"], newest["in_force"]) == (2, "no gpu for all", True)


def test_going_back_is_saving(people: Site) -> None:
    """The document of before, as the newest version, after the same checks."""
    ask(people, "PUT", "/v1/rules?accept_loss=3", json=GPU_ONLY)
    back = ask(people, "POST", "/v1/rules/rollback", json={"version": 1})
    assert (back["version"], back["document"], back["what_if"]["gains"]) == (3, dict(RULES), 3)
    ask(people, "POST", "/v1/rules/rollback", 404, json={"version": 9})
    ask(people, "POST", "/v1/rules/rollback", 400, json={"version": 0})


def test_a_pin_is_shown_wherever_a_version_is(people: Site) -> None:
    """It keeps what is in force; its own tag changes with it and with what is saved beside it."""
    shown = people.ask("GET", "/v1/rules/pin", "bootstrap")
    assert shown.json()["version"] is None
    stale = {"If-Match": '"other"'}
    ask(people, "PUT", "/v1/rules/pin", 412, json={"version": 1}, headers=stale)
    fresh = {"If-Match": shown.headers["etag"]}
    pinned = ask(people, "PUT", "/v1/rules/pin", json={"version": 1}, headers=fresh)
    assert (pinned["version"], pinned["reason"], pinned["newest"]) == (1, "a test", 1)
    saved = ask(people, "PUT", "/v1/rules?accept_loss=3", json=GPU_ONLY)
    assert (saved["version"], saved["in_force"]) == (2, 1)
    newest = people.ask("GET", "/v1/rules", "bootstrap")
    assert (newest.json()["in_force"], newest.headers["etag"]) == (1, '"2-of-1"')
    tried = ask(people, "POST", "/v1/rules/test", json={})
    assert (tried["against_version"], tried["pinned"], tried["entitled"]) == (1, True, 5)
    versions = ask(people, "GET", "/v1/rules/versions")["versions"]
    assert [(v["version"], v["in_force"], v["pinned"]) for v in versions] == [
        (2, False, False),
        (1, True, True),
    ]
    token = people.token("person4", door=PORTAL, groups=["hpc"])
    assert people.resolve(token).status_code == 200
    assert ask(people, "DELETE", "/v1/rules/pin")["newest"] == 2
    ask(people, "DELETE", "/v1/rules/pin", 404)


def test_the_end_of_a_pin_is_looked_at_too(people: Site) -> None:
    """What was saved meanwhile may take away from too many."""
    ask(people, "PUT", "/v1/rules/pin", json={"version": 1})
    nobody = rules(rules=[], classes={})
    ask(people, "PUT", "/v1/rules?accept_loss=5", json=nobody)
    assert ask(people, "DELETE", "/v1/rules/pin", 409)["loses"] == 5
    assert ask(people, "DELETE", "/v1/rules/pin?accept_loss=5")["what_if"]["loses"] == 5


def test_counts_come_first_and_people_on_request(people: Site) -> None:
    """By kind, page by page, with the username where there is one."""
    found = ask(people, "POST", "/v1/rules/test", json={"document": GPU_ONLY})
    assert {n: found[n] for n in ("people", "entitled", "gains", "loses", "moves", "denied")} == {
        "people": 5,
        "entitled": 2,
        "gains": 0,
        "loses": 3,
        "moves": 0,
        "denied": 0,
    }
    assert found["by_rule"] == [
        {"rule": "members", "before": 5, "after": 2, "gains": 0, "loses": 3}
    ]
    assert "changes" not in found
    body = {"document": GPU_ONLY, "people": True, "effect": "loses", "limit": 2}
    page = ask(people, "POST", "/v1/rules/test", json=body)
    assert [one["username"] for one in page["changes"]] == ["person2", "person3"]
    assert page["changes"][0]["before"]["rule"] == "members"
    assert page["changes"][0]["after"] is None
    rest = ask(people, "POST", "/v1/rules/test", json={**body, "after": page["next"]})
    assert [one["username"] for one in rest["changes"]] == ["person4"]
    assert rest["next"] is None
    ask(people, "POST", "/v1/rules/test", 400, json={**body, "after": "nobody"})
    ask(people, "POST", "/v1/rules/test", 400, json={**body, "effect": "surprise"})


def test_a_token_is_tried_at_its_door(people: Site) -> None:
    """What the candidate makes of it: rules, the door, demands; nothing is recorded and the token is nowhere."""
    demand = {"id": "mfa", "doors": [str(PORTAL)], "acr": ["https://refeds.org/profile/mfa"]}
    document = rules(demands=[demand])
    token = people.token("newcomer", door=PORTAL)
    body = {"document": document, "token": token, "door": str(PORTAL)}
    found = ask(people, "POST", "/v1/rules/test", json=body)
    assert (found["allowed"], found["reason"], found["gives"]["rule"]) == (True, "ok", "members")
    assert found["gives"]["secondary_groups"] == ["hpc/gpu"]
    assert found["at_door"]["unmet"] == [{"demand": "mfa", "reason": "acr_refused"}]
    assert not found["at_door"]["allowed"]
    assert found["checks"]
    assert token not in str(found)
    recorded = ask(people, "GET", f"/v1/identities?issuer={ISSUER}&subject=newcomer")
    assert recorded["groups"] == []


def test_a_token_that_opens_nothing_says_why(people: Site) -> None:
    """As explain does; the wrong door's token is none for this one."""
    token = people.token("person0", door=SSH)
    body = {"token": token, "door": str(PORTAL)}
    found = ask(people, "POST", "/v1/rules/test", json=body)
    assert (found["allowed"], found["reason"], found["identity"]) == (
        False,
        "audience_refused",
        None,
    )
    for wrong in ({"token": token}, {"door": "api"}, {**body, "door": "nowhere"}):
        ask(people, "POST", "/v1/rules/test", 400, json=wrong)


def test_one_person_is_shown_with_every_rule(people: Site) -> None:
    """What they get by the candidate and by the rules in force, and what would help."""
    identity = {"issuer": ISSUER, "subject": "person4"}
    body = {"document": GPU_ONLY, "identity": identity}
    found = ask(people, "POST", "/v1/rules/test", json=body)
    assert (found["username"], found["allowed"], found["effects"]) == ("person4", False, ["loses"])
    assert found["now"]["gives"]["rule"] == "members"
    assert [(one["rule"], one["matched"]) for one in found["rules"]] == [("members", False)]
    assert not found["rules"][0]["parts"][-1]["held"]
    assert "hpc/gpu" in found["would_help"][0]


def test_the_schema_is_there_for_editors(site: Site) -> None:
    """The one of the code."""
    assert ask(site, "GET", "/v1/rules/schema") == rules_schema()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/rules/schema"),
        ("GET", "/v1/rules/pin"),
        ("PUT", "/v1/rules/pin"),
        ("DELETE", "/v1/rules/pin"),
        ("POST", "/v1/rules/rollback"),
        ("POST", "/v1/rules/test"),
        ("GET", "/v1/rules/versions/1/diff/1"),
    ],
)
def test_nobody_else_gets_in(people: Site, method: str, path: str) -> None:
    """A component, a node, a person's token for the API, a person without a role."""
    options = {} if method in ("GET", "DELETE") else {"json": {"version": 1}}
    stranger = people.token("person0", door=ADMIN)
    for credential in ("portal", "login1", people.token(), stranger):
        assert people.ask(method, path, credential, **options).status_code == 403

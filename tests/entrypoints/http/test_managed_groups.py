"""Group managers: their own groups, and not a word of anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from idmap.application.managed_groups import managed_groups, page_of_managed
from idmap.application.ports import ListedPerson, Listing
from idmap.application.provision_steps import apply_changes
from idmap.domain.doors import ADMIN
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.provisioning import plan_changes
from idmap.domain.roles import Role
from tests.entrypoints.http.roles_site import (
    LAB,
    OTHER,
    ROLE_RULES,
    member,
    save_rules,
    subject_of,
    token_of,
)
from tests.entrypoints.http.site import SETUP, Site, make_site, trusted
from tests.support.tokens import ISSUER

MANAGER = subject_of(Role.GROUP_MANAGER)
SECOND = "the_second_manager"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Alice and the manager are in the lab, bob is elsewhere, a second manager has the lab too."""
    for made in make_site(tmp_path):
        second = {
            "role": "group-manager", "issuer": ISSUER, "subject": SECOND, "manages": [LAB, "hpc/new"]
        }  # fmt: skip
        save_rules(made, {**ROLE_RULES, "admins": [*ROLE_RULES["admins"], second]})
        for subject, groups in (
            ("alice", (LAB, OTHER)), ("bob", (OTHER,)), (MANAGER, (LAB,)), (SECOND, (LAB,))
        ):  # fmt: skip
            member(made, subject, *groups)
        yield made


def _ask(site: Site, method: str, path: str, subject: str = MANAGER, **options: Any) -> Any:
    return site.ask(method, path, site.token(subject, ADMIN), **options)


def _move(site: Site, verb: str, name: str, subject: str = MANAGER, **options: Any) -> Any:
    path = f"/v1/managed/members/{name}/{verb}"
    return _ask(site, "POST", path, subject, json={"reason": f"to {verb}"}, **options)


def _outcome(answer: Any) -> tuple[int, str]:
    body = answer.json()
    return answer.status_code, body.get("code", body.get("state"))


def _leave(site: Site, subject: str, *groups: str) -> None:
    """A source says that somebody is in these groups alone."""
    watched = frozenset(Group(Issuer(ISSUER), path) for path in ("hpc", LAB, OTHER))
    identity = Identity(Issuer(ISSUER), Subject(subject))
    theirs = frozenset(Group(Issuer(ISSUER), path) for path in groups)
    person = ListedPerson(identity, theirs, True, None)
    listing = Listing("iam", Issuer(ISSUER), watched, (person,), site.clock.now + 1)
    with site.registry.write(SETUP) as writer:
        writer.record_listing(listing, only=[identity])


def _nightly(site: Site) -> None:
    """What the nightly run makes of what is recorded."""
    with site.registry.write(SETUP) as writer:
        people = tuple(writer.people())
        plan = plan_changes(people, writer.rules(), writer.posix_groups(), site.clock.now)
        apply_changes(writer, plan.changes)


# --- what they see


def test_a_manager_sees_their_groups(site: Site) -> None:
    """With name and gid, and the rules that speak of them; a group without a gid too."""
    shown = _ask(site, "GET", "/v1/managed", SECOND).json()
    assert [(g["path"], g["name"], g["named_by"]) for g in shown["groups"]] == [
        (LAB, "hpc_lab", ["rule members"]),
        ("hpc/new", None, []),
    ]
    assert shown["groups"][0]["gid"] >= 300_000


def test_a_manager_sees_members_and_nothing_of_other_groups(site: Site) -> None:
    """Exactly these members: a new one would have to be thought about."""
    page = _ask(site, "GET", f"/v1/managed/members?group={LAB}").json()
    first = page["members"][0]
    assert first == {
        "identity": {"issuer": ISSUER, "subject": "alice"},
        "active_at_source": True,
        "username": "alice",
        "state": "active",
    }
    assert [m["username"] for m in page["members"]] == ["alice", MANAGER, SECOND]
    one = _ask(site, "GET", "/v1/managed/members/alice").json()
    assert one == {
        "username": "alice",
        "state": "active",
        "identities": [{"issuer": ISSUER, "subject": "alice"}],
        "groups": [{"issuer": ISSUER, "path": LAB}],
    }
    assert OTHER not in str(page) + str(one)


def test_members_come_by_pages(site: Site) -> None:
    """Each once."""
    seen: list[str] = []
    after: str | None = None
    for _ in range(10):
        query = f"group=/{LAB}&limit=1" + ("" if after is None else f"&after={after}")
        page = _ask(site, "GET", f"/v1/managed/members?{query}").json()
        seen += [m["username"] for m in page["members"]]
        after = page["next"]
        if after is None:
            break
    assert seen == ["alice", MANAGER, SECOND]


def test_a_group_of_the_same_path_elsewhere_is_not_theirs(site: Site) -> None:
    """And where both are, the issuer says which."""
    there = Issuer("https://other.example/")
    with site.registry.write(SETUP) as writer:
        writer.save_issuer(trusted(issuer=there))
        eve = Identity(there, Subject("eve"))
        writer.record_observation(eve, frozenset({Group(there, LAB)}), None, site.clock.now)
    members = _ask(site, "GET", f"/v1/managed/members?group={LAB}").json()["members"]
    assert "eve" not in str(members)
    query = f"group={LAB}&issuer={there}"
    assert _outcome(_ask(site, "GET", f"/v1/managed/members?{query}")) == (404, "not_found")
    both = {**ROLE_RULES["admins"][-1], "manages": [LAB, {"issuer": there, "group": LAB}]}
    save_rules(site, {**ROLE_RULES, "admins": [*ROLE_RULES["admins"][:-1], both]})
    answer = _ask(site, "GET", f"/v1/managed/members?group={LAB}")
    assert _outcome(answer) == (400, "request_invalid")
    found = _ask(site, "GET", f"/v1/managed/members?{query}").json()["members"]
    assert [m["identity"]["subject"] for m in found] == ["eve"]
    assert found[0]["username"] is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/managed/members/{name}"),
        ("POST", "/v1/managed/members/{name}/suspend"),
        ("POST", "/v1/managed/members/{name}/restore"),
    ],
)
@pytest.mark.parametrize("headers", [{}, {"If-Match": "*"}, {"If-None-Match": "*"}])
def test_what_lies_outside_answers_like_what_does_not_exist(
    site: Site, method: str, path: str, headers: dict[str, str]
) -> None:
    """Word for word, by name and by number, whatever state it is in and whatever is asked of it."""
    uid = site.ask("GET", "/v1/accounts/bob", "bootstrap").json()["uid"]
    site.ask("POST", "/v1/accounts/bob/suspend", "bootstrap", json={})

    def told(name: str) -> Any:
        body = None if method == "GET" else {"reason": "x"}
        answer = _ask(site, method, path.format(name=name), json=body, headers=headers)
        said = {k: v for k, v in answer.json().items() if k != "correlation_id"}
        shown = {k: v for k, v in answer.headers.items() if k != "idmap-correlation-id"}
        text = f"{answer.status_code} {said} {shown}"
        return text.replace(name, "NAME"), answer.status_code

    for outside, nobody in (("bob", "bub"), (str(uid), "299999")):
        assert told(outside) == told(nobody)
        assert told(nobody)[1] in {404, 412}
    assert site.ask("GET", "/v1/accounts/bob", "bootstrap").json()["state"] == "suspended"


def test_a_group_outside_answers_like_one_that_does_not_exist(site: Site) -> None:
    """Its members are not to be had, nor that it has any."""
    answers = [_ask(site, "GET", f"/v1/managed/members?group={g}") for g in (OTHER, "hpc/oth3r")]
    said = [{**a.json(), "correlation_id": "", "detail": ""} for a in answers]
    assert said[0] == said[1]
    assert said[0]["status"] == 404
    below = _ask(site, "GET", f"/v1/managed/members?group={LAB}/sub")
    assert below.status_code == 404, "a child is a group of its own"


def test_who_manages_nothing_finds_nothing(site: Site) -> None:
    """The admin key and a site admin have other doors for it."""
    for credential in ("bootstrap", token_of(site, Role.SITE_ADMIN)):
        assert site.ask("GET", "/v1/managed", credential).json()["groups"] == []
        for path in (f"/v1/managed/members?group={LAB}", "/v1/managed/members/alice"):
            assert site.ask("GET", path, credential).status_code == 404


# --- what they do


def test_a_manager_suspends_and_restores_a_member(site: Site) -> None:
    """The record says who and why."""
    assert _outcome(_move(site, "suspend", "alice")) == (200, "suspended")
    assert site.ask("GET", "/v1/me", site.token("alice")).json()["reason"] == "account_suspended"
    assert _outcome(_move(site, "restore", "alice")) == (200, "active")
    with site.registry.read() as reader:
        last = [c for c in reader.changes(after=0, limit=1000) if c.action == "move_account"]
    assert [(c.author, c.reason) for c in last] == [
        (f"identity:{MANAGER} @ {ISSUER}", "to suspend"),
        (f"identity:{MANAGER} @ {ISSUER}", "to restore"),
    ]


def test_no_reason_no_change(site: Site) -> None:
    """Law 12 holds for them as for everybody."""
    path = "/v1/managed/members/alice/suspend"
    answer = _ask(site, "POST", path, json={}, headers={"Idmap-Reason": " "})
    assert _outcome(answer) == (400, "request_invalid")


def test_a_suspension_stands_against_the_nightly_run(site: Site) -> None:
    """Whatever the sources say, until a person restores."""
    _move(site, "suspend", "alice")
    _nightly(site)
    assert site.ask("GET", "/v1/accounts/alice", "bootstrap").json()["state"] == "suspended"
    _move(site, "restore", "alice")
    _nightly(site)
    assert site.ask("GET", "/v1/accounts/alice", "bootstrap").json()["state"] == "active"


def test_a_change_is_made_to_what_was_seen(site: Site) -> None:
    """The tag of a member is honoured as everywhere."""
    tag = _ask(site, "GET", "/v1/managed/members/alice").headers["etag"]
    first = _move(site, "suspend", "alice", headers={"If-Match": tag})
    assert first.status_code == 200
    assert first.headers["content-location"] == "/v1/managed/members/alice"
    again = _move(site, "restore", "alice", headers={"If-Match": tag})
    assert _outcome(again) == (412, "version_conflict")
    assert _move(site, "restore", "alice", headers={"If-Match": first.headers["etag"]}).is_success


@pytest.mark.parametrize("order", ["key", "second manager"])
def test_only_whoever_suspended_restores(site: Site, order: str) -> None:
    """Another manager's order, or an administrator's, is not theirs to undo."""
    if order == "key":
        site.ask("POST", "/v1/accounts/alice/suspend", "bootstrap", json={})
    else:
        _move(site, "suspend", "alice", SECOND)
    refused = _move(site, "restore", "alice")
    assert _outcome(refused) == (403, "role_missing")
    assert "site-admin or operator or security" in refused.json()["detail"]
    assert site.ask("GET", "/v1/accounts/alice", "bootstrap").json()["state"] == "suspended"


def test_an_older_order_of_ones_own_does_not_count(site: Site) -> None:
    """The last word does."""
    _move(site, "suspend", "alice")
    site.ask("POST", "/v1/accounts/alice/restore", "bootstrap", json={})
    site.ask("POST", "/v1/accounts/alice/suspend", "bootstrap", json={})
    assert _outcome(_move(site, "restore", "alice")) == (403, "role_missing")


@pytest.mark.parametrize("whose", [*Role])
def test_nobody_with_a_role_is_suspended_by_a_manager(site: Site, whose: Role) -> None:
    """Site administrators, other managers, themselves: all of them members of the lab."""
    member(site, subject_of(whose), LAB)
    refused = _move(site, "suspend", subject_of(whose))
    assert _outcome(refused) == (403, "role_missing")
    assert "site-admin or security" in refused.json()["detail"]
    assert site.ask("GET", f"/v1/accounts/{subject_of(whose)}", "bootstrap").json()["state"] == (
        "active"
    )


def test_a_manager_makes_no_grace_endless(site: Site) -> None:
    """Suspended in grace, a person who is entitled no more is not restored to more than they had."""
    _leave(site, "alice", LAB)
    _nightly(site)
    shown = site.ask("GET", "/v1/accounts/alice", "bootstrap").json()
    assert shown["state"] == "grace"
    assert _outcome(_move(site, "suspend", "alice")) == (200, "suspended")
    assert _outcome(_move(site, "restore", "alice")) == (403, "no_rule_matches")
    _leave(site, "alice", "hpc", LAB)
    assert _outcome(_move(site, "restore", "alice")) == (200, "active")


def test_a_member_who_left_is_out_of_reach(site: Site) -> None:
    """From when the account no longer holds the group, suspended or not."""
    _move(site, "suspend", "alice")
    _leave(site, "alice", "hpc")
    assert _ask(site, "GET", "/v1/managed/members/alice").status_code == 200
    _nightly(site)
    assert _outcome(_move(site, "restore", "alice")) == (404, "not_found")
    assert site.ask("POST", "/v1/accounts/alice/restore", "bootstrap", json={}).status_code == 200


def test_a_closed_account_is_nobody(site: Site) -> None:
    """To its former manager too."""
    site.ask("POST", "/v1/accounts/alice/close", "bootstrap", json={})
    assert _ask(site, "GET", "/v1/managed/members/alice").status_code == 404
    first = _ask(site, "GET", f"/v1/managed/members?group={LAB}").json()["members"][0]
    assert (first["identity"]["subject"], first["username"], first["state"]) == (
        "alice",
        None,
        None,
    )


def test_what_a_manager_may_not_do_to_a_member(site: Site) -> None:
    """Nothing that gives, and nothing at all by the doors of other roles."""
    for method, path, body in (
        ("POST", "/v1/accounts/alice/suspend", {}),
        ("POST", "/v1/accounts/alice/approve", {}),
        ("POST", "/v1/accounts/alice/identities", {"issuer": ISSUER, "subject": "x"}),
        ("POST", "/v1/groups/hpc_lab/members", {"account": "bob"}),
        ("GET", "/v1/accounts/alice", None),
        ("GET", "/v1/groups/hpc_lab", None),
    ):
        assert _outcome(_ask(site, method, path, json=body)) == (403, "role_missing"), path


def test_a_shared_account_is_suspended_only_by_whoever_manages_all_of_it(site: Site) -> None:
    """One project's manager does not close another's work."""
    shared = {
        "range": "people", "primary_group": "hpc", "shell": "/bin/bash", "home": "/home/{username}",
        "kind": "shared", "name": "labprd",
    }  # fmt: skip
    rule = {"id": "prd", "issuer": ISSUER, "group": "hpc/prd", "class": "prd", "priority": 5}
    save_rules(
        site,
        {
            **ROLE_RULES,
            "classes": {**ROLE_RULES["classes"], "prd": shared},
            "rules": [*ROLE_RULES["rules"], rule],
        },
    )
    for subject, groups in (("carl", ["hpc/prd", LAB]), ("dora", ["hpc/prd"])):
        assert site.newcomer(subject, groups=["hpc", *groups]).is_success
    found = site.ask("GET", "/v1/accounts/labprd", "bootstrap").json()
    assert len(found["identities"]) == 2
    one = _ask(site, "GET", "/v1/managed/members/labprd").json()
    assert [i["subject"] for i in one["identities"]] == ["carl"], "not a word of dora"
    refused = _move(site, "suspend", "labprd")
    assert _outcome(refused) == (403, "role_missing")
    dora = Identity(Issuer(ISSUER), Subject("dora"))
    groups = frozenset(Group(Issuer(ISSUER), path) for path in ("hpc", "hpc/prd", LAB))
    with site.registry.write(SETUP) as writer:
        writer.record_observation(dora, groups, None, site.clock.now)
    assert _outcome(_move(site, "suspend", "labprd")) == (200, "suspended")
    assert _outcome(_move(site, "restore", "labprd")) == (200, "active")


def test_the_use_case_asks_for_the_role_itself(site: Site) -> None:
    """Whoever calls it by another way than the route manages nothing they were not given."""
    nobody = Identity(Issuer(ISSUER), Subject("alice"))
    with site.registry.read() as reader:
        assert managed_groups(reader, nobody) == managed_groups(reader, None) == ()
        both = Identity(Issuer(ISSUER), Subject(SECOND))
        page = page_of_managed(reader, both, LAB, ISSUER, after=None, limit=1)
        assert page.next is not None
        with pytest.raises(InvalidInput):
            page_of_managed(reader, both, LAB, ISSUER, after="elsewhere", limit=1)

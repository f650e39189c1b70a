"""Site-local groups, groups made anew, and ranges against a real directory, at the admin door."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from idmap.adapters.site_numbers.directory import Directory, DirectoryNumbers
from idmap.application.ports import Author, Listing
from idmap.domain.groups import LOCAL_ISSUER, Group
from idmap.domain.identity import Issuer
from idmap.domain.secrets import Secret
from tests.entrypoints.http.site import NOW, Site
from tests.support.directory import (
    BASE,
    PASSWORD,
    READER,
    RunningDirectory,
    group,
    running_directory,
    user,
)
from tests.support.tokens import ISSUER

WHY = Author("test", "a test")


@pytest.fixture(scope="module")
def slapd() -> Iterator[RunningDirectory]:
    """People in one part of the numbers, a gid in another."""
    entries = [user(f"p{n:02}", 500_000 + n) for n in range(12)]
    with running_directory([*entries, group("physics", 600_005)]) as running:
        yield running


@pytest.fixture
def with_directory(site: Site, slapd: RunningDirectory) -> Site:
    """The site's own numbers are asked for."""
    directory = Directory(slapd.url, BASE, READER, Secret(PASSWORD), timeout_seconds=5)
    running = site.app.state.running
    parts = replace(running.parts, site_numbers=(DirectoryNumbers(directory),))
    site.app.state.running = replace(running, parts=parts)
    return site


def new_range(site: Site, **more: Any) -> Any:
    """The answer to a new range."""
    body = {"name": "more", "purpose": "people", "first": 500_000, "last": 500_999} | more
    return site.ask("POST", "/v1/ranges", "bootstrap", json=body)


# --- ranges -----------------------------------------------------------------------------------


def test_a_range_in_which_others_live_is_refused_and_ten_of_them_are_named(
    with_directory: Site,
) -> None:
    answer = new_range(with_directory)
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "numbers_foreign"
    assert problem["detail"].count("in ldap") == 10
    assert problem["detail"].endswith("and 2 more")
    assert "uid 500000 is 'p00' in ldap" in problem["detail"]
    assert "--acknowledge-foreign" in problem["next_step"]
    names = [
        r["name"] for r in with_directory.ask("GET", "/v1/ranges", "bootstrap").json()["ranges"]
    ]
    assert "more" not in names


def test_acknowledged_they_are_holes_that_nobody_gets(with_directory: Site) -> None:
    answer = new_range(with_directory, acknowledge_foreign=True)
    assert answer.status_code == 201
    assert answer.json()["holes"] == 12
    with with_directory.registry.read() as reader:
        (added,) = (s for s in reader.ranges() if s.range.name == "more")
        actions = [c.action for c in reader.changes(limit=1000)]
    assert added.next_number == 500_000
    assert actions[-2:] == ["add_range", "reserve_numbers"]
    checked = with_directory.ask("GET", "/v1/ranges/check", "bootstrap").json()["ranges"]
    assert {c["name"]: c["foreign"] for c in checked} == {"people": 0, "groups": 0, "more": 0}


def test_a_foreign_gid_is_in_the_way_of_people_too(with_directory: Site) -> None:
    """Private groups have the numbers of their accounts."""
    answer = new_range(with_directory, first=600_000, last=600_999, acknowledge=True)
    assert answer.json()["code"] == "numbers_foreign"
    assert "gid 600005 is 'physics' in ldap" in answer.json()["detail"]
    for purpose, first in (("groups", 700_000), ("robots", 710_000), ("pools", 720_000)):
        answer = new_range(
            with_directory, name=purpose[:4], purpose=purpose, first=first, last=first + 9,
            acknowledge=True,
        )  # fmt: skip
        assert answer.status_code == 201, answer.json()


def test_what_moved_in_later_is_found_and_can_be_acknowledged(with_directory: Site) -> None:
    """The range was added before the directory was known."""
    running = with_directory.app.state.running
    blind = replace(running, parts=replace(running.parts, site_numbers=()))
    with_directory.app.state.running = blind
    assert new_range(with_directory).status_code == 201
    with_directory.app.state.running = running
    ask = "/v1/ranges/check?name=more"
    (checked,) = with_directory.ask("GET", ask, "bootstrap").json()["ranges"]
    assert (checked["foreign"], checked["taken"]) == (12, 0)
    assert checked["examples"][0] == {
        "kind": "uid", "number": 500_000, "name": "p00", "where": "ldap",
    }  # fmt: skip
    assert len(checked["examples"]) == 10
    answer = with_directory.ask("POST", "/v1/ranges/more/foreign", "bootstrap", json={})
    assert answer.json() == {"name": "more", "holes": 12}
    (checked,) = with_directory.ask("GET", ask, "bootstrap").json()["ranges"]
    assert checked["foreign"] == 0


def test_a_directory_that_does_not_answer_stops_the_order(site: Site) -> None:
    """Law 4: what was not asked is not free."""
    running = site.app.state.running
    nowhere = DirectoryNumbers(Directory("ldap://127.0.0.1:9", BASE, timeout_seconds=2))
    site.app.state.running = replace(running, parts=replace(running.parts, site_numbers=(nowhere,)))
    answer = new_range(site)
    assert (answer.status_code, answer.json()["code"]) == (503, "site_unavailable")
    assert site.ask("GET", "/v1/ranges/check?name=nope", "bootstrap").status_code == 404


@pytest.mark.parametrize(
    ("first", "last", "code"),
    [
        (200_050, 200_150, "range_overlaps"),
        (1, 999, "number_refused"),
        (60_000, 65_536, "number_refused"),
        (2**31 - 1, 2**31, "number_refused"),
        (100_000, 100_100, "range_crowded"),
    ],
)
def test_what_no_range_may_be_is_said_before_anybody_is_asked(
    site: Site, first: int, last: int, code: str
) -> None:
    running = site.app.state.running
    nowhere = DirectoryNumbers(Directory("ldap://127.0.0.1:9", BASE, timeout_seconds=2))
    site.app.state.running = replace(running, parts=replace(running.parts, site_numbers=(nowhere,)))
    for purpose in ("people", "robots", "pools", "groups"):
        answer = new_range(site, purpose=purpose, first=first, last=last)
        assert answer.json()["code"] == code


# --- groups -----------------------------------------------------------------------------------


def test_a_site_local_group_from_its_making_to_its_last_member(site: Site) -> None:
    made = site.ask("POST", "/v1/groups", "bootstrap", json={"name": "lab"})
    assert made.status_code == 201
    assert made.json()["local"] is True
    username = site.newcomer().json()["account"]["username"]
    added = site.ask("POST", "/v1/groups/lab/members", "bootstrap", json={"account": username})
    assert added.json()["members"] == [username]
    shown = site.ask("GET", "/v1/groups/lab", "bootstrap").json()
    assert (shown["members"], shown["issuer"], shown["id"]) == ([username], LOCAL_ISSUER, None)
    listed = site.ask("GET", "/v1/groups", "bootstrap").json()["groups"]
    assert {g["name"]: g["local"] for g in listed}["lab"] is True
    assert not all(g["local"] for g in listed)
    gone = site.ask("DELETE", f"/v1/groups/lab/members/{username}", "bootstrap")
    assert gone.json()["members"] == []
    with site.registry.read() as reader:
        actions = [c.action for c in reader.changes(limit=1000)]
    assert actions.count("change_groups") == 2


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "wheel"}, 422, "name_refused"),
        ({"name": "docker"}, 422, "name_refused"),
        ({"name": "Lab 1"}, 422, "name_refused"),
        ({"name": "lab", "range": "people"}, 422, "range_unknown"),
        ({"name": "lab", "range": "nowhere"}, 422, "range_unknown"),
        ({"name": "lab", "issuer": "https://x.example"}, 400, "request_invalid"),
        ({}, 400, "request_invalid"),
    ],
)
def test_a_group_that_cannot_be_is_refused(
    site: Site, body: dict[str, Any], status: int, code: str
) -> None:
    answer = site.ask("POST", "/v1/groups", "bootstrap", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_name_is_given_once(site: Site) -> None:
    assert site.ask("POST", "/v1/groups", "bootstrap", json={"name": "lab"}).status_code == 201
    answer = site.ask("POST", "/v1/groups", "bootstrap", json={"name": "lab"})
    assert (answer.status_code, answer.json()["code"]) == (409, "name_taken")


def test_every_change_of_a_group_needs_a_reason(site: Site) -> None:
    for method, path, body in (
        ("POST", "/v1/groups", {"name": "lab"}),
        ("POST", "/v1/groups/lab/members", {"account": "alice"}),
        ("POST", "/v1/groups/rebind", {"issuer": ISSUER, "path": "vo", "id": "x"}),
        ("POST", "/v1/ranges/people/foreign", {}),
        ("DELETE", "/v1/groups/lab/members/alice", None),
    ):
        answer = site.ask(method, path, "bootstrap", json=body, headers={"Idmap-Reason": ""})
        assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid"), path


def test_a_group_made_anew_is_accepted_by_a_person(site: Site) -> None:
    vo = Group(Issuer(ISSUER), "vo")
    with site.registry.write(WHY) as writer:
        writer.record_listing(
            Listing("iam", vo.issuer, frozenset({vo}), (), NOW, group_ids={vo: "id-1"})
        )
    body = {"issuer": ISSUER, "path": "vo", "id": "id-2"}
    assert site.ask("POST", "/v1/groups/rebind", "bootstrap", json=body).json() == body
    with site.registry.read() as reader:
        assert reader.group_ids() == {vo: "id-2"}
    for wrong, code in (
        ({"path": "other"}, "not_found"),
        ({"issuer": LOCAL_ISSUER}, "request_invalid"),
    ):
        answer = site.ask("POST", "/v1/groups/rebind", "bootstrap", json={**body, **wrong})
        assert answer.json()["code"] == code

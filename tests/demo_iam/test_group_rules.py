"""Joining reaches up, leaving reaches down, whatever the order of changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from iam_simulator.directory import Directory
from iam_simulator.population import SMALL
from iam_simulator.records import EPOCH, GroupId
from iam_simulator.specs import populate
from iam_simulator.testing import RunningSimulator

Get = Callable[..., Any]
PATHS = [group.path for group in SMALL.groups]
NAMES = [person.username for person in SMALL.people]
MOVES = st.lists(
    st.tuples(st.sampled_from(["join", "leave"]), st.sampled_from(NAMES), st.sampled_from(PATHS))
)


def groups_of(iam: RunningSimulator, get: Get, username: str) -> list[str]:
    """The paths SCIM shows for a person."""
    user = get(iam, f"/scim/Users/{iam.person_id(username)}").json()
    return [group["display"] for group in user.get("groups", [])]


def test_joining_a_child_joins_every_ancestor(fresh_iam: RunningSimulator, get: Get) -> None:
    """Heidi joins a grandchild and is in all three."""
    fresh_iam.change("join", person="heidi", group="demo/gpu/debug")
    assert groups_of(fresh_iam, get, "heidi") == ["demo", "demo/gpu", "demo/gpu/debug"]


def test_leaving_a_group_leaves_its_descendants(fresh_iam: RunningSimulator, get: Get) -> None:
    """Erin leaves the projects and keeps the rest; carol leaves the VO and keeps nothing."""
    fresh_iam.change("leave", person="erin", group="demo/projects")
    assert groups_of(fresh_iam, get, "erin") == ["demo", "demo/compute", "demo/gpu"]
    fresh_iam.change("leave", person="carol", group="/demo")
    assert groups_of(fresh_iam, get, "carol") == []


def test_a_rename_keeps_the_uuid_and_moves_the_children(
    fresh_iam: RunningSimulator, get: Get
) -> None:
    """The path is a label, the UUID the identity."""
    fresh_iam.change("rename_group", group="demo/gpu", path="demo/accelerators")
    group = get(fresh_iam, f"/scim/Groups/{fresh_iam.group_id('demo/gpu')}").json()
    assert group["displayName"] == "demo/accelerators"
    assert "demo/accelerators/debug" in groups_of(fresh_iam, get, "carol")


def test_a_deleted_username_can_be_taken_by_another_person(
    fresh_iam: RunningSimulator, get: Get
) -> None:
    """The second bob has another UUID; the first is gone."""
    fresh_iam.change("delete", person="bob")
    assert get(fresh_iam, f"/scim/Users/{fresh_iam.person_id('bob')}").status_code == 404
    other = "11111111-2222-4333-8444-555555555555"
    fresh_iam.control("POST", "people", {"username": "bob", "id": other, "groups": ["demo"]})
    found = get(fresh_iam, "/iam/account/find/byusername", username="bob").json()["Resources"]
    assert [row["id"] for row in found] == [other]


@given(MOVES)
def test_nobody_is_ever_in_a_child_without_its_parent(moves: list[tuple[str, str, str]]) -> None:
    """Both sides of every membership agree, and the caches agree with them."""
    directory = Directory()
    populate(SMALL, directory, EPOCH)
    for move, name, path in moves:
        person, group = directory.get_person(name), directory.get_group(path)
        directory.list_members(group)
        (directory.join if move == "join" else directory.leave)(person, group)
    for group in directory.list_groups():
        members = {person.id for person in directory.list_members(group)}
        assert members == group.members
        if group.parent is not None:
            parent = directory.find_group_by_id(GroupId(group.parent))
            assert parent is not None
            assert members <= parent.members
        for person in directory.list_people():
            assert (group.id in person.groups) == (person.id in members)

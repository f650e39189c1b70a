"""The find and search endpoints, with the trap in the by-group filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from iam_simulator.testing import RunningSimulator

Get = Callable[..., Any]


def test_a_group_is_found_by_its_exact_path(iam: RunningSimulator, get: Get) -> None:
    """One row in a list envelope."""
    answer = get(iam, "/iam/group/find/byname", name="demo/gpu").json()
    assert answer["totalResults"] == 1
    assert [row["id"] for row in answer["Resources"]] == [iam.group_id("demo/gpu")]


def test_an_absent_group_is_200_with_an_empty_list_and_no_total(
    iam: RunningSimulator, get: Get
) -> None:
    """No 404: a client that reads `totalResults` blindly fails here."""
    answer = get(iam, "/iam/group/find/byname", name="demo/GPU")
    assert answer.status_code == 200
    assert answer.json()["Resources"] == []
    assert "totalResults" not in answer.json()


def test_groups_are_found_by_label(iam: RunningSimulator, get: Get) -> None:
    """By name and value, or by name with no value."""
    tier = get(iam, "/iam/group/find/bylabel", name="tier", value="2").json()
    assert [row["displayName"] for row in tier["Resources"]] == ["demo/empty"]
    optional = get(iam, "/iam/group/find/bylabel", name="wlcg.optional-group").json()
    assert [row["displayName"] for row in optional["Resources"]] == ["demo/admins"]


def test_accounts_by_group_are_whole_users(iam: RunningSimulator, get: Get) -> None:
    """Inactive and ended people are among them."""
    group = iam.group_id("demo/compute")
    answer = get(iam, f"/iam/account/find/bygroup/{group}", count=100).json()
    people = {row["userName"]: row for row in answer["Resources"]}
    expected = {"alice", "bob", "erin", "frank", "grace", "ivan", "judy", "niaj@partner.example"}
    assert set(people) == expected
    assert people["frank"]["active"] is False
    extension = people["grace"]["urn:indigo-dc:scim:schemas:IndigoUser"]
    assert extension["endTime"] == "2025-06-30T23:59:59.000+01:00"


def test_an_unknown_group_is_400_not_404(iam: RunningSimulator, get: Get) -> None:
    """As for a bad parameter."""
    assert get(iam, "/iam/account/find/bygroup/none").status_code == 400


def test_the_filter_returns_outsiders_and_doubles(iam: RunningSimulator, get: Get) -> None:
    """Conditions without brackets: whoever matches by mail or name comes, once per membership."""
    group = iam.group_id("demo/hostile")
    path = f"/iam/account/find/bygroup/{group}"
    members = {row["id"] for row in get(iam, path, count=100).json()["Resources"]}
    answer = get(iam, path, count=100, filter="alice").json()
    rows = Counter(row["userName"] for row in answer["Resources"])
    assert rows["alice"] == 4  # demo, demo/compute, demo/gpu, demo/admins
    assert iam.person_id("alice") not in members
    assert answer["totalResults"] == sum(rows.values())


def test_a_person_is_found_by_username(iam: RunningSimulator, get: Get) -> None:
    """Exactly; a near miss is an empty list."""
    found = get(iam, "/iam/account/find/byusername", username="bob").json()
    assert found["Resources"][0]["id"] == iam.person_id("bob")
    assert get(iam, "/iam/account/find/byusername", username="bo").json()["Resources"] == []


def test_search_has_no_schemas_and_shows_a_part_of_each_user(
    iam: RunningSimulator, get: Get
) -> None:
    """At most ten rows, whatever was asked; no extension."""
    answer = get(iam, "/iam/account/search", count=100).json()
    assert "schemas" not in answer
    assert len(answer["Resources"]) == 10
    assert all("schemas" not in row for row in answer["Resources"])
    assert not any(name.startswith("urn:") for row in answer["Resources"] for name in row)
    assert get(iam, "/iam/account/search", filter="adams").json()["totalResults"] == 1

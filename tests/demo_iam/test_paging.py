"""Lists are cut, capped and ordered as IAM does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from iam_simulator.testing import RunningSimulator, running_simulator

Get = Callable[..., Any]


@pytest.fixture(scope="module")
def crowd() -> Iterator[RunningSimulator]:
    """250 generated people: three pages of the largest size."""
    with running_simulator(population=250) as running:
        yield running


def crawl(get: Get, simulator: RunningSimulator, path: str, count: int) -> list[str]:
    """The ids on all pages, advancing by what each page holds."""
    found: list[str] = []
    while True:
        page = get(simulator, path, startIndex=len(found) + 1, count=count).json()
        found += [row.get("id") or row["value"] for row in page["Resources"]]
        if len(found) >= page["totalResults"] or not page["Resources"]:
            return found


@pytest.mark.parametrize(
    ("path", "cap"),
    [
        ("/scim/Users", 100),
        ("/scim/Groups/{demo}/members", 100),
        ("/iam/account/find/bygroup/{demo}", 100),
        ("/iam/account/search", 10),
    ],
)
def test_a_count_above_the_cap_is_lowered_without_a_word(
    crowd: RunningSimulator, get: Get, path: str, cap: int
) -> None:
    """The answer is 200, and `itemsPerPage` is the only sign."""
    answer = get(crowd, path.format(demo=crowd.group_id("demo")), count=500)
    page = answer.json()
    assert answer.status_code == 200
    assert page["itemsPerPage"] == len(page["Resources"]) == cap
    assert page["totalResults"] > cap
    assert page["startIndex"] == 1


@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("/scim/Users", 100),
        ("/scim/Groups/{demo}/members", 100),
        ("/iam/account/find/bygroup/{demo}", 10),
        ("/iam/account/search", 10),
    ],
)
def test_without_a_count_each_list_has_its_own_default(
    crowd: RunningSimulator, get: Get, path: str, default: int
) -> None:
    """The by-group find returns 10 rows, the SCIM lists 100."""
    page = get(crowd, path.format(demo=crowd.group_id("demo"))).json()
    assert len(page["Resources"]) == default


def test_the_last_page_says_its_own_size(crowd: RunningSimulator, get: Get) -> None:
    """`itemsPerPage` is the number of rows on this page, not the number asked for."""
    page = get(crowd, "/scim/Users", startIndex=201, count=100).json()
    assert page["itemsPerPage"] == 50
    assert page["startIndex"] == 201


def test_a_page_beyond_the_end_is_empty_and_keeps_the_total(
    crowd: RunningSimulator, get: Get
) -> None:
    """Reading on after the end is no error."""
    page = get(crowd, "/scim/Users", startIndex=999).json()
    assert page["Resources"] == []
    assert page["totalResults"] == 250


@pytest.mark.parametrize("path", ["/scim/Users", "/scim/Groups", "/iam/account/search"])
def test_a_count_of_zero_asks_for_the_total_where_iam_allows_it(
    crowd: RunningSimulator, get: Get, path: str
) -> None:
    """No page size and no start come back."""
    page = get(crowd, path, count=0).json()
    assert set(page) - {"schemas"} == {"totalResults", "Resources"}
    assert page["Resources"] == []
    assert page["totalResults"] > 0


@pytest.mark.parametrize(
    "path", ["/scim/Groups/{demo}/members", "/iam/account/find/bygroup/{demo}"]
)
def test_a_count_of_zero_crashes_members_and_find(
    crowd: RunningSimulator, get: Get, path: str
) -> None:
    """500, HTML, with a stack trace: indigo-iam/iam#1204."""
    answer = get(crowd, path.format(demo=crowd.group_id("demo")), count=0)
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")
    assert "\tat org.springframework" in answer.text


def test_a_start_of_zero_is_refused_by_find_and_taken_as_one_by_scim(
    crowd: RunningSimulator, get: Get
) -> None:
    """400 from the find endpoints only."""
    demo = crowd.group_id("demo")
    assert get(crowd, f"/iam/account/find/bygroup/{demo}", startIndex=0).status_code == 400
    assert get(crowd, "/scim/Users", startIndex=0).json()["startIndex"] == 1


def test_members_and_find_are_sorted_by_username(crowd: RunningSimulator, get: Get) -> None:
    """The same order at every request."""
    demo = crowd.group_id("demo")
    pages = [get(crowd, f"/iam/account/find/bygroup/{demo}", count=100).json() for _ in range(2)]
    names = [row["userName"] for row in pages[0]["Resources"]]
    assert names == sorted(names)
    assert pages[0] == pages[1]
    ids = [row["id"] for row in pages[0]["Resources"]]
    members = get(crowd, f"/scim/Groups/{demo}/members", count=100).json()["Resources"]
    assert [member["value"] for member in members] == ids


def test_the_order_of_users_differs_between_requests(crowd: RunningSimulator, get: Get) -> None:
    """The same page twice holds the same people in another order."""
    first, second = (
        [row["id"] for row in get(crowd, "/scim/Users").json()["Resources"]] for _ in range(2)
    )
    assert first != second
    assert sorted(first) == sorted(second)


@pytest.mark.parametrize("count", [100, 37])
def test_a_crawl_in_window_order_is_complete(crowd: RunningSimulator, get: Get, count: int) -> None:
    """Rows move inside their page only, so one page size finds everybody once."""
    found = crawl(get, crowd, "/scim/Users", count)
    assert len(found) == len(set(found)) == 250


def test_a_crawl_in_shuffled_order_doubles_and_skips_people(get: Get) -> None:
    """Rows move across pages: the number of rows agrees, the people do not."""
    with running_simulator(population=250, list_order="shuffled") as shuffled:
        found = crawl(get, shuffled, "/scim/Users", 100)
    assert len(found) == 250
    assert len(set(found)) < 250


def test_the_changing_order_follows_from_the_seed(get: Get) -> None:
    """Two simulators with one seed answer the same requests in the same orders."""
    orders = []
    for _ in range(2):
        with running_simulator(list_order="shuffled", seed=7) as running:
            orders.append([get(running, "/scim/Groups").json()["Resources"] for _ in range(2)])
    names = [[[row["displayName"] for row in page] for page in order] for order in orders]
    assert names[0] == names[1]
    assert names[0][0] != names[0][1]

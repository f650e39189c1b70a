"""Faults hit the request they were ordered for, as often as ordered, and no other."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from iam_simulator.control_client import ControlError
from iam_simulator.testing import RunningSimulator

Get = Callable[..., Any]


@pytest.fixture(autouse=True)
def _without_faults(iam: RunningSimulator) -> Iterator[None]:
    """Each test starts and ends without faults."""
    iam.reset()
    yield
    iam.reset()


def test_a_fault_hits_its_page_once(iam: RunningSimulator, get: Get) -> None:
    """Pages one and two are good; page three fails once and then works."""
    path = f"/scim/Groups/{iam.group_id('demo')}/members"
    iam.fault(path, status=500, on_page=3)
    statuses = [get(iam, path, count=4, startIndex=start).status_code for start in (1, 5, 9, 9, 13)]
    assert statuses == [200, 200, 500, 200, 200]


def test_a_fault_can_wait_for_the_nth_request(iam: RunningSimulator, get: Get) -> None:
    """Counted from when it was ordered, for requests that fit."""
    iam.fault("/scim/Users", status=503, on_request=2, body="json", headers={"Retry-After": "7"})
    answers = [get(iam, "/scim/Users") for _ in range(3)]
    get(iam, "/scim/Groups")
    assert [answer.status_code for answer in answers] == [200, 503, 200]
    assert answers[1].headers["retry-after"] == "7"


def test_a_fault_without_times_lasts_until_cleared(iam: RunningSimulator, get: Get) -> None:
    """`times` null."""
    iam.fault("/jwk", status=500, times=None)
    assert {get(iam, "/jwk").status_code for _ in range(5)} == {500}
    iam.reset()
    assert get(iam, "/jwk").status_code == 200


def test_rows_can_go_missing_while_the_total_stays(iam: RunningSimulator, get: Get) -> None:
    """The total tells."""
    honest = get(iam, "/scim/Users").json()
    iam.fault("/scim/Users", drop_rows=3)
    short = get(iam, "/scim/Users").json()
    assert short["totalResults"] == honest["totalResults"]
    assert len(short["Resources"]) == short["itemsPerPage"] == len(honest["Resources"]) - 3


def test_the_total_can_be_wrong(iam: RunningSimulator, get: Get) -> None:
    """By as much as ordered."""
    honest = get(iam, "/scim/Users").json()["totalResults"]
    iam.fault("/scim/Users", total_results_delta=-5)
    assert get(iam, "/scim/Users").json()["totalResults"] == honest - 5


def test_a_body_can_end_too_soon(iam: RunningSimulator, get: Get) -> None:
    """200, the right media type, and no JSON."""
    iam.fault("/scim/Users", truncate=True)
    answer = get(iam, "/scim/Users")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        answer.json()


def test_an_answer_can_be_late(iam: RunningSimulator, get: Get) -> None:
    """By the ordered time at least."""
    iam.fault("/jwk", delay_ms=300)
    start = time.monotonic()
    get(iam, "/jwk")
    assert time.monotonic() - start >= 0.3


def test_drift_moves_people_in_the_middle_of_a_crawl(fresh_iam: RunningSimulator, get: Get) -> None:
    """Someone leaves before page two is read: the total changes and one row is skipped."""
    path = f"/scim/Groups/{fresh_iam.group_id('demo/compute')}/members"
    before = get(fresh_iam, path).json()
    drift = [{"action": "leave", "person": "alice", "group": "demo/compute"}]
    fresh_iam.fault(path, on_page=2, drift=drift)
    first = get(fresh_iam, path, count=4).json()
    second = get(fresh_iam, path, count=4, startIndex=5).json()
    assert first["totalResults"] == before["totalResults"] == 8
    assert second["totalResults"] == 7
    seen = {row["value"] for page in (first, second) for row in page["Resources"]}
    missed = {row["value"] for row in before["Resources"]} - seen
    assert missed == {fresh_iam.person_id("grace")}  # the fifth by username before the change


def test_requests_are_counted_by_route_without_tokens(iam: RunningSimulator, get: Get) -> None:
    """Path parameters are folded, control calls are not counted."""
    get(iam, "/scim/Users", count=1)
    get(iam, f"/scim/Users/{iam.person_id('bob')}")
    counts = iam.request_counts()
    assert counts["GET /scim/Users"] == 1
    assert counts["GET /scim/Users/{id}"] == 1
    log = iam.control("GET", "requests")
    assert log["recent"][-2]["query"] == {"count": "1"}
    assert "eyJ" not in json.dumps(log)
    assert not any("/simulator" in entry["path"] for entry in log["recent"])


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("faults", {"path_prefix": "/", "statsu": 500}, 400),
        ("changes", {"action": "join", "person": "nobody", "group": "demo"}, 404),
        ("changes", {"action": "join", "person": "alice"}, 400),
        ("people", {"username": "alice"}, 409),
        ("token", {"person": "nobody"}, 404),
        ("token", {}, 400),
    ],
)
def test_a_mistaken_control_call_is_refused(
    iam: RunningSimulator, name: str, body: dict[str, Any], status: int
) -> None:
    """Unknown keys, unknown people and missing fields are errors."""
    with pytest.raises(ControlError) as caught:
        iam.control("POST", name, body)
    assert caught.value.status == status

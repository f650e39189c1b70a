"""Reading IAM's JSON: any JSON gives records or SourceFailed, and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.adapters.indigo_iam.translate import (
    USER_EXTENSION,
    find_group,
    parse_group_row,
    parse_member_row,
    parse_page,
    parse_person,
)
from idmap.domain.errors import SourceFailed
from idmap.domain.reasons import Reason

NOW = int(datetime(2026, 11, 2, 12, 0, 0, tzinfo=UTC).timestamp())

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
ENVELOPE = st.fixed_dictionaries(
    {},
    optional={
        "totalResults": ANY_JSON,
        "itemsPerPage": ANY_JSON,
        "startIndex": ANY_JSON,
        "Resources": ANY_JSON,
    },
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "id": ANY_JSON,
        "value": ANY_JSON,
        "displayName": ANY_JSON,
        "userName": ANY_JSON,
        "active": ANY_JSON,
        "groups": ANY_JSON | st.lists(st.fixed_dictionaries({}, optional={"value": ANY_JSON})),
        USER_EXTENSION: ANY_JSON | st.fixed_dictionaries({}, optional={"endTime": ANY_JSON}),
    },
)


def person(**fields: Any) -> dict[str, Any]:
    return {"id": "uuid", "userName": "jo", "active": True, **fields}


def fails_as_incomplete(action: Any) -> None:
    """Whatever else it raises fails the test."""
    reason = Reason.SOURCE_INCOMPLETE
    try:
        action()
    except SourceFailed as error:
        reason = error.reason
    assert reason is Reason.SOURCE_INCOMPLETE


@given(ENVELOPE | ANY_JSON, st.integers(1, 500))
def test_any_json_is_a_page_or_an_incomplete_source(body: object, start: int) -> None:
    fails_as_incomplete(lambda: parse_page(body, start=start))
    fails_as_incomplete(lambda: find_group(body, "demo"))


@given(ROW | ANY_JSON)
def test_any_json_is_a_record_or_an_incomplete_source(row: object) -> None:
    fails_as_incomplete(lambda: parse_person(row, NOW))
    fails_as_incomplete(lambda: parse_group_row(row))
    fails_as_incomplete(lambda: parse_member_row(row))


@given(ROW)
def test_a_record_whose_id_reads_is_never_lost(row: dict[str, Any]) -> None:
    """And what is not readable is never active."""
    record = parse_person({**row, "id": "0b1e"}, NOW)
    assert record.subject == "0b1e"
    assert record.problem is None or not record.active


@pytest.mark.parametrize(
    ("end", "active"),
    [
        (None, True),
        ("2026-11-02T12:00:01.000+00:00", True),
        ("2026-11-02T12:00:00.000+00:00", False),
        ("2026-11-02T12:59:59.678+01:00", False),
        ("2026-11-02T14:00:00.000+01:00", True),
        ("0001-01-01T00:00:00.000+00:00", False),
        ("9999-12-31T23:59:59.000-12:00", True),
    ],
)
def test_the_end_of_a_membership_is_judged_at_the_time_passed_in(
    end: str | None, active: bool
) -> None:
    record = parse_person(person(**{USER_EXTENSION: {"endTime": end}}), NOW)
    assert record.problem is None
    assert record.active is active


@pytest.mark.parametrize("extension", [None, {}, {"endTime": None}, {"sshKeys": 7}])
def test_what_the_extension_lacks_is_not_missed(extension: object) -> None:
    assert parse_person(person(**{USER_EXTENSION: extension}), NOW).active


def test_a_problem_names_the_field_and_not_its_value() -> None:
    record = parse_person(person(active="s3cret-value"), NOW)
    assert record.problem == "active is not true or false"


def test_only_the_exact_path_is_the_group() -> None:
    """`demo/gpu` is neither `demo/GPU` nor `demo/gpu2`."""
    rows = [{"id": name, "displayName": name} for name in ("demo/GPU", "demo/gpu2", "/demo/gpu")]
    assert find_group({"Resources": rows}, "demo/gpu") is None
    rows.append({"id": "right", "displayName": "demo/gpu"})
    found = find_group({"Resources": rows}, "demo/gpu")
    assert found is not None
    assert found.uuid == "right"


def test_two_groups_of_one_path_are_one_too_many() -> None:
    rows = [{"id": one, "displayName": "demo"} for one in ("a", "b")]
    with pytest.raises(SourceFailed):
        find_group({"Resources": rows}, "demo")


@pytest.mark.parametrize("total", [True, -1, 1.0, "1", None, 10**12])
def test_a_total_that_is_no_count_is_no_list(total: object) -> None:
    with pytest.raises(SourceFailed):
        parse_page({"totalResults": total, "Resources": []}, start=1)


@pytest.mark.parametrize(("counted", "start"), [(2, 1), (0, 1), (1, 2)])
def test_a_page_that_is_not_the_one_asked_for_is_refused(counted: int, start: int) -> None:
    """It promises another number of rows than it holds, or begins elsewhere."""
    body = {"totalResults": 5, "itemsPerPage": counted, "startIndex": 1, "Resources": [{}]}
    with pytest.raises(SourceFailed):
        parse_page(body, start=start)


@pytest.mark.parametrize(
    ("extension", "robot"),
    [
        (None, False), ({}, False), ({"serviceAccount": None}, False),
        ({"serviceAccount": False}, False), ({"serviceAccount": True}, True),
    ],
)  # fmt: skip
def test_a_service_account_is_a_robot(extension: object, robot: bool) -> None:
    """Versions of IAM before service accounts say nothing of it."""
    record = parse_person(person(**{USER_EXTENSION: extension}), NOW)
    assert (record.robot, record.problem) == (robot, None)


@pytest.mark.parametrize("said", ["true", 1, [], {}])
def test_an_unreadable_service_account_counts_as_unchanged(said: object) -> None:
    """Neither a person nor a robot is guessed (law 6)."""
    record = parse_person(person(**{USER_EXTENSION: {"serviceAccount": said}}), NOW)
    assert record.problem == "serviceAccount is not true or false"

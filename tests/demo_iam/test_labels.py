"""Labels and attributes of people: shown as IAM shows them, where its configuration says so, and changed by control."""

from __future__ import annotations

from typing import Any

import pytest

from iam_simulator.control_client import ControlError
from iam_simulator.testing import RunningSimulator
from tests.demo_iam.conftest import Get

USER = "urn:indigo-dc:scim:schemas:IndigoUser"
LABELS = [
    {"name": "staff"},
    {"prefix": "hpc.example.org", "name": "project", "value": "lattice"},
]


@pytest.fixture
def labelled(fresh_iam: RunningSimulator) -> RunningSimulator:
    """An IAM that shows what it has of alice."""
    fresh_iam.change("set_labels", person="alice", labels=LABELS)
    fresh_iam.change("set_attributes", person="alice", attributes={"nickname": "al", "none": None})
    fresh_iam.control("POST", "settings", {"include_labels": True, "include_attributes": True})
    return fresh_iam


def _extensions(iam: RunningSimulator, get: Get) -> list[dict[str, Any]]:
    """Alice's, as each place gives it that a provisioner reads."""
    alone = get(iam, f"/scim/Users/{iam.person_id('alice')}").json()
    group = f"/iam/account/find/bygroup/{iam.group_id('demo/compute')}"
    listed = get(iam, group, startIndex=1, count=100).json()["Resources"]
    return [alone[USER], *(one[USER] for one in listed if one["userName"] == "alice")]


def test_single_reads_and_find_by_group_show_the_same(labelled: RunningSimulator, get: Get) -> None:
    """INDIGO IAM draws both with one converter."""
    alone, listed = _extensions(labelled, get)
    for shown in (alone, listed):
        assert shown["labels"] == [
            {"prefix": None, "name": "staff", "value": None},
            {"prefix": "hpc.example.org", "name": "project", "value": "lattice"},
        ]
        assert shown["attributes"] == [
            {"name": "nickname", "value": "al"},
            {"name": "none", "value": None},
        ]


def test_what_is_not_configured_is_not_shown(labelled: RunningSimulator, get: Get) -> None:
    """Nothing tells somebody without labels from an IAM that shows none."""
    labelled.control("POST", "settings", {"include_labels": False})
    for shown in _extensions(labelled, get):
        assert "labels" not in shown
        assert "attributes" in shown


def test_an_empty_list_is_dropped(labelled: RunningSimulator, get: Get) -> None:
    labelled.change("set_labels", person="alice", labels=[])
    assert all("labels" not in shown for shown in _extensions(labelled, get))


@pytest.mark.parametrize("action", ["set_labels", "set_attributes"])
def test_a_change_without_what_it_sets_is_refused(fresh_iam: RunningSimulator, action: str) -> None:
    with pytest.raises(ControlError):
        fresh_iam.change(action, person="alice")

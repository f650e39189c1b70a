"""The README names every path, person and change there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from iam_simulator.app import CONTROL_ROUTES, IAM_ROUTES
from iam_simulator.changes import ACTIONS
from iam_simulator.clients import DEFAULT_CLIENTS
from iam_simulator.faults import FaultSpec
from iam_simulator.population import HOSTILE_USERNAMES, SMALL

README = (Path(__file__).parents[2] / "deploy/demo/iam/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted({path for _, path, _ in IAM_ROUTES}))
def test_every_played_path_is_in_the_readme(path: str) -> None:
    """In the table of what it plays."""
    assert f"`{path}`" in README


@pytest.mark.parametrize("route", [f"{m} {path}" for m, path, _ in CONTROL_ROUTES])
def test_every_control_route_is_in_the_readme(route: str) -> None:
    """With its method."""
    assert f"`{route.replace(':path', '')}`" in README


def test_every_person_client_change_and_fault_field_is_in_the_readme() -> None:
    """The long hostile name is described, not printed."""
    names = [person.username for person in SMALL.people if len(person.username) < 100]
    assert set(HOSTILE_USERNAMES) - {"a" * 300} <= set(names)
    for name in [*names, *DEFAULT_CLIENTS, *FaultSpec.model_fields]:
        assert f"`{name}`" in README
    assert ", ".join(ACTIONS) in README

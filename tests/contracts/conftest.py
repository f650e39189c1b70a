"""The registries that the contract is run on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from idmap.application.ports import Registry
from tests.support.registries import make_registry
from tests.support.registry_scenes import furnish


@pytest.fixture(params=["sqlite"])
def empty(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry just made."""
    registry = make_registry()
    yield registry
    registry.close()


@pytest.fixture
def registry(empty: Registry) -> Registry:
    """A registry with an issuer, two ranges and two groups."""
    furnish(empty)
    return empty

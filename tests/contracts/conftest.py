"""The registries that the contract is run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import pytest

from idmap.application.ports import Registry
from tests.support.postgresql import make_postgresql_registry
from tests.support.registries import make_registry
from tests.support.registry_scenes import furnish

MAKERS: Final[dict[str, Callable[[], Registry]]] = {
    "sqlite": make_registry,
    "postgresql": make_postgresql_registry,
}


@pytest.fixture(params=MAKERS)
def empty(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """A registry just made."""
    registry = MAKERS[request.param]()
    yield registry
    registry.close()


@pytest.fixture
def registry(empty: Registry) -> Registry:
    """A registry with an issuer, two ranges and two groups."""
    furnish(empty)
    return empty

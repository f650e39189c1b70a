"""Fixtures for the HTTP door."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.entrypoints.http.site import Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A fresh site."""
    yield from make_site(tmp_path)

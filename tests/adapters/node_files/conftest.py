"""One site with one node for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.snapshot_site import SnapshotSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SnapshotSite]:
    """A service with two accounts, alice and bob, published."""
    site = SnapshotSite(tmp_path)
    site.open_account("s-alice", "alice")
    site.open_account("s-bob", "bob")
    site.publish()
    yield site
    site.close()

"""Whole sites for the tests of one module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from demo_site import PrivateHost
from demo_site.site import DemoSite, start_site


@contextmanager
def provisioned_site(patience: float) -> Iterator[DemoSite]:
    """A site whose people have their first accounts, on its own host; its node knows them within `patience` seconds."""
    with PrivateHost() as host:
        site = start_site(host)
        site.provision("--no-progress").check()
        site.wait_for_revision(patience)
        yield site

"""What holds for every test."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("idmap", deadline=None)
settings.load_profile("idmap")
"""No absolute timing is asserted: shared machines are slow at times."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files that take long come first, so that of several processes none is left with one at the end.

    They are those of whole sites, and those with a test that was given more time than usual.
    """
    slow = {
        item.path
        for item in items
        if "e2e" in item.path.parts or item.get_closest_marker("timeout") is not None
    }
    items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Each test begins with the usual umask, whoever runs it and whatever ran before.

    A command that narrows it (`idmap init`) means its own process, and in a test that is ours.
    """
    before = os.umask(0o022)
    try:
        return (yield)
    finally:
        os.umask(before)

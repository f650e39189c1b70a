"""Simulators and HTTP clients for the tests of the simulated IAM.

`iam` is shared by a whole module and must be left as it was found; `fresh_iam` is one test's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from iam_simulator.testing import RunningSimulator, running_simulator

Get = Callable[..., httpx2.Response]


@pytest.fixture(scope="module")
def iam() -> Iterator[RunningSimulator]:
    """The small population, shared by a module."""
    with running_simulator() as running:
        yield running


@pytest.fixture
def fresh_iam() -> Iterator[RunningSimulator]:
    """The small population, for one test that changes it."""
    with running_simulator() as running:
        yield running


@pytest.fixture
def get() -> Iterator[Get]:
    """`get(simulator, path, client="idmap-both", **query)`: an authorised SCIM request."""
    with httpx2.Client(timeout=20.0, trust_env=False) as http:
        tokens: dict[tuple[str, str], str] = {}

        def send(
            simulator: RunningSimulator,
            path: str,
            *,
            client: str = "idmap-both",
            token: str | None = None,
            accept: str = "application/scim+json, application/json",
            **query: Any,
        ) -> httpx2.Response:
            key = (simulator.url, client)
            if token is None and key not in tokens:
                tokens[key] = simulator.client_token(client)
            headers = {"Authorization": f"Bearer {token or tokens[key]}", "Accept": accept}
            return http.get(simulator.url + path, params=query or None, headers=headers)

        yield send


@pytest.fixture(scope="module")
def anonymous() -> Iterator[httpx2.Client]:
    """An HTTP client without a token."""
    with httpx2.Client(timeout=20.0, trust_env=False) as http:
        yield http

"""A simulated INDIGO IAM for each test, and talkers whose traffic a test may spoil on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx2
import pytest

from iam_simulator.testing import RunningSimulator, running_simulator
from idmap.adapters.indigo_iam.source import IndigoIamSource
from idmap.adapters.indigo_iam.strategies import STRATEGIES
from idmap.adapters.indigo_iam.talker import IamTalker
from idmap.application.ports import Listing
from idmap.domain.groups import Group
from idmap.domain.identity import Issuer
from idmap.domain.secrets import Secret

ISSUER = Issuer("https://iam.example.org/")
NOW = 1_790_000_000
"""September 2026: after the simulator's PAST, before its FUTURE."""

Edit = Callable[[str, Any], None]


def _untouched(request: httpx2.Request) -> None:
    del request


class Spoiler(httpx2.BaseTransport):
    """Passes everything to the real server; a test may change the request or edit the JSON answered."""

    def __init__(self) -> None:
        self.inner: httpx2.BaseTransport = httpx2.HTTPTransport()
        self.before: Callable[[httpx2.Request], httpx2.Request | None] = _untouched
        self.edit: Edit | None = None
        self.tokens: list[str] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.tokens.append(request.headers.get("Authorization", "").partition(" ")[2])
        response = self.inner.handle_request(self.before(request) or request)
        if self.edit is None or response.status_code != 200 or request.url.path == "/token":
            return response
        document = json.loads(response.read())
        self.edit(request.url.path, document)
        return httpx2.Response(200, json=document)

    def close(self) -> None:
        self.inner.close()


@dataclass
class Reader:
    """Builds sources for one simulator and closes them afterwards."""

    iam: RunningSimulator
    spoiler: Spoiler = field(default_factory=Spoiler)
    waits: list[float] = field(default_factory=list)
    progress: list[tuple[str, int, int | None]] = field(default_factory=list)
    _talkers: list[IamTalker] = field(default_factory=list)

    def source(
        self,
        strategy: Literal["accounts", "scim"] = "accounts",
        *,
        passes: int = 2,
        client: str = "idmap-both",
        secret: str | None = None,
        url: str | None = None,
        timeout_seconds: float = 5,
    ) -> IndigoIamSource:
        chosen = STRATEGIES[strategy]
        talker = IamTalker(
            url or self.iam.url,
            client_id=client,
            client_secret=Secret(secret or self.iam.client_secrets[client]),
            scope=chosen.scope,
            timeout_seconds=timeout_seconds,
            sleep=self.waits.append,
            transport=self.spoiler,
        )
        self._talkers.append(talker)
        return IndigoIamSource("iam", ISSUER, chosen(talker), clock=lambda: NOW, passes=passes)

    def observe(self, *paths: str, **options: Any) -> Listing:
        watched = frozenset(Group(ISSUER, path) for path in paths)
        return self.source(**options).observe(watched, self._note)

    def close(self) -> None:
        for talker in self._talkers:
            talker.close()
        self.spoiler.close()

    def _note(self, what: str, done: int, total: int | None) -> None:
        self.progress.append((what, done, total))


@pytest.fixture(scope="session")
def shared_small() -> Iterator[RunningSimulator]:
    with running_simulator() as iam:
        yield iam


@pytest.fixture(scope="session")
def shared_crowd() -> Iterator[RunningSimulator]:
    with running_simulator(population=300) as iam:
        yield iam


def _reader(iam: RunningSimulator) -> Iterator[Reader]:
    iam.reset()
    reader = Reader(iam)
    yield reader
    reader.close()


@pytest.fixture
def small(shared_small: RunningSimulator) -> Iterator[Reader]:
    """The simulator's cast of named people. Not for tests that change people or groups."""
    yield from _reader(shared_small)


@pytest.fixture
def crowd(shared_crowd: RunningSimulator) -> Iterator[Reader]:
    """300 people, about 280 of them in `demo`: three pages. Not for tests that change them."""
    yield from _reader(shared_crowd)


@pytest.fixture
def own_small() -> Iterator[Reader]:
    """As `small`, for a test that changes people or groups."""
    with running_simulator() as iam:
        yield from _reader(iam)


@pytest.fixture
def own_crowd() -> Iterator[Reader]:
    """As `crowd`, for a test that changes people or groups."""
    with running_simulator(population=300) as iam:
        yield from _reader(iam)

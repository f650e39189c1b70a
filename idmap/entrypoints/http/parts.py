"""What the HTTP door is made of; `bootstrap` fills it, tests fill it with fakes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from idmap.application.ports import (
    Clock,
    IssuerKeys,
    Registry,
    SecretMaker,
    SiteNumbers,
    SnapshotStore,
)
from idmap.application.remembered import Remembered
from idmap.application.verify_token import TokenVerifier
from idmap.entrypoints.http.metrics import ServeMetrics
from idmap.entrypoints.http.stream import EventHub


@dataclass(frozen=True, slots=True)
class ServeParts:
    """Everything a route may use."""

    registry: Registry
    verifier: TokenVerifier
    store: SnapshotStore
    clock: Clock
    make_secret: SecretMaker
    realm: str
    keys: IssuerKeys | None = None
    """For nodes that meet a key id before their trust.db does."""
    site_numbers: tuple[SiteNumbers, ...] = ()
    """What a new range is compared with."""
    poll_seconds: float = 0.05
    """How often published documents are looked at; a ban waits this long at most before it is pushed."""
    max_streams: int = 4096
    """Open event streams; one per node, with room for reconnects."""


@dataclass(frozen=True, slots=True)
class Running:
    """The parts with what one running application keeps beside them."""

    parts: ServeParts
    metrics: ServeMetrics
    hub: EventHub
    remembered: Remembered
    seen_decisions: set[str] = field(default_factory=set)


def running(request: Request) -> Running:
    """For a request."""
    return running_of(request.app)


def running_of(app: FastAPI) -> Running:
    """The application's own parts."""
    found = app.state.running
    assert isinstance(found, Running)  # noqa: S101  # set by create_app and nowhere else
    return found


async def _parts(request: Request) -> ServeParts:
    return running(request).parts


Parts = Annotated[ServeParts, Depends(_parts)]
"""For routes."""

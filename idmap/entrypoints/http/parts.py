"""What the HTTP door is made of; `bootstrap` fills it, tests fill it with fakes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, FastAPI, Request

from idmap.application.differences import AssertedGroups
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
from idmap.domain.guard import GuardLimits
from idmap.entrypoints.http.metrics import ServeMetrics
from idmap.entrypoints.http.stream import EventHub


@dataclass(frozen=True, slots=True)
class ServeParts:
    """Everything a route may use."""

    registry: Registry
    remembered: Remembered
    """What the registry said; the verifier's memory stands on the same one."""
    verifier: TokenVerifier
    store: SnapshotStore
    clock: Clock
    make_secret: SecretMaker
    realm: str
    keys: IssuerKeys | None = None
    """For nodes that meet a key id before their trust.db does."""
    guard: GuardLimits = field(default_factory=GuardLimits)
    """From how many people other rules may take their entitlement at once."""
    site_numbers: tuple[SiteNumbers, ...] = ()
    """What a new range is compared with."""
    poll_seconds: float = 0.05
    """How often published documents are looked at; a ban waits this long at most before it is pushed."""
    compare_seconds: float = 5.0
    """How often what tokens asserted of groups is compared with what sources said."""
    max_streams: int = 4096
    """Open event streams; one per node, with room for reconnects."""
    keep_answers_seconds: int = 24 * 3600
    """How long the answer to a request with an `Idempotency-Key` is kept."""


@dataclass(frozen=True, slots=True)
class Running:
    """The parts with what one running application keeps beside them."""

    parts: ServeParts
    metrics: ServeMetrics
    hub: EventHub
    asserted: AssertedGroups
    """What tokens asserted of groups since the last comparison."""
    seen_decisions: set[str] = field(default_factory=set)
    keys_in_use: set[tuple[str, str]] = field(default_factory=set)
    """Caller and `Idempotency-Key` of the requests that are being answered."""


def running(request: Request) -> Running:
    """For a request."""
    return running_of(request.app)


def running_of(app: FastAPI) -> Running:
    """The application's own parts."""
    found = app.state.running
    assert isinstance(found, Running)  # noqa: S101  # set by create_app and nowhere else
    return found


async def _parts(request: Request) -> ServeParts:
    own = getattr(request.state, "parts", None)
    return own if isinstance(own, ServeParts) else running(request).parts


Parts = Annotated[ServeParts, Depends(_parts)]
"""For routes. What changes the registry at the admin door gets a registry of its own (`changing`)."""

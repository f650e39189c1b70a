"""One provisioning run as the schedule starts it, and what the record says of earlier ones."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import UTC, datetime

from idmap.application.ports import Clock, Registry, Source
from idmap.application.provision import RunRequest, run_provision
from idmap.application.provision_report import ProvisionReport
from idmap.domain.guard import GuardLimits


def new_run_id(at: int) -> str:
    """A name for a run: readable, sortable by time, and different on two replicas in the same second."""
    return f"{datetime.fromtimestamp(at, tz=UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"


def run_scheduled(
    registry: Registry, sources: Collection[Source], limits: GuardLimits, *, clock: Clock
) -> ProvisionReport:
    """The nightly run. Raises Conflict(ALREADY_RUNNING) when another process has the lease."""
    request = RunRequest(new_run_id(clock()), "nightly schedule")
    return run_provision(registry, sources, limits, request, clock=clock)


def last_started(registry: Registry) -> int | None:
    """When the newest run on record began, whatever became of it; None when there is none."""
    with registry.read() as reader:
        return max((run.started for run in reader.runs(limit=1)), default=None)

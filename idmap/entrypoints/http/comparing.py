"""Every few seconds, what tokens asserted at the doors is compared with what sources said; the doors wait for nothing.

One task per application. A comparison that fails is logged and tried again with the tokens that come next; at the end
of the service what was noted is compared a last time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog
from starlette.concurrency import run_in_threadpool

from idmap.application.differences import AssertedGroups
from idmap.application.ports import Clock, Registry

_log = structlog.get_logger("idmap.http")


class Comparing:
    """Flushes what was noted, in a thread of its own. Lives in one event loop."""

    def __init__(
        self, asserted: AssertedGroups, registry: Registry, clock: Clock, *, every_seconds: float
    ) -> None:
        self._asserted = asserted
        self._registry = registry
        self._clock = clock
        self._every_seconds = every_seconds
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins; the first comparison is one interval later."""
        self._task = asyncio.create_task(self._go_on())

    async def stop(self) -> None:
        """Ends after a last comparison. One that is under way is waited for, so that none overtakes it."""
        self._ending.set()
        if self._task is not None:
            await self._task
        await self._compare()

    async def _go_on(self) -> None:
        while not self._ending.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), self._every_seconds)
            await self._compare()

    async def _compare(self) -> None:
        """Whatever fails here, logins go on, and so do the comparisons."""
        if not len(self._asserted):
            return
        try:
            await run_in_threadpool(self._asserted.flush, self._registry, self._clock())
        except Exception as error:
            _log.warning("comparison_failed", error=type(error).__name__, detail=str(error)[:200])

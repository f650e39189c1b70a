"""One errand at a time per key, with few who wait for it.

Many threads may want the same answer from a party that may be slow. The first one goes; some wait for its return; the
rest are told at once that they must do without, so that a slow issuer never holds all threads of a process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Final

WAITING: Final = 4
"""Threads that may wait for one errand. FastAPI has 40, idmap-verify 16."""


class _Flight:
    def __init__(self) -> None:
        self.landed = threading.Event()
        self.waiting = 0


class SingleFlight:
    """For all threads of a process."""

    def __init__(self, waiting: int = WAITING) -> None:
        self._waiting = waiting
        self._lock = threading.Lock()
        self._flights: dict[Hashable, _Flight] = {}

    def run(
        self, key: Hashable, errand: Callable[[], None], *, seconds: float, wait: bool = True
    ) -> bool:
        """Runs `errand`, or waits up to `seconds` for the thread that runs it already.

        True when it has ended, here or there; false when it is still under way. Whatever the errand raises is raised
        here only. Without `wait` nobody waits for another thread.
        """
        with self._lock:
            flight = self._flights.get(key)
            if flight is None:
                mine = self._flights[key] = _Flight()
            elif not wait or flight.waiting >= self._waiting:
                return False
            else:
                flight.waiting += 1
        if flight is not None:
            return flight.landed.wait(seconds)
        try:
            errand()
        finally:
            with self._lock:
                del self._flights[key]
            mine.landed.set()
        return True

    def is_flying(self, key: Hashable) -> bool:
        """Whether somebody is under way."""
        with self._lock:
            return key in self._flights

"""Ending a process when it is told to: SIGTERM and SIGINT.

A signal handler runs in the main thread wherever that stands just then, also inside the very lock that
`threading.Event.set` takes: the process would wait for itself for ever, deaf to every later SIGTERM. `SimpleQueue.put`
is the one thing that the standard library declares safe there; a thread of its own does the rest.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable


def when_told_to_stop(stop: Callable[[], object]) -> None:
    """Calls `stop` once, in another thread, after SIGTERM or SIGINT. For the main thread of a process of its own."""
    told: queue.SimpleQueue[int] = queue.SimpleQueue()

    def wait() -> None:
        told.get()
        stop()

    threading.Thread(target=wait, name="stop", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: told.put(number))

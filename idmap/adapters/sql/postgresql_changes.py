"""Noticing what other processes committed to PostgreSQL, by LISTEN on a connection of its own.

One thread listens and counts; whoever asks reads the count, and never waits for the server. Silence proves nothing
unless the server answers, so it is asked all the time: while it has not answered for a second, or while there is no
connection, every question counts as a change, and whoever remembers something reads it again from the database. A
ban is so seen within a second, or the database is asked (law 5).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

CHANNEL: Final = "idmap_changes"
"""Channels are per database."""

_ASK_SECONDS: Final = 0.2
"""So often the server is asked whether it is there."""

_STALE_SECONDS: Final = 1.0
"""A younger answer vouches for the count."""

_FIRST_WAIT_SECONDS: Final = 5.0
"""The first question waits so long for the connection; nobody ever waits again."""

_PAUSE_SECONDS: Final = 0.5
"""Between attempts to connect."""


class ChangeWatch:
    """Counts commits; for all threads of a process. Connects when first asked."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], itself: str) -> None:
        """`connect` gives a connection in autocommit; announcements by `itself` are not counted: `count` did."""
        self._connect = connect
        self._itself = itself
        self._lock = threading.Lock()
        self._count = 0
        self._vouched_at = -math.inf
        self._thread: threading.Thread | None = None
        self._listens = threading.Event()
        self._closed = threading.Event()

    def token(self) -> int:
        """Differs from every token given before anything was committed."""
        if self._thread is None:
            self._start()
        with self._lock:
            if time.monotonic() - self._vouched_at > _STALE_SECONDS:
                self._count += 1
            return self._count

    def count(self) -> None:
        """Something was committed, or may have been."""
        with self._lock:
            self._count += 1

    def close(self) -> None:
        """Ends the thread and its connection. Waits for both, but not for a server that does not answer."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=5 * _ASK_SECONDS)

    def _start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._thread = threading.Thread(target=self._run, name="registry-changes", daemon=True)
            self._thread.start()
        self._listens.wait(_FIRST_WAIT_SECONDS)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                with self._connect() as connection:
                    self._listen(connection)
            except Exception:
                # Whatever it was: from here on nobody vouches for the count.
                self._vouch(-math.inf)
                self._listens.set()
                self._closed.wait(_PAUSE_SECONDS)

    def _listen(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(f"LISTEN {CHANNEL}")
        self.count()  # whatever was committed before we listened
        while not self._closed.is_set():
            asked_at = time.monotonic()
            connection.execute("SELECT 1")
            self._vouch(asked_at)
            self._listens.set()
            for notice in connection.notifies(timeout=_ASK_SECONDS):
                if notice.payload != self._itself:
                    self.count()

    def _vouch(self, at: float) -> None:
        with self._lock:
            self._vouched_at = at

"""The publisher's loops: who watches the registry, and what happens when publishing fails.

Two threads. The *fast* one owns bans and heartbeats and never waits for a snapshot being built; the *slow* one builds
snapshots. Both look at the registry's change token every 100 ms, log what fails, try again with patience,
and end only when told to. Nothing here decides what is published; `application/publish.py` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from idmap.application.ports import Registry
from idmap.application.publish import Publisher
from idmap.domain.errors import IdmapError
from idmap.domain.manifest import HEARTBEAT_SECONDS

POLL_SECONDS: Final = 0.1
"""With a commit at the worst moment a ban is signed 100 ms later, well within its second."""

LOOK_AGAIN_SECONDS: Final = 5.0
"""How often trusted keys and the age of the signature are looked at without a change in the registry."""

GARBAGE_SECONDS: Final = 3600.0
_FIRST_DELAY: Final = 0.2
_LONGEST_DELAY: Final = 30.0
_LONGEST_FAST_DELAY: Final = 1.0
"""A ban is tried again at least every second however often it failed."""

_log = structlog.get_logger("idmap.publisher")


class Patience:
    """When to try again after failures; forgets them after a success."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._delay = 0.0
        self._not_before = 0.0

    def is_over(self) -> bool:
        """Whether it is time to try."""
        return time.monotonic() >= self._not_before

    def failed(self) -> None:
        """The next attempt waits twice as long."""
        self._delay = min(self._longest, self._delay * 2 or _FIRST_DELAY)
        self._not_before = time.monotonic() + self._delay

    def succeeded(self) -> None:
        """The next failure begins anew."""
        self._delay = self._not_before = 0.0


def run_publisher(
    publisher: Publisher,
    registry: Registry,
    stop: threading.Event,
    *,
    collect_garbage: Callable[[], int] | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Publishes until `stop` is set. Blocks; the fast path runs in a thread of its own."""
    fast = threading.Thread(
        target=_run_fast, args=(publisher, registry, stop, clock), name="publish-bans", daemon=True
    )
    fast.start()
    _run_slow(publisher, registry, stop, collect_garbage)
    fast.join(timeout=10)


def _run_fast(
    publisher: Publisher, registry: Registry, stop: threading.Event, clock: Callable[[], float]
) -> None:
    patience, heart = Patience(_LONGEST_FAST_DELAY), Patience(_LONGEST_FAST_DELAY)
    seen: int | None = None
    next_beat = 0.0
    while not stop.is_set():
        token = _token(registry)
        end = publisher.next_ban_end()
        due = token is not None and (token != seen or (end is not None and clock() >= end))
        if due and patience.is_over() and _attempt("bans", lambda: _bans(publisher), patience):
            seen = token
        beat = time.monotonic() >= next_beat and heart.is_over()
        if beat and _attempt("heartbeat", lambda: _heartbeat(publisher), heart):
            next_beat = time.monotonic() + HEARTBEAT_SECONDS
        stop.wait(POLL_SECONDS)


def _run_slow(
    publisher: Publisher,
    registry: Registry,
    stop: threading.Event,
    collect_garbage: Callable[[], int] | None,
) -> None:
    patience, broom = Patience(_LONGEST_DELAY), Patience(_LONGEST_DELAY)
    seen: int | None = None
    look_again = 0.0
    next_garbage = time.monotonic() + GARBAGE_SECONDS
    while not stop.is_set():
        token = _token(registry)
        due = token is not None and (token != seen or time.monotonic() >= look_again)
        if (
            due
            and patience.is_over()
            and _attempt("snapshot", lambda: _snapshot(publisher), patience)
        ):
            seen = token
            look_again = time.monotonic() + LOOK_AGAIN_SECONDS
        sweep = time.monotonic() >= next_garbage and broom.is_over()
        if collect_garbage is not None and sweep and _attempt("garbage", collect_garbage, broom):
            next_garbage = time.monotonic() + GARBAGE_SECONDS
        stop.wait(POLL_SECONDS)


def _attempt(what: str, action: Callable[[], object], patience: Patience) -> bool:
    """Whether it went well. Whatever is raised is logged and ends here: this loop never dies."""
    try:
        action()
    except IdmapError as error:
        _log.error("publish_failed", document=what, reason=str(error.reason), detail=error.detail)
    except Exception:
        _log.exception("publish_failed", document=what, reason="internal_error")
    else:
        patience.succeeded()
        return True
    patience.failed()
    return False


def _token(registry: Registry) -> int | None:
    try:
        return registry.change_token()
    except Exception:
        _log.exception("publish_failed", document="change_token", reason="internal_error")
        time.sleep(_FIRST_DELAY)
        return None


def _snapshot(publisher: Publisher) -> None:
    manifest = publisher.publish_snapshot()
    if manifest is not None:
        _log.info("snapshot_published", revision=manifest.revision, not_after=manifest.not_after)


def _bans(publisher: Publisher) -> None:
    bans = publisher.publish_bans()
    if bans is not None:
        _log.info(
            "bans_published",
            ban_counter=bans.counter,
            bans=len(bans.bans),
            banned_issuers=len(bans.issuers),
            banned_tokens=len(bans.tokens),
        )


def _heartbeat(publisher: Publisher) -> None:
    publisher.publish_heartbeat()

"""The agent's daemon: one thread listens, one installs, neither dies.

The *listener* holds the event stream. A ban list in it is verified and installed then and there; it never waits for a
snapshot that is being built. A silent or broken stream is opened anew with growing, scattered delays; after
each opening the ban list is fetched whole, because something may have been missed. The *main loop* syncs when
an event, a heartbeat, the poll interval or a change of the node's own accounts says so, and reports what it
installed.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from idmap.adapters.snapshot.events import Event
from idmap.adapters.snapshot.fetch import NodeReport
from idmap.application.install_bans import SkewJudge
from idmap.application.install_state import Document
from idmap.domain.errors import IdmapError, NodeInstallFailed
from idmap.domain.names import is_adoptable
from idmap.domain.reasons import Reason
from idmap.entrypoints.agent.assemble import Agent

TICK_SECONDS: Final = 1.0
"""How often the clock and the node's own account files are looked at."""

SILENCE_SECONDS: Final = 30.0
"""A stream without a heartbeat for this long is given up; heartbeats come every 5 s."""

STATE_SECONDS: Final = 10.0
"""How often a heartbeat is written down for `status`."""

_FIRST_DELAY: Final = 0.5
_LONGEST_DELAY: Final = 60.0

_log = structlog.get_logger("idmap.agent")


def boot_ticks() -> float:
    """Seconds on the clock that nobody sets and that runs while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class AgentLoop:
    """One running agent."""

    def __init__(
        self,
        agent: Agent,
        stop: threading.Event,
        *,
        ticks: Callable[[], float] = boot_ticks,
        silence_seconds: float = SILENCE_SECONDS,
        longest_delay: float = _LONGEST_DELAY,
    ) -> None:
        self._agent = agent
        self._stop = stop
        self._ticks = ticks
        self._silence = silence_seconds
        self._longest_delay = longest_delay
        self._judge = SkewJudge()
        self._verdict: bool | None = None
        """On the clock, as it was last written into bans.db."""
        self._wake = threading.Event()
        self._report_due = threading.Event()
        self._heartbeat_written = self._heard = -STATE_SECONDS * 10

    def run(self) -> None:
        """Runs until `stop` is set."""
        agent = self._agent
        agent.files.prepare()
        self._attempt("restore", agent.bans.restore)
        self._attempt("restore", agent.installer.remask)
        listener = threading.Thread(target=self._listen, name="listen", daemon=True)
        listener.start()
        try:
            self._loop()
        finally:
            agent.client.close()
            # It may sit in a read that nothing ends; it holds nothing that needs ending.
            listener.join(timeout=1)

    # --- the main loop ------------------------------------------------------------------------

    def _loop(self) -> None:
        agent = self._agent
        marks = agent.files.local_marks()
        delay = report_delay = 0.0
        next_sync = next_report = 0.0
        self._report_due.set()
        while not self._stop.is_set():
            now = time.monotonic()
            if (current := agent.files.local_marks()) != marks and self._attempt(
                "mask", agent.installer.remask
            ):
                marks = current
                self._report_due.set()
            if now >= next_sync or (self._wake.is_set() and delay == 0.0):
                self._wake.clear()
                if self._sync():
                    delay, next_sync = 0.0, now + _scatter(agent.poll_seconds)
                else:
                    delay = min(self._longest_delay, delay * 2 or _FIRST_DELAY)
                    next_sync = now + _scatter(delay)
            self._attempt("clock", self._watch_clock)
            if self._report_due.is_set() and now >= next_report:
                self._report_due.clear()
                if self._attempt("report", self._report):
                    report_delay = 0.0
                else:
                    self._report_due.set()
                    report_delay = min(self._longest_delay, report_delay * 2 or _FIRST_DELAY)
                    next_report = now + _scatter(report_delay)
            if delay == 0.0:
                self._wake.wait(TICK_SECONDS)
            else:
                self._stop.wait(min(TICK_SECONDS, _FIRST_DELAY))

    def wake(self) -> None:
        """Ends the main loop's wait, for a stop signal."""
        self._wake.set()

    def _sync(self) -> bool:
        agent = self._agent
        went_well = self._attempt("sync", self._sync_snapshot)
        if self._ticks() - self._heard > self._silence:
            self._attempt("heartbeat", agent.bans.fetch_heartbeat)
        return self._attempt("bans", lambda: self._noted(agent.bans.fetch())) and went_well

    def _sync_snapshot(self) -> None:
        if self._agent.installer.sync():
            state = self._agent.files.read_state()
            _log.info(
                "snapshot_installed", revision=state.installed_revision, masked=len(state.masked)
            )
            self._report_due.set()

    def _noted(self, changed: bool) -> None:
        if changed:
            _log.info("bans_installed", ban_counter=self._agent.bans.counter())
            self._report_due.set()

    def _watch_clock(self) -> None:
        """Clears or sets the skew flag between heartbeats too, when somebody sets the clock."""
        verdict = self._judge.is_fast(self._agent.clock(), self._ticks())
        if verdict is not None and verdict != self._verdict:
            self._agent.bans.note_time(0, clock_skew=verdict)
            self._verdict = verdict

    def _report(self) -> None:
        agent = self._agent
        state, local = agent.files.read_state(), agent.files.local_accounts()
        names = sorted(filter(is_adoptable, local.users | local.groups))
        agent.client.report(
            NodeReport(
                revision=state.installed_revision,
                ban_counter=agent.bans.counter(),
                masked=tuple(masked.name for masked in state.masked),
                local_names=tuple(names),
            )
        )

    # --- the listener -------------------------------------------------------------------------

    def _listen(self) -> None:
        delay = 0.0
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self._listen_once()
            except IdmapError as error:
                self._failed("stream", error)
            except Exception:
                if self._stop.is_set():
                    return
                _log.exception("agent_failed", during="stream", reason="internal_error")
            # A stream that held for a while was a good one: begin with the short delay again.
            held = time.monotonic() - began > self._silence
            delay = _FIRST_DELAY if held else min(self._longest_delay, delay * 2 or _FIRST_DELAY)
            self._stop.wait(_scatter(delay))

    def _listen_once(self) -> None:
        agent = self._agent
        with agent.client.events() as events:
            self._judge.connected()
            self._attempt("bans", lambda: self._noted(agent.bans.fetch()))
            self._wake.set()
            last_heartbeat = time.monotonic()
            for event in events:
                if self._stop.is_set():
                    return
                if self._hear(event):
                    last_heartbeat = time.monotonic()
                elif time.monotonic() - last_heartbeat > self._silence:
                    raise NodeInstallFailed(Reason.DOWNLOAD_FAILED, "no heartbeat in the stream")
        raise NodeInstallFailed(Reason.DOWNLOAD_FAILED, "the stream ended")

    def _hear(self, event: Event) -> bool:
        """Acts on one event; whether it was a heartbeat that holds."""
        match event.name:
            case Document.BANS:
                self._attempt("bans", lambda: self._noted(self._agent.bans.install(event.data)))
            case Document.MANIFEST:
                self._wake.set()
            case Document.HEARTBEAT:
                return self._attempt("heartbeat", lambda: self._hear_heartbeat(event.data))
            case _:
                pass
        return False

    def _hear_heartbeat(self, envelope: bytes) -> None:
        agent = self._agent
        heartbeat = agent.bans.open_heartbeat(envelope)
        ticks, now = self._ticks(), agent.clock()
        self._judge.hear(heartbeat.time, ticks)
        self._heard = ticks
        verdict = self._judge.is_fast(now, ticks)
        agent.bans.note_time(heartbeat.time, clock_skew=verdict)
        self._verdict = verdict
        if heartbeat.ban_counter > agent.bans.counter():
            self._noted(agent.bans.fetch())
        state = agent.files.read_state()
        if heartbeat.revision > state.installed_revision:
            self._wake.set()
        if ticks - self._heartbeat_written >= STATE_SECONDS:
            self._heartbeat_written = ticks
            signed_time = max(state.signed_time, heartbeat.time)
            agent.files.update_state(
                lambda s: replace(s, heartbeat_at=now, signed_time=signed_time)
            )

    # --- both ---------------------------------------------------------------------------------

    def _attempt(self, during: str, action: Callable[[], object]) -> bool:
        """Whether it went well. What fails is logged and remembered for `status`, and ends here."""
        try:
            action()
        except IdmapError as error:
            self._failed(during, error)
        except Exception:
            _log.exception("agent_failed", during=during, reason="internal_error")
        else:
            return True
        return False

    def _failed(self, during: str, error: IdmapError) -> None:
        if not self._stop.is_set():
            _log.warning(
                "agent_failed", during=during, reason=str(error.reason), detail=error.detail
            )
            with contextlib.suppress(Exception):
                self._agent.installer.note_failure(during, error)


def _scatter(seconds: float) -> float:
    """Up to a fifth more or less, so that a thousand nodes do not ask at once."""
    return seconds * random.uniform(0.8, 1.2)  # noqa: S311 -- scatters load, guards nothing

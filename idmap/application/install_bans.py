"""The ban list and the clock on a node: the fast path (laws 5 and 7).

A list is accepted when a pinned key signed it and its counter is not below the one that is here; the last
envelope is kept beside bans.db, so that bans outlive a restart of the agent, of the node and of the service.
What it says of issuers and tokens goes into refused.json, for idmap-verify, before bans.db is replaced; when one of
them cannot be written the other is all the same, and both are tried again with the next list or poll.
The newest signed time (manifest, ban list, heartbeat) goes into bans.db, so that a slow clock revives nothing;
a clock that runs ahead of live heartbeats sets the skew flag, and the account phase refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from idmap.application.install_state import (
    NOT_REACHED,
    NOTHING_REFUSED,
    Document,
    InstalledBans,
    NodeFiles,
    Reached,
    RefusedCredentials,
    Service,
    Step,
    Verifier,
)
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.manifest import BanList, Heartbeat
from idmap.domain.reasons import Reason

SIGNED_TIME_STEP: Final = 50
"""bans.db is rewritten when the newest signed time is this far ahead of it: with 5 s heartbeats, within a minute."""

MAX_CLOCK_AHEAD: Final = 120
"""Seconds that a node's clock may run ahead of a live heartbeat."""

LIVE_TOLERANCE: Final = 3.0
"""How well the time between two heartbeats must agree with the time between their arrivals to count as live."""


class SkewJudge:
    """Whether the node's clock is fast, by live heartbeats only.

    A stored heartbeat is old without any clock being wrong (a mirror, a service whose worker stopped, a stream
    that was held up). So one counts only when the time since the one before it, on the same connection, has
    passed here too.
    """

    def __init__(self) -> None:
        self._last: tuple[int, float] | None = None
        self._reference: tuple[int, float] | None = None

    def connected(self) -> None:
        """A new stream: its first heartbeat may be a stored one."""
        self._last = None

    def hear(self, signed_time: int, ticks: float) -> None:
        """A heartbeat came at `ticks` (seconds on a clock that nobody sets)."""
        last = self._last
        self._last = (signed_time, ticks)
        if last is None or signed_time <= last[0]:
            return
        if abs((signed_time - last[0]) - (ticks - last[1])) <= LIVE_TOLERANCE:
            self._reference = (signed_time, ticks)

    def is_fast(self, now: int, ticks: float) -> bool | None:
        """Whether `now` is ahead of the service's time by more than allowed; None when that is not known."""
        if self._reference is None:
            return None
        signed_time, heard = self._reference
        return now - (signed_time + (ticks - heard)) > MAX_CLOCK_AHEAD


class BanKeeper:
    """Installs ban lists and signed times."""

    def __init__(
        self,
        *,
        service: Service,
        verifier: Verifier,
        files: NodeFiles,
        clock: Callable[[], int],
        reached: Reached = NOT_REACHED,
    ) -> None:
        self._service = service
        self._verifier = verifier
        self._files = files
        self._clock = clock
        self._reached = reached
        self._newest = 0

    def fetch(self) -> bool:
        """Fetches the list and installs it; whether anything changed."""
        return self.install(self._service.fetch_document(Document.BANS))

    def fetch_heartbeat(self) -> None:
        """Fetches the stored heartbeat for its time alone: it may be old, so it says nothing of this clock."""
        self.note_time(self.open_heartbeat(self._service.fetch_document(Document.HEARTBEAT)).time)

    def install(self, envelope: bytes) -> bool:
        """Installs a list; whether it was new. Raises NodeInstallFailed: not trusted, invalid, older, not written."""
        bans = self._verifier.open_bans(envelope)
        with self._files.bans_lock():
            installed, saved = self._installed(), self._saved()
            newest = max(
                (installed.counter, installed.issued) if installed else (0, 0),
                (saved.counter, saved.issued) if saved else (0, 0),
            )
            if bans.counter < newest[0]:
                raise NodeInstallFailed(
                    Reason.SNAPSHOT_OLDER, f"ban counter {bans.counter}, installed is {newest[0]}"
                )
            if (bans.counter, bans.issued) < newest:
                return False
            complete = installed is not None and is_list(installed, bans)
            if saved == bans and complete and is_refused(self._refused(), bans):
                return False
            self._files.save_envelope(Document.BANS, envelope)
            self._reached(Step.BANS_SAVED)
            self._write_both(bans, installed)
        self._reached(Step.BANS_INSTALLED)
        return True

    def restore(self) -> None:
        """At start: what was saved and never installed, or was damaged since, is installed again."""
        with self._files.bans_lock():
            saved, installed = self._saved(), self._installed()
            if saved is None:
                return
            if installed is not None and is_list(installed, saved):
                self._write_refused(saved)
            elif installed is None or (installed.counter, installed.issued) <= (
                saved.counter,
                saved.issued,
            ):
                self._write_both(saved, installed)

    def open_heartbeat(self, envelope: bytes) -> Heartbeat:
        """The heartbeat in an envelope."""
        return self._verifier.open_heartbeat(envelope)

    def note_time(self, signed_time: int, *, clock_skew: bool | None = None) -> None:
        """Remembers a proved signed time, and the verdict on the clock (None: unknown, the old one stands).

        bans.db is rewritten only when the verdict changes or the time in it has become old.
        """
        self._newest = max(self._newest, signed_time)
        with self._files.bans_lock():
            installed, saved = self._installed(), self._saved()
            if installed is None or saved is None or not is_list(installed, saved):
                return
            flips = clock_skew is not None and clock_skew != installed.clock_skew
            if flips or self._newest >= installed.signed_time + SIGNED_TIME_STEP:
                self._write(saved, installed, clock_skew)

    def counter(self) -> int:
        """Of the installed list; 0 when there is none."""
        installed = self._installed()
        return installed.counter if installed else 0

    def is_missing(self) -> bool:
        """Whether no readable list is installed, so that PAM refuses everybody."""
        return self._installed() is None

    def effective_time(self) -> int:
        """The clock, but never less than the newest signed time seen."""
        installed = self._installed()
        known = installed.signed_time if installed else 0
        return max(self._clock(), self._newest, known, self._files.read_state().signed_time)

    def _write_both(self, bans: BanList, installed: InstalledBans | None) -> None:
        try:
            self._write_refused(bans)
        finally:
            self._write(bans, installed, None)

    def _write_refused(self, bans: BanList) -> None:
        if not is_refused(self._refused(), bans):
            self._files.install_refused(RefusedCredentials(bans.issuers, bans.tokens))
        self._reached(Step.REFUSED_INSTALLED)

    def _write(
        self, bans: BanList, installed: InstalledBans | None, clock_skew: bool | None
    ) -> None:
        known = installed.signed_time if installed else 0
        self._newest = max(self._newest, known, bans.issued)
        skew = installed is not None and installed.clock_skew if clock_skew is None else clock_skew
        self._files.install_bans(
            InstalledBans(bans.counter, bans.issued, self._newest, skew, bans.bans)
        )
        now, newest = self._clock(), self._newest
        self._files.update_state(
            lambda state: replace(
                state,
                ban_counter=bans.counter,
                bans_installed_at=state.bans_installed_at if _is_same(installed, bans) else now,
                signed_time=max(state.signed_time, newest),
            )
        )

    def _installed(self) -> InstalledBans | None:
        """What is installed; a damaged file counts as none and is replaced."""
        try:
            return self._files.read_bans()
        except NodeInstallFailed:
            return None

    def _refused(self) -> RefusedCredentials | None:
        """What refused.json says; without one nothing is refused. None for a damaged one, which is replaced."""
        try:
            return self._files.read_refused() or NOTHING_REFUSED
        except NodeInstallFailed:
            return None

    def _saved(self) -> BanList | None:
        """The kept envelope, if a key that is pinned today signed it."""
        data = self._files.read_envelope(Document.BANS)
        if data is None:
            return None
        try:
            return self._verifier.open_bans(data)
        except NodeInstallFailed:
            return None


def is_list(installed: InstalledBans, bans: BanList) -> bool:
    """Whether bans.db is that very list: every account of it, each with its end."""
    return (
        installed.counter,
        installed.issued,
        installed.bans,
    ) == (bans.counter, bans.issued, tuple(sorted(bans.bans)))


def is_refused(installed: RefusedCredentials | None, bans: BanList) -> bool:
    """Whether refused.json, None for a damaged one, says what the list says."""
    return installed == RefusedCredentials(bans.issuers, bans.tokens)


def _is_same(installed: InstalledBans | None, bans: BanList) -> bool:
    return installed is not None and is_list(installed, bans)

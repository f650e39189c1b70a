"""Keys on a node: trust.db first, then one bounded question to the service, then patience.

For the minutes between an issuer's new key and the next trust.db. What the service answers is kept in memory until
then. A key id that nobody knows is asked for once a minute, any unknown id of one issuer once in five seconds, a
silent service once in ten; whoever comes in between is told `key_unknown` at once (DESIGN §2).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

import structlog

from idmap.application.ports import IssuerKeys
from idmap.application.single_flight import SingleFlight
from idmap.domain.errors import Unavailable
from idmap.domain.issuers import IssuerProfile

KEY_PAUSE_SECONDS: Final = 60
ISSUER_PAUSE_SECONDS: Final = 5
SILENCE_PAUSE_SECONDS: Final = 10
WAIT_SECONDS: Final = 3.0
REMEMBERED_KEYS: Final = 256
"""Found or not; when full, the memory starts anew and the issuer's pause still holds."""

Jwk = Mapping[str, Any]
AskService = Callable[[IssuerProfile, str], Jwk | None]
"""Raises Unavailable when the service gives no answer in time."""

_log = structlog.get_logger(__name__)


class KeysWithService:
    """The IssuerKeys port of a node that may ask."""

    def __init__(
        self,
        local: IssuerKeys,
        ask: AskService,
        revision: Callable[[], Hashable],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`revision` differs once trust.db was replaced."""
        self._local = local
        self._ask = ask
        self._revision = revision
        self._clock = clock
        self._flights = SingleFlight()
        self._lock = threading.Lock()
        self._of: Hashable = None
        self._found: dict[tuple[str, str], Jwk] = {}
        self._not_before: dict[Hashable, float] = {}

    def find_key(self, profile: IssuerProfile, key_id: str | None) -> Jwk | None:
        """See IssuerKeys.find_key; a silent service is as good as an unknown key."""
        found = self._local.find_key(profile, key_id)
        if found is not None or key_id is None:
            return found
        wanted = (profile.issuer, key_id)
        self._forget_if_replaced()
        if wanted not in self._found:
            self._flights.run(wanted, lambda: self._look(profile, key_id), seconds=WAIT_SECONDS)
        return self._found.get(wanted)

    def _look(self, profile: IssuerProfile, key_id: str) -> None:
        wanted = (profile.issuer, key_id)
        with self._lock:
            now = self._clock()
            places: tuple[Hashable, ...] = (None, profile.issuer, wanted)
            if any(now < self._not_before.get(place, now) for place in places):
                return
            if len(self._not_before) > REMEMBERED_KEYS:
                self._not_before.clear()
            # At once, so that others of the same issuer do not ask while we wait.
            self._not_before[profile.issuer] = now + ISSUER_PAUSE_SECONDS
        try:
            key = self._ask(profile, key_id)
        except Unavailable as error:
            _log.warning("key_not_asked", issuer=profile.issuer, detail=error.detail)
            with self._lock:
                self._not_before[None] = self._clock() + SILENCE_PAUSE_SECONDS
            return
        with self._lock:
            if key is None:
                self._not_before[wanted] = self._clock() + KEY_PAUSE_SECONDS
            else:
                if len(self._found) >= REMEMBERED_KEYS:
                    self._found.clear()
                self._found[wanted] = key
                # A key was there: whoever comes with the next new one need not wait.
                self._not_before.pop(profile.issuer, None)
        _log.info("key_asked", issuer=profile.issuer, found=key is not None)

    def _forget_if_replaced(self) -> None:
        revision = self._revision()
        with self._lock:
            if revision != self._of:
                self._of = revision
                self._found = {}

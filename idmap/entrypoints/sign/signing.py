"""The signer's desk: a typed request comes in, is checked, remembered, signed.

Manifests and the fast documents have locks of their own, so that a ban never waits while a large manifest is read.
There is no way to have bytes signed that are not one of the three types. It knows nothing of sockets.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace

from idmap.adapters.snapshot.keys import Role, SigningKey
from idmap.domain.manifest import BANS_TYPE, HEARTBEAT_TYPE, MANIFEST_TYPE, Envelope
from idmap.entrypoints.sign.refusals import (
    Limits,
    ManifestChecker,
    ReadChunk,
    check_bans,
    check_heartbeat,
)
from idmap.entrypoints.sign.state import SignerState


class Desk:
    """The Signer port itself, inside the signer's process."""

    def __init__(
        self,
        *,
        limits: Limits,
        keys: Mapping[Role, SigningKey],
        state: SignerState,
        read_chunk: ReadChunk,
        read_trust_chunk: ReadChunk,
        clock: Callable[[], float],
    ) -> None:
        self._limits = limits
        self._keys = keys
        self._state = state
        self._clock = clock
        self._checker = ManifestChecker(limits, read_chunk, read_trust_chunk)
        self._one_manifest = threading.Lock()
        self._memory = threading.Lock()

    def sign_manifest(self, payload: bytes, *, approve_shrink: bool = False) -> Envelope:
        """Signs a manifest. Raises Conflict(SIGNER_REFUSED)."""
        with self._one_manifest:
            manifest, users = self._checker.check(
                payload, self._state.before, self._now(), approve_shrink=approve_shrink
            )
            with self._memory:
                self._state.remember(
                    replace(
                        self._state.before,
                        revision=manifest.revision,
                        created=manifest.created,
                        users=users,
                    )
                )
            return self._keys[Role.MANIFEST].sign(MANIFEST_TYPE, payload)

    def sign_bans(self, payload: bytes) -> Envelope:
        """Signs a ban list. Raises Conflict(SIGNER_REFUSED)."""
        with self._memory:
            bans = check_bans(payload, self._limits, self._state.before, self._now())
            self._state.remember(
                replace(self._state.before, ban_counter=bans.counter, bans_issued=bans.issued)
            )
        return self._keys[Role.BANS].sign(BANS_TYPE, payload)

    def sign_heartbeat(self, payload: bytes) -> Envelope:
        """Signs a heartbeat. Raises Conflict(SIGNER_REFUSED)."""
        check_heartbeat(payload, self._limits, self._state.before, self._now())
        return self._keys[Role.BANS].sign(HEARTBEAT_TYPE, payload)

    def public_keys(self) -> Mapping[str, str]:
        """Role → public key."""
        return {str(role): str(key.public) for role, key in self._keys.items()}

    def _now(self) -> int:
        return int(self._clock())

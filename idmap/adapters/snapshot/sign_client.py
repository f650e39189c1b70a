"""The Signer port over `idmap sign`'s Unix socket.

One connection per request: a ban never queues behind a manifest that is being checked. What the signer refuses comes
back as Conflict(SIGNER_REFUSED) with its own words; a signer that does not answer is Unavailable(SIGNER_UNAVAILABLE).
"""

from __future__ import annotations

import base64
import binascii
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from idmap.adapters.snapshot.sign_wire import WireError, receive_message, send_message
from idmap.domain.errors import Conflict, IdmapError, Unavailable
from idmap.domain.manifest import BANS_TYPE, HEARTBEAT_TYPE, MANIFEST_TYPE, Envelope, parse_envelope
from idmap.domain.reasons import Reason

MANIFEST_TIMEOUT: Final = 120.0
"""Seconds; the signer reads every record of a snapshot."""

FAST_TIMEOUT: Final = 5.0


class SocketSigner:
    """Asks the signer at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sign_manifest(self, payload: bytes, *, approve_shrink: bool = False) -> Envelope:
        """A signed manifest. `approve_shrink` says that a person has seen how many accounts go."""
        request = {
            "type": "sign_manifest",
            "payload": base64.b64encode(payload).decode("ascii"),
            "approve_shrink": approve_shrink,
        }
        return self._envelope(request, MANIFEST_TYPE, MANIFEST_TIMEOUT)

    def sign_bans(self, payload: bytes) -> Envelope:
        """A signed ban list."""
        request = {"type": "sign_bans", "payload": base64.b64encode(payload).decode("ascii")}
        return self._envelope(request, BANS_TYPE, FAST_TIMEOUT)

    def sign_heartbeat(self, payload: bytes) -> Envelope:
        """A signed heartbeat."""
        request = {"type": "sign_heartbeat", "payload": base64.b64encode(payload).decode("ascii")}
        return self._envelope(request, HEARTBEAT_TYPE, FAST_TIMEOUT)

    def public_keys(self) -> Mapping[str, str]:
        """Role → public key as `ed25519:<base64>`."""
        keys = self._ask({"type": "public_keys"}, FAST_TIMEOUT).get("keys")
        if not isinstance(keys, dict):
            raise _unavailable("an answer without keys")
        return {str(role): str(key) for role, key in keys.items()}

    def _envelope(self, request: Mapping[str, Any], payload_type: str, timeout: float) -> Envelope:
        answer = self._ask(request, timeout)
        try:
            data = base64.b64decode(answer["envelope"], validate=True)
            return parse_envelope(data, payload_type)
        except (KeyError, TypeError, ValueError, binascii.Error, IdmapError):
            raise _unavailable("an answer without an envelope") from None

    def _ask(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout)
                connection.connect(str(self._path))
                send_message(connection, request)
                answer = receive_message(connection)
        except (OSError, WireError) as error:
            raise _unavailable(f"{self._path}: {error}") from error
        if answer is None:
            raise _unavailable("it closed without an answer")
        if answer.get("ok") is not True:
            raise Conflict(Reason.SIGNER_REFUSED, str(answer.get("detail", ""))[:500])
        return answer


def _unavailable(detail: str) -> Unavailable:
    return Unavailable(Reason.SIGNER_UNAVAILABLE, detail)

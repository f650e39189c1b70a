"""How `idmap work` and `idmap sign` talk: one JSON object per message behind its length, on a Unix socket.

    message   four bytes, big endian: the length of what follows; then a JSON object in ASCII
    request   {"type": "sign_manifest", "payload": <base64>, "approve_shrink": false}
              {"type": "sign_bans" | "sign_heartbeat", "payload": <base64>}
              {"type": "public_keys"}
    answer    {"ok": true, "envelope": <base64 of the encoded envelope>} | {"ok": true, "keys": {role: key}}
              {"ok": false, "reason": <code>, "detail": <text for the log>}

There is no request that signs bytes of the caller's choosing.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, Final

MAX_MESSAGE: Final = 32 * 1024 * 1024
"""A ban list of a million numbers is 24 MiB as base64; nothing else comes near."""

_LENGTH: Final = struct.Struct(">I")


class WireError(Exception):
    """The other side said something that is no message, or stopped in the middle of one."""


def send_message(connection: socket.socket, value: Mapping[str, Any]) -> None:
    """Sends one message. Raises OSError."""
    data = json.dumps(value, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    if len(data) > MAX_MESSAGE:
        raise WireError("message too large")
    connection.sendall(_LENGTH.pack(len(data)) + data)


def receive_message(connection: socket.socket) -> dict[str, Any] | None:
    """The next message; None when the other side closed between two. Raises WireError, OSError."""
    head = _receive(connection, _LENGTH.size)
    if not head:
        return None
    if len(head) < _LENGTH.size:
        raise WireError("closed inside a length")
    (length,) = _LENGTH.unpack(head)
    if length > MAX_MESSAGE:
        raise WireError("message too large")
    data = _receive(connection, length)
    if len(data) < length:
        raise WireError("closed inside a message")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        raise WireError("not JSON") from None
    if not isinstance(value, dict):
        raise WireError("not an object")
    return value


def _receive(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(min(length - len(parts), 1 << 20))
        if not part:
            break
        parts += part
    return bytes(parts)

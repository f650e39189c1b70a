"""The signer's socket: reads typed requests, answers with an envelope or a refusal.

Who may ask is who may open the socket (0660). Each connection has a thread; a request of an unknown type, with
an unknown member or that is no message is refused and logged with the asker's process id. Payloads are never logged.
"""

from __future__ import annotations

import base64
import binascii
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any, Final

import structlog

from idmap.adapters.snapshot.sign_wire import WireError, receive_message, send_message
from idmap.application.ports import Signer
from idmap.domain.errors import Conflict, IdmapError
from idmap.domain.manifest import encode_envelope
from idmap.domain.reasons import Reason

IDLE_SECONDS: Final = 30.0
MAX_CONNECTIONS: Final = 32
_MEMBERS: Final = {
    "sign_manifest": frozenset({"type", "payload", "approve_shrink"}),
    "sign_bans": frozenset({"type", "payload"}),
    "sign_heartbeat": frozenset({"type", "payload"}),
    "public_keys": frozenset({"type"}),
}

_log = structlog.get_logger("idmap.sign")


def listen(path: Path) -> socket.socket:
    """A listening socket at `path` with mode 0660, in place of one that a dead signer left behind."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if path.is_socket() and not _somebody_answers(path):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o117)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(previous)
    listener.listen(MAX_CONNECTIONS)
    listener.settimeout(0.2)
    return listener


def serve(
    listener: socket.socket,
    signer: Signer,
    stop: threading.Event,
    *,
    allowed_uids: frozenset[int] = frozenset(),
) -> None:
    """Answers until `stop` is set. Root and the signer's own user may ask; others only when named.

    The socket's mode lets a group in, and that group holds the process that reads strangers' input too (law 14).
    """
    allowed = allowed_uids | {0, os.getuid()}
    places = threading.BoundedSemaphore(MAX_CONNECTIONS)
    while not stop.is_set():
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        except OSError:
            if stop.wait(0.1):
                return
            continue
        if not places.acquire(blocking=False):
            connection.close()
            continue
        threading.Thread(
            target=_serve_one, args=(connection, signer, places, allowed), name="sign", daemon=True
        ).start()


def answer(request: dict[str, Any], signer: Signer) -> dict[str, Any]:
    """The answer to one request. Raises Conflict(SIGNER_REFUSED) for what is no typed request."""
    kind = request.get("type")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise _refused("no such request")
    if not request.keys() <= _MEMBERS[kind]:
        raise _refused(f"{kind}: an unknown member")
    match kind:
        case "sign_manifest":
            approve = request.get("approve_shrink", False)
            if not isinstance(approve, bool):
                raise _refused("approve_shrink: true or false is needed")
            envelope = signer.sign_manifest(_payload(request), approve_shrink=approve)
        case "sign_bans":
            envelope = signer.sign_bans(_payload(request))
        case "sign_heartbeat":
            envelope = signer.sign_heartbeat(_payload(request))
        case _:
            return {"ok": True, "keys": dict(signer.public_keys())}
    data = base64.b64encode(encode_envelope(envelope)).decode("ascii")
    return {"ok": True, "envelope": data}


def _serve_one(
    connection: socket.socket,
    signer: Signer,
    places: threading.BoundedSemaphore,
    allowed: frozenset[int],
) -> None:
    try:
        with connection:
            connection.settimeout(IDLE_SECONDS)
            process_id, uid = _peer(connection)
            if uid not in allowed:
                _log.warning("sign_peer_refused", peer=process_id, uid=uid)
                return
            while (request := receive_message(connection)) is not None:
                send_message(connection, _answer_or_refusal(request, signer, process_id))
    except (OSError, WireError) as error:
        _log.warning("sign_request_broken", detail=str(error))
    finally:
        places.release()


def _answer_or_refusal(request: dict[str, Any], signer: Signer, peer: int) -> dict[str, Any]:
    kind = str(request.get("type"))[:40]
    try:
        response = answer(request, signer)
    except IdmapError as error:
        _log.warning(
            "sign_refused", request=kind, peer=peer, reason=str(error.reason), detail=error.detail
        )
        return {"ok": False, "reason": str(error.reason), "detail": error.detail}
    except Exception as error:
        _log.exception("sign_failed", request=kind, peer=peer)
        return {
            "ok": False,
            "reason": str(Reason.SIGNER_REFUSED),
            "detail": f"the signer failed: {type(error).__name__}",
        }
    if kind != "sign_heartbeat":
        _log.info("signed", request=kind, peer=peer)
    return response


def _payload(request: dict[str, Any]) -> bytes:
    try:
        return base64.b64decode(request["payload"], validate=True)
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise _refused("a payload in base64 is needed") from None


def _peer(connection: socket.socket) -> tuple[int, int]:
    """The asker's process id and uid (SO_PEERCRED)."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    process_id, uid, _ = struct.unpack("3i", data)
    return process_id, uid


def _somebody_answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _refused(detail: str) -> Conflict:
    return Conflict(Reason.SIGNER_REFUSED, detail)

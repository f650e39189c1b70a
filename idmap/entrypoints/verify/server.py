"""The verifier's socket: accepts, checks who asks, reads one request, writes one reply, closes.

Only root may ask (SO_PEERCRED). What does not parse is closed without an answer, which PAM takes
for an absent verifier; what parses is given to `answer`, and an answer that raises is a refusal,
never an acceptance (law 4). At most `concurrency` requests are in hand; the rest wait in the
kernel's backlog.

It does not judge credentials, and logs neither them nor the text of exceptions that saw them.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Collection, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from idmap.domain.reasons import Reason
from idmap.entrypoints.stopping import when_told_to_stop
from idmap.entrypoints.verify.protocol import (
    REQUEST_HEADER,
    ProtocolError,
    VerifyReply,
    VerifyRequest,
    parse_request_body,
    parse_request_header,
    serialise_reply,
)

Answer = Callable[[VerifyRequest], VerifyReply]

DEFAULT_PATH: Final = Path("/run/idmap/verify.sock")
BACKLOG: Final = 128
"""Logins that may wait while every worker is busy; sshd's own MaxStartups is 100."""

CONCURRENCY: Final = 16
"""A local check takes under a millisecond; threads are for answers that wait for the service."""

READ_TIMEOUT: Final = 5.0
"""Seconds for a whole request. PAM sends it in one piece and gives up sending after two."""

_ACTIVATED_FD: Final = 3
"""SD_LISTEN_FDS_START, sd_listen_fds(3)."""

_UCRED: Final = struct.Struct("3i")
_log = structlog.get_logger(__name__)


class SocketError(OSError):
    """There is no socket to listen on, and why."""


class VerifyServer:
    """Serves `listener` until `stop`. Owns the listener: `serve_forever` closes it."""

    def __init__(
        self,
        listener: socket.socket,
        answer: Answer,
        *,
        allowed_uids: Collection[int] = frozenset({0}),
        concurrency: int = CONCURRENCY,
        read_timeout: float = READ_TIMEOUT,
    ) -> None:
        self._listener = listener
        self._answer = answer
        self._allowed_uids = frozenset(allowed_uids)
        self._concurrency = concurrency
        self._read_timeout = read_timeout
        self._slots = threading.BoundedSemaphore(concurrency)
        self._stopping = threading.Event()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_writer.setblocking(False)

    def serve_forever(self) -> None:
        """Returns after `stop`, when every request in hand has been answered."""
        self._listener.setblocking(False)
        with (
            self._listener,
            self._wake_reader,
            self._wake_writer,
            selectors.DefaultSelector() as selector,
            ThreadPoolExecutor(self._concurrency, "verify") as pool,
        ):
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while not self._stopping.is_set():
                selector.select()
                self._accept(pool)

    def stop(self) -> None:
        """Ends `serve_forever`. Any thread may call it, repeatedly."""
        self._stopping.set()
        with contextlib.suppress(OSError):  # already stopped, or already woken
            self._wake_writer.send(b"\0")

    def _accept(self, pool: ThreadPoolExecutor) -> None:
        """Takes one waiting connection, once a worker is free."""
        while not self._slots.acquire(timeout=0.2):
            if self._stopping.is_set():
                return
        try:
            connection, _ = self._listener.accept()
        except OSError as error:
            self._slots.release()
            if not isinstance(error, BlockingIOError):
                _log.error("verify_accept_failed", error=error.strerror)
                time.sleep(0.05)  # out of descriptors: do not spin until some come back
            return
        pool.submit(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                self._converse(connection)
        except (OSError, ProtocolError) as error:
            _log.warning("verify_request_dropped", error=type(error).__name__)
        finally:
            self._slots.release()

    def _converse(self, connection: socket.socket) -> None:
        deadline = time.monotonic() + self._read_timeout
        uid = peer_uid(connection)
        if uid not in self._allowed_uids:
            _log.warning("verify_peer_refused", peer_uid=uid)
            return
        lengths = parse_request_header(_read_exactly(connection, REQUEST_HEADER.size, deadline))
        body = _read_exactly(connection, lengths.total, deadline)
        try:
            request = parse_request_body(lengths, body)
        finally:
            body[:] = bytes(len(body))
        reply = self._safe_answer(request)
        connection.settimeout(self._read_timeout)
        connection.sendall(reply)

    def _safe_answer(self, request: VerifyRequest) -> bytes:
        """What `answer` says, as bytes; a refusal if it raises or says something else."""
        refused = VerifyReply.refuse(Reason.INTERNAL_ERROR)
        ref = refused.correlation_id
        try:
            reply = self._answer(request)
            return serialise_reply(reply)
        except Exception as error:  # whatever it is, nobody gets in
            _log.error("verify_answer_failed", error=type(error).__name__, ref=ref)
            return serialise_reply(refused)


def run(server: VerifyServer) -> None:
    """Serves until SIGTERM or SIGINT. For the main thread of a process of its own."""
    when_told_to_stop(server.stop)
    server.serve_forever()


def peer_uid(connection: socket.socket) -> int:
    """The uid number of the process that connected."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    return int(uid)


def open_listener(
    path: Path = DEFAULT_PATH, environment: MutableMapping[str, str] = os.environ
) -> socket.socket:
    """The socket systemd hands over (sd_listen_fds(3)), or else a new one at `path`, mode 0600.

    A stale socket at `path` is replaced, a live one is not. Raises SocketError.
    """
    activated = _take_activated(environment)
    return _bind(path) if activated is None else activated


def _take_activated(environment: MutableMapping[str, str]) -> socket.socket | None:
    pid = environment.pop("LISTEN_PID", "")
    count = environment.pop("LISTEN_FDS", "")
    environment.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count:
        return None
    if count != "1":
        raise SocketError("exactly one socket is expected in LISTEN_FDS")
    try:
        listener = socket.socket(fileno=_ACTIVATED_FD)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise SocketError("descriptor 3 is not a socket") from error
    if (listener.family, listener.type, listening) != (socket.AF_UNIX, socket.SOCK_STREAM, 1):
        listener.detach()
        raise SocketError("descriptor 3 is not a listening Unix stream socket")
    listener.set_inheritable(False)
    # unix(7): a client's SO_PEERCRED shows who called listen. That was systemd; now it is us.
    listener.listen(BACKLOG)
    return listener


def _bind(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        # Nobody can connect before `listen`, so the mode is never wider than this for anyone.
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SocketError(f"cannot listen on {path}: {error.strerror or error}") from error
    return listener


def _remove_stale(path: Path) -> None:
    """Removes a socket that nobody listens on. Raises SocketError if it is anything else."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise SocketError(f"{path} is not a socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise SocketError(f"another verifier listens on {path}")


def _read_exactly(connection: socket.socket, size: int, deadline: float) -> bytearray:
    """Reads `size` bytes before `deadline` (monotonic). Raises OSError or ProtocolError."""
    data = bytearray(size)
    view = memoryview(data)
    got = 0
    while got < size:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request did not arrive in time")
        connection.settimeout(left)
        more = connection.recv_into(view[got:])
        if more == 0:
            raise ProtocolError("the request ended early")
        got += more
    return data

"""Servers on loopback that misbehave the way issuers and attackers do; each counts what reached it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_REQUEST_END = b"\r\n\r\n"
DRIPS = 100_000
"""Bytes a drip has in store; at its pace they would take hours."""

PACE = 0.05


@dataclass
class Hostile:
    """A running server: where it is, who came, how much it got rid of."""

    url: str
    port: int
    visits: int = 0
    sent: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    """Ends every wait; the test's last word."""


Behave = Callable[[Hostile, socket.socket], None]


@contextmanager
def hostile(behave: Behave) -> Iterator[Hostile]:
    """One server; `behave` gets each connection after its request's headers were read."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = Hostile(f"http://127.0.0.1:{port}/", port)
    threads: list[threading.Thread] = []

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            seen = b""
            while _REQUEST_END not in seen:
                part = connection.recv(65536)
                if not part:
                    return
                seen += part
            server.visits += 1
            behave(server, connection)

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        server.released.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


def answer(status: str, body: bytes, *headers: str) -> Behave:
    """One whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    head = "\r\n".join(lines).encode() + _REQUEST_END

    def behave(server: Hostile, connection: socket.socket) -> None:
        connection.sendall(head + body)

    return behave


def flood(megabytes: int) -> Behave:
    """A body of that size, announced or not; counts how much was taken."""

    def behave(server: Hostile, connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"keys": "')
        for _ in range(megabytes * 16):
            connection.sendall(b"x" * 65536)
            server.sent += 65536

    return behave


def drip(start: bytes) -> Behave:
    """Never silent, never done: `start` (headers, or a part of them), then byte after byte."""

    def behave(server: Hostile, connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(DRIPS):
            if server.released.wait(PACE):
                return
            connection.sendall(b"x")
            server.sent += 1

    return behave


def hold(server: Hostile, connection: socket.socket) -> None:
    """Takes the request and says nothing until released."""
    server.released.wait()


@contextmanager
def full_backlog() -> Iterator[str]:
    """A URL whose connections are never completed: the kernel's queue is full and nobody accepts."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def hang_up(server: Hostile, connection: socket.socket) -> None:
    """Closes without a word."""

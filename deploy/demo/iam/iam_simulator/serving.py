"""Serving an instance in this process, on one port, until told to stop.

Granian's embedded server keeps everything in one process, so a pid is enough to stop it. SIGTERM
and SIGINT stop it; so does the end of standard input when asked, which ties the simulator's life to
the program that started it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from .app import create_app
from .instance import Instance


@dataclass(frozen=True, slots=True)
class Listener:
    """Where to listen. TLS when both files are given; the key is PEM in PKCS#8."""

    host: str = "127.0.0.1"
    port: int = 8081
    tls_cert: Path | None = None
    tls_key: Path | None = None
    stop_with_stdin: bool = False

    @property
    def url(self) -> str:
        """The address a client on this machine uses, without a trailing slash."""
        scheme = "https" if self.tls_cert else "http"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"


async def serve(instance: Instance, listener: Listener) -> None:
    """Serve until SIGTERM, SIGINT or, if asked, the end of standard input."""
    server = Server(
        create_app(instance),
        address=listener.host,
        port=listener.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(pipeline_flush=False),
        websockets=False,
        log_enabled=False,
        ssl_cert=listener.tls_cert,
        ssl_key=listener.tls_key,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, server)
    if listener.stop_with_stdin:
        loop.add_reader(sys.stdin.fileno(), _stop_at_end_of_input, loop, server)
    await server.serve()


def _stop_at_end_of_input(loop: asyncio.AbstractEventLoop, server: Server) -> None:
    if not os.read(sys.stdin.fileno(), 4096):
        loop.remove_reader(sys.stdin.fileno())
        _stop(server)


def _stop(server: Server) -> None:
    server.stop()  # type: ignore[no-untyped-call]  # granian leaves this one method untyped

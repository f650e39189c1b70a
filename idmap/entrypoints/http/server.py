"""Granian around the application: TLS from the settings, no access log, a clean stop.

One worker in this process: the event hub and the metrics live in it. Listening beyond loopback without TLS or a
declared proxy is refused by the settings and, once more, here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final, Protocol

from fastapi import FastAPI
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from idmap.domain.errors import InvalidInput, Unavailable
from idmap.domain.reasons import Reason
from idmap.entrypoints.http.parts import running_of
from idmap.entrypoints.settings import is_loopback_host

CONNECTIONS: Final = 8192
"""Requests at one time; every node holds one event stream, so Granian's default of 128 would starve a cluster."""


class Listening(Protocol):
    """What the server reads of the settings' `serve` section."""

    @property
    def listen(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def tls_certificate(self) -> Path | None: ...
    @property
    def tls_key(self) -> Path | None: ...
    @property
    def behind_proxy(self) -> bool: ...


async def run_server(app: FastAPI, serve: Listening, stop: asyncio.Event) -> None:
    """Serves until `stop` is set.

    Raises InvalidInput(CONFIGURATION_INVALID) rather than listen in the open, and Unavailable(SERVICE_UNAVAILABLE)
    when the port is taken or the server ends by itself.
    """
    if serve.tls_key is None and not serve.behind_proxy and not is_loopback_host(serve.listen):
        raise InvalidInput(
            Reason.CONFIGURATION_INVALID, "serve: beyond loopback, TLS or behind_proxy is needed"
        )
    server = Server(
        app,
        address=serve.listen,
        port=serve.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.auto,
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
        websockets=False,
        backlog=1024,
        backpressure=CONNECTIONS,
        log_enabled=False,
        log_access=False,
        ssl_cert=serve.tls_certificate,
        ssl_key=serve.tls_key,
    )
    serving = asyncio.create_task(server.serve())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    asked_to_stop = stopping.done()
    stopping.cancel()
    if asked_to_stop:
        # Streams never end by themselves; a graceful stop would wait for them.
        await running_of(app).hub.stop()
        server.stop()  # type: ignore[no-untyped-call]  # granian's embedding is untyped
    where = f"{serve.listen}:{serve.port}"
    try:
        await serving
    except RuntimeError as error:
        first_line = str(error).partition("\n")[0]
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"{where}: {first_line}") from error
    if not asked_to_stop:
        raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"{where}: the HTTP server ended by itself")

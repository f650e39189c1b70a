"""`idmap serve`: the doors, and the other two processes as children."""

from __future__ import annotations

import asyncio
import signal

import structlog

from idmap.entrypoints import bootstrap
from idmap.entrypoints.children import Children
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.cli.host_options import Config
from idmap.entrypoints.http.app import create_app
from idmap.entrypoints.http.server import run_server
from idmap.entrypoints.logs import configure_logs
from idmap.entrypoints.settings import SERVICE_FILE, ServiceSettings, load_service_settings

_log = structlog.get_logger("idmap.serve")


def serve_command(config: Config = SERVICE_FILE) -> None:
    """Run the service: REST, resolve and the event stream for nodes.

    Starts 'idmap work' and 'idmap sign' as child processes unless serve.start_children is false, as in
    the systemd units, which run the three as three users.
    """
    configure_logs(process="serve")
    with explained("idmap serve"):
        settings = load_service_settings(config)
        names = ("sign", "work") if settings.serve.start_children else ()
        children = Children(names, config)
        children.start()
        try:
            asyncio.run(_serve(settings))
        finally:
            children.stop()


async def _serve(settings: ServiceSettings) -> None:
    parts = bootstrap.serve_parts(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _log.info("serve_started", listen=settings.serve.listen, port=settings.serve.port)
    try:
        await run_server(create_app(parts), settings.serve, stop)
    finally:
        parts.registry.close()
        _log.info("serve_stopped")

"""`idmap serve` and `idmap work`: the two long-running processes beside the signer."""

from __future__ import annotations

import asyncio
import signal
import threading
from pathlib import Path
from typing import Annotated

import structlog
import typer

from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.application.administer import forget_answers
from idmap.entrypoints import bootstrap
from idmap.entrypoints.children import Children
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.clock import system_clock
from idmap.entrypoints.http.app import create_app
from idmap.entrypoints.http.server import run_server
from idmap.entrypoints.logs import configure_logs
from idmap.entrypoints.settings import SERVICE_FILE, ServiceSettings, load_service_settings
from idmap.entrypoints.stopping import when_told_to_stop
from idmap.entrypoints.work.publisher import run_publisher
from idmap.entrypoints.work.runner import last_started, run_scheduled
from idmap.entrypoints.work.schedule import parse_schedule, run_schedule

Config = Annotated[Path, typer.Option("--config", help="The service's settings.", dir_okay=False)]

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


def work_command(config: Config = SERVICE_FILE) -> None:
    """Run the worker: publishes snapshots and bans, and provisions every night.

    The schedule is in the settings; one run at a time across all replicas. Needs the signer.
    """
    configure_logs(process="work")
    with explained("idmap work"):
        settings = load_service_settings(config)
        schedule = parse_schedule(settings.schedule.cron, settings.schedule.time_zone)
        registry = bootstrap.open_registry(settings)
        stop = threading.Event()
        when_told_to_stop(stop.set)
        nightly = threading.Thread(
            target=run_schedule,
            name="schedule",
            args=(
                schedule,
                lambda: run_scheduled(
                    registry,
                    bootstrap.sources(settings),
                    bootstrap.guard_limits(settings),
                    clock=system_clock,
                ),
                lambda: last_started(registry),
            ),
            kwargs={"clock": system_clock, "stop": stop},
        )
        if settings.schedule.enabled:
            nightly.start()
        store = DirectorySnapshotStore(settings.snapshot.directory)

        def sweep() -> int:
            return forget_answers(registry, system_clock()) + store.collect_garbage()

        try:
            run_publisher(
                bootstrap.publisher(settings, registry, store),
                registry,
                stop,
                collect_garbage=sweep,
            )
        finally:
            stop.set()
            if nightly.is_alive():
                nightly.join()
            registry.close()

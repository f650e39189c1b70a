"""`idmap work`: publishes and provisions, without a door of its own."""

from __future__ import annotations

import threading

from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.application.administer import forget_answers
from idmap.entrypoints import bootstrap
from idmap.entrypoints.cli.failures import explained
from idmap.entrypoints.cli.host_options import Config
from idmap.entrypoints.clock import system_clock
from idmap.entrypoints.logs import configure_logs
from idmap.entrypoints.settings import SERVICE_FILE, load_service_settings
from idmap.entrypoints.stopping import when_told_to_stop
from idmap.entrypoints.work.publisher import run_publisher
from idmap.entrypoints.work.runner import last_started, run_scheduled
from idmap.entrypoints.work.schedule import parse_schedule, run_schedule


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

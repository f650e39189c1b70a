"""What Prometheus reads: counters kept here, gauges read from the registry at each scrape.

Numbers only; no name of a person, node or component is a label.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from idmap.application.ports import Clock, Registry
from idmap.domain.reasons import Reason

_METHODS: Final = frozenset("GET HEAD POST PUT PATCH DELETE OPTIONS".split())


class ServeMetrics:
    """One application's metrics; every application has its own, so that tests can make many."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._collectors = CollectorRegistry()
        self._collectors.register(_RegistryNumbers(registry, clock))
        self._requests = Counter(
            "idmap_http_requests",
            "Requests answered, by route and status.",
            ("method", "route", "status"),
            registry=self._collectors,
        )
        self._decisions = Counter(
            "idmap_decisions",
            "Decisions at doors, by door and reason.",
            ("door", "reason"),
            registry=self._collectors,
        )
        self.streams = Gauge(
            "idmap_event_streams", "Open event streams.", registry=self._collectors
        )

    def count_request(self, method: str, route: str, status: int) -> None:
        """One answer; status 0 when the client went away before it."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()

    def count_decision(self, door: str, reason: Reason) -> None:
        """One decision at a door that exists."""
        self._decisions.labels(door, str(reason)).inc()

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self._collectors)


class _RegistryNumbers(Collector):
    """Gauges that are read when asked for."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    def describe(self) -> Iterable[Metric]:
        """Nothing is read before the first scrape."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """One consistent reading."""
        with self._registry.read() as reader:
            yield _gauge("idmap_revision", "What nodes are told rises with it.", reader.revision())
            yield _gauge("idmap_ban_counter", "Rises with every ban.", reader.ban_counter())
            accounts = GaugeMetricFamily("idmap_accounts", "Accounts by state.", labels=["state"])
            for state, count in reader.count_accounts().items():
                accounts.add_metric([str(state)], count)
            yield accounts
            free = GaugeMetricFamily(
                "idmap_range_free_numbers", "Numbers it can still give, by range.", labels=["range"]
            )
            size = GaugeMetricFamily(
                "idmap_range_numbers", "Numbers it has, by range.", labels=["range"]
            )
            for status in reader.ranges():
                free.add_metric([status.range.name], status.free)
                size.add_metric([status.range.name], status.size)
            yield free
            yield size
            for run in reader.runs(limit=1):
                outcome = GaugeMetricFamily(
                    "idmap_last_run_outcome",
                    "1 for what became of the last run.",
                    labels=["outcome"],
                )
                outcome.add_metric([run.outcome], 1)
                yield outcome
                age = self._clock() - run.started
                yield _gauge("idmap_last_run_age_seconds", "Since the last run began.", age)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)

"""What a provisioning run costs: the pages alone against the whole, memory, and the longest hold of the write lock.

    .venv/bin/python bench/nightly_run.py 20000

A simulated IAM serves a generated population; the first run opens everybody's account, the second finds nothing
to do, the third takes one person in a hundred away. Each run is a process of its own, so that its memory is its own.
Prints one line of JSON per run. The run reads every listing twice, as in production (`passes = 2`).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "deploy/demo/iam")]

from iam_simulator.testing import running_simulator  # noqa: E402  (its folder is no package of ours)
from idmap.adapters.indigo_iam.source import open_source  # noqa: E402
from idmap.adapters.sql import SqlRegistry  # noqa: E402
from idmap.application.ports import (  # noqa: E402
    Author,
    Listing,
    Progress,
    RegistryWriter,
    Source,
)
from idmap.application.provision import RunRequest, run_provision  # noqa: E402
from idmap.domain.doors import Door, DoorKind  # noqa: E402
from idmap.domain.facts import FactKind  # noqa: E402
from idmap.domain.groups import Group  # noqa: E402
from idmap.domain.guard import GuardLimits  # noqa: E402
from idmap.domain.identity import Issuer  # noqa: E402
from idmap.domain.issuers import IssuerProfile  # noqa: E402
from idmap.domain.numbers import NumberRange, RangePurpose  # noqa: E402
from idmap.domain.secrets import Secret  # noqa: E402
from idmap.entrypoints.clock import system_clock  # noqa: E402

ISSUER = Issuer("https://iam.example.org/")
RULES: dict[str, Any] = {
    "format": 1,
    "groups": {"range": "groups"},
    "classes": {
        "member": {
            "range": "people",
            "primary_group": "demo",
            "shell": "/bin/bash",
            "home": "/home/{username}",
        }
    },
    "rules": [
        {
            "id": "members",
            "issuer": ISSUER,
            "group": "demo",
            "class": "member",
            "secondary_groups": ["demo/compute", "demo/gpu"],
        }
    ],
}


class LockTimedRegistry(SqlRegistry):
    """Notes the longest hold of the write lock."""

    longest = 0.0
    holds = 0

    @contextmanager
    def write(self, author: Author) -> Iterator[RegistryWriter]:
        with super().write(author) as writer:
            began = time.perf_counter()
            yield writer
        self.longest = max(self.longest, time.perf_counter() - began)
        self.holds += 1


@dataclass
class TimedSource:
    """Notes how long reading took; may leave out a part of the people."""

    inner: Source
    leave_out: int = 0
    seconds: float = 0.0
    peak_kib: int = 0

    def __post_init__(self) -> None:
        self.name, self.issuer = self.inner.name, self.inner.issuer

    def observe(
        self,
        watched: frozenset[Group],
        progress: Progress,
        known: Mapping[Group, str],
        facts: frozenset[FactKind],
    ) -> Listing:
        began = time.perf_counter()
        listing = self.inner.observe(watched, progress, known, facts)
        self.seconds = time.perf_counter() - began
        self.peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if self.leave_out:
            stay = tuple(p for n, p in enumerate(listing.people) if n % self.leave_out)
            listing = replace(listing, people=stay)
        return listing


def run_once(label: str, url: str, database: str, leave_out: int) -> dict[str, Any]:
    """One run in this process. The client's secret comes on standard input."""
    source = open_source(
        "iam",
        ISSUER,
        url=url,
        client_id="idmap-both",
        client_secret=Secret(sys.stdin.readline().strip()),
        clock=system_clock,
        timeout_seconds=60,
    )
    timed = TimedSource(source, leave_out)
    registry = LockTimedRegistry.open(database)
    began = time.perf_counter()
    report = run_provision(
        registry, [timed], GuardLimits(), RunRequest(label, "bench"), clock=system_clock
    )
    seconds = time.perf_counter() - began
    registry.close()
    return {
        "run": label,
        "outcome": str(report.outcome),
        "detail": report.detail,
        "people": sum(numbers.people for numbers in report.sources),
        "changes": len(report.plan.changes) if report.plan else None,
        "reading_s": round(timed.seconds, 2),
        "whole_s": round(seconds, 2),
        "ratio": round(seconds / timed.seconds, 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "peak_reading_mb": timed.peak_kib // 1024,
        "longest_lock_ms": round(registry.longest * 1000, 1),
        "transactions": registry.holds,
    }


def prepare(database: str, population: int) -> None:
    """A registry with rules and ranges for so many people."""
    registry = SqlRegistry.create(database)
    with registry.write(Author("bench", "a new site")) as writer:
        audiences = {Door(DoorKind.API): frozenset({"https://idmap.example.org"})}
        writer.save_issuer(IssuerProfile(ISSUER, audiences))
        writer.add_range(
            NumberRange("people", RangePurpose.PEOPLE, 200_000, 200_000 + 2 * population)
        )
        writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 600_000, 600_999))
        writer.save_rules(RULES, expect_version=None)
    registry.close()


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    """All three runs, or with `--run` one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("population", type=int)
    parser.add_argument("--run", nargs=4, metavar=("LABEL", "URL", "DATABASE", "LEAVE_OUT"))
    options = parser.parse_args()
    if options.run:
        label, url, database, leave_out = options.run
        _say(run_once(label, url, database, int(leave_out)))
        return
    with (
        tempfile.TemporaryDirectory() as directory,
        running_simulator(population=options.population) as iam,
    ):
        database = f"sqlite:///{directory}/registry.db"
        prepare(database, options.population)
        for label, leave_out in (("first", 0), ("nothing-changed", 0), ("one-in-100-leaves", 100)):
            words = ["--run", label, iam.url, database, str(leave_out)]
            subprocess.run(
                [sys.executable, __file__, str(options.population), *words],
                input=iam.client_secrets["idmap-both"],
                text=True,
                check=True,
            )
        _say({"database_mb": Path(directory, "registry.db").stat().st_size >> 20})


if __name__ == "__main__":
    main()

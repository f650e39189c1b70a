"""`/v1/resolve` against a bare async FastAPI route on the same Granian, in interleaved rounds.

Four rows: *bare*; *reading*, the bare route waiting for its request's body, which costs more than half of
it again; *again*, 10 000 tokens asked about in rotation, all of them seen before; *new*, every token seen
for the first time. The component's credential is checked in each request. The load comes from a C program
over kept connections, so that the client is not what is measured.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench.contestant import BenchError
from bench.places import C_BUILD, PROJECT
from bench.statistics import paired_ratio
from bench.table import Verdict

CONNECTIONS = 16
TOKENS = 10_000
PER_ROUND = 640
"""Requests; a multiple of the connections, so that no token is left out or asked about twice."""
ROUNDS_MAX = TOKENS // PER_ROUND
"""A new token is new once."""
AT_LEAST = 0.6
START_SECONDS = 180.0


def free_port() -> int:
    """A port that nothing listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def server(kind: str, directory: Path) -> Iterator[int]:
    """A running `bench.resolve_server`; yields its port."""
    port = free_port()
    command = [sys.executable, "-m", "bench.resolve_server", kind, str(port), str(directory)]
    with (directory / f"{kind}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (directory / f"{kind}.log").read_text(errors="replace")
                    raise BenchError(f"the {kind} server did not start:\n{said[-1500:]}")
                time.sleep(0.1)
            yield port
        finally:
            process.kill()
            process.wait()


class Load:
    """One load.c process."""

    def __init__(self, port: int, requests: Path) -> None:
        command = [str(C_BUILD / "load"), str(port), str(requests), str(CONNECTIONS)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101  # asked for above
        line = self._process.stdout.readline().strip()
        if not line:
            raise BenchError("the load generator ended: a connection broke")
        return line

    def ask(self, first: int, count: int) -> float:
        """Nanoseconds per request; BenchError when an answer was not 200."""
        assert self._process.stdin is not None  # noqa: S101  # asked for above
        self._process.stdin.write(f"{first} {count}\n")
        nanoseconds, wrong = map(int, self._line().split())
        if wrong:
            raise BenchError(f"{wrong} of {count} answers were not 200")
        return nanoseconds / count

    def close(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.communicate()


def measure_resolve(rounds: int) -> dict[str, list[float]]:
    """Nanoseconds per request and round."""
    found: dict[str, list[float]] = {"bare": [], "reading": [], "again": [], "new": []}
    with contextlib.ExitStack() as on:
        place = Path(on.enter_context(tempfile.TemporaryDirectory(prefix="idmap-bench-")))
        ours = on.enter_context(server("ours", place))
        bare = on.enter_context(server("bare", place))
        reading = on.enter_context(server("reading", place))
        loads = {
            "bare": Load(bare, place / "again"),
            "reading": Load(reading, place / "again"),
            "again": Load(ours, place / "again"),
            "new": Load(ours, place / "new"),
        }
        for load in loads.values():
            on.callback(load.close)
        for name in ("bare", "reading", "again"):
            loads[name].ask(0, TOKENS)
        for number in range(min(rounds, ROUNDS_MAX)):
            turn = number % len(loads)
            names = list(loads)
            for name in (*names[turn:], *names[:turn]):
                found[name].append(loads[name].ask(number * PER_ROUND, PER_ROUND))
    return found


def resolve_table(found: dict[str, list[float]]) -> str:
    """The figures, and the target of DESIGN §6."""
    lines = ["", f"/v1/resolve, {CONNECTIONS} connections, server and load on this one machine"]
    for name, title in (
        ("bare", "bare async FastAPI route"),
        ("reading", "… that reads its request"),
        ("again", "10 000 rotating tokens"),
        ("new", "every token new"),
    ):
        rate = paired_ratio(found["bare"], found[name])
        taken = median(found[name])
        lines.append(f"  {title:<26} {1e9 / taken:>8,.0f}/s  of the bare route: {rate.text()}")
    share = paired_ratio(found["bare"], found["again"])
    verdict = Verdict("share of the bare route, rotating tokens", share, AT_LEAST, True)
    return "\n".join([*lines, "", "Target (DESIGN §6)", verdict.line()]) + "\n"

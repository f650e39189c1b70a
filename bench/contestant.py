"""A contestant: one driver process that asks one NSS module, or glibc, and is told when."""

from __future__ import annotations

import contextlib
import select
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.places import DRIVER

ANSWER_SECONDS = 180.0
"""Longest wait for one round; a round is aimed at hundredths of a second."""


class BenchError(RuntimeError):
    """A measurement could not be made; the message says which."""


@dataclass(frozen=True)
class Round:
    """What one round gave."""

    nanoseconds: int
    wrong: int
    waits: int
    calls: int

    @property
    def per_call(self) -> float:
        """Nanoseconds per lookup."""
        return self.nanoseconds / self.calls


class Contestant:
    """`name` is its row in the table; `how` are the driver's first three arguments (driver.c).

    With `mounts`, pairs of (file, place), the driver runs in a mount namespace of its own in which
    each file is shown at its place: how `files` gets its /etc/passwd without anybody else.
    """

    def __init__(
        self,
        name: str,
        how: Sequence[str],
        order: Path,
        mounts: Sequence[tuple[Path, str]] = (),
    ) -> None:
        self.name = name
        self._process: subprocess.Popen[str] | None = None
        command = [str(DRIVER), *how, str(order)]
        if mounts:
            steps = [f"mount --bind {source} {place}" for source, place in mounts]
            script = " && ".join([*steps, 'exec "$@"'])
            command = ["unshare", "--mount", "sh", "-c", script, "sh", *command]
        self._command = command

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        if self._line() != "ready":
            raise BenchError(f"{self.name}: the driver did not start")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()

    def _line(self) -> str:
        if self._process is None or self._process.stdout is None:
            raise BenchError(f"{self.name}: not running")
        readable, _, _ = select.select([self._process.stdout], [], [], ANSWER_SECONDS)
        if not readable:
            raise BenchError(f"{self.name}: no answer after {ANSWER_SECONDS:g} s")
        return self._process.stdout.readline().strip()

    def ask(self, operation: str, first: int, calls: int, threads: int = 1) -> Round | None:
        """One round; None when the module has no such function."""
        if self._process is None or self._process.stdin is None:
            raise BenchError(f"{self.name}: not running")
        self._process.stdin.write(f"{operation} {first} {calls} {threads}\n")
        line = self._line()
        if line == "unsupported":
            return None
        if not line:
            raise BenchError(f"{self.name}: the driver ended during {operation}")
        nanoseconds, wrong, waits = map(int, line.split())
        return Round(nanoseconds, wrong, waits, calls * threads)

"""Clients that ask for accounts and write down what was answered, each to a log of its own.

    python -m tests.support.allocating_client '{"url": …, "directory": …, "work": [[…]], …}'

Forks one client per list of work, and each client one worker at a time: it asks, logs a complete answer durably,
and when the worker is gone starts a new one and asks for the same people again. Now and then it kills the worker
itself, after a random time, and counts what was already answered by then. A client is never killed: its log is the
acknowledged set.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support import allocating_worker

PATIENCE_SECONDS: Final = 100.0
"""For one answer: a worker waits up to 30 s for the lock, and there are two locks."""
TRIES: Final = 200
"""For one request: far more than the workers that may die one after the other by chance."""


@dataclass(frozen=True)
class Run:
    """What is to be done; the command's argument."""

    url: str
    directory: str
    """For the logs, and for the marks where they do not lie beside the database."""
    work: Sequence[Sequence[Sequence[int]]]
    """For each client, its requests: lists of people."""
    seed: int
    life: int
    """A worker dies at its failpoint when it comes there so many times, at the latest."""
    kill: float
    """The part of the requests during which the worker is killed from outside."""


class Client:
    """One client and its worker."""

    def __init__(self, run: Run, number: int) -> None:
        self._run = run
        self._number = number
        self._random = random.Random(f"{run.seed} client {number}")
        self._workers = 0
        self._pid = 0
        self._ask = self._hear = -1
        self._usual = 0.02
        self._log = os.open(
            Path(run.directory, f"log{number}"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )

    def work(self) -> None:
        """Asks for everybody, in order, until each was answered."""
        for people in self._run.work[self._number]:
            for _ in range(TRIES):
                if self._asked(people):
                    break
            else:
                raise RuntimeError(f"{people}: no answer in {TRIES} tries")
        if self._pid:
            self._end()

    def _asked(self, people: Sequence[int]) -> bool:
        if not self._pid:
            self._start()
        began = time.monotonic()
        try:
            os.write(self._ask, json.dumps(people).encode() + b"\n")
        except BrokenPipeError:
            self._end()
            return False
        killing = self._random.random() < self._run.kill
        if killing:
            time.sleep(self._random.uniform(0, 1.2 * self._usual))
            os.kill(self._pid, signal.SIGKILL)
        line = self._heard()
        if line.endswith(b"\n"):
            self._write_down(line)
            if not killing:
                self._usual = 0.8 * self._usual + 0.2 * (time.monotonic() - began)
        if killing or not line.endswith(b"\n"):
            self._end()
        return line.endswith(b"\n")

    def _heard(self) -> bytes:
        """One line, or what there was of it when the worker died."""
        said, deadline = b"", time.monotonic() + PATIENCE_SECONDS
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([self._hear], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError("the worker neither answers nor dies")
            part = os.read(self._hear, 65536)
            if not part:
                break
            said += part
        return said

    def _write_down(self, line: bytes) -> None:
        for subject, (number, name) in json.loads(line).items():
            os.write(self._log, f"{subject} {number} {name}\n".encode())
        os.fsync(self._log)

    def _start(self) -> None:
        requests, self._ask = os.pipe()
        self._hear, answers = os.pipe()
        self._workers += 1
        name = f"{self._run.seed} worker {self._number} {self._workers}"
        fate = allocating_worker.Fate.drawn(name, self._number + self._workers, self._run.life)
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._ask)
                os.close(self._hear)
                allocating_worker.serve(
                    self._run.url, Path(self._run.directory), fate, requests, answers
                )
            except BaseException as error:
                os.write(2, f"failed: {type(error).__name__}: {error}\n".encode())
                os._exit(1)
            os._exit(0)
        os.close(requests)
        os.close(answers)

    def _end(self) -> None:
        """Closes the pipes and waits; a worker that still lives finds no more requests and ends."""
        os.close(self._ask)
        os.close(self._hear)
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        if os.WIFEXITED(status) and os.WEXITSTATUS(status):
            raise RuntimeError("a worker failed; standard error says why")


def main() -> None:
    """All clients; exit status 1 when one of them failed."""
    run = Run(**json.loads(Path(sys.argv[1]).read_text()))
    clients = []
    for number in range(len(run.work)):
        pid = os.fork()
        if pid == 0:
            try:
                Client(run, number).work()
            except BaseException as error:
                os.write(2, f"failed: client {number}: {type(error).__name__}: {error}\n".encode())
                os._exit(1)
            os._exit(0)
        clients.append(pid)
    states = [os.waitpid(pid, 0)[1] for pid in clients]
    sys.exit(int(any(states)))


if __name__ == "__main__":
    main()

"""`work` and `sign` as children of `serve`, for the small site that runs one unit.

Each is its own process (law 14: the one that reads strangers' input holds no key), restarted with growing patience
when it ends by itself, and ended with its parent: it gets SIGTERM when we stop and, from the kernel, when we
are killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import structlog

_PR_SET_PDEATHSIG: Final = 1
_STOP_SECONDS: Final = 10
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
_STEADY_SECONDS: Final = 60.0
"""A child that ran so long has earned a quick restart."""

_log = structlog.get_logger(__name__)
_libc = ctypes.CDLL(None, use_errno=True)


class Children:
    """Keeps the named subcommands of `idmap` running until `stop`."""

    def __init__(self, names: Sequence[str], config: Path) -> None:
        self._names = tuple(names)
        self._config = config
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Starts one keeper per child."""
        for name in self._names:
            thread = threading.Thread(target=self._keep, args=(name,), name=f"child-{name}")
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Ends every child; returns when all are gone."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _keep(self, name: str) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            began = time.monotonic()
            status = self._run(name)
            if self._stopping.is_set():
                return
            steady = time.monotonic() - began > _STEADY_SECONDS
            pause = _FIRST_PAUSE if steady else min(_LONGEST_PAUSE, pause * 2)
            _log.error("child_ended", child=name, status=status, restart_in_seconds=pause)
            self._stopping.wait(pause)

    def _run(self, name: str) -> int:
        """The child's exit status, once it has ended or was asked to."""
        command = [sys.executable, "-m", "idmap", name, "--config", str(self._config)]
        # The parent-death signal is per thread: this thread lives until the child has ended.
        with subprocess.Popen(  # noqa: S603  (our own program, fixed arguments)
            command,
            stdin=subprocess.DEVNULL,
            preexec_fn=partial(_die_with_parent, os.getpid()),
        ) as child:
            _log.info("child_started", child=name, pid=child.pid)
            while True:
                try:
                    return child.wait(timeout=0.2)
                except subprocess.TimeoutExpired:
                    if self._stopping.is_set():
                        return _end(child)


def _end(child: subprocess.Popen[bytes]) -> int:
    child.terminate()
    try:
        return child.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def _die_with_parent(parent: int) -> None:
    """In the child, before it becomes `idmap`: a parent that is gone already sends no signal any more."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)

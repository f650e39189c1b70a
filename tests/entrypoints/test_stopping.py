"""A process that is told to stop stops, wherever its main thread stands just then."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_BUSY = """
import threading, time
from idmap.entrypoints.stopping import when_told_to_stop
stop = threading.Event()
when_told_to_stop(stop.set)
print("ready", flush=True)
while not stop.is_set():
    with stop._cond:
        time.sleep(0.05)
    time.sleep(0.001)
"""
"""Spends nearly all of its time inside the lock that `Event.set` takes, where `Event.wait` is now and then."""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_busy_process_ends_when_told_to(number: signal.Signals) -> None:
    """With `stop.set` as the handler itself, these wait for themselves for ever."""
    started = [
        subprocess.Popen([sys.executable, "-c", _BUSY], stdout=subprocess.PIPE) for _ in range(6)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            process.send_signal(number)
        assert [process.wait(timeout=30) for process in started] == [0] * 6
    finally:
        for process in started:
            process.kill()
            process.communicate()

"""Interleaved rounds: everybody in turn, over the same accounts, every answer checked."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from bench.contestant import BenchError, Contestant, Round

OPERATIONS = ("name", "id", "group_name", "gid", "initgroups", "unknown")
ROUND_NANOSECONDS = 4_000_000
"""What one round aims at: long against the clock's grain, short against the scheduler's slice, so
that on a shared machine most rounds run undisturbed and the median is one of those."""
Measured = dict[str, Any]


def say(text: str) -> None:
    """Progress, one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def calls_for(contestant: Contestant, operation: str, first: int, most: int) -> int:
    """How many calls fill a round; 0 when the operation is unsupported. Also warms up."""
    calls = 3
    while True:
        probe = contestant.ask(operation, first, calls)
        if probe is None:
            return 0
        if probe.wrong:
            raise BenchError(f"{contestant.name}: {operation}: {probe.wrong} of {calls} wrong")
        if probe.nanoseconds >= ROUND_NANOSECONDS / 4 or calls >= most:
            return max(1, min(most, int(calls * ROUND_NANOSECONDS / probe.nanoseconds)))
        calls = min(most, calls * 8)


def interleave(
    contestants: Sequence[Contestant],
    operation: str,
    rounds: int,
    size: int,
    *,
    most: int,
    threads: int = 1,
) -> dict[str, Measured]:
    """Rounds in turn, the order rotated; each contestant begins a round at the same account."""
    calls = {c.name: calls_for(c, operation, 0, most) for c in contestants}
    taking_part = [c for c in contestants if calls[c.name]]
    found: dict[str, list[Round]] = {c.name: [] for c in taking_part}
    for number in range(rounds):
        turn = number % len(taking_part)
        for contestant in (*taking_part[turn:], *taking_part[:turn]):
            count = max(1, calls[contestant.name] // threads)
            result = contestant.ask(operation, number * 7919 * 13 % size, count, threads)
            if result is None or result.wrong:
                raise BenchError(f"{contestant.name}: {operation}: wrong answers: {result}")
            found[contestant.name].append(result)
    return {name: summary(results) for name, results in found.items()}


def summary(results: Sequence[Round]) -> Measured:
    """One contestant's rounds, as they go into the JSON file."""
    calls = sum(result.calls for result in results)
    return {
        "ns_per_call": [result.per_call for result in results],
        "calls": calls,
        "waits_per_call": sum(result.waits for result in results) / calls,
    }

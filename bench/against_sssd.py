"""Ours and SSSD over a real slapd, in the same interleaved rounds; runs inside the private host.

SSSD answers about a random sample: it cannot be filled with a million names in reasonable time. The
sample's entries are in its memory cache before a *warm* round begins; *cold* names were never asked
for before in this run.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench import peers
from bench.contestant import BenchError, Contestant, Round
from bench.places import BARE, FIRST, OURS, SCRATCH
from bench.population import Population
from bench.rounds import OPERATIONS, Measured, interleave, say, summary

THREADS = 16
SAMPLE = 10_000
"""Accounts that SSSD is filled with; 3 to 5 ms each."""
GROUPS = 500
"""Groups that it is filled with: each brings about a hundred members."""
FILL_SECONDS = 300.0
"""Then the sample is what was filled until then; on a busy machine a new account costs 30 ms."""
WAITS_AT_MOST = 0.001
"""Of warm calls, how many may have waited for a daemon; above that they were not warm."""
COLD = 20
"""Names per cold round; each is asked for once in the whole run."""
OURS_HOW = ("module", str(OURS), "idmap")
BARE_HOW = ("module", str(BARE), "bare")


def sss_how() -> tuple[str, str, str]:
    """How the driver asks SSSD."""
    return ("module", peers.sss_module(), "sss")


def against_sssd(population: Population, rounds: int, sample: int = SAMPLE) -> Measured:
    """Cold, warm, on many threads, through glibc, and the first lookup of a process."""
    lines = (SCRATCH / "order").read_text().splitlines(keepends=True)
    # Cold names come from the end of the order, so they are never part of the sample.
    reserve = min(len(lines) // 2, 3 * COLD * rounds)
    size = min(sample, len(lines) - reserve)
    of_groups = list({line.split()[2]: line for line in lines[:size]}.values())[:GROUPS]
    files = {name: SCRATCH / name for name in ("sample", "groups", "unseen")}
    files["sample"].write_text("".join(lines[:size]))
    files["groups"].write_text("".join(of_groups))
    files["unseen"].write_text("".join(lines[len(lines) - reserve :]))
    found: Measured = {"sample": size, "groups": len(of_groups)}
    with peers.directory(population) as slapadd_seconds, peers.sssd():
        found["slapadd_seconds"] = slapadd_seconds
        found["cold"] = cold(files["unseen"], reserve, rounds)
        say(f"  filling SSSD with {size} accounts and {len(of_groups)} groups …")
        found["fill_seconds"], size = fill(files, lines[:size], len(of_groups))
        found["sample"] = size
        say(f"  filled with {size} in {found['fill_seconds']:.0f} s")
        warm(files, size, len(of_groups), rounds, found)
        found["first"] = first_lookups(lines[:size], rounds * 4)
    return found


def warm(files: dict[str, Path], size: int, group_count: int, rounds: int, found: Measured) -> None:
    """The module called directly, on one thread and on many; then through glibc."""
    hows = {"idmap": OURS_HOW, "sssd": sss_how(), "bare": BARE_HOW}
    glibc = {"idmap": ("glibc", "files idmap", "-"), "sssd": ("glibc", "files sss", "-")}
    with contextlib.ExitStack() as on:

        def contestants(of: dict[str, tuple[str, str, str]], order: str) -> list[Contestant]:
            return [on.enter_context(Contestant(n, how, files[order])) for n, how in of.items()]

        people, groups = contestants(hows, "sample"), contestants(hows, "groups")
        through, through_groups = contestants(glibc, "sample"), contestants(glibc, "groups")

        def compare(operation: str, threads: int = 1, through_glibc: bool = False) -> Measured:
            of_groups = operation in ("group_name", "gid")
            direct = groups if of_groups else people
            wrapped = through_groups if of_groups else through
            return interleave(
                wrapped if through_glibc else direct,
                operation,
                rounds,
                group_count if of_groups else size,
                most=20_000 if through_glibc else 100_000,
                threads=threads,
            )

        found["warm"] = {operation: compare(operation) for operation in OPERATIONS}
        for operation in OPERATIONS[:-1]:
            waits = found["warm"][operation]["sssd"]["waits_per_call"]
            if waits > WAITS_AT_MOST:
                raise BenchError(f"SSSD was not warm: {waits:.4f} waits per {operation}")
        found["threads"] = {
            operation: compare(operation, THREADS) for operation in ("name", "id", "initgroups")
        }
        found["glibc"] = {
            operation: compare(operation, through_glibc=True)
            for operation in ("name", "id", "group_name", "initgroups")
        }


def fill(files: dict[str, Path], lines: Sequence[str], group_count: int) -> tuple[float, int]:
    """Asks SSSD for the groups and for the sample, so that they are warm; gives seconds and accounts.

    When the time is up the sample ends with what was filled, and its file is made to say so.
    """
    started = time.monotonic()
    done = 0
    with Contestant("sssd", sss_how(), files["groups"]) as contestant:
        for operation in ("group_name", "gid"):
            _fill_some(contestant, operation, 0, group_count)
    with Contestant("sssd", sss_how(), files["sample"]) as contestant:
        while done < len(lines) and (not done or time.monotonic() - started < FILL_SECONDS):
            some = min(100, len(lines) - done)
            for operation in ("initgroups", "name", "id"):
                _fill_some(contestant, operation, done, some)
            done += some
    files["sample"].write_text("".join(lines[:done]))
    return time.monotonic() - started, done


def _fill_some(contestant: Contestant, operation: str, first: int, count: int) -> None:
    result = contestant.ask(operation, first, count)
    if result is None or result.wrong:
        raise BenchError(f"filling SSSD: {operation}: {result}")


def cold(unseen: Path, count: int, rounds: int) -> dict[str, dict[str, Measured]]:
    """Names that this SSSD was never asked for; ours is asked for the same ones in turn."""
    found: dict[str, dict[str, Measured]] = {}
    each = max(1, min(COLD, count // (3 * rounds)))
    at = 0
    with (
        Contestant("idmap", OURS_HOW, unseen) as one,
        Contestant("sssd", sss_how(), unseen) as other,
    ):
        for operation in ("name", "id", "initgroups"):
            results: dict[str, list[Round]] = {"idmap": [], "sssd": []}
            for _ in range(rounds):
                for contestant in (one, other):
                    result = contestant.ask(operation, at, each)
                    if result is None or result.wrong:
                        raise BenchError(f"{contestant.name}: cold {operation}: {result}")
                    results[contestant.name].append(result)
                at += each
            found[operation] = {name: summary(of) for name, of in results.items()}
    return found


def first_lookups(lines: Sequence[str], count: int) -> Measured:
    """A fresh process each time; ours and SSSD's (warm) alternate over the same names."""
    chance = random.Random(7)  # noqa: S311 test data
    modules = {"idmap": OURS_HOW[1:], "sssd": sss_how()[1:]}
    found: dict[str, dict[str, list[float]]] = {
        name: {"load_ns": [], "first_ns": [], "process_ns": []} for name in modules
    }
    for number in range(count):
        username, uid, _, _ = chance.choice(lines).split()
        for name in list(modules) if number % 2 else list(modules)[::-1]:
            started = time.monotonic_ns()
            done = subprocess.run(
                [str(FIRST), *modules[name], username, uid],
                capture_output=True,
                text=True,
                timeout=30,
            )
            took = time.monotonic_ns() - started
            if done.returncode != 0:
                raise BenchError(f"{name}: the first lookup of {username} failed")
            load, first = map(int, done.stdout.split())
            for key, value in (("load_ns", load), ("first_ns", first), ("process_ns", took)):
                found[name][key].append(value)
    return found

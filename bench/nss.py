"""NSS against its peers and its limit, at each size; runs inside the private host.

For every size: the population is written in all forms, then
- *all*: ours, the bare lookup, libnss-cache, libnss-extrausers and glibc's `files` are asked for all
  accounts in random order;
- *sample*: ours and SSSD (warm, then cold: names never asked for before) over one random sample;
- *glibc*: the same two through getpwnam_r with `files` first;
- *threads*: ours, bare, SSSD on 16 threads;
- *first*: the first lookup in a fresh process;
- *compile*: idmap-compile's time, memory and file.
Every answer is checked. Results go to the JSON file named on the command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import peers
from bench.contestant import PROJECT, BenchError, Contestant, Round
from bench.population import Population, write_sorted_index

OPERATIONS = ("name", "id", "group_name", "gid", "initgroups", "unknown")
THREADS = 16
ROUND_NANOSECONDS = 20_000_000
"""What one round aims at: long against the clock's grain, short against a change of its speed."""
SAMPLE = 10_000
"""SSSD cannot be filled with a million names in reasonable time: 3 ms each."""
COLD = 20
"""Names per cold round; each is asked for once in the whole run."""
SCRATCH = Path("/var/lib/bench")
C_BUILD = PROJECT / "build" / "bench" / "c"
OURS = PROJECT / "build" / "c" / "libnss_idmap.so.2"
COMPILER = PROJECT / "build" / "c" / "idmap-compile"
MULTIARCH = Path("/usr/lib/x86_64-linux-gnu")

Measured = dict[str, Any]


def say(text: str) -> None:
    """Progress, one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def compile_file(records: Path) -> Measured:
    """Runs idmap-compile three times into the place where the module looks; the median run."""
    runs = []
    out = Path("/var/lib/idmap/posix.db")
    out.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(3):
        started = time.monotonic()
        process = subprocess.Popen(
            [str(COMPILER), "posix", "--in", str(records), "--out", str(out)]
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise BenchError(f"idmap-compile ended with {status}")
        runs.append((time.monotonic() - started, usage.ru_maxrss))
    seconds, memory = sorted(runs)[1]
    return {
        "seconds": seconds,
        "peak_rss_bytes": memory * 1024,
        "file_bytes": out.stat().st_size,
        "records_bytes": records.stat().st_size,
    }


def write_site(population: Population) -> Measured:
    """All forms of the population, where each contestant looks for it."""
    SCRATCH.mkdir(exist_ok=True)
    records, passwd, group = SCRATCH / "records", SCRATCH / "passwd", SCRATCH / "group"
    population.write_order(SCRATCH / "order")
    population.write_records(records)
    compiled = compile_file(records)
    with records.open("rb") as text:
        subprocess.run(
            [str(C_BUILD / "bare_build"), str(SCRATCH / "bare.db")], stdin=text, check=True
        )
    population.write_flat(passwd, group)
    for source, name in ((passwd, "passwd"), (group, "group")):
        cache = Path(f"/etc/{name}.cache")
        shutil.copy(source, cache)
        write_sorted_index(cache, cache.with_name(f"{name}.cache.ixname"), 0)
        number = "uid" if name == "passwd" else "gid"
        write_sorted_index(cache, cache.with_name(f"{name}.cache.ix{number}"), 2)
        shutil.copy(source, f"/var/lib/extrausers/{name}")
    return compiled


def calls_for(contestant: Contestant, operation: str, first: int, most: int) -> int:
    """How many calls fill a round; 0 when the operation is unsupported. Also warms up."""
    calls = 3
    while True:
        probe = contestant.ask(operation, first, calls)
        if probe is None:
            return 0
        if probe.wrong:
            raise BenchError(f"{contestant.name}: {operation}: {probe.wrong} of {calls} wrong")
        if probe.nanoseconds >= ROUND_NANOSECONDS / 8 or calls >= most:
            return max(3, min(most, int(calls * ROUND_NANOSECONDS / probe.nanoseconds)))
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
            count = max(3, calls[contestant.name] // threads)
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


def all_accounts(population: Population, rounds: int) -> dict[str, dict[str, Measured]]:
    """Everybody who can hold the whole population, each operation in turn."""
    order, size = SCRATCH / "order", population.size
    files = ((SCRATCH / "passwd", "/etc/passwd"), (SCRATCH / "group", "/etc/group"))
    found = {}
    with contextlib.ExitStack() as stack:
        fast = [
            Contestant("idmap", ("module", str(OURS), "idmap"), order),
            Contestant("bare", ("module", str(C_BUILD / "libnss_bare.so.2"), "bare"), order),
            Contestant(
                "libnss-cache", ("module", str(MULTIARCH / "libnss_cache.so.2"), "cache"), order
            ),
        ]
        slow = [
            Contestant(
                "libnss-extrausers",
                ("module", "/usr/lib/libnss_extrausers.so.2", "extrausers"),
                order,
            ),
            Contestant("files", ("glibc", "files", "-"), order, files),
        ]
        for contestant in (*fast, *slow):
            stack.enter_context(contestant)
        for operation in OPERATIONS:
            if operation in ("name", "id", "initgroups", "unknown"):
                for contestant in fast[:2]:  # every page has been touched before the first round
                    contestant.ask(operation, 0, size)
            found[operation] = interleave([*fast, *slow], operation, rounds, size, most=200_000)
    return found


def fill(contestant: Contestant, count: int) -> float:
    """Asks SSSD for the whole sample once, so that it is warm; gives the seconds."""
    started = time.monotonic()
    for operation, calls in (
        ("initgroups", count),
        ("name", count),
        ("id", count),
        ("group_name", count),
        ("gid", count),
    ):
        done = 0
        while done < calls:
            step = min(200, calls - done)
            result = contestant.ask(operation, done, step)
            if result is None or result.wrong:
                raise BenchError(f"{contestant.name}: {operation} while filling: {result}")
            done += step
    return time.monotonic() - started


def against_sssd(population: Population, rounds: int) -> Measured:
    """Warm, cold, through glibc, on many threads, and the first lookup of a process."""
    lines = (SCRATCH / "order").read_text().splitlines(keepends=True)
    # Cold names come from the end of the order, so they are never part of the sample.
    reserve = min(len(lines) // 2, 3 * COLD * rounds)
    sample_size = min(SAMPLE, len(lines) - reserve)
    sample, unseen = SCRATCH / "sample", SCRATCH / "unseen"
    sample.write_text("".join(lines[:sample_size]))
    unseen.write_text("".join(lines[len(lines) - reserve :]))
    ours, sss = ("module", str(OURS), "idmap"), ("module", peers.sss_module(), "sss")
    bare = ("module", str(C_BUILD / "libnss_bare.so.2"), "bare")
    found: Measured = {"sample": sample_size}
    with peers.directory(population) as slapadd_seconds, peers.sssd(), contextlib.ExitStack() as on:
        found["slapadd_seconds"] = slapadd_seconds
        enter = on.enter_context
        pair = [
            enter(Contestant("idmap", ours, sample)),
            enter(Contestant("sssd", sss, sample)),
            enter(Contestant("bare", bare, sample)),
        ]
        found["cold"] = cold(ours, sss, unseen, reserve, rounds)
        say(f"  filling SSSD with {sample_size} names …")
        found["fill_seconds"] = fill(pair[1], sample_size)
        say(f"  filled in {found['fill_seconds']:.0f} s")
        for name, threads in (("warm", 1), ("threads", THREADS)):
            found[name] = {
                operation: interleave(
                    pair, operation, rounds, sample_size, most=100_000, threads=threads
                )
                for operation in (OPERATIONS if threads == 1 else ("name", "id", "initgroups"))
            }
        through = [
            enter(Contestant("idmap", ("glibc", "files idmap", "-"), sample)),
            enter(Contestant("sssd", ("glibc", "files sss", "-"), sample)),
        ]
        found["glibc"] = {
            operation: interleave(through, operation, rounds, sample_size, most=20_000)
            for operation in ("name", "id", "group_name", "initgroups")
        }
        found["first"] = first_lookups(lines[:sample_size], rounds * 4)
    return found


def cold(
    ours: Sequence[str], sss: Sequence[str], unseen: Path, count: int, rounds: int
) -> dict[str, dict[str, Measured]]:
    """Names that this SSSD was never asked for; ours is asked for the same ones in turn."""
    found: dict[str, dict[str, Measured]] = {}
    each = max(1, min(COLD, count // (3 * rounds)))
    at = 0
    with Contestant("idmap", ours, unseen) as one, Contestant("sssd", sss, unseen) as other:
        for operation in ("name", "id", "initgroups"):
            results: Mapping[str, list[Round]] = {"idmap": [], "sssd": []}
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
    modules = {"idmap": (str(OURS), "idmap"), "sssd": (peers.sss_module(), "sss")}
    found: dict[str, dict[str, list[float]]] = {
        name: {"load_ns": [], "first_ns": [], "process_ns": []} for name in modules
    }
    for number in range(count):
        username, uid, _, _ = chance.choice(lines).split()
        names = list(modules) if number % 2 else list(modules)[::-1]
        for name in names:
            started = time.monotonic_ns()
            done = subprocess.run(
                [str(C_BUILD / "first"), *modules[name], username, uid],
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


@contextlib.contextmanager
def module_directory() -> Iterator[None]:
    """Puts our module where glibc of the drivers finds it."""
    place = Path("/opt/idmap/lib")
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(OURS, place)
    os.environ["LD_LIBRARY_PATH"] = str(place)
    yield


def main() -> None:
    """bench.nss OUT SIZES ROUNDS PEERS: sizes separated by commas; peers 1 or 0."""
    out, sizes, rounds = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
    with_sssd = sys.argv[4] == "1"
    Path("/var/lib/extrausers").mkdir(exist_ok=True)
    results: Measured = {}
    with module_directory():
        for size in map(int, sizes):
            population = Population(size)
            say(f"{size} accounts, {population.group_count} groups: writing every form")
            found: Measured = {"compile": write_site(population)}
            say("  all accounts, random order")
            found["all"] = all_accounts(population, rounds)
            if with_sssd:
                say("  SSSD over slapd")
                found["sssd"] = against_sssd(population, rounds)
            results[str(size)] = found
            out.write_text(json.dumps(results))
    say("done")


if __name__ == "__main__":
    main()

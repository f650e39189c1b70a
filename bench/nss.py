"""NSS against its peers and its limit, at each size; runs inside the private host.

For every size: the population is written in all forms, then
- *compile*: idmap-compile's time, memory and file;
- *all*: ours, the bare lookup, libnss-cache, libnss-extrausers and glibc's `files` are asked for all
  accounts in random order;
- *sssd*: see `bench.against_sssd`.
Results go to the JSON file named on the command line.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench.against_sssd import against_sssd
from bench.contestant import BenchError, Contestant
from bench.places import BARE, BARE_BUILD, COMPILER, LIBRARIES, OURS, SCRATCH
from bench.population import Population, write_sorted_index
from bench.rounds import OPERATIONS, Measured, interleave, say


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
        subprocess.run([str(BARE_BUILD), str(SCRATCH / "bare.db")], stdin=text, check=True)
    population.write_flat(passwd, group)
    for source, name in ((passwd, "passwd"), (group, "group")):
        cache = Path(f"/etc/{name}.cache")
        shutil.copy(source, cache)
        write_sorted_index(cache, cache.with_name(f"{name}.cache.ixname"), 0)
        number = "uid" if name == "passwd" else "gid"
        write_sorted_index(cache, cache.with_name(f"{name}.cache.ix{number}"), 2)
        shutil.copy(source, f"/var/lib/extrausers/{name}")
    return compiled


def all_accounts(population: Population, rounds: int) -> dict[str, dict[str, Measured]]:
    """Everybody who can hold the whole population, each operation in turn."""
    order, size = SCRATCH / "order", population.size
    files = ((SCRATCH / "passwd", "/etc/passwd"), (SCRATCH / "group", "/etc/group"))
    found = {}
    with contextlib.ExitStack() as stack:
        fast = [
            Contestant("idmap", ("module", str(OURS), "idmap"), order),
            Contestant("bare", ("module", str(BARE), "bare"), order),
            Contestant(
                "libnss-cache", ("module", str(LIBRARIES / "libnss_cache.so.2"), "cache"), order
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


@contextlib.contextmanager
def module_directory() -> Iterator[None]:
    """Puts our module where glibc of the drivers finds it."""
    place = Path("/opt/idmap/lib")
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(OURS, place)
    os.environ["LD_LIBRARY_PATH"] = str(place)
    yield


def main() -> None:
    """bench.nss OUT SIZES ROUNDS PEERS SAMPLE: sizes separated by commas; peers 1 or 0."""
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
            results[str(size)] = found
            out.write_text(json.dumps(results))
            if with_sssd:
                say("  SSSD over slapd")
                found["sssd"] = against_sssd(population, rounds, int(sys.argv[5]))
                out.write_text(json.dumps(results))
    say("done")


if __name__ == "__main__":
    main()

"""`make bench`: measures in a private host, prints the table, keeps the figures in build/bench.

BENCH chooses the parts (nss, verify, resolve, registry, rules; all by default), ROUNDS how many paired rounds, SIZES
the populations of nss, registry and rules; for nss SAMPLE is how many accounts SSSD is filled with, and PEERS=0 leaves
it out; for registry DATABASES is sqlite, postgresql or both.
Exit status 0 also when a target is missed (the table says so); 1 when something could not be measured.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.contestant import BenchError
from bench.places import PROJECT
from bench.registry import measure
from bench.registry_table import registry_table
from bench.resolve import measure_resolve, resolve_table
from bench.rules import measure_rules, rules_table
from bench.table import nss_table
from bench.verify import measure_verify, verify_table
from demo_site.private_host import PrivateHost, PrivateHostError, Service

OUT = PROJECT / "build" / "bench"
PARTS = ("nss", "verify", "resolve", "registry", "rules")
SIZES = {"nss": "1000,100000,1000000", "registry": "1000,10000,100000", "rules": "100000"}
"""Where none are asked for. A million accounts take the registry minutes to fill."""
LIMIT_SECONDS = 3600.0
"""For the NSS part; on two busy cores it takes ten minutes."""


def machine() -> dict[str, Any]:
    """What kind of machine this is; a figure without it says nothing."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "processors": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
        "load": os.getloadavg()[0],
    }


def version_of(package: str) -> str:
    """The installed version of a Debian package."""
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True
    )
    return done.stdout or "not installed"


def follow(host: PrivateHost, service: Service) -> None:
    """Shows what the measuring process says, until it ends; PrivateHostError when it fails."""
    shown, deadline = 0, time.monotonic() + LIMIT_SECONDS
    while True:
        alive = service.alive
        said = service.output()
        sys.stdout.write(said[shown:])
        sys.stdout.flush()
        shown = len(said)
        if not alive:
            break
        if time.monotonic() > deadline:
            raise PrivateHostError(f"not done after {LIMIT_SECONDS:g} s")
        time.sleep(1)
    if service.returncode != 0:
        logs = "for f in /var/log/slapd.log /var/log/sssd/*.log /var/log/sssd.log; do tail -n 8 $f; done"
        raise PrivateHostError(host.run(["sh", "-c", logs]).stdout)


def measure_nss(settings: Mapping[str, str]) -> dict[str, Any]:
    """The NSS part, in a private host with room for a million accounts in every form."""
    packages = ("sssd-ldap", "slapd", "libnss-cache", "libnss-extrausers")
    with PrivateHost(hostname="bench") as host:
        room = "mount -t tmpfs -o size=12g,mode=755 bench /var/lib && mount -o remount,size=4g /etc"
        host.run(["sh", "-c", room]).check()
        arguments = [settings["SIZES"], *(settings[name] for name in ("ROUNDS", "PEERS", "SAMPLE"))]
        command = [host.python, "-m", "bench.nss", "/var/lib/result.json", *arguments]
        paths = {"PYTHONPATH": f"{PROJECT}:{PROJECT}/deploy/demo/site", "PYTHONUNBUFFERED": "1"}
        follow(host, host.start("bench", command, env=paths))
        sizes = json.loads(host.read("/var/lib/result.json"))
    versions = {package: version_of(package) for package in packages}
    return {"machine": machine(), "versions": versions, "sizes": sizes}


def run_part(part: str, settings: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """What one part measured, and its table."""
    rounds = int(settings["ROUNDS"])
    if part == "nss":
        result = measure_nss(settings)
        return result, nss_table(result)
    if part == "registry":
        sizes = [int(size) for size in settings["SIZES"].split(",")]
        found = measure(sizes, rounds, settings["DATABASES"].split(","))
        return {"machine": machine(), "databases": found}, registry_table(found)
    if part == "rules":
        measured = measure_rules([int(size) for size in settings["SIZES"].split(",")], rounds)
        return {"machine": machine(), **measured}, rules_table(measured)
    samples = measure_verify(rounds) if part == "verify" else measure_resolve(rounds)
    table = verify_table(samples) if part == "verify" else resolve_table(samples)
    return {"machine": machine(), "nanoseconds": samples}, table


def main() -> None:
    """See the module."""
    defaults = {
        "BENCH": ",".join(PARTS),
        "SIZES": "",
        "ROUNDS": "31",
        "PEERS": "1",
        "SAMPLE": "10000",
        "DATABASES": "sqlite,postgresql",
    }
    settings = {name: os.environ.get(name) or value for name, value in defaults.items()}
    # Ended from outside, everything started here ends too: `finally` and `with` run.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: ended"))
    OUT.mkdir(parents=True, exist_ok=True)
    wanted = settings["BENCH"].split(",")
    if not set(wanted) <= set(PARTS):
        sys.exit(f"bench: BENCH is one or more of {','.join(PARTS)}")
    for part in wanted:
        try:
            sizes = settings["SIZES"] or SIZES.get(part, "")
            result, table = run_part(part, settings | {"SIZES": sizes})
        except (PrivateHostError, BenchError) as error:
            sys.exit(f"bench: {part}: {error}")
        kept = OUT / f"{part}.json"
        kept.write_text(json.dumps(result, indent=1) + "\n")
        sys.stdout.write(f"{table}\nEvery round: {kept.relative_to(PROJECT)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

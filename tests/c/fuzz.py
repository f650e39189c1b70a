#!/usr/bin/env python3
"""Fuzzes what the C part parses, each by libFuzzer under ASan and UBSan, and says what the corpus reaches.

    fuzz.py DIRECTORY run RUNS [TARGET...]     RUNS executions, shared among the targets; new inputs stay in DIRECTORY
    fuzz.py DIRECTORY minimise                 adds to tests/c/corpus what DIRECTORY found and the corpus lacks
    fuzz.py DIRECTORY coverage                 line coverage from tests/c/corpus alone, by file; fails when too low

Headers are repaired before they are read, so that the checksum hides nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "pam_module"
READER = ("format", "refusals", "mapped_file", "posix_db", "bans_db", "nss_copy")
COMPILER = (*READER, "compile_input", "compile_posix", "compile_layout")
FAULTY = [part for part in READER if part != "mapped_file"]
TARGETS: dict[str, tuple[int, Sequence[str]]] = {
    "reader": (40, READER),
    "bans": (20, READER),
    "reply": (20, ("verify_client",)),
    "account": (15, [*FAULTY, "account"]),
    "compiler": (4, COMPILER),
    "nss": (1, FAULTY),
}
"""Each target's share of the executions in percent, by how long one takes, and the parts it is linked with; some
bring a part of their own, in which system calls fail."""
SHARED = {"nss": ("reader",)}
"""What the module reads is what the reader reads."""
NSS = {*READER, "nss_map", "nss_public", "account"}
"""The reader and what answers from it: the corpus reaches at least `ENOUGH` percent of their lines."""
ENOUGH = 95
MEASURED = {*COMPILER, *NSS, "compile_output", "verify_client"}
SANITIZE = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined")
COVER = ("-fsanitize=fuzzer", "-fprofile-instr-generate", "-fcoverage-mapping")


def build(directory: Path, live: str, target: str, *options: str) -> Path:
    """The program of one target; `live` is where its posix.db is replaced, in memory if there is such a place."""
    directory.mkdir(parents=True, exist_ok=True)
    Path(live).mkdir(exist_ok=True)
    program = directory / f"{target}_fuzz"
    parts = [HERE / f"{target}_fuzz.c", *(SOURCE / f"{name}.c" for name in TARGETS[target][1])]
    common = [
        "clang",
        "-std=c11",
        "-D_DEFAULT_SOURCE=",
        "-O1",
        "-g",
        f"-I{SOURCE}",
        f'-DIDMAP_POSIX_DB="{live}/posix.db"',
        "-DIDMAP_TEST_OWNER",
        "-o",
        str(program),
    ]
    subprocess.run([*common, *options, *map(str, parts)], check=True)
    return program


def kept(target: str) -> list[Path]:
    """The kept corpora of a target: its own, and what it shares."""
    return [HERE / "corpus" / name for name in (target, *SHARED.get(target, ()))]


def run(directory: Path, live: str, runs: int, targets: list[str]) -> None:
    """Shares `runs` among the targets, and each one's share among the processors; a defect ends it with its input
    under DIRECTORY."""
    whole = sum(TARGETS[target][0] for target in targets)
    jobs = len(os.sched_getaffinity(0))
    total, began = 0, time.monotonic()
    for target in targets:
        share = -(-runs * TARGETS[target][0] // (whole * jobs))
        found = directory / "found" / target
        found.mkdir(parents=True, exist_ok=True)
        programs = [
            build(directory / f"sanitized-{job}", f"{live}/{job}", target, *SANITIZE)
            for job in range(jobs)
        ]
        start = time.monotonic()
        count = execute(directory, target, programs, share)
        took = time.monotonic() - start
        total += count
        say(f"{target:<10}{count:>12} executions {took:>8.1f} s {count / took:>9.0f}/s")
    say(f"{'total':<10}{total:>12} executions {time.monotonic() - began:>8.1f} s")


def execute(directory: Path, target: str, programs: list[Path], share: int) -> int:
    """Runs the programs side by side, `share` executions each; they learn from each other. Gives the executions."""
    limits = [
        f"-runs={share}",
        "-max_len=8192",
        "-timeout=30",
        f"-close_fd_mask={2 if target == 'compiler' else 0}",  # it says what it refuses
        f"-artifact_prefix={directory}/",
        "-print_final_stats=1",
        "-reload=10",
        str(directory / "found" / target),
        *map(str, kept(target)),
    ]
    logs = [program.with_suffix(".log") for program in programs]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for program, log in zip(programs, logs, strict=True):
            with log.open("wb") as stderr:
                running.append(subprocess.Popen([str(program), *limits], stderr=stderr))
        for process, log in zip(running, logs, strict=True):
            if process.wait() != 0:
                raise SystemExit(f"fuzz: {target}: {log.read_text(errors='replace')[-6000:]}")
    finally:
        for process in running:
            process.kill()
            process.wait()
    counts = [
        re.findall(r"stat::number_of_executed_units:\s*(\d+)", log.read_text()) for log in logs
    ]
    return sum(int(count) for [count] in counts)


def minimise(directory: Path, live: str) -> None:
    """Merges what was found into the kept corpus."""
    for target in TARGETS:
        program = build(directory / "sanitized", live, target, *SANITIZE)
        corpus, fresh = kept(target)[0], directory / "fresh" / target
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        sources = [str(corpus), str(directory / "found" / target)]
        subprocess.run(
            [str(program), "-merge=1", "-max_len=8192", str(fresh), *sources],
            check=True,
            capture_output=True,
        )
        shutil.rmtree(corpus)
        shutil.copytree(fresh, corpus)


def coverage(directory: Path, live: str) -> None:
    """Counts the lines of all targets together."""
    raw, programs = [], []
    for target in TARGETS:
        program = build(directory / "covered", live, target, *COVER)
        profile = directory / "covered" / f"{target}.profraw"
        command = [str(program), "-runs=0", *map(str, kept(target))]
        environment = {"LLVM_PROFILE_FILE": str(profile)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        raw.append(str(profile))
        programs += ["-object", str(program)]
    merged = directory / "covered" / "all.profdata"
    subprocess.run([tool("llvm-profdata"), "merge", "-o", str(merged), *raw], check=True)
    sources = sorted(str(SOURCE / f"{name}.c") for name in MEASURED)
    command = [tool("llvm-cov"), "report", f"-instr-profile={merged}", *programs[1:], *sources]
    say(f"{'file':<22}{'lines':>8}{'missed':>8}{'covered':>10}")
    lines = missed = 0
    report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for fields in map(str.split, report.splitlines()):
        if len(fields) >= 10 and fields[0].endswith(".c"):
            path = Path(fields[0])
            say(f"{path.name:<22}{fields[7]:>8}{fields[8]:>8}{fields[9]:>10}")
            if path.stem in NSS:
                lines, missed = lines + int(fields[7]), missed + int(fields[8])
    covered = 100 * (lines - missed) / lines
    say(f"{'reader and NSS':<22}{lines:>8}{missed:>8}{covered:>9.2f}%")
    if covered < ENOUGH:
        raise SystemExit(f"fuzz: the corpus reaches less than {ENOUGH} % of the reader and NSS")


def say(line: str) -> None:
    """One line of the answer, at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def tool(name: str) -> str:
    """The LLVM tool of the clang that is used; Debian gives it a versioned name."""
    where = subprocess.run(
        ["clang", f"-print-prog-name={name}"], capture_output=True, text=True, check=True
    )
    return where.stdout.strip()


if __name__ == "__main__":
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="idmap-fuzz-", dir=memory) as place:
        match sys.argv[1:]:
            case [directory, "run", runs, *targets]:
                run(Path(directory).resolve(), place, int(runs), targets or list(TARGETS))
            case [directory, "minimise"]:
                minimise(Path(directory).resolve(), place)
            case [directory, "coverage"]:
                coverage(Path(directory).resolve(), place)
            case _:
                raise SystemExit(__doc__)

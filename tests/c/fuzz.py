#!/usr/bin/env python3
"""Fuzzes what the C part parses, each by libFuzzer under ASan and UBSan, and says what the corpus reaches.

    fuzz.py DIRECTORY run RUNS [TARGET...]     RUNS executions, shared among the targets; new inputs stay in DIRECTORY
    fuzz.py DIRECTORY minimise                 adds to tests/c/corpus what DIRECTORY found and the corpus lacks
    fuzz.py DIRECTORY coverage                 line coverage from tests/c/corpus alone, printed by file

Headers are repaired before they are read, so that the checksum hides nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1] / "pam_module"
READER = ("format", "refusals", "mapped_file", "posix_db", "bans_db", "nss_copy")
COMPILER = (*READER, "compile_input", "compile_posix", "compile_layout", "compile_bans")
TARGETS = {
    "reader": READER,
    "bans": READER,
    "compiler": COMPILER,
    "reply": ("verify_client",),
    "nss": READER,
}
MEASURED = {*COMPILER, "nss_map", "nss_public", "verify_client"}
SANITIZE = ("-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined")
COVER = ("-fsanitize=fuzzer", "-fprofile-instr-generate", "-fcoverage-mapping")


def build(directory: Path, target: str, *options: str) -> Path:
    """The program of one target."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / f"{target}_fuzz"
    parts = [HERE / f"{target}_fuzz.c", *(SOURCE / f"{name}.c" for name in TARGETS[target])]
    common = [
        "clang",
        "-std=c11",
        "-D_DEFAULT_SOURCE=",
        "-O1",
        "-g",
        f"-I{SOURCE}",
        f'-DIDMAP_POSIX_DB="{directory}/posix.db"',
        "-DIDMAP_TEST_OWNER",
        "-o",
        str(program),
    ]
    subprocess.run([*common, *options, *map(str, parts)], check=True)
    return program


def kept(target: str) -> Path:
    """The kept corpus of a target. The NSS module is fed what the reader is."""
    return HERE / "corpus" / ("reader" if target == "nss" else target)


def run(directory: Path, runs: int, targets: list[str]) -> None:
    """A defect ends it with its input under DIRECTORY."""
    for target in targets:
        program = build(directory / "sanitized", target, *SANITIZE)
        found = directory / "found" / target
        found.mkdir(parents=True, exist_ok=True)
        limits = [
            f"-runs={runs // len(targets)}",
            "-max_len=8192",
            "-timeout=10",
            "-close_fd_mask=2",
            f"-artifact_prefix={directory}/",
        ]
        command = [
            str(program),
            *limits,
            "-print_final_stats=1",
            str(found),
            str(kept(target)),
        ]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
        tail = [
            line for line in done.stderr.splitlines() if line.startswith(("stat::number", "Done"))
        ]
        said = tail if done.returncode == 0 else [done.stderr[-6000:]]
        say("\n  ".join([target, *said]))
        if done.returncode != 0:
            raise SystemExit(f"fuzz: {target}: see above")


def minimise(directory: Path) -> None:
    """Merges what was found into the kept corpus."""
    for target in set(TARGETS) - {"nss"}:
        program = build(directory / "sanitized", target, *SANITIZE)
        corpus, fresh = kept(target), directory / "fresh" / target
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


def coverage(directory: Path) -> None:
    """Counts the lines of all targets together."""
    raw, programs = [], []
    for target in TARGETS:
        program = build(directory / "covered", target, *COVER)
        profile = directory / "covered" / f"{target}.profraw"
        command = [str(program), "-runs=0", str(kept(target))]
        environment = {"LLVM_PROFILE_FILE": str(profile)}
        subprocess.run(command, check=True, capture_output=True, env=environment)
        raw.append(str(profile))
        programs += ["-object", str(program)]
    merged = directory / "covered" / "all.profdata"
    subprocess.run([tool("llvm-profdata"), "merge", "-o", str(merged), *raw], check=True)
    sources = sorted(str(SOURCE / f"{name}.c") for name in MEASURED)
    command = [tool("llvm-cov"), "report", f"-instr-profile={merged}", *programs[1:], *sources]
    say(f"{'file':<22}{'lines':>8}{'missed':>8}{'covered':>10}")
    for line in subprocess.run(
        command, check=True, capture_output=True, text=True
    ).stdout.splitlines():
        fields = line.split()
        if len(fields) >= 10 and (fields[0].endswith(".c") or fields[0] == "TOTAL"):
            say(f"{Path(fields[0]).name:<22}{fields[7]:>8}{fields[8]:>8}{fields[9]:>10}")


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
    match sys.argv[1:]:
        case [directory, "run", runs, *targets]:
            run(Path(directory).resolve(), int(runs), targets or list(TARGETS))
        case [directory, "minimise"]:
            minimise(Path(directory).resolve())
        case [directory, "coverage"]:
            coverage(Path(directory).resolve())
        case _:
            raise SystemExit(__doc__)

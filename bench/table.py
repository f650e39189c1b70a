"""The figures as a person reads them, and what they say about the targets of DESIGN §6.

Pure: from what was measured (build/bench/nss.json) to text. A target is met only when the whole
interval is on its good side, missed when the whole interval is on the other, undecided between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from bench.statistics import Estimate, estimate, paired_ratio

BARE_AT_MOST = 2.5
WARM_AT_LEAST = {"name": 8.0, "id": 8.0, "initgroups": 2.0}
FIRST_AT_MOST = 1.0
FLAT_AT_MOST = 1.25
"""Ours at the largest size over ours at the smallest; the two are not paired, so there is noise."""
JUDGED_FROM = 100_000
"""Smaller populations are shown, not judged."""

Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One target and how it stands."""

    what: str
    found: Estimate
    limit: float
    at_least: bool = False

    @property
    def word(self) -> str:
        """met, MISSED or undecided."""
        good = (self.found.low >= self.limit) if self.at_least else (self.found.high <= self.limit)
        bad = (self.found.high < self.limit) if self.at_least else (self.found.low > self.limit)
        return "met" if good else "MISSED" if bad else "undecided"

    def line(self) -> str:
        """As in the table."""
        sign = "≥" if self.at_least else "≤"
        return f"  {self.word:<10} {self.what:<52} {sign} {self.limit:<5g} {self.found.text()}"


def nanoseconds(value: float) -> str:
    """A time with three figures and its unit."""
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} ns"


def rows(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns lined up, the first to the left."""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    for row in cells:
        rest = "  ".join(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield f"  {row[0]:<{widths[0]}}  {rest}".rstrip()


def comparison(measured: Mapping[str, Figures]) -> Iterator[str]:
    """One row per operation: ours, then each other one's time and how many times ours it is."""
    others = list(dict.fromkeys(name for of in measured.values() for name in of if name != "idmap"))
    cells = [["", "idmap", *others]]
    for operation, of in measured.items():
        ours = of["idmap"]["ns_per_call"]
        row = [operation, nanoseconds(median(ours))]
        for name in others:
            if name not in of:
                row.append("–")
                continue
            theirs = of[name]["ns_per_call"]
            ratio = paired_ratio(theirs, ours)
            row.append(f"{nanoseconds(median(theirs))} ×{ratio.text()}")
        cells.append(row)
    yield from rows(cells)


def first_sum(figures: Figures) -> list[float]:
    """Loading the module and the first lookup: what a fresh process pays."""
    return [a + b for a, b in zip(figures["load_ns"], figures["first_ns"], strict=True)]


def of_one_size(size: int, found: Figures) -> Iterator[str]:
    """Everything measured at one population."""
    compiled = found["compile"]
    yield f"\n{size:,} accounts"
    yield (
        f"  idmap-compile: {compiled['seconds']:.2f} s, at most "
        f"{compiled['peak_rss_bytes'] / 1e6:.0f} MB resident, file "
        f"{compiled['file_bytes'] / 1e6:.2f} MB from {compiled['records_bytes'] / 1e6:.2f} MB of text"
    )
    yield "\n  all accounts in random order, the module called directly"
    yield from comparison(found["all"])
    sssd = found.get("sssd")
    if sssd is None:
        return
    yield (
        f"\n  {sssd['sample']:,} of them and {sssd['groups']} groups, against SSSD over slapd (filled "
        f"in {sssd['fill_seconds']:.0f} s; unknown names are asked of its daemon)"
    )
    for part, title in (
        ("warm", "warm"),
        ("cold", "cold: SSSD never asked before"),
        ("threads", "16 threads, wall time per call"),
        ("glibc", "through glibc, `files` first"),
    ):
        yield f"  {title}"
        yield from comparison(sssd[part])
    yield "  first lookup of a fresh process"
    cells = [["", "load the module", "first lookup", "both", "whole process"]]
    for name, of in sssd["first"].items():
        samples = (of["load_ns"], of["first_ns"], first_sum(of), of["process_ns"])
        cells.append([name, *(nanoseconds(median(one)) for one in samples)])
    yield from rows(cells)


def verdicts(sizes: Mapping[str, Figures]) -> Iterator[Verdict]:
    """Every target of DESIGN §6 that was measured in this run."""
    for size, found in sizes.items():
        if int(size) < JUDGED_FROM:
            continue
        where = f"at {int(size):,}"
        for operation in WARM_AT_LEAST:
            of = found["all"][operation]
            ratio = paired_ratio(of["idmap"]["ns_per_call"], of["bare"]["ns_per_call"])
            yield Verdict(f"{operation}, times the bare lookup, {where}", ratio, BARE_AT_MOST)
        if "sssd" not in found:
            continue
        for operation, limit in WARM_AT_LEAST.items():
            of = found["sssd"]["warm"][operation]
            ratio = paired_ratio(of["sssd"]["ns_per_call"], of["idmap"]["ns_per_call"])
            yield Verdict(f"{operation}, times faster than SSSD warm, {where}", ratio, limit, True)
        first = found["sssd"]["first"]
        ratio = paired_ratio(first_sum(first["idmap"]), first_sum(first["sssd"]))
        yield Verdict(f"first lookup with loading, times SSSD's, {where}", ratio, FIRST_AT_MOST)
    measured = [size for size in sizes if "sssd" in sizes[size]]
    if len(measured) > 1:
        small, large = min(measured, key=int), max(measured, key=int)
        under, over = (sizes[size]["sssd"]["first"]["idmap"] for size in (small, large))
        base = median(first_sum(under))
        flat = estimate([sample / base for sample in first_sum(over)])
        what = f"first lookup, {int(large):,} over {int(small):,} accounts"
        yield Verdict(what, flat, FLAT_AT_MOST)


def nss_table(result: Figures) -> str:
    """The whole report."""
    machine = result["machine"]
    memory = machine["memory_bytes"] / 2**30
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    lines = [
        "",
        (
            f"NSS on {machine['processor']}, {machine['processors']} processors, {memory:.0f} GiB, "
            f"Linux {machine['kernel']}, {machine['libc']}"
        ),
        versions,
        "Median time per call; “×N [low … high]”: how many times ours, median of paired rounds, 95 % interval.",
    ]
    for size, found in result["sizes"].items():
        lines += of_one_size(int(size), found)
    judged = list(verdicts(result["sizes"]))
    if judged:
        lines += ["", "Targets (DESIGN §6), met only with the whole interval"]
        lines += [verdict.line() for verdict in judged]
    return "\n".join(lines) + "\n"

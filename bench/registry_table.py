"""The registry's figures as a person reads them: cost by population, times the bare statement, and the exponent.

Pure: from what was measured (build/bench/registry.json) to text. The exponent is the slope of log(cost) over
log(population), least squares: 0 is a cost that does not depend on the population, 1 one that doubles with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from bench.statistics import figure, fitted_exponent, paired_ratio
from bench.table import nanoseconds, rows

Figures = Mapping[str, Any]


def registry_table(found: Mapping[str, Figures]) -> str:
    """All databases."""
    lines = [
        "",
        "The registry by population: time per call, and how many times the bare statement's",
    ]
    for kind, sizes in found.items():
        lines += ["", kind, *of_operations(sizes), *of_pages(sizes)]
    return "\n".join(lines) + "\n"


def of_operations(sizes: Figures) -> Iterator[str]:
    """One row per operation, one column per population, and the exponent."""
    first = next(iter(sizes.values()))
    cells = [["", *(f"{int(size):,}" for size in sizes), "exponent", "bare"]]
    for name in first["operations"]:
        row = [name]
        for found in sizes.values():
            ours, bare = (found["operations"][name][who] for who in ("ours", "bare"))
            row.append(f"{nanoseconds(median(ours))} ×{figure(paired_ratio(ours, bare).value)}")
        for who in ("ours", "bare"):
            points = [
                (float(size), median(found["operations"][name][who]))
                for size, found in sizes.items()
            ]
            # Rounded first, and a zero has no minus.
            row.append(f"{round(fitted_exponent(points), 2) + 0.0:+.2f}" if points[1:] else "–")
        cells.append(row)
    yield from rows(cells)


def of_pages(sizes: Figures) -> Iterator[str]:
    """Filling, and the memory of reading everybody."""
    for size, found in sizes.items():
        pages = found["pages"]
        yield (
            f"  {int(size):,}: filled at {found['fill_per_second']:,.0f} accounts/s; all"
            f" {pages['accounts']:,} in pages took {pages['seconds']:.1f} s and"
            f" {(pages['pages_kib'] - pages['before_kib']) / 1024:.1f} MiB above"
            f" {pages['before_kib'] / 1024:.0f}; all {pages['people']:,} people"
            f" {(pages['people_kib'] - pages['before_kib']) / 1024:.1f} MiB"
        )

"""The registry's bench on small populations: every operation answers, and the table shows what was measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.contestant import BenchError
from bench.registry import OPERATIONS, measure_registry, one_round
from bench.registry_sites import sqlite_site
from bench.registry_table import registry_table


def test_every_operation_is_measured_at_every_population(tmp_path: Path) -> None:
    found = measure_registry([60, 120], 2, ["sqlite"], tmp_path)
    sizes = found["sqlite"]
    assert list(sizes) == ["60", "120"]
    for size, of in sizes.items():
        assert {name: len(one["ours"]) for name, one in of["operations"].items()} == {
            operation.name: 2 for operation in OPERATIONS
        }
        assert of["pages"]["accounts"] == of["pages"]["people"] > int(size)
    shown = registry_table(found)
    for operation in OPERATIONS:
        assert f"\n  {operation.name} " in shown


def test_a_wrong_answer_ends_the_run(tmp_path: Path) -> None:
    site = sqlite_site(tmp_path, 30)
    wrong = replace(OPERATIONS[2], ours=lambda _site, _person: None)
    with pytest.raises(BenchError, match="by name at 30"):
        one_round(wrong, site, 0)
    site.close()


def test_a_cost_that_doubles_with_the_population_has_the_exponent_one() -> None:
    def site(nanoseconds: float) -> dict[str, object]:
        pages = dict.fromkeys(("accounts", "people", "seconds"), 1)
        memory = dict.fromkeys(("before_kib", "pages_kib", "people_kib"), 1024)
        times = {"ours": [nanoseconds] * 3, "bare": [100.0] * 3}
        return {"fill_per_second": 1, "pages": pages | memory, "operations": {"search": times}}

    text = registry_table({"sqlite": {"1000": site(1e3), "2000": site(2e3), "4000": site(4e3)}})
    (line,) = (line for line in text.splitlines() if line.lstrip().startswith("search"))
    assert line.split()[-2:] == ["+1.00", "+0.00"]

"""The rules' bench on a small site: both parts answer, and the table shows what was measured."""

from __future__ import annotations

from pathlib import Path

from bench.rules import measure_decide, measure_what_if, rules_table


def test_both_parts_are_measured_and_shown(tmp_path: Path) -> None:
    found = {
        "what_if": {"50": measure_what_if(50, 2, tmp_path)},
        "decide": measure_decide((10, 100), 2),
    }
    of = found["what_if"]["50"]
    assert len(of["read"]["seconds"]) == len(of["what_if"]["seconds"]) == 2
    shown = rules_table(found)
    assert "50 people (" in shown
    assert "three match" in shown
    assert "all match" in shown


def test_a_cost_that_grows_with_the_rules_has_its_exponent() -> None:
    decide = {
        "few": {"10": [100.0], "1000": [100.0]},
        "all": {"10": [100.0], "1000": [10_000.0]},
    }
    shown = rules_table({"what_if": {}, "decide": decide})
    assert "+0.00" in shown
    assert "+1.00" in shown
    assert "×100" in shown

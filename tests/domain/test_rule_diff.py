"""Two documents beside each other: everything that differs is said, once, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.rule_diff import SectionDiff, canonical, diff_rules
from tests.support.rule_documents import FULL


def _found(before: dict[str, Any], after: dict[str, Any]) -> dict[str, SectionDiff]:
    return {section.section: section for section in diff_rules(before, after)}


def test_a_document_does_not_differ_from_itself() -> None:
    """Nor does the order of members matter."""
    assert diff_rules(FULL, copy.deepcopy(FULL)) == ()
    turned = {name: FULL[name] for name in reversed(FULL)}
    assert diff_rules(FULL, turned) == ()


def test_changes_are_told_member_by_member() -> None:
    """With the tables they stand in, before and after; absent is None."""
    after = copy.deepcopy(FULL)
    after["rules"][0]["when"]["groups"]["any"] = ["/lhc", "/alice"]
    del after["rules"][0]["priority"]
    after["classes"]["personal"]["grace_days"] = 30
    found = _found(FULL, after)
    assert set(found) == {"rules", "classes"}
    (rule,) = found["rules"].changed
    assert (rule.name, {one.member: (one.before, one.after) for one in rule.members}) == (
        "lhc",
        {"priority": (10, None), "when.groups.any": (["/lhc"], ["/lhc", "/alice"])},
    )
    assert found["classes"].changed[0].members[0].member == "grace_days"


def test_what_came_and_went_is_whole() -> None:
    """Rules, demands, classes, administrators and examples, by their names."""
    before = {"format": 2}
    found = _found(before, FULL)
    assert [rule["id"] for rule in FULL["rules"]] == list(found["rules"].added)
    assert set(found["classes"].added) == set(FULL["classes"])
    assert set(found["admins"].added) == {
        "anna @ https://iam.example/",
        "/lhc/leads @ https://iam.example/",
    }
    back = _found(FULL, before)
    assert back["rules"].removed == found["rules"].added
    assert set(back["examples"].removed) == {"a member", "a stranger"}
    assert back["demands"].removed["secure"] == FULL["demands"][0]


def test_another_order_of_rules_is_a_change() -> None:
    """With equal priorities the first one wins. Rules that came or went move nobody."""
    rules = FULL["rules"]
    swapped = {**FULL, "rules": [rules[1], rules[0], *rules[2:]]}
    assert _found(FULL, swapped)["rules"].moved == ("urn", "lhc")
    assert _found(FULL, {**FULL, "rules": rules[1:]})["rules"].moved == ()


def test_true_and_one_are_not_the_same() -> None:
    """JSON tells them apart, and so do we."""
    after = copy.deepcopy(FULL)
    after["rules"][0]["robots"] = 0
    assert _found(FULL, after)["rules"].changed[0].members[0].after == 0


def test_administrators_with_one_name_are_told_apart() -> None:
    """Somebody may have two roles."""
    entry = {"role": "auditor", "issuer": "i", "subject": "s"}
    one = {"format": 2, "admins": [entry, {**entry, "role": "security"}]}
    assert set(_found({"format": 2}, one)["admins"].added) == {"s @ i", "s @ i (2)"}
    changed = {"format": 2, "admins": [entry, {**entry, "role": "operator"}]}
    (entry_change,) = _found(one, changed)["admins"].changed
    assert entry_change.members[0].after == "operator"


@given(st.data())
def test_something_is_told_exactly_when_something_differs(data: st.DataObject) -> None:
    """Whatever one member of one entry becomes."""
    after = copy.deepcopy(FULL)
    section = data.draw(st.sampled_from(["rules", "demands", "examples"]))
    row = data.draw(st.sampled_from(after[section]))
    member = data.draw(st.sampled_from([name for name in row if name not in ("id", "name")]))
    row[member] = data.draw(st.sampled_from([1, True, "x", [], ["/lhc"], {}, row[member]]))
    assert bool(diff_rules(FULL, after)) == (canonical(FULL) != canonical(after))


@pytest.mark.parametrize("section", ["rules", "classes", "demands", "admins", "examples"])
def test_documents_are_plain(section: str) -> None:
    """For JSON."""
    found = _found({"format": 2}, FULL)[section].document()
    assert found["section"] == section
    assert found["changed"] == {}

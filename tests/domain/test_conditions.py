"""Conditions: an index that hides nobody, words that say what was decided."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.domain.conditions import Condition, Part, PartName, Who
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Subject
from idmap.domain.rules import RuleSet
from tests.support import rule_worlds as worlds

A, B = worlds.ISSUERS
VO, LAB = Group(A, "vo"), Group(A, "lab")


@settings(max_examples=100)
@given(worlds.rule_sets(demands=False), worlds.people)
def test_the_index_never_hides_a_rule_that_matches(rules: RuleSet, who: Who) -> None:
    """Robots and people, named subjects, rules of nothing but `none`, groups of another issuer, linked identities."""
    found = list(rules.candidates(who))
    matching = [i for i, rule in enumerate(rules.rules) if rule.condition.holds(who)]
    assert set(matching) <= {position for position, _ in found}
    assert [position for position, _ in found] == sorted({position for position, _ in found})
    assert all(rules.rules[position] is rule for position, rule in found)


@settings(max_examples=100)
@given(worlds.conditions, worlds.people)
def test_what_is_shown_of_each_part_is_what_was_decided(condition: Condition, who: Who) -> None:
    """A condition holds when every line that explain shows of it holds, and not otherwise."""
    shown = condition.show(who)
    assert all(part.held for part in shown) is condition.holds(who)
    assert all(part.wanted and part.had for part in shown)


@settings(max_examples=100)
@given(worlds.conditions)
def test_in_words_a_condition_says_everything_it_asks(condition: Condition) -> None:
    said = condition.in_words()
    assert condition.issuer in said
    assert all(subject in said for subject in condition.subjects)
    for item in condition.items():
        text = item.path if isinstance(item, Group) else item.value
        assert (text if item.issuer == condition.issuer else f"{text} @ {item.issuer}") in said
    assert not said.rstrip().endswith((",", "or", "with"))


@settings(max_examples=100)
@given(worlds.conditions, worlds.people, st.permutations(worlds.GROUPS))
def test_renamed_groups_are_the_same_groups(
    condition: Condition, who: Who, names: list[Group]
) -> None:
    """A condition and a person who both follow a renaming agree as before."""
    renamed = dict(zip(worlds.GROUPS, names, strict=True))
    held = frozenset(renamed.get(i, i) if isinstance(i, Group) else i for i in who.held)
    after = Who(who.active, who.robot, who.identities, held)
    assert condition.with_groups(renamed).holds(after) is condition.holds(who)
    back = {now: before for before, now in renamed.items()}
    assert condition.with_groups(renamed).with_groups(back) == condition


def _who(*held: Group | Fact, robot: bool = False, subject: str = "s9") -> Who:
    return Who(True, robot, frozenset({Identity(A, Subject(subject))}), frozenset(held))


def test_a_named_robot_needs_no_group_and_is_narrowed_all_the_same() -> None:
    """`any` is for those who are not named; `all` and `none` are asked of everybody."""
    part = Part(PartName.GROUPS, any=frozenset({VO}), none=frozenset({LAB}))
    condition = Condition(A, (part,), robots=True, subjects=frozenset({Subject("ci")}))
    assert condition.holds(_who(robot=True, subject="ci"))
    assert not condition.holds(_who(LAB, robot=True, subject="ci"))
    assert not condition.holds(_who(robot=True))
    assert condition.holds(_who(VO, robot=True))
    assert not condition.holds(_who(subject="ci")), "a person of that name is no robot"


def test_a_subject_of_another_issuer_is_somebody_else() -> None:
    condition = Condition(A, (), robots=True, subjects=frozenset({Subject("ci")}))
    other = Who(True, True, frozenset({Identity(B, Subject("ci")), Identity(A, Subject("x"))}),
                frozenset())  # fmt: skip
    assert not condition.holds(other)


def test_the_issuer_of_a_rule_must_be_one_of_the_persons_own() -> None:
    """A group of another issuer alone does not make somebody one of this issuer's people."""
    theirs = Group(B, "vo")
    condition = Condition(A, (Part(PartName.GROUPS, any=frozenset({theirs})),))
    stranger = Who(True, False, frozenset({Identity(B, Subject("x"))}), frozenset({theirs}))
    linked = Who(True, False, stranger.identities | {Identity(A, Subject("y"))}, stranger.held)
    assert not condition.holds(stranger)
    assert condition.holds(linked)
    assert f"vo @ {B}" in condition.in_words(), "whose group it is, is said"


def test_a_fact_is_another_from_another_issuer() -> None:
    ours, theirs = (Fact(issuer, FactKind.LABEL, "staff") for issuer in (A, B))
    condition = Condition(A, (Part(PartName.LABELS, any=frozenset({ours})),))
    assert condition.holds(_who(ours))
    assert not condition.holds(_who(theirs))

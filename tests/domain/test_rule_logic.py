"""What is said to never match never does, what is said to be covered always is: by brute force over small worlds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.domain.conditions import Condition, Item, Part, PartName
from idmap.domain.decision import Recorded, decide, who_of
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.node_access import NodeAccess
from idmap.domain.rule_logic import cases_of, covers, judge
from idmap.domain.rules import AccountClass, Adds, Denies, Gives, Rule, RuleSet

ONE, TWO = Issuer("https://one.example/"), Issuer("https://two.example/")
GROUPS = tuple(Group(ONE, name) for name in ("a", "b", "c"))
LABEL = Fact(ONE, FactKind.LABEL, "x")
MAIL = Fact(ONE, FactKind.EMAIL_DOMAIN, "example.org")
ITEMS: tuple[Item, ...] = (*GROUPS, LABEL, MAIL)
BOT = Subject("bot")
AT = 1_700_000_000
CLASS = AccountClass("c", "people", Group(ONE, "a"), "/bin/sh", "/home/{username}", 0)


def everybody() -> Iterator[Recorded]:
    """All that may be recorded: what they hold, robots and people, whose identities, named or not."""
    for number in range(2 ** len(ITEMS)):
        held = {item for place, item in enumerate(ITEMS) if number >> place & 1}
        groups = frozenset(item for item in held if isinstance(item, Group))
        facts = frozenset(item for item in held if isinstance(item, Fact))
        for issuer, subject, robot in itertools.product((ONE, TWO), ("p", BOT), (True, False)):
            identity = Identity(issuer, Subject(subject))
            yield Recorded(identity, True, groups, None, robot=robot, facts=facts)


PEOPLE = tuple(everybody())
some = st.frozensets(st.sampled_from(ITEMS), max_size=3)
granting = st.frozensets(st.sampled_from([*GROUPS, LABEL]), max_size=3)
groups_part = st.builds(Part, st.just(PartName.GROUPS), any=granting, all=some, none=some)
other_part = st.builds(Part, st.just(PartName.LABELS), any=granting, all=some, none=some)
parts = st.one_of(st.just(()), st.tuples(groups_part), st.tuples(groups_part, other_part))
conditions = st.builds(
    lambda issuer, parts, robots, named: Condition(
        issuer, parts, robots, frozenset({BOT}) if named and robots else frozenset()
    ),
    st.sampled_from([ONE, ONE, TWO]),
    parts,
    st.sampled_from([None, False, False, True]),
    st.booleans(),
)
outcomes = st.sampled_from(
    [
        Gives(CLASS),
        Gives(CLASS),
        Adds(access=NodeAccess(frozenset({"gpu"}))),
        Denies(),
        Denies(frozenset({"gpu"})),
    ]
)
rule_sets = st.lists(st.tuples(conditions, outcomes), min_size=1, max_size=6).map(
    lambda rows: RuleSet(1, tuple(Rule(f"r{i}", c, o) for i, (c, o) in enumerate(rows)))
)


@given(conditions)
def test_nobody_is_outside_the_cases(condition: Condition) -> None:
    """Whoever matches is in some case, and without a case nobody matches."""
    cases = list(cases_of(condition))
    for person in PEOPLE:
        who = who_of(person)
        if condition.holds(who):
            assert any(
                case.robot is who.robot
                and case.held <= who.held
                and not case.absent & who.held
                and all(some & who.held for some in case.one_of)
                for case in cases
            )


@given(conditions, conditions)
def test_what_covers_every_case_holds_for_everybody(one: Condition, other: Condition) -> None:
    """And each case's own example is in the case."""
    cases = list(cases_of(one))
    for case in cases:
        assert one.holds(case.someone())
    if cases and all(covers(other, case) for case in cases):
        for person in PEOPLE:
            who = who_of(person)
            assert other.holds(who) or not one.holds(who)


@settings(max_examples=150)
@given(rule_sets)
def test_what_is_said_of_a_rule_is_so_for_everybody(rules: RuleSet) -> None:
    """Never matching, always denied, never winning: no person of the whole world is an exception."""
    verdicts = {rule.rule_id: verdict for rule, verdict in judge(rules)}
    for person in PEOPLE:
        grant = decide(person, rules, AT).grant
        used = set() if grant is None else {grant.rule.rule_id, *grant.added_by}
        for rule_id in used:
            verdict = verdicts[rule_id]
            assert verdict.matches
            assert not verdict.denied_by
        if grant is not None:
            assert not verdicts[grant.rule.rule_id].preceded_by


def _rule(name: str, outcome: Gives | Denies, **lists: frozenset[Item]) -> Rule:
    return Rule(name, Condition(ONE, (Part(PartName.GROUPS, **lists),)), outcome)


def test_rules_that_together_come_first_are_found() -> None:
    """Neither covers the third alone."""
    a, b, _ = (frozenset({group}) for group in GROUPS)
    rules = RuleSet(
        1,
        (
            _rule("one", Gives(CLASS), any=a),
            _rule("two", Gives(CLASS), any=b),
            _rule("both", Gives(CLASS), any=a | b),
        ),
    )
    verdict = {rule.rule_id: verdict for rule, verdict in judge(rules)}["both"]
    assert {rule.rule_id for rule in verdict.preceded_by} == {"one", "two"}


def test_a_narrower_rule_that_comes_first_hides_nothing() -> None:
    """Those whom it does not match still reach the wider one."""
    a, _, c = (frozenset({group}) for group in GROUPS)
    narrow = _rule("narrow", Gives(CLASS), any=a, none=c)
    wide = _rule("wide", Gives(CLASS), any=a)
    assert all(not v.preceded_by for _, v in judge(RuleSet(1, (narrow, wide))))
    hidden = {r.rule_id: v for r, v in judge(RuleSet(1, (wide, narrow)))}
    assert hidden["narrow"].preceded_by == (wide,)


def test_many_rules_are_judged_in_time() -> None:
    """Each looks only at those that may matter to it: ten thousand rules take seconds, not hours."""
    rules = RuleSet(
        1,
        tuple(
            Rule(
                f"r{number}",
                Condition(
                    ONE, (Part(PartName.GROUPS, any=frozenset({Group(ONE, f"g{number % 9_999}")})),)
                ),
                Gives(CLASS),
            )
            for number in range(10_000)
        ),
    )
    hidden = [rule.rule_id for rule, verdict in judge(rules) if verdict.preceded_by]
    assert hidden == ["r9999"]

"""Deciding once for all of whom the same is recorded is deciding for each."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings

from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.decision import Recorded, decide
from idmap.domain.names import GroupName, Username
from idmap.domain.node_access import NodeAccess
from idmap.domain.numbers import GidNumber, UidNumber
from idmap.domain.rules import Gives, RuleSet
from idmap.domain.what_if import Comparison, Effect, outcome_of
from tests.domain.test_rule_logic import AT, CLASS, GROUPS, ONE, PEOPLE, _rule, rule_sets

ACCOUNT = Account(
    1, Username("a"), UidNumber(200000), PosixGroup(GroupName("a"), GidNumber(300000)), (), "/home/a",
    "/bin/sh", AccountState.ACTIVE, None, None, "r0",
)  # fmt: skip


@settings(max_examples=60)
@given(rule_sets, rule_sets)
def test_what_is_remembered_is_what_would_be_decided(before: RuleSet, after: RuleSet) -> None:
    """For everybody of a small world, with and without an account, also when little is remembered."""
    for compare in (Comparison(before, after, AT), Comparison(before, after, AT, limit=2)):
        for person in PEOPLE:
            for one in (person, replace(person, account=ACCOUNT)):
                found = compare(one)
                expected = outcome_of(decide(one, before, AT), decide(one, after, AT))
                assert (found.before, found.after) == (expected.before, expected.after)
                assert (found.reason, found.effects) == (expected.reason, expected.effects)


def test_every_respect_is_told() -> None:
    """Of one who stays entitled."""
    (a, *_) = GROUPS
    other = replace(
        CLASS, name="d", shell="/bin/zsh", access=NodeAccess(frozenset({"x"})), local_groups=frozenset({"fuse"})
    )  # fmt: skip
    before = RuleSet(1, (_rule("one", Gives(CLASS), any=frozenset({a})),))
    after = RuleSet(2, (_rule("two", Gives(other, GROUPS), any=frozenset({a})),))
    person = Recorded(PEOPLE[0].identity, True, frozenset(GROUPS), None)
    assert person.identity.issuer == ONE
    found = Comparison(before, after, AT)(person)
    assert found.effects == {
        Effect.MOVES,
        Effect.CLASS,
        Effect.GROUPS,
        Effect.SHELL,
        Effect.NODE_CLASSES,
        Effect.LOCAL_GROUPS,
    }

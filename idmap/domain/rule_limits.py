"""What only shows of a rule document as a whole: what is there twice, what clashes, what is too much of a thing.

Raises RuleFault(RULE_INVALID) at the later of two places that do not go together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from idmap.domain.conditions import Item
from idmap.domain.groups import Group
from idmap.domain.names import MAX_LOCAL_GROUPS
from idmap.domain.node_access import MAX_CLASSES
from idmap.domain.rule_fields import Fields
from idmap.domain.rules import AccountClass, AccountKind, Adds, Gives, Rule, RuleSet

_COUNTED: Final = "a counter of some class gives such names"


def refuse_doubles(top: Fields, member: str, ids: Sequence[str]) -> None:
    """No id is used twice."""
    seen: set[str] = set()
    for index, one in enumerate(ids):
        if one in seen:
            _row(top, member, index, f"{member[:-1]} {one}").refuse("id", "used twice")
        seen.add(one)


def check_together(top: Fields, rules: Sequence[Rule]) -> None:
    """What rules, in the order of the document, may not have in common."""
    refuse_doubles(top, "rules", [rule.rule_id for rule in rules])
    _check_ranges_of_robots(top, rules)
    _check_shared_names(top, rules)


def check_limits(top: Fields, rules: RuleSet) -> None:
    """No account may get more node classes or local groups than nodes take."""
    if len(rules.node_classes()) > MAX_CLASSES:
        top.refuse("rules", f"more than {MAX_CLASSES} node classes")
    local = frozenset[str]().union(
        *(given.local_groups for _, given in rules.account_rules()),
        *(rule.outcome.local_groups for rule in rules.rules if isinstance(rule.outcome, Adds)),
    )
    if len(local) > MAX_LOCAL_GROUPS:
        top.refuse("rules", f"more than {MAX_LOCAL_GROUPS} local groups")


def _check_ranges_of_robots(top: Fields, rules: Sequence[Rule]) -> None:
    """A number tells whether it is a robot's: no range serves both."""
    given = list(_giving(rules))
    people = {one.number_range for _, rule, one in given if not rule.condition.robots}
    for index, rule, one in given:
        if rule.condition.robots and one.number_range in people:
            _rule(top, index, rule).refuse(
                "robots", f"range {one.number_range} serves people; robots need one of their own"
            )


def _check_shared_names(top: Fields, rules: Sequence[Rule]) -> None:
    """One name is one account: of one class, and of one group where the group spells it; and no counter's."""
    counters = {one.naming.counter.prefix for _, _, one in _giving(rules) if one.naming.counter}
    owners: dict[str, tuple[str, frozenset[Item]]] = {}
    for index, rule, one in _giving(rules):
        name = one.shared_name
        if name is None:
            continue
        project = one.kind is AccountKind.PROJECT
        owner = (one.name, _groups(rule) if project else frozenset[Item]())
        if owners.setdefault(name, owner) != owner:
            _rule(top, index, rule).refuse("class", f"{name!r} is another shared account's name")
        if name.rstrip("0123456789") in counters:
            _rule(top, index, rule).refuse("class", f"{name!r}: {_COUNTED}")


def _groups(rule: Rule) -> frozenset[Item]:
    """The one group that names a project."""
    return frozenset(i for part in rule.condition.parts for i in part.any if isinstance(i, Group))


def _giving(rules: Sequence[Rule]) -> Iterator[tuple[int, Rule, AccountClass]]:
    for index, rule in enumerate(rules):
        if isinstance(rule.outcome, Gives):
            yield index, rule, rule.outcome.account_class


def _rule(top: Fields, index: int, rule: Rule) -> Fields:
    return _row(top, "rules", index, f"rule {rule.rule_id}")


def _row(top: Fields, member: str, index: int, where: str) -> Fields:
    return Fields({}, where, f"{top.at(member)}/{index}")

"""Rules made in one line, for tests that are about something else."""

from __future__ import annotations

from idmap.domain.conditions import Condition, Part, PartName
from idmap.domain.groups import Group
from idmap.domain.identity import Subject
from idmap.domain.rules import AccountClass, Gives, Rule


def member_rule(
    rule_id: str,
    group: Group,
    account_class: AccountClass,
    secondary_groups: tuple[Group, ...] = (),
    *,
    robots: bool = False,
    subjects: frozenset[Subject] = frozenset(),
) -> Rule:
    """Members of the group get an account of the class."""
    parts = (Part(PartName.GROUPS, any=frozenset({group})),)
    condition = Condition(group.issuer, parts, robots, subjects)
    return Rule(rule_id, condition, Gives(account_class, secondary_groups))

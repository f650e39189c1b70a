"""Who is an administrator: what `[[admins]]` of the rules make of what is recorded of one identity.

A role is the identity's own. It comes from being named, or from *recorded* membership of a group, never from what a
token claims and never through a link to another identity (law 3). A group gives its roles to people; a robot is
named or has none.
"""

from __future__ import annotations

from idmap.domain.decision import Recorded
from idmap.domain.groups import Group
from idmap.domain.roles import Held, Role
from idmap.domain.rules import RuleSet


def held_roles(recorded: Recorded, rules: RuleSet) -> Held:
    """The roles of one identity. None for whom the source says that they are disabled or past their end."""
    if not recorded.active_at_source:
        return Held()
    by_group = frozenset[Group]() if recorded.robot else recorded.groups
    theirs = [
        admin
        for admin in rules.administrators
        if admin.identity == recorded.identity or admin.group in by_group
    ]
    return Held(
        roles=frozenset(admin.role for admin in theirs),
        manages=frozenset[Group]().union(*(admin.manages for admin in theirs)),
    )


def last_administrator_check(rules: RuleSet, has_key: bool) -> str | None:
    """What is wrong with rules after which nobody could change them; None when somebody can.

    `has_key`: an admin key is in force. Whether anybody is recorded in a group that is named is for whoever
    saves the rules to know.
    """
    if has_key or any(admin.role is Role.SITE_ADMIN for admin in rules.administrators):
        return None
    return f"admins: nobody would be {Role.SITE_ADMIN} and no admin key is in force, so nobody could save rules again"

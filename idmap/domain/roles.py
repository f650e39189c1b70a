"""Who may do what at the admin door: roles, permissions, and the table of which role has which.

Rules map people to roles (`[[admins]]`, read by `administrators`); a person may have several, which unite. A
permission is what a route asks for; which asks for which is said beside each route, and a table that a person edits
is compared with them (tests/entrypoints/http/route_roles.toml).

The table gives the least that a duty needs. Nobody who acts on people (operator, security) writes the rules, and nobody
who orders bans grants anything. Whoever answers for people reads everything, the rules and the record of changes too:
without them nobody can say why somebody is refused, and none of them holds a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from idmap.domain.groups import Group


class Role(StrEnum):
    SITE_ADMIN = "site-admin"
    OPERATOR = "operator"
    AUDITOR = "auditor"
    SECURITY = "security"
    GROUP_MANAGER = "group-manager"


class Permission(StrEnum):
    READ = "read"
    POLICY = "policy"
    ACCOUNTS = "accounts"
    SUSPEND = "suspend"
    BAN = "ban"
    MACHINES = "machines"
    STAFF = "staff"
    OWN_GROUPS = "own_groups"


_R, _P = Role, Permission
ROLE_MEANS: Final[Mapping[Role, str]] = MappingProxyType(
    {
        _R.SITE_ADMIN: "everything: policy, machines, people, bans; an admin key is one",
        _R.OPERATOR: "the daily work on accounts, links, local groups and machines; no policy, no bans",
        _R.AUDITOR: "reads and explains everything, changes nothing",
        _R.SECURITY: "reads and explains everything; bans and lifts bans, suspends and restores",
        _R.GROUP_MANAGER: "sees the members of their own groups and suspends them; grants nothing",
    }
)
PERMISSION_MEANS: Final[Mapping[Permission, str]] = MappingProxyType(
    {
        _P.READ: "what is on record of everybody, the rules, the record of changes; why somebody is refused, and what "
        "other rules would do",
        _P.POLICY: "issuers, rules with their [[admins]], ranges; accept a group that was made anew at its issuer",
        _P.ACCOUNTS: "approve and close accounts, link and unlink identities, members of site-local groups",
        _P.SUSPEND: "suspend and restore accounts",
        _P.BAN: "order and lift bans",
        _P.MACHINES: "enrol and revoke nodes and components",
        _P.STAFF: "do all this to accounts of people who have a role other than group-manager themselves",
        _P.OWN_GROUPS: "see the members of groups that one manages, suspend them, restore whom one suspended oneself",
    }
)

PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        _R.SITE_ADMIN: frozenset(_P),
        _R.OPERATOR: frozenset({_P.READ, _P.ACCOUNTS, _P.SUSPEND, _P.MACHINES}),
        _R.AUDITOR: frozenset({_P.READ}),
        _R.SECURITY: frozenset({_P.READ, _P.SUSPEND, _P.BAN, _P.STAFF}),
        _R.GROUP_MANAGER: frozenset({_P.OWN_GROUPS}),
    }
)
"""Adding a role or a permission means a row or a word here, a sentence above, and nothing else."""


@dataclass(frozen=True, slots=True)
class Held:
    """The roles of one caller, united, and the groups that they manage."""

    roles: frozenset[Role] = frozenset()
    manages: frozenset[Group] = frozenset()

    def may(self, permission: Permission) -> bool:
        """Whether one of the roles has it."""
        return any(permission in PERMISSIONS[role] for role in self.roles)

    def bars(self, others: frozenset[Role]) -> frozenset[Role]:
        """Those roles of somebody else because of which nothing may be done to their account.

        Else an operator could suspend those who watch operators, or unlink somebody from the account under which
        they are suspended.
        """
        if self.may(Permission.STAFF):
            return frozenset()
        if self.may(Permission.ACCOUNTS) or self.may(Permission.SUSPEND):
            return others - {Role.GROUP_MANAGER}
        return others


NOBODY: Final = Held()
EVERYTHING: Final = Held(frozenset({Role.SITE_ADMIN}))
"""Of an admin key."""


def roles_with(permission: Permission) -> tuple[Role, ...]:
    """The roles that have it, in the order of the table."""
    return tuple(role for role in Role if permission in PERMISSIONS[role])

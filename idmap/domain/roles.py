"""Who may do what at the admin door: roles, and the table of what each may.

Rules map people to roles (`[[admins]]`); a person may have several. The bootstrap key is a site admin. A permission is
what a route asks for; which route asks for which is in the routes themselves, and a table that a person edits is
compared with them (tests/entrypoints/http/route_roles.toml).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Role(StrEnum):
    SITE_ADMIN = "site-admin"
    """Everything: policy, issuers, ranges, machines, people."""
    OPERATOR = "operator"
    """The daily work on accounts, links, local groups and nodes; no policy."""
    AUDITOR = "auditor"
    """Reads everything, changes nothing."""
    SECURITY = "security"
    """Reads everything; bans and lifts bans, suspends and restores."""
    GROUP_MANAGER = "group-manager"
    """Sees the members of their own groups and suspends them; never grants anything."""


class Permission(StrEnum):
    READ = "read"
    """What is on record of everybody, the rules, the record of changes."""
    EXPLAIN = "explain"
    POLICY = "policy"
    """Issuers, rules, ranges."""
    ACCOUNTS = "accounts"
    """Approve, close, link, local groups."""
    SUSPEND = "suspend"
    """Suspend and restore accounts."""
    BAN = "ban"
    MACHINES = "machines"
    """Nodes and components."""
    OWN_GROUPS = "own_groups"
    """See and suspend the members of groups that one manages."""


_P = Permission
PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = MappingProxyType(
    {
        Role.SITE_ADMIN: frozenset(_P),
        Role.OPERATOR: frozenset(
            {_P.READ, _P.EXPLAIN, _P.ACCOUNTS, _P.SUSPEND, _P.MACHINES, _P.OWN_GROUPS}
        ),
        Role.AUDITOR: frozenset({_P.READ, _P.EXPLAIN, _P.OWN_GROUPS}),
        Role.SECURITY: frozenset({_P.READ, _P.EXPLAIN, _P.SUSPEND, _P.BAN, _P.OWN_GROUPS}),
        Role.GROUP_MANAGER: frozenset({_P.OWN_GROUPS}),
    }
)
"""Adding a role or a permission means a row or a word here, and nothing else."""

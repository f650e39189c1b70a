"""The site with somebody in every role, and a few members of a managed group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from idmap.domain.doors import ADMIN
from idmap.domain.roles import Role
from tests.entrypoints.http.site import RULES, SETUP, Site
from tests.support.tokens import ISSUER

LAB, OTHER = "hpc/lab", "hpc/other"
MANAGES = {Role.GROUP_MANAGER: {"manages": [LAB]}}


def subject_of(role: Role) -> str:
    """Whom the rules give this role, and no other; their username too."""
    return f"the_{role}".replace("-", "_")


ROLE_RULES: Mapping[str, Any] = {
    **RULES,
    "format": 2,
    "rules": [{**RULES["rules"][0], "secondary_groups": ["hpc/gpu", LAB, OTHER]}],
    "admins": [
        {"role": str(role), "issuer": ISSUER, "subject": subject_of(role), **MANAGES.get(role, {})}
        for role in Role
    ],
}


def save_rules(site: Site, document: Mapping[str, Any]) -> None:
    """A new version."""
    with site.registry.write(SETUP) as writer:
        writer.save_rules(document, expect_version=None)


def token_of(site: Site, role: Role, **changes: Any) -> str:
    """A fresh token of the admin door of whoever has the role."""
    return site.token(subject_of(role), ADMIN, **changes)


def member(site: Site, subject: str, *groups: str) -> str:
    """An account of somebody recorded in hpc and these groups; its username."""
    answer = site.newcomer(subject, groups=["hpc", *groups])
    assert answer.status_code in {200, 202}, answer.text
    return str(answer.json()["account"]["username"])

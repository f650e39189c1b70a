"""A site whose nights are told in one line each, and rules of a few words."""

from __future__ import annotations

from typing import Any

from idmap.domain.accounts import Account
from idmap.domain.plans import Plan
from tests.support.planned_site import ISSUER, PlannedSite, person
from tests.support.rule_worlds import NOW

DAY = 86_400
PRODUCTION: dict[str, Any] = {
    "kind": "shared", "name": "atlasprd", "range": "people", "primary_group": "atlas",
    "shell": "/bin/bash", "home": "/data/{username}", "grace_days": 2,
}  # fmt: skip
MEMBER: dict[str, Any] = {
    "range": "people", "primary_group": "atlas", "shell": "/bin/bash", "home": "/home/{username}",
    "grace_days": 10,
}  # fmt: skip
COURSE: dict[str, Any] = {
    "kind": "pool", "size": 2, "username": {"prefix": "course", "digits": 2}, "range": "pools",
    "primary_group": "course", "shell": "/bin/bash", "home": "/course/{username}",
}  # fmt: skip


def rule(group: str, account_class: str = "production", **more: Any) -> dict[str, Any]:
    return {"id": more.pop("id", group.replace("/", "_")), "issuer": ISSUER, "group": group,
            "class": account_class, **more}  # fmt: skip


def deny(group: str, **more: Any) -> dict[str, Any]:
    return {"id": f"no_{group}", "effect": "deny", "issuer": ISSUER, "group": group, **more}


def document(*rules: dict[str, Any], **classes: dict[str, Any]) -> dict[str, Any]:
    used = {"production": PRODUCTION, "member": MEMBER, "course": COURSE} | classes
    return {"format": 2, "classes": used, "rules": list(rules)}


class Nights(PlannedSite):
    """A site whose nights are told in one line."""

    def night(self, days: int = 1, **members: set[str]) -> Plan:
        """Some days later, after a run: the plan that was carried out."""
        self.now += days * DAY
        self.members = members
        self.record()
        plan = self.plan()
        self.apply(plan.changes)
        assert self.plan().changes == ()
        return plan

    def account(self, name: str) -> Account:
        (found,) = (one for one in self.accounts.values() if one.username == name)
        return found

    def uses(self, name: str) -> str | None:
        """The account that somebody has."""
        number = self.links.get(person(name))
        return None if number is None else self.accounts[number].username

    def groups(self, account: str) -> set[str]:
        return {group.name for group in self.account(account).secondary_groups}


def site(*rules: dict[str, Any], **classes: dict[str, Any]) -> Nights:
    found = Nights(NOW)
    found.save(document(*rules, **classes))
    return found

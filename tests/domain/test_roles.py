"""Roles: what each may, who has one, and whom it may touch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from idmap.domain.administrators import held_roles, last_administrator_check
from idmap.domain.decision import Recorded
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.roles import (
    EVERYTHING,
    NOBODY,
    PERMISSION_MEANS,
    PERMISSIONS,
    ROLE_MEANS,
    Held,
    Permission,
    Role,
    roles_with,
)
from idmap.domain.rules import EMPTY_RULES, Administrator, RuleSet

ISSUER, OTHER = Issuer("https://iam.example/"), Issuer("https://other.example/")
ALICE = Identity(ISSUER, Subject("alice"))
STAFF, LAB, POOL = (Group(ISSUER, path) for path in ("staff", "lab", "pool"))


def _recorded(identity: Identity = ALICE, *groups: Group, **more: object) -> Recorded:
    return replace(Recorded(identity, True, frozenset(groups), None), **more)  # type: ignore[arg-type]  # by name


def _rules(*administrators: Administrator) -> RuleSet:
    return RuleSet(1, (), administrators)


def _holds(*roles: Role) -> Held:
    return Held(frozenset(roles))


def test_every_role_and_permission_is_explained() -> None:
    """What the documents and OpenAPI say is written where the table is."""
    assert set(PERMISSIONS) == set(ROLE_MEANS) == set(Role)
    assert set(PERMISSION_MEANS) == set(Permission)
    assert all(roles_with(permission) for permission in Permission)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.SITE_ADMIN])
def test_only_a_site_admin_writes_policy(role: Role) -> None:
    """Whoever writes [[admins]] can give themselves everything else."""
    assert not _holds(role).may(Permission.POLICY)
    assert PERMISSIONS[role] < PERMISSIONS[Role.SITE_ADMIN]


def test_duties_are_apart() -> None:
    """Who gives access lifts no ban, who bans gives no access, who reads changes nothing, who manages a group reads
    nobody else.
    """
    assert not _holds(Role.OPERATOR).may(Permission.BAN)
    assert not _holds(Role.SECURITY).may(Permission.ACCOUNTS)
    assert PERMISSIONS[Role.AUDITOR] == {Permission.READ}
    assert PERMISSIONS[Role.GROUP_MANAGER] == {Permission.OWN_GROUPS}
    assert roles_with(Permission.OWN_GROUPS) == (Role.SITE_ADMIN, Role.GROUP_MANAGER)


def test_roles_unite() -> None:
    """Two of them may what each may, and nothing beside."""
    both = _holds(Role.AUDITOR, Role.GROUP_MANAGER)
    assert {p for p in Permission if both.may(p)} == {Permission.READ, Permission.OWN_GROUPS}
    assert not any(NOBODY.may(permission) for permission in Permission)
    assert all(EVERYTHING.may(permission) for permission in Permission)


@pytest.mark.parametrize(
    ("caller", "theirs", "barred"),
    [
        (Role.OPERATOR, {Role.SECURITY}, {Role.SECURITY}),
        (Role.OPERATOR, {Role.OPERATOR}, {Role.OPERATOR}),
        (Role.OPERATOR, {Role.GROUP_MANAGER}, set()),
        (Role.OPERATOR, {Role.GROUP_MANAGER, Role.AUDITOR}, {Role.AUDITOR}),
        (Role.GROUP_MANAGER, {Role.GROUP_MANAGER}, {Role.GROUP_MANAGER}),
        (Role.SECURITY, {Role.SITE_ADMIN}, set()),
        (Role.SITE_ADMIN, {Role.SITE_ADMIN}, set()),
        (Role.OPERATOR, set(), set()),
    ],
)
def test_whom_a_role_may_touch(caller: Role, theirs: set[Role], barred: set[Role]) -> None:
    """Nobody disarms those who watch them."""
    assert _holds(caller).bars(frozenset(theirs)) == barred


def test_a_role_comes_by_name_or_by_recorded_membership() -> None:
    """Both at once unite; so do the groups that somebody manages."""
    rules = _rules(
        Administrator(ALICE, None, Role.SECURITY),
        Administrator(None, STAFF, Role.GROUP_MANAGER, frozenset({LAB})),
        Administrator(ALICE, None, Role.GROUP_MANAGER, frozenset({POOL})),
        Administrator(None, LAB, Role.SITE_ADMIN),
    )
    held = held_roles(_recorded(ALICE, STAFF), rules)
    assert held == Held(frozenset({Role.SECURITY, Role.GROUP_MANAGER}), frozenset({LAB, POOL}))
    named_only = held_roles(_recorded(ALICE), rules)
    assert named_only.manages == {POOL}


@pytest.mark.parametrize(
    "recorded",
    [
        _recorded(Identity(OTHER, Subject("alice")), Group(OTHER, "staff")),
        _recorded(Identity(ISSUER, Subject("alice ")), Group(ISSUER, "staff/more")),
        _recorded(ALICE, STAFF, active_at_source=False),
        _recorded(Identity(ISSUER, Subject("bot")), STAFF, robot=True),
        _recorded(Identity(ISSUER, Subject("bob")), also=frozenset({ALICE})),
    ],
    ids=["another issuer", "nearly the name", "disabled", "a robot in the group", "linked"],
)
def test_who_has_no_role(recorded: Recorded) -> None:
    """Law 3: neither a likeness, nor a link, nor what was."""
    rules = _rules(
        Administrator(ALICE, None, Role.SITE_ADMIN), Administrator(None, STAFF, Role.AUDITOR)
    )
    assert held_roles(recorded, rules) == NOBODY


def test_a_robot_that_is_named_has_its_role() -> None:
    """As with accounts: by name or not at all."""
    bot = Identity(ISSUER, Subject("bot"))
    rules = _rules(Administrator(bot, None, Role.AUDITOR))
    assert held_roles(_recorded(bot, robot=True), rules).roles == {Role.AUDITOR}


def test_the_last_site_admin_stays() -> None:
    """Unless a key is in force; a site of auditors alone could never change its rules again."""
    auditors = _rules(Administrator(ALICE, None, Role.AUDITOR))
    kept = _rules(Administrator(None, STAFF, Role.SITE_ADMIN))
    assert last_administrator_check(kept, has_key=False) is None
    assert last_administrator_check(auditors, has_key=True) is None
    for rules in (auditors, EMPTY_RULES):
        problem = last_administrator_check(rules, has_key=False)
        assert problem is not None
        assert "site-admin" in problem

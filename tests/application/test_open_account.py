"""A newcomer's request against the nightly run: the same plan for one person."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.application.open_account import open_own_account
from idmap.application.ports import Author, Listing, Registry
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import API
from idmap.domain.errors import Refused
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.provisioning import plan_changes
from idmap.domain.reasons import Reason
from idmap.entrypoints.http.documents import account_document
from tests.support.registries import make_registry
from tests.support.tokens import ISSUER, NOW, profile

PATHS = ("hpc", "hpc/gpu", "hpc/long", "elsewhere")
USERS = {"range": "people", "primary_group": "hpc", "shell": "/bin/bash", "home": "/h/{username}"}
RULES: dict[str, Any] = {
    "format": 1,
    "classes": {"users": USERS},
    "rules": [
        {
            "id": rule,
            "issuer": ISSUER,
            "group": group,
            "class": "users",
            "secondary_groups": ["hpc/gpu", "hpc/long"],
        }
        for rule, group in (("members", "hpc"), ("guests", "hpc/long"))
    ],
}


def _registry(*, record: bool = True) -> Registry:
    registry = make_registry(lambda: NOW)
    with registry.write(Author("test", "set up")) as writer:
        writer.save_issuer(profile(record_groups_from_tokens=record))
        writer.add_range(NumberRange("people", RangePurpose.PEOPLE, 200000, 200999))
        writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 300000, 300999))
        writer.save_rules(RULES, expect_version=None)
    return registry


def _claims(groups: set[str], name: str | None, subject: str = "s") -> VerifiedClaims:
    issuer = Issuer(ISSUER)
    return VerifiedClaims(
        identity=Identity(issuer, Subject(subject)),
        door=API,
        expires_at=NOW + 60,
        issued_at=NOW,
        token_id=None,
        client_id=None,
        groups=frozenset(Group(issuer, path) for path in groups),
        preferred_username=name,
    )


@given(groups=st.sets(st.sampled_from(PATHS)), name=st.none() | st.text(max_size=40))
def test_the_nightly_run_finds_nothing_left_to_do(groups: set[str], name: str | None) -> None:
    """Whoever is let in here is exactly as the rules would have it; whoever is not leaves no trace."""
    registry = _registry()
    if not groups & {"hpc", "hpc/long"}:
        with pytest.raises(Refused) as refused:
            open_own_account(registry, _claims(groups, name), NOW)
        assert refused.value.reason is Reason.NO_RULE_MATCHES
        with registry.read() as reader:
            assert not list(reader.people())
        return
    opened = open_own_account(registry, _claims(groups, name), NOW)
    assert opened.created
    with registry.read() as reader:
        plan = plan_changes(reader.people(), reader.rules(), reader.posix_groups(), NOW)
        assert set(plan.counts()) <= {"open_group"}
    again = open_own_account(registry, _claims(groups, name), NOW)
    assert (again.account, again.created) == (opened.account, False)


def test_only_the_groups_this_person_needs_get_a_gid() -> None:
    """The others wait for the nightly run."""
    registry = _registry()
    opened = open_own_account(registry, _claims({"hpc", "hpc/gpu"}, "alice"), NOW)
    with registry.read() as reader:
        assert {group.path for group in reader.posix_groups()} == {"hpc", "hpc/gpu"}
    names = [group["name"] for group in account_document(opened.account)["groups"]]
    assert names == ["hpc", "hpc_gpu"]


def test_what_a_token_claims_gives_nothing_unless_it_may_be_recorded() -> None:
    """Law 3."""
    with pytest.raises(Refused) as refused:
        open_own_account(_registry(record=False), _claims({"hpc"}, "alice"), NOW)
    assert refused.value.reason is Reason.NO_RULE_MATCHES


def test_a_token_issued_before_somebody_left_does_not_bring_them_back() -> None:
    """The listing read after the token was issued says they are no member; an old token shown later changes nothing."""
    registry = _registry()
    watched = frozenset(Group(Issuer(ISSUER), path) for path in PATHS)
    with registry.write(Author("provision:1", "tonight")) as writer:
        writer.record_listing(Listing("iam", Issuer(ISSUER), watched, (), began=NOW + 100))
    with pytest.raises(Refused) as refused:
        open_own_account(registry, _claims({"hpc"}, "ann"), NOW + 200)
    assert refused.value.reason is Reason.NO_RULE_MATCHES


ROBOTS: dict[str, Any] = {
    **RULES,
    "classes": {"users": USERS, "robots": {**USERS, "range": "robots"}},
    "rules": [
        *RULES["rules"],
        {
            "id": "robots",
            "issuer": ISSUER,
            "group": "hpc",
            "class": "robots",
            "robots": True,
            "subjects": ["host:ce.example"],
        },
    ],
}


def test_a_robot_gets_an_account_by_a_rule_for_robots_and_keeps_it() -> None:
    """Refused until the rule names it; then numbered and named apart, and the nightly run agrees."""
    registry = _registry()
    robot = replace(_claims({"hpc"}, "judy", "host:ce.example"), robot=True)
    with pytest.raises(Refused) as refused:
        open_own_account(registry, robot, NOW)
    assert refused.value.reason is Reason.ROBOT_REFUSED
    with registry.write(Author("test", "a rule for robots")) as writer:
        writer.add_range(NumberRange("robots", RangePurpose.PEOPLE, 210000, 210999))
        writer.save_rules(ROBOTS, expect_version=None)
    opened = open_own_account(registry, replace(robot, groups=frozenset()), NOW)
    assert opened.created
    assert (opened.account.username, opened.account.uid_number) == ("u210000", 210000)
    with registry.read() as reader:
        plan = plan_changes(reader.people(), reader.rules(), reader.posix_groups(), NOW + 86400)
        assert not [change for change in plan.changes if change.REMOVES]

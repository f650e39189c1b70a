"""Documents of format 2: what every member means, and what only narrows gives nothing."""

from __future__ import annotations

import tomllib
from datetime import date
from typing import Any

import pytest

from idmap.domain.conditions import Part, PartName
from idmap.domain.doors import ADMIN, parse_door
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import PRIVATE_GROUP, Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.node_access import EVERYWHERE, NOWHERE, NodeAccess
from idmap.domain.roles import Role
from idmap.domain.rule_document import parse_rules
from idmap.domain.rule_examples import check_examples
from idmap.domain.rule_fields import RuleFault
from idmap.domain.rules import AccountKind, Adds, Denies, Gives, SlurmAssociation
from tests.support.rule_worlds import NOW
from tests.support.whole_document import ISSUER, OTHER, document, edited

A, B = Issuer(ISSUER), Issuer(OTHER)


def group(path: str, issuer: Issuer = A) -> Group:
    return Group(issuer, path)


def test_every_member_means_what_it_says() -> None:
    """One document with all of them, read back member by member."""
    rules = parse_rules(document(), 7)
    assert (rules.version, rules.group_range, rules.unused_classes) == (7, "groups", ())
    assert [rule.rule_id for rule in rules.rules][:2] == ["lhc", "course"], "the highest first"
    lhc = rules.find_rule("lhc")
    assert lhc is not None
    assert lhc.priority == 10
    assert lhc.condition.parts[0] == Part(
        PartName.GROUPS,
        any=frozenset({group("lhc"), group("lhc/gpu")}),
        all=frozenset({group("vo")}),
        none=frozenset({group("lhc/blocked")}),
    )
    assert {part.name: part.items() for part in lhc.condition.parts[1:]} == {
        PartName.ENTITLEMENTS: {
            group("vo:role=member"),
            Fact(A, FactKind.ENTITLEMENT, "urn:geant:example.org:res:hpc"),
        },
        PartName.LABELS: {Fact(A, FactKind.LABEL, "indigo/site=here")},
        PartName.ATTRIBUTES: {Fact(A, FactKind.ATTRIBUTE, "contract=ended")},
        PartName.ASSURANCE: {
            Fact(A, FactKind.ASSURANCE, "https://refeds.org/assurance/IAP/medium")
        },
        PartName.EMAIL_DOMAIN: {Fact(A, FactKind.EMAIL_DOMAIN, "example.com")},
    }
    assert isinstance(lhc.outcome, Gives)
    assert lhc.outcome.secondary_groups == (group("lhc/gpu"), group("lab", B))
    member = lhc.outcome.account_class
    assert (member.kind, member.number_range, member.primary_group) == (
        AccountKind.PERSONAL, "people", group("lhc"),
    )  # fmt: skip
    assert (member.grace_days, member.membership_grace_days, member.approval_required) == (
        30, 7, True,
    )  # fmt: skip
    assert member.naming.last_suffix == 9
    assert member.expires_on == date(2026, 12, 4)
    assert member.access == NodeAccess(frozenset({"login", "gpu"}))
    assert member.local_groups == {"gpuusers"}
    assert member.slurm == SlurmAssociation("lhc", ("normal", "long"))
    course, production, project = (
        rules.class_of(one) for one in ("course", "production", "project")
    )
    assert course is not None
    assert production is not None
    assert project is not None
    assert (course.kind, course.pool_size, course.primary_group) == (
        AccountKind.POOL, 40, PRIVATE_GROUP,
    )  # fmt: skip
    assert (course.access, course.grace_days) == (EVERYWHERE, 30)
    assert (production.kind, production.shared_name) == (AccountKind.SHARED, "atlasprd")
    assert (project.kind, project.shared_name) == (AccountKind.PROJECT, "vo_prj")
    assert project.primary_group == group("lab", B)
    robots = rules.find_rule("robots")
    assert robots is not None
    assert (robots.condition.robots, robots.condition.subjects) == (True, {"ci"})
    gpu, left, insecure = (rules.find_rule(one) for one in ("gpu", "left", "insecure"))
    assert gpu is not None
    assert left is not None
    assert insecure is not None
    assert gpu.condition.robots is None, (
        "what adds, and what denies, asks nobody whether they are a robot"
    )
    assert gpu.outcome == Adds(
        (group("lhc/gpu"),), NodeAccess(frozenset({"gpu"})), frozenset({"licence"}),
        SlurmAssociation("gpu"),
    )  # fmt: skip
    assert left.outcome == Denies(grace_days=3, reason="left the institute")
    assert insecure.outcome == Denies(frozenset({"secure"}))
    (strong,) = rules.demands
    assert strong.doors == {parse_door("ssh:secure"), ADMIN}
    assert (strong.issuers, strong.max_authentication_age, strong.admits_keys) == ({A}, 3600, True)
    assert strong.capabilities == {"compute.read", "storage.read:/data"}
    site, heads = rules.administrators
    assert (site.identity, site.role) == (Identity(A, Subject("root-of-all")), Role.SITE_ADMIN)
    assert (heads.group, heads.role, heads.manages) == (
        group("lhc/heads"), Role.GROUP_MANAGER, {group("lhc")},
    )  # fmt: skip
    check_examples(rules, NOW)


def test_what_is_left_out_has_its_stated_meaning() -> None:
    """Effect account, priority 0, everywhere, no end, no local groups, people only."""
    rules = parse_rules(
        {
            "format": 2,
            "classes": {
                "c": {"range": "people", "primary_group": "g", "shell": "/bin/sh", "home": "/h"}
            },
            "rules": [
                {"id": "a", "issuer": ISSUER, "group": "g", "class": "c"},
                {"id": "d", "effect": "deny", "issuer": ISSUER},
            ],
        },
        1,
    )
    account, deny = rules.rules
    assert isinstance(account.outcome, Gives)
    given = account.outcome.account_class
    assert (account.priority, account.condition.robots) == (0, False)
    assert (given.access, given.expires_on, given.local_groups, given.slurm) == (
        EVERYWHERE, None, frozenset(), None,
    )  # fmt: skip
    assert (given.grace_days, given.membership_grace_days, given.kind) == (
        30, 0, AccountKind.PERSONAL,
    )  # fmt: skip
    assert deny.outcome == Denies()
    assert deny.condition.robots is None


def test_equal_priorities_keep_the_order_of_the_document_and_higher_ones_come_first() -> None:
    rules = [
        {"id": name, "issuer": ISSUER, "group": "/vo", "class": "robot", "robots": True, "priority": p}
        for name, p in (("a", 0), ("b", -5), ("c", 7), ("d", 0), ("e", 7))
    ]  # fmt: skip
    found = parse_rules(edited("/rules", rules) | {"examples": []}, 1)
    assert [rule.rule_id for rule in found.rules] == ["c", "e", "a", "d", "b"]


def test_a_day_is_tomls_own_or_written_like_it() -> None:
    text = 'expires = 2026-12-04\nwritten = "2026-12-04"\nmoment = 2026-12-04T10:00:00Z'
    days = tomllib.loads(text)
    for day in (days["expires"], days["written"]):
        rules = parse_rules(edited("/classes/member/expires", day), 1)
        given = rules.class_of("lhc")
        assert given is not None
        assert given.expires_on == date(2026, 12, 4)
    with pytest.raises(RuleFault):
        parse_rules(edited("/classes/member/expires", days["moment"]), 1)


@pytest.mark.parametrize("effect", ["account", "add"])
@pytest.mark.parametrize(
    "when",
    [
        {"assurance": {"any": ["high"]}},
        {"email_domain": {"all": ["example.org"]}},
        {"groups": {"none": ["/lhc"]}},
        {"labels": {"none": ["x"]}, "assurance": {"any": ["high"]}},
        {},
    ],
)
def test_what_only_narrows_gives_nothing(effect: str, when: dict[str, Any]) -> None:
    """A mail domain, an assurance, the absence of a group: none of them says who somebody is (law 1)."""
    rule: dict[str, Any] = {"id": "x", "effect": effect, "issuer": ISSUER, "when": when}
    rule |= {"class": "member"} if effect == "account" else {"node_classes": ["gpu"]}
    with pytest.raises(RuleFault) as caught:
        parse_rules(edited("/rules/0", rule), 1)
    assert caught.value.pointer == "/rules/0/when"


@pytest.mark.parametrize(
    "when",
    [
        {"groups": {"any": ["/lhc"]}},
        {"groups": {"all": ["/lhc"]}},
        {"entitlements": {"any": ["urn:geant:example.org:res:hpc"]}},
        {"labels": {"any": ["x"]}, "email_domain": {"any": ["example.org"]}},
        {"attributes": {"all": ["x=y"]}},
    ],
)
def test_a_group_an_entitlement_a_label_or_an_attribute_may_give_an_account(
    when: dict[str, Any],
) -> None:
    rule = {"id": "x", "issuer": ISSUER, "when": when, "class": "member"}
    parse_rules(edited("/rules/0", rule) | {"examples": []}, 1)


def test_a_rule_that_adds_nothing_is_refused() -> None:
    rule = {"id": "x", "effect": "add", "issuer": ISSUER, "group": "/lhc", "node_classes": []}
    with pytest.raises(RuleFault, match="adds nothing"):
        parse_rules(edited("/rules/5", rule), 1)


def test_a_demand_that_demands_nothing_is_refused() -> None:
    with pytest.raises(RuleFault, match="demands nothing") as caught:
        parse_rules(edited("/demands/0", {"id": "x", "doors": ["api"], "acr": []}), 1)
    assert caught.value.pointer == "/demands/0"


def test_a_class_for_no_node_class_is_for_none() -> None:
    """To own files everywhere and to log in nowhere is something that can be meant."""
    rules = parse_rules(edited("/classes/member/node_classes", []) | {"examples": []}, 1)
    given = rules.class_of("lhc")
    assert given is not None
    assert given.access == NOWHERE

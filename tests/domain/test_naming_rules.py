"""How rules say names, private groups and renamed groups."""

from __future__ import annotations

from typing import Any

import pytest

from idmap.domain.errors import InvalidInput
from idmap.domain.groups import (
    LOCAL_ISSUER,
    OUR_ISSUERS,
    PRIVATE_GROUP,
    PRIVATE_ISSUER,
    SHARED_ISSUER,
    Group,
)
from idmap.domain.issuers import check_profile
from idmap.domain.reasons import Reason
from idmap.domain.rule_document import parse_rules
from idmap.domain.rules import RuleSet, follow_renames, who_names
from idmap.domain.spelling import (
    DEFAULT_NAMING,
    EmailLocalPart,
    Initials,
    Preferred,
    PrefixCounter,
    Template,
)
from tests.support.registry_scenes import ISSUER, VO, document, profile


def rules_with(**more: Any) -> RuleSet:
    """The usual rules with other members in their class."""
    body = document()
    body["classes"]["member"] |= more
    return parse_rules(body, 1)


def test_rules_of_before_name_people_as_before() -> None:
    """The preferred name, without numbered forms."""
    account_class = rules_with().rules[0].outcome.account_class
    assert account_class.naming == DEFAULT_NAMING
    assert account_class.naming.last_suffix == 1
    assert rules_with().spelling_facts() == frozenset()


def test_one_strategy_or_a_list_of_them() -> None:
    one = rules_with(username="initials").rules[0].outcome.account_class.naming
    assert one.strategies == (Initials(),)
    many = rules_with(
        username=[
            "preferred",
            "email",
            {"template": "{given:1}{family}"},
            {"prefix": "hpc", "digits": 4},
        ],
        username_suffixes=9,
    )
    naming = many.rules[0].outcome.account_class.naming
    assert naming.strategies == (
        Preferred(), EmailLocalPart(), Template("{given:1}{family}"), PrefixCounter("hpc", 4),
    )  # fmt: skip
    assert naming.last_suffix == 9
    assert naming.counter == PrefixCounter("hpc", 4)
    assert many.spelling_facts() == {"email", "given", "family"}


@pytest.mark.parametrize(
    "username",
    [
        "sub", "", [], ["preferred"] * 9, 7, {"template": "alice"}, {"template": "{mail}"},
        {"template": "{given}-{family}"}, {"template": "{given:0}"}, {"template": "{given"},
        {"prefix": "u"}, {"prefix": "g"}, {"prefix": "hpc1"}, {"prefix": "HPC"}, {"prefix": ""},
        {"prefix": "a" * 20}, {"prefix": "hpc", "digits": 0}, {"prefix": "hpc", "digits": 11},
        {"prefix": "hpc", "digits": True}, {"prefix": "hpc", "start": 3},
        [{"prefix": "hpc"}, "preferred"],
    ],
)  # fmt: skip
def test_a_strategy_that_cannot_be_is_refused(username: Any) -> None:
    with pytest.raises(InvalidInput, check=lambda e: e.reason is Reason.RULE_INVALID) as caught:
        rules_with(username=username)
    assert "class member: username" in caught.value.detail


@pytest.mark.parametrize("suffixes", [0, 100, "9", True])
def test_numbered_forms_are_bounded(suffixes: Any) -> None:
    with pytest.raises(InvalidInput, check=lambda e: e.reason is Reason.RULE_INVALID):
        rules_with(username_suffixes=suffixes)


def test_a_robots_class_needs_no_facts_of_people() -> None:
    """Robots are not named from claims, so nothing is recorded for them."""
    body = document(robots=True)
    body["classes"]["member"]["username"] = "initials"
    assert parse_rules(body, 1).spelling_facts() == frozenset()


def test_what_a_counter_gives_no_claim_may_spell() -> None:
    rules = rules_with(username={"prefix": "hpc"})
    assert all(rules.is_counted_name(name) for name in ("hpc", "hpc7", "hpc0007"))
    assert not any(rules.is_counted_name(name) for name in ("hpcx", "hp", "hpc_7"))


def test_a_private_group_is_a_table_and_a_path_of_that_name_stays_a_path() -> None:
    own = rules_with(primary_group={"private": True})
    assert own.rules[0].outcome.account_class.primary_group == PRIVATE_GROUP
    assert PRIVATE_GROUP not in own.groups() | own.posix_groups()
    assert own.groups() == {VO}
    path = rules_with(primary_group="private").rules[0].outcome.account_class.primary_group
    assert path == Group(ISSUER, "private")


@pytest.mark.parametrize(
    "value", [{"private": False}, {"own": True}, {}, {"private": True, "x": 1}]
)
def test_no_other_table_is_a_primary_group(value: Any) -> None:
    with pytest.raises(InvalidInput):
        rules_with(primary_group=value)


@pytest.mark.parametrize("issuer", sorted(OUR_ISSUERS))
def test_what_stands_for_no_issuer_can_never_be_one(issuer: Any) -> None:
    """No rule, administrator or trusted issuer has such a string, as its own or as an alias."""
    for body in (
        document(issuer=issuer),
        {**document(), "admins": [{"issuer": issuer, "group": "lab"}]},
    ):
        with pytest.raises(InvalidInput, check=lambda e: e.reason is Reason.RULE_INVALID):
            parse_rules(body, 1)
    for made in (profile(issuer), profile(aliases=frozenset({issuer}))):
        with pytest.raises(InvalidInput, check=lambda e: e.reason is Reason.ISSUER_INVALID):
            check_profile(made)
    assert {LOCAL_ISSUER, PRIVATE_ISSUER, SHARED_ISSUER} == OUR_ISSUERS


def test_rules_follow_a_rename_everywhere_they_name_the_group() -> None:
    body = {**document(secondary_groups=["vo/data"]), "admins": [{"issuer": ISSUER, "group": "vo"}]}
    rules = parse_rules(body, 4)
    new = Group(ISSUER, "community")
    followed = follow_renames(rules, {VO: new})
    assert followed.rules[0].condition.items() == {new}
    assert followed.rules[0].outcome.account_class.primary_group == new
    assert followed.rules[0].outcome.secondary_groups == (Group(ISSUER, "vo/data"),)
    assert followed.administrators[0].group == new
    assert followed.version == 4
    assert who_names(rules, VO) == ("rule members", "class member", "admin 1")
    assert who_names(followed, VO) == ()
    assert follow_renames(rules, {Group(ISSUER, "other"): new}) is rules

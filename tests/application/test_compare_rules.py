"""A what-if counts what a person would count, page by page, on a real registry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idmap.application.compare_rules import PeopleAsked, compare_rules, every_one, parse_identity
from idmap.application.ports import Registry
from idmap.domain.decision import Recorded, decide
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.identity import Identity
from idmap.domain.linking import LinkProof
from idmap.domain.rule_document import parse_rules
from idmap.domain.rules import RuleSet
from idmap.domain.what_if import Effect, outcome_of
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    NOW,
    OTHER,
    STAFF,
    VO,
    document,
    furnish,
    listed,
    listing,
    opening,
    person,
    profile,
)

GROUPS = (VO, STAFF, Group(ISSUER, "vo/gpu"))


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """Thirty people in all combinations of groups; some with accounts, two of them with two identities."""
    registry = make_registry()
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
        writer.save_rules(document(), expect_version=None)
        people = [
            listed(f"p{number:02}", *(g for place, g in enumerate(GROUPS) if number >> place & 1))
            for number in range(28)
        ]
        writer.record_listing(listing(*people, watched=GROUPS))
        for number in range(0, 28, 3):
            writer.open_account(opening(person(f"p{number:02}"), f"name{number:02}"))
        for number in (3, 6):
            account = writer.find_account(username=f"name{number:02}")
            assert account is not None
            linked = Identity(OTHER, person(f"q{number}").subject)
            writer.link_identity(account.account_id, linked, LinkProof.ADMINISTRATOR)
    yield registry
    registry.close()


paths = st.sampled_from(["vo", "vo/staff_members", "vo/gpu"])
lists = st.fixed_dictionaries(
    {"any": st.lists(paths, min_size=1, max_size=2, unique=True)},
    optional={"none": st.lists(paths, max_size=1)},
)


@st.composite
def rule_sets(draw: st.DrawFn) -> RuleSet:
    """Rules about the groups of this site."""
    number, rows = count(1), []
    for groups in draw(st.lists(lists, min_size=1, max_size=4)):
        effect = draw(st.sampled_from(["account", "account", "deny", "add"]))
        row = {
            "id": f"r{next(number)}",
            "effect": effect,
            "issuer": ISSUER,
            "when": {"groups": groups},
        }
        more = {"account": {"class": draw(st.sampled_from(["member", "other"]))},
                "add": {"secondary_groups": ["vo/gpu"]}}.get(effect, {})  # fmt: skip
        rows.append({**row, **more})
    classes = document()["classes"]
    classes["other"] = {**classes["member"], "shell": "/bin/zsh"}
    return parse_rules({"format": 2, "classes": classes, "rules": rows}, 2)


def brute(people: list[Recorded], before: RuleSet, after: RuleSet) -> Counter[Effect]:
    """Everybody, one by one."""
    found: Counter[Effect] = Counter()
    for one in people:
        found.update(outcome_of(decide(one, before, NOW), decide(one, after, NOW)).effects)
    return found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rule_sets(), rule_sets(), st.integers(1, 7))
def test_counts_are_those_of_everybody_one_by_one(
    registry: Registry, before: RuleSet, after: RuleSet, limit: int
) -> None:
    """And the pages hold each person whom it reaches once, in order, whatever their length."""
    with registry.read() as reader:
        people = list(every_one(reader))
        found = compare_rules(reader, before, after, NOW)
        assert found.people == len(people) == 28
        assert found.effects == brute(people, before, after)
        assert found.entitled_before == sum(decide(p, before, NOW).allowed for p in people)
        assert found.entitled == sum(decide(p, after, NOW).allowed for p in people)
        assert sum(count.before for count in found.by_rule.values()) == found.entitled_before
        assert sum(count.loses for count in found.by_rule.values()) == found.loses
        assert sum(count.gains for count in found.by_rule.values()) == found.gains
        for effect in (None, Effect.LOSES, Effect.GROUPS):
            seen: list[Identity] = []
            after_one: Identity | None = None
            while True:
                page = compare_rules(
                    reader, before, after, NOW, asked=PeopleAsked(effect, after_one, limit)
                )
                seen += [change.identity for change in page.page]
                assert len(page.page) <= limit
                if page.next is None:
                    break
                after_one = parse_identity(str(page.next))
            wanted = [
                p.identity
                for p in people
                if (effects := outcome_of(decide(p, before, NOW), decide(p, after, NOW)).effects)
                and (effect is None or effect in effects)
            ]
            assert seen == sorted(wanted)


def test_people_with_accounts_are_named(registry: Registry) -> None:
    """By username where there is one; a canary that loses is told."""
    nobody = parse_rules({"format": 2}, 2)
    with registry.read() as reader:
        found = compare_rules(
            reader, reader.rules(), nobody, NOW, asked=PeopleAsked(), canaries=frozenset({"name03"})
        )
    usernames = {change.identity.subject: change.username for change in found.page}
    assert usernames["p03"] == "name03"
    assert usernames["p01"] is None
    assert found.losing_canaries == ["name03"]
    assert found.losing[0].subject == "p01"


def test_what_is_no_place_in_the_list_is_refused() -> None:
    """Nobody guesses."""
    with pytest.raises(InvalidInput):
        parse_identity("somebody")

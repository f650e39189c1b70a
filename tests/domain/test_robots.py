"""Robots: refused unless a rule says so, and then with a range and names of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Recorded, decide
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.plans import OpenAccount, StartGrace
from idmap.domain.provisioning import PersonFacts, plan_changes
from idmap.domain.reasons import Reason
from idmap.domain.rule_document import parse_rules
from idmap.domain.rules import RuleSet
from tests.domain.test_decision import ACCOUNT, NOON, SSH, WHO, credential

ISSUER = WHO.issuer
PEOPLE = {"range": "people", "primary_group": "vo", "shell": "/bin/bash", "home": "/h/{username}"}
DOCUMENT: dict[str, Any] = {
    "format": 1,
    "classes": {"people": PEOPLE, "robots": {**PEOPLE, "range": "robots"}},
    "rules": [
        {"id": "people", "issuer": ISSUER, "group": "vo", "class": "people"},
        {"id": "robots", "issuer": ISSUER, "group": "vo", "class": "robots", "robots": True,
         "subjects": ["host:ce.example"]},
    ],
}  # fmt: skip
FOR_BOTH = parse_rules(DOCUMENT, version=1)
FOR_PEOPLE = parse_rules({**DOCUMENT, "rules": DOCUMENT["rules"][:1]}, version=1)
MEMBER = frozenset({Group(ISSUER, "vo")})


def _recorded(**changes: Any) -> Recorded:
    return replace(Recorded(WHO, active_at_source=True, groups=MEMBER, account=None), **changes)


def _rule(recorded: Recorded, rules: RuleSet = FOR_BOTH) -> str | None:
    grant = decide(recorded, rules, NOON).grant
    return None if grant is None else grant.rule.rule_id


def test_a_robot_matches_no_rule_for_people() -> None:
    """It is told so, at a door as in the nightly run."""
    robot = _recorded(robot=True)
    assert decide(robot, FOR_PEOPLE, NOON).reasons == (Reason.ROBOT_REFUSED,)
    assert decide(robot, FOR_PEOPLE, NOON, SSH).reasons == (
        Reason.ACCOUNT_UNKNOWN, Reason.ROBOT_REFUSED,
    )  # fmt: skip


@given(robot=st.booleans(), active=st.booleans(), member=st.booleans(), named=st.booleans())
def test_people_and_robots_never_match_each_others_rules(
    robot: bool, active: bool, member: bool, named: bool
) -> None:
    """A person who bears the name that a rule gives a robot gets nothing from it."""
    identity = Identity(ISSUER, Subject("host:ce.example")) if named else WHO
    found = _rule(
        _recorded(
            identity=identity,
            robot=robot,
            active_at_source=active,
            groups=MEMBER if member else frozenset(),
        )
    )
    if not active:
        assert found is None
    elif robot:
        assert found == ("robots" if member or named else None)
    else:
        assert found == ("people" if member else None)


def test_a_robot_of_another_issuer_is_not_the_one_named() -> None:
    """Subjects belong to their issuer (law 1)."""
    elsewhere = Identity(Issuer("https://evil.example/"), Subject("host:ce.example"))
    assert _rule(_recorded(identity=elsewhere, robot=True, groups=frozenset())) is None


@given(recorded=st.booleans(), token=st.booleans())
def test_every_door_says_the_same_of_a_robots_account(recorded: bool, token: bool) -> None:
    """Who has an account is recorded; at a door the account decides, as it does on nodes (law 3)."""
    facts = _recorded(account=ACCOUNT, robot=recorded)
    claims: VerifiedClaims = replace(credential(), robot=token)
    with_token = decide(facts, FOR_BOTH, NOON, SSH, claims)
    assert with_token.reasons == decide(facts, FOR_BOTH, NOON, SSH).reasons == (Reason.OK,)


def test_a_robot_takes_no_persons_name() -> None:
    """Its account is named by its number, in the range of its class."""
    for robot, expected in ((True, ("robots", None)), (False, ("people", "judy"))):
        plan = plan_changes([PersonFacts(_recorded(robot=robot), "judy")], FOR_BOTH, {}, NOON)
        (opened,) = [change for change in plan.changes if isinstance(change, OpenAccount)]
        assert (opened.number_range, opened.spelled) == expected


def test_an_account_whose_person_turns_out_to_be_a_robot_goes_slowly() -> None:
    """Removals are slow (law 5): grace first, as for any lost entitlement."""
    facts = PersonFacts(_recorded(robot=True, account=ACCOUNT), "judy")
    plan = plan_changes([facts], FOR_PEOPLE, {}, NOON)
    assert [type(c) for c in plan.changes if getattr(c, "account_id", None)] == [StartGrace]


def test_a_linked_robot_neither_ends_nor_widens_a_persons_account() -> None:
    """Whichever identity comes first."""
    person = PersonFacts(_recorded(account=ACCOUNT), None)
    other = Identity(ISSUER, Subject("host:ce.example"))
    robot = PersonFacts(_recorded(identity=other, robot=True, account=ACCOUNT), None)
    for identities in ([person, robot], [robot, person]):
        plan = plan_changes(identities, FOR_PEOPLE, {}, NOON)
        assert not [c for c in plan.changes if isinstance(c, StartGrace)]
    left = replace(person, recorded=replace(person.recorded, groups=frozenset()))
    for identities in ([left, robot], [robot, left]):
        plan = plan_changes(identities, FOR_BOTH, {}, NOON)
        assert [c for c in plan.changes if isinstance(c, StartGrace)]


@pytest.mark.parametrize(
    ("member", "changes"),
    [
        ("robots", {"robots": "yes"}),
        ("robots", {"class": "people"}),
        ("subjects", {"subjects": [""]}),
        ("subjects", {"subjects": "host:a"}),
        ("subjects", {"robots": False}),
    ],
)
def test_a_rule_for_robots_that_cannot_stand_is_named(member: str, changes: dict[str, Any]) -> None:
    """Among them a range that serves people too: the number must tell them apart."""
    people, robots = DOCUMENT["rules"]
    with pytest.raises(InvalidInput, match=member) as caught:
        parse_rules({**DOCUMENT, "rules": [people, {**robots, **changes}]}, version=1)
    assert caught.value.reason is Reason.RULE_INVALID


def test_a_rule_may_name_a_role() -> None:
    """EGI Check-in's memberships are roles; the canonical id names them."""
    people = {**DOCUMENT["rules"][0], "group": "vo.example.eu:role=member"}
    (rule,) = parse_rules({**DOCUMENT, "rules": [people]}, version=1).rules
    assert rule.condition.items() == {Group(ISSUER, "vo.example.eu:role=member")}

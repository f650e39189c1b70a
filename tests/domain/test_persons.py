"""Several identities of one account are judged as one person, whatever tears at them (law 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.accounts import AccountState, PosixGroup
from idmap.domain.decision import Recorded, decide
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.names import GroupName
from idmap.domain.numbers import GidNumber
from idmap.domain.persons import as_one
from idmap.domain.provisioning import PersonFacts, plan_changes
from idmap.domain.rules import AccountClass, RuleSet
from tests.domain.test_provisioning import ACCOUNT, NOW
from tests.support.rules import member_rule

HERE, THERE = Issuer("https://a.example/"), Issuer("https://b.example/")
VO, DATA = Group(HERE, "vo"), Group(HERE, "vo/data")
LAB, LAB_DATA = Group(THERE, "lab"), Group(THERE, "lab/data")
GROUPS = (VO, DATA, LAB, LAB_DATA)
POSIX = {
    group: PosixGroup(GroupName(f"g{number}"), GidNumber(300_000 + number))
    for number, group in enumerate(GROUPS)
}


def _class(name: str, primary: Group, range_name: str = "people") -> AccountClass:
    return AccountClass(name, range_name, primary, "/bin/bash", "/home/{username}", grace_days=30)


RULES = RuleSet(
    1,
    (
        member_rule("vo", VO, _class("vo", VO), (DATA,)),
        member_rule("lab", LAB, _class("lab", LAB), (LAB_DATA,)),
        member_rule(
            "robots",
            VO,
            _class("robots", VO, "robots"),
            (DATA,),
            robots=True,
            subjects=frozenset({Subject("s1")}),
        ),
    ),
)
_account = st.builds(
    lambda state, held: replace(
        ACCOUNT,
        state=state,
        primary_group=POSIX[VO],
        secondary_groups=tuple(POSIX[group] for group in sorted(held)),
    ),
    st.sampled_from([AccountState.ACTIVE, AccountState.SUSPENDED, AccountState.PENDING]),
    st.sets(st.sampled_from([DATA, LAB_DATA])),
)


@st.composite
def identities(draw: st.DrawFn) -> list[Recorded]:
    """One to three identities of one account, each of one of two issuers."""
    account = draw(_account)
    found = []
    for number in range(draw(st.integers(1, 3))):
        issuer = draw(st.sampled_from([HERE, THERE]))
        own = [group for group in GROUPS if group.issuer == issuer]
        found.append(
            Recorded(
                Identity(issuer, Subject(f"s{number}")),
                active_at_source=draw(st.booleans()),
                groups=frozenset(draw(st.sets(st.sampled_from(own)))),
                account=account,
                robot=draw(st.booleans()),
            )
        )
    return found


def planned(people: Sequence[Recorded]) -> tuple[object, ...]:
    facts = [PersonFacts(recorded, None) for recorded in people]
    return plan_changes(facts, RULES, POSIX, NOW).changes


@given(identities())
def test_the_order_of_identities_decides_nothing(people: list[Recorded]) -> None:
    plans = {planned(order) for order in permutations(people)}
    assert len(plans) == 1
    grants = {decide(as_one(order), RULES, NOW).grant for order in permutations(people)}
    assert len(grants) == 1


@given(identities(), st.data())
def test_what_a_second_identity_loses_takes_nothing_that_the_first_one_gives(
    people: list[Recorded], data: st.DataObject
) -> None:
    """Whoever keeps their facts keeps what these alone would give them, in the words of the same rule."""
    kept = data.draw(st.sampled_from(people))
    alone = decide(as_one([kept]), RULES, NOW).grant
    torn = [
        one
        if one is kept
        else replace(one, active_at_source=data.draw(st.booleans()), groups=frozenset())
        for one in people
    ]
    together = decide(as_one(torn), RULES, NOW).grant
    if alone is not None and not kept.robot:
        assert together == alone
        assert not any(type(change).__name__ == "StartGrace" for change in planned(torn))


@given(identities())
def test_a_robot_gives_a_person_nothing(people: list[Recorded]) -> None:
    active_people = [one for one in people if one.active_at_source and not one.robot]
    if active_people:
        assert (
            decide(as_one(people), RULES, NOW).grant
            == decide(as_one(active_people), RULES, NOW).grant
        )


@given(identities())
def test_nobody_inactive_matches_a_rule(people: list[Recorded]) -> None:
    """Not even by name, through a link to somebody who is active."""
    silent = [replace(one, active_at_source=False) for one in people]
    assert decide(as_one(silent), RULES, NOW).grant is None
    robots = [
        replace(one, robot=True, groups=frozenset(), active_at_source=one.identity.subject != "s1")
        for one in people
    ]
    assert decide(as_one(robots), RULES, NOW).grant is None


@given(identities())
def test_during_grace_a_group_stays_while_any_identity_is_recorded_in_it(
    people: list[Recorded],
) -> None:
    """As with one identity: to be inactive at the source is not to have left a group."""
    if decide(as_one(people), RULES, NOW).grant is None:
        in_groups = frozenset[Group]().union(*(one.groups for one in people))
        for change in planned(people):
            if type(change).__name__ == "LeaveGroups":
                assert not set(change.groups) & in_groups  # type: ignore[attr-defined]


@given(identities())
def test_facts_count_together_just_as_groups_do(people: list[Recorded]) -> None:
    """Of the same identities: an inactive one's, or a robot's, add nothing to a person."""
    told = [
        replace(one, facts=frozenset(Fact(g.issuer, FactKind.LABEL, g.path) for g in one.groups))
        for one in people
    ]
    together = as_one(told)
    assert {fact.value for fact in together.facts} == {group.path for group in together.groups}

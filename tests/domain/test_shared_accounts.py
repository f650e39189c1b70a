"""Shared accounts, one night at a time: who comes, who goes, and what nobody gets by company."""

from __future__ import annotations

import pytest

from idmap.domain.account_changes import narrowed
from idmap.domain.accounts import AccountEvent, AccountState, AccountTerms
from idmap.domain.decision import day_of, decide
from idmap.domain.guard import GuardLimits, check_guard
from idmap.domain.node_access import NodeAccess
from idmap.domain.plans import (
    LeaveAccount,
    OpenAccount,
)
from idmap.domain.provisioning import federated_groups
from tests.support.nights import DAY, PRODUCTION, deny, document, rule, site
from tests.support.planned_site import ISSUER

# --- who comes


def test_who_matches_shares_one_account_under_the_name_of_the_class() -> None:
    nights = site(rule("prd"))
    plan = nights.night(prd={"ann", "bob", "cid"})
    assert plan.counts() == {"open_group": 1, "open_account": 1, "join_account": 2}
    assert {nights.uses(name) for name in ("ann", "bob", "cid")} == {"atlasprd"}
    assert nights.account("atlasprd").shared


def test_two_newcomers_of_one_night_have_what_both_are_entitled_to() -> None:
    """Nobody gets a group's gid by company, not even for one night."""
    nights = site(rule("prd", secondary_groups=["gpu", "tape"]))
    nights.night(prd={"ann", "bob"}, gpu={"ann"}, tape={"ann", "bob"})
    assert nights.groups("atlasprd") == {"tape"}


def test_who_comes_with_less_takes_it_from_the_account_in_the_same_plan() -> None:
    nights = site(rule("prd", secondary_groups=["gpu"]))
    nights.night(prd={"ann"}, gpu={"ann"})
    assert nights.groups("atlasprd") == {"gpu"}
    plan = nights.night(prd={"ann", "bob"}, gpu={"ann"})
    assert plan.counts() == {"join_account": 1, "leave_groups": 1}
    assert nights.groups("atlasprd") == set()
    (batch,) = nights.batches(plan)[-1:]
    assert {type(one).__name__ for one in batch} == {"JoinAccount", "LeaveGroups"}, "kept together"


def test_node_classes_and_local_groups_are_those_of_everybody() -> None:
    nights = site(
        rule("prd"),
        {"id": "more", "effect": "add", "issuer": ISSUER, "group": "gpu",
         "node_classes": ["gpu"], "local_groups": ["licence"]},
        deny("remote", node_classes=["login"]),
        production=PRODUCTION | {"node_classes": ["login"]},
    )  # fmt: skip
    nights.night(prd={"ann"}, gpu={"ann"})
    assert nights.account("atlasprd").terms == AccountTerms(
        NodeAccess(frozenset({"login", "gpu"})), frozenset({"licence"})
    )
    nights.night(prd={"ann", "bob"}, gpu={"ann"}, remote={"bob"})
    assert nights.account("atlasprd").terms == AccountTerms(NodeAccess(frozenset()))


@pytest.mark.parametrize("owner", ["a person", "a group", "another history"])
def test_a_name_that_is_taken_lets_nobody_in_and_stops_no_run(owner: str) -> None:
    """Whoever has it; the others of that night get their accounts."""
    nights = site(rule("staff", "member"), rule("prd"))
    if owner == "another history":
        nights.names["atlasprd"] = "somebody"
    if owner == "a group":
        before = document(rule("staff", "member", secondary_groups=["atlasprd"]))
        nights.save(before)
        nights.night()
        nights.save(document(rule("staff", "member"), rule("prd")))
    if owner == "a person":
        nights.save(document(rule("staff", "member")))
        nights.night(staff={"atlasprd"})
        nights.save(document(rule("staff", "member"), rule("prd")))
    nights.night(staff={"atlasprd", "ann"}, prd={"bob"})
    assert nights.uses("ann") == "ann"
    assert nights.uses("bob") is None
    assert nights.plan().changes == ()


def test_neither_a_person_nor_a_group_is_given_the_name_while_rules_keep_it() -> None:
    """Whoever comes first: the person gets another name, the group one from its number."""
    nights = site(rule("staff", "member", secondary_groups=["atlasprd"]), rule("prd"))
    nights.night(staff={"atlasprd"}, prd={"zoe"})
    assert nights.uses("atlasprd") not in {None, "atlasprd"}
    assert nights.uses("zoe") == "atlasprd"
    assert "atlasprd" not in {posix.name for posix in nights.posix.values()}


def test_who_has_an_account_of_their_own_keeps_it() -> None:
    """A shared class gives it what rules say, and no other number."""
    nights = site(rule("staff", "member"))
    nights.night(staff={"ann"})
    nights.save(document(rule("prd", priority=5), rule("staff", "member")))
    plan = nights.night(staff={"ann"}, prd={"ann"})
    assert plan.changes == ()
    assert nights.uses("ann") == "ann"


# --- who goes


def test_who_is_not_entitled_any_more_leaves_and_the_others_stay() -> None:
    nights = site(rule("prd", secondary_groups=["gpu"]))
    nights.night(prd={"ann", "bob"}, gpu={"ann"})
    plan = nights.night(prd={"ann"}, gpu={"ann"})
    assert plan.counts() == {"join_groups": 1, "leave_account": 1}
    assert nights.uses("bob") is None
    assert nights.groups("atlasprd") == {"gpu"}, "who kept it out has left"


def test_the_last_one_keeps_it_through_its_grace() -> None:
    nights = site(rule("prd"))
    nights.night(prd={"ann", "bob"})
    plan = nights.night()
    assert plan.counts() == {"start_grace": 1}
    assert {nights.uses("ann"), nights.uses("bob")} == {"atlasprd"}, "all of them, as one's own"
    assert nights.account("atlasprd").grace_until == day_of(nights.now + 2 * DAY)
    assert nights.night(2).changes == ()
    assert nights.night().counts() == {"suspend_account": 1}
    assert nights.account("atlasprd").state is AccountState.SUSPENDED


def test_who_comes_back_finds_it_as_it_was() -> None:
    """Also years later, and whoever it is; those who are entitled no more have left then."""
    nights = site(rule("prd"))
    nights.night(prd={"ann"})
    number = nights.account("atlasprd").uid_number
    nights.night()
    nights.night(3)
    plan = nights.night(700, prd={"bob"})
    assert plan.counts() == {"join_account": 1, "restore_account": 1, "leave_account": 1}
    assert (nights.uses("ann"), nights.uses("bob")) == (None, "atlasprd")
    assert nights.account("atlasprd").uid_number == number
    assert nights.account("atlasprd").state is AccountState.ACTIVE


def test_who_is_denied_leaves_though_the_others_are_in_grace() -> None:
    """Every member is judged alone: a deny rule's own grace is for accounts that end, not for leaving one."""
    nights = site(rule("prd"), deny("left", grace_days=5))
    nights.night(prd={"ann", "bob"})
    plan = nights.night(left={"bob"})
    assert plan.counts() == {"start_grace": 1, "leave_account": 1}
    assert nights.uses("bob") is None


def test_when_all_are_denied_the_account_ends_as_the_strictest_rule_of_those_who_stay_says() -> (
    None
):
    nights = site(rule("prd"), deny("left", grace_days=5), deny("moved", grace_days=3), deny("out"))
    everybody = {"ann", "bob", "cid"}
    nights.night(prd=everybody)
    plan = nights.night(prd=everybody, left={"ann", "bob"}, moved={"bob"}, out={"cid"})
    assert plan.counts() == {"start_grace": 1, "leave_account": 1}
    assert nights.account("atlasprd").grace_until == day_of(nights.now + 3 * DAY)
    assert nights.uses("cid") is None
    again = nights.night(prd=everybody, out=everybody)
    assert again.counts() == {"suspend_denied": 1}
    back = nights.night(prd=everybody)
    assert back.counts() == {"join_account": 1, "restore_account": 1}


def test_who_is_given_another_account_leaves_for_it_in_the_same_plan() -> None:
    nights = site(rule("staff", "member", priority=1), rule("prd"))
    nights.night(prd={"ann", "bob"})
    plan = nights.night(prd={"ann", "bob"}, staff={"bob"})
    assert [type(one) for one in plan.changes] == [LeaveAccount, OpenAccount]
    leave = plan.changes[0]
    assert isinstance(leave, LeaveAccount)
    assert leave.moves
    assert nights.uses("bob") == "bob"
    assert plan.changes in nights.batches(plan), "both in one transaction"


def test_a_new_name_is_a_new_account_and_the_old_one_ends_first() -> None:
    """Nobody is entitled to the old one any more: its people keep it through its grace, then move together."""
    nights = site(rule("prd"))
    nights.night(prd={"ann", "bob"})
    nights.save(document(rule("prd"), production=PRODUCTION | {"name": "atlasnew"}))
    assert nights.night(prd={"ann", "bob"}).counts() == {"start_grace": 1}
    plan = nights.night(3, prd={"ann", "bob"})
    assert plan.counts() == {
        "open_account": 1, "join_account": 1, "suspend_account": 1, "leave_account": 2,
    }  # fmt: skip
    assert {nights.uses("ann"), nights.uses("bob")} == {"atlasnew"}
    assert nights.account("atlasprd").uid_number != nights.account("atlasnew").uid_number


def test_a_closed_account_releases_its_people() -> None:
    nights = site(rule("staff", "member"), rule("prd", priority=1))
    nights.night(prd={"ann"}, staff={"ann"})
    nights.move(nights.account("atlasprd").account_id, AccountEvent.CLOSED)
    nights.night(prd={"ann"}, staff={"ann"})
    assert nights.uses("ann") == "atlasprd", "the rules give the closed one, and so nothing"
    nights.night(staff={"ann"})
    assert nights.uses("ann") == "ann"


def test_two_people_change_places() -> None:
    nights = site(rule("a"), rule("b", "other"), other=PRODUCTION | {"name": "cmsprd"})
    nights.night(a={"ann", "amy"}, b={"bob", "ben"})
    nights.night(a={"amy", "bob"}, b={"ann", "ben"})
    assert (nights.uses("ann"), nights.uses("bob")) == ("cmsprd", "atlasprd")


# --- who can neither come nor go


def test_while_a_ban_reaches_the_account_nobody_comes_or_goes_and_nothing_is_added() -> None:
    nights = site(rule("prd", secondary_groups=["gpu"]))
    nights.night(prd={"ann", "bob"}, gpu={"ann"})
    nights.banned = {"bob"}
    plan = nights.night(prd={"ann", "cid"}, gpu={"ann", "cid"})
    assert plan.changes == (), "not even the group that only bob kept it from"
    nights.banned = set()
    nights.night(prd={"ann", "cid"}, gpu={"ann", "cid"})
    assert (nights.uses("bob"), nights.uses("cid")) == (None, "atlasprd")
    assert nights.groups("atlasprd") == {"gpu"}


def test_a_banned_newcomer_waits_and_the_others_do_not() -> None:
    nights = site(rule("prd"))
    nights.banned = {"ann"}
    nights.night(prd={"ann", "bob"})
    assert (nights.uses("ann"), nights.uses("bob")) == (None, "atlasprd")


def test_a_record_that_cannot_be_read_holds_its_person_and_nobody_else() -> None:
    """Law 6, one by one: the others of the account are judged, and nothing is added for company."""
    nights = site(rule("prd", secondary_groups=["gpu"]))
    nights.night(prd={"ann", "bob", "cid"}, gpu={"ann", "cid"})
    nights.unreadable = {"bob"}
    nights.night(prd={"ann", "bob"}, gpu={"ann", "bob"})
    assert (nights.uses("bob"), nights.uses("cid")) == ("atlasprd", None)
    assert nights.groups("atlasprd") == set()
    nights.unreadable = set()
    nights.night(prd={"ann", "bob"}, gpu={"ann", "bob"})
    assert nights.groups("atlasprd") == {"gpu"}


def test_an_account_that_a_person_suspended_lets_nobody_in() -> None:
    nights = site(rule("prd"))
    nights.night(prd={"ann"})
    nights.move(nights.account("atlasprd").account_id, AccountEvent.SUSPENDED_BY_PERSON)
    nights.night(prd={"ann", "bob"})
    assert nights.uses("bob") is None
    assert nights.account("atlasprd").state is AccountState.SUSPENDED


def test_the_guard_counts_everybody_who_has_to_leave() -> None:
    """A source that loses half a collaboration is stopped, however few accounts it is."""
    nights = site(rule("prd"))
    everybody = {f"p{number:02}" for number in range(40)}
    nights.night(prd=everybody)
    nights.now += DAY
    nights.members = {"prd": set(sorted(everybody)[:10])}
    nights.record()
    report = check_guard(nights.plan(), GuardLimits(20, 3), population=40, emptied=())
    assert (report.removals, report.allowed) == (30, 8)
    assert report.stopped_by
    watched = GuardLimits(100, 3, frozenset({"atlasprd"}))
    assert check_guard(nights.plan(), watched, 40, ()).stopped_by == (
        "canary atlasprd would lose something",
    )


def test_a_newcomer_by_day_takes_what_they_are_not_entitled_to_and_adds_nothing() -> None:
    nights = site(rule("prd", secondary_groups=["gpu", "tape"]))
    nights.night(prd={"ann"}, gpu={"ann"}, tape=set())
    nights.members = {"prd": {"ann", "bob"}, "gpu": {"ann"}, "tape": {"bob"}}
    nights.record()
    grant = decide(nights.recorded("bob"), nights.rules, nights.now).grant
    assert grant is not None
    changes = list(narrowed(nights.account("atlasprd"), grant, federated_groups(nights.posix)))
    nights.apply(changes)
    assert nights.groups("atlasprd") == set()

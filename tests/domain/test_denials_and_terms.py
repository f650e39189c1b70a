"""Projects, pools, deny rules and terms, one night at a time."""

from __future__ import annotations

from datetime import date

from idmap.domain.accounts import AccountEvent, AccountState
from idmap.domain.decision import account_reason, day_of
from idmap.domain.guard import GuardLimits, check_guard
from idmap.domain.plans import (
    CutGrace,
    CutTerms,
    JoinAccount,
    StartGrace,
    SuspendDenied,
)
from idmap.domain.reasons import Reason
from tests.support.nights import COURSE, DAY, MEMBER, PRODUCTION, deny, document, rule, site

# --- projects and pools


def test_a_project_is_one_account_for_each_group() -> None:
    project = PRODUCTION | {"kind": "project", "name": "{group}_prj"}
    nights = site(rule("lab/a", "project"), rule("lab/b", "project"), project=project)
    nights.now += DAY
    nights.members = {"lab/a": {"ann", "bob"}, "lab/b": {"cid"}}
    nights.record()
    nights.apply(nights.plan().changes)
    assert (nights.uses("ann"), nights.uses("bob"), nights.uses("cid")) == (
        "lab_a_prj", "lab_a_prj", "lab_b_prj",
    )  # fmt: skip


def test_a_pool_is_full_at_its_size_and_first_by_identity_is_first() -> None:
    nights = site(rule("course"), course=COURSE)
    nights.save(document(rule("course", "course")))
    nights.night(course={"cid", "ann", "bob"})
    assert (nights.uses("ann"), nights.uses("bob"), nights.uses("cid")) == (
        "course01", "course02", None,
    )  # fmt: skip
    nights.night(course={"bob", "cid"})
    assert nights.uses("cid") is None, "an account in grace has its place"
    nights.move(nights.account("course01").account_id, AccountEvent.CLOSED)
    nights.night(course={"bob", "cid"})
    assert nights.uses("cid") == "course03", "a place is free again, a name never"


# --- deny rules and terms


def test_a_deny_rule_suspends_at_once_or_after_its_own_grace_and_its_end_restores() -> None:
    nights = site(rule("staff", "member"), deny("out"), deny("left", grace_days=3))
    nights.night(staff={"ann", "bob"})
    plan = nights.night(staff={"ann", "bob"}, out={"ann"}, left={"bob"})
    ann, bob = nights.account("ann"), nights.account("bob")
    assert plan.changes == (
        StartGrace(bob.account_id, bob.username, day_of(nights.now + 3 * DAY)),
        SuspendDenied(ann.account_id, ann.username, "no_out"),
    )
    assert nights.night(staff={"ann", "bob"}).counts() == {"restore_account": 2}


def test_a_deny_rule_cuts_the_grace_that_is_left_and_never_lengthens_it() -> None:
    nights = site(rule("staff", "member"), deny("left", grace_days=3), deny("long", grace_days=99))
    nights.night(staff={"ann", "bob"})
    nights.night(left=set(), long={"bob"})
    assert {one.grace_until for one in nights.accounts.values()} == {day_of(nights.now + 10 * DAY)}
    plan = nights.night(left={"ann"}, long={"bob"})
    until = day_of(nights.now + 3 * DAY)
    assert plan.changes == (
        CutGrace(
            nights.account("ann").account_id, nights.account("ann").username, until, "no_left"
        ),
    )
    assert nights.night(left={"ann"}, long={"bob"}).changes == (), "not cut anew each night"


def test_a_node_class_is_denied_in_grace_too() -> None:
    nights = site(rule("staff", "member"), deny("remote", node_classes=["secure"]))
    nights.night(staff={"ann"})
    plan = nights.night(remote={"ann"})
    assert plan.counts() == {"cut_terms": 1, "start_grace": 1}
    assert not nights.account("ann").access.admits("secure")
    assert nights.account("ann").access.admits("login")


def test_what_is_cut_counts_for_the_guard_and_what_is_given_does_not() -> None:
    nights = site(rule("staff", "member"), member=MEMBER | {"node_classes": ["login"]})
    nights.night(staff={"ann"})
    for classes, kind in ((["login", "gpu"], "extend_terms"), (["gpu"], "cut_terms")):
        nights.save(document(rule("staff", "member"), member=MEMBER | {"node_classes": classes}))
        plan = nights.plan()
        assert list(plan.counts()) == [kind]
        report = check_guard(plan, GuardLimits(0, 0), 1, ())
        assert bool(report.stopped_by) is (kind == "cut_terms")
        nights.apply(plan.changes)


def test_an_earlier_last_day_is_a_cut_and_a_later_one_is_not() -> None:
    for before, after, kind in (
        (None, "2026-12-04", CutTerms.KIND),
        ("2026-12-04", "2026-12-03", CutTerms.KIND),
        ("2026-12-04", "2026-12-05", "extend_terms"),
        ("2026-12-04", None, "extend_terms"),
    ):
        ends = [{} if day is None else {"expires": day} for day in (before, after)]
        nights = site(rule("staff", "member"), member=MEMBER | ends[0])
        nights.night(staff={"ann"})
        nights.save(document(rule("staff", "member"), member=MEMBER | ends[1]))
        assert list(nights.plan().counts()) == [kind]


def test_accounts_of_a_course_end_with_its_friday_at_every_door() -> None:
    """2026-12-04, to the end of that UTC day; nobody gets one on Saturday, and a new date brings all of them back."""
    course = COURSE | {"expires": "2026-12-04"}
    nights = site(rule("course", "course"), course=course)
    nights.night(course={"ann"})
    account = nights.account("course01")
    assert account.expires_on == date(2026, 12, 4)
    last_second = 1_796_428_799
    assert day_of(last_second) == date(2026, 12, 4)
    for node_class in (None, "login", "gpu"):
        assert account_reason(account, (), last_second, node_class) is Reason.OK
        assert account_reason(account, (), last_second + 1, node_class) is Reason.ACCOUNT_EXPIRED
    nights.now = last_second + 1 - DAY
    nights.night(course={"ann", "bob"})
    assert nights.uses("bob") is None
    assert nights.account("course01").state is AccountState.ACTIVE, "the account is kept as it is"
    nights.save(document(rule("course", "course"), course=COURSE | {"expires": "2026-12-11"}))
    nights.night(course={"ann", "bob"})
    assert nights.uses("bob") == "course02"
    assert account_reason(nights.account("course01"), (), nights.now) is Reason.OK


def test_join_names_the_account_or_says_that_it_is_opened_in_the_plan() -> None:
    nights = site(rule("prd"))
    first = nights.night(prd={"ann", "bob"})
    later = nights.night(prd={"ann", "bob", "cid"})
    joins = [one for one in (*first.changes, *later.changes) if isinstance(one, JoinAccount)]
    assert [one.account_id for one in joins] == [None, nights.account("atlasprd").account_id]

"""Plans and the guard, as pure values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.decision import Recorded
from idmap.domain.errors import Conflict
from idmap.domain.groups import Group
from idmap.domain.guard import GuardLimits, check_guard, require_guard
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.names import GroupName, Username
from idmap.domain.numbers import GidNumber, UidNumber
from idmap.domain.plans import LeaveGroups, OpenAccount, OpenGroup, Plan, StartGrace, SuspendAccount
from idmap.domain.provisioning import PersonFacts, plan_changes
from idmap.domain.reasons import Reason
from idmap.domain.rules import AccountClass, RuleSet
from tests.support.rules import member_rule

ISSUER = Issuer("https://iam.example.org/")
OTHER = Issuer("https://other.example.org/")
BASE, DATA = Group(ISSUER, "vo"), Group(ISSUER, "vo/data")
NOW = int(datetime(2026, 11, 2, 2, 17, tzinfo=UTC).timestamp())
CLASS = AccountClass("member", "people", BASE, "/bin/bash", "/home/{username}", grace_days=30)
RULES = RuleSet(3, (member_rule("vo", BASE, CLASS, (DATA,)),))
POSIX = {
    BASE: PosixGroup(GroupName("vo"), GidNumber(300000)),
    DATA: PosixGroup(GroupName("vo_data"), GidNumber(300001)),
}
ACCOUNT = Account(
    account_id=1,
    username=Username("jo"),
    uid_number=UidNumber(200000),
    primary_group=POSIX[BASE],
    secondary_groups=(),
    home="/home/jo",
    shell="/bin/bash",
    state=AccountState.ACTIVE,
    grace_until=None,
    expires_on=None,
    rule_id="vo",
)


def facts(
    *groups: Group,
    account: Account | None = ACCOUNT,
    active: bool = True,
    unchanged: bool = False,
    issuer: Issuer = ISSUER,
) -> PersonFacts:
    identity = Identity(issuer, Subject("jo"))
    return PersonFacts(Recorded(identity, active, frozenset(groups), account), "jo", unchanged)


def plan(*people: PersonFacts, at: int = NOW, rules: RuleSet = RULES) -> Plan:
    return plan_changes(people, rules, POSIX, at)


def test_groups_without_a_gid_are_opened_first() -> None:
    changes = plan_changes([facts(BASE, account=None)], RULES, {}, NOW).changes
    assert [type(change) for change in changes] == [OpenGroup, OpenGroup, OpenAccount]


def test_an_account_whose_other_identity_is_still_a_member_loses_nothing() -> None:
    """One account is one person: a second identity that left takes nothing from the first."""
    left = facts(issuer=OTHER)
    assert plan(facts(BASE), left).changes == ()
    assert plan(left, facts(BASE)).changes == ()
    assert plan(facts(issuer=OTHER), facts()).counts() == {"start_grace": 1}


def test_an_account_is_judged_once_by_all_its_identities_together() -> None:
    """Groups of an identity that its source calls inactive do not count."""
    second = facts(DATA, issuer=OTHER)
    assert plan(facts(BASE), second).counts() == {"join_groups": 1}
    inactive = facts(DATA, issuer=OTHER, active=False)
    assert plan(facts(BASE), inactive).changes == ()


def test_an_unreadable_identity_leaves_its_whole_account_alone() -> None:
    assert plan(facts(issuer=OTHER), facts(unchanged=True)).changes == ()


def test_grace_ends_after_its_last_day_and_not_on_it() -> None:
    until = date(2026, 11, 2)
    account = replace(ACCOUNT, state=AccountState.GRACE, grace_until=until)
    assert plan(facts(account=account)).changes == ()
    day = 86400
    assert plan(facts(account=account), at=NOW + day).changes == (
        SuspendAccount(1, Username("jo")),
    )


def test_grace_of_no_days_is_usable_today() -> None:
    rules = replace(RULES, rules=(member_rule("vo", BASE, replace(CLASS, grace_days=0)),))
    assert plan(facts(), rules=rules).changes == (
        StartGrace(1, Username("jo"), until=date(2026, 11, 2)),
    )


@pytest.mark.parametrize("state", [AccountState.ACTIVE, AccountState.GRACE, AccountState.SUSPENDED])
def test_a_group_that_was_left_is_left_in_every_state(state: AccountState) -> None:
    """Also of a suspended account: its gid would be back with the account."""
    until = date(2027, 1, 1) if state is AccountState.GRACE else None
    account = replace(ACCOUNT, state=state, grace_until=until, secondary_groups=(POSIX[DATA],))
    assert LeaveGroups(1, Username("jo"), (DATA,)) in plan(facts(account=account)).changes
    kept = plan(facts(DATA, account=account))
    assert not any(isinstance(change, LeaveGroups) for change in kept.changes)


@pytest.mark.parametrize("groups", [(), (BASE,), (BASE, DATA)])
def test_a_tombstone_is_final(groups: tuple[Group, ...]) -> None:
    account = replace(ACCOUNT, state=AccountState.TOMBSTONE, secondary_groups=(POSIX[DATA],))
    assert plan(facts(*groups, account=account)).changes == ()


def test_the_hash_is_of_everything_in_the_plan() -> None:
    first = plan(facts())
    assert first.digest == plan(facts()).digest
    assert first.digest != plan(facts(), at=NOW + 86400).digest, "grace ends on another day"
    assert first.digest != plan(facts(), rules=replace(RULES, version=4)).digest
    assert first.digest != plan().digest


@pytest.mark.parametrize(
    ("percent", "floor", "population", "allowed"),
    [(20, 3, 100, 20), (20, 3, 10, 3), (0, 0, 100, 0), (100, 0, 7, 7), (20, 3, 0, 3)],
)
def test_what_the_guard_allows(percent: int, floor: int, population: int, allowed: int) -> None:
    report = check_guard(Plan(1, ()), GuardLimits(percent, floor), population, ())
    assert report.allowed == allowed


def test_the_guard_counts_accounts_and_not_changes() -> None:
    """One person who loses two groups and the account is one loser."""
    account = replace(ACCOUNT, secondary_groups=(POSIX[DATA],))
    assert plan(facts(account=account)).counts() == {"leave_groups": 1, "start_grace": 1}
    report = check_guard(plan(facts(account=account)), GuardLimits(0, 1), 1, ())
    assert (report.removals, report.stopped_by) == (1, ())


def test_an_approval_passes_the_guard_for_its_plan_alone() -> None:
    stopping = plan(facts())
    report = check_guard(stopping, GuardLimits(0, 0), 1, ())
    with pytest.raises(Conflict) as caught:
        require_guard(stopping, report, None)
    assert caught.value.reason is Reason.GUARD_STOPPED
    require_guard(stopping, report, stopping.digest)
    for wrong in ("", stopping.digest[:16], plan().digest):
        with pytest.raises(Conflict) as caught:
            require_guard(stopping, report, wrong)
        assert caught.value.reason is Reason.PLAN_STALE

"""Provisioning runs, on a real registry: what is kept, and above all what is not."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from datetime import timedelta

import pytest

from idmap.application.ports import Author, Registry
from idmap.application.provision import LEASE, LEASE_SECONDS, RunRequest, run_provision
from idmap.application.provision_report import Outcome, report_as_json
from idmap.domain.accounts import AccountState
from idmap.domain.errors import Conflict, InvalidInput, SourceFailed
from idmap.domain.guard import GuardLimits
from idmap.domain.identity import Issuer
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from tests.support.provisioning import (
    GRACE_DAYS,
    RULES,
    Site,
    ToldSource,
    group,
    identity,
    open_registry,
)

NAMES = [f"person{number:02d}" for number in range(20)]


@pytest.fixture
def registry() -> Iterator[Registry]:
    with open_registry() as registry:
        yield registry


@pytest.fixture
def site(registry: Registry) -> Site:
    """Twenty people with accounts, five of them in demo/gpu."""
    site = Site(registry).prepare()
    site.source.members = {
        "demo/compute": set(NAMES),
        "demo/gpu": set(NAMES[:5]),
        "demo/data": {NAMES[0]},
    }
    assert site.run().outcome is Outcome.APPLIED
    return site


# --- gaining ----------------------------------------------------------------------------------


def test_members_get_accounts_with_numbers_names_and_groups(site: Site) -> None:
    account = site.account(NAMES[0])
    assert account.username == NAMES[0]
    assert account.state is AccountState.ACTIVE
    assert 200_000 <= account.uid_number < 300_000
    assert {one.name for one in account.secondary_groups} == {"demo_gpu", "demo_data"}
    assert account.primary_group.name == "demo_compute"


def test_a_second_run_changes_nothing(site: Site) -> None:
    before = site.everything()
    site.later(days=1)
    report = site.run()
    assert report.outcome is Outcome.NOTHING_TO_DO
    assert report.plan is not None
    assert report.plan.changes == ()
    assert site.everything() == before


def test_sources_are_asked_for_watched_groups_of_their_issuer_only(site: Site) -> None:
    assert site.source.asked == [{group("demo/compute"), group("demo/gpu"), group("demo/data")}]


def test_a_source_of_an_issuer_without_rules_is_not_asked(registry: Registry) -> None:
    site = Site(registry, ToldSource(issuer=Issuer("https://other.example/"))).prepare()
    report = site.run()
    assert site.source.asked == []
    assert any("no source reads https://iam.example.org/" in note for note in report.notes)


def test_the_record_names_run_and_plan(site: Site) -> None:
    """Law 12: facts and changes are one commit, under the plan's hash."""
    with site.registry.read() as reader:
        (run,) = reader.runs()
        entries = [entry for entry in reader.changes(limit=1000) if entry.action == "open_account"]
    assert run.outcome == Outcome.APPLIED
    assert run.plan is not None
    assert {(entry.author, entry.plan) for entry in entries} == {
        ("provision:run-1", run.plan["digest"])
    }


# --- losing -----------------------------------------------------------------------------------


def test_leaving_starts_grace_with_its_date_and_only_a_run_after_it_suspends(site: Site) -> None:
    """Removals are slow (law 5): grace first, suspension after its last day."""
    name = NAMES[7]
    site.source.members["demo/compute"].discard(name)
    last_day = site.day(GRACE_DAYS)
    assert site.run().plan.counts() == {"start_grace": 1}
    account = site.account(name)
    assert (account.state, account.grace_until) == (AccountState.GRACE, last_day)

    site.later(days=GRACE_DAYS)
    assert site.run().outcome is Outcome.NOTHING_TO_DO, "the last day is still usable"
    site.later(days=1)
    assert site.run().plan.counts() == {"suspend_account": 1}
    assert site.account(name).state is AccountState.SUSPENDED
    site.later(days=100)
    assert site.run().outcome is Outcome.NOTHING_TO_DO


@pytest.mark.parametrize("wait_days", [1, GRACE_DAYS + 1])
def test_who_returns_has_the_same_account_with_the_same_uid(site: Site, wait_days: int) -> None:
    """From grace and from suspension alike."""
    name = NAMES[0]
    before = site.account(name)
    for members in site.source.members.values():
        members.discard(name)
    site.limits = GuardLimits(max_percent=100)
    stopped = site.run()
    assert stopped.reason is Reason.GUARD_STOPPED, "demo/data is empty now"
    assert site.run(approve=stopped.plan.digest).outcome is Outcome.APPLIED
    site.later(days=wait_days)
    site.run()
    for path in ("demo/compute", "demo/gpu", "demo/data"):
        site.source.members[path].add(name)
    site.run()
    assert site.account(name) == before


def test_a_member_made_inactive_is_leaving(site: Site) -> None:
    site.source.inactive = {NAMES[3]}
    assert site.run().plan.counts() == {"start_grace": 1}
    assert site.account(NAMES[3]).state is AccountState.GRACE


def test_leaving_a_secondary_group_has_no_grace(site: Site) -> None:
    """Leaving a group is leaving its data (design-review H9)."""
    site.source.members["demo/gpu"].discard(NAMES[1])
    assert site.run().plan.counts() == {"leave_groups": 1}
    account = site.account(NAMES[1])
    assert account.state is AccountState.ACTIVE
    assert account.secondary_groups == ()


def test_an_account_in_grace_leaves_the_groups_its_person_left(site: Site) -> None:
    """The account's grace is not the groups': else the gid of a data group would stay for a month."""
    site.source.members["demo/compute"].discard(NAMES[1])
    site.source.members["demo/gpu"].discard(NAMES[1])
    assert site.run().plan.counts() == {"leave_groups": 1, "start_grace": 1}
    assert site.account(NAMES[1]).secondary_groups == ()
    site.source.members["demo/gpu"].discard(NAMES[2])
    site.source.members["demo/compute"].discard(NAMES[2])
    site.source.members["demo/gpu"].add(NAMES[2])
    assert site.run().plan.counts() == {"start_grace": 1}
    assert len(site.account(NAMES[2]).secondary_groups) == 1


# --- what does not happen ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "reason",
    [
        Reason.SOURCE_INCOMPLETE,
        Reason.SOURCE_UNAVAILABLE,
        Reason.SOURCE_REFUSED,
        Reason.SOURCE_GROUP_MISSING,
    ],
)
def test_a_source_that_fails_changes_nothing_and_leaves_a_run_record(
    site: Site, reason: Reason
) -> None:
    """Law 6: nobody is removed, nobody is added, nothing is recorded but that it failed."""
    before = site.everything()
    site.source.members = {"demo/compute": {"newcomer"}}
    site.source.failure = SourceFailed(reason, "as told")
    report = site.run()
    assert (report.outcome, report.reason, report.plan) == (Outcome.FAILED, reason, None)
    assert site.everything() == before
    with site.registry.read() as reader:
        run = reader.runs(limit=1)[0]
    assert run.outcome == Outcome.FAILED
    assert run.reason == f"{reason}: as told"
    assert run.finished is not None


def test_one_failing_source_of_two_changes_nothing(site: Site) -> None:
    """Not even what the other one said."""
    before = site.everything()
    site.source.members["demo/compute"].add("newcomer")
    broken = ToldSource(name="second", failure=SourceFailed(Reason.SOURCE_UNAVAILABLE, "as told"))
    for sources in ([site.source, broken], [broken, site.source]):
        report = run_provision(
            site.registry, sources, site.limits, RunRequest("two", "test"), clock=lambda: site.now
        )
        assert report.outcome is Outcome.FAILED
        assert site.everything() == before


def test_an_unreadable_record_is_present_and_unchanged(site: Site) -> None:
    """Law 6: neither grace nor groups nor shell change for somebody whose record cannot be read."""
    before = site.account(NAMES[0])
    site.source.unreadable = {NAMES[0]}
    site.source.members["demo/gpu"].discard(NAMES[0])
    rules = deepcopy(dict(RULES))
    rules["classes"]["member"]["shell"] = "/bin/zsh"
    site.save_rules(rules)
    report = site.run()
    assert report.plan.counts() == {"change_shell": len(NAMES) - 1}
    assert site.account(NAMES[0]) == before
    assert [numbers.unreadable for numbers in report.sources] == [1]
    assert report.notes == (f"iam: {NAMES[0]}: unreadable",)


def test_an_unreadable_newcomer_gets_no_account_until_the_record_reads(site: Site) -> None:
    site.source.members["demo/compute"].add("newcomer")
    site.source.unreadable = {"newcomer"}
    assert site.run().outcome is Outcome.NOTHING_TO_DO
    assert not site.has_account("newcomer")
    site.source.unreadable = set()
    assert site.run().outcome is Outcome.APPLIED
    assert site.has_account("newcomer")


def test_an_exhausted_range_keeps_nothing(site: Site) -> None:
    """Not even the accounts for which there was a number."""
    before = site.everything()
    rules = deepcopy(dict(RULES))
    rules["classes"]["member"]["range"] = "few"
    with site.registry.write(Author("test", "a small range")) as writer:
        writer.add_range(NumberRange("few", RangePurpose.PEOPLE, 400_000, 400_001))
        writer.save_rules(rules, expect_version=None)
    site.source.members["demo/compute"] |= {"newcomer1", "newcomer2", "newcomer3"}
    report = site.run()
    assert (report.outcome, report.reason) == (Outcome.FAILED, Reason.RANGE_EXHAUSTED)
    after = site.everything()
    assert after["people"] == before["people"]
    assert after["accounts"] == before["accounts"]


# --- dry runs ---------------------------------------------------------------------------------


def test_a_dry_run_shows_the_plan_and_changes_nothing_at_all(site: Site) -> None:
    site.source.members["demo/compute"].discard(NAMES[9])
    site.source.members["demo/compute"].add("newcomer")
    before = site.everything()
    with site.registry.read() as reader:
        log, runs = reader.changes(limit=1000), reader.runs()
    report = site.run(dry_run=True)
    assert report.outcome is Outcome.PLANNED, report.detail
    assert report.plan.counts() == {"open_account": 1, "start_grace": 1}
    assert site.everything() == before
    with site.registry.read() as reader:
        assert (reader.changes(limit=1000), reader.runs()) == (log, runs)
    assert site.run().plan == report.plan, "what was shown is what is done"


def test_as_of_plans_a_later_day_and_keeps_nothing(site: Site) -> None:
    site.source.members["demo/compute"].discard(NAMES[9])
    site.run()
    before = site.everything()
    last_day = site.account(NAMES[9]).grace_until
    assert site.run(as_of=last_day).plan.changes == ()
    report = site.run(as_of=last_day + timedelta(days=1))
    assert report.outcome is Outcome.PLANNED, report.detail
    assert report.plan.counts() == {"suspend_account": 1}
    assert site.everything() == before


def test_a_day_in_the_past_cannot_be_planned_for(site: Site) -> None:
    with pytest.raises(InvalidInput) as caught:
        site.run(as_of=site.day(-1))
    assert caught.value.reason is Reason.REQUEST_INVALID


# --- the guard --------------------------------------------------------------------------------


def test_an_empty_group_stops_at_the_guard_and_nothing_is_kept(site: Site) -> None:
    """Whatever the percentage allows, a group that had members and has none wants a person's eyes."""
    site.limits = GuardLimits(max_percent=100)
    before = site.everything()
    site.source.members["demo/data"] = set()
    report = site.run()
    assert (report.outcome, report.reason) == (Outcome.STOPPED, Reason.GUARD_STOPPED)
    assert report.guard.stopped_by == ("group demo/data is empty now and was not before",)
    assert site.everything() == before
    with site.registry.read() as reader:
        run = reader.runs(limit=1)[0]
    assert run.outcome == Outcome.STOPPED
    assert run.plan["digest"] == report.plan.digest


def test_a_listing_that_loses_everybody_removes_nobody(site: Site) -> None:
    """Every night anew, until a person approves."""
    before = site.everything()
    site.source.members = {}
    for _ in range(3):
        site.later(days=1)
        assert site.run().reason is Reason.GUARD_STOPPED
        assert site.everything() == before


def test_more_losers_than_allowed_stop_the_plan(site: Site) -> None:
    """A fifth of twenty is four: four may leave, five may not."""
    for name in NAMES[10:15]:
        site.source.members["demo/compute"].discard(name)
    report = site.run()
    assert report.reason is Reason.GUARD_STOPPED
    assert (report.guard.removals, report.guard.allowed, report.guard.population) == (5, 4, 20)
    site.source.members["demo/compute"].add(NAMES[10])
    assert site.run().outcome is Outcome.APPLIED


def test_a_canary_stops_the_plan(site: Site) -> None:
    site.limits = GuardLimits(canaries=frozenset({NAMES[19]}))
    site.source.members["demo/compute"].discard(NAMES[19])
    assert site.run().guard.stopped_by == (f"canary {NAMES[19]} would lose something",)


def test_approval_is_of_one_plan_and_no_other(site: Site) -> None:
    """The hash that was read is the hash that is applied."""
    for name in NAMES[10:16]:
        site.source.members["demo/compute"].discard(name)
    digest = site.run().plan.digest
    before = site.everything()

    site.source.members["demo/compute"].discard(NAMES[16])
    report = site.run(approve=digest)
    assert (report.outcome, report.reason) == (Outcome.STOPPED, Reason.PLAN_STALE)
    assert site.everything() == before

    site.source.members["demo/compute"].add(NAMES[16])
    site.later(days=1)
    assert site.run(approve=digest).reason is Reason.PLAN_STALE, "grace would end a day later"
    site.later(days=-1)
    report = site.run(approve=digest)
    assert report.outcome is Outcome.APPLIED
    assert site.account(NAMES[10]).state is AccountState.GRACE


@pytest.mark.parametrize("approve", ["", "0" * 64, "yes"])
def test_a_hash_that_is_no_plan_approves_nothing(site: Site, approve: str) -> None:
    site.source.members = {}
    before = site.everything()
    assert site.run(approve=approve).reason is Reason.PLAN_STALE
    assert site.everything() == before


# --- one at a time ----------------------------------------------------------------------------


def test_two_runs_exclude_each_other(site: Site) -> None:
    """The second says so, and leaves no trace."""
    second: list[Conflict] = []

    class Slow(ToldSource):
        def observe(self, watched, progress, known, facts):  # type: ignore[no-untyped-def]
            with pytest.raises(Conflict) as caught:
                site.run()
            second.append(caught.value)
            return super().observe(watched, progress, known, facts)

    outer, site.source = Slow(members=site.source.members), site.source
    report = run_provision(
        site.registry, [outer], site.limits, RunRequest("outer", "test"), clock=lambda: site.now
    )
    assert report.outcome is Outcome.NOTHING_TO_DO
    assert [error.reason for error in second] == [Reason.ALREADY_RUNNING]
    assert site.run().outcome is Outcome.NOTHING_TO_DO, "the lease was given back"


def test_the_lease_of_a_run_that_died_ends_by_itself(site: Site) -> None:
    assert site.registry.take_lease(LEASE, "dead", at=site.now, seconds=LEASE_SECONDS)
    with pytest.raises(Conflict):
        site.run()
    site.later(seconds=LEASE_SECONDS + 1)
    assert site.run().outcome is Outcome.NOTHING_TO_DO


def test_a_long_reading_keeps_its_lease(site: Site) -> None:
    """Renewed with the progress, so that a crawl of hours is still one run."""

    class Slow(ToldSource):
        def observe(self, watched, progress, known, facts):  # type: ignore[no-untyped-def]
            for step in range(100):
                site.later(seconds=90)
                progress("reading", step, 100)
                assert not site.registry.take_lease(LEASE, "other", at=site.now, seconds=1)
            return super().observe(watched, progress, known, facts)

    site.source = Slow(members=site.source.members)
    assert site.run().outcome is Outcome.NOTHING_TO_DO


def test_a_fault_of_ours_is_raised_recorded_and_gives_the_lease_back(site: Site) -> None:
    class Broken(ToldSource):
        def observe(self, watched, progress, known, facts):  # type: ignore[no-untyped-def]
            del watched, progress, known, facts
            raise ZeroDivisionError

    good, site.source = site.source, Broken()
    with pytest.raises(ZeroDivisionError):
        site.run()
    with site.registry.read() as reader:
        run = reader.runs(limit=1)[0]
    assert (run.outcome, run.reason) == (Outcome.FAILED, "internal_error")
    site.source = good
    assert site.run().outcome is Outcome.NOTHING_TO_DO


def test_rules_that_change_while_the_source_is_read_stop_the_run(site: Site) -> None:
    """The source was asked about other groups than the rules now speak of."""

    class Meanwhile(ToldSource):
        def observe(self, watched, progress, known, facts):  # type: ignore[no-untyped-def]
            site.save_rules(RULES)
            return super().observe(watched, progress, known, facts)

    site.source = Meanwhile(members=site.source.members)
    before = site.everything()
    assert site.run().reason is Reason.PLAN_STALE
    assert site.everything()["people"] == before["people"]


def test_a_change_between_rehearsal_and_application_is_planned_anew(site: Site) -> None:
    """What is applied is what the guard saw: another plan by then goes through the guard again."""
    registry = site.registry
    opened = []
    original = registry.write

    def write(author):  # type: ignore[no-untyped-def]
        if author.plan is not None and not opened:
            opened.append(author)
            with original(Author("somebody", "meanwhile")) as writer:
                writer.record_observation(
                    identity("newcomer"),
                    frozenset({group("demo/compute")}),
                    "newcomer",
                    site.now + 5,
                )
        return original(author)

    registry.write = write  # type: ignore[method-assign]
    site.source.members["demo/compute"].add("other")
    report = site.run()
    assert report.outcome is Outcome.APPLIED
    assert report.plan.counts() == {"open_account": 2}
    assert site.has_account("newcomer")


# --- the report -------------------------------------------------------------------------------


def test_the_report_as_json_has_everything(site: Site) -> None:
    site.source.members["demo/compute"] = set()
    document = report_as_json(site.run())
    assert document["outcome"] == "stopped"
    assert document["reason"] == "guard_stopped"
    assert document["next_step"].startswith("Read the plan")
    assert document["plan"]["counts"] == {"start_grace": 20}
    assert len(document["plan"]["changes"]) == 20
    assert document["guard"]["population"] == 20
    assert document["sources"] == [
        {
            "source": "iam",
            "issuer": "https://iam.example.org/",
            "groups": 3,
            "people": 5,
            "inactive": 0,
            "unreadable": 0,
        }
    ]

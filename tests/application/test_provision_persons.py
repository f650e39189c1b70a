"""Nights over people with several identities, memberships with a last day, and newcomers who wait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.application.approve_account import approve_account
from idmap.application.compare_rules import RuleComparison, compare_rules
from idmap.application.ports import Author
from idmap.application.provision import RunRequest, run_provision
from idmap.application.provision_report import Outcome, ProvisionReport, report_as_json
from idmap.domain.accounts import AccountState
from idmap.domain.decision import decide
from idmap.domain.doors import API
from idmap.domain.guard import GuardLimits
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuers import IssuerProfile
from idmap.domain.linking import LinkProof
from idmap.domain.persons import as_one
from idmap.domain.reasons import Reason
from idmap.domain.rule_document import parse_rules
from idmap.domain.rules import RuleSet
from idmap.domain.what_if import Effect
from tests.support.examples import examples
from tests.support.provisioning import RULES, START, Site, ToldSource, identity
from tests.support.registries import make_registry

OTHER = Issuer("https://lab.example.org/")
ADMIN = Author("admin-key", "a test")
CLASS = RULES["classes"]["member"]


def with_class(**more: Any) -> dict[str, Any]:
    return {**RULES, "classes": {"member": {**CLASS, **more}}}


TWO_ISSUERS: Mapping[str, Any] = {
    **with_class(grace_days=5, membership_grace_days=2),
    "classes": {
        "member": {**CLASS, "grace_days": 5, "membership_grace_days": 2},
        "lab": {**CLASS, "primary_group": "lab", "grace_days": 5},
    },
    "rules": [
        *RULES["rules"],
        {
            "id": "lab",
            "issuer": OTHER,
            "group": "lab",
            "class": "lab",
            "secondary_groups": ["lab/data"],
        },
    ],
}


@dataclass
class TwoSources:
    """One site, two issuers, each with a source of its own."""

    site: Site
    second: ToldSource = field(default_factory=lambda: ToldSource(name="lab", issuer=OTHER))

    def run(self, **options: Any) -> ProvisionReport:
        self.site.source.began = self.second.began = self.site.now
        number = self.site.now
        return run_provision(
            self.site.registry,
            [self.site.source, self.second],
            self.site.limits,
            RunRequest(f"run-{number}-{len(options)}", "test", **options),
            clock=lambda: self.site.now,
        )

    def night(self) -> ProvisionReport:
        report = self.run()
        if report.reason is Reason.GUARD_STOPPED and report.plan is not None:
            return self.run(approve=report.plan.digest)
        return report


def two_sources(*linked: str) -> TwoSources:
    """Everybody named has an account here and their namesake at the other issuer linked to it."""
    site = Site(make_registry(), limits=GuardLimits(max_percent=100, floor=100))
    with site.registry.write(ADMIN) as writer:
        writer.save_issuer(IssuerProfile(OTHER, {API: frozenset({"https://idmap.example.org"})}))
    found = TwoSources(site.prepare(TWO_ISSUERS))
    site.source.members = {"demo/compute": set(linked)}
    assert found.night().outcome in {Outcome.APPLIED, Outcome.NOTHING_TO_DO}
    with site.registry.write(ADMIN) as writer:
        for name in linked:
            account = writer.recorded(identity(name)).account
            assert account is not None
            other = Identity(OTHER, Subject(f"uuid-of-{name}"))
            writer.link_identity(account.account_id, other, LinkProof.ADMINISTRATOR)
    return found


NAMES = ("ann", "ben", "cas")
names = st.sets(st.sampled_from(NAMES))
nights = st.lists(
    st.fixed_dictionaries(
        {
            "here": st.fixed_dictionaries(
                {"demo/compute": names, "demo/gpu": names, "demo/data": names}
            ),
            "there": st.fixed_dictionaries({"lab": names, "lab/data": names}),
            "inactive": names,
            "inactive_there": names,
            "unreadable": names,
            "days": st.integers(0, 4),
        }
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=examples(50), deadline=None)
@given(nights, names)
def test_several_identities_are_one_person_night_after_night(
    history: list[dict[str, Any]], linked: set[str]
) -> None:
    """Nothing flips: a second run has nothing to do; whoever is entitled by any identity is active; nobody loses a
    group before the day they were told; numbers, names and links never move."""
    found = two_sources(*linked)
    site = found.site
    with site.registry.read() as reader:
        given_to = {one.account_id: one.uid_number for one in reader.every_account()}
        links = {one: reader.identities_of(one) for one in given_to}
    for night in history:
        site.later(days=night["days"])
        site.source.members, site.source.inactive = night["here"], night["inactive"]
        site.source.unreadable = night["unreadable"]
        found.second.members, found.second.inactive = night["there"], night["inactive_there"]
        with site.registry.read() as reader:
            before = {one.account_id: one for one in reader.every_account()}
        report = found.night()
        assert report.outcome in {Outcome.APPLIED, Outcome.NOTHING_TO_DO}, report
        again = found.run()
        assert (again.outcome, again.plan.changes) == (Outcome.NOTHING_TO_DO, ())  # type: ignore[union-attr]
        with site.registry.read() as reader:
            rules = reader.rules()
            assert {number: links[number] for number in links} == {
                number: reader.identities_of(number) for number in links
            }
            for account in reader.every_account():
                people = reader.people_of(account.account_id)
                assert given_to.setdefault(account.account_id, account.uid_number)
                assert given_to[account.account_id] == account.uid_number
                if any(one.present_unchanged for one in people):
                    assert account == before.get(account.account_id, account)
                    continue
                grant = decide(as_one([one.recorded for one in people]), rules, site.now).grant
                assert (grant is not None) is (account.state is AccountState.ACTIVE)
                told = {
                    one.group: one.until
                    for one in getattr(before.get(account.account_id), "leaving", ())
                }
                assert all(
                    site.day() > until
                    for group, until in told.items()
                    if group not in account.secondary_groups
                ), "a promised day is kept"


def test_losing_one_identity_keeps_the_account_while_another_entitles_it() -> None:
    found = two_sources("ann")
    site = found.site
    before = site.account("ann")
    found.second.members = {"lab": {"ann"}, "lab/data": {"ann"}}
    found.night()
    assert site.account("ann") == before
    site.source.members = {}
    found.night()
    account = site.account("ann")
    assert (account.state, account.uid_number) == (AccountState.ACTIVE, before.uid_number)
    assert [one.name for one in account.secondary_groups] == ["lab_data"]
    found.second.members = {}
    found.night()
    assert site.account("ann").state is AccountState.GRACE


def test_a_linked_identity_counts_once_when_rules_are_compared() -> None:
    found = two_sources("ann", "ben")
    proposed = parse_rules({**TWO_ISSUERS, "rules": TWO_ISSUERS["rules"][1:]}, 9)
    compared = compared_with(found.site, proposed)
    assert (compared.people, compared.loses, compared.gains) == (2, 2, 0)
    found.second.members = {"lab": {"ann"}}
    found.night()
    compared = compared_with(found.site, proposed)
    assert (compared.people, compared.loses, compared.effects[Effect.MOVES]) == (2, 1, 1)


def compared_with(site: Site, proposed: RuleSet) -> RuleComparison:
    """The rules in force beside others."""
    with site.registry.read() as reader:
        return compare_rules(reader, reader.rules(), proposed, START)


# --- membership grace -------------------------------------------------------------------------


@pytest.fixture
def kind() -> Site:
    """Memberships are kept for three days; ann and ben use the GPUs."""
    site = Site(make_registry(), limits=GuardLimits(max_percent=100))
    site.prepare(with_class(membership_grace_days=3))
    site.source.members = {"demo/compute": {"ann", "ben"}, "demo/gpu": {"ann", "ben"}}
    site.run()
    return site


def groups_of(site: Site, name: str) -> list[str]:
    return [one.name for one in site.account(name).secondary_groups]


def test_a_group_that_was_left_is_kept_to_its_last_day(kind: Site) -> None:
    """The plan names the day; nodes hear nothing until then; nothing changed stays nothing changed."""
    last = kind.day(3)
    with kind.registry.read() as reader:
        revision = reader.revision()
    kind.source.members["demo/gpu"].discard("ann")
    report = kind.run()
    assert report.plan is not None
    assert report.plan.counts() == {"start_membership_grace": 1}
    assert report_as_json(report)["plan"]["changes"][0]["until"] == last.isoformat()
    assert report.guard is not None
    assert report.guard.removals == 1, "announced removals count too"
    with kind.registry.read() as reader:
        assert reader.revision() == revision
    for _ in range(3):
        assert groups_of(kind, "ann") == ["demo_gpu"]
        assert [one.until for one in kind.account("ann").leaving] == [last]
        assert kind.run().outcome is Outcome.NOTHING_TO_DO
        kind.later(days=1)
    assert kind.day() == last
    assert kind.run().outcome is Outcome.NOTHING_TO_DO, "the last day counts"
    kind.later(days=1)
    assert kind.run().plan.counts() == {"leave_groups": 1}  # type: ignore[union-attr]
    assert groups_of(kind, "ann") == []
    assert kind.run().outcome is Outcome.NOTHING_TO_DO
    assert groups_of(kind, "ben") == ["demo_gpu"]


def test_who_returns_within_the_grace_loses_nothing(kind: Site) -> None:
    before = kind.account("ann")
    kind.source.members["demo/gpu"].discard("ann")
    kind.run()
    kind.later(days=2)
    kind.source.members["demo/gpu"].add("ann")
    assert kind.run().plan.counts() == {"keep_groups": 1}  # type: ignore[union-attr]
    assert kind.account("ann") == before
    kind.later(days=30)
    assert kind.run().outcome is Outcome.NOTHING_TO_DO


def test_who_loses_the_account_too_keeps_both_dates(kind: Site) -> None:
    """Grace of the account and of the membership run side by side, and end each by itself."""
    for members in kind.source.members.values():
        members.discard("ann")
    assert kind.run().plan.counts() == {"start_membership_grace": 1, "start_grace": 1}  # type: ignore[union-attr]
    assert kind.run().outcome is Outcome.NOTHING_TO_DO
    kind.later(days=4)
    assert kind.run().plan.counts() == {"leave_groups": 1}  # type: ignore[union-attr]
    assert kind.account("ann").state is AccountState.GRACE
    kind.source.members["demo/compute"].add("ann")
    assert kind.run().plan.counts() == {"restore_account": 1}  # type: ignore[union-attr]
    assert groups_of(kind, "ann") == []


def test_a_promised_day_outlives_the_rule_that_promised_it(kind: Site) -> None:
    kind.source.members["demo/gpu"].discard("ann")
    kind.run()
    kind.save_rules(with_class(membership_grace_days=0))
    assert kind.run().outcome is Outcome.NOTHING_TO_DO
    kind.source.members["demo/gpu"].discard("ben")
    report = kind.run(dry_run=True)
    assert report.plan is not None
    assert report.plan.counts() == {"leave_groups": 1}


def test_a_membership_in_grace_is_guarded_like_any_loss(kind: Site) -> None:
    kind.limits = GuardLimits(max_percent=0, floor=0)
    kind.source.members["demo/gpu"].discard("ann")
    assert kind.run().reason is Reason.GUARD_STOPPED
    assert kind.account("ann").leaving == ()


# --- approval ---------------------------------------------------------------------------------


@pytest.fixture
def careful() -> Site:
    site = Site(make_registry(), limits=GuardLimits(max_percent=100))
    site.prepare(with_class(approval="required"))
    site.source.members = {"demo/compute": {"ann", "ben"}, "demo/gpu": {"ann"}}
    return site


def test_the_nightly_run_opens_pending_accounts_and_says_how_many_wait(careful: Site) -> None:
    report = careful.run(dry_run=True)
    assert report.awaiting_approval == 2
    report = careful.run()
    assert (report.outcome, report.awaiting_approval) == (Outcome.APPLIED, 2)
    assert report_as_json(report)["awaiting_approval"] == 2
    assert careful.account("ann").state is AccountState.PENDING
    again = careful.run()
    assert (again.outcome, again.awaiting_approval) == (Outcome.NOTHING_TO_DO, 2)
    approve_account(careful.registry, ADMIN, "ann", careful.now)
    assert careful.run().awaiting_approval == 1
    assert careful.run().outcome is Outcome.NOTHING_TO_DO
    assert careful.account("ann").state is AccountState.ACTIVE


def test_only_a_person_ends_the_waiting(careful: Site) -> None:
    """Neither leaving, nor returning, nor rules that ask for no approval any more."""
    careful.run()
    number = careful.account("ann").uid_number
    careful.source.members = {"demo/compute": {"ben"}, "demo/gpu": set()}
    report = careful.run()
    assert report.plan is not None
    report = careful.run(approve=report.plan.digest)
    assert report.plan is not None
    assert report.plan.counts() == {"leave_groups": 1}
    careful.later(days=400)
    assert careful.run().outcome is Outcome.NOTHING_TO_DO
    careful.source.members = {"demo/compute": {"ann", "ben"}, "demo/gpu": {"ann"}}
    careful.save_rules(RULES)
    assert careful.run().plan.counts() == {"join_groups": 1}  # type: ignore[union-attr]
    assert careful.account("ann").state is AccountState.PENDING
    assert careful.account("ann").uid_number == number


def test_those_who_wait_are_no_part_of_the_usable_population(careful: Site) -> None:
    careful.run()
    report = careful.run()
    assert report.guard is not None
    assert report.guard.population == 0
    with careful.registry.read() as reader:
        assert list(reader.every_linked_identity()) == []

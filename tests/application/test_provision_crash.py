"""A run cut short between two of its transactions: the next one completes it, and nobody is found half-way."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Author
from idmap.application.provision import LEASE_SECONDS
from idmap.application.provision_apply import Pace
from idmap.application.provision_batches import cut
from idmap.application.provision_report import Outcome
from idmap.domain.accounts import Account
from idmap.domain.groups import Group
from idmap.domain.guard import GuardLimits
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from tests.support.examples import examples
from tests.support.provisioning import RULES, START, Site, group, identity, open_registry
from tests.support.registries import make_registry
from tests.support.watched_registry import WatchedRegistry

ROOT = Path(__file__).parents[2]
PEOPLE = [f"person{number:03d}" for number in range(120)]
SMALL = 20
"""Changes in a transaction."""


class Killed(BaseException):
    """What a failpoint raises where no process is to die."""


def killing(number: int) -> Callable[[], None]:
    passed = 0

    def here() -> None:
        nonlocal passed
        passed += 1
        if passed == number:
            raise Killed

    return here


def first_night(site: Site) -> None:
    site.source.members = {
        "demo/compute": set(PEOPLE),
        "demo/gpu": set(PEOPLE[::2]),
        "demo/data": set(PEOPLE[:50]),
    }


def second_night(site: Site) -> None:
    """Some leave, some leave groups, some join, some come; some do several of it at once."""
    site.source.members = {
        "demo/compute": set(PEOPLE[:80]) | {f"late{number}" for number in range(30)},
        "demo/gpu": set(PEOPLE[1::2]),
        "demo/data": set(PEOPLE[30:70]),
    }
    site.limits = GuardLimits(max_percent=100)


_RUN = """
import os, signal, sys
from pathlib import Path
from idmap.adapters.sql import SqlRegistry
from idmap.application.provision_apply import Pace
from tests.application import test_provision_crash as crash
from tests.support.provisioning import START, Site
from tests.support.watched_registry import WatchedRegistry
url, night, where, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
passed = 0
def here():
    global passed
    passed += 1
    if passed == number:
        os.kill(os.getpid(), signal.SIGKILL)
registry = WatchedRegistry(SqlRegistry.open(url, lambda: START))
if where == "before_commit":
    registry.before_commit = here
site = Site(registry)
getattr(crash, night)(site)
site.pace = Pace(crash.SMALL, here if where == "pause" else lambda: None)
site.run()
"""


def run_and_kill(directory: Path, night: str, where: str, number: int) -> None:
    """Another process runs that night and is killed at the numbered passage of a failpoint."""
    url = f"sqlite:///{directory}/registry.db"
    words = [sys.executable, "-c", _RUN, url, night, where, str(number)]
    done = subprocess.run(words, cwd=ROOT, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL


def facts(site: Site) -> dict[str, str]:
    """What is recorded of each person, their account included."""
    with site.registry.read() as reader:
        return {one.recorded.identity.subject: repr(one) for one in reader.people()}


def accounts(site: Site) -> list[Account]:
    with site.registry.read() as reader:
        return sorted(reader.every_account(), key=lambda account: account.uid_number)


def uninterrupted(directory: Path) -> tuple[Site, Site]:
    """The same two nights on another registry, in one transaction each: after the first, after both."""
    sites = []
    for name, nights in (("one", [first_night]), ("both", [first_night, second_night])):
        (directory / name).mkdir()
        registry = SqlRegistry.create(f"sqlite:///{directory}/{name}/registry.db", lambda: START)
        site = Site(registry, pace=Pace(batch=100_000)).prepare()
        for night in nights:
            night(site)
            assert site.run().outcome is Outcome.APPLIED
        sites.append(site)
    return sites[0], sites[1]


@pytest.mark.parametrize("where", ["pause", "before_commit"])
@pytest.mark.parametrize("number", [1, 4])
def test_a_killed_first_run_is_completed_by_the_next(
    tmp_path: Path, where: str, number: int
) -> None:
    """What was committed keeps its number; the same people get the same numbers as without the kill."""
    with open_registry(tmp_path) as registry:
        site = Site(registry).prepare()
        run_and_kill(tmp_path, "first_night", where, number)
        kept = accounts(site)
        assert 0 <= len(kept) < len(PEOPLE)
        assert bool(kept) is ((where, number) != ("before_commit", 1))

        first_night(site)
        site.later(seconds=LEASE_SECONDS + 1)
        report = site.run()
        assert report.outcome is Outcome.APPLIED, report.detail
        assert report.plan is not None
        assert report.plan.counts()["open_account"] == len(PEOPLE) - len(kept)
        assert accounts(site)[: len(kept)] == kept
        assert site.run().outcome is Outcome.NOTHING_TO_DO
        with registry.read() as reader:
            reader.verify_changes()
        one, both = uninterrupted(tmp_path)
        assert accounts(site) == accounts(one)
        one.registry.close()
        both.registry.close()


@pytest.mark.parametrize("where", ["pause", "before_commit"])
@pytest.mark.parametrize("number", [1, 3, 6])
def test_a_killed_night_leaves_everybody_as_before_or_as_planned(
    tmp_path: Path, where: str, number: int
) -> None:
    """Nobody has lost the facts and not yet been given the grace, or the other way round."""
    one, both = uninterrupted(tmp_path)
    before, after = facts(one), facts(both)
    run_and_kill(tmp_path / "one", "second_night", where, number)
    found = facts(one)
    assert found != after, "it was not complete"
    assert {
        name for name, fact in found.items() if fact not in {before.get(name), after[name]}
    } == (set())
    second_night(one)
    one.later(seconds=LEASE_SECONDS + 1)
    assert one.run().outcome is Outcome.APPLIED
    assert facts(one) == after
    assert accounts(one) == accounts(both)
    with one.registry.read() as reader:
        reader.verify_changes()
    one.registry.close()
    both.registry.close()


_names = st.sets(st.sampled_from([f"n{number}" for number in range(8)]))
_night = st.fixed_dictionaries(
    dict.fromkeys(("demo/compute", "demo/gpu", "demo/data"), _names)
    | {"inactive": _names, "unreadable": _names}
)


@settings(max_examples=examples(60), deadline=None)
@given(_night, _night, st.integers(1, 4), st.integers(1, 12))
def test_any_night_cut_anywhere_leaves_everybody_as_before_or_as_planned(
    first: dict[str, Any], second: dict[str, Any], batch: int, number: int
) -> None:
    """Whatever the people do and however small the batches are."""
    cut_short, whole = (
        Site(make_registry(), limits=GuardLimits(max_percent=100)).prepare() for _ in range(2)
    )

    def night(site: Site, said: dict[str, Any]) -> None:
        site.source.members = {path: said[path] for path in said if "/" in path}
        site.source.inactive, site.source.unreadable = said["inactive"], said["unreadable"]
        report = site.run()
        if report.reason is Reason.GUARD_STOPPED:
            assert report.plan is not None
            report = site.run(approve=report.plan.digest)
        assert report.outcome in {Outcome.APPLIED, Outcome.NOTHING_TO_DO}

    for site in (cut_short, whole):
        night(site, first)
    before = facts(whole)
    night(whole, second)
    after = facts(whole)

    cut_short.pace = Pace(batch, killing(number))
    try:
        night(cut_short, second)
    except Killed:
        found = facts(cut_short)
        for name, fact in found.items():
            assert fact in {before.get(name), after[name]}
        cut_short.pace = Pace(batch, lambda: None)
        night(cut_short, second)
    assert facts(cut_short) == after
    assert accounts(cut_short) == accounts(whole)


def test_a_range_too_small_for_a_long_plan_keeps_nothing() -> None:
    """Found out on the copy, before the first of many transactions."""
    with open_registry() as registry:
        site = Site(registry, pace=Pace(SMALL, lambda: None)).prepare()
        few = dict(RULES) | {"classes": {"member": {**RULES["classes"]["member"], "range": "few"}}}
        with registry.write(Author("test", "a small range")) as writer:
            writer.add_range(NumberRange("few", RangePurpose.PEOPLE, 400_000, 400_099))
            writer.save_rules(few, expect_version=None)
        first_night(site)
        before = site.everything()
        report = site.run()
        assert (report.outcome, report.reason) == (Outcome.FAILED, Reason.RANGE_EXHAUSTED)
        assert site.everything() == before


def test_others_who_change_something_between_two_batches_are_planned_for() -> None:
    """What is left is rehearsed anew; what was kept stays, and the report says under which plan."""
    with open_registry() as registry:
        site = Site(registry).prepare()
        first_night(site)
        site.run()
        second_night(site)
        passed = 0

        def meanwhile() -> None:
            nonlocal passed
            passed += 1
            if passed == 2:
                with registry.write(Author("somebody", "first login")) as writer:
                    seen = frozenset({group("demo/compute")})
                    writer.record_observation(identity("guest"), seen, "guest", site.now + 5)

        site.pace = Pace(SMALL, meanwhile)
        report = site.run()
        assert report.outcome is Outcome.APPLIED, report.detail
        assert site.has_account("guest")
        assert len(report.notes) == 1
        with registry.read() as reader:
            plans = {entry.plan for entry in reader.changes(limit=5000) if entry.plan}
        assert report.plan is not None
        assert report.plan.digest in plans
        assert any(plan in report.notes[0] for plan in plans - {report.plan.digest})
        site.pace = Pace()
        assert site.run().outcome is Outcome.NOTHING_TO_DO


def test_an_approved_plan_stays_approved_when_others_make_it_begin_again() -> None:
    """What is left of it passes; a removal that nobody approved does not."""
    with open_registry() as registry:
        site = Site(registry).prepare()
        first_night(site)
        site.run()
        site.source.members["demo/compute"] -= set(PEOPLE[:60])
        stopped = site.run()
        assert stopped.reason is Reason.GUARD_STOPPED
        assert stopped.plan is not None

        def meanwhile() -> None:
            with registry.write(Author("somebody", "meanwhile")) as writer:
                nobody = frozenset[Group]()
                writer.record_observation(identity(f"x{site.now}"), nobody, None, site.now)
            site.now += 1

        site.pace = Pace(SMALL, meanwhile)
        report = site.run(approve=stopped.plan.digest)
        assert report.outcome is Outcome.APPLIED, report.detail
        assert sum(account.grace_until is not None for account in accounts(site)) == 60


def test_a_plan_that_others_keep_moving_is_given_up_with_nothing_kept() -> None:
    """Three rehearsals in vain, then PLAN_STALE: tomorrow is another night."""
    with open_registry() as registry:
        site = Site(registry).prepare()
        first_night(site)
        rehearsals = 0

        def meanwhile() -> None:
            nonlocal rehearsals
            rehearsals += 1
            with registry.write(Author("somebody", "meanwhile")) as writer:
                seen = frozenset({group("demo/compute")})
                writer.record_observation(identity(f"x{rehearsals}"), seen, None, site.now + 5)

        site.registry = WatchedRegistry(registry, rehearsed=meanwhile)
        report = site.run()
        assert (report.outcome, report.reason) == (Outcome.STOPPED, Reason.PLAN_STALE)
        assert rehearsals == 3
        assert accounts(site) == []


def test_a_batch_never_cuts_a_person_and_takes_losses_last() -> None:
    site = Site(make_registry(), limits=GuardLimits(max_percent=100)).prepare()
    first_night(site)
    site.run()
    second_night(site)
    plan = site.run(dry_run=True).plan
    assert plan is not None
    batches = list(cut(plan, (), {}, 7))
    assert sorted(map(repr, (c for b in batches for c in b.changes))) == sorted(
        map(repr, plan.changes)
    )
    whose = [{getattr(c, "account_id", None) for c in batch.changes} - {None} for batch in batches]
    assert sum(map(len, whose)) == len(set().union(*whose)), "an account is in one batch only"
    losing = [any(change.REMOVES for change in batch.changes) for batch in batches]
    assert losing == sorted(losing)
    assert len(list(cut(plan, (), {}, 100_000))) == 1

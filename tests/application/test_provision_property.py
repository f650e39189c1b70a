"""apply(plan) leaves nothing to plan, numbers never move: over random sites, people, rules and nights."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.application.ports import Author, RegistryReader
from idmap.application.provision import silent
from idmap.application.provision_report import Outcome
from idmap.application.provision_steps import apply_changes, make_plan, observe, record
from idmap.domain.accounts import AccountState
from idmap.domain.guard import GuardLimits
from idmap.domain.reasons import Reason
from tests.support.examples import examples
from tests.support.provisioning import ISSUER, RULES, Site, identity
from tests.support.registries import make_registry

GROUPS = ("vo", "vo/a", "vo/b", "vo/c")
NAMES = ("alice", "bob", "root", "u200001", "Ünal", "x" * 300, "slurm", "alice2")

_groups = st.sampled_from(GROUPS)
_names = st.sets(st.sampled_from(NAMES))


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    """Up to three rules over two classes; later rules may overlap earlier ones."""
    classes = {
        name: {
            "range": "people",
            "primary_group": draw(_groups),
            "shell": draw(st.sampled_from(["/bin/bash", "/bin/zsh"])),
            "home": "/home/{username}",
            "grace_days": draw(st.integers(0, 3)),
        }
        for name in ("one", "two")
    }
    listed = draw(
        st.lists(st.tuples(_groups, st.sampled_from(["one", "two"]), st.sets(_groups)), max_size=3)
    )
    return {
        "format": 1,
        "groups": {"range": "groups"},
        "classes": classes,
        "rules": [
            {
                "id": f"rule{number}",
                "issuer": ISSUER,
                "group": path,
                "class": name,
                "secondary_groups": sorted(secondary),
            }
            for number, (path, name, secondary) in enumerate(listed)
        ],
    }


nights = st.lists(
    st.fixed_dictionaries(
        {
            "members": st.fixed_dictionaries(dict.fromkeys(GROUPS, _names)),
            "inactive": _names,
            "unreadable": _names,
            "days": st.integers(0, 5),
        },
        optional={"rules": rules()},
    ),
    min_size=1,
    max_size=6,
)


def issued(reader: RegistryReader) -> dict[str, tuple[str, int]]:
    """What was ever given to whom."""
    found = {}
    for name in NAMES:
        account = reader.recorded(identity(name)).account
        if account is not None:
            found[name] = (account.username, account.uid_number)
    return found


@settings(max_examples=examples(60), deadline=None)
@given(rules(), nights)
def test_a_run_leaves_nothing_to_do_and_never_moves_a_number(
    first_rules: dict[str, Any], history: list[dict[str, Any]]
) -> None:
    site = Site(make_registry(), limits=GuardLimits(max_percent=100)).prepare(first_rules)
    before: dict[str, tuple[str, int]] = {}
    for night in history:
        site.later(days=night["days"])
        if "rules" in night:
            site.save_rules(night["rules"])
        site.source.members = night["members"]
        site.source.inactive = night["inactive"]
        site.source.unreadable = night["unreadable"]
        report = site.run()
        if report.reason is Reason.GUARD_STOPPED:
            assert report.plan is not None
            report = site.run(approve=report.plan.digest)
        assert report.outcome in {Outcome.APPLIED, Outcome.NOTHING_TO_DO}, report
        again = site.run()
        assert (again.outcome, again.plan.changes) == (Outcome.NOTHING_TO_DO, ())  # type: ignore[union-attr]

        with site.registry.read() as reader:
            now = issued(reader)
            states = {one.username: one.state for one in reader.every_account()}
        assert before.items() <= now.items()
        assert len({uid for _, uid in now.values()}) == len(now)
        assert not {"root", "slurm"} & states.keys()
        for name in night["unreadable"]:
            assert now.get(name) == before.get(name), "an unreadable record changes nothing"
        before = now


@settings(max_examples=examples(40), deadline=None)
@given(rules(), st.fixed_dictionaries(dict.fromkeys(GROUPS, _names)), _names)
def test_a_plan_applied_in_a_transaction_is_empty_in_the_same_transaction(
    document: dict[str, Any], members: dict[str, set[str]], inactive: set[str]
) -> None:
    site = Site(make_registry()).prepare(document)
    site.source.members, site.source.inactive = members, inactive
    with site.registry.read() as reader:
        observed = observe(reader.rules(), [site.source], silent)
    with site.registry.write(Author("test", "property")) as writer:
        record(writer, observed)
        apply_changes(writer, make_plan(writer, site.now)[0].changes)
        record(writer, observed)
        assert make_plan(writer, site.now)[0].changes == ()


@settings(max_examples=examples(40), deadline=None)
@given(nights)
def test_nobody_is_suspended_before_the_date_they_were_told(history: list[dict[str, Any]]) -> None:
    """Whatever the source says in the meantime."""
    site = Site(make_registry(), limits=GuardLimits(max_percent=100)).prepare(RULES)
    told: dict[str, Any] = {}
    for night in history:
        site.later(days=night["days"] * 7)
        site.source.members = {
            "demo/compute": night["members"]["vo"],
            "demo/gpu": night["members"]["vo/a"],
        }
        site.source.inactive = night["inactive"]
        report = site.run()
        if report.reason is Reason.GUARD_STOPPED and report.plan is not None:
            site.run(approve=report.plan.digest)
        with site.registry.read() as reader:
            for account in reader.every_account():
                if account.state is AccountState.SUSPENDED:
                    assert site.day() > told[account.username]
                elif account.state is AccountState.GRACE:
                    told.setdefault(account.username, account.grace_until)
                else:
                    told.pop(account.username, None)

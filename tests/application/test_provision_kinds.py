"""Every kind of account, night by night: a registry holds what the plan says, and a run leaves nothing to do."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

from idmap.application.ports import Author
from idmap.application.provision_report import Outcome
from idmap.domain.errors import Conflict
from idmap.domain.guard import GuardLimits
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from tests.support.examples import examples
from tests.support.planned_site import PlannedSite, person
from tests.support.provisioning import START, Site
from tests.support.registries import make_registry
from tests.support.sharing_worlds import documents, happens, histories

AUTHOR = Author("test", "a night")


def make_site(document: dict[str, Any]) -> Site:
    site = Site(make_registry(lambda: START), limits=GuardLimits(max_percent=100)).prepare()
    with site.registry.write(AUTHOR) as writer:
        writer.add_range(NumberRange("pools", RangePurpose.POOLS, 400_000, 400_099))
    site.save_rules(document)
    return site


def same_happens(site: Site, values: PlannedSite, night: dict[str, Any]) -> None:
    """The same to both, before the sources are asked."""
    before = dict(values.links)
    happens(values, night)
    site.later(days=night["days"])
    if "rules" in night:
        site.save_rules(night["rules"])
    site.source.members = night["members"]
    site.source.inactive = night.get("inactive", set())
    site.source.unreadable = night.get("unreadable", set())
    with site.registry.write(AUTHOR) as writer:
        for ban in writer.bans():
            writer.lift_ban(ban.ban_id)
        for name in sorted(night.get("banned", ())):
            writer.add_ban(
                account_id=None, identity=person(name), reason="x", until=None, at=site.now
            )
    if "order" in night:
        name, event = night["order"]
        number = before.get(person(name))
        if number is not None:
            username = values.accounts[number].username
            try:
                with site.registry.write(AUTHOR) as writer:
                    account = writer.find_account(username=username)
                    assert account is not None
                    writer.move_account(account.account_id, event)
            except Conflict:
                return


def run(site: Site) -> None:
    report = site.run()
    if report.reason is Reason.GUARD_STOPPED:
        assert report.plan is not None
        report = site.run(approve=report.plan.digest)
    assert report.outcome in {Outcome.APPLIED, Outcome.NOTHING_TO_DO}, report
    again = site.run()
    assert again.plan is not None
    assert (again.outcome, again.plan.changes) == (Outcome.NOTHING_TO_DO, ()), again.plan.changes


def shown(site: Site) -> dict[str, Any]:
    """Accounts by name, with everything that plans are about, and who uses them."""
    with site.registry.read() as reader:
        return {
            account.username: (
                account.uid_number, account.state, account.grace_until, account.held, account.terms,
                account.shared, account.primary_group.name,
                [group.name for group in account.secondary_groups],
                [(one.group.name, one.until) for one in account.leaving],
                sorted(one.subject for one in reader.identities_of(account.account_id)),
            )
            for account in reader.every_account()
        }  # fmt: skip


def as_values(values: PlannedSite) -> dict[str, Any]:
    return {
        account.username: (
            account.uid_number, account.state, account.grace_until, account.held, account.terms,
            account.shared, account.primary_group.name,
            [group.name for group in account.secondary_groups],
            [(one.group.name, one.until) for one in account.leaving],
            sorted(one.subject for one, n in values.links.items() if n == account.account_id),
        )
        for account in values.accounts.values()
    }  # fmt: skip


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(documents(), histories)
def test_nights_in_a_registry_are_nights_as_planned(
    first: dict[str, Any], history: list[dict[str, Any]]
) -> None:
    """Each run leaves nothing to do, and the registry holds what the plan, carried out on values, says."""
    site, values = make_site(first), PlannedSite(START)
    values.save(first)
    for night in history:
        same_happens(site, values, night)
        run(site)
        values.record()
        for batch in values.batches(values.plan(), 250):
            values.apply(batch)
        found, planned = shown(site), as_values(values)
        for name in found.keys() | planned.keys():
            assert found.get(name) == planned.get(name), name
    site.registry.close()

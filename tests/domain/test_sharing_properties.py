"""Plans for every kind of account over random nights: they leave nothing to do, and nobody gains by company."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from idmap.domain.accounts import AccountState, PosixGroup
from idmap.domain.decision import day_of, decide
from idmap.domain.identity import Identity
from idmap.domain.rules import Gives
from tests.support.planned_site import PlannedSite, name_of
from tests.support.rule_worlds import NOW
from tests.support.sharing_worlds import documents, happens, histories

TOMBSTONE = AccountState.TOMBSTONE

Before = dict[tuple[Identity, int], frozenset[PosixGroup]]


def shared_groups(site: PlannedSite) -> Before:
    """Who uses which shared account, and the groups that it has."""
    return {
        (identity, number): frozenset(site.accounts[number].secondary_groups)
        for identity, number in site.links.items()
        if site.accounts[number].shared and site.accounts[number].state is not TOMBSTONE
    }


def nobody_gains_by_company(site: PlannedSite, before: Before | None = None) -> None:
    """Who uses a shared account is in every secondary group that it has, but for whom a ban shuts out. `before` a plan
    is carried out whole, its account may still have what it had when they used it already."""
    for (identity, number), groups in shared_groups(site).items():
        recorded = site.recorded(name_of(identity))
        theirs = {site.posix[group] for group in recorded.groups if group in site.posix}
        had = (before or {}).get((identity, number), frozenset())
        if not recorded.bans:
            assert groups <= theirs | had, f"{identity} got {groups - theirs} by company"


def everybody_is_where_they_belong(site: PlannedSite) -> None:
    """Of each shared account in use: who is not entitled has left, unless a ban or a record that cannot be read holds
    them, or nobody is entitled and it is in grace."""
    for account in site.accounts.values():
        if not account.shared:
            continue
        linked = [
            site.recorded(name_of(i)) for i, n in site.links.items() if n == account.account_id
        ]
        in_use = account.state in {AccountState.ACTIVE, AccountState.GRACE}
        assert linked or not in_use, f"nobody is in {account.username}, and it is in use"
        entitled = [one for one in linked if _gives(site, one, account.username)]
        kept = [one for one in linked if site.seen[name_of(one.identity)].unreadable or one.bans]
        if entitled and not kept and account.state is not TOMBSTONE:
            assert entitled == linked
        if account.state is AccountState.ACTIVE:
            assert entitled or kept


def _gives(site: PlannedSite, recorded: Any, username: str) -> bool:
    grant = decide(recorded, site.rules, site.now).grant
    return grant is not None and grant.account_class.shared_name == username


def one_owner(site: PlannedSite) -> None:
    """Names and numbers, and pools that hold no more than they have."""
    numbers = [account.uid_number for account in site.accounts.values()]
    assert len(set(numbers)) == len(numbers)
    usernames = [account.username for account in site.accounts.values()]
    assert len(set(usernames)) == len(usernames)
    assert not {posix.name for posix in site.posix.values()} & set(usernames)
    for account in site.accounts.values():
        owners = [i for i, n in site.links.items() if n == account.account_id]
        assert account.shared or len(owners) <= 1


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(documents(), histories)
def test_a_plan_carried_out_leaves_nothing_to_do(
    first: dict[str, Any], history: list[dict[str, Any]]
) -> None:
    """Batch by batch, with nobody better off in between than they may be; numbers and names are one owner's."""
    site = PlannedSite(NOW)
    site.save(first)
    before: dict[int, tuple[str, int]] = {}
    for night in history:
        happens(site, night)
        site.record()
        plan = site.plan()
        groups = shared_groups(site)
        for batch in site.batches(plan):
            site.apply(batch)
            nobody_gains_by_company(site, groups)
        nobody_gains_by_company(site)
        again = site.plan()
        assert again.changes == (), f"{plan.changes}\nthen {again.changes}"
        everybody_is_where_they_belong(site)
        one_owner(site)
        now = {n: (a.username, a.uid_number) for n, a in site.accounts.items()}
        assert before.items() <= now.items(), "a number or a name moved"
        before = now


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), histories)
def test_a_pool_gives_no_more_accounts_than_it_has(
    first: dict[str, Any], history: list[dict[str, Any]]
) -> None:
    """Counted by the rules of its class; a closed one makes room for another number, never for its own again."""
    site = PlannedSite(NOW)
    site.save(first)
    for night in history:
        before = set(site.accounts)
        happens(site, night)
        site.record()
        site.apply(site.plan().changes)
        for _, given_class in site.rules.account_rules():
            if given_class.pool_size is None:
                continue
            ids = site.rules.rules_of_class(given_class.name)
            of_pool = [
                one.account_id
                for one in site.accounts.values()
                if one.rule_id in ids and one.state is not TOMBSTONE
            ]
            assert len(of_pool) <= given_class.pool_size or not set(of_pool) - before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(documents(), histories)
def test_who_is_denied_has_no_usable_account_beyond_the_grace_of_the_rule(
    first: dict[str, Any], history: list[dict[str, Any]]
) -> None:
    """Of accounts that are one person's, readable and not pending: suspended, or in grace no longer than the least of
    the deny rules gives from the day on which it first matched."""
    site = PlannedSite(NOW)
    site.save(first)
    for night in history:
        happens(site, night)
        site.record()
        site.apply(site.plan().changes)
        for facts in site.people():
            recorded, account = facts.recorded, facts.recorded.account
            if account is None or account.shared or facts.present_unchanged:
                continue
            decision = decide(recorded, site.rules, site.now)
            if decision.denied_by is None:
                continue
            assert not isinstance(decision.denied_by.outcome, Gives)
            days = decision.denied_by.outcome.grace_days  # type: ignore[union-attr]
            assert account.state is not AccountState.ACTIVE
            if account.state is AccountState.GRACE:
                assert days > 0
                assert account.grace_until is not None
                assert (account.grace_until - day_of(site.now)).days <= days

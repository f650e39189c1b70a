"""Plans for every kind of account over random nights: they leave nothing to do, and nobody gains by company."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idmap.domain.accounts import AccountEvent, AccountState, PosixGroup
from idmap.domain.decision import day_of, decide
from idmap.domain.errors import Conflict
from idmap.domain.identity import Identity
from idmap.domain.rules import Gives
from tests.support.planned_site import ISSUER, PlannedSite, person
from tests.support.rule_worlds import NOW

TOMBSTONE = AccountState.TOMBSTONE
NAMES = ("ann", "bob", "cid", "atlasprd", "vo_prj", "eve")
"""Two are called like shared accounts."""
PATHS = ("prd", "gpu", "vo", "course", "left", "atlasprd")
"""One group is too."""

_classes: dict[str, dict[str, Any]] = {
    "member": {"home": "/home/{username}"},
    "production": {"kind": "shared", "name": "atlasprd", "home": "/data/{username}"},
    "project": {"kind": "project", "name": "{group}_prj", "home": "/projects/{username}"},
    "course": {
        "kind": "pool", "size": 2, "username": {"prefix": "course", "digits": 2},
        "home": "/course/{username}",
    },
}  # fmt: skip


@st.composite
def classes(draw: st.DrawFn) -> dict[str, Any]:
    found = {}
    for name, own in _classes.items():
        more = st.fixed_dictionaries(
            {"grace_days": st.sampled_from((0, 2, 30))},
            optional={
                "node_classes": st.sampled_from((["login"], ["login", "gpu"], [])),
                "local_groups": st.just(["licence"]),
                "expires": st.sampled_from(("2026-11-03", "2026-12-04")),
                "approval": st.just("required"),
            },
        )
        common = {"range": "pools" if name == "course" else "people", "shell": "/bin/bash"}
        primary = draw(st.sampled_from(("base", {"private": True})))
        found[name] = common | {"primary_group": primary} | draw(more) | own
        if name == "member":
            found[name]["membership_grace_days"] = draw(st.sampled_from((0, 3)))
    return found


secondary = st.lists(st.sampled_from(("gpu", "vo", "atlasprd")), max_size=2, unique=True)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    rules: list[dict[str, Any]] = []

    def add(**rule: Any) -> None:
        rules.append({"id": f"r{len(rules)}", "issuer": ISSUER, **rule})

    for name, paths in (
        ("production", ("prd", "gpu")),
        ("project", ("vo",)),
        ("member", PATHS),
        ("course", ("course",)),
    ):
        for path in draw(st.lists(st.sampled_from(paths), max_size=2, unique=True)):
            priority = draw(st.integers(0, 2))
            add(**{"class": name}, group=path, secondary_groups=draw(secondary), priority=priority)
    if draw(st.booleans()):
        add(effect="add", group="gpu", secondary_groups=["gpu"], node_classes=["gpu"],
            local_groups=["gpuusers"])  # fmt: skip
    for _ in range(draw(st.integers(0, 2))):
        deny = {"effect": "deny", "group": draw(st.sampled_from(("left", "gpu")))}
        if draw(st.booleans()):
            add(**deny, node_classes=["gpu"])
        else:
            add(**deny, grace_days=draw(st.sampled_from((0, 1, 10))))
    return {"format": 2, "classes": draw(classes()), "rules": rules}


names = st.sets(st.sampled_from(NAMES))
nights = st.fixed_dictionaries(
    {
        "members": st.fixed_dictionaries(dict.fromkeys(PATHS, names)),
        "days": st.sampled_from((0, 1, 1, 3, 40)),
    },
    optional={
        "rules": documents(),
        "inactive": names,
        "unreadable": st.sets(st.sampled_from(NAMES), max_size=2),
        "banned": st.sets(st.sampled_from(NAMES), max_size=2),
        "order": st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(
                (
                    AccountEvent.CLOSED,
                    AccountEvent.SUSPENDED_BY_PERSON,
                    AccountEvent.RESTORED_BY_PERSON,
                    AccountEvent.APPROVED_BY_PERSON,
                )
            ),
        ),
    },
)
histories = st.lists(nights, min_size=1, max_size=5)


def happens(site: PlannedSite, night: dict[str, Any]) -> None:
    site.now += night["days"] * 86_400
    if "rules" in night:
        site.save(night["rules"])
    site.members = night["members"]
    site.inactive = night.get("inactive", set())
    site.unreadable = night.get("unreadable", set())
    site.banned = night.get("banned", set())
    if "order" in night:
        name, event = night["order"]
        number = site.links.get(person(name))
        if number is not None:
            try:
                site.move(number, event)
            except Conflict:
                return


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
        recorded = site.recorded(identity.subject)
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
            site.recorded(i.subject) for i, n in site.links.items() if n == account.account_id
        ]
        in_use = account.state in {AccountState.ACTIVE, AccountState.GRACE}
        assert linked or not in_use, f"nobody is in {account.username}, and it is in use"
        entitled = [one for one in linked if _gives(site, one, account.username)]
        kept = [one for one in linked if one.identity.subject in site.unreadable or one.bans]
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

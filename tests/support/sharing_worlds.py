"""Random sites of every kind of account, and what happens to them in a few nights."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st

from idmap.domain.accounts import AccountEvent
from idmap.domain.errors import Conflict
from tests.support.planned_site import ISSUER, PlannedSite, person

NAMES: Final = ("ann", "bob", "cid", "atlasprd", "vo_prj", "eve")
"""Two are called like shared accounts."""
PATHS: Final = ("prd", "gpu", "vo", "course", "left", "atlasprd")
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


_GIVEN_BY: dict[str, tuple[str, ...]] = {
    "production": ("prd", "gpu"), "project": ("vo",), "member": PATHS, "course": ("course",),
}  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    rules: list[dict[str, Any]] = []

    def add(**rule: Any) -> None:
        rules.append({"id": f"r{len(rules)}", "issuer": ISSUER, **rule})

    for name, paths in _GIVEN_BY.items():
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
    watching = {
        "role": "group-manager", "issuer": ISSUER, "subject": "x", "manages": sorted(PATHS)
    }  # fmt: skip
    return {"format": 2, "classes": draw(classes()), "rules": rules, "admins": [watching]}


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

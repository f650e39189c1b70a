"""Documents of format 2: what cannot stand is refused at its very place, and nothing but a refusal is raised."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason
from idmap.domain.rule_document import parse_rules
from idmap.domain.rule_fields import MAX_ITEMS, RuleFault
from tests.support import whole_document as written
from tests.support.whole_document import ISSUER, OTHER, REMOVED, document, edited

_TABLES = [
    "", "/groups", "/classes", "/classes/member", "/classes/member/slurm", "/rules/0",
    "/rules/0/when", "/rules/0/when/groups", "/rules/5", "/rules/6", "/demands/0", "/admins/1",
    "/examples/0", "/examples/0/expect",
]  # fmt: skip


@pytest.mark.parametrize("place", _TABLES)
def test_an_unknown_member_is_refused_where_it_stands(place: str) -> None:
    """At every level, with its name; also one whose name a pointer must escape, or that has none."""
    for name in ("clas", "a/b~c", ""):
        escaped = name.replace("~", "~0").replace("/", "~1")
        with pytest.raises(RuleFault) as caught:
            parse_rules(edited(f"{place}/{escaped}", {}), 1)
        if place == "/classes":
            continue  # what a class is called is free; its members are looked at
        assert caught.value.pointer == f"{place}/{escaped}"
        assert (name or "''") in caught.value.detail


@pytest.mark.parametrize("place", _TABLES)
@pytest.mark.parametrize("value", [None, [], "x", 7])
def test_what_is_no_table_is_refused(place: str, value: object) -> None:
    if not place:
        with pytest.raises(RuleFault):
            parse_rules(value, 1)  # type: ignore[arg-type]
        return
    with pytest.raises(RuleFault) as caught:
        parse_rules(edited(place, value), 1)
    assert caught.value.pointer == place


C, R, D = "/classes/member", "/rules/0", "/demands/0"
BAD: list[tuple[str, Any, str]] = [
    ("/format", 3, ""), ("/format", "2", ""), ("/format", None, ""), ("/format", REMOVED, ""),
    ("/groups/range", "Not A Label", ""), ("/groups/range", 7, ""),
    # --- classes
    (f"{C}/kind", "personnel", ""), (f"{C}/kind", None, ""),
    (f"{C}/range", "", ""), (f"{C}/range", REMOVED, ""),
    (f"{C}/primary_group", "a//b", ""), (f"{C}/primary_group", {"private": False}, ""),
    (f"{C}/primary_group", {"issuer": OTHER}, ""),
    (f"{C}/primary_group", {"issuer": "idmap:local", "group": "g"}, ""),
    (f"{C}/primary_group", {"issuer": "idmap:private", "group": "own"}, ""),
    (f"{C}/shell", "bash", ""), (f"{C}/shell", "/bin/ba sh", ""), (f"{C}/shell", REMOVED, ""),
    (f"{C}/home", "/home/{user}", ""), (f"{C}/home", "/home/../etc", ""), (f"{C}/home", "/a:b", ""),
    (f"{C}/grace_days", -1, ""), (f"{C}/grace_days", 3651, ""), (f"{C}/grace_days", True, ""),
    (f"{C}/grace_days", 1.0, ""), (f"{C}/grace_days", 10**400, ""),
    (f"{C}/membership_grace_days", "7", ""),
    (f"{C}/approval", "maybe", ""), (f"{C}/approval", True, ""),
    (f"{C}/username", "surname", ""), (f"{C}/username", [], ""), (f"{C}/username", {"prefix": "u"}, ""),
    (f"{C}/username_suffixes", 0, ""),
    (f"{C}/expires", "2026-12", ""), (f"{C}/expires", "20261204", ""), (f"{C}/expires", None, ""),
    (f"{C}/expires", "2026-W49-5", ""), (f"{C}/expires", "1999-12-31", ""),
    (f"{C}/expires", "9999-12-31", ""), (f"{C}/expires", datetime(2026, 12, 4), ""),  # noqa: DTZ001
    (f"{C}/node_classes", "login", ""), (f"{C}/node_classes", ["login", "Login"], "/1"),
    (f"{C}/node_classes", ["login", "login"], "/1"), (f"{C}/node_classes", ["*"], "/0"),
    (f"{C}/local_groups", ["gpuusers", "wheel"], "/1"), (f"{C}/local_groups", ["Docker"], "/0"),
    (f"{C}/local_groups", ["slurm"], "/0"), (f"{C}/local_groups", ["a,b"], "/0"),
    (f"{C}/local_groups", ["video"], "/0"), (f"{C}/local_groups", [7], "/0"),
    (f"{C}/slurm/account", "LHC", ""), (f"{C}/slurm/account", REMOVED, ""),
    (f"{C}/slurm/qos", ["normal", "a b"], "/1"), (f"{C}/slurm/qos", ["normal", "normal"], "/1"),
    (f"{C}/name", "atlasprd", ""), (f"{C}/size", 4, ""),
    ("/classes/", {}, ""), ("/classes/a\tb", {}, ""), ("/classes/\ud800", {}, ""),
    (f"/classes/{'x' * 501}", {}, ""), ("/classes/a~1b", {}, "/primary_group"),
    ("/classes/course/size", 0, ""), ("/classes/course/size", None, ""),
    ("/classes/course/username", "preferred", ""), ("/classes/course/username", REMOVED, ""),
    ("/classes/course/username_suffixes", 3, ""),
    ("/classes/production/name", REMOVED, ""), ("/classes/production/name", "Atlas", ""),
    ("/classes/production/name", "root", ""), ("/classes/production/name", "u200017", ""),
    ("/classes/production/name", "g300001", ""), ("/classes/production/name", "a" * 32, ""),
    ("/classes/production/membership_grace_days", 7, ""),
    ("/classes/production/username", "preferred", ""),
    ("/classes/project/name", "{group}", ""), ("/classes/project/name", "prj", ""),
    ("/classes/project/name", "{group}{group}_x", ""),
    # --- rules
    (f"{R}/id", "Not A Label", ""), (f"{R}/id", REMOVED, ""),
    (f"{R}/effect", "grant", ""), (f"{R}/effect", None, ""),
    (f"{R}/priority", 10**9, ""), (f"{R}/priority", "high", ""), (f"{R}/priority", False, ""),
    (f"{R}/issuer", REMOVED, ""), (f"{R}/issuer", "idmap:local", ""), (f"{R}/issuer", "a\nb", ""),
    (f"{R}/issuer", "x" * 3000, ""),
    (f"{R}/class", "unknown", ""), (f"{R}/class", REMOVED, ""), (f"{R}/class", ["member"], ""),
    (f"{R}/secondary_groups", "lhc", ""), (f"{R}/secondary_groups", ["lhc", "a//b"], "/1"),
    (f"{R}/secondary_groups", [{"issuer": 7, "group": "g"}], "/0"),
    (f"{R}/group", "/lhc", ""), (f"{R}/robots", "yes", ""),
    (f"{R}/subjects", ["ci"], ""), ("/rules/4/subjects", ["ci", "é"], "/1"),
    ("/rules/4/subjects", [""], "/0"), ("/rules/4/robots", REMOVED, "^/rules/4/subjects"),
    (f"{R}/when/groups", {}, ""), (f"{R}/when/groups/any", ["/lhc", "/lhc"], ""),
    (f"{R}/when/groups/any", ["/lhc", "../x"], "/1"), (f"{R}/when/groups/any", ["\ud800"], "/0"),
    (f"{R}/when/groups/all", ["%ff"], "/0"), (f"{R}/secondary_groups", ["a:role=\ud800"], "/0"),
    (f"{R}/when/entitlements/any", ["urn:geant:x:group:%ff"], "/0"),
    (f"{R}/when/groups/none", "x", ""),
    (f"{R}/when/entitlements/any", ["urn:x"], "/0"), (f"{R}/when/entitlements/any", [7], "/0"),
    (f"{R}/when/labels/all", ["a", " b"], "/1"), (f"{R}/when/labels/all", ["a\tb"], "/0"),
    (f"{R}/when/labels/all", ["x" * 1025], "/0"), (f"{R}/when/attributes/none", [None], "/0"),
    (f"{R}/when/email_domain/none", ["Example.com"], "/0"),
    (f"{R}/when/email_domain/none", ["a@example.com"], "/0"),
    (f"{R}/node_classes", ["gpu"], ""), (f"{R}/grace_days", 3, ""), (f"{R}/reason", "x", ""),
    (f"{R}/local_groups", ["gpuusers"], ""), (f"{R}/slurm", {"account": "x"}, ""),
    ("/rules/5/class", "member", ""), ("/rules/5/reason", "x", ""), ("/rules/5/grace_days", 1, ""),
    ("/rules/5/local_groups", ["sudo"], "/0"), ("/rules/5/node_classes", ["a b"], "/0"),
    ("/rules/6/secondary_groups", ["g"], ""), ("/rules/6/class", "member", ""),
    ("/rules/6/local_groups", ["gpuusers"], ""), ("/rules/6/slurm", {"account": "x"}, ""),
    ("/rules/6/grace_days", -1, ""), ("/rules/6/reason", "", ""), ("/rules/6/reason", "a\x1b[2J", ""),
    ("/rules/6/reason", "x" * 501, ""), ("/rules/7/node_classes", [], ""),
    ("/rules/1/id", "lhc", ""), ("/rules/4/class", "member", "^/rules/4/robots"),
    ("/rules/3/when", {"groups": {"any": ["/a"]}}, "^/rules/3/group"),
    # --- demands
    (f"{D}/id", "X", ""), (f"{D}/doors", [], ""), (f"{D}/doors", ["ssh"], "/0"),
    (f"{D}/doors", ["admin", "door"], "/1"), (f"{D}/doors", [7], "/0"), (f"{D}/doors", REMOVED, ""),
    (f"{D}/issuers", [""], "/0"), (f"{D}/acr", "mfa", ""), (f"{D}/acr", ["a\x00"], "/0"),
    (f"{D}/acr", [f"a{n}" for n in range(101)], ""), (f"{D}/assurance", ["a", "a"], "/1"),
    (f"{D}/capabilities", ["compute.read", "compute.everything"], "/1"),
    (f"{D}/capabilities", ["storage.read"], "/0"), (f"{D}/capabilities", ["storage.read:/../x"], "/0"),
    (f"{D}/max_authentication_age", 59, ""), (f"{D}/max_authentication_age", None, ""),
    (f"{D}/max_authentication_age", 32 * 86400, ""), (f"{D}/keys", "allow", ""),
    (f"{D}/doors", ["admin", "api"], "^/demands/0/keys"),
    ("/demands/1", dict(written.DOCUMENT["demands"][0]), "/id"),
    # --- admins
    ("/admins/0/role", "root", ""), ("/admins/0/role", REMOVED, ""),
    ("/admins/0/issuer", REMOVED, ""), ("/admins/0/subject", "", ""), ("/admins/0/group", "/g", "^/admins/0"),
    ("/admins/0/subject", REMOVED, "^/admins/0"), ("/admins/0/manages", ["/g"], ""),
    ("/admins/1/manages", REMOVED, ""), ("/admins/1/manages", ["a//b"], "/0"),
    ("/admins/1/group", 7, ""),
    # --- examples
    ("/examples/0/name", REMOVED, ""), ("/examples/0/name", "a\nb", ""),
    ("/examples/0/issuer", REMOVED, ""), ("/examples/0/groups", ["/lhc", 7], "/1"),
    ("/examples/0/robot", "no", ""), ("/examples/0/expect", REMOVED, ""),
    ("/examples/0/expect/refused", "no_rule_matches", "^/examples/0/expect"),
    ("/examples/1/expect/refused", "no_such_reason", ""),
    ("/examples/1/expect/rule", "lhc", "^/examples/1/expect"),
    ("/examples/1/expect/secondary_groups", [], ""),
    ("/examples/0/expect/secondary_groups", ["a//b"], "/0"),
    ("/examples/0/expect/node_classes", ["-secure"], ""),
    ("/examples/0/expect/node_classes", ["*", "login"], ""),
]  # fmt: skip


@pytest.mark.parametrize(("pointer", "value", "deeper"), BAD)
def test_what_cannot_stand_is_refused_at_its_place(pointer: str, value: Any, deeper: str) -> None:
    """`deeper` is where in the value; behind ^ the place that says it instead."""
    with pytest.raises(RuleFault) as caught:
        parse_rules(edited(pointer, value), 1)
    expected = deeper.removeprefix("^") if deeper.startswith("^") else f"{pointer}{deeper}"
    assert caught.value.pointer == expected, caught.value.detail
    assert caught.value.detail.isprintable()
    known = {Reason.RULE_INVALID, Reason.CLASS_WITHOUT_PRIMARY_GROUP, Reason.NAME_REFUSED}
    assert caught.value.reason in known


@pytest.mark.parametrize("nothing", ["", None, REMOVED, 0])
def test_a_class_without_a_primary_group_is_refused(nothing: object) -> None:
    with pytest.raises(RuleFault) as caught:
        parse_rules(edited("/classes/member/primary_group", nothing), 1)
    assert caught.value.reason is Reason.CLASS_WITHOUT_PRIMARY_GROUP
    assert caught.value.pointer == "/classes/member/primary_group"


# --- names that are one account's


def test_one_shared_name_is_one_account() -> None:
    """Two classes, or two groups of a project, never mean the same account."""
    production = dict(written.DOCUMENT["classes"]["production"])
    twice = edited("/classes/second", production)
    twice["rules"].append({"id": "second", "issuer": ISSUER, "class": "second", "group": "/vo"})
    with pytest.raises(RuleFault, match="another shared account's") as caught:
        parse_rules(twice, 1)
    assert caught.value.pointer == "/rules/8/class"
    same = document()
    same["rules"].append({"id": "x", "issuer": ISSUER, "class": "production", "group": "/vo"})
    parse_rules(same, 1)
    projects = document()
    projects["rules"] += [
        {"id": "one", "issuer": ISSUER, "class": "project", "group": "/a-b"},
        {"id": "two", "issuer": ISSUER, "class": "project", "group": "/a.b"},
    ]
    with pytest.raises(RuleFault, match="another shared account's"):
        parse_rules(projects, 1)


def test_a_projects_rule_names_the_one_group_that_spells_its_name() -> None:
    for when in (
        {"groups": {"any": ["/a", "/b"]}},
        {"groups": {"all": ["/a"]}},
        {"groups": {"any": ["/" + "a" * 40]}},
    ):
        rule = {"id": "project", "issuer": ISSUER, "class": "project", "when": when}
        with pytest.raises(RuleFault) as caught:
            parse_rules(edited("/rules/3", rule), 1)
        assert caught.value.pointer == "/rules/3/class"


def test_a_shared_account_has_no_name_that_a_counter_gives() -> None:
    with pytest.raises(RuleFault, match="counter") as caught:
        parse_rules(edited("/classes/production/name", "course07"), 1)
    assert caught.value.pointer == "/rules/2/class"


# --- bounds


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/rules", [{}] * (MAX_ITEMS + 1)),
        ("/rules/4/subjects", [f"s{n}" for n in range(MAX_ITEMS + 1)]),
        ("/rules/0/when/groups/any", [f"/g{n}" for n in range(MAX_ITEMS + 1)]),
        ("/examples", [{}] * (MAX_ITEMS + 1)),
        ("/classes/member/node_classes", [f"c{n}" for n in range(65)]),
        ("/classes/member/local_groups", [f"local{n}" for n in range(65)]),
    ],
)
def test_too_much_of_anything_is_refused(pointer: str, value: Any) -> None:
    """What a node cannot carry, and what nobody could read, never becomes a version."""
    with pytest.raises(RuleFault, match=r"at most|more than"):
        parse_rules(edited(pointer, value), 1)


def test_node_classes_of_several_rules_are_counted_together() -> None:
    """What rules add is united in one account."""
    several = document()
    several["rules"] += [
        {"id": f"add{n}", "effect": "add", "issuer": ISSUER, "group": "/vo",
         "node_classes": [f"c{n}x{i}" for i in range(40)]}
        for n in range(2)
    ]  # fmt: skip
    with pytest.raises(RuleFault, match="more than 64 node classes"):
        parse_rules(several, 1)


# --- whatever it is


_json: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=6)
    | st.sampled_from(["/lhc", ISSUER, "member", "deny", "ssh:secure", "2026-12-04", "\ud800", "%"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.text(max_size=4)
        | st.sampled_from(["format", "classes", "rules", "id", "issuer", "group", "when", "any", "private"]),
        inner,
        max_size=3,
    ),
    max_leaves=10,
)  # fmt: skip


def _places(value: Any, pointer: str = "") -> list[str]:
    found = [pointer]
    if isinstance(value, dict):
        for name, inner in value.items():
            found += _places(inner, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _places(inner, f"{pointer}/{index}")
    return found


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(_places(document())[1:]), _json)
def test_whatever_stands_at_a_place_is_read_or_refused(place: str, value: Any) -> None:
    """Nothing but InvalidInput is raised, its place is within the document, its words can be shown and sent."""
    fault = _fault(edited(place, value))
    if fault is not None:
        assert isinstance(fault, RuleFault)
        json.dumps(fault.detail).encode("ascii")
        assert fault.detail.isprintable(), fault.detail
        _follow(edited(place, value), fault.pointer)


def _fault(document: Any) -> InvalidInput | None:
    try:
        parse_rules(document, 1)
    except InvalidInput as fault:
        return fault
    return None


def _follow(found: Any, pointer: str) -> None:
    """The place is there, or the table in which it is missing."""
    *path, last = [s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:]] or [
        None
    ]
    for step in path:
        found = found[int(step) if isinstance(found, list) else step]
    if last is not None:
        assert isinstance(found, dict) or int(last) < len(found)


@settings(max_examples=150, deadline=None)
@given(_json)
def test_whatever_document_it_is_it_is_read_or_refused(value: Any) -> None:
    fault = _fault(value)
    assert fault is None or fault.detail

"""Every finding by name and place; what is fine is not found."""

from __future__ import annotations

import copy
from datetime import date
from typing import Any

import pytest

from idmap.domain.doors import parse_door
from idmap.domain.findings import (
    FINDINGS,
    SEVERITIES,
    Finding,
    FindingCode,
    RulesRefused,
    Severity,
    Surroundings,
    require_no_errors,
)
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile
from idmap.domain.rule_document import parse_rules
from idmap.domain.rule_findings import find_in_rules
from tests.support.rule_documents import FIRST, FULL, SECOND

TODAY = date(2026, 12, 1)
C = FindingCode


def profile(issuer: str, **more: Any) -> IssuerProfile:
    """An issuer with audiences for the doors that FULL demands something at."""
    doors = {parse_door(door): frozenset({f"{issuer}{door}"}) for door in ("ssh:gpu", "api")}
    return IssuerProfile(Issuer(issuer), doors, **more)


def site(**more: Any) -> Surroundings:
    """A site at which nothing about FULL is odd."""
    known = {
        "profiles": (
            profile(FIRST),
            profile(
                SECOND, urn_namespace="urn:mace:egi.eu", urn_authorities=frozenset({"aai.egi.eu"})
            ),
        ),
        "known_groups": parse_rules(FULL, 1).groups(),
        "node_classes": frozenset({"login", "gpu"}),
        "range_sizes": {"pools": 100, "people": 1000},
    }
    return Surroundings(**{**known, **more})


def find(document: dict[str, Any], known: Surroundings | None) -> tuple[Finding, ...]:
    """As a save does it."""
    return find_in_rules(document, parse_rules(document, 1), TODAY, known)


def changed(**sections: Any) -> dict[str, Any]:
    """FULL with other sections."""
    return {**copy.deepcopy(FULL), **sections}


def with_rule(**rule: Any) -> dict[str, Any]:
    """FULL with one rule more, the last one; its place is /rules/8."""
    return changed(rules=[*FULL["rules"], {"id": "new", "issuer": FIRST, **rule}])


def with_class(name: str, **members: Any) -> dict[str, Any]:
    """FULL with one class changed."""
    return changed(classes={**FULL["classes"], name: {**FULL["classes"][name], **members}})


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """The full document at a site that knows all it names."""
    assert find(FULL, site()) == ()


def test_every_code_has_a_severity() -> None:
    """And a meaning: the tables are complete."""
    assert set(SEVERITIES) == set(FINDINGS) == set(FindingCode)


CASES: list[tuple[dict[str, Any], Surroundings | None, FindingCode, str, str]] = [
    (
        with_rule(**{"class": "personal"}, when={"groups": {"all": ["/x"], "none": ["/x"]}}),
        None, C.NEVER_MATCHES, "/rules/8", "must be there and must not",
    ),
    (
        with_rule(**{"class": "personal"}, when={"groups": {"any": ["/x", "/y"], "none": ["/y", "/x"]}}),
        None, C.NEVER_MATCHES, "/rules/8", "none forbids",
    ),
    (
        with_rule(**{"class": "personal"}, when={"groups": {"any": ["/a"], "all": ["/retired"]}}),
        None, C.ALWAYS_DENIED, "/rules/8", "rule gone denies",
    ),
    (
        with_rule(**{"class": "personal"}, when={"groups": {"all": ["/atlas", "/b"]}}),
        None, C.UNREACHABLE, "/rules/8", "rule prod comes first",
    ),
    (
        with_rule(effect="add", group="/lhc/gpu", local_groups=["fuse"]),
        None, C.SAME_CONDITION, "/rules/8", "of rule more",
    ),
    (
        changed(classes={**FULL["classes"], "idle": FULL["classes"]["personal"]}),
        None, C.CLASS_UNUSED, "/classes/idle", "no rule gives it",
    ),
    (with_class("personal", expires="2026-11-30"), None, C.CLASS_EXPIRED, "/classes/personal/expires", "2026-11-30"),
    (with_class("course", size=101), site(), C.POOL_TOO_LARGE, "/classes/course/size", "has 100 numbers"),
    (FULL, site(names={"atlasprd": "it is a group"}), C.NAME_TAKEN, "/classes/production/name", "it is a group"),
    (
        with_rule(effect="deny", when={"groups": {"any": ["/lhc", "/lhc/gqu"]}}),
        site(), C.GROUP_UNKNOWN, "/rules/8/when/groups/any/1", "did you mean /lhc/gpu?",
    ),
    (
        with_rule(effect="deny", issuer=SECOND, when={"entitlements": {"any": ["urn:geant:x.org:group:a"]}}),
        site(), C.ENTITLEMENT_FOREIGN, "/rules/8/when/entitlements/any/0", "urn_namespace is urn:mace:egi.eu",
    ),
    (
        with_rule(effect="deny", issuer=SECOND, when={"entitlements": {"all": ["urn:mace:egi.eu:res:a#else.where"]}}),
        site(), C.ENTITLEMENT_FOREIGN, "/rules/8/when/entitlements/all/0", "urn_authorities",
    ),
    (
        with_rule(effect="deny", when={"entitlements": {"none": ["urn:mace:egi.eu:group:a"]}}),
        site(), C.ENTITLEMENT_FOREIGN, "/rules/8/when/entitlements/none/0", "reads no entitlements",
    ),
    (
        FULL, site(node_classes=frozenset({"login"})),
        C.NODE_CLASS_UNKNOWN, "/classes/personal/node_classes", "class gpu",
    ),
    (
        changed(demands=[{"id": "d", "doors": ["api"], "issuers": ["https://third.example/"], "acr": ["x"]}]),
        site(), C.AUDIENCE_MISSING, "/demands/0/doors", "third.example/ has no audience",
    ),
    (
        changed(demands=[{"id": "d", "doors": ["component:x"], "acr": ["x"]}]),
        site(), C.AUDIENCE_MISSING, "/demands/0/doors", "no issuer has an audience",
    ),
    (changed(examples=[]), None, C.NO_EXAMPLES, "", "no [[examples]]"),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CASES)))
def test_what_is_odd_is_found_by_name_and_place(number: int) -> None:
    """Once, with its severity; and what else is found at that place is something else."""
    document, known, code, pointer, said = CASES[number]
    found = [one for one in find(document, known) if one.code is code]
    assert [one.pointer for one in found][:1] == [pointer]
    assert said in found[0].sentence
    assert found[0].severity is SEVERITIES[code]


def test_every_code_is_found_by_some_case() -> None:
    """No code is a dead letter."""
    assert {case[2] for case in CASES} == set(FindingCode)


def test_errors_refuse_and_come_first() -> None:
    """The refusal has the place of the first error and all that was found."""
    document = with_rule(**{"class": "personal"}, when={"groups": {"all": ["/x"], "none": ["/x"]}})
    found = find({**document, "examples": []}, None)
    assert [one.severity for one in found] == [Severity.ERROR, Severity.HINT]
    with pytest.raises(RulesRefused) as caught:
        require_no_errors(found)
    assert caught.value.pointer == "/rules/8"
    assert caught.value.more["findings"] == [one.document() for one in found]
    require_no_errors(tuple(one for one in found if one.severity is not Severity.ERROR))


def test_a_group_that_two_rules_name_is_no_typo() -> None:
    """Nor is one of an issuer that has told nothing yet, or one that an example has."""
    rule = {"effect": "deny", "group": "/new"}
    assert [one.code for one in find(with_rule(**rule), site())] == [C.GROUP_UNKNOWN]
    twice = with_rule(**rule)
    twice["rules"].append({**twice["rules"][-1], "id": "other", "node_classes": ["gpu"]})
    assert C.GROUP_UNKNOWN not in {one.code for one in find(twice, site())}
    silent = site(known_groups=frozenset())
    assert C.GROUP_UNKNOWN not in {one.code for one in find(with_rule(**rule), silent)}

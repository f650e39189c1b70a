"""Rules as data: what cannot stand is refused by name, before anything changes."""

from __future__ import annotations

from typing import Any

import pytest

from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group, parse_group
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason
from idmap.domain.rule_document import parse_rules

ISSUER = Issuer("https://iam.example/")


def document(**changes: Any) -> dict[str, Any]:
    """A rule document that stands."""
    base: dict[str, Any] = {
        "format": 1,
        "classes": {
            "personal": {
                "range": "people", "primary_group": "lhc", "shell": "/bin/bash", "home": "/home/{username}",
            }
        },
        "rules": [
            {"id": "lhc", "issuer": ISSUER, "group": "/lhc", "class": "personal", "secondary_groups": ["lhc/gpu"]}
        ],
    }  # fmt: skip
    return {**base, **changes}


def _with_class(**changes: Any) -> dict[str, Any]:
    body = {**document()["classes"]["personal"], **changes}
    return document(classes={"personal": {k: v for k, v in body.items() if v is not None}})


def _with_rule(**changes: Any) -> dict[str, Any]:
    body = {**document()["rules"][0], **changes}
    return document(rules=[{k: v for k, v in body.items() if v is not None}])


def test_a_rule_document_becomes_rules() -> None:
    """Groups are canonical and bound to the rule's issuer, the class's primary group too."""
    rules = parse_rules(document(), version=3)
    rule = rules.rules[0]
    assert (rules.version, rule.rule_id) == (3, "lhc")
    assert rule.condition.items() == {Group(ISSUER, "lhc")}
    assert rules.posix_groups() == {Group(ISSUER, "lhc"), Group(ISSUER, "lhc/gpu")}
    assert rules.class_of("lhc").home_of("alice") == "/home/alice"


def test_a_class_without_a_primary_group_is_refused() -> None:
    """Feudal takes the alphabetically first group; nothing is guessed here (law 4)."""
    for absent in (None, ""):
        with pytest.raises(InvalidInput) as caught:
            parse_rules(_with_class(primary_group=absent), version=1)
        assert caught.value.reason is Reason.CLASS_WITHOUT_PRIMARY_GROUP


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (document(format=3), "format"),
        (document(extra=1), "extra"),
        (document(rules={}), "rules"),
        (_with_rule(clas="personal"), "clas"),
        (_with_rule(id="Not A Label"), "id"),
        (_with_rule(group=None), "group"),
        (_with_rule(group="a//b"), "group"),
        (_with_rule(group="../x"), "group"),
        (_with_rule(issuer=None), "issuer"),
        (_with_rule(**{"class": "unknown"}), "class"),
        (_with_rule(secondary_groups="lhc"), "secondary_groups"),
        (document(rules=document()["rules"] * 2), "used twice"),
        (_with_class(shell="bash"), "shell"),
        (_with_class(shell="/bin/ba:sh"), "shell"),
        (_with_class(home="/home/{user}"), "home"),
        (_with_class(home="/home/../etc"), "home"),
        (_with_class(home="/home/a b"), "home"),
        (_with_class(grace_days=-1), "grace_days"),
        (_with_class(grace_days=True), "grace_days"),
        (_with_class(range=None), "range"),
        (document(admins=[{"issuer": ISSUER}]), "subject or group"),
        (document(admins=[{"issuer": ISSUER, "subject": "a", "group": "b"}]), "subject or group"),
    ],
)
def test_what_cannot_stand_is_refused_by_name(wrong: dict[str, Any], named: str) -> None:
    """A typo in a key is a refusal that names it, never a rule that means something else."""
    with pytest.raises(InvalidInput) as caught:
        parse_rules(wrong, version=1)
    assert caught.value.reason is Reason.RULE_INVALID
    assert named in caught.value.detail


@pytest.mark.parametrize(
    "spelling", ["", "/", "a//b", "a/", "a b", "ä", "a/../b", ".a", "x" * 513, 7, None]
)
def test_what_is_no_group_path_is_refused(spelling: object) -> None:
    """WLCG's grammar: components start with a letter or digit."""
    with pytest.raises(InvalidInput):
        parse_group(ISSUER, spelling)


def test_both_spellings_of_a_group_are_one_group() -> None:
    """INDIGO IAM `vo/sub` and WLCG `/vo/sub`; the parent is another group."""
    assert (
        parse_group(ISSUER, "/vo/sub") == parse_group(ISSUER, "vo/sub") != parse_group(ISSUER, "vo")
    )

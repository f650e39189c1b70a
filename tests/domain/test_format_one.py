"""Documents of format 1 mean what they meant: first match wins, one group a rule, robots apart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.domain.decision import Recorded, decide
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.reasons import Reason
from idmap.domain.rule_document import parse_rules
from idmap.domain.rules import Gives
from tests.support.rule_worlds import NOW

ISSUERS = ("https://a.example/", "https://b.example/")
PATHS = ("vo", "vo/x", "lab")
_issuers, _paths = st.sampled_from(ISSUERS), st.sampled_from(PATHS)

classes = st.fixed_dictionaries(
    {
        "primary_group": st.sampled_from(("vo", "lab", "staff")),
        "shell": st.just("/bin/bash"),
        "home": st.just("/home/{username}"),
    },
    optional={
        "grace_days": st.integers(0, 60),
        "membership_grace_days": st.integers(0, 60),
        "approval": st.sampled_from(("none", "required")),
    },
)
rules = st.fixed_dictionaries(
    {"issuer": _issuers, "group": _paths, "class": st.sampled_from(("one", "two"))},
    optional={"secondary_groups": st.lists(_paths, max_size=2)},
)
robots = st.fixed_dictionaries(
    {"issuer": _issuers, "group": _paths, "class": st.just("robots"), "robots": st.just(True)},
    optional={"subjects": st.lists(st.sampled_from(("s1", "s2")), max_size=1)},
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    found = draw(st.lists(rules | robots, max_size=6))
    return {
        "format": 1,
        "classes": {
            name: draw(classes) | {"range": "robots" if name == "robots" else "people"}
            for name in ("one", "two", "robots")
        },
        "rules": [{"id": f"r{number}", **rule} for number, rule in enumerate(found)],
    }


records = st.builds(
    Recorded,
    identity=st.builds(Identity, _issuers.map(Issuer), st.sampled_from(("s1", "s2")).map(Subject)),
    active_at_source=st.sampled_from((True, True, False)),
    groups=st.frozensets(st.builds(Group, _issuers.map(Issuer), _paths), max_size=4),
    account=st.none(),
    robot=st.booleans(),
    also=st.frozensets(
        st.builds(Identity, _issuers.map(Issuer), st.just(Subject("s3"))), max_size=1
    ),
)


def as_it_was(document: dict[str, Any], recorded: Recorded) -> dict[str, Any] | None:
    """The first rule that matches, read as format 1 was always read; the member of the document."""
    if not recorded.active_at_source:
        return None
    for rule in document["rules"]:
        if recorded.robot is not rule.get("robots", False):
            continue
        member = Group(Issuer(rule["issuer"]), rule["group"]) in recorded.groups
        named = any(
            one.issuer == rule["issuer"] and one.subject in rule.get("subjects", ())
            for one in (recorded.identity, *recorded.also)
        )
        if member or named:
            return dict(rule)
    return None


@settings(max_examples=200, deadline=None)
@given(documents(), records)
def test_the_same_person_gets_the_same_account_by_the_same_rule(
    document: dict[str, Any], recorded: Recorded
) -> None:
    """But for a group of an issuer of which the person has no identity: nobody can be in one."""
    known = {one.issuer for one in (recorded.identity, *recorded.also)}
    recorded = Recorded(
        recorded.identity,
        recorded.active_at_source,
        frozenset(group for group in recorded.groups if group.issuer in known),
        None,
        robot=recorded.robot,
        also=recorded.also,
    )
    rule, decision = as_it_was(document, recorded), decide(recorded, parse_rules(document, 1), NOW)
    if rule is None:
        assert decision.grant is None
        wrong = Reason.ROBOT_REFUSED if recorded.robot else Reason.NO_RULE_MATCHES
        assert decision.reasons == (wrong,)
        return
    grant, issuer = decision.grant, Issuer(rule["issuer"])
    assert grant is not None
    assert grant.rule.rule_id == rule["id"]
    given = document["classes"][rule["class"]]
    primary = Group(issuer, given["primary_group"])
    assert grant.account_class.primary_group == primary
    assert grant.account_class.grace_days == given.get("grace_days", 30)
    assert grant.account_class.membership_grace_days == given.get("membership_grace_days", 0)
    assert grant.account_class.approval_required is (given.get("approval") == "required")
    listed = {Group(issuer, path) for path in rule.get("secondary_groups", ())}
    assert grant.secondary_groups == listed & recorded.groups - {primary}
    assert str(grant.access) == "*"
    assert grant.account_class.expires_on is None
    assert (grant.local_groups, grant.slurm, grant.added_by) == (frozenset(), None, ())


@settings(max_examples=50, deadline=None)
@given(documents(), records)
def test_format_two_says_the_same_of_the_same_document(
    document: dict[str, Any], recorded: Recorded
) -> None:
    one, two = (parse_rules(document | {"format": number}, 1) for number in (1, 2))
    assert one == two
    assert decide(recorded, one, NOW) == decide(recorded, two, NOW)


OLD: dict[str, Any] = {
    "format": 1,
    "classes": {
        "member": {"range": "people", "primary_group": "vo", "shell": "/bin/sh", "home": "/h"}
    },
    "rules": [{"id": "vo", "issuer": ISSUERS[0], "group": "/vo", "class": "member"}],
    "admins": [{"issuer": ISSUERS[0], "group": "/admins"}, {"issuer": ISSUERS[0], "subject": "x"}],
}


@pytest.mark.parametrize(
    ("place", "member"),
    [
        *(((), member) for member in ("demands", "examples")),
        *(
            (("rules", 0), member)
            for member in ("effect", "priority", "when", "node_classes", "local_groups", "slurm")
        ),
        *(
            (("classes", "member"), member)
            for member in ("kind", "expires", "node_classes", "local_groups", "slurm", "name", "size")
        ),
        *((("admins", 0), member) for member in ("role", "manages")),
    ],
)  # fmt: skip
def test_members_of_format_two_are_unknown_to_format_one(
    place: tuple[str | int, ...], member: str
) -> None:
    """A document says what it is written in; nothing of a later format slips into an earlier one."""

    def copied(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: copied(inner) for name, inner in value.items()}
        return [copied(inner) for inner in value] if isinstance(value, list) else value

    document = copied(OLD)
    table = document
    for step in place:
        table = table[step]
    table[member] = {}
    with pytest.raises(InvalidInput, match="unknown member"):
        parse_rules(document, 1)


def test_administrators_of_format_one_are_site_admins() -> None:
    rules = parse_rules(OLD, 1)
    assert [str(admin.role) for admin in rules.administrators] == ["site-admin", "site-admin"]


def test_a_class_that_no_rule_gives_was_never_looked_at() -> None:
    """Saved documents may hold one; they are read for ever, at every start."""
    broken = {"half": {"range": "people"}, "strange": {"colour": "red", "primary_group": "//"}}
    rules = parse_rules(OLD | {"classes": OLD["classes"] | broken}, 1)
    assert isinstance(rules.rules[0].outcome, Gives)
    with pytest.raises(InvalidInput):
        parse_rules(OLD | {"format": 2, "classes": OLD["classes"] | broken}, 1)


def test_a_number_that_equals_one_is_format_one() -> None:
    """JSON writes 1.0 where some programs mean 1; such documents were saved."""
    assert parse_rules(OLD | {"format": 1.0}, 1) == parse_rules(OLD, 1)

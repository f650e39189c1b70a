"""Labels, attributes and mail domains of INDIGO IAM's people: read where rules ask for them, and never guessed."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.adapters.indigo_iam.translate import MOST_FACTS, USER_EXTENSION, parse_person
from idmap.application.ports import ListedPerson, Listing
from idmap.domain.facts import FactKind, is_readable_fact
from idmap.domain.groups import Group
from tests.adapters.indigo_iam.conftest import ISSUER, NOW, Reader

LABEL, ATTRIBUTE, DOMAIN = FactKind.LABEL, FactKind.ATTRIBUTE, FactKind.EMAIL_DOMAIN
ALL = frozenset(FactKind)
VO = Group(ISSUER, "demo")
LABELS = [
    {"name": "staff"},
    {"prefix": "hpc.example.org", "name": "project", "value": "lattice"},
]


def _observe(
    reader: Reader, strategy: Literal["accounts", "scim"], facts: frozenset[FactKind]
) -> Listing:
    source = reader.source(strategy, passes=1)
    return source.observe(frozenset({VO}), lambda *_: None, {}, facts)


def _called(listing: Listing, name: str) -> ListedPerson:
    (found,) = (one for one in listing.people if one.preferred_username == name)
    return found


def _said(person: ListedPerson) -> set[tuple[FactKind, str]]:
    assert {fact.issuer for fact in person.facts} <= {ISSUER}
    return {(fact.kind, fact.value) for fact in person.facts}


@pytest.mark.parametrize("strategy", ["accounts", "scim"])
def test_both_ways_of_reading_a_group_give_what_is_asked_for(
    own_small: Reader, strategy: Literal["accounts", "scim"]
) -> None:
    """`find/bygroup` and `/scim/Users/{id}` print the same record."""
    iam = own_small.iam
    iam.change("set_labels", person="alice", labels=LABELS)
    iam.control("POST", "settings", {"include_labels": True, "include_attributes": True})
    listing = _observe(own_small, strategy, ALL)
    assert listing.covers == {LABEL, ATTRIBUTE, DOMAIN}
    assert _said(_called(listing, "alice")) == {
        (LABEL, "staff"),
        (LABEL, "hpc.example.org/project=lattice"),
        (ATTRIBUTE, "nickname=al"),
        (DOMAIN, "example.org"),
    }
    assert _said(_called(listing, "ivan")) == {(DOMAIN, "example.org")}, "no extension at all"
    assert not listing.notes


@pytest.mark.parametrize("strategy", ["accounts", "scim"])
def test_what_no_rule_asks_for_is_not_even_read(
    own_small: Reader, strategy: Literal["accounts", "scim"]
) -> None:
    """Nor does it make anybody unreadable."""
    own_small.iam.control("POST", "settings", {"include_labels": True, "include_attributes": True})
    own_small.iam.change("set_attributes", person="alice", attributes={"bad": "\u0007"})
    listing = _observe(own_small, strategy, frozenset({LABEL}))
    assert listing.covers == {LABEL}
    assert all(one.readable and not one.facts for one in listing.people)
    nothing = _observe(own_small, strategy, frozenset())
    assert nothing.covers == frozenset()
    assert not nothing.notes


def test_an_iam_that_shows_nobody_a_label_is_asked_about_aloud(small: Reader) -> None:
    """Its answer is the same whether nobody has one or its configuration hides them."""
    listing = _observe(small, "accounts", frozenset({LABEL, ATTRIBUTE, DOMAIN}))
    assert len(listing.notes) == 2
    assert "scim.include_labels" in listing.notes[0]
    assert "scim.include_attributes" in listing.notes[1]


def test_a_label_that_does_not_read_leaves_the_person_as_they_were(own_small: Reader) -> None:
    """Law 6: present and unchanged, and said so; a deny rule must not be escaped by a broken label."""
    own_small.iam.control("POST", "settings", {"include_labels": True})
    own_small.iam.change("set_labels", person="bob", labels=[{"name": "x", "value": "\u0007"}])
    own_small.iam.change("set_labels", person="alice", labels=LABELS)
    listing = _observe(own_small, "accounts", frozenset({LABEL}))
    bob = next(
        one for one in listing.people if one.identity.subject == own_small.iam.person_id("bob")
    )
    assert (bob.readable, bob.facts) == (False, frozenset())
    assert [note for note in listing.notes if "labels" in note]
    assert _called(listing, "alice").readable


def _row(**extension: Any) -> dict[str, Any]:
    return {"id": "u1", "userName": "u", "active": True, USER_EXTENSION: extension}


@pytest.mark.parametrize(
    ("labels", "texts"),
    [
        (None, []),
        ([], []),
        ([{"name": "a"}], ["a"]),
        ([{"prefix": None, "name": "a", "value": None}], ["a"]),
        ([{"prefix": "", "name": "a", "value": ""}], ["a"]),
        ([{"prefix": "p.org", "name": "a"}], ["p.org/a"]),
        ([{"name": "a", "value": "1"}, {"name": "a", "value": "1"}], ["a=1"]),
        ([{"name": "a", "value": " 1 2 "}], ["a=1 2"]),
        ([{"name": "a", "value": "b=c/d"}], ["a=b=c/d"]),
    ],
)
def test_the_shapes_of_labels(labels: object, texts: list[str]) -> None:
    record = parse_person(_row(labels=labels), NOW, ALL)
    assert record.problem is None
    assert [text for kind, text in record.facts if kind is LABEL] == texts


@pytest.mark.parametrize("member", ["labels", "attributes"])
@pytest.mark.parametrize(
    "value",
    [
        "staff",
        {"name": "staff"},
        ["staff"],
        [{}],
        [{"name": ""}],
        [{"name": None}],
        [{"name": 7}],
        [{"name": "a", "value": 7}],
        [{"name": "a", "value": ["b"]}],
        [{"name": "a", "value": "x" * 2000}],
        [{"name": "a", "value": "line\nbreak"}],
        [{"name": "a", "value": "\ud800"}],
        [{"name": f"n{number}"} for number in range(MOST_FACTS + 1)],
    ],
)
def test_hostile_shapes_make_a_record_unread_and_only_where_they_are_asked_for(
    member: str, value: object
) -> None:
    kind = LABEL if member == "labels" else ATTRIBUTE
    record = parse_person(_row(**{member: value}), NOW, frozenset({kind}))
    assert record.problem is not None
    assert member in record.problem
    assert record.facts == ()
    assert parse_person(_row(**{member: value}), NOW, ALL - {kind}).problem is None


@pytest.mark.parametrize(
    ("emails", "domains"),
    [
        ([{"value": "jo@Example.ORG", "primary": True}], ["example.org"]),
        ([{"value": "a@first.org"}, {"value": "b@main.org", "primary": True}], ["main.org"]),
        ([{"value": "no address"}], []),
        ([{"value": 7}], []),
        ("jo@example.org", []),
        (None, []),
    ],
)
def test_the_mail_domain_is_of_the_primary_address(emails: object, domains: list[str]) -> None:
    """It only narrows: an address that does not read is none."""
    record = parse_person(_row() | {"emails": emails}, NOW, ALL)
    assert record.problem is None
    assert [text for kind, text in record.facts if kind is DOMAIN] == domains


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["name", "value", "prefix", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(labels=_json, attributes=_json, emails=_json)
def test_whatever_comes_is_read_or_the_record_is_unread(
    labels: object, attributes: object, emails: object
) -> None:
    """Every fact that comes out can be kept; no exception does."""
    row = _row(labels=labels, attributes=attributes) | {"emails": emails}
    record = parse_person(row, NOW, ALL)
    assert all(is_readable_fact(text) for _, text in record.facts)
    assert record.problem is None or record.facts == ()

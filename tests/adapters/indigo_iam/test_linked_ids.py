"""What IAM says of people's other ids: read tolerantly, bounded, and never a reason to leave a person unread."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.adapters.indigo_iam.translate import USER_EXTENSION, parse_person
from idmap.domain.linking import LinkedId, LinkedIdKind
from tests.adapters.indigo_iam.test_translate import ANY_JSON, NOW, person

IDS: dict[str, list[dict[str, Any]]] = {
    "oidcIds": [{"issuer": "https://idp.example.org/", "subject": "alice-1"}],
    "samlIds": [{"idpId": "https://saml.example.org", "attributeId": "eppn", "userId": "al@x"}],
    "certificates": [{"subjectDn": "CN=Alice", "issuerDn": "CN=CA", "primary": True}],
}
FOUND = (
    LinkedId(LinkedIdKind.CERTIFICATE, "CN=CA", "CN=Alice"),
    LinkedId(LinkedIdKind.OIDC, "https://idp.example.org/", "alice-1"),
    LinkedId(LinkedIdKind.SAML, "https://saml.example.org", "al@x"),
)


def extended(**members: Any) -> dict[str, Any]:
    return person(**{USER_EXTENSION: members})


def test_the_three_kinds_are_read_and_sorted() -> None:
    assert parse_person(extended(**IDS), NOW).linked_ids == FOUND
    twice = {name: [*listed, *listed] for name, listed in IDS.items()}
    assert parse_person(extended(**twice), NOW).linked_ids == FOUND
    assert parse_person(person(), NOW).linked_ids == ()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: ANY_JSON | st.lists(st.fixed_dictionaries(dict.fromkeys(listed[0], ANY_JSON)))
            for name, listed in IDS.items()
        },
    )
)
def test_whatever_stands_there_the_person_is_read(members: dict[str, Any]) -> None:
    record = parse_person(extended(**members), NOW)
    assert record.problem is None
    for claim in record.linked_ids:
        assert f"{claim.issuer}{claim.subject}".encode(), "no lone surrogate"
        assert "\0" not in claim.issuer + claim.subject


@pytest.mark.parametrize("text", ["", "x" * 1025, "a\0b", "\ud800", "line\nbreak", 7, None])
def test_what_cannot_be_an_id_is_passed_over(text: object) -> None:
    bad = {"issuer": text, "subject": "s"}, {"issuer": "https://i.example/", "subject": text}
    good = {"issuer": "https://i.example/", "subject": "s"}
    record = parse_person(extended(oidcIds=[*bad, good]), NOW)
    assert record.linked_ids == (LinkedId(LinkedIdKind.OIDC, "https://i.example/", "s"),)


def test_a_source_cannot_make_us_store_without_end() -> None:
    many = [{"issuer": "https://i.example/", "subject": f"{number:05}"} for number in range(999)]
    assert len(parse_person(extended(oidcIds=many), NOW).linked_ids) == 32


@pytest.mark.parametrize("strategy", ["accounts", "scim"])
def test_the_listing_carries_what_iam_says(small: Any, strategy: str) -> None:
    """Of the simulated IAM: alice has an id and a certificate, bob a SAML id, carol none."""
    people = small.observe("demo/compute", "demo/gpu", strategy=strategy).people
    said = {one.preferred_username: one.linked_ids for one in people}
    assert said["alice"] == (
        LinkedId(LinkedIdKind.CERTIFICATE, "CN=Example CA", "CN=Alice Adams,O=Example"),
        LinkedId(LinkedIdKind.OIDC, "https://idp.example.org/", "alice-1"),
    )
    assert said["bob"] == (LinkedId(LinkedIdKind.SAML, "https://saml.example.org", "bob@x"),)
    assert said["carol"] == ()

"""Facts as text, mail domains, and what of a verified token may go on record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.capabilities import find_capability
from idmap.domain.claims import VerifiedClaims, check_claims
from idmap.domain.doors import API
from idmap.domain.facts import (
    SAID_BY_SOURCES,
    Fact,
    FactKind,
    attribute,
    email_domain,
    is_readable_fact,
    label,
)
from idmap.domain.issuers import GroupsDialect
from idmap.domain.rule_document import parse_rules
from idmap.domain.token_facts import MOST_OF_A_KIND, token_facts
from tests.support.tokens import ISSUER, NOW, claims, profile

RAF = "https://refeds.org/assurance/"
URN = "urn:mace:egi.eu:res:hpc:act:submit"
PINNED = {
    "groups_claims": {"entitlements": GroupsDialect.ENTITLEMENT},
    "urn_namespace": "urn:mace:egi.eu",
    "urn_authorities": frozenset({"", "aai.egi.eu"}),
}


def _verified(**said: Any) -> VerifiedClaims:
    return check_claims(claims(API, **said), profile(**PINNED), API, NOW)


def _facts(**said: Any) -> set[tuple[FactKind, str]]:
    facts = token_facts(_verified(**said))
    assert facts is not None
    assert {fact.issuer for fact in facts} <= {ISSUER}
    return {(fact.kind, fact.value) for fact in facts}


# --- as text


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (("staff",), "staff"),
        (("staff", ""), "staff"),
        (("project", "lattice"), "project=lattice"),
        (("project", "lattice", "hpc.example.org"), "hpc.example.org/project=lattice"),
        (("project", "", "hpc.example.org"), "hpc.example.org/project"),
        (("project", " lattice "), "project=lattice"),
        (("project", "  "), "project"),
    ],
)
def test_a_label_leaves_out_what_is_empty(parts: tuple[str, ...], text: str) -> None:
    assert label(*parts) == text


_name = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_.-]{0,20}", fullmatch=True)
_prefix = st.from_regex(r"([a-z0-9]{1,8}\.){1,2}[a-z]{2,4}", fullmatch=True) | st.just("")
_value = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=12)


@given(one=st.tuples(_name, _value, _prefix), other=st.tuples(_name, _value, _prefix))
def test_two_labels_are_never_one_text(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """In the grammar that INDIGO IAM gives prefixes (domain names) and names."""
    assert (label(*one) == label(*other)) == (one == other)


def test_a_rule_and_a_source_write_the_same_text() -> None:
    """What a rule asks for is what is on record, byte for byte."""
    when = {
        "labels": {"any": ["hpc.example.org/project=lattice"]},
        "attributes": {"any": ["nickname=al"]},
        "entitlements": {"any": ["URN:MACE:egi.eu:res:hpc:act:submit#aai.egi.eu"]},
        "assurance": {"any": [f"{RAF}IAP/high"]},
        "email_domain": {"any": ["lab.example"]},
    }
    document = {
        "format": 2,
        "classes": {
            "users": {"range": "people", "primary_group": "vo", "shell": "/bin/sh", "home": "/h"}
        },
        "rules": [{"id": "r", "issuer": ISSUER, "class": "users", "when": when}],
    }
    rules = parse_rules(document, 1)
    asked = {item for item in rules.rules[0].condition.items() if isinstance(item, Fact)}
    token = {(fact.kind, fact.value) for fact in asked if fact.kind not in SAID_BY_SOURCES}
    assert token == _facts(
        entitlements=[f"{URN}#aai.egi.eu"],
        eduperson_assurance=[f"{RAF}IAP/high"],
        email="jo@LAB.example",
    )
    source = {fact.value for fact in asked if fact.kind in SAID_BY_SOURCES}
    assert source == {label("project", "lattice", "hpc.example.org"), attribute("nickname", "al")}
    assert rules.wanted_facts() == {(fact.issuer, fact.kind) for fact in asked}


# --- mail domains


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("jo@example.org", "example.org"),
        ("Jo.Doe+x@EXAMPLE.Org", "example.org"),
        ('"a@b"@example.org', "example.org"),
        ("jo@localhost", "localhost"),
    ],
)
def test_what_stands_behind_the_last_at(address: str, domain: str) -> None:
    assert email_domain(address) == domain


@pytest.mark.parametrize(
    "address",
    [
        "", "jo", "@example.org", "jo@", "jo@.org", "jo@example..org", "jo@-.org", "jo@exämple.org",
        "jo@example.org.", "jo@ex\nample.org", "jo@ example.org", "jo@example.org ", "jo@аpple.com",
    ],
)  # fmt: skip
def test_no_domain_is_guessed(address: str) -> None:
    """A look-alike in another script is none."""
    assert email_domain(address) is None


@pytest.mark.parametrize(
    ("verified", "counts"),
    [
        (None, True), (True, True), ("true", True), (False, False), ("false", False), (0, False),
        (1, False), ("", False), ([], False), ({}, False), ("True", False),
    ],
)  # fmt: skip
def test_an_address_that_the_issuer_calls_unverified_has_no_domain(
    verified: object, counts: bool
) -> None:
    """Anything but yes is no; saying nothing leaves it to the issuer (OpenID Connect Core §5.1)."""
    said = {"email": "jo@lab.example"} | ({} if verified is None else {"email_verified": verified})
    assert _verified(**said).email_domain == ("lab.example" if counts else None)


@pytest.mark.parametrize("email", [7, ["jo@lab.example"], {"x": 1}, "x" * 250 + "@lab.example"])
def test_an_address_that_is_no_short_text_has_no_domain(email: object) -> None:
    assert _verified(email=email).email_domain is None


# --- tokens


def test_what_a_token_says_as_facts() -> None:
    """Assurance byte for byte, rights without their authority; groups are no facts, and neither is anything else."""
    said = _facts(
        eduperson_assurance=[f"{RAF}IAP/high", f"{RAF}IAP/HIGH"],
        entitlements=[f"{URN}#aai.egi.eu", URN, "urn:mace:egi.eu:group:vo", "urn:x:other:res:y"],
        email="jo@lab.example",
        labels=["staff"],
        attr={"nickname": "al"},
    )
    assert said == {
        (FactKind.ASSURANCE, f"{RAF}IAP/high"),
        (FactKind.ASSURANCE, f"{RAF}IAP/HIGH"),
        (FactKind.ENTITLEMENT, URN),
        (FactKind.EMAIL_DOMAIN, "lab.example"),
    }
    assert not {kind for kind, _ in said} & SAID_BY_SOURCES


def test_a_token_for_its_capabilities_does_not_speak_of_facts() -> None:
    """None is not the same as nothing: what tokens said before stays."""
    verified = _verified(eduperson_assurance="x")
    capability = find_capability("compute.read")
    assert capability is not None
    assert token_facts(replace(verified, capabilities=frozenset({capability}))) is None
    assert token_facts(_verified()) == frozenset()


def test_more_of_a_kind_than_anybody_has_counts_as_none() -> None:
    """A bound on what a token can make us store."""
    many = [f"{RAF}{number}" for number in range(MOST_OF_A_KIND + 1)]
    assert _facts(eduperson_assurance=many, email="jo@lab.example") == {
        (FactKind.EMAIL_DOMAIN, "lab.example")
    }
    assert len(_facts(eduperson_assurance=many[1:])) == MOST_OF_A_KIND


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(assurance=_json, email=_json, verified=_json, entitlements=_json)
def test_every_fact_that_comes_out_of_a_token_can_be_kept(
    assurance: object, email: object, verified: object, entitlements: object
) -> None:
    said = _facts(
        eduperson_assurance=assurance,
        email=email,
        email_verified=verified,
        entitlements=entitlements,
    )
    assert all(is_readable_fact(value) for _, value in said)

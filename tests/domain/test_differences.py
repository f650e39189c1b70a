"""Tokens and sources compared: what differs is told, and nothing that says nothing is compared."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.capabilities import find_capability
from idmap.domain.claims import VerifiedClaims
from idmap.domain.differences import (
    Assertion,
    DifferenceKind,
    assertion_of,
    comparable,
    disagreements,
)
from idmap.domain.doors import API
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject

HERE, THERE = Issuer("https://a.example/"), Issuer("https://b.example/")
GROUPS = [Group(HERE, path) for path in ("vo", "vo/a", "vo/b")]
ALICE = Identity(HERE, Subject("alice"))
_groups = st.frozensets(st.sampled_from(GROUPS))


def _claims(**changes: Any) -> VerifiedClaims:
    given_ = {
        "identity": ALICE,
        "door": API,
        "expires_at": 200,
        "issued_at": 100,
        "token_id": None,
        "client_id": None,
        "groups": frozenset(GROUPS[:1]),
        "preferred_username": None,
    }
    return VerifiedClaims(**{**given_, **changes})


def test_a_token_without_groups_or_with_capabilities_says_nothing() -> None:
    """INDIGO IAM puts no groups into a token unless it is asked (research: iam-provisioning §2.6)."""
    capability = find_capability("compute.read")
    assert assertion_of(_claims(groups=frozenset())) is None
    assert assertion_of(_claims(capabilities=frozenset({capability}))) is None
    assert assertion_of(_claims()) == Assertion(ALICE, frozenset(GROUPS[:1]), 100)


def test_compared_are_groups_of_the_issuer_that_rules_and_a_listing_speak_of() -> None:
    """And no token that is older than the listing."""
    assertion = Assertion(ALICE, frozenset(), 100)
    listed = {GROUPS[0]: 100, GROUPS[1]: 101, Group(THERE, "vo"): 1}
    spoken_of = {*GROUPS, Group(THERE, "vo")}
    assert comparable(assertion, spoken_of, listed) == {GROUPS[0]}
    assert comparable(assertion, {GROUPS[1], GROUPS[2]}, listed) == frozenset()


@given(asserted=_groups, by_sources=_groups, compared=_groups)
def test_what_differs_is_exactly_what_one_of_them_says(
    asserted: frozenset[Group], by_sources: frozenset[Group], compared: frozenset[Group]
) -> None:
    found = disagreements(Assertion(ALICE, asserted, 1), by_sources, compared)
    assert found.keys() == (asserted ^ by_sources) & compared
    for group, kind in found.items():
        in_token = kind is DifferenceKind.NOT_IN_SOURCE
        assert (group in asserted, group in by_sources) == (in_token, not in_token)

"""What an issuer's metadata says against the profile a site is about to trust."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.discovery import check_found, parse_found
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection
from idmap.domain.reasons import Reason
from tests.support.tokens import ISSUER, profile

SAYS: dict[str, Any] = {
    "issuer": ISSUER,
    "jwks_uri": f"{ISSUER}jwk",
    "subject_types_supported": ["public", "pairwise"],
    "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"],
}


def _reason(says: dict[str, Any], **changes: Any) -> tuple[Reason, str]:
    with pytest.raises(InvalidInput) as caught:
        check_found(parse_found(says), profile(**changes))
    return caught.value.reason, caught.value.detail


def test_metadata_that_fits_passes() -> None:
    """Also by an alias, and when it says no more than it must."""
    check_found(parse_found(SAYS), profile())
    check_found(parse_found({"issuer": ISSUER, "jwks_uri": "x"}), profile())
    alias = profile(aliases=frozenset({Issuer(ISSUER.rstrip("/"))}))
    check_found(parse_found({**SAYS, "issuer": ISSUER.rstrip("/")}), alias)


@pytest.mark.parametrize(
    "named", [ISSUER.rstrip("/"), ISSUER.upper(), f"{ISSUER}x", None, 7, [ISSUER]]
)
def test_another_spelling_is_another_issuer(named: object) -> None:
    """Byte for byte; a difference of a slash is named, not repaired."""
    reason, detail = _reason({**SAYS, "issuer": named})
    assert reason is Reason.ISSUER_INVALID
    assert ("differ by a slash" in detail) == (named == ISSUER.rstrip("/"))


def test_pairwise_alone_is_refused_until_a_stable_claim_is_named() -> None:
    """With public subjects beside it the site's client decides, and INDIGO IAM always says both."""
    says = {**SAYS, "subject_types_supported": ["pairwise"]}
    assert _reason(says)[0] is Reason.PAIRWISE_SUBJECT
    check_found(parse_found(says), profile(subject_claim="voperson_id"))


def test_an_issuer_that_signs_with_nothing_allowed_is_refused() -> None:
    """The detail names what could be allowed, and never a symmetric algorithm."""
    says = {**SAYS, "id_token_signing_alg_values_supported": ["none", "HS256", "PS256"]}
    reason, detail = _reason(says)
    assert reason is Reason.ISSUER_INVALID
    assert "PS256" in detail
    assert "HS256" not in detail
    check_found(parse_found(says), profile(algorithms=frozenset({"PS256"})))


def test_introspection_needs_an_endpoint() -> None:
    """It would fail at the first token instead."""
    wanted = {"introspection": Introspection("idmap", "iam")}
    assert _reason(SAYS, **wanted)[0] is Reason.ISSUER_INVALID
    says = {**SAYS, "introspection_endpoint": f"{ISSUER}introspect"}
    check_found(parse_found(says), profile(**wanted))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys([*SAYS, "scopes_supported"], _JSON)))
def test_any_document_fits_or_is_refused(document: dict[str, Any]) -> None:
    """Strangers write it."""
    found = parse_found(document)
    assert all(isinstance(value, (str, list, type(None))) for value in found.as_document().values())
    try:
        check_found(found, profile())
    except InvalidInput:
        return
    assert document["issuer"] == ISSUER

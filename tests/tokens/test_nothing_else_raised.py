"""Whatever arrives, the verifier gives claims, TokenRefused or Unavailable: nothing else ever leaves it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idmap.domain.checks import Check
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.secrets import Secret
from tests.support.tokens import NOW, FakeIssuerKeys, claims, profile, public_jwk, segment, verifier
from tests.tokens.cases import ALL_ALGORITHMS, DOORS, sign

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
_CLAIMS = (
    "iss sub aud exp iat nbf jti client_id cnf wlcg.ver auth_time groups wlcg.groups preferred_username acr scope "
    "entitlements eduperson_entitlement eduperson_assurance azp voperson_id"
).split()
_MEMBERS = "alg kid typ crit jku jwk x5c b64 cty".split()
_JWK_MEMBERS = "kty crv x y n e d use alg kid key_ops".split()

_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Any Unicode is slow to make on a busy machine; how long it takes is not what is asked here."""


def _verify(
    text: str, door: Any = DOORS[0], at: int = NOW, key: dict[str, Any] | None = None
) -> None:
    keys = (key or public_jwk("rsa", "k1"), public_jwk("p256", "e1"), public_jwk("ed", "d1"))
    trusted = profile(algorithms=ALL_ALGORITHMS)
    subject, _ = verifier(trusted, keys=FakeIssuerKeys(keys))
    trace: list[Check] = []
    try:
        subject.verify(Secret(text), door, at, trace)
    except (TokenRefused, Unavailable):
        assert not trace[-1].passed
    else:
        assert trace[-1].passed


@_CALM
@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_any_text_is_refused_by_name(text: str) -> None:
    """Also unpaired surrogates, control characters and what looks like a token."""
    _verify(text)


@_CALM
@given(st.binary(max_size=300), st.binary(max_size=300), st.binary(max_size=80))
def test_any_three_parts_are_refused_by_name(header: bytes, payload: bytes, tail: bytes) -> None:
    """Well-formed base64url of arbitrary bytes."""
    _verify(f"{segment(header)}.{segment(payload)}.{segment(tail)}")


@_CALM
@given(st.dictionaries(st.sampled_from(_MEMBERS), _JSON), st.binary(max_size=80))
def test_any_header_is_refused_by_name(members: dict[str, Any], tail: bytes) -> None:
    """Any JSON where a name, a list or an object is expected; the claims are good."""
    header = json.dumps({"alg": "RS256", "kid": "k1", **members}).encode()
    _verify(f"{segment(header)}.{segment(claims())}.{segment(tail)}")


@settings(_CALM, max_examples=300)
@given(
    st.dictionaries(st.sampled_from(_CLAIMS), _JSON, max_size=4),
    st.sampled_from(DOORS),
    st.integers(min_value=0, max_value=2**40),
)
def test_any_signed_claims_are_taken_or_refused_by_name(
    changes: dict[str, Any], door: Any, at: int
) -> None:
    """The signature holds, so every check of the claims is reached with any type of value."""
    payload = json.dumps({**claims(door), **changes}).encode()
    _verify(sign(payload=payload), door, NOW if at % 2 else at)


@_CALM
@given(st.dictionaries(st.sampled_from(_JWK_MEMBERS), _JSON | st.just("P-521"), min_size=1))
def test_any_key_of_a_trusted_issuer_is_used_or_refused_by_name(members: dict[str, Any]) -> None:
    """What an issuer publishes is read as cautiously as what a stranger sends."""
    for name, algorithm in (("rsa", "RS256"), ("p256", "ES256"), ("ed", "EdDSA")):
        key = {**public_jwk(name, "k1"), **members, "kid": "k1"}
        _verify(sign({"alg": algorithm, "kid": "k1"}, key=name, algorithm=algorithm), key=key)


@_CALM
@given(st.integers(), st.integers(), st.integers())
def test_any_dates_are_taken_or_refused_by_name(issued: int, expires: int, before: int) -> None:
    """Numbers of any size, signed."""
    _verify(sign(payload=claims(iat=issued, exp=expires, nbf=before)))

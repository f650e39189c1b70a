"""Every case of the corpus, at every door."""

from __future__ import annotations

import pytest

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.verify_token import TokenVerifier
from idmap.domain.errors import TokenRefused
from idmap.domain.issuers import find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from tests.support.tokens import FakeIssuerKeys, profile
from tests.tokens.corpus import (
    CORPUS,
    FAMILIES,
    check_case,
    check_misfits,
    check_opaque,
    check_opaque_case,
    check_profiles,
)
from tests.tokens.opaque import OPAQUE, OpaqueCase


@pytest.mark.parametrize("name", CORPUS)
def test_a_token_gets_what_its_case_says_at_every_door(name: str) -> None:
    """The reason, whether it was proved, no key looked up before issuer and algorithm matched, a trace without the token."""
    case = CORPUS[name]
    for door in case.doors:
        check_case(case, door, case.make(door))


@pytest.mark.parametrize("name", CORPUS)
def test_nobody_looking_changes_nothing(name: str) -> None:
    """The same outcome without a trace, which is how every door asks."""
    case = CORPUS[name]
    trusted = profile(**case.trust)
    verifier = TokenVerifier(
        lambda text: find_profile((trusted,), text),
        FakeIssuerKeys(case.keys()),
        JoseSignatures(),
        find_ban=case.find_ban(),
    )
    door = case.doors[0]
    outcome: tuple[Reason | None, bool] = (None, True)
    try:
        verifier.verify(Secret(case.make(door)), door, case.at)
    except TokenRefused as refusal:
        outcome = (refusal.reason, refusal.proved)
    assert outcome == (case.reason, case.proved)


def test_the_corpus_is_what_it_claims_to_be() -> None:
    """At least two hundred hostile tokens of distinct names and contents, and a passing case in most families."""
    assert len(CORPUS) == sum(len(cases) for cases in FAMILIES.values()), "two cases share a name"
    hostile = [case for case in CORPUS.values() if case.reason is not None]
    assert len(hostile) >= 200
    for family, cases in FAMILIES.items():
        assert any(case.reason is None for case in cases), f"{family}: no boundary passes"


def test_every_reason_of_the_verifier_is_in_the_corpus() -> None:
    """No way of refusing a token stays without a token that is refused that way."""
    reasons = {case.reason for case in CORPUS.values()}
    assert reasons >= {
        Reason.TOKEN_MALFORMED, Reason.TOKEN_TOO_LARGE, Reason.TOKEN_OPAQUE, Reason.HEADER_REFUSED,
        Reason.TYPE_REFUSED, Reason.ALGORITHM_REFUSED, Reason.ISSUER_UNKNOWN, Reason.KEY_UNKNOWN,
        Reason.SIGNATURE_INVALID, Reason.CLAIM_MISSING, Reason.CLAIM_INVALID, Reason.TOKEN_EXPIRED,
        Reason.TOKEN_NOT_YET_VALID, Reason.TOKEN_TOO_OLD, Reason.AUDIENCE_REFUSED, Reason.WLCG_VERSION_REFUSED,
        Reason.SENDER_CONSTRAINED, Reason.ROBOT_REFUSED, Reason.AUTHENTICATION_TOO_OLD,
        Reason.ASSURANCE_TOO_LOW, Reason.ACR_REFUSED, Reason.CAPABILITY_MISSING, Reason.BANNED,
    }  # fmt: skip


def test_the_signature_checker_refuses_keys_of_another_algorithm_on_its_own() -> None:
    """Also a signature that would hold were the key's curve not looked at (RFC 8725 §3.1)."""
    check_misfits()


def test_a_profile_that_trusts_too_much_is_refused_and_the_value_beside_each_limit_is_not() -> None:
    """What no profile can say, no token can use."""
    check_profiles()


@pytest.mark.parametrize("case", OPAQUE, ids=lambda case: case.name)
def test_an_opaque_token_gets_what_its_issuers_answer_deserves(case: OpaqueCase) -> None:
    """The reason, who was asked, a trace without the token."""
    check_opaque_case(case)


def test_an_opaque_token_alone_is_brought_to_its_issuer() -> None:
    """A signed token never is, whoever issued it; without introspection nothing is."""
    assert len({case.name for case in OPAQUE}) == len(OPAQUE), "two cases share a name"
    check_opaque()

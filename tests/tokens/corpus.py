"""The whole corpus, and the one way of checking a case: used by the tests and by the mutation run.

A case holds when the verifier gives exactly its outcome, looked up a key exactly when it may, and left a trace
whose last line alone failed and which shows no part of the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any, Final

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.verify_token import TokenVerifier
from idmap.domain.checks import Check
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import API, Door
from idmap.domain.errors import InvalidInput, TokenRefused
from idmap.domain.issuers import find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.domain.tokens import parse_token
from tests.support.tokens import ISSUER, NOW, SSH, FakeIssuerKeys, mint, profile, public_jwk
from tests.tokens import (
    algorithms,
    audiences,
    dates,
    demands,
    forms,
    headers,
    issuers,
    json_text,
    keys,
    profiles,
    signatures,
    subjects,
)
from tests.tokens.cases import Case

FAMILIES: Final[Mapping[str, tuple[Case, ...]]] = MappingProxyType(
    {
        module.__name__.rpartition(".")[2]: module.CASES
        for module in (
            forms, json_text, headers, issuers, algorithms, keys, signatures, dates, audiences, subjects,
            demands,
        )
    }
)  # fmt: skip
CORPUS: Final[Mapping[str, Case]] = MappingProxyType(
    {f"{family}: {case.name}": case for family, cases in FAMILIES.items() for case in cases}
)
_LONGEST_SHOWN: Final = 24
"""A part of a token shorter than this may stand in a trace by chance (`alg`, `kid` in clear)."""


def check_case(case: Case, door: Door, token: str) -> None:
    """Raises AssertionError unless that token of the case gets what the case says at that door."""
    trusted = profile(**case.trust)
    issuer_keys = FakeIssuerKeys(case.keys())
    verifier = TokenVerifier(
        lambda text: find_profile((trusted,), text), issuer_keys, JoseSignatures()
    )
    trace: list[Check] = []
    outcome: tuple[Reason | None, bool] = (None, True)
    try:
        verified = verifier.verify(Secret(token), door, case.at, trace)
    except TokenRefused as refusal:
        outcome = (refusal.reason, refusal.proved)
    else:
        assert verified.identity.issuer == ISSUER
        assert verified.door == door
        for name, value in case.gives.items():
            assert getattr(verified, name) == value, name
    assert outcome == (case.reason, case.proved), f"{case.name} at {door}: {outcome}"
    assert issuer_keys.asked == ([ISSUER] if case.asks else []), "a key was looked up"
    assert trace, "no check was recorded"
    assert all(check.passed for check in trace[:-1])
    assert trace[-1].passed == (case.reason is None)
    assert case.reason is None or case.reason in trace[-1].shown, "the trace gives no reason"
    shown = " ".join(check.shown for check in trace)
    parts = (part for part in token.split(".") if len(part) >= _LONGEST_SHOWN)
    assert not any(part in shown for part in parts), "the trace shows the token"


class _OpaqueDesk:
    """Stands where an opaque token's issuer would be asked: notes what was brought, and refuses it."""

    def __init__(self) -> None:
        self.brought: list[str | None] = []

    def verify(
        self,
        token: Secret,
        door: Door,
        at: int,
        issuer: str | None,
        trace: list[Check] | None = None,
    ) -> VerifiedClaims:
        self.brought.append(issuer)
        raise TokenRefused(Reason.TOKEN_INACTIVE)

    def takes(self, door: Door) -> bool:
        return door == SSH


def check_opaque() -> None:
    """Raises AssertionError unless opaque tokens, and they alone, are brought to their issuer."""
    trusted, desk = profile(), _OpaqueDesk()
    keys = FakeIssuerKeys((public_jwk("rsa", "k1"),))
    verifier = TokenVerifier(
        lambda text: find_profile((trusted,), text), keys, JoseSignatures(), opaque=desk
    )
    assert verifier.verify(mint(), SSH, NOW).identity.issuer == ISSUER
    assert desk.brought == [], "a signed token was brought to an issuer"
    with suppress(TokenRefused):
        verifier.verify(Secret("8xLOxBtZp8-an-opaque-token"), SSH, NOW, issuer=ISSUER)
    assert desk.brought == [ISSUER]
    assert verifier.takes_opaque(SSH)
    assert not verifier.takes_opaque(API)
    alone = TokenVerifier(lambda _: None, keys, JoseSignatures())
    assert not alone.takes_opaque(SSH)


def check_misfits() -> None:
    """Raises AssertionError unless the signature checker itself refuses keys of another algorithm."""
    for name, (token, key, algorithm) in signatures.MISFITS.items():
        unverified = parse_token(Secret(token()))
        assert not JoseSignatures().check(unverified, public_jwk(key, "k1"), algorithm), name


def check_profiles() -> None:
    """Raises AssertionError unless each profile is saved or refused as it must be."""
    for name, changes in profiles.ACCEPTED.items():
        assert _refused_profile(changes) is None, f"{name}: refused"
    for name, changes in profiles.REFUSED.items():
        assert _refused_profile(changes) is Reason.ISSUER_INVALID, f"{name}: accepted"


def _refused_profile(changes: Mapping[str, Any]) -> Reason | None:
    try:
        profile(**changes)
    except InvalidInput as error:
        return error.reason
    return None

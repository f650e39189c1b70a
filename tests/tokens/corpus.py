"""The whole corpus, and the one way of checking a case: used by the tests and by the mutation run.

A case holds when the verifier gives exactly its outcome, looked up a key exactly when it may, and left a trace
whose last line alone failed and which shows no part of the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.introspect import OpaqueTokens
from idmap.application.verify_token import TokenVerifier
from idmap.domain.checks import Check
from idmap.domain.doors import API, Door
from idmap.domain.errors import InvalidInput, TokenRefused, Unavailable
from idmap.domain.issuers import IssuerProfile, find_profile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.domain.tokens import parse_token
from tests.support.tokens import ISSUER, NOW, SSH, FakeIssuerKeys, mint, profile, public_jwk
from tests.tokens import (
    algorithms,
    audiences,
    banned,
    dates,
    demands,
    forms,
    headers,
    issuers,
    json_text,
    keys,
    opaque,
    profiles,
    signatures,
    subjects,
)
from tests.tokens.cases import Case
from tests.tokens.opaque import OpaqueCase, Said

FAMILIES: Final[Mapping[str, tuple[Case, ...]]] = MappingProxyType(
    {
        module.__name__.rpartition(".")[2]: module.CASES
        for module in (
            forms, json_text, headers, issuers, algorithms, keys, signatures, dates, audiences, subjects,
            demands, banned,
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
        lambda text: find_profile((trusted,), text),
        issuer_keys,
        JoseSignatures(),
        find_ban=case.find_ban(),
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
        looked = [check.shown for check in trace if check.name == "not banned"]
        assert len(looked) == bool(case.bans)
        assert all(("no jti" in shown) == (verified.token_id is None) for shown in looked)
    assert outcome == (case.reason, case.proved), f"{case.name} at {door}: {outcome}"
    assert issuer_keys.asked == ([ISSUER] if case.asks else []), "a key was looked up"
    assert trace, "no check was recorded"
    assert all(check.passed for check in trace[:-1])
    assert trace[-1].passed == (case.reason is None)
    assert case.reason is None or case.reason in trace[-1].shown, "the trace gives no reason"
    shown = " ".join(check.shown for check in trace)
    parts = (part for part in token.split(".") if len(part) >= _LONGEST_SHOWN)
    assert not any(part in shown for part in parts), "the trace shows the token"


class _Desk:
    """Where an issuer is asked: says what the case says, and notes what it was asked about which token."""

    def __init__(self, case: OpaqueCase) -> None:
        self._case = case
        self.asked: list[str] = []

    def introspect(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        return self._say("introspection", profile, token, self._case.answer)

    def userinfo(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        return self._say("userinfo", profile, token, self._case.person)

    def _say(
        self, what: str, profile: IssuerProfile, token: Secret, said: Said
    ) -> Mapping[str, Any]:
        assert token.reveal() == self._case.token
        assert profile is self._case.trusted[0], "another issuer was asked"
        self.asked.append(what)
        if isinstance(said, Exception):
            raise said
        return said


def check_opaque_case(case: OpaqueCase) -> None:
    """Raises AssertionError unless that token gets what the case says, and nobody else was asked about it."""
    desk, keys, trace = _Desk(case), FakeIssuerKeys((public_jwk("rsa", "k1"),)), list[Check]()
    verifier = TokenVerifier(
        lambda text: find_profile(case.trusted, text),
        keys,
        JoseSignatures(),
        OpaqueTokens(lambda: case.trusted, desk),
    )
    reason = None
    try:
        verified = verifier.verify(Secret(case.token), case.door, NOW, trace, case.named)
    except (TokenRefused, Unavailable) as refusal:
        reason = refusal.reason
    else:
        assert verified.identity.issuer == case.trusted[0].issuer
        assert verified.door == case.door
        assert sorted(group.path for group in verified.groups) == list(case.groups)
        for name, value in case.gives.items():
            assert getattr(verified, name) == value, name
    assert reason == case.reason, f"{case.name}: {reason}"
    assert tuple(desk.asked) == case.asked, f"{case.name}: {desk.asked}"
    assert all(check.passed for check in trace[:-1])
    assert trace[-1].passed == (case.reason is None)
    assert case.reason is None or case.reason in trace[-1].shown, "the trace gives no reason"
    choice = [check.shown for check in trace if check.name == "issuer to ask"]
    assert all(shown.startswith("nobody names it") == (case.named is None) for shown in choice)
    told = [check.shown for check in trace if check.name == "userinfo"]
    assert len(told) == (case.told is not None), f"{case.name}: {told}"
    assert (case.told or "") in "".join(told), f"{case.name}: {told}"
    assert case.token not in " ".join(check.shown for check in trace), "the trace shows the token"


def check_opaque() -> None:
    """Raises AssertionError unless every opaque token gets its due, and signed ones are brought to nobody."""
    for case in opaque.OPAQUE:
        check_opaque_case(case)
    signed = OpaqueCase("signed", None, {}, token=mint().reveal(), trusted=(profile(),), asked=())
    desk = _Desk(signed)
    tokens = OpaqueTokens(lambda: (profile(), opaque.OPAQUE[0].trusted[0]), desk)
    keys = FakeIssuerKeys((public_jwk("rsa", "k1"),))
    verifier = TokenVerifier(
        lambda text: find_profile(signed.trusted, text), keys, JoseSignatures(), opaque=tokens
    )
    assert verifier.verify(Secret(signed.token), SSH, NOW).identity.issuer == ISSUER
    assert desk.asked == [], "a signed token was brought to an issuer"
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

"""The memory of verified tokens: a hit is what a full verification would say, and never outlives its grounds."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import pytest

from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.verified_tokens import LIFETIME_SECONDS, VerifiedTokens
from idmap.application.verify_token import FindBan
from idmap.domain.bans import Ban, CredentialBans
from idmap.domain.checks import Check
from idmap.domain.claims import CLAIM_CHECKS
from idmap.domain.doors import ADMIN, API
from idmap.domain.errors import TokenRefused
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile, find_profile
from idmap.domain.reasons import Reason
from idmap.domain.tokens import UnverifiedToken
from tests.support.tokens import (
    ISSUER,
    NOW,
    SSH,
    FakeIssuerKeys,
    claims,
    mint,
    profile,
    public_jwk,
)


@dataclass
class Counting(JoseSignatures):
    """Real signature checks, counted."""

    checked: int = 0

    def check(self, token: UnverifiedToken, jwk: Any, algorithm: str) -> bool:
        self.checked += 1
        return super().check(token, jwk, algorithm)


class World:
    """A verifier with a memory, and everything it depends on."""

    def __init__(self, limit: int = 1000, find_ban: FindBan | None = None, **changes: Any) -> None:
        self.state = 1
        self.trusted: tuple[IssuerProfile, ...] = (profile(**changes),)
        self.signatures = Counting()
        self.tokens = VerifiedTokens(
            lambda text: find_profile(self.trusted, text),
            FakeIssuerKeys((public_jwk("rsa", "k1"),)),
            self.signatures,
            state=lambda: self.state,
            limit=limit,
            find_ban=find_ban,
        )


def test_the_second_time_nothing_is_verified_and_the_answer_is_the_same() -> None:
    """One signature check for a hundred questions."""
    world = World()
    token = mint()
    answers = [world.tokens.verify(token, SSH, NOW) for _ in range(100)]
    assert all(answer == answers[0] for answer in answers)
    assert world.signatures.checked == 1


def test_another_door_is_another_question() -> None:
    """Law 13: a remembered yes at one door opens no other."""
    world = World()
    token = mint()
    world.tokens.verify(token, SSH, NOW)
    with pytest.raises(TokenRefused) as refused:
        world.tokens.verify(token, API, NOW)
    assert refused.value.reason is Reason.AUDIENCE_REFUSED


def test_a_changed_signature_is_another_token() -> None:
    """The hash is over the whole token."""
    world = World()
    token = mint()
    world.tokens.verify(token, SSH, NOW)
    forged = type(token)(token.reveal()[:-8] + "AAAAAAAA")
    with pytest.raises(TokenRefused):
        world.tokens.verify(forged, SSH, NOW)


@pytest.mark.parametrize("what", ["a minute", "exp", "maximum age", "clock set back"])
def test_an_entry_ends_with_its_grounds(what: str) -> None:
    """After that every check is made again, and says what it would have said all along."""
    world = World(max_age_seconds=60)
    token = mint(claims(exp=NOW + 20, iat=NOW - 30 if what == "maximum age" else NOW - 1))
    world.tokens.verify(token, SSH, NOW)
    later = {
        "a minute": NOW + LIFETIME_SECONDS,
        "exp": NOW + 20,
        "maximum age": NOW + 30,
        "clock set back": NOW - 1,
    }[what]
    world.tokens.verify(token, SSH, later)  # within the leeway: accepted, after a full check
    assert world.signatures.checked == 2
    with pytest.raises(TokenRefused):
        world.tokens.verify(token, SSH, NOW + 3600)


def test_any_change_of_state_forgets_everything() -> None:
    """A ban, a rule, an issuer, a key: whoever committed it, the next question is asked in full."""
    world = World()
    token = mint()
    world.tokens.verify(token, SSH, NOW)
    world.state += 1
    world.trusted = ()
    with pytest.raises(TokenRefused) as refused:
        world.tokens.verify(token, SSH, NOW)
    assert refused.value.reason is Reason.ISSUER_UNKNOWN
    assert len(world.tokens) == 0


def test_a_banned_token_is_forgotten_with_the_state_and_refused_again_and_again() -> None:
    """The ban raises the ban counter, and so changes the state; what was remembered is no answer any more."""
    bans = CredentialBans.of(())
    world = World(find_ban=lambda *asked: bans.find(*asked))
    token = mint(claims(jti="leaked"))
    world.tokens.verify(token, SSH, NOW)
    world.tokens.verify(token, SSH, NOW)
    assert world.signatures.checked == 1
    order = Ban(1, None, None, "r", "a", NOW, NOW + 30, issuer=Issuer(ISSUER), token_id="leaked")
    bans = CredentialBans.of([order])
    world.state += 1
    for checked in (2, 3):
        with pytest.raises(TokenRefused) as refused:
            world.tokens.verify(token, SSH, NOW)
        assert (refused.value.reason, refused.value.proved) == (Reason.BANNED, True)
        assert world.signatures.checked == checked
    assert world.tokens.verify(token, SSH, NOW + 30)


def test_refusals_are_not_remembered() -> None:
    """A fault never sticks."""
    world = World()
    trusted, world.trusted = world.trusted, ()
    token = mint()
    with pytest.raises(TokenRefused):
        world.tokens.verify(token, SSH, NOW)
    world.trusted = trusted
    assert world.tokens.verify(token, SSH, NOW)


def test_the_admin_door_and_explanations_are_always_full() -> None:
    """One asks how long ago somebody was there, the other shows every check."""
    world = World()
    token = mint(claims(ADMIN))
    for _ in range(3):
        world.tokens.verify(token, ADMIN, NOW)
    assert world.signatures.checked == 3
    token = mint()
    world.tokens.verify(token, SSH, NOW)
    trace: list[Check] = []
    world.tokens.verify(token, SSH, NOW, trace)
    assert trace[-1].name == CLAIM_CHECKS[-1].name


def test_the_memory_is_bounded_and_the_least_asked_goes_first() -> None:
    """A flood of tokens costs nobody else more than a check."""
    world = World(limit=10)
    kept = mint(claims(jti="kept"))
    for number in range(50):
        world.tokens.verify(kept, SSH, NOW)
        world.tokens.verify(mint(claims(jti=str(number))), SSH, NOW)
    assert len(world.tokens) == 10
    before = world.signatures.checked
    world.tokens.verify(kept, SSH, NOW)
    assert world.signatures.checked == before


def test_it_holds_no_token_and_no_plain_hash_of_one() -> None:
    """Law 9: neither the token nor anything by which somebody who has it could recognise it."""
    world = World()
    token = mint()
    world.tokens.verify(token, SSH, NOW)
    gc.collect()
    held = repr(world.tokens._entries)
    for part in token.reveal().split("."):
        assert part not in held
    assert token.sha256() not in world.tokens._entries
    other = World()
    other.tokens.verify(token, SSH, NOW)
    assert world.tokens._entries.keys().isdisjoint(other.tokens._entries.keys())

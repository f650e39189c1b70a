"""Opaque tokens at a node: asked about only where the node may ask, mapped by its own trust.db."""

from __future__ import annotations

from idmap.domain.demands import Demand
from idmap.domain.doors import Door
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.identity import Identity, Issuer
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.verify.judge import Judge
from idmap.entrypoints.verify.protocol import Outcome, VerifyReply, VerifyRequest
from tests.support.tokens import NOW, SSH, mint, verifier

OPAQUE = "opaque-token-0123456789-abcdefghij"
KNOWN = b"\1" * 32


class Accounts:
    """A trust.db with one account, alice, that demands nothing of tokens unless told."""

    def __init__(self, *demands: Demand) -> None:
        self._demands = demands

    def demands(self) -> tuple[Demand, ...]:
        return self._demands

    def find_account(self, identity: Identity) -> tuple[int, str] | None:
        return (200000, "alice")

    def find_account_by_digest(self, digest: bytes) -> tuple[int, str] | None:
        return (200000, "alice") if digest == KNOWN else None


class NothingBanned:
    """A node that never heard of a banned issuer or token."""

    def check(self) -> None:
        return

    def is_banned(self, issuer: Issuer, token_id: str | None, at: int) -> bool:
        return False


class Service:
    """Answers as told; remembers what was asked."""

    def __init__(self, answer: bytes | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, Door]] = []

    def __call__(self, token: Secret, door: Door) -> bytes:
        self.asked.append((token.reveal(), door))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def reply(secret: str, service: Service | None, username: str = "alice") -> VerifyReply:
    judge = Judge(
        verifier()[0], Accounts(), SSH, lambda: NOW, ask_whose=service, banned=NothingBanned()
    )
    return judge.answer(VerifyRequest(username, "", "sshd", Secret(secret)))


def test_the_digest_is_looked_up_on_this_node() -> None:
    """One question, for this node's door; whoever is masked or unknown here stays so."""
    service = Service(KNOWN)
    assert reply(OPAQUE, service).outcome is Outcome.ACCEPTED
    assert service.asked == [(OPAQUE, SSH)]
    assert reply(OPAQUE, service, "bob").reason == "identity_mismatch"
    assert reply(OPAQUE, Service(b"\2" * 32)).reason == "identity_unknown"


def test_without_a_credential_nobody_is_asked() -> None:
    """`token_opaque`, in the log; not proved, so the outside sees nothing of it."""
    refused = reply(OPAQUE, None)
    assert (refused.reason, refused.proved) == ("token_opaque", False)


def test_passwords_and_signed_tokens_are_not_asked_about() -> None:
    """A password at the wrong prompt stays on the node."""
    service = Service(KNOWN)
    assert reply("hunter2", service).outcome is Outcome.REFUSED
    assert reply("correct horse battery staple", service).outcome is Outcome.REFUSED
    assert reply(mint().reveal(), service).outcome is Outcome.ACCEPTED
    assert service.asked == []


def test_each_fault_keeps_its_reason_and_does_not_stick() -> None:
    """DESIGN §2."""
    for error, proved in (
        (Unavailable(Reason.SERVICE_UNAVAILABLE), False),
        (Unavailable(Reason.ISSUER_UNAVAILABLE), False),
        (TokenRefused(Reason.TOKEN_INACTIVE), False),
        (TokenRefused(Reason.AUDIENCE_REFUSED, proved=True), True),
    ):
        service = Service(error)
        refused = reply(OPAQUE, service)
        assert (refused.reason, refused.proved) == (str(error.reason), proved)
        service.answer = KNOWN
        assert reply(OPAQUE, service).outcome is Outcome.ACCEPTED

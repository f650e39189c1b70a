"""What rules demand of tokens holds at a node's door, from trust.db; a refusal is proved and says what is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from idmap.adapters.node_files.trust_db import TrustDb, write_trust_db
from idmap.application.install_state import TrustContent
from idmap.domain.demands import Demand
from idmap.domain.doors import ssh_door
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.identity import Identity, Issuer, Subject, identity_digest
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.domain.trust import TrustedIssuer
from idmap.entrypoints.verify.judge import Judge, KnownAccounts
from idmap.entrypoints.verify.protocol import Outcome, VerifyRequest
from tests.entrypoints.verify.test_judge_opaque import OPAQUE, Accounts, NothingBanned, Service
from tests.support.tokens import ISSUER, NOW, SSH, claims, mint, profile, verifier

SALT = b"s" * 32
MFA = "https://refeds.org/profile/mfa"
STRONG = Demand("strong", frozenset({SSH}), acr=frozenset({MFA}))


def said(
    accounts: KnownAccounts,
    secret: Secret | None = None,
    *,
    now: int = NOW,
    service: Service | None = None,
    **shown: object,
) -> tuple[str, bool]:
    """The reason, and whether it may be shown."""
    judge = Judge(
        verifier()[0], accounts, SSH, lambda: now, ask_whose=service, banned=NothingBanned()
    )
    reply = judge.answer(VerifyRequest("alice", "", "sshd", secret or mint(claims(SSH, **shown))))
    assert (reply.outcome is Outcome.ACCEPTED) == (reply.reason == "ok")
    return reply.reason, reply.proved


@pytest.mark.parametrize("shown", [{}, {"acr": "other"}, {"acr": [MFA]}, {"acr": MFA.upper()}])
def test_a_token_that_proves_less_is_refused_and_the_person_told_why(
    shown: dict[str, object],
) -> None:
    """Without the demand it opens; with what is demanded it opens too."""
    assert said(Accounts(), **shown) == ("ok", True)
    assert said(Accounts(STRONG), **shown) == ("acr_refused", True)
    assert said(Accounts(STRONG), acr=MFA) == ("ok", True)


def test_demands_of_other_doors_and_issuers_ask_nothing() -> None:
    """Each names whom and where."""
    elsewhere = Demand("e", frozenset({ssh_door("secure")}), acr=frozenset({MFA}))
    others = Demand("o", frozenset({SSH}), frozenset({Issuer("https://x/")}), acr=frozenset({MFA}))
    assert said(Accounts(elsewhere, others)) == ("ok", True)


def test_how_recent_a_login_is_the_nodes_time_says() -> None:
    """Which is never behind the newest signed time: a slow clock makes no login young."""
    recent = Demand("r", frozenset({SSH}), max_authentication_age=60)
    assert said(Accounts(recent), auth_time=NOW - 60) == ("ok", True)
    later = said(Accounts(recent), now=NOW + 1, auth_time=NOW - 60)
    assert later == ("authentication_too_old", True)


def test_what_is_not_proved_is_told_nothing_of_demands() -> None:
    forged = Secret(mint(claims(SSH)).reveal()[:-8] + "AAAAAAAA")
    assert said(Accounts(STRONG), forged) == ("signature_invalid", False)


def test_an_opaque_token_is_judged_by_the_service() -> None:
    """It alone sees its claims; the node passes on what it says."""
    refused = Service(TokenRefused(Reason.ACR_REFUSED, "demand strong", proved=True))
    assert said(Accounts(STRONG), Secret(OPAQUE), service=refused) == ("acr_refused", True)


def test_what_cannot_be_told_lets_nobody_in() -> None:
    """Law 4: demands come from trust.db, and one that is damaged opens nothing."""

    class Damaged(Accounts):
        def demands(self) -> tuple[Demand, ...]:
            raise Unavailable(Reason.NODE_FILES_UNREADABLE, "x")

    assert said(Damaged()) == ("node_files_unreadable", False)


def test_trust_db_carries_them_from_one_installation_to_the_next_token(tmp_path: Path) -> None:
    alice = Identity(Issuer(ISSUER), Subject(str(claims(SSH)["sub"])))
    people = ((identity_digest(SALT, alice), 200_000, "alice"),)
    path = tmp_path / "trust.db"

    def install(*demands: Demand) -> None:
        trusted = (TrustedIssuer(profile(), ()),)
        content = TrustContent(1, NOW, NOW + 1, SALT, trusted, people, demands)
        write_trust_db(path, content, group_number=os.getgid())

    install()
    trust = TrustDb(path)
    assert said(trust) == ("ok", True)
    install(STRONG)
    assert said(trust) == ("acr_refused", True)
    assert said(trust, acr=MFA) == ("ok", True)
    install()
    assert said(trust) == ("ok", True)
    trust.close()

"""What rules demand of tokens holds at a node's door, from trust.db; a refusal is proved and says what is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from idmap.adapters.node_files.refused import RefusedFile
from idmap.adapters.node_files.trust_db import TrustDb, write_trust_db
from idmap.application.install_state import TrustContent
from idmap.domain.demands import Demand
from idmap.domain.doors import ssh_door
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.identity import Identity, Issuer, Subject, identity_digest
from idmap.domain.secrets import Secret
from idmap.domain.trust import IssuersDocument, TrustedIssuer, encode_issuers, parse_issuers
from idmap.entrypoints.verify.judge import Judge
from idmap.entrypoints.verify.protocol import Outcome, VerifyReply, VerifyRequest
from tests.support.tokens import ISSUER, NOW, SSH, claims, mint, profile, verifier

SALT = b"s" * 32
WHO = Identity(Issuer(ISSUER), Subject(claims()["sub"]))
MFA = "https://refeds.org/profile/mfa"
STRONG = Demand("strong", frozenset({SSH}), acr=frozenset({MFA}))


def judge(path: Path, *demands: Demand) -> Judge:
    """A judge on a real trust.db that knows one person."""
    digest = identity_digest(SALT, WHO)
    content = TrustContent(
        1, NOW, NOW + 3600, SALT, (TrustedIssuer(profile(), ()),), ((digest, 200_001, "alice"),),
        demands,
    )  # fmt: skip
    write_trust_db(path, content, group_number=os.getgid())
    banned = RefusedFile(path.with_name("refused.json"), lambda: SALT)
    return Judge(verifier(profile())[0], TrustDb(path), SSH, lambda: NOW, banned=banned)


def show(one: Judge, **said: object) -> VerifyReply:
    return one.answer(VerifyRequest("alice", "", "sshd", Secret(mint(claims(**said)))))


def test_a_token_that_proves_what_is_demanded_is_accepted(tmp_path: Path) -> None:
    """And without a demand, whatever it proves."""
    assert show(judge(tmp_path / "trust.db", STRONG), acr=MFA).outcome is Outcome.ACCEPTED
    assert show(judge(tmp_path / "other.db")).outcome is Outcome.ACCEPTED


@pytest.mark.parametrize("said", [{}, {"acr": "other"}, {"acr": [MFA]}])
def test_a_token_that_does_not_is_refused_with_the_reason(
    tmp_path: Path, said: dict[str, object]
) -> None:
    """Proved, so that the person is told what to do."""
    reply = show(judge(tmp_path / "trust.db", STRONG), **said)
    assert (reply.outcome, reply.proved, reply.reason) == (Outcome.REFUSED, True, "acr_refused")


def test_demands_of_other_doors_and_issuers_ask_nothing(tmp_path: Path) -> None:
    """Each names whom and where."""
    elsewhere = Demand("elsewhere", frozenset({ssh_door("secure")}), acr=frozenset({MFA}))
    others = Demand("others", frozenset({SSH}), frozenset({Issuer("https://o.example/")}),
                    acr=frozenset({MFA}))  # fmt: skip
    assert show(judge(tmp_path / "trust.db", elsewhere, others)).outcome is Outcome.ACCEPTED


def test_the_issuers_chunk_says_them_only_where_there_are_any() -> None:
    """A site without demands is read by verifiers of before; with them, by none that would ignore them."""
    trusted = (TrustedIssuer(profile(), ()),)
    plain = encode_issuers(IssuersDocument(SALT, trusted))
    assert b'"format":1' in plain
    assert b"demands" not in plain
    document = IssuersDocument(SALT, trusted, (STRONG,))
    data = encode_issuers(document)
    assert parse_issuers(data) == document
    assert b'"format":2' in data
    for wrong in (
        data.replace(b'"format":2', b'"format":1'),
        plain.replace(b'"format":1', b'"format":2'),
        data.replace(b'"acr"', b'"acrs"'),
        data.replace(b'"demands":[', b'"demands":[{},'),
    ):
        with pytest.raises(NodeInstallFailed):
            parse_issuers(wrong)

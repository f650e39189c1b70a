"""Banned issuers and tokens at a node's door: refused after the signature held, and nothing is let through unread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from idmap.adapters.node_files.refused import RefusedFile, write_refused
from idmap.application.install_state import RefusedCredentials
from idmap.domain.doors import Door
from idmap.domain.identity import Issuer, token_digest
from idmap.domain.secrets import Secret
from idmap.entrypoints.verify.judge import Judge
from idmap.entrypoints.verify.protocol import Outcome, VerifyReply, VerifyRequest
from tests.entrypoints.verify.test_judge_opaque import KNOWN, OPAQUE, Accounts
from tests.support.tokens import ISSUER, NOW, SSH, claims, mint, profile, verifier

SALT = b"s" * 32
ALIAS = Issuer("https://iam.example")


class Node:
    """A judge on a real refused.json, with a clock to set and a service that knows an opaque token."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = NOW
        self.asked: list[str] = []
        self.banned = RefusedFile(path, lambda: SALT)
        trusted = profile(aliases=frozenset({ALIAS}))
        self._judge = Judge(
            verifier(trusted)[0],
            Accounts(),
            SSH,
            lambda: self.now,
            ask_whose=self._whose,
            banned=self.banned,
        )

    def ban(
        self, issuers: dict[str, int] | None = None, tokens: dict[str, int] | None = None
    ) -> None:
        digests = {
            token_digest(SALT, Issuer(ISSUER), token_id).hex(): end
            for token_id, end in (tokens or {}).items()
        }
        refused = RefusedCredentials(
            tuple(sorted((issuers or {}).items())), tuple(sorted(digests.items()))
        )
        write_refused(self.path, refused, group_number=os.getgid())

    def show(self, secret: str) -> VerifyReply:
        return self._judge.answer(VerifyRequest("alice", "", "sshd", Secret(secret)))

    def _whose(self, token: Secret, _door: Door) -> bytes:
        self.asked.append(token.reveal())
        return KNOWN


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """One that never heard of a ban."""
    node = Node(tmp_path / "refused.json")
    yield node
    node.banned.close()


def token(**changes: object) -> str:
    return mint(claims(SSH, **changes)).reveal()


def said(reply: VerifyReply) -> tuple[str, bool]:
    return reply.reason, reply.proved


def test_every_token_of_a_banned_issuer_is_refused_by_whatever_name_it_calls_itself(
    node: Node,
) -> None:
    """Proved: the person may be told."""
    assert node.show(token()).outcome is Outcome.ACCEPTED
    node.ban({ISSUER: 0})
    for shown in (token(), token(jti=None), token(iss=ALIAS), token(sub="somebody-else")):
        assert said(node.show(shown)) == ("banned", True)
    node.ban()
    assert node.show(token()).outcome is Outcome.ACCEPTED


def test_a_banned_token_is_refused_and_the_persons_next_one_is_not(node: Node) -> None:
    """It is no ban of the person."""
    node.ban(tokens={"leaked": 0})
    assert said(node.show(token(jti="leaked"))) == ("banned", True)
    assert said(node.show(token(jti="leaked", iss=ALIAS))) == ("banned", True)
    for shown in (token(jti="fresh"), token(jti=None)):
        assert node.show(shown).outcome is Outcome.ACCEPTED


def test_a_ban_ends_by_the_nodes_own_clock(node: Node) -> None:
    """Which is never behind the newest signed time."""
    node.ban({}, {"leaked": NOW + 30})
    node.now = NOW + 29
    assert said(node.show(token(jti="leaked"))) == ("banned", True)
    node.now = NOW + 30
    assert node.show(token(jti="leaked")).outcome is Outcome.ACCEPTED


def test_what_is_not_proved_is_told_nothing_of_bans(node: Node) -> None:
    """A forged token of a banned issuer fails by its signature (law 11)."""
    node.ban({ISSUER: 0})
    forged = token()[:-8] + "AAAAAAAA"
    assert said(node.show(forged)) == ("signature_invalid", False)
    assert said(node.show(token(aud="another"))) == ("audience_refused", True)


def test_a_damaged_file_lets_nobody_in_by_token_and_asks_nobody(node: Node) -> None:
    """Law 4; opaque tokens too, which the service would vouch for."""
    assert node.show(OPAQUE).outcome is Outcome.ACCEPTED
    node.ban({ISSUER: NOW - 1})
    node.path.write_bytes(node.path.read_bytes()[:-3])
    node.asked.clear()
    for shown in (token(), OPAQUE):
        assert said(node.show(shown)) == ("node_files_unreadable", False)
    assert node.asked == []
    node.ban()
    assert node.show(token()).outcome is Outcome.ACCEPTED
    assert node.show(OPAQUE).outcome is Outcome.ACCEPTED

"""Token-only node classes: the account phase lets in whoever showed a token in the same conversation, nobody else."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from idmap.entrypoints.verify.protocol import VerifyReply, VerifyRequest
from tests.c.pam_host import ANNA, PASSED_ON, PamHost, new_host, verifier

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="binds files over /etc in a mount namespace"),
]

BEN = ANNA + 1


@pytest.fixture
def host() -> Iterator[PamHost]:
    """A node of a token-only class with two accounts."""
    with new_host() as one:
        one.passwd["ben"] = BEN
        one.write_posix({"anna": f"{ANNA} active 0 0 2", "ben": f"{BEN} active 0 0 2"})
        yield one


def accept_anna(_: VerifyRequest) -> VerifyReply:
    """A verifier for whom every token is anna's."""
    return VerifyReply.accept("anna", ANNA)


def one_after_the_other(*replies: VerifyReply) -> Callable[[VerifyRequest], VerifyReply]:
    """A verifier that says the replies in turn."""
    waiting = list(replies)
    return lambda _: waiting.pop(0)


def test_a_token_in_the_same_conversation_is_enough(host: PamHost) -> None:
    """Also when the account phase asks twice, as sshd may."""
    with verifier(host.socket, accept_anna):
        login = host.login("anna", "token", steps="auth account account setcred")
    assert login.code("auth") == login.code("setcred") == "PAM_SUCCESS"
    assert login.texts("account") == ["PAM_SUCCESS"] * 2
    assert login.told == ""


@pytest.mark.parametrize("options", [(), ("--no-conversation",)])
def test_a_key_a_certificate_cron_and_su_are_refused(
    host: PamHost, options: tuple[str, ...]
) -> None:
    """All of them come with no more than the account phase."""
    login = host.login("anna", steps="account", options=options)
    assert login.code("account") == "PAM_PERM_DENIED"
    assert "reason=token_demanded username=anna" in login.log


def test_the_nodes_own_accounts_need_no_token(host: PamHost) -> None:
    """The demand is for ours; root can still repair the node."""
    host.passwd["lena"] = 1500
    for name in ("root", "lena"):
        assert host.login(name, steps="account").code("account") == PASSED_ON


def test_a_refused_token_is_none(host: PamHost) -> None:
    """Whatever some other module then says yes to."""
    with verifier(host.socket, lambda _: VerifyReply.refuse("token_expired")):
        login = host.login("anna", "token", steps="auth account")
    assert [login.code("auth"), login.code("account")] == ["PAM_AUTH_ERR", "PAM_PERM_DENIED"]
    login = host.login("anna", "token", steps="auth account")
    assert login.code("auth") == "PAM_AUTHINFO_UNAVAIL", "nobody verifies"
    assert login.code("account") == "PAM_PERM_DENIED"


def test_a_token_that_is_refused_after_one_that_was_accepted_takes_it_back(host: PamHost) -> None:
    """What counts is the last answer of the conversation."""
    replies = VerifyReply.accept("anna", ANNA), VerifyReply.refuse("token_expired")
    with verifier(host.socket, one_after_the_other(*replies)):
        login = host.login("anna", "token", "token", steps="auth account auth account")
    assert login.texts("auth") == ["PAM_SUCCESS", "PAM_AUTH_ERR"]
    assert login.texts("account") == ["PAM_SUCCESS", "PAM_PERM_DENIED"]


def test_one_persons_token_is_not_anothers(host: PamHost) -> None:
    """A conversation whose PAM_USER changes behind our back begins anew."""
    with verifier(host.socket, accept_anna):
        login = host.login("anna", "token", steps="auth user=ben account user=anna account")
    assert login.code("auth") == "PAM_SUCCESS"
    assert login.texts("account") == ["PAM_PERM_DENIED", "PAM_SUCCESS"]


def test_everything_else_is_said_first(host: PamHost) -> None:
    """A person who may not log in at all is not sent away for a token."""
    host.write_bans({ANNA: 0})
    with verifier(host.socket, accept_anna):
        for steps in ("account", "auth account"):
            login = host.login("anna", "token", steps=steps)
            assert login.code("account") == "PAM_PERM_DENIED"
            assert "reason=banned" in login.log
    host.write_bans(skew=True)
    assert "reason=clock_skew" in host.login("anna", steps="account").log


def test_a_shown_token_does_not_make_a_local_account_ours(host: PamHost) -> None:
    """Law 10 stands behind the demand too: the name became the node's own after the token was judged."""
    host.passwd["anna"] = 1500
    with verifier(host.socket, accept_anna):
        login = host.login("anna", "token", steps="auth account")
    assert [login.code("auth"), login.code("account")] == ["PAM_AUTH_ERR", "PAM_PERM_DENIED"]

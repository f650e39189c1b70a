"""One decision, at the doors themselves: what sshd would hear of pam_idmap and idmap-principals is what Python says.

`test_agreement.py` asks the account phase as a function, at any clock. Here the real module answers in a real PAM
conversation, with and without a token, and the real program prints principals or does not, at this machine's time.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from idmap.domain.accounts import AccountState
from idmap.domain.reasons import Reason
from idmap.entrypoints.verify.protocol import VerifyReply, VerifyRequest
from tests.c.pam_host import PASSED_ON, PamHost, built, new_host, verifier
from tests.c.test_agreement import NOW, World, expected, install, make_world

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="binds files over /etc in a mount namespace"),
]


@pytest.fixture
def host() -> Iterator[PamHost]:
    """A node whose system knows every account of a world by its own record."""
    with new_host() as one:
        yield one


def verifier_of(world: World) -> Any:
    """A verifier for whom every token is that of whoever is asked for."""
    uid_of = {str(account.username): account.uid_number for account in world.accounts}

    def answer(request: VerifyRequest) -> VerifyReply:
        return VerifyReply.accept(request.username, uid_of[request.username])

    return answer


def told(host: PamHost, name: str, steps: str) -> str:
    """The reason that the account phase gave, or `ok`."""
    login = host.login(name, "token", steps=steps)
    if login.code("account") == "PAM_SUCCESS":
        return "ok"
    reasons = [word for word in login.log.split() if word.startswith("reason=")]
    return reasons[-1].removeprefix("reason=") if reasons else login.code("account")


@pytest.mark.parametrize("seed", range(8))
def test_module_and_principals_answer_as_decided(host: PamHost, plain: Any, seed: int) -> None:
    """Every account of a random world: by key, by token, and by certificate."""
    world = make_world(Random(seed))
    install(world, plain, host.directory)
    host.passwd |= {str(a.username): a.uid_number for a in world.accounts}
    with verifier(host.socket, verifier_of(world)):
        for account in world.accounts:
            name, clock = str(account.username), int(time.time())
            by_key = str(expected(world, name, clock))
            by_token = str(expected(world, name, clock, token_shown=True))
            assert told(host, name, "account") == by_key, name
            if account.state is not AccountState.TOMBSTONE:
                assert told(host, name, "auth account") == by_token, name
            assert principals(host, name) == by_key, name


def test_a_world_has_every_way_to_be_refused() -> None:
    """The seeds above are enough to meet each reason of node classes and tokens."""
    found = {
        expected(world, str(account.username), NOW)
        for world in (make_world(Random(seed)) for seed in range(8))
        for account in world.accounts
    }
    assert found >= {Reason.OK, Reason.NODE_CLASS_REFUSED, Reason.TOKEN_DEMANDED, Reason.BANNED}


def test_a_stranger_is_left_to_the_system(host: PamHost, plain: Any) -> None:
    """Nobody of any world."""
    install(make_world(Random(1)), plain, host.directory)
    host.passwd["lena"] = 1500
    assert host.login("lena", steps="account").code("account") == PASSED_ON
    assert principals(host, "lena") == "account_unknown"


def principals(host: PamHost, name: str) -> str:
    """The reason that idmap-principals gave for printing nothing, or `ok`."""
    files = ["--posix", str(host.posix), "--bans", str(host.bans)]
    done = host.run(str(built() / "idmap-principals"), *files, name)
    assert (done.returncode == 0) is done.stdout.startswith("account:")
    return "ok" if done.returncode == 0 else done.stderr.strip().removeprefix("idmap-principals: ")

"""Bans of a token, an issuer and a group on a whole site: real service, worker, signer, agent, verifier and sshd.

The scenes run in order on one site. How fast a ban is at the node is taken from the service's answer to the moment at
which the node's own file says so; then people try to log in.
"""

from __future__ import annotations

import base64
import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from demo_site.site import API_AUDIENCE, ISSUER, SSH_AUDIENCE, DemoSite
from demo_site.ssh_client import KeyPair
from demo_site.story import BAN_SECONDS
from tests.e2e.sites import provisioned_site

REFUSED = "/var/lib/idmap/refused.json"
pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    """A site whose people have accounts; nothing is banned."""
    with provisioned_site(20.0) as site:
        yield site


@pytest.fixture(scope="module")
def key(site: DemoSite) -> KeyPair:
    """The ssh key of three people."""
    key = site.laptop.make_key("their_key")
    for name in ("alice", "bob", "erin"):
        site.sshd.authorize(name, key.public)
    return key


def order(site: DemoSite, **what: Any) -> dict[str, Any]:
    """One call."""
    answer = site.api("POST", "/v1/bans", site.admin_key(), {"reason": "a test", **what})
    assert answer.status == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def lift(site: DemoSite, ban: dict[str, Any]) -> None:
    site.idmap("bans", "lift", str(ban["id"]), "--reason", "over").check()


def token_id(token: str) -> str:
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["jti"])


def refused(site: DemoSite) -> dict[str, Any]:
    """What the node refuses by token."""
    if not site.host.exists(REFUSED):
        return {"issuers": [], "tokens": []}
    found: dict[str, Any] = json.loads(site.host.read(REFUSED))["refused"]
    return found


def seconds_until(fact: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < 20, "it never reached the node"
        time.sleep(0.01)
    return time.monotonic() - began


def login(site: DemoSite, username: str, token: str) -> str:
    """`in`, or why not."""
    done = site.laptop.with_secret(username, token, ["id"])
    return "in" if done.returncode == 0 and f"({username})" in done.stdout else done.stderr


def by_key(site: DemoSite, username: str, key: KeyPair) -> str:
    done = site.laptop.with_key(username, key, ["id"])
    return "in" if done.returncode == 0 else done.stderr


def test_a_banned_token_opens_no_door_within_a_second_and_the_next_one_does(
    site: DemoSite, key: KeyPair
) -> None:
    """At the node and at the service; the person is not banned."""
    assert not site.host.exists(REFUSED), "this node never heard of such a ban"
    leaked, fresh = site.token("alice", SSH_AUDIENCE), site.token("alice", SSH_AUDIENCE)
    assert login(site, "alice", leaked) == "in"
    token = {"issuer": ISSUER, "token_id": token_id(leaked)}
    taken, bans = [], []
    for number in range(5):
        before = len(refused(site)["tokens"])
        what = token if number == 0 else {**token, "token_id": f"another-{number}"}
        bans.append(order(site, token=what))
        taken.append(seconds_until(lambda before=before: len(refused(site)["tokens"]) > before))  # type: ignore[misc]
    assert statistics.median(taken) <= BAN_SECONDS, taken
    assert "banned" in login(site, "alice", leaked)
    assert login(site, "alice", fresh) == "in"
    assert by_key(site, "alice", key) == "in"
    assert token["token_id"] not in site.host.read(REFUSED), "nodes know it by its digest"
    at_api = site.token("alice", API_AUDIENCE)
    assert site.api("GET", "/v1/me", at_api).status == 200
    bans.append(order(site, token={**token, "token_id": token_id(at_api)}))
    answer = site.api("GET", "/v1/me", at_api)
    assert (answer.status, answer.json()["code"]) == (403, "banned")
    for ban in bans:
        lift(site, ban)
    seconds_until(lambda: refused(site)["tokens"] == [])
    assert login(site, "alice", leaked) == "in"


def test_a_banned_issuer_opens_no_door_within_a_second(site: DemoSite, key: KeyPair) -> None:
    """By no token, and by no key of people whom only this issuer vouches for."""
    token, at_api = site.token("erin", SSH_AUDIENCE), site.token("erin", API_AUDIENCE)
    done = site.idmap("bans", "add", "--issuer", ISSUER, "--reason", "their key leaked")
    assert done.returncode == 2
    assert "accounts" in done.stderr, "it asks first"
    assert login(site, "erin", token) == "in"
    ban = order(site, issuer=ISSUER)
    assert ban["closes"] > 2
    assert any("demo/admins" in warning for warning in ban["warnings"])
    assert seconds_until(lambda: refused(site)["issuers"] == [[ISSUER, 0]]) <= 2 * BAN_SECONDS
    assert "banned" in login(site, "erin", token)
    assert "banned" in by_key(site, "erin", key)
    assert site.api("GET", "/v1/me", at_api).json()["code"] == "banned"
    status = json.loads(site.host.run(["idmap-agent", "status", "--json"]).stdout)
    assert (status["banned_issuers"], status["bans"]) == ([ISSUER], ban["closes"])
    assert site.host.run(["idmap-agent", "verify"]).returncode == 0
    assert f"{ISSUER}; 0 single tokens" in site.host.run(["idmap-agent", "status"]).stdout
    lift(site, ban)
    seconds_until(lambda: refused(site)["issuers"] == [])
    assert login(site, "erin", token) == "in"
    assert by_key(site, "erin", key) == "in"


def test_whoever_joins_a_banned_group_is_out_once_it_is_recorded(
    site: DemoSite, key: KeyPair
) -> None:
    """Nobody orders anything a second time."""
    ban = order(site, group={"issuer": ISSUER, "path": "demo/gpu"})
    seconds_until(lambda: "banned" in by_key(site, "alice", key))
    assert by_key(site, "bob", key) == "in", "bob is in demo/compute alone"
    site.iam("POST", "changes", {"action": "join", "person": "bob", "group": "demo/gpu"})
    site.provision("--no-progress").check()
    seconds_until(lambda: "banned" in by_key(site, "bob", key))
    told = site.idmap("explain", "--account", "bob").stdout
    assert f"of group demo/gpu @ {ISSUER}: a test (this identity is recorded in it)" in told
    lift(site, ban)
    seconds_until(lambda: by_key(site, "bob", key) == "in")
    assert by_key(site, "alice", key) == "in"


def test_a_damaged_file_lets_nobody_in_by_token_until_it_is_mended(
    site: DemoSite, key: KeyPair
) -> None:
    """Law 4. Keys need no verifier."""
    whole = site.host.read(REFUSED)
    site.host.run(["sh", "-c", f"printf x >{REFUSED}.new && mv {REFUSED}.new {REFUSED}"]).check()
    token = site.token("erin", SSH_AUDIENCE)
    assert "not_accepted" in login(site, "erin", token)
    assert "node_files_unreadable" in site.services["verify"].output()
    assert by_key(site, "erin", key) == "in"
    assert site.host.run(["idmap-agent", "verify"]).returncode == 1
    site.host.run(["idmap-agent", "sync", "--once"]).check()
    assert site.host.read(REFUSED) == whole
    stat = site.host.run(["stat", "-c", "%a %U:%G", REFUSED]).stdout.strip()
    assert stat == "640 root:idmap-verify"
    assert login(site, "erin", token) == "in"

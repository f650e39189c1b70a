"""A node's keys: trust.db first, one bounded question to the service, then patience."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from idmap.application.node_keys import (
    ISSUER_PAUSE_SECONDS,
    KEY_PAUSE_SECONDS,
    SILENCE_PAUSE_SECONDS,
    KeysWithService,
)
from idmap.application.single_flight import WAITING
from idmap.domain.errors import Unavailable
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from tests.support.tokens import FakeIssuerKeys, profile, public_jwk

OTHER = profile(issuer=Issuer("https://other.example/"))


class World:
    """A trust.db with one key, a service with another, and a clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.revision = 1
        self.up = True
        self.has = {"k2": public_jwk("rsa-new", "k2")}
        self.asked: list[str] = []
        self.trust = FakeIssuerKeys((public_jwk("rsa", "k1"),))
        self.keys = KeysWithService(self.trust, self.ask, lambda: self.revision, lambda: self.now)

    def ask(self, profile: IssuerProfile, key_id: str) -> Mapping[str, Any] | None:
        self.asked.append(key_id)
        if not self.up:
            raise Unavailable(Reason.SERVICE_UNAVAILABLE, "down")
        return self.has.get(key_id)

    def finds(self, key_id: str | None, asked: IssuerProfile | None = None) -> bool:
        return self.keys.find_key(asked or profile(), key_id) is not None


def test_a_known_key_asks_nobody() -> None:
    """Law 7; nor does a token without a key id."""
    world = World()
    assert world.finds("k1")
    assert world.finds(None)
    assert world.asked == []


def test_a_key_the_service_knows_is_asked_for_once() -> None:
    """And kept in memory until the next trust.db, which then has the word."""
    world = World()
    assert all(world.finds("k2") for _ in range(100))
    assert world.asked == ["k2"]
    world.revision += 1
    world.now += KEY_PAUSE_SECONDS
    world.has.clear()
    assert not world.finds("k2")
    assert world.asked == ["k2", "k2"]


def test_a_flood_of_made_up_key_ids_is_a_trickle_at_the_service() -> None:
    """One question per issuer in five seconds, whatever is shown at the node."""
    world = World()
    assert not any(world.finds(f"bogus-{number}") for number in range(1000))
    assert len(world.asked) == 1
    world.now += ISSUER_PAUSE_SECONDS
    assert not any(world.finds(f"more-{number}") for number in range(1000))
    assert len(world.asked) == 2


def test_the_same_unknown_key_id_is_asked_for_once_a_minute() -> None:
    """The service said no; it may say yes later."""
    world = World()
    for _ in range(10):
        assert not world.finds("k3")
        world.now += ISSUER_PAUSE_SECONDS
    assert world.asked == ["k3"]
    world.now += KEY_PAUSE_SECONDS
    world.has["k3"] = public_jwk("rsa-3", "k3")
    assert world.finds("k3")


def test_a_silent_service_is_left_alone_for_a_while_and_costs_no_known_key() -> None:
    """Whoever comes meanwhile is refused at once, of whatever issuer; the fault does not stick."""
    world = World()
    world.up = False
    assert not world.finds("k2")
    assert not world.finds("k2", OTHER)
    assert world.finds("k1")
    assert world.asked == ["k2"]
    world.up = True
    world.now += SILENCE_PAUSE_SECONDS
    assert world.finds("k2")


def test_another_issuers_unknown_key_does_not_wait_for_this_ones() -> None:
    """The pause is each issuer's own."""
    world = World()
    assert not world.finds("bogus")
    assert world.finds("k2", OTHER)


def test_many_logins_with_the_new_key_at_once_are_one_question() -> None:
    """They wait for the one that asks; all get in."""
    world = World()
    go, begun = threading.Event(), threading.Event()

    def ask(profile: IssuerProfile, key_id: str) -> Mapping[str, Any] | None:
        begun.set()
        go.wait(60)
        return world.ask(profile, key_id)

    world.keys = KeysWithService(world.trust, ask, lambda: world.revision, lambda: world.now)
    with ThreadPoolExecutor(WAITING + 1) as pool:
        logins = [pool.submit(world.finds, "k2") for _ in range(WAITING)]
        assert begun.wait(60)
        assert pool.submit(world.finds, "k1").result(timeout=60)
        go.set()
        assert all(login.result(timeout=60) for login in logins)
    assert world.asked == ["k2"]

"""Differences between tokens and sources at the doors: noted without a write, told to administrators."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
from starlette.testclient import TestClient

from idmap.application.differences import AssertedGroups
from idmap.application.ports import Author, ListedPerson, Listing, RegistryWriter
from idmap.domain.doors import API
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.secrets import Secret
from idmap.entrypoints.http.app import create_app
from idmap.entrypoints.http.comparing import Comparing
from idmap.entrypoints.http.parts import running_of
from tests.entrypoints.http.site import PORTAL, SETUP, Site
from tests.support.tokens import ISSUER
from tests.support.watched_registry import WatchedRegistry

HPC, GPU = (Group(Issuer(ISSUER), path) for path in ("hpc", "hpc/gpu"))
LIST = "/v1/differences"


@pytest.fixture
def alice(site: Site) -> Site:
    """Alice has an account; the source lists her in hpc alone, her tokens say hpc and hpc/gpu."""
    assert site.newcomer().status_code == 202
    site.clock.now += 20
    people = tuple(
        ListedPerson(Identity(Issuer(ISSUER), Subject(name)), frozenset({HPC}), True, name)
        for name in ("alice", "bob")
    )
    listing = Listing("iam", Issuer(ISSUER), frozenset({HPC, GPU}), people, site.clock.now)
    with site.registry.write(SETUP) as writer:
        writer.record_listing(listing)
    site.clock.now += 20
    return site


def flush(site: Site) -> int:
    """What happens by itself every few seconds."""
    return running_of(site.app).asserted.flush(site.registry, site.clock.now)


def told(site: Site, **query: Any) -> list[tuple[str, str, str]]:
    answer = site.ask("GET", LIST, "bootstrap", params=query)
    assert answer.status_code == 200, answer.text
    return [
        (one["identity"]["subject"], one["group"], one["kind"])
        for one in answer.json()["differences"]
    ]


def test_a_token_at_the_api_door_is_compared(alice: Site) -> None:
    assert alice.ask("GET", "/v1/me", alice.token()).status_code == 200
    assert told(alice) == [], "nothing is written while somebody waits"
    assert flush(alice) == 1
    answer = alice.ask("GET", LIST, "bootstrap").json()
    assert answer == {
        "differences": [
            {
                "identity": {"issuer": ISSUER, "subject": "alice"},
                "account": "alice",
                "group": "hpc/gpu",
                "kind": "not_in_source",
                "first_seen": alice.clock.now,
                "last_seen": alice.clock.now,
            }
        ],
        "next": None,
    }


def test_a_token_that_a_component_asks_about_is_compared_however_it_ends(alice: Site) -> None:
    """Also when the door refuses: that the source lost somebody is just what one wants to see then."""
    assert alice.resolve(alice.token(door=PORTAL)).status_code == 200
    assert alice.resolve(alice.token("bob", door=PORTAL)).status_code == 403
    assert flush(alice) == 2
    assert told(alice) == [
        ("alice", "hpc/gpu", "not_in_source"),
        ("bob", "hpc/gpu", "not_in_source"),
    ]
    alice.clock.now += 30
    alice.resolve(alice.token(door=PORTAL, groups=["hpc"]))
    assert flush(alice) == 1
    assert told(alice) == [("bob", "hpc/gpu", "not_in_source")]


def test_what_is_answered_from_memory_is_noted_too(alice: Site) -> None:
    token = alice.token(door=PORTAL)
    for _ in range(3):
        assert alice.resolve(token).status_code == 200
    assert flush(alice) == 1
    alice.resolve(token)
    assert len(running_of(alice.app).asserted) == 0, "compared already in this hour"


def test_a_token_that_proves_nothing_is_not_noted(alice: Site) -> None:
    alice.resolve(alice.token(door=PORTAL, exp=alice.clock.now - 3600))
    alice.resolve(alice.token())
    alice.ask("GET", "/v1/me", alice.token(door=PORTAL))
    assert flush(alice) == 0
    assert told(alice) == []


def test_nothing_is_written_for_a_request(alice: Site) -> None:
    """Not even for a thousand of them, and not when they differ from the source."""

    class Counting(WatchedRegistry):
        writes = 0

        def write(self, author: Author) -> AbstractContextManager[RegistryWriter]:
            self.writes += 1
            return super().write(author)

    counting = Counting(alice.registry)
    run = running_of(alice.app)
    alice.app.state.running = replace(run, parts=replace(run.parts, registry=counting))
    tokens = [alice.token(door=PORTAL, jti=str(number)) for number in range(20)]
    before = alice.registry.change_token()
    for token in tokens * 5:
        assert alice.resolve(token).status_code == 200
    assert alice.registry.change_token() == before
    assert run.asserted.flush(counting, alice.clock.now) == 1
    assert counting.writes == 1
    alice.app.state.running = run


def test_explain_tells_of_the_difference(alice: Site) -> None:
    body = {"token": alice.token(), "door": "api"}
    (story,) = alice.ask("POST", "/v1/explain", "bootstrap", json=body).json()["explanations"]
    line = next(
        one for one in story["checks"] if one["check"] == "token and source agree on groups"
    )
    assert line == {
        "check": "token and source agree on groups",
        "shown": "hpc/gpu: in the token, not in the source",
        "passed": False,
    }
    assert story["outcome"] == "ok", "it decides nothing"
    identity = {"identity": {"issuer": ISSUER, "subject": "alice"}}
    (story,) = alice.ask("POST", "/v1/explain", "bootstrap", json=identity).json()["explanations"]
    assert all("agree" not in one["check"] for one in story["checks"])


def test_pages_and_filters(alice: Site) -> None:
    alice.resolve(alice.token(door=PORTAL, groups=["hpc/gpu"]))
    alice.resolve(alice.token("bob", door=PORTAL))
    assert flush(alice) == 3
    assert len(told(alice)) == 3
    first = alice.ask("GET", LIST, "bootstrap", params={"limit": 2}).json()
    rest = alice.ask("GET", LIST, "bootstrap", params={"after": first["next"]}).json()
    assert len(first["differences"]) + len(rest["differences"]) == 3
    assert rest["next"] is None
    assert told(alice, group="hpc") == [("alice", "hpc", "not_in_token")]
    assert len(told(alice, kind="not_in_source")) == 2
    assert len(told(alice, account="alice")) == 2
    assert len(told(alice, issuer=ISSUER)) == 3
    assert told(alice, issuer=ISSUER.rstrip("/")) == [], "law 1"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"kind": "other"}, 422),
        ({"after": "nowhere"}, 400),
        ({"account": "nobody"}, 404),
        ({"limit": 0}, 422),
        ({"limit": 1001}, 422),
        ({"group": "\x00"}, 422),
    ],
)
def test_questions_that_cannot_be_answered(alice: Site, query: Any, status: int) -> None:
    answer = alice.ask("GET", LIST, "bootstrap", params=query)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] in {"request_invalid", "not_found"}
    assert (answer.status_code == 404) == (status == 404)


@pytest.mark.parametrize("who", ["portal", "login1", None])
def test_only_administrators_are_told(alice: Site, who: str | None) -> None:
    assert alice.ask("GET", LIST, who).status_code in {401, 403}
    assert alice.ask("GET", LIST, alice.token()).status_code in {401, 403}


def test_a_running_service_compares_by_itself_and_a_last_time_at_its_end(alice: Site) -> None:
    """Every few seconds, in a task of its own; one that fails does not end it."""

    class Failing(WatchedRegistry):
        failing = True

        def read(self) -> Any:
            if self.failing:
                raise OSError("the database is away")
            return super().read()

    registry, asserted = Failing(alice.registry), AssertedGroups()
    parts = running_of(alice.app).parts
    claims = parts.verifier.verify(Secret(alice.token()), API, alice.clock.now)

    async def run() -> None:
        comparing = Comparing(asserted, registry, alice.clock, every_seconds=0.01)
        await comparing.start()
        asserted.note(claims)
        await _until(lambda: len(asserted) == 0)
        registry.failing = False
        asserted.note(replace(claims, issued_at=claims.issued_at + 1))
        await _until(lambda: len(asserted) == 0)
        await comparing.stop()
        asserted.note(replace(claims, issued_at=claims.issued_at + 2, groups=frozenset({HPC})))
        await comparing.stop()

    asyncio.run(run())
    assert len(asserted) == 0
    assert told(alice) == [], "found, then settled by the last comparison"


def test_the_application_starts_and_ends_it(alice: Site) -> None:
    """What was noted when the service is stopped is compared then."""
    parts = replace(running_of(alice.app).parts, compare_seconds=3600.0)
    app = create_app(parts)
    with TestClient(app, base_url="https://idmap.example") as client:
        headers = {"Authorization": f"Bearer {alice.token()}"}
        assert client.get("/v1/me", headers=headers).status_code == 200
        assert told(alice) == []
    assert told(alice) == [("alice", "hpc/gpu", "not_in_source")]


async def _until(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)

"""What is answered from memory is what would have been answered without it, and nothing that has changed since."""

from __future__ import annotations

from typing import Any

import pytest

from idmap.application.ports import CredentialKind
from idmap.domain.accounts import AccountEvent
from idmap.domain.doors import API
from tests.entrypoints.http.site import PORTAL, RULES, SETUP, Site
from tests.support.tokens import ISSUER


@pytest.fixture
def asked(site: Site) -> tuple[Site, str, dict[str, Any]]:
    """Alice has an account, and her token was asked about twice: the second answer came with everything remembered."""
    assert site.newcomer().status_code == 202
    token = site.token(door=PORTAL)
    first, second = site.resolve(token), site.resolve(token)
    assert first.status_code == second.status_code == 200
    return site, token, first.json()


def test_the_next_answer_needs_no_thread_and_is_the_same(
    asked: tuple[Site, str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads cost ten times what the answer costs."""

    async def refused(*_: object) -> None:
        raise AssertionError("a thread was asked for")

    site, token, before = asked
    monkeypatch.setattr("idmap.entrypoints.http.callers.run_in_threadpool", refused)
    monkeypatch.setattr("fastapi.routing.run_in_threadpool", refused)
    answer = site.resolve(token)
    assert answer.json() == before
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_a_ban_is_in_the_very_next_answer(asked: tuple[Site, str, dict[str, Any]]) -> None:
    """Law 5."""
    site, token, _ = asked
    ban = {"identity": {"issuer": ISSUER, "subject": "alice"}, "reason": "stolen"}
    assert site.ask("POST", "/v1/bans", "bootstrap", json=ban).status_code == 201
    assert [site.resolve(token).json()["code"] for _ in range(3)] == ["banned"] * 3


def test_a_suspension_is_in_the_very_next_answer(asked: tuple[Site, str, dict[str, Any]]) -> None:
    site, token, before = asked
    with site.registry.write(SETUP) as writer:
        account = writer.find_account(username=before["username"])
        assert account is not None
        writer.move_account(account.account_id, AccountEvent.SUSPENDED_BY_PERSON)
    assert [site.resolve(token).json()["code"] for _ in range(2)] == ["account_suspended"] * 2


def test_an_issuer_no_longer_trusted_is_in_the_very_next_answer(
    asked: tuple[Site, str, dict[str, Any]],
) -> None:
    """The remembered verification goes with what it stood on."""
    site, token, _ = asked
    with site.registry.write(SETUP) as writer:
        writer.save_rules({**RULES, "rules": []}, expect_version=None)
        writer.remove_issuer(ISSUER)  # type: ignore[arg-type]  # a plain string is one
    assert site.resolve(token).json()["code"] == "not_accepted"


def test_a_token_ends_in_memory_too(asked: tuple[Site, str, dict[str, Any]]) -> None:
    """To the second."""
    site, token, before = asked
    site.clock.now = before["expiry"] - 1
    assert site.resolve(token).status_code == 200
    assert site.resolve(token).status_code == 200
    site.clock.now = before["expiry"] + 60
    assert site.resolve(token).json()["code"] == "token_expired"


def test_a_revoked_component_is_refused_at_once(asked: tuple[Site, str, dict[str, Any]]) -> None:
    site, token, _ = asked
    with site.registry.write(SETUP) as writer:
        writer.revoke_credential(CredentialKind.COMPONENT, "portal")
    assert site.resolve(token).json()["code"] == "not_accepted"


def test_a_remembered_token_opens_no_other_component(
    asked: tuple[Site, str, dict[str, Any]],
) -> None:
    """Law 13: neither another component nor another door gains by what this one proved."""
    site, token, _ = asked
    question = {"token": token, "door": str(PORTAL)}
    other = site.ask("POST", "/v1/resolve", "gate", json=question)
    assert other.json()["code"] == "door_refused"
    assert site.resolve(token, API).json()["code"] == "audience_refused"


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"token": 1}', b'{"door": "component:portal"}', b"[]"]
)
def test_what_is_no_question_is_said_to_be_none(
    asked: tuple[Site, str, dict[str, Any]], body: bytes
) -> None:
    site, _, _ = asked
    answer = site.ask(
        "POST", "/v1/resolve", "portal", content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")

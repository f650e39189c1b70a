"""`idmap identities link, unlink, evidence` and `idmap accounts approve`, against a real service."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from idmap.domain.linking import LinkedId, LinkedIdKind
from tests.entrypoints.cli.conftest import Service, whole_app
from tests.entrypoints.http.site import SETUP, trusted
from tests.entrypoints.http.test_links import APPROVED_FIRST, HOME, OTHER, THIRD, WORK, claim, say
from tests.support.tokens import ISSUER

WHY = ("--reason", "a test")
WORK_OPTIONS = ("--issuer", OTHER, "--subject", "work")


@pytest.fixture
def alice(service: Service) -> Service:
    """A site with alice's account and a second issuer."""
    with service.site.registry.write(SETUP) as writer:
        writer.save_issuer(trusted(issuer=OTHER, record_groups_from_tokens=False))
        writer.save_issuer(trusted(issuer=THIRD, record_groups_from_tokens=False))
    service.site.newcomer("alice")
    return service


def test_an_identity_is_linked_and_unlinked(alice: Service) -> None:
    tried = alice.run("identities", "link", "alice", *WORK_OPTIONS, *WHY, "--dry-run")
    assert "would have the identities" in tried.output
    assert alice.json("accounts", "show", "alice")["identities"] == [HOME]
    made = alice.run("identities", "link", "alice", *WORK_OPTIONS, *WHY)
    assert made.exit_code == 0, made.output
    assert f"work @ {OTHER}" in made.output
    assert alice.json("accounts", "show", "alice")["identities"] == [HOME, WORK]
    found = alice.json("identities", "show", *WORK_OPTIONS)
    assert found["account"]["username"] == "alice"
    gone = alice.json("identities", "unlink", "200000", *WORK_OPTIONS, *WHY)
    assert gone["identities"] == [HOME]
    last = alice.run(
        "identities", "unlink", "alice", "--issuer", ISSUER, "--subject", "alice", *WHY
    )
    assert last.exit_code == 1
    assert "[last_identity]" in last.output
    assert "Next: Suspend or close the account first" in last.output


def test_evidence_is_listed_approved_and_refused(alice: Service) -> None:
    say(alice.site, alice=(claim(), LinkedId(LinkedIdKind.SAML, "https://idp.example/", "al")))
    listed = alice.run("identities", "evidence", "list", "--any")
    assert listed.exit_code == 0, listed.output
    flat = "".join(listed.output.split())
    assert f"work@{OTHER}" in flat
    found = alice.json("identities", "evidence", "list", "--any")["evidence"]
    first, saml = (str(one["id"]) for one in found)
    tried = alice.run("identities", "evidence", "approve", first, *WHY, "--dry-run")
    assert "would have" in tried.output
    assert len(alice.json("identities", "evidence", "list", "--any")["evidence"]) == 2
    assert alice.json("identities", "evidence", "approve", first, *WHY)["identities"] == [
        HOME,
        WORK,
    ]
    refused = alice.run("identities", "evidence", "refuse", saml, *WHY)
    assert "is refused" in refused.output
    assert alice.json("identities", "evidence", "list", "--any")["evidence"] == []
    states = alice.json("identities", "evidence", "list", "--state", "refused")["evidence"]
    assert [str(one["id"]) for one in states] == [saml]


def test_contradicted_evidence_shows_its_rivals_and_is_refused_clearly(alice: Service) -> None:
    say(alice.site, alice=(claim(issuer=THIRD),))
    say(alice.site, OTHER, mallory=(claim(issuer=THIRD),))
    number = str(alice.json("identities", "evidence", "list", "--any")["evidence"][0]["id"])
    shown = "".join(alice.run("identities", "evidence", "list", "--any").output.split())
    assert f"mallory@{OTHER}" in shown
    answer = alice.run("identities", "evidence", "approve", number, *WHY)
    assert answer.exit_code == 1
    assert "[evidence_contradicted]" in answer.output
    assert f"mallory @ {OTHER}" in answer.output
    assert "idmap identities evidence refuse" in answer.output


def test_who_waits_is_listed_and_approved(alice: Service) -> None:
    with alice.site.registry.write(SETUP) as writer:
        writer.save_rules(APPROVED_FIRST, expect_version=None)
    alice.site.newcomer("bob")
    waiting = alice.json("accounts", "list", "--state", "pending")["accounts"]
    assert [one["username"] for one in waiting] == ["bob"]
    result = alice.run("accounts", "approve", "bob", *WHY)
    assert "bob is active." in result.output
    again = alice.run("accounts", "approve", "bob", *WHY)
    assert again.exit_code == 1
    assert "[transition_refused]" in again.output


def test_every_change_wants_its_reason(alice: Service) -> None:
    for command in (
        ("identities", "link", "alice", *WORK_OPTIONS),
        ("identities", "unlink", "alice", *WORK_OPTIONS),
        ("identities", "evidence", "approve", "1"),
        ("identities", "evidence", "refuse", "1"),
        ("accounts", "approve", "alice"),
    ):
        result = alice.run(*command)
        assert result.exit_code == 2
        assert "--reason" in result.output


@pytest.mark.parametrize("command", ["list", "approve", "refuse"])
def test_the_help_of_evidence_reads_well(command: str) -> None:
    told = CliRunner().invoke(
        whole_app(), ["identities", "evidence", command, "--help"], terminal_width=200
    )
    assert told.exit_code == 0
    for option in ("--url", "--key-file", "--json"):
        assert option in told.output

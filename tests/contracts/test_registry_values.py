"""Values at the edge of what a database holds: the same answer whichever it is, and text in the order of its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from idmap.application.ports import (
    CredentialKind,
    Registry,
    RegistryReader,
    RegistryWriter,
    RunRecord,
)
from idmap.application.questions import AccountQuestion
from idmap.domain.errors import InvalidInput, NotFound
from idmap.domain.identity import Issuer
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    VO,
    listed,
    listing,
    open_one,
    opening,
    person,
    profile,
)

TOP = NumberRange("top", RangePurpose.PEOPLE, 2**31 - 8, 2**31 - 1)

SPELLINGS = ("B", "a", "A", "Z", "_", "a-b", "ab", "a b", "~", "ä", "z", "aB", "1", "10", "2")
"""A dictionary puts them in another order than their bytes do."""


@pytest.mark.parametrize("number", [2**31, 2**40, 2**63 - 1, -(2**40)])
def test_a_number_that_fits_no_column_is_nobodys(registry: Registry, number: int) -> None:
    open_one(registry, "a", "alice")
    with registry.read() as reader:
        assert reader.find_account(account_id=number) is None
        assert reader.find_account(uid_number=number) is None
        assert reader.identities_of(number) == ()
        assert reader.rules_document(number) is None
        if number > 0:
            assert reader.page_of_accounts(AccountQuestion(), after=number).items == ()
            assert reader.changes(after=number) == ()
    with registry.write(AUTHOR) as writer, pytest.raises(NotFound):
        writer.lift_ban(number)


READINGS: list[Callable[[RegistryReader], object]] = [
    lambda reader: reader.find_account(uid_number=2**63),
    lambda reader: reader.find_account(account_id=2**80),
    lambda reader: reader.page_of_accounts(AccountQuestion(), after=2**64),
    lambda reader: reader.changes(after=-(2**70)),
    lambda reader: reader.find_account(username="\ud800"),
]
WRITINGS: list[Callable[[RegistryWriter], object]] = [
    lambda writer: writer.lift_ban(2**64),
    lambda writer: writer.add_ban(
        account_id=None, identity=person("a"), reason="x", until=2**64, at=NOW
    ),
    lambda writer: writer.record_listing(listing(listed("\udfff", VO))),
]


@pytest.mark.parametrize("question", READINGS)
def test_what_no_database_holds_cannot_be_asked(
    registry: Registry, question: Callable[[RegistryReader], object]
) -> None:
    with pytest.raises(InvalidInput) as caught, registry.read() as reader:
        question(reader)
    assert caught.value.reason is Reason.REQUEST_INVALID


@pytest.mark.parametrize("change", WRITINGS)
def test_what_no_database_holds_is_refused_and_nothing_else_is_lost(
    registry: Registry, change: Callable[[RegistryWriter], object]
) -> None:
    for transaction in (registry.write, registry.rehearse):
        with pytest.raises(InvalidInput) as caught, transaction(AUTHOR) as writer:
            change(writer)
        assert caught.value.reason is Reason.REQUEST_INVALID
    assert open_one(registry, "a", "alice").username == "alice"


def test_a_range_is_used_up_to_the_highest_number_there_is(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.add_range(TOP)
        numbers = [
            writer.open_account(
                replace(opening(person(f"s{n}"), None), number_range="top")
            ).uid_number
            for n in range(8)
        ]
    assert numbers == list(range(TOP.first, TOP.last + 1))
    assert open_one(registry, "a").uid_number == 200_000


def test_issuers_nodes_and_runs_are_listed_in_the_order_of_their_bytes(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        for number, spelling in enumerate(SPELLINGS):
            name = spelling.encode("ascii", "ignore").decode().replace(" ", "%20") or "0"
            writer.save_issuer(profile(Issuer(f"https://iam.example.org/{name}")))
            writer.add_credential(
                CredentialKind.NODE, spelling, bytes([number]) * 32, node_class="login", at=NOW
            )
            writer.save_run(RunRecord(spelling, NOW, None, "applied", None, None))
    with registry.read() as reader:
        nodes = [node.name for node in reader.nodes()]
        assert nodes == sorted(SPELLINGS, key=str.encode)
        issuers = [found.issuer for found in reader.issuers()]
        assert issuers == sorted(issuers, key=str.encode)
        runs = [run.run_id for run in reader.runs()]
        assert runs == sorted(SPELLINGS, key=str.encode, reverse=True)


def test_subjects_that_differ_in_a_byte_are_different_people(registry: Registry) -> None:
    """Law 1."""
    spellings = ("Anna", "anna", "anna ", "Annä", "Anna\u0308", "ann\u00e4", "anna\u200b")
    numbers = {open_one(registry, subject).uid_number for subject in spellings}
    assert len(numbers) == len(spellings)
    with registry.read() as reader:
        for subject in spellings:
            account = reader.recorded(person(subject)).account
            assert account is not None
            assert [identity.subject for identity in reader.identities_of(account.account_id)] == [
                subject
            ]

"""Who is in one group, a page at a time and nothing beside; under whose order an account is suspended."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from idmap.application.ports import Author, Registry
from idmap.application.questions import GroupMember
from idmap.domain.accounts import AccountEvent, AccountState
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.linking import LinkProof
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    OTHER,
    STAFF,
    VO,
    listed,
    listing,
    open_one,
    opening,
    person,
    profile,
)


def _pages(registry: Registry, group: Group, limit: int) -> list[GroupMember]:
    found: list[GroupMember] = []
    after: int | str | None = None
    with registry.read() as reader:
        for _ in range(100):
            page = reader.page_of_members(group, after=after, limit=limit)
            assert len(page.items) <= limit
            found += page.items
            if page.next is None:
                return found
            after = page.next
    raise AssertionError("the list does not end")


def _named(found: list[GroupMember]) -> list[tuple[str | None, str | None]]:
    return [(m.identity.subject if m.identity else None, m.username) for m in found]


@pytest.fixture
def people(registry: Registry) -> Registry:
    """In `staff`: by a source, by a token too, by both; with an account, without, holding it no more or without it."""
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
        writer.record_listing(
            listing(
                listed("ann", VO, STAFF),
                listed("bob", VO, STAFF, active=False),
                listed("carl", VO, STAFF),
                listed("dora", VO),
            )
        )
        writer.record_observation(person("ann"), frozenset({STAFF, VO}), None, NOW + 1)
        alias = Group(OTHER, STAFF.path)
        writer.record_observation(person("erin", OTHER), frozenset({alias}), None, NOW)
    for name in ("ann", "carl", "dora"):
        open_one(registry, name, name, secondary_groups=(STAFF,))
    with registry.write(AUTHOR) as writer:
        writer.open_account(replace(opening(person("fred"), "fred"), primary_group=STAFF))
        gone = writer.open_account(opening(person("gone"), "gone", secondary_groups=(STAFF,)))
        writer.move_account(gone.account_id, AccountEvent.CLOSED)
        carl = writer.find_account(username="carl")
        assert carl is not None
        writer.move_account(carl.account_id, AccountEvent.CLOSED)
    return registry


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_members_are_listed_once_by_pages(people: Registry, limit: int) -> None:
    """Recorded ones in order of first sight, then accounts that hold the gid without; a closed account is none."""
    assert _named(_pages(people, STAFF, limit)) == [
        ("ann", "ann"),
        ("bob", None),
        ("carl", None),
        (None, "dora"),
        (None, "fred"),
    ]


def test_a_member_is_shown_as_they_are(people: Registry) -> None:
    """Their state and their source's word, and nothing else."""
    ann, bob, *_ = _pages(people, STAFF, 100)
    assert ann == GroupMember(person("ann"), True, ann.username, AccountState.ACTIVE)
    assert bob == GroupMember(person("bob"), False, None, None)


def test_the_same_path_elsewhere_is_another_group(people: Registry) -> None:
    """Law 1, for groups: bound to their issuer."""
    assert _named(_pages(people, Group(OTHER, STAFF.path), 10)) == [("erin", None)]
    assert _pages(people, Group(OTHER, "nowhere"), 10) == []


def test_an_account_of_several_is_under_each_of_them(people: Registry) -> None:
    """Whoever of them is recorded in the group; not once more as its holder."""
    with people.write(AUTHOR) as writer:
        ann = writer.find_account(username="ann")
        assert ann is not None
        writer.link_identity(ann.account_id, person("zoe", OTHER), LinkProof.ADMINISTRATOR)
    assert _named(_pages(people, STAFF, 100)).count(("ann", "ann")) == 1
    assert (None, "ann") not in _named(_pages(people, STAFF, 100))


@pytest.mark.parametrize("after", ["7", "x7", "i", "i7 ", "a-1", "i" + "9" * 30, ""])
def test_a_place_that_no_page_gave_is_refused(people: Registry, after: str) -> None:
    """As everywhere."""
    with people.read() as reader, pytest.raises(InvalidInput) as caught:
        reader.page_of_members(STAFF, after=after)
    assert caught.value.reason is Reason.REQUEST_INVALID


def test_who_suspended_is_who_did_it_last(registry: Registry) -> None:
    """Nobody once it was restored, nor when a run did it; seen within the transaction too."""
    account = open_one(registry, "ann", "ann")

    def move(author: str, *events: AccountEvent, until: date | None = None) -> str | None:
        with registry.write(Author(author, "a test")) as writer:
            for event in events:
                grace = until if event is AccountEvent.ENTITLEMENT_LOST else None
                writer.move_account(account.account_id, event, grace)
            return writer.suspended_by(account.account_id)

    def known() -> str | None:
        with registry.read() as reader:
            return reader.suspended_by(account.account_id)

    event = AccountEvent
    assert known() is None
    assert move("one", event.SUSPENDED_BY_PERSON) == known() == "one"
    assert move("two", event.RESTORED_BY_PERSON) is known() is None
    assert move("two", event.SUSPENDED_BY_PERSON) == known() == "two"
    lost = (event.RESTORED_BY_PERSON, event.ENTITLEMENT_LOST, event.GRACE_PASSED)
    assert move("run", *lost, until=date(2024, 1, 1)) is known() is None
    with registry.read() as reader:
        assert reader.suspended_by(account.account_id + 1) is None

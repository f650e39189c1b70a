"""The contract of the `Registry` port about differences between tokens and sources: observations, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from idmap.application.ports import Registry
from idmap.application.questions import DifferenceQuestion
from idmap.domain.differences import Difference, DifferenceKind
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    LATER,
    NOW,
    OTHER,
    STAFF,
    VO,
    listed,
    listing,
    open_one,
    person,
)

NOT_IN_TOKEN, NOT_IN_SOURCE = DifferenceKind.NOT_IN_TOKEN, DifferenceKind.NOT_IN_SOURCE


def difference(
    subject: str, group: Group = VO, kind: DifferenceKind = NOT_IN_TOKEN, at: int = NOW
) -> Difference:
    return Difference(person(subject), group, kind, at, at)


@pytest.fixture
def known(registry: Registry) -> Registry:
    """Three people on record; the first has an account."""
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(*(listed(subject, VO) for subject in "abc")))
    open_one(registry, "a", "alice")
    return registry


def standing(registry: Registry) -> list[Difference]:
    with registry.read() as reader:
        return list(reader.page_of_differences(DifferenceQuestion()).items)


def save(registry: Registry, *found: Difference) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_differences(found)


def test_a_difference_is_kept_with_whose_account_it_is(known: Registry) -> None:
    save(known, difference("a"), difference("b", STAFF, NOT_IN_SOURCE))
    assert standing(known) == [
        replace(difference("a"), username="alice"),
        difference("b", STAFF, NOT_IN_SOURCE),
    ]
    with known.read() as reader:
        assert reader.differences_of([person("b"), person("nobody")]) == (
            difference("b", STAFF, NOT_IN_SOURCE),
        )
        assert reader.differences_of([]) == ()


def test_seen_again_it_keeps_the_time_of_its_first_sight(known: Registry) -> None:
    save(known, difference("b"))
    save(known, difference("b", at=NOW + 7200))
    assert standing(known) == [replace(difference("b"), last_seen=NOW + 7200)]


def test_settled_ones_go_and_others_stay(known: Registry) -> None:
    save(known, difference("a"), difference("b"), difference("b", kind=NOT_IN_SOURCE))
    with known.write(AUTHOR) as writer:
        writer.settle_differences([difference("b", at=NOW + 9), difference("nobody")])
    assert [(one.identity.subject, one.kind) for one in standing(known)] == [
        ("a", NOT_IN_TOKEN),
        ("b", NOT_IN_SOURCE),
    ]


def test_nobody_comes_on_record_for_a_difference(known: Registry) -> None:
    """A stranger whose token names a group leaves no trace."""
    save(known, difference("stranger"))
    assert standing(known) == []
    with known.read() as reader:
        assert len(list(reader.people())) == 3


def test_those_not_seen_for_long_are_forgotten(known: Registry) -> None:
    save(known, difference("a", at=NOW), difference("b", at=NOW + 10))
    with known.read() as reader:
        assert [reader.count_differences(NOW + more) for more in (0, 1, 11)] == [2, 1, 0]
    with known.write(AUTHOR) as writer:
        assert writer.forget_differences(NOW + 10) == 1
        assert writer.forget_differences(NOW + 10) == 0
    assert [one.identity.subject for one in standing(known)] == ["b"]


def test_neither_the_record_nor_the_nodes_hear_of_differences(known: Registry) -> None:
    def told() -> tuple[int, int, int]:
        with known.read() as reader:
            return reader.last_change(), reader.revision(), reader.ban_counter()

    before = told()
    save(known, difference("a"))
    with known.write(AUTHOR) as writer:
        writer.settle_differences([difference("a")])
        writer.forget_differences(NOW)
    assert told() == before
    with known.read() as reader:
        reader.verify_changes()


def test_pages_give_every_difference_once_whatever_their_size(known: Registry) -> None:
    every = [
        difference(subject, group, kind)
        for subject in "abc"
        for group in (VO, STAFF, LATER)
        for kind in DifferenceKind
    ]
    save(known, *every)
    whole = standing(known)
    assert len(whole) == len(every)
    for limit in (1, 4, 18):
        found: list[Difference] = []
        after: int | str | None = None
        for _ in range(20):
            with known.read() as reader:
                page = reader.page_of_differences(DifferenceQuestion(), after=after, limit=limit)
            found += page.items
            after = page.next
            if after is None:
                break
        assert found == whole


def test_filters(known: Registry) -> None:
    save(known, difference("a"), difference("b", STAFF), difference("b", VO, NOT_IN_SOURCE))
    with known.read() as reader:
        alice = reader.find_account(username="alice")
        assert alice is not None

        def found(asked: DifferenceQuestion) -> int:
            return len(reader.page_of_differences(asked).items)

        assert found(DifferenceQuestion(issuer=ISSUER)) == 3
        assert found(DifferenceQuestion(issuer=OTHER)) == 0
        assert found(DifferenceQuestion(group=VO.path)) == 2
        assert found(DifferenceQuestion(kind=NOT_IN_SOURCE)) == 1
        assert found(DifferenceQuestion(account_id=alice.account_id)) == 1
        assert found(DifferenceQuestion(group=STAFF.path, kind=NOT_IN_SOURCE)) == 0


@pytest.mark.parametrize("after", ["", "x", "1", "1:2", "1:2:other", "a:2:not_in_token", "1:2:3:4"])
def test_a_place_that_no_page_gave_is_refused(known: Registry, after: str) -> None:
    with known.read() as reader, pytest.raises(InvalidInput):
        reader.page_of_differences(DifferenceQuestion(), after=after)


def test_what_sources_alone_say_of_those_they_could_read(known: Registry) -> None:
    """Not what tokens said, and nothing of somebody whose record did not read."""
    with known.write(AUTHOR) as writer:
        writer.record_observation(person("b"), frozenset({STAFF, LATER}), None, NOW + 60)
        writer.record_listing(
            listing(listed("a", VO), listed("b", VO), listed("c", readable=False), began=NOW + 1)
        )
    with known.read() as reader:
        people = [person(subject) for subject in ("a", "b", "c", "nobody")]
        assert reader.said_by_sources(people) == {
            person("a"): frozenset({VO}),
            person("b"): frozenset({VO}),
        }
        assert reader.said_by_sources([]) == {}
        assert reader.listed_groups() == {VO: NOW + 1, STAFF: NOW + 1}

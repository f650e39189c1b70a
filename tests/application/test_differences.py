"""Tokens compared with sources: noted at once, written seldom, cleared when they agree, never a change of anything."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest

from idmap.application.differences import (
    COMPARED_FOR_SECONDS,
    AssertedGroups,
    difference_check,
)
from idmap.application.ports import Author, Registry, RegistryWriter
from idmap.application.questions import DifferenceQuestion
from idmap.domain.capabilities import find_capability
from idmap.domain.claims import VerifiedClaims
from idmap.domain.differences import Difference
from idmap.domain.doors import API
from idmap.domain.groups import Group
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    LATER,
    NOW,
    STAFF,
    VO,
    document,
    furnish,
    listed,
    listing,
    person,
)
from tests.support.watched_registry import WatchedRegistry


class CountingRegistry(WatchedRegistry):
    """Counts write transactions."""

    writes = 0

    def write(self, author: Author) -> AbstractContextManager[RegistryWriter]:
        self.writes += 1
        return super().write(author)


@pytest.fixture
def site() -> Iterator[CountingRegistry]:
    """Rules speak of vo and its staff; the source lists a and b in vo, and b among the staff. `vo/later` is nobody's
    business."""
    inner = make_registry(lambda: NOW)
    furnish(inner)
    with inner.write(AUTHOR) as writer:
        writer.save_rules(document(secondary_groups=["vo/staff_members"]), expect_version=None)
        writer.record_listing(listing(listed("a", VO), listed("b", VO, STAFF), began=NOW))
    yield CountingRegistry(inner)
    inner.close()


def claims(subject: str, *groups: Group, issued_at: int = NOW + 10, **more: Any) -> VerifiedClaims:
    return VerifiedClaims(
        identity=person(subject),
        door=API,
        expires_at=issued_at + 3600,
        issued_at=issued_at,
        token_id=None,
        client_id=None,
        groups=frozenset(groups),
        preferred_username=None,
        **more,
    )


def standing(registry: Registry) -> set[tuple[str, str, str]]:
    return {(one.identity.subject, one.group.path, str(one.kind)) for one in whole(registry)}


def whole(registry: Registry) -> tuple[Difference, ...]:
    with registry.read() as reader:
        return reader.page_of_differences(DifferenceQuestion()).items


def seen(registry: Registry, *tokens: VerifiedClaims, at: int = NOW + 20) -> AssertedGroups:
    """What one process makes of these tokens."""
    asserted = AssertedGroups()
    for token in tokens:
        asserted.note(token)
    asserted.flush(registry, at)
    return asserted


def test_both_directions_are_told(site: CountingRegistry) -> None:
    """Of groups that rules speak of and a source lists; `vo/later` is neither."""
    seen(site, claims("a", VO, STAFF, LATER), claims("b", VO))
    assert standing(site) == {
        ("a", STAFF.path, "not_in_source"),
        ("b", STAFF.path, "not_in_token"),
    }


def test_nothing_follows_from_a_difference(site: CountingRegistry) -> None:
    """Neither a group nor an entry of the record nor a revision: it is an observation."""
    with site.read() as reader:
        before = (list(reader.people()), reader.last_change(), reader.revision())
    seen(site, claims("a", VO, STAFF))
    with site.read() as reader:
        assert (list(reader.people()), reader.last_change(), reader.revision()) == before


def test_a_later_token_that_agrees_clears_it(site: CountingRegistry) -> None:
    seen(site, claims("a", VO, STAFF), claims("b", VO))
    seen(site, claims("a", VO, issued_at=NOW + 30), at=NOW + 40)
    assert standing(site) == {("b", STAFF.path, "not_in_token")}
    seen(site, claims("b", VO, STAFF, issued_at=NOW + 30), at=NOW + 50)
    assert standing(site) == set()


def test_a_listing_that_agrees_clears_it_with_the_next_token(site: CountingRegistry) -> None:
    seen(site, claims("a", VO, STAFF))
    with site.inner.write(AUTHOR) as writer:
        people = (listed("a", VO, STAFF), listed("b", VO, STAFF))
        writer.record_listing(listing(*people, began=NOW + 100))
    seen(site, claims("a", VO, STAFF, issued_at=NOW + 50), at=NOW + 110)
    assert standing(site), "a token that is older than the listing says nothing about it"
    seen(site, claims("a", VO, STAFF, issued_at=NOW + 120), at=NOW + 130)
    assert standing(site) == set()


def test_a_token_older_than_the_listing_tells_nothing(site: CountingRegistry) -> None:
    """Somebody may have joined or left in between."""
    seen(site, claims("a", VO, STAFF, issued_at=NOW - 1))
    assert standing(site) == set()


def test_tokens_that_say_nothing_of_groups_are_not_compared(site: CountingRegistry) -> None:
    capability = find_capability("compute.read")
    silent = claims("b")
    capable = claims("b", VO, capabilities=frozenset({capability}))
    assert len(seen(site, silent, capable)) == 0
    assert (standing(site), site.writes) == (set(), 0)


def test_what_tokens_put_on_record_is_not_the_sources_word(site: CountingRegistry) -> None:
    """A membership that a token brought is exactly the kind of difference to tell."""
    with site.inner.write(AUTHOR) as writer:
        writer.record_observation(person("a"), frozenset({STAFF}), None, NOW + 5)
    seen(site, claims("a", VO, STAFF))
    assert standing(site) == {("a", STAFF.path, "not_in_source")}


def test_nobody_whose_record_could_not_be_read_is_compared(site: CountingRegistry) -> None:
    with site.inner.write(AUTHOR) as writer:
        people = (listed("a", VO, readable=False), listed("b", VO, STAFF))
        writer.record_listing(listing(*people, began=NOW + 1))
    seen(site, claims("a", STAFF))
    assert standing(site) == set()


def test_a_stranger_leaves_no_trace(site: CountingRegistry) -> None:
    seen(site, claims("stranger", VO))
    assert standing(site) == set()
    with site.read() as reader:
        assert len(list(reader.people())) == 2


def test_the_newest_of_several_tokens_counts(site: CountingRegistry) -> None:
    """Whatever order they come in; and an older one does not undo it afterwards."""
    asserted = seen(
        site,
        claims("b", VO, STAFF, issued_at=NOW + 12),
        claims("b", VO, issued_at=NOW + 11),
    )
    assert standing(site) == set()
    asserted.note(claims("b", VO, issued_at=NOW + 11))
    assert len(asserted) == 0


# --- written seldom


def test_where_everybody_agrees_nothing_is_written(site: CountingRegistry) -> None:
    seen(site, claims("a", VO), claims("b", VO, STAFF))
    assert site.writes == 0


def test_the_same_tokens_over_and_over_are_written_once_an_hour(site: CountingRegistry) -> None:
    """However often they are shown, and whatever the interval."""
    asserted, token = AssertedGroups(), claims("a", VO, STAFF)
    for second in range(0, COMPARED_FOR_SECONDS, 5):
        for _ in range(10):
            asserted.note(token)
        asserted.flush(site, NOW + 20 + second)
    assert site.writes == 1
    for _ in range(10):
        asserted.note(token)
    asserted.flush(site, NOW + 20 + COMPARED_FOR_SECONDS)
    asserted.note(token)
    asserted.flush(site, NOW + 25 + COMPARED_FOR_SECONDS)
    (found,) = whole(site)
    assert (found.first_seen, found.last_seen) == (NOW + 20, NOW + 25 + COMPARED_FOR_SECONDS)
    assert site.writes == 2


def test_new_tokens_of_the_same_difference_write_nothing_new(site: CountingRegistry) -> None:
    """One row for a person and group, dated anew once an hour."""
    asserted = AssertedGroups()
    for number in range(50):
        asserted.note(claims("a", VO, STAFF, issued_at=NOW + 10 + number))
        asserted.flush(site, NOW + 20 + number)
    assert site.writes == 1
    assert len(whole(site)) == 1


def test_what_is_noted_between_two_flushes_is_bounded(site: CountingRegistry) -> None:
    """Whoever does not fit is noted after the next one."""
    asserted = AssertedGroups(limit=3)
    crowd = [claims(f"s{number}", VO) for number in range(10)]
    for token in crowd:
        asserted.note(token)
    assert len(asserted) == 3
    asserted.note(claims("s0", VO, STAFF, issued_at=NOW + 11))
    assert len(asserted) == 3, "who is noted already may say something newer"
    for round_ in range(4):
        asserted.flush(site, NOW + 20 + round_)
        for token in crowd:
            asserted.note(token)
    assert len(asserted._newest) <= 3 * 3


def test_a_flush_that_fails_loses_no_more_than_its_tokens(site: CountingRegistry) -> None:
    class Broken(WatchedRegistry):
        def read(self) -> Any:
            raise OSError("the database is gone")

    asserted = AssertedGroups()
    asserted.note(claims("a", VO, STAFF))
    with pytest.raises(OSError, match="gone"):
        asserted.flush(Broken(site.inner), NOW + 20)
    asserted.note(claims("a", VO, STAFF, issued_at=NOW + 12))
    asserted.flush(site, NOW + 25)
    assert standing(site) == {("a", STAFF.path, "not_in_source")}


def test_many_threads_note_while_others_flush(site: CountingRegistry) -> None:
    """Nothing is lost but what was overtaken."""
    asserted, stop = AssertedGroups(), threading.Event()
    failures: list[BaseException] = []

    def note(subject: str, groups: tuple[Group, ...]) -> None:
        try:
            for number in range(400):
                asserted.note(claims(subject, *groups, issued_at=NOW + 10 + number))
        except BaseException as error:  # told to the test
            failures.append(error)

    def flush() -> None:
        try:
            while not stop.is_set():
                asserted.flush(site, NOW + 1000)
        except BaseException as error:  # told to the test
            failures.append(error)

    noting = [
        threading.Thread(target=note, args=given)
        for given in (("a", (VO, STAFF)), ("b", (VO,)), ("a", (VO, STAFF)), ("c", (VO,)))
    ]
    flushing = threading.Thread(target=flush)
    for thread in (*noting, flushing):
        thread.start()
    for thread in noting:
        thread.join(60)
    stop.set()
    flushing.join(60)
    asserted.flush(site, NOW + 1000)
    assert not failures
    assert standing(site) == {
        ("a", STAFF.path, "not_in_source"),
        ("b", STAFF.path, "not_in_token"),
    }


# --- in words


def _check(registry: Registry, token: VerifiedClaims) -> tuple[str, bool] | None:
    with registry.read() as reader:
        found = difference_check(reader, token)
    return None if found is None else (found.shown, found.passed)


def test_explain_has_a_line_for_it(site: CountingRegistry) -> None:
    assert _check(site, claims("a")) is None
    assert _check(site, claims("a", VO)) == ("2 group(s) compared", True)
    assert _check(site, claims("a", VO, STAFF)) == (
        "vo/staff_members: in the token, not in the source",
        False,
    )
    assert _check(site, claims("b", LATER)) == (
        "vo: in the source, not in the token; vo/staff_members: in the source, not in the token",
        False,
    )
    assert _check(site, claims("stranger", VO)) == ("vo: in the token, not in the source", False)


def test_explain_does_not_compare_what_cannot_be(site: CountingRegistry) -> None:
    old = _check(site, claims("a", STAFF, issued_at=NOW - 5))
    assert old is not None
    assert old[1]
    assert "since then" in old[0]
    with site.inner.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", readable=False), began=NOW + 1))
    unread = _check(site, claims("a", STAFF))
    assert unread == ("the person's record at the source could not be read", True)

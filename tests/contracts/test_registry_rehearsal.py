"""The contract of rehearsals and of recording a listing in parts, of every registry."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.application.ports import Listing, Registry, RegistryReader
from idmap.domain.errors import Conflict
from idmap.domain.groups import Group
from idmap.domain.numbers import NumberRange, RangePurpose
from tests.support.examples import examples
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    STAFF,
    VO,
    furnish,
    listed,
    listing,
    open_one,
    opening,
    person,
)


def everything(reader: RegistryReader) -> tuple[object, ...]:
    return (
        tuple(map(repr, reader.people())),
        tuple(reader.every_account()),
        reader.changes(limit=1000),
        (reader.revision(), reader.ban_counter(), reader.last_change()),
        (reader.ranges(), dict(reader.high_water()), reader.bans()),
    )


def ban(registry: Registry, subject: str) -> None:
    with registry.write(AUTHOR) as writer:
        writer.add_ban(
            account_id=None, identity=person(subject), reason="stolen", until=None, at=NOW
        )


# --- rehearsals


def test_nothing_of_a_rehearsal_is_kept(registry: Registry) -> None:
    """Not a row, not a counter, not a number, not a mark: whatever was done in it."""
    open_one(registry, "a", "alice")
    with registry.read() as reader:
        before = everything(reader)
    token = registry.change_token()
    with registry.rehearse(AUTHOR) as writer:
        writer.record_listing(listing(listed("b", VO), listed("c", STAFF)))
        account = writer.open_account(opening(person("b"), "bob"))
        writer.add_range(NumberRange("more", RangePurpose.PEOPLE, 400_000, 400_010))
        writer.add_ban(account_id=account.account_id, identity=None, reason="x", until=None, at=NOW)
        assert everything(writer) != before
    assert registry.change_token() == token, "nobody has to look again"
    with registry.read() as reader:
        assert everything(reader) == before
    assert open_one(registry, "z", "bob") == account, "number and name are still to be had"


def test_a_rehearsal_sees_what_was_committed_and_does_what_would_be_done(
    registry: Registry,
) -> None:
    open_one(registry, "a", "alice")
    with registry.read() as reader:
        before = everything(reader)
    with registry.rehearse(AUTHOR) as writer:
        assert everything(writer) == before
        writer.record_listing(listing(listed("b", VO)))
        rehearsed = writer.open_account(opening(person("b"), "alice"))
        with pytest.raises(Conflict):
            writer.open_account(opening(person("b"), "again"))
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("b", VO)))
        assert writer.open_account(opening(person("b"), "alice")) == rehearsed


def test_others_write_and_read_while_somebody_rehearses(registry: Registry) -> None:
    """Law 5: a ban waits for no rehearsal, and the rehearsal goes on with what it saw."""
    open_one(registry, "a", "alice")
    with registry.rehearse(AUTHOR) as writer:
        writer.record_listing(listing(listed("b", VO)))
        banning = threading.Thread(target=ban, args=(registry, "a"), daemon=True)
        banning.start()
        banning.join(timeout=20)
        assert not banning.is_alive(), "the ban waits for the rehearsal"
        ban(registry, "b")
        with registry.read() as reader:
            assert len(reader.bans()) == 2
        assert writer.bans() == ()
        writer.open_account(opening(person("b"), "bob"))
    with registry.read() as reader:
        assert len(reader.bans()) == 2
        assert reader.recorded(person("b")).account is None


def test_rehearsals_do_not_disturb_each_other(registry: Registry) -> None:
    with registry.rehearse(AUTHOR) as one, registry.rehearse(AUTHOR) as other:
        first = one.open_account(opening(person("a"), "alice"))
        assert other.open_account(opening(person("b"), "alice")).uid_number == first.uid_number


def test_an_exception_ends_a_rehearsal_and_goes_on(registry: Registry) -> None:
    assert open_one(registry, "a", "alice").username == "alice"


# --- the newest entry and the groups that are seen


def test_the_newest_entry_counts_what_a_writer_has_done(registry: Registry) -> None:
    with registry.read() as reader:
        last = reader.last_change()
        assert last == reader.changes(limit=1000)[-1].sequence
    with registry.write(AUTHOR) as writer:
        assert writer.last_change() == last
        writer.open_account(opening(person("a"), "alice"))
        assert writer.last_change() == last + 1
        assert writer.changes(after=last)[0].action == "open_account"
    with registry.read() as reader:
        assert reader.last_change() == last + 1


def test_an_empty_record_has_no_newest_entry(empty: Registry) -> None:
    with empty.read() as reader:
        assert reader.last_change() == 0
        assert reader.observed_groups() == frozenset()


def test_groups_are_seen_while_anybody_is_in_them(registry: Registry) -> None:
    def seen() -> frozenset[Group]:
        with registry.read() as reader:
            return reader.observed_groups()

    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO), listed("b", STAFF)))
        writer.record_observation(person("c"), frozenset({STAFF}), None, NOW + 5)
    assert seen() == {VO, STAFF}
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("b"), began=NOW + 1))
    assert seen() == {STAFF}, "a token saw somebody there since"


# --- a listing in parts

SUBJECTS = ("a", "b", "c", "d")


@st.composite
def nights(draw: st.DrawFn) -> list[Listing]:
    def night(number: int) -> Listing:
        people = [
            listed(
                subject,
                *draw(st.sets(st.sampled_from([VO, STAFF]))),
                active=draw(st.booleans()),
                readable=draw(st.integers(0, 3)) > 0,
                preferred_username=draw(st.sampled_from([None, "x", "y"])),
            )
            for subject in sorted(draw(st.sets(st.sampled_from(SUBJECTS))))
        ]
        return listing(*people, began=NOW + 10 * number)

    return [night(number) for number in range(draw(st.integers(1, 3)))]


def facts(registry: Registry) -> list[str]:
    """Everybody's facts, whoever was seen first."""
    with registry.read() as reader:
        return sorted(map(repr, reader.people()))


@settings(max_examples=examples(40), deadline=None)
@given(nights(), st.randoms(use_true_random=False))
def test_a_listing_recorded_in_parts_says_the_same_as_recorded_whole(
    history: list[Listing], chance: object
) -> None:
    """And only those whom the whole would change are changed."""
    whole, parts = make_registry(), make_registry()
    for registry in (whole, parts):
        furnish(registry)
    for night in history:
        with whole.write(AUTHOR) as writer:
            changed = writer.record_listing(night)
        with parts.rehearse(AUTHOR) as writer:
            assert writer.record_listing(night) == changed
        people = sorted(changed, key=lambda one: one.subject)
        chance.shuffle(people)  # type: ignore[attr-defined]
        for part in ([people[0]], people[1:]) if people else ([],):
            with parts.write(AUTHOR) as writer:
                assert writer.record_listing(night, only=part) == frozenset(part)
        assert facts(parts) == facts(whole)
        with parts.rehearse(AUTHOR) as writer:
            assert writer.record_listing(night) == frozenset()
    with parts.read() as reader:
        assert reader.verify_changes() == reader.last_change()
    whole.close()
    parts.close()


def test_who_is_not_named_is_not_touched(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO), listed("b", VO)))
        before = writer.recorded(person("a"))
        emptied = listing(began=NOW + 1)
        assert writer.record_listing(emptied, only=[person("b"), person("never-seen")]) == {
            person("b")
        }
        assert writer.recorded(person("a")) == before
        assert writer.recorded(person("b")).groups == frozenset()
        assert writer.record_listing(emptied, only=()) == frozenset()
        assert writer.recorded(person("a")) == before

"""The contract of the `Registry` port about facts beside groups: who said what, and for how long it stays."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idmap.application.ports import FactsSaid, ListedPerson, Listing, Registry
from idmap.application.questions import IdentityQuestion
from idmap.domain.errors import InvalidInput, SourceFailed
from idmap.domain.facts import SAID_BY_SOURCES, Fact, FactKind
from idmap.domain.identity import Identity
from tests.support.examples import examples
from tests.support.fact_rules import asking
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    NOW,
    OTHER,
    VO,
    document,
    furnish,
    listed,
    listing,
    open_one,
    person,
    profile,
)

LABEL, ATTRIBUTE, ASSURANCE = FactKind.LABEL, FactKind.ATTRIBUTE, FactKind.ASSURANCE
ENTITLEMENT, DOMAIN = FactKind.ENTITLEMENT, FactKind.EMAIL_DOMAIN
NOTHING: Final = frozenset[Fact]()


def f(kind: FactKind, value: str) -> Fact:
    return Fact(ISSUER, kind, value)


STAFF, GUEST = f(LABEL, "staff"), f(LABEL, "guest")
HIGH, RIGHT, MAIL = f(ASSURANCE, "high"), f(ENTITLEMENT, "urn:x:y:res:z"), f(DOMAIN, "lab.example")


@pytest.fixture
def asked(registry: Registry) -> Registry:
    """A registry whose rules ask for every kind of fact."""
    ask(registry, *FactKind)
    return registry


def ask(registry: Registry, *kinds: FactKind) -> None:
    """From now on the rules ask for these kinds, and no others."""
    with registry.write(AUTHOR) as writer:
        writer.save_rules(asking(document(), *kinds), expect_version=None)


def told(subject: str, *facts: Fact, **more: object) -> ListedPerson:
    return listed(subject, VO, facts=frozenset(facts), **more)


def record(registry: Registry, *people: ListedPerson, began: int = NOW) -> frozenset[Identity]:
    with registry.write(AUTHOR) as writer:
        return writer.record_listing(listing(*people, began=began))


def show(registry: Registry, subject: str, *facts: Fact, at: int = NOW) -> None:
    """A token says these facts."""
    with registry.write(AUTHOR) as writer:
        writer.record_observation(person(subject), frozenset(), None, at, facts=frozenset(facts))


def facts_of(registry: Registry, subject: str) -> frozenset[Fact]:
    """The same wherever one looks."""
    with registry.read() as reader:
        found = reader.recorded(person(subject)).facts
        everybody = {one.recorded.identity: one.recorded for one in reader.people()}
        page = reader.page_of_identities(IdentityQuestion(issuer=ISSUER))
        said = reader.facts_said(person(subject))
    assert everybody[person(subject)].facts == found
    assert {one.identity: one for one in page.items}[person(subject)].facts == found
    assert said.by_sources | said.by_tokens == found
    return found


# --- what sources say


def test_what_a_source_says_is_on_record_of_the_identity(asked: Registry) -> None:
    """And of nobody else; bound to the issuer that vouches for it."""
    open_one(asked, "a", "alice")
    assert record(asked, told("a", STAFF, MAIL), told("b")) == {person("a"), person("b")}
    assert facts_of(asked, "a") == {STAFF, MAIL}
    assert facts_of(asked, "b") == NOTHING
    with asked.read() as reader:
        assert reader.recorded(person("a", OTHER)).facts == NOTHING
        account = reader.recorded(person("a")).account
        assert account is not None
        assert [one.recorded.facts for one in reader.people_of(account.account_id)] == [
            {STAFF, MAIL}
        ]
        assert reader.observed_fact_kinds() == {(ISSUER, LABEL), (ISSUER, DOMAIN)}


def test_only_kinds_that_some_rule_asks_for_go_on_record(registry: Registry) -> None:
    """Privacy: a site that asks for nothing keeps nothing."""
    record(registry, told("a", STAFF, MAIL, HIGH))
    show(registry, "a", HIGH, MAIL)
    assert facts_of(registry, "a") == NOTHING
    ask(registry, LABEL)
    record(registry, told("a", STAFF, MAIL, HIGH), began=NOW + 1)
    show(registry, "a", HIGH, MAIL)
    assert facts_of(registry, "a") == {STAFF}


def test_another_issuers_rules_ask_for_nothing_here(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
        writer.save_rules(asking(document(issuer=OTHER), LABEL), expect_version=None)
    record(registry, told("a", STAFF))
    assert facts_of(registry, "a") == NOTHING


@pytest.mark.parametrize("readable", [True, False])
def test_what_no_rule_asks_for_any_more_goes_at_the_next_recording(
    asked: Registry, readable: bool
) -> None:
    """Whoever said it; also of somebody who cannot be read just then."""
    record(asked, told("a", STAFF, MAIL))
    show(asked, "a", HIGH, RIGHT)
    ask(asked, LABEL, ENTITLEMENT)
    assert facts_of(asked, "a") == {STAFF, MAIL, HIGH, RIGHT}, "until then"
    again = told("a", STAFF, MAIL) if readable else told("a", readable=False)
    assert record(asked, again, began=NOW + 1) == {person("a")}
    assert facts_of(asked, "a") == {STAFF, RIGHT}
    assert record(asked, again, began=NOW + 2) == frozenset()
    ask(asked, LABEL)
    show(asked, "a", at=NOW + 3)
    assert facts_of(asked, "a") == {STAFF}


def test_what_nobody_asks_for_can_be_forgotten_of_everybody_at_once(asked: Registry) -> None:
    """Of issuers that no source reads too. One entry on the record, and none when there is nothing to forget."""
    with asked.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
        elsewhere = frozenset({Fact(OTHER, ASSURANCE, "high")})
        writer.record_observation(person("a", OTHER), frozenset(), None, NOW, facts=elsewhere)
    record(asked, told("a", STAFF, MAIL), told("b", STAFF))
    show(asked, "b", HIGH)

    def forget() -> tuple[int, int]:
        with asked.write(AUTHOR) as writer:
            before = writer.last_change()
            return writer.forget_facts(), writer.last_change() - before

    assert forget() == (0, 0)
    ask(asked, LABEL)
    assert forget() == (2, 1)
    assert (facts_of(asked, "a"), facts_of(asked, "b")) == ({STAFF}, {STAFF})
    assert forget() == (0, 0)
    with asked.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=None)
    assert forget() == (2, 1)


def test_a_listing_replaces_what_its_source_said(asked: Registry) -> None:
    record(asked, told("a", STAFF, MAIL))
    assert record(asked, told("a", GUEST, MAIL), began=NOW + 1) == {person("a")}
    assert facts_of(asked, "a") == {GUEST, MAIL}
    assert record(asked, told("a"), began=NOW + 2) == {person("a")}
    assert facts_of(asked, "a") == NOTHING


def test_whoever_is_not_listed_loses_what_the_source_said(asked: Registry) -> None:
    """The listing was complete; what tokens said stays."""
    record(asked, told("a", STAFF))
    show(asked, "a", HIGH)
    assert record(asked, began=NOW + 1) == {person("a")}
    assert facts_of(asked, "a") == {HIGH}


def test_an_unreadable_record_keeps_what_it_had(asked: Registry) -> None:
    """Law 6."""
    record(asked, told("a", STAFF))
    record(asked, told("a", readable=False), began=NOW + 1)
    assert facts_of(asked, "a") == {STAFF}
    assert record(asked, told("a", readable=False), began=NOW + 2) == frozenset()
    record(asked, told("new", readable=False), told("a", STAFF), began=NOW + 3)
    assert facts_of(asked, "new") == NOTHING


def test_silence_about_kinds_that_a_source_does_not_tell_means_nothing(asked: Registry) -> None:
    record(asked, told("a", STAFF, MAIL))
    partial = Listing(
        "iam", ISSUER, frozenset({VO}), (told("a", GUEST),), NOW + 1, covers=frozenset({DOMAIN})
    )
    with asked.write(AUTHOR) as writer:
        writer.record_listing(partial)
    assert facts_of(asked, "a") == {STAFF}


def test_each_source_speaks_for_itself(asked: Registry) -> None:
    record(asked, told("a", STAFF))
    second = Listing("second", ISSUER, frozenset({VO}), (told("a", GUEST),), NOW)
    with asked.write(AUTHOR) as writer:
        writer.record_listing(second)
    assert facts_of(asked, "a") == {STAFF, GUEST}
    record(asked, told("a", GUEST), began=NOW + 1)
    assert facts_of(asked, "a") == {GUEST}


@pytest.mark.parametrize("value", ["", " x", "x" * 1025, "a\nb"])
def test_a_listing_with_a_fact_that_cannot_be_kept_changes_nothing(
    asked: Registry, value: str
) -> None:
    with pytest.raises(SourceFailed):
        record(asked, told("a", f(LABEL, value)))
    with asked.read() as reader:
        assert not list(reader.people())


def test_a_listing_cannot_vouch_for_another_issuer(asked: Registry) -> None:
    """Law 1."""
    with pytest.raises(SourceFailed):
        record(asked, told("a", Fact(OTHER, LABEL, "staff")))


# --- what tokens say


def test_a_token_replaces_what_tokens_said_and_nothing_else(asked: Registry) -> None:
    record(asked, told("a", STAFF, MAIL))
    show(asked, "a", HIGH, MAIL)
    with asked.read() as reader:
        said = reader.facts_said(person("a"))
    assert said == FactsSaid(frozenset({STAFF, MAIL}), frozenset({HIGH, MAIL}))
    show(asked, "a", RIGHT, at=NOW + 1)
    assert facts_of(asked, "a") == {STAFF, MAIL, RIGHT}
    record(asked, told("a"), began=NOW + 2)
    assert facts_of(asked, "a") == {RIGHT}


def test_an_older_token_does_not_undo_what_a_newer_one_said(asked: Registry) -> None:
    show(asked, "a", HIGH, at=NOW)
    show(asked, "a", RIGHT, at=NOW - 60)
    assert facts_of(asked, "a") == {HIGH}
    show(asked, "a", HIGH, at=NOW + 60)
    show(asked, "a", RIGHT, at=NOW + 30)
    assert facts_of(asked, "a") == {HIGH}, "the time of a repetition counts"


def test_a_token_that_does_not_speak_of_facts_changes_none(asked: Registry) -> None:
    """As one for its capabilities, and as every caller that knows nothing of facts."""
    show(asked, "a", HIGH)
    with asked.write(AUTHOR) as writer:
        writer.record_observation(person("a"), frozenset({VO}), "alice", NOW + 1)
    assert facts_of(asked, "a") == {HIGH}


@pytest.mark.parametrize(
    "refused", [STAFF, f(ATTRIBUTE, "a=b"), Fact(OTHER, ASSURANCE, "high"), f(ASSURANCE, " ")]
)
def test_what_a_token_cannot_say_is_refused(asked: Registry, refused: Fact) -> None:
    """Labels and attributes are a source's to say; nobody vouches for another issuer (law 1)."""
    with pytest.raises(InvalidInput):
        show(asked, "a", HIGH, refused)
    with asked.read() as reader:
        assert not list(reader.people())


# --- on the record of changes


def test_what_came_and_went_is_on_the_record_and_nodes_hear_nothing(asked: Registry) -> None:
    """Law 12; a repetition is no change."""
    with asked.read() as reader:
        before = (reader.last_change(), reader.revision())
    record(asked, told("a", STAFF))
    record(asked, told("a", STAFF), began=NOW + 1)
    record(asked, told("a", GUEST), began=NOW + 2)
    show(asked, "a", HIGH, at=NOW + 3)
    show(asked, "a", HIGH, at=NOW + 4)
    with asked.read() as reader:
        entries = [one.body or {} for one in reader.changes(after=before[0])]
        assert reader.revision() == before[1]
        reader.verify_changes()
    assert [
        (one.get("facts_came"), one.get("facts_went")) for one in entries if "subject" in one
    ] == [
        (["label staff"], None),
        (["label guest"], ["label staff"]),
        (["assurance high"], None),
    ]


# --- properties

SUBJECTS: Final = ("s0", "s1", "s2", "s3")
_facts = st.frozensets(st.sampled_from([STAFF, GUEST, MAIL, HIGH, RIGHT]))
_person = st.builds(
    lambda subject, facts, groups, readable: (subject, facts, groups, readable),
    st.sampled_from(SUBJECTS),
    _facts,
    st.booleans(),
    st.sampled_from([True, True, True, False]),
)
_listing = st.lists(_person, max_size=4, unique_by=lambda one: one[0])
_kinds = st.frozensets(st.sampled_from(list(FactKind)))
Told = tuple[str, frozenset[Fact], bool, bool]
Step = tuple[frozenset[FactKind], list[Told], list[tuple[str, frozenset[Fact]]]]
_step = st.tuples(_kinds, _listing, st.lists(st.tuples(st.sampled_from(SUBJECTS), _facts)))


def _people(told_of: list[Told]) -> list[ListedPerson]:
    return [
        listed(
            subject,
            *((VO,) if member else ()),
            facts=facts if readable else NOTHING,
            readable=readable,
        )
        for subject, facts, member, readable in told_of
    ]


@settings(max_examples=examples(60))
@given(steps=st.lists(_step, min_size=1, max_size=4))
def test_part_by_part_is_as_at_once_and_twice_is_as_once(steps: list[Step]) -> None:
    """What a provisioning run stands on: `only` changes these people just as the whole listing would; whom the listing
    changes is told, and nobody else; and nothing is left to change afterwards."""
    whole, parts = make_registry(lambda: NOW), make_registry(lambda: NOW)
    for registry in (whole, parts):
        furnish(registry)
    for number, (kinds, told_of, tokens) in enumerate(steps):
        at = NOW + 10 * number
        for registry in (whole, parts):
            ask(registry, *kinds)
            for subject, facts in tokens:
                said = [one for one in facts if one.kind not in SAID_BY_SOURCES]
                show(registry, subject, *said, at=at)
        people, before = _people(told_of), _facts_by_identity(whole)
        changed = record(whole, *people, began=at + 5)
        after = _facts_by_identity(whole)
        assert {one for one in after if after[one] != before.get(one)} <= changed
        for identity in sorted(changed):
            with parts.write(AUTHOR) as writer:
                one = listing(*people, began=at + 5)
                assert writer.record_listing(one, only=[identity]) == {identity}
        assert _facts_by_identity(parts) == after
        assert {fact.kind for facts in after.values() for fact in facts} <= kinds
        assert record(parts, *people, began=at + 5) == frozenset()
        assert record(whole, *people, began=at + 6) == frozenset()
    whole.close()
    parts.close()


def _facts_by_identity(registry: Registry) -> dict[Identity, frozenset[Fact]]:
    with registry.read() as reader:
        return {one.recorded.identity: one.recorded.facts for one in reader.people()}

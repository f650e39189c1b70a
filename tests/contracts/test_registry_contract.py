"""The contract of the `Registry` port, kept by every registry."""

from __future__ import annotations

import hashlib
from datetime import date

import pytest

from idmap.application.ports import CredentialKind, Registry, RunRecord
from idmap.domain.accounts import AccountEvent, AccountState
from idmap.domain.errors import Conflict, IdmapError, InvalidInput, NotFound, SourceFailed
from idmap.domain.groups import Group
from idmap.domain.issuers import GroupsDialect
from idmap.domain.names import GroupName
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.plans import OpenGroup
from idmap.domain.reasons import Reason
from idmap.domain.rules import EMPTY_RULES
from tests.support.registry_scenes import (
    AUTHOR,
    GROUPS,
    ISSUER,
    LATER,
    NOW,
    OTHER,
    PEOPLE,
    STAFF,
    VO,
    document,
    listed,
    listing,
    open_one,
    opening,
    person,
    profile,
)


def raises(reason: Reason, kind: type[IdmapError] = IdmapError) -> pytest.RaisesExc[IdmapError]:
    """Expects one of our errors, by its code."""
    return pytest.raises(kind, check=lambda error: error.reason is reason)


# --- a new registry


def test_a_new_registry_knows_nobody_and_trusts_nobody(empty: Registry) -> None:
    """Empty means nobody (law 4)."""
    with empty.read() as reader:
        assert reader.issuers() == ()
        assert reader.rules() == EMPTY_RULES
        assert reader.rules_document() is None
        assert list(reader.people()) == []
        assert list(reader.every_account()) == []
        assert reader.bans() == ()
        assert reader.changes() == ()
        assert (reader.revision(), reader.ban_counter()) == (0, 0)
        assert len(reader.salt()) >= 32


def test_an_identity_never_seen_is_active_and_has_nothing(empty: Registry) -> None:
    with empty.read() as reader:
        found = reader.recorded(person("stranger"))
    assert (found.active_at_source, found.groups, found.account, found.bans) == (
        True,
        frozenset(),
        None,
        (),
    )


# --- transactions and the record


def test_an_exception_leaves_nothing_changed(registry: Registry) -> None:
    def state() -> tuple[object, ...]:
        with registry.read() as reader:
            record = (reader.changes(), tuple(reader.people()))
            return (*record, reader.revision(), reader.ranges(), dict(reader.high_water()))

    def write_and_fail() -> None:
        with registry.write(AUTHOR) as writer:
            writer.open_account(opening(person("a"), "alice"))
            writer.add_ban(account_id=None, identity=person("b"), reason="x", until=None, at=NOW)
            raise ZeroDivisionError

    before = state()
    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    assert state() == before


def test_a_refused_step_can_be_caught_and_the_rest_committed(registry: Registry) -> None:
    """A step that raises has changed nothing; the transaction goes on."""
    with registry.write(AUTHOR) as writer:
        with raises(Reason.RANGE_UNKNOWN):
            writer.open_account(opening(person("a"), "alice", number_range="nowhere"))
        with raises(Reason.NAME_REFUSED):
            writer.open_account(opening(person("a"), "root"))
        account = writer.open_account(opening(person("a"), "alice"))
    assert (account.username, account.uid_number) == ("alice", PEOPLE.first)
    with registry.read() as reader:
        assert list(reader.every_account()) == [account]


def test_a_writer_reads_what_it_wrote(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        account = writer.open_account(opening(person("a"), "alice"))
        assert writer.find_account(username="alice") == account
        assert writer.recorded(person("a")).account == account
        assert [facts.recorded.account for facts in writer.people()] == [account]


def test_every_change_says_who_when_why_and_under_which_plan(registry: Registry) -> None:
    """Law 12."""
    open_one(registry, "a", "alice")
    with registry.read() as reader:
        changes = reader.changes()
        assert reader.verify_changes() == len(changes)
        assert reader.changes(after=changes[1].sequence, limit=2) == changes[2:4]
    assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
    assert [change.action for change in changes] == [
        "save_issuer",
        "add_range",
        "add_range",
        "open_group",
        "open_group",
        "open_account",
    ]
    newest = changes[-1]
    assert (newest.author, newest.reason, newest.plan, newest.at) == (
        AUTHOR.name,
        AUTHOR.reason,
        AUTHOR.plan,
        NOW,
    )
    assert newest.body is not None
    assert (newest.body["username"], newest.body["uid_number"]) == ("alice", PEOPLE.first)


def test_the_revision_rises_once_per_transaction_that_nodes_must_know_of(
    registry: Registry,
) -> None:
    with registry.read() as reader:
        before = reader.revision()
    with registry.write(AUTHOR) as writer:
        for subject in "abc":
            writer.open_account(opening(person(subject)))
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO)))
        writer.save_rules(document(), expect_version=0)
        writer.add_ban(account_id=1, identity=None, reason="x", until=None, at=NOW)
    with registry.read() as reader:
        assert reader.revision() == before + 1
        assert reader.ban_counter() == 1


def test_the_change_token_differs_after_every_commit(registry: Registry) -> None:
    seen = {registry.change_token()}
    assert registry.change_token() in seen
    for subject in "ab":
        open_one(registry, subject)
        assert registry.change_token() not in seen
        seen.add(registry.change_token())


# --- issuers and rules


def test_a_profile_comes_back_as_it_was_saved(registry: Registry) -> None:
    saved = profile(
        aliases=frozenset({"https://iam.example.org"}),
        groups_claims={"wlcg.groups": GroupsDialect.PATH},
        record_groups_from_tokens=True,
        jwks_uri="https://iam.example.org/jwk",
    )
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(saved)
    with registry.read() as reader:
        assert reader.issuers() == (saved,)


def test_two_profiles_cannot_claim_one_string(registry: Registry) -> None:
    with raises(Reason.ISSUER_INVALID), registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER, aliases=frozenset({ISSUER})))


def test_an_issuer_is_removed_at_once_even_while_rules_name_it(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=0)
        writer.remove_issuer(ISSUER)
    with registry.read() as reader:
        assert reader.issuers() == ()
    with raises(Reason.NOT_FOUND, NotFound), registry.write(AUTHOR) as writer:
        writer.remove_issuer(ISSUER)


def test_every_version_of_the_rules_is_kept(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        first = writer.save_rules(document(), expect_version=0)
        second = writer.save_rules(document(id="others"), expect_version=1)
    assert (first.version, second.version) == (1, 2)
    with registry.read() as reader:
        assert reader.rules() == second
        assert reader.rules_document() == (2, document(id="others"))
        assert reader.rules_document(1) == (1, document())
        assert reader.rules_document(3) is None


def test_rules_saved_on_top_of_an_older_version_conflict(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=None)
    with raises(Reason.VERSION_CONFLICT, Conflict), registry.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=0)


def test_rules_name_ranges_that_exist_and_serve_the_purpose(registry: Registry) -> None:
    unknown, wrong, no_groups = document(), document(), document()
    unknown["classes"]["member"]["range"] = "nowhere"
    wrong["classes"]["member"]["range"] = "groups"
    no_groups["groups"] = {"range": "people"}
    for refused in (unknown, wrong, no_groups):
        with raises(Reason.RANGE_UNKNOWN, InvalidInput), registry.write(AUTHOR) as writer:
            writer.save_rules(refused, expect_version=None)


def test_rules_name_issuers_that_are_trusted(registry: Registry) -> None:
    with raises(Reason.RULE_INVALID) as caught, registry.write(AUTHOR) as writer:
        writer.save_rules(document(issuer=OTHER), expect_version=None)
    assert "rule members" in caught.value.detail


# --- ranges, groups, accounts


def test_ranges_do_not_overlap_and_avoid_the_refused_numbers(registry: Registry) -> None:
    """Law 10."""
    for first, last, reason in (
        (200_500, 201_500, Reason.RANGE_OVERLAPS),
        (0, 2_000, Reason.NUMBER_REFUSED),
        (60_000, 66_000, Reason.NUMBER_REFUSED),
        (2**31 - 10, 2**31, Reason.NUMBER_REFUSED),
    ):
        with raises(reason), registry.write(AUTHOR) as writer:
            writer.add_range(NumberRange("more", RangePurpose.PEOPLE, first, last))


def test_a_group_gets_its_spelled_name_or_one_from_its_number(registry: Registry) -> None:
    with registry.read() as reader:
        groups = reader.posix_groups()
    assert (groups[VO].name, groups[VO].gid_number) == ("vo", GROUPS.first)
    assert (groups[STAFF].name, groups[STAFF].gid_number) == (f"g{GROUPS.first + 1}", 300_001)
    with registry.write(AUTHOR) as writer:
        same_spelling = Group(ISSUER, "VO")
        opened = writer.open_group(OpenGroup(same_spelling, GroupName("vo")), group_range="groups")
    assert opened.name == "g300002"


def test_a_group_has_one_gid(registry: Registry) -> None:
    with raises(Reason.VERSION_CONFLICT, Conflict), registry.write(AUTHOR) as writer:
        writer.open_group(OpenGroup(VO, None), group_range="groups")


def test_a_group_named_like_root_is_refused(registry: Registry) -> None:
    """Law 10."""
    for name in ("wheel", "sudo", "docker"):
        with raises(Reason.NAME_REFUSED), registry.write(AUTHOR) as writer:
            writer.open_group(OpenGroup(LATER, GroupName(name)), group_range="groups")


def test_people_and_groups_have_one_name_space(registry: Registry) -> None:
    assert open_one(registry, "a", "vo").username == f"u{PEOPLE.first}"


def test_an_account_is_what_the_change_says(registry: Registry) -> None:
    account = open_one(registry, "a", "alice", secondary_groups=(STAFF, VO, LATER))
    with registry.read() as reader:
        groups = reader.posix_groups()
        assert reader.find_account(username="alice") == account
        assert reader.find_account(uid_number=account.uid_number) == account
        assert reader.find_account(account_id=account.account_id) == account
        assert reader.find_account(username="alice", uid_number=1) is None
        assert reader.find_account() is None
        assert reader.identities_of(account.account_id) == (person("a"),)
        assert list(reader.every_linked_identity()) == [(person("a"), account.uid_number)]
        assert reader.high_water()["people"] == account.uid_number
    assert account.primary_group == groups[VO]
    assert account.secondary_groups == (groups[STAFF],), "neither the primary nor an unknown one"
    assert (account.home, account.shell, account.state, account.rule_id) == (
        "/home/alice",
        "/bin/bash",
        AccountState.ACTIVE,
        "members",
    )


def test_numbers_are_given_in_order_and_a_taken_name_gives_one_from_the_number(
    registry: Registry,
) -> None:
    first, second = open_one(registry, "a", "alice"), open_one(registry, "b", "alice")
    assert (first.uid_number, second.uid_number) == (PEOPLE.first, PEOPLE.first + 1)
    assert second.username == f"u{second.uid_number}"


def test_names_are_given_once_within_a_transaction_too(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        spelled = {"a": "bob", "b": "alice", "c": "alice", "d": "bob"}
        names = [
            writer.open_account(opening(person(subject), name)).username
            for subject, name in spelled.items()
        ]
    assert names == ["bob", "alice", "u200002", "u200003"]


def test_a_name_that_a_node_has_of_its_own_is_not_given(registry: Registry) -> None:
    """Nor one made from a number: that number is passed over."""
    with registry.write(AUTHOR) as writer:
        digest = hashlib.sha256(b"node").digest()
        writer.add_credential(CredentialKind.NODE, "n1", digest, node_class="login", at=NOW)
        writer.save_node_report(
            "n1",
            revision=1,
            ban_counter=0,
            masked=("bob",),
            local_names=("alice", "u200000"),
            at=NOW,
        )
        account = writer.open_account(opening(person("a"), "alice"))
    assert (account.username, account.uid_number) == ("u200001", 200_001)


def test_an_identity_has_one_account(registry: Registry) -> None:
    open_one(registry, "a", "alice")
    with raises(Reason.VERSION_CONFLICT, Conflict):
        open_one(registry, "a", "alice2")
    with raises(Reason.VERSION_CONFLICT, Conflict), registry.write(AUTHOR) as writer:
        writer.open_account(opening(person("b")))
        writer.open_account(opening(person("b")))


def test_without_its_primary_group_there_is_no_account(registry: Registry) -> None:
    with raises(Reason.NOT_FOUND, Conflict):
        open_one(registry, "a", primary_group=LATER)


@pytest.mark.parametrize("field", ["home", "shell"])
def test_what_would_break_a_passwd_line_is_refused(registry: Registry, field: str) -> None:
    with raises(Reason.REQUEST_INVALID, InvalidInput):
        open_one(registry, "a", **{field: "relative"})


def test_a_full_range_says_so_and_nothing_is_half_made(empty: Registry) -> None:
    with empty.write(AUTHOR) as writer:
        writer.add_range(NumberRange("people", RangePurpose.PEOPLE, 1000, 1001))
        writer.add_range(GROUPS)
        writer.open_group(OpenGroup(VO, None), group_range="groups")
    open_one(empty, "a")
    open_one(empty, "b")
    with raises(Reason.RANGE_EXHAUSTED, Conflict):
        open_one(empty, "c", "carol")
    with empty.read() as reader:
        assert reader.recorded(person("c")).account is None
        assert reader.ranges()[0].next_number == 1002
        assert len(list(reader.every_account())) == 2
    with empty.write(AUTHOR) as writer:
        writer.add_range(NumberRange("more", RangePurpose.PEOPLE, 2000, 2001))
    assert open_one(empty, "c", "carol", number_range="more").username == "carol"


def test_accounts_are_counted_by_state(registry: Registry) -> None:
    for name in ("alice", "bob", "carol", "alan_x", "alanx"):
        open_one(registry, name, name)
    with registry.write(AUTHOR) as writer:
        writer.move_account(2, AccountEvent.SUSPENDED_BY_PERSON)
    with registry.read() as reader:
        counts = reader.count_accounts()
    assert (counts[AccountState.ACTIVE], counts[AccountState.SUSPENDED]) == (4, 1)
    assert counts[AccountState.TOMBSTONE] == 0


def test_an_account_moves_by_the_table_of_transitions(registry: Registry) -> None:
    account = open_one(registry, "a", "alice")
    until = date(2030, 1, 2)
    with registry.write(AUTHOR) as writer:
        grace = writer.move_account(account.account_id, AccountEvent.ENTITLEMENT_LOST, until)
    assert (grace.state, grace.grace_until) == (AccountState.GRACE, until)
    with registry.read() as reader:
        assert reader.find_account(username="alice") == grace
    with registry.write(AUTHOR) as writer:
        back = writer.move_account(account.account_id, AccountEvent.ENTITLEMENT_RETURNED)
    assert back == account
    for event, last_day in (
        (AccountEvent.ENTITLEMENT_LOST, None),
        (AccountEvent.SUSPENDED_BY_PERSON, until),
    ):
        with raises(Reason.REQUEST_INVALID), registry.write(AUTHOR) as writer:
            writer.move_account(account.account_id, event, last_day)
    with raises(Reason.TRANSITION_REFUSED, Conflict), registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.ENTITLEMENT_RETURNED)
    with raises(Reason.NOT_FOUND, NotFound), registry.write(AUTHOR) as writer:
        writer.move_account(99, AccountEvent.CLOSED)


def test_a_tombstone_keeps_its_name_and_number_for_ever(registry: Registry) -> None:
    """Law 2."""
    account = open_one(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.CLOSED)
    assert open_one(registry, "b", "alice").username != "alice"
    with registry.read() as reader:
        assert person("a") not in dict(reader.every_linked_identity())
        kept = reader.recorded(person("a")).account
    assert kept is not None
    assert kept.state is AccountState.TOMBSTONE
    with raises(Reason.VERSION_CONFLICT):
        open_one(registry, "a", "alice")
    with raises(Reason.ACCOUNT_CLOSED), registry.write(AUTHOR) as writer:
        writer.change_shell(account.account_id, "/bin/zsh")
    with raises(Reason.ACCOUNT_CLOSED), registry.write(AUTHOR) as writer:
        writer.change_groups(account.account_id, join=[STAFF])


def test_groups_are_joined_and_left(registry: Registry) -> None:
    account = open_one(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        joined = writer.change_groups(account.account_id, join=[STAFF, VO], leave=[LATER])
        assert [group.gid_number for group in joined.secondary_groups] == [300_001]
        assert writer.find_account(username="alice") == joined
    with registry.write(AUTHOR) as writer:
        assert writer.change_groups(account.account_id, leave=[STAFF]) == account
        assert writer.find_account(username="alice") == account
    with raises(Reason.NOT_FOUND, Conflict), registry.write(AUTHOR) as writer:
        writer.change_groups(account.account_id, join=[LATER])


def test_what_changes_nothing_is_not_on_the_record(registry: Registry) -> None:
    account = open_one(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO)))
    with registry.read() as reader:
        before = (reader.revision(), reader.verify_changes())
    with registry.write(AUTHOR) as writer:
        writer.change_groups(account.account_id, leave=[STAFF], join=[VO])
        writer.change_shell(account.account_id, account.shell)
        writer.save_issuer(profile())
        writer.record_listing(listing(listed("a", VO), began=NOW + 1))
    with registry.read() as reader:
        assert before == (reader.revision(), reader.verify_changes())


def test_a_shell_is_changed(registry: Registry) -> None:
    account = open_one(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        assert writer.change_shell(account.account_id, "/bin/zsh").shell == "/bin/zsh"
    with registry.read() as reader:
        found = reader.find_account(username="alice")
    assert found is not None
    assert found.shell == "/bin/zsh"


# --- observations


def groups_of(registry: Registry, subject: str) -> set[str]:
    """Paths recorded for a person."""
    with registry.read() as reader:
        return {group.path for group in reader.recorded(person(subject)).groups}


def test_a_listing_replaces_what_the_source_said_of_the_watched_groups(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, STAFF), listed("b", VO)))
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, active=False), began=NOW + 1))
    assert groups_of(registry, "a") == {"vo"}
    assert groups_of(registry, "b") == set()
    with registry.read() as reader:
        assert not reader.recorded(person("a")).active_at_source
        assert [facts.recorded.identity for facts in reader.people()] == [person("a"), person("b")]


def test_a_listing_may_name_known_and_new_people_in_any_order(registry: Registry) -> None:
    """What is held back for later refers only to what is there by then."""
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("known")))
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("known", VO), listed("new", VO), began=NOW + 1))
    assert groups_of(registry, "known") == groups_of(registry, "new") == {"vo"}


def test_a_listing_speaks_only_of_the_groups_it_watched(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, STAFF, LATER)))
        writer.record_listing(listing(listed("a"), began=NOW + 1, watched=(VO,)))
    assert groups_of(registry, "a") == {"vo/staff_members"}


def test_a_listing_supersedes_older_tokens_and_not_newer_ones(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_observation(person("old"), frozenset({VO, LATER}), None, NOW - 1)
        writer.record_observation(person("new"), frozenset({VO}), None, NOW + 1)
        writer.record_listing(listing())
    assert groups_of(registry, "old") == {"vo/later"}, "vo was watched, vo/later was not"
    assert groups_of(registry, "new") == {"vo"}


def test_an_older_token_that_arrives_after_the_listing_changes_nothing(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing())
        writer.record_observation(person("a"), frozenset({VO, LATER}), None, NOW - 1)
    assert groups_of(registry, "a") == {"vo/later"}


def test_who_is_a_robot_is_what_was_said_last(registry: Registry) -> None:
    """A listing says it both ways; a token only marks, and silence changes nothing."""

    def robots() -> list[str]:
        with registry.read() as reader:
            return sorted(f.recorded.identity.subject for f in reader.people() if f.recorded.robot)

    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, robot=True), listed("b", VO)))
        writer.record_observation(person("c"), frozenset({VO}), None, NOW, robot=True)
        writer.record_observation(person("d"), frozenset({VO}), None, NOW)
        writer.record_observation(person("d"), frozenset({VO}), None, NOW + 1, robot=True)
        writer.record_observation(person("d"), frozenset({VO}), None, NOW + 2)
    assert robots() == ["a", "c", "d"]
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", readable=False), began=NOW + 5))
    assert robots() == ["a", "c", "d"]
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO), listed("b", VO, robot=True), began=NOW + 6))
    assert robots() == ["b", "c", "d"]
    with registry.read() as reader:
        assert reader.recorded(person("b")).robot
        assert not reader.recorded(person("a")).robot


def test_a_token_only_adds(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_observation(person("a"), frozenset({VO, STAFF}), "alice", NOW)
        writer.record_observation(person("a"), frozenset({VO}), None, NOW + 5)
    assert groups_of(registry, "a") == {"vo", "vo/staff_members"}
    with registry.read() as reader:
        (facts,) = reader.people()
    assert facts.preferred_username == "alice"


def test_a_token_seen_again_is_as_new_as_its_newest_sight(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_observation(person("a"), frozenset({VO}), None, NOW - 5)
        writer.record_observation(person("a"), frozenset({VO}), None, NOW + 5)
        writer.record_observation(person("a"), frozenset({VO}), None, NOW - 3)
        writer.record_listing(listing())
    assert groups_of(registry, "a") == {"vo"}


def test_groups_of_another_issuer_are_not_believed(registry: Registry) -> None:
    """Law 1: an issuer speaks for its own."""
    with raises(Reason.CLAIM_INVALID), registry.write(AUTHOR) as writer:
        writer.record_observation(person("a", OTHER), frozenset({VO}), None, NOW)


def test_an_unreadable_person_stays_as_they_were(registry: Registry) -> None:
    """Law 6."""
    with registry.write(AUTHOR) as writer:
        writer.record_listing(
            listing(listed("a", VO, STAFF, active=False, preferred_username="alice"))
        )
        writer.record_observation(person("a"), frozenset({LATER}), None, NOW)
    unreadable = [listed(subject, readable=False) for subject in ("a", "never_seen")]
    watched = (VO, STAFF, LATER)
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(*unreadable, began=NOW + 1, watched=watched))
    assert groups_of(registry, "a") == {"vo", "vo/staff_members", "vo/later"}
    with registry.read() as reader:
        known, new = reader.people()
    assert known.present_unchanged
    assert new.present_unchanged
    assert not known.recorded.active_at_source
    assert known.preferred_username == "alice"
    assert new.recorded.groups == frozenset()
    readable = [listed("a", VO), listed("never_seen")]
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(*readable, began=NOW + 2))
    with registry.read() as reader:
        assert not any(facts.present_unchanged for facts in reader.people())
        assert all(facts.recorded.active_at_source for facts in reader.people())


def test_a_person_no_longer_listed_is_not_unreadable_any_more(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO)))
        writer.record_listing(listing(listed("a", readable=False), began=NOW + 1))
        writer.record_listing(listing(began=NOW + 2))
    with registry.read() as reader:
        (facts,) = reader.people()
    assert (facts.present_unchanged, facts.recorded.groups) == (False, frozenset())


def test_a_listing_that_contradicts_itself_is_discarded_whole(registry: Registry) -> None:
    """Law 6."""
    foreign = listing(listed("b", VO))
    object.__setattr__(foreign.people[0], "identity", person("b", OTHER))
    for bad in (listing(listed("a", VO), listed("a")), foreign):
        with raises(Reason.SOURCE_INCOMPLETE, SourceFailed), registry.write(AUTHOR) as writer:
            writer.record_listing(bad)
    with registry.read() as reader:
        assert list(reader.people()) == []


def test_sources_do_not_speak_for_each_other(registry: Registry) -> None:
    second = listing(listed("a", VO))
    object.__setattr__(second, "source", "token")
    with registry.write(AUTHOR) as writer:
        writer.record_listing(second)
        writer.record_listing(listing(began=NOW + 1))
    assert groups_of(registry, "a") == {"vo"}, "a source may even be called 'token'"


# --- bans


def test_a_ban_reaches_the_account_and_its_identities(registry: Registry) -> None:
    account = open_one(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        ban = writer.add_ban(
            account_id=None, identity=person("a"), reason="stolen", until=None, at=NOW
        )
    assert (ban.author, ban.since, ban.until) == (AUTHOR.name, NOW, None)
    with registry.read() as reader:
        assert reader.recorded(person("a")).bans == (ban,)
        assert [facts.recorded.bans for facts in reader.people()] == [(ban,)]
        assert reader.bans() == reader.bans(at=NOW) == (ban,)
        assert reader.banned_uid_numbers(NOW) == ((account.uid_number, 0),)
    with registry.write(AUTHOR) as writer:
        writer.lift_ban(ban.ban_id)
    with registry.read() as reader:
        assert reader.bans() == ()
        assert reader.recorded(person("a")).bans == ()
        assert reader.banned_uid_numbers(NOW) == ()
        assert reader.ban_counter() == 2
    with raises(Reason.NOT_FOUND, NotFound), registry.write(AUTHOR) as writer:
        writer.lift_ban(ban.ban_id)


def test_a_ban_ends_when_it_says(registry: Registry) -> None:
    account = open_one(registry, "a")
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=1, identity=None, reason="x", until=NOW + 10, at=NOW)
        writer.add_ban(account_id=1, identity=person("a"), reason="x", until=NOW + 20, at=NOW)
    with registry.read() as reader:
        assert reader.banned_uid_numbers(NOW) == ((account.uid_number, NOW + 20),)
        assert reader.banned_uid_numbers(NOW + 20) == ()
        assert len(reader.bans(at=NOW + 15)) == 1
        assert len(reader.bans()) == 2
        assert len(reader.recorded(person("a")).bans) == 2


def test_the_ban_counter_rises_when_a_banned_identity_gets_an_account(registry: Registry) -> None:
    """The list that nodes follow changes then."""
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=None, identity=person("a"), reason="x", until=None, at=NOW)
    with registry.read() as reader:
        assert (reader.ban_counter(), reader.banned_uid_numbers(NOW)) == (1, ())
        assert reader.recorded(person("a")).bans == reader.bans()
    account = open_one(registry, "a")
    with registry.read() as reader:
        assert reader.ban_counter() == 2
        assert reader.banned_uid_numbers(NOW) == ((account.uid_number, 0),)


def test_a_closed_account_stays_on_the_ban_list(registry: Registry) -> None:
    """A node that has not heard of the closing yet must go on refusing."""
    account = open_one(registry, "a")
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=1, identity=None, reason="x", until=None, at=NOW)
        writer.move_account(1, AccountEvent.CLOSED)
    with registry.read() as reader:
        assert reader.banned_uid_numbers(NOW) == ((account.uid_number, 0),)


def test_a_ban_of_nobody_or_of_the_past_is_refused(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        with raises(Reason.REQUEST_INVALID):
            writer.add_ban(account_id=None, identity=None, reason="x", until=None, at=NOW)
        with raises(Reason.REQUEST_INVALID):
            writer.add_ban(account_id=None, identity=person("a"), reason="x", until=NOW, at=NOW)
        with raises(Reason.NOT_FOUND):
            writer.add_ban(account_id=9, identity=None, reason="x", until=None, at=NOW)


# --- machines


def test_a_credential_is_found_by_its_digest_also_when_revoked(registry: Registry) -> None:
    digest, second = hashlib.sha256(b"1").digest(), hashlib.sha256(b"2").digest()
    with registry.write(AUTHOR) as writer:
        made = writer.add_credential(
            CredentialKind.COMPONENT, "gate", digest, doors=("gate", "ssh:login"), at=NOW
        )
        with raises(Reason.NAME_TAKEN, Conflict):
            writer.add_credential(CredentialKind.COMPONENT, "gate", second, at=NOW)
        writer.revoke_credential(CredentialKind.COMPONENT, "gate")
        writer.add_credential(CredentialKind.COMPONENT, "gate", second, at=NOW)
        with raises(Reason.NAME_TAKEN, Conflict):
            writer.add_credential(CredentialKind.COMPONENT, "other", digest, at=NOW)
    assert (made.doors, made.revoked) == (("gate", "ssh:login"), False)
    with registry.read() as reader:
        found = reader.find_credential(digest)
        assert found is not None
        assert found.revoked
        assert [credential.revoked for credential in reader.credentials()] == [True, False]
        assert reader.find_credential(b"\0" * 32) is None
    with raises(Reason.NOT_FOUND, NotFound), registry.write(AUTHOR) as writer:
        writer.revoke_credential(CredentialKind.ADMIN_KEY, "gate")


def test_a_node_is_enrolled_by_its_credential_and_reports(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        with raises(Reason.NOT_FOUND, NotFound):
            writer.save_node_report(
                "n1", revision=1, ban_counter=1, masked=(), local_names=(), at=NOW
            )
        with raises(Reason.REQUEST_INVALID):
            writer.add_credential(CredentialKind.NODE, "n1", b"\1" * 32, at=NOW)
        writer.add_credential(CredentialKind.NODE, "n1", b"\1" * 32, node_class="login", at=NOW)
        assert writer.nodes()[0].reported is None
        writer.save_node_report(
            "n1", revision=3, ban_counter=2, masked=("bob",), local_names=("bob",), at=NOW
        )
        writer.save_node_report(
            "n1", revision=4, ban_counter=2, masked=("bob",), local_names=("eve",), at=NOW + 1
        )
    with registry.read() as reader:
        (node,) = reader.nodes()
    assert (node.name, node.node_class, node.revision, node.ban_counter) == ("n1", "login", 4, 2)
    assert (node.reported, node.masked) == (NOW + 1, ("bob",))
    assert open_one(registry, "b", "bob").username == "bob"
    assert open_one(registry, "e", "eve").username != "eve"
    with registry.write(AUTHOR) as writer:
        writer.revoke_credential(CredentialKind.NODE, "n1")
        assert writer.nodes() == ()


def test_a_run_is_saved_and_saved_again(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_run(RunRecord("1", NOW, None, "running", None, None))
        writer.save_run(RunRecord("2", NOW + 1, None, "running", None, None))
        finished = RunRecord("1", NOW, NOW + 5, "applied", "ok", {"changes": [1]})
        writer.save_run(finished)
    with registry.read() as reader:
        assert [run.run_id for run in reader.runs()] == ["2", "1"]
        assert reader.runs()[1] == finished
        assert len(reader.runs(limit=1)) == 1


def test_a_lease_has_one_holder_until_it_ends(registry: Registry) -> None:
    assert registry.take_lease("work", "a", at=NOW, seconds=10)
    assert registry.take_lease("work", "a", at=NOW + 5, seconds=10), "the holder renews"
    assert not registry.take_lease("work", "b", at=NOW + 14, seconds=10)
    assert registry.take_lease("work", "b", at=NOW + 15, seconds=10)
    registry.release_lease("work", "a")
    assert not registry.take_lease("work", "a", at=NOW + 16, seconds=10)
    registry.release_lease("work", "b")
    assert registry.take_lease("work", "a", at=NOW + 16, seconds=10)

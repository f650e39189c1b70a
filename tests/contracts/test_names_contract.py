"""Names, groups and ranges on a real registry: given once, to one, for good (law 2)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idmap.application.ports import CredentialKind, Registry, RegistryWriter
from idmap.application.questions import AccountQuestion, GroupQuestion
from idmap.domain.accounts import Account, AccountEvent
from idmap.domain.errors import IdmapError
from idmap.domain.groups import (
    LOCAL_ISSUER,
    PRIVATE_GROUP,
    PRIVATE_ISSUER,
    Group,
    local_group,
)
from idmap.domain.identity import Identity, Subject
from idmap.domain.names import GroupName, Username, spell_group_names, spell_usernames
from idmap.domain.numbers import ForeignNumber, NumberKind, NumberRange, RangePurpose
from idmap.domain.plans import OpenGroup
from idmap.domain.reasons import Reason
from idmap.domain.spelling import (
    Initials,
    Naming,
    Preferred,
    PrefixCounter,
    Spelling,
)
from tests.support.examples import examples
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    NOW,
    STAFF,
    VO,
    document,
    furnish,
    listed,
    listing,
    opening,
    person,
)

UID, GID = NumberKind.UID, NumberKind.GID


@contextmanager
def raises(reason: Reason) -> Iterator[None]:
    """Exactly that reason."""
    with pytest.raises(IdmapError) as caught:
        yield
    assert caught.value.reason is reason, caught.value


def open_named(registry: Registry, subject: str, *names: str, **more: Any) -> Account:
    """An account that would like to be called one of these."""
    values = {"instead": tuple(map(Username, names[1:]))} | more
    with registry.write(AUTHOR) as writer:
        return writer.open_account(opening(person(subject), names[0] if names else None, **values))


def enrol(writer: RegistryWriter, node: str, *local: str) -> None:
    """A node with accounts of its own."""
    writer.add_credential(
        CredentialKind.NODE, node, node.encode().ljust(32), node_class="login", at=NOW
    )
    writer.save_node_report(node, revision=0, ban_counter=0, masked=(), local_names=local, at=NOW)


# --- usernames --------------------------------------------------------------------------------


def test_two_people_whose_names_collide_after_mangling_get_two_names(registry: Registry) -> None:
    """`Jo.Doe` and `jo-doe` spell one name; the order of issue says whose it is, and is on the record."""
    naming = Naming((Preferred(),), 3)
    accounts = []
    for subject, preferred in (("a", "Jo.Doe"), ("b", "jo-doe"), ("c", "JO_DOE"), ("d", "jó@dóe")):
        names = spell_usernames(Spelling(preferred), naming)
        assert names == ("jo_doe",)
        accounts.append(open_named(registry, subject, *names, last_suffix=3))
    assert [a.username for a in accounts] == ["jo_doe", "jo_doe2", "jo_doe3", "u200003"]
    with registry.read() as reader:
        opened = [c.body for c in reader.changes(limit=100) if c.action == "open_account"]
    assert [(b["subject"], b["username"]) for b in opened if b] == [
        ("a", "jo_doe"), ("b", "jo_doe2"), ("c", "jo_doe3"), ("d", "u200003"),
    ]  # fmt: skip


def test_the_next_strategy_is_tried_before_the_number(registry: Registry) -> None:
    """First every numbered form of the first, then the second."""
    found = [
        open_named(registry, subject, "jd", "jdoe", last_suffix=2).username
        for subject in ("a", "b", "c", "d", "e")
    ]
    assert found == ["jd", "jd2", "jdoe", "jdoe2", "u200004"]


def test_within_one_transaction_as_between_two(registry: Registry) -> None:
    """What is held back counts as issued."""
    with registry.write(AUTHOR) as writer:
        found = [
            writer.open_account(opening(person(str(n)), "jd", last_suffix=4)).username
            for n in range(5)
        ]
    assert found == ["jd", "jd2", "jd3", "jd4", "u200004"]


def test_a_counter_goes_on_after_the_highest_and_never_back(registry: Registry) -> None:
    counter = PrefixCounter("hpc", 3)
    first = open_named(registry, "a", counter=counter)
    second = open_named(registry, "b", "taken", counter=counter)
    third = open_named(registry, "c", "taken", counter=counter)
    assert [first.username, second.username, third.username] == ["hpc001", "taken", "hpc002"]
    with registry.write(AUTHOR) as writer:
        writer.move_account(third.account_id, AccountEvent.CLOSED)
    assert open_named(registry, "d", counter=counter).username == "hpc003"
    with registry.write(AUTHOR) as writer:
        enrol(writer, "n1", "hpc004")
        names = [writer.open_account(opening(person(s), counter=counter)).username for s in "ef"]
    assert names == ["hpc005", "hpc006"]


def test_a_closed_accounts_name_and_its_numbered_forms_stay_issued(registry: Registry) -> None:
    alice = open_named(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        writer.move_account(alice.account_id, AccountEvent.CLOSED)
    assert open_named(registry, "b", "alice", last_suffix=2).username == "alice2"


def test_a_name_is_for_ever_whatever_the_claims_say_later(registry: Registry) -> None:
    """Renaming at the source renames nothing here."""
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, preferred_username="alice")))
    account = open_named(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, preferred_username="mallory"), began=NOW + 9))
        writer.record_observation(person("a"), frozenset(), "eve", NOW + 10)
    with registry.read() as reader:
        recorded = reader.recorded(person("a"))
        assert recorded.account is not None
        assert recorded.account.username == account.username == "alice"
        assert reader.find_account(username="mallory") is None


@pytest.mark.parametrize("name", ["root", "wheel", "slurm", "a" * 32, "1a", "a b", ""])
def test_a_wish_that_may_never_be_issued_is_refused(registry: Registry, name: str) -> None:
    with registry.write(AUTHOR) as writer, raises(Reason.NAME_REFUSED):
        writer.open_account(opening(person("a"), "alice", instead=(Username(name),)))


@settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["jo", "Jo", "jó", "JO.", "jo2", "u7", "root", "Ж", "", "wheel"]),
            st.sampled_from(["Jo", "Ann Lee", "Ж", ""]),
        ),
        max_size=12,
    )
)
def test_whatever_people_are_called_no_two_share_a_name(called: list[tuple[str, str]]) -> None:
    """Over random populations and two strategies."""
    registry = make_registry()
    furnish(registry)
    naming = Naming((Preferred(), Initials()), 2)
    accounts = []
    for place, (preferred, name) in enumerate(called):
        names = spell_usernames(Spelling(preferred, None, name, name), naming)
        accounts.append(open_named(registry, str(place), *names, last_suffix=2))
    with registry.read() as reader:
        groups = {group.name for group in reader.posix_groups().values()}
    registry.close()
    found = [account.username for account in accounts]
    assert len(found) == len(set(found))
    assert not groups & set(map(GroupName, found))


# --- what is recorded of people ----------------------------------------------------------------


SPOKEN = Spelling(email="jo", given="Jo", family="Doe")


def save_naming(registry: Registry, **more: Any) -> None:
    """Rules whose class names people so."""
    body = document()
    body["classes"]["member"] |= more
    with registry.write(AUTHOR) as writer:
        writer.save_rules(body, expect_version=None)


def facts(registry: Registry, subject: str) -> Spelling:
    """What is on record."""
    with registry.read() as reader:
        found = reader.facts(person(subject))
    assert found is not None
    return found.spelling


def test_only_the_facts_that_some_class_needs_are_recorded(registry: Registry) -> None:
    """And they go with the first listing after the rules stop needing them."""
    save_naming(registry)
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, spelling=SPOKEN)))
    assert facts(registry, "a") == Spelling()
    save_naming(registry, username="email")
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, spelling=SPOKEN), began=NOW + 1))
        writer.record_observation(person("t"), frozenset({VO}), None, NOW, spelling=SPOKEN)
    assert facts(registry, "a") == facts(registry, "t") == Spelling(email="jo")
    save_naming(registry)
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, spelling=SPOKEN), began=NOW + 2))
    assert facts(registry, "a") == Spelling()


def test_once_there_is_an_account_the_facts_are_forgotten(registry: Registry) -> None:
    """Its name is for good, so they have nothing more to spell."""
    save_naming(registry, username="initials")
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, spelling=SPOKEN)))
    assert facts(registry, "a") == Spelling(given="Jo", family="Doe")
    open_named(registry, "a", "jd")
    assert facts(registry, "a") == Spelling()
    with registry.write(AUTHOR) as writer:
        changed = writer.record_listing(listing(listed("a", VO, spelling=SPOKEN), began=NOW + 1))
        writer.record_observation(person("a"), frozenset({VO}), None, NOW + 2, spelling=SPOKEN)
    assert not changed
    assert facts(registry, "a") == Spelling()
    with registry.read() as reader:
        said = repr([change.body for change in reader.changes(limit=1000)])
    assert "Doe" not in said


def test_a_shared_mail_address_or_name_identifies_nobody(registry: Registry) -> None:
    """Law 1: two identities that agree in everything but the subject are two people."""
    save_naming(registry, username=["email", "initials"])
    same: dict[str, Any] = {"spelling": SPOKEN, "preferred_username": "jo"}
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO, **same), listed("b", VO, **same)))
    one = open_named(registry, "a", "jo", "jd")
    two = open_named(registry, "b", "jo", "jd")
    assert (one.username, two.username) == ("jo", "jd")
    assert one.uid_number != two.uid_number


# --- one name space ----------------------------------------------------------------------------


def test_users_and_groups_share_one_name_space_in_both_directions(registry: Registry) -> None:
    assert open_named(registry, "a", "vo").username == "u200000"
    open_named(registry, "b", "physics")
    physics, other = Group(ISSUER, "physics"), Group(ISSUER, "phy.sics")
    with registry.write(AUTHOR) as writer:
        enrol(writer, "n1", "chemistry")
        made = [
            writer.open_group(OpenGroup(group, *spelled(group)), group_range="groups").name
            for group in (physics, other, Group(ISSUER, "chemistry"))
        ]
    assert made == ["g300002", "phy_sics", "g300004"]
    assert open_named(registry, "c", "phy_sics").username == "u200002"


def spelled(group: Group) -> tuple[GroupName | None, tuple[GroupName, ...]]:
    """As a plan spells it."""
    names = spell_group_names(group.path)
    return (names[0] if names else None), names[1:]


def test_two_paths_that_collide_after_mangling_are_two_groups(registry: Registry) -> None:
    """`a/b_c` and `a_b/c` spell one name; long paths collide in their short form."""
    long = ["x/" + f"{middle}" * 30 + "/alpha" for middle in "pq"]
    groups = [Group(ISSUER, path) for path in ("a/b_c", "a_b/c", *long)]
    with registry.write(AUTHOR) as writer:
        made = [
            writer.open_group(OpenGroup(group, *spelled(group)), group_range="groups")
            for group in groups
        ]
    assert [group.name for group in made] == ["a_b_c", "g300003", "x_alpha", "g300005"]
    assert len({group.gid_number for group in made}) == 4


# --- private groups ----------------------------------------------------------------------------


def test_a_private_group_has_its_accounts_name_and_number(registry: Registry) -> None:
    alice = open_named(registry, "a", "alice", primary_group=PRIVATE_GROUP)
    assert alice.primary_group.name == "alice"
    assert alice.primary_group.gid_number == alice.uid_number == 200_000
    assert alice.has_private_group
    with registry.read() as reader:
        assert reader.find_account(username="alice") == alice
        assert [g.path for g in reader.posix_groups()] == ["vo", "vo/staff_members"]
        status = {s.range.name: s.has_gids for s in reader.ranges()}
        assert status == {"people": True, "groups": True}
    assert not open_named(registry, "b", "bob").has_private_group
    with registry.read() as reader:
        assert reader.find_group("alice") is None, "told with its account"
        names = [g.name for _, g in reader.page_of_groups(GroupQuestion(), limit=10).items]
        assert "alice" not in names


def test_a_private_groups_number_is_a_gid_for_ever(registry: Registry) -> None:
    alice = open_named(registry, "a", "alice", primary_group=PRIVATE_GROUP)
    with registry.write(AUTHOR) as writer:
        writer.move_account(alice.account_id, AccountEvent.CLOSED)
    with registry.read() as reader:
        assert reader.issued_numbers(GID, 200_000, 200_999) == {200_000: "alice"}
        assert reader.issued_numbers(UID, 200_000, 200_999) == {200_000: "alice"}
    assert open_named(registry, "b", primary_group=PRIVATE_GROUP).uid_number == 200_001


def test_a_private_group_takes_no_number_that_is_a_gid_elsewhere(registry: Registry) -> None:
    """A foreign gid in the people's range: the number is passed over for private groups, not for others."""
    with registry.write(AUTHOR) as writer:
        writer.reserve_numbers("people", [ForeignNumber(GID, 200_000, "theirs", "ldap")])
    assert open_named(registry, "a", "alice", primary_group=PRIVATE_GROUP).uid_number == 200_001
    with registry.read() as reader:
        assert reader.issued_numbers(GID, 200_000, 200_999) == {200_000: None, 200_001: "alice"}


def test_nobody_else_is_in_a_private_group(registry: Registry) -> None:
    """It is no group that a rule, a listing or a person can name."""
    open_named(registry, "a", "alice", primary_group=PRIVATE_GROUP)
    bob = open_named(registry, "b", "bob")
    with registry.write(AUTHOR) as writer, raises(Reason.NOT_FOUND):
        writer.change_groups(bob.account_id, join=[Group(PRIVATE_ISSUER, "alice")])


def test_many_private_groups_in_one_transaction(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        for n in range(50):
            writer.open_account(opening(person(str(n)), primary_group=PRIVATE_GROUP))
    with registry.read() as reader:
        accounts = list(reader.every_account())
        assert len(accounts) == 50
        assert all(account.has_private_group for account in accounts)
        page = reader.page_of_accounts(AccountQuestion(), limit=50)
        assert list(page.items) == accounts


# --- site-local groups -------------------------------------------------------------------------


def test_a_site_local_group_has_members_that_no_listing_takes_out(registry: Registry) -> None:
    alice = open_named(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        lab = writer.add_local_group("lab", group_range="groups")
        writer.change_groups(alice.account_id, join=[local_group("lab")])
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing())
    with registry.read() as reader:
        assert reader.members_of(local_group("lab")) == ("alice",)
        assert reader.posix_groups()[local_group("lab")] == lab
        assert "add_local_group" in {c.action for c in reader.changes(limit=100)}


@pytest.mark.parametrize(
    "name", ["wheel", "docker", "sudo", "systemd-journal", "g300", "u7", "Lab", "la b"]
)
def test_a_name_that_may_not_be_issued_is_no_local_group(registry: Registry, name: str) -> None:
    """Root-equivalent ones above all (law 10)."""
    with registry.write(AUTHOR) as writer, raises(Reason.NAME_REFUSED):
        writer.add_local_group(name, group_range="groups")


def test_a_name_is_taken_by_users_groups_nodes_and_itself(registry: Registry) -> None:
    open_named(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        writer.add_local_group("lab", group_range="groups")
        enrol(writer, "n1", "games1")
        for name in ("alice", "vo", "lab", "games1"):
            with raises(Reason.NAME_TAKEN):
                writer.add_local_group(name, group_range="groups")
        with raises(Reason.RANGE_UNKNOWN):
            writer.add_local_group("other", group_range="people")


def test_no_listing_and_no_token_can_name_a_site_local_group(registry: Registry) -> None:
    """A group of an issuer with the very name and path is another group."""
    with registry.write(AUTHOR) as writer:
        writer.add_local_group("lab", group_range="groups")
    mallory = Identity(LOCAL_ISSUER, Subject("mallory"))
    local = local_group("lab")
    with registry.write(AUTHOR) as writer:
        with raises(Reason.SOURCE_INCOMPLETE):
            writer.record_listing(type(listing())("iam", LOCAL_ISSUER, frozenset({local}), (), NOW))
        with raises(Reason.CLAIM_INVALID):
            writer.record_observation(mallory, frozenset({local}), None, NOW)
        with raises(Reason.CLAIM_INVALID):
            writer.record_observation(person("m"), frozenset({local}), None, NOW)
        same_path = Group(ISSUER, "lab")
        writer.record_observation(person("m"), frozenset({same_path}), None, NOW)
    with registry.read() as reader:
        assert reader.recorded(person("m")).groups == {same_path}
        assert same_path not in reader.posix_groups()


# --- groups by their stable ids ----------------------------------------------------------------


def ids(**paths: str) -> dict[Group, str]:
    """Path (`__` for a slash) → id."""
    return {Group(ISSUER, path.replace("__", "/")): known for path, known in paths.items()}


def with_ids(found: dict[Group, str], *people: Any, began: int = NOW) -> Any:
    """A listing that tells ids."""
    made = listing(*people, began=began, watched=tuple(found))
    return type(made)(
        made.source, made.issuer, made.watched, made.people, made.began, (), group_ids=found
    )


NEW = Group(ISSUER, "community")


def test_a_renamed_group_keeps_gid_name_members_and_observations(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=None)
        writer.record_listing(with_ids(ids(vo="id-1"), listed("a", VO)))
    alice = open_named(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        before = writer.posix_groups()[VO]
        writer.record_listing(with_ids({NEW: "id-1"}, listed("a", NEW), began=NOW + 1))
        assert writer.posix_groups()[NEW] == before
        assert writer.recorded(person("a")).groups == {NEW}
    with registry.read() as reader:
        assert reader.posix_groups()[NEW] == before == alice.primary_group
        assert VO not in reader.posix_groups()
        assert reader.rules().rules[0].condition.items() == {NEW}
        (former,) = reader.former_paths()
        assert (former.former, former.now) == (VO, NEW)
        assert former.named_by == ("rule members", "class member")
        bodies = [c.body for c in reader.changes(limit=100) if c.action == "rename_group"]
        assert bodies == [{"issuer": ISSUER, "before": "vo", "after": "community"}]


def test_rules_saved_after_a_rename_mean_the_paths_of_now(registry: Registry) -> None:
    """The former path is refused with the new one, and once saved nothing is followed any more."""
    with registry.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=None)
        writer.record_listing(with_ids(ids(vo="id-1")))
        writer.record_listing(with_ids({NEW: "id-1"}, began=NOW + 1))
        with pytest.raises(IdmapError, check=lambda e: "write 'community'" in e.detail):
            writer.save_rules(document(), expect_version=None)
        body = document(group="community")
        body["classes"]["member"]["primary_group"] = "community"
        writer.save_rules(body, expect_version=None)
        assert writer.rules().rules[0].condition.items() == {NEW}
        assert writer.former_paths() == ()


def test_groups_may_swap_their_paths(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.record_listing(with_ids({VO: "id-1", STAFF: "id-2"}))
        before = dict(writer.posix_groups())
        writer.record_listing(with_ids({VO: "id-2", STAFF: "id-1"}, began=NOW + 1))
        after = dict(writer.posix_groups())
    assert after == {VO: before[STAFF], STAFF: before[VO]}


def test_a_group_made_anew_inherits_nothing(registry: Registry) -> None:
    """Another id under the path: the listing is refused whole, and a person may accept the new one."""
    with registry.write(AUTHOR) as writer:
        writer.record_listing(with_ids(ids(vo="id-1"), listed("a", VO)))
    again = with_ids(ids(vo="id-9"), listed("mallory", VO), began=NOW + 1)
    with pytest.raises(IdmapError) as caught, registry.write(AUTHOR) as writer:
        writer.record_listing(again)
    assert caught.value.reason is Reason.GROUP_REPLACED
    assert "'id-1'" in caught.value.detail
    assert "'id-9'" in caught.value.detail
    with registry.read() as reader:
        assert reader.recorded(person("mallory")).groups == frozenset()
        assert reader.group_ids() == {VO: "id-1"}
        before = reader.posix_groups()[VO]
    with registry.write(AUTHOR) as writer:
        writer.rebind_group(VO, "id-9")
        writer.record_listing(again)
    with registry.read() as reader:
        assert reader.posix_groups()[VO] == before
        assert reader.recorded(person("mallory")).groups == {VO}
        assert "rebind_group" in {c.action for c in reader.changes(limit=100)}


def test_rebinding_needs_a_group_with_an_id_and_an_id_that_is_free(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        with raises(Reason.NOT_FOUND):
            writer.rebind_group(VO, "id-1")
        writer.record_listing(with_ids({VO: "id-1", STAFF: "id-2"}))
        with raises(Reason.NAME_TAKEN):
            writer.rebind_group(VO, "id-2")
        with raises(Reason.NOT_FOUND):
            writer.rebind_group(Group(ISSUER, "nowhere"), "id-3")
        with raises(Reason.REQUEST_INVALID):
            writer.rebind_group(VO, "")


def test_a_group_renamed_onto_one_that_has_a_gid_stops(registry: Registry) -> None:
    """Two gids for one group: which is right is for a person to say."""
    with registry.write(AUTHOR) as writer:
        writer.record_listing(with_ids(ids(vo="id-1")))
        with raises(Reason.GROUP_REPLACED):
            writer.record_listing(with_ids({STAFF: "id-1"}, began=NOW + 1))


def test_what_tokens_said_of_the_new_path_is_said_of_the_group(registry: Registry) -> None:
    """A token may know of the rename before the listing does."""
    with registry.write(AUTHOR) as writer:
        writer.record_listing(with_ids(ids(vo="id-1"), listed("a", VO)))
        writer.record_observation(person("b"), frozenset({NEW}), None, NOW + 5)
    with registry.write(AUTHOR) as writer:
        writer.record_listing(with_ids({NEW: "id-1"}, listed("a", NEW), began=NOW + 1))
    with registry.read() as reader:
        assert reader.recorded(person("a")).groups == {NEW}
        assert reader.recorded(person("b")).groups == {NEW}
        assert NEW in reader.posix_groups()


def test_a_token_that_says_the_former_path_means_another_group(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=None)
        writer.record_listing(with_ids(ids(vo="id-1")))
        writer.record_listing(with_ids({NEW: "id-1"}, began=NOW + 1))
        writer.record_observation(person("m"), frozenset({VO}), None, NOW + 5)
        assert writer.rules().rules[0].condition.items() == {NEW}
        assert writer.recorded(person("m")).groups == {VO}
        assert VO not in writer.posix_groups()


def test_a_rename_there_and_back_leaves_nothing_to_follow(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_rules(document(), expect_version=None)
        for place, path in enumerate(("vo", "community", "third", "vo")):
            found = {Group(ISSUER, path): "id-1"}
            writer.record_listing(
                with_ids(found, listed("a", Group(ISSUER, path)), began=NOW + place)
            )
        assert writer.rules().rules[0].condition.items() == {VO}
        assert writer.recorded(person("a")).groups == {VO}
        assert all(not path.named_by for path in writer.former_paths())


def test_two_groups_with_one_id_are_refused(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer, raises(Reason.GROUP_REPLACED):
        writer.record_listing(with_ids({VO: "id-1", STAFF: "id-1"}))


# --- ranges ------------------------------------------------------------------------------------

ROBOTS = NumberRange("robots", RangePurpose.ROBOTS, 210_000, 210_001)
POOLS = NumberRange("pools", RangePurpose.POOLS, 220_000, 220_009)


def test_ranges_for_robots_and_pools_are_kept_apart(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.add_range(ROBOTS)
        writer.add_range(POOLS)
        body = document()
        body["classes"]["member"]["range"] = "robots"
        with pytest.raises(IdmapError, check=lambda e: "robots, not people" in e.detail):
            writer.save_rules(body, expect_version=None)
        body = document(robots=True)
        body["classes"]["member"]["range"] = "pools"
        with pytest.raises(IdmapError, check=lambda e: "pools, not robots" in e.detail):
            writer.save_rules(body, expect_version=None)
        body["classes"]["member"]["range"] = "robots"
        writer.save_rules(body, expect_version=None)
        robot = writer.open_account(opening(person("r"), number_range="robots"))
        with raises(Reason.RANGE_UNKNOWN):
            writer.open_account(opening(person("p"), number_range="pools"))
    assert robot.uid_number == 210_000
    with registry.read() as reader:
        purposes = {s.range.name: s.range.purpose for s in reader.ranges()}
    assert purposes["robots"] is RangePurpose.ROBOTS
    assert purposes["pools"] is RangePurpose.POOLS


def test_a_rule_for_robots_of_before_keeps_its_range_of_people(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        assert writer.save_rules(document(robots=True), expect_version=None).version == 1


def test_foreign_numbers_are_holes_that_are_never_issued(registry: Registry) -> None:
    foreign = [ForeignNumber(UID, n, f"x{n}", "ldap") for n in (200_000, 200_002)]
    with registry.write(AUTHOR) as writer:
        assert writer.reserve_numbers("people", foreign) == 2
        assert writer.reserve_numbers("people", foreign) == 0
        numbers = [writer.open_account(opening(person(s))).uid_number for s in "abc"]
    assert numbers == [200_001, 200_003, 200_004]
    with registry.read() as reader:
        held = reader.issued_numbers(UID, 200_000, 200_003)
        assert held == {200_000: None, 200_001: "u200001", 200_002: None, 200_003: "u200003"}
        assert "reserve_numbers" in {c.action for c in reader.changes(limit=100)}


def test_what_was_issued_here_cannot_become_foreign(registry: Registry) -> None:
    open_named(registry, "a", "alice")
    with registry.write(AUTHOR) as writer:
        same = ForeignNumber(UID, 200_000, "alice", "nss")
        assert writer.reserve_numbers("people", [same]) == 0, "our own account, seen from outside"
        with raises(Reason.NUMBER_TAKEN):
            writer.reserve_numbers("people", [ForeignNumber(UID, 200_000, "bob", "ldap")])
        with raises(Reason.NUMBER_REFUSED):
            writer.reserve_numbers("people", [ForeignNumber(UID, 300_000, "bob", "ldap")])
        with raises(Reason.RANGE_UNKNOWN):
            writer.reserve_numbers("nowhere", [same])


def test_a_range_of_holes_is_exhausted(registry: Registry) -> None:
    """Nothing is taken, and the reason is said."""
    with registry.write(AUTHOR) as writer:
        writer.add_range(ROBOTS)
        writer.reserve_numbers(
            "robots", [ForeignNumber(UID, n, f"x{n}", "ldap") for n in (210_000, 210_001)]
        )
        with raises(Reason.RANGE_EXHAUSTED):
            writer.open_account(opening(person("a"), "alice", number_range="robots"))
    assert open_named(registry, "b", "alice").username == "alice"


@pytest.mark.parametrize("purpose", list(RangePurpose))
@pytest.mark.parametrize("edges", [(199_000, 200_000), (200_500, 200_501), (300_999, 301_500)])
def test_ranges_of_whatever_purpose_never_overlap(
    registry: Registry, purpose: RangePurpose, edges: tuple[int, int]
) -> None:
    with registry.write(AUTHOR) as writer, raises(Reason.RANGE_OVERLAPS):
        writer.add_range(NumberRange("new", purpose, *edges))

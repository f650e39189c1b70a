"""Bans of groups, issuers and tokens, on both databases: whom they reach, and when the ban list changes."""

from __future__ import annotations

import pytest

from idmap.application.ports import Registry, RegistryWriter
from idmap.application.questions import BanQuestion
from idmap.domain.accounts import Account, AccountEvent
from idmap.domain.bans import Ban, BanKind
from idmap.domain.errors import Refused
from idmap.domain.groups import LOCAL_ISSUER, Group
from idmap.domain.identity import Identity
from idmap.domain.linking import LinkProof
from idmap.domain.reasons import Reason
from tests.contracts.test_registry_contract import raises
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
    opening,
    person,
    profile,
)

ELSEWHERE = person("a", OTHER)


def add(registry: Registry, until: int | None = None, **what: object) -> Ban:
    """One ban in a transaction of its own."""
    with registry.write(AUTHOR) as writer:
        return order(writer, until, **what)


def order(writer: RegistryWriter, until: int | None = None, **what: object) -> Ban:
    given = {"account_id": None, "identity": None} | what
    return writer.add_ban(reason="r", until=until, at=NOW, **given)  # type: ignore[arg-type]


def record(registry: Registry, subject: str, *groups: Group, at: int = NOW) -> None:
    """A token that says so."""
    with registry.write(AUTHOR) as writer:
        writer.record_observation(person(subject), frozenset(groups), None, at)


def link(registry: Registry, account: Account, identity: Identity) -> None:
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
        writer.link_identity(account.account_id, identity, LinkProof.ADMINISTRATOR)


def banned(registry: Registry, at: int = NOW) -> dict[int, int]:
    """uid number → end."""
    with registry.read() as reader:
        return dict(reader.banned_uid_numbers(at))


def reaching(registry: Registry, identity: Identity) -> tuple[Ban, ...]:
    """The bans of one person, which every way of reading gives alike."""
    with registry.read() as reader:
        recorded = reader.recorded(identity)
        every = {facts.recorded.identity: facts.recorded.bans for facts in reader.people()}
        assert every.get(identity, recorded.bans) == recorded.bans
        if recorded.account is not None:
            theirs = {one.recorded.bans for one in reader.people_of(recorded.account.account_id)}
            asked = BanQuestion(account_id=recorded.account.account_id)
            assert reader.page_of_bans(asked, limit=1000).items == recorded.bans
            assert recorded.bans in theirs
        return recorded.bans


def counter(registry: Registry) -> int:
    with registry.read() as reader:
        return reader.ban_counter()


# --- refused


@pytest.mark.parametrize(
    "what",
    [
        {},
        {"token_id": "t"},
        {"issuer": OTHER, "token_id": ""},
        {"issuer": OTHER, "token_id": "x" * 256},
        {"issuer": LOCAL_ISSUER},
        {"group": Group(LOCAL_ISSUER, "wheel")},
        {"issuer": ISSUER, "until": NOW},
        {"group": VO, "until": NOW - 1},
    ],
)
def test_a_ban_of_nothing_of_ours_or_of_the_past_is_refused(
    registry: Registry, what: dict[str, object]
) -> None:
    with raises(Reason.REQUEST_INVALID), registry.write(AUTHOR) as writer:
        order(writer, **what)  # type: ignore[arg-type]
    assert counter(registry) == 0


# --- groups


def test_a_ban_of_a_group_reaches_everybody_recorded_in_it_and_nobody_else(
    registry: Registry,
) -> None:
    """With an account, without one, and through a linked identity; not a parent's, not a child's members."""
    alice, bob, carol = (open_one(registry, name, name) for name in ("alice", "bob", "carol"))
    record(registry, "alice", VO, STAFF)
    record(registry, "bob", VO)
    record(registry, "newcomer", STAFF)
    link(registry, carol, ELSEWHERE)
    ban = add(registry, group=STAFF)
    assert (ban.kind, ban.group) == (BanKind.GROUP, STAFF)
    assert banned(registry) == {alice.uid_number: 0}
    assert reaching(registry, person("alice")) == (ban,)
    assert reaching(registry, person("newcomer")) == (ban,)
    assert reaching(registry, person("bob")) == reaching(registry, ELSEWHERE) == ()
    assert banned(registry).keys().isdisjoint({bob.uid_number, carol.uid_number})


def test_the_other_identities_of_a_member_are_reached_too(registry: Registry) -> None:
    """Like a ban of an identity: doors that see no token cannot tell them apart."""
    account = open_one(registry, "a", "alice")
    link(registry, account, ELSEWHERE)
    record(registry, "a", STAFF)
    ban = add(registry, group=STAFF)
    assert reaching(registry, ELSEWHERE) == reaching(registry, person("a")) == (ban,)
    assert banned(registry) == {account.uid_number: 0}


@pytest.mark.parametrize("how", ["token", "listing"])
def test_who_joins_a_banned_group_is_banned_as_soon_as_it_is_recorded(
    registry: Registry, how: str
) -> None:
    """And free again once it is recorded that they left. The counter that nodes compare rises with both."""
    account = open_one(registry, "a", "alice")
    ban = add(registry, group=STAFF)
    assert banned(registry) == {}
    before = counter(registry)
    if how == "token":
        record(registry, "a", STAFF)
    else:
        with registry.write(AUTHOR) as writer:
            writer.record_listing(listing(listed("a", STAFF)))
    assert banned(registry) == {account.uid_number: 0}
    assert reaching(registry, person("a")) == (ban,)
    assert counter(registry) == before + 1
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO), began=NOW + 1))
    assert banned(registry) == {}
    assert reaching(registry, person("a")) == ()
    assert counter(registry) == before + 2


def test_a_group_nobody_was_ever_seen_in_can_be_banned(registry: Registry) -> None:
    """Its row is made, as an identity's is."""
    ban = add(registry, group=LATER)
    assert banned(registry) == {}
    account = open_one(registry, "a")
    record(registry, "a", LATER)
    assert banned(registry) == {account.uid_number: 0}
    with registry.read() as reader:
        assert reader.find_ban(ban.ban_id) == ban
        assert reader.observed_groups() == {LATER}


def test_a_newcomer_in_a_banned_group_raises_the_counter_with_their_account(
    registry: Registry,
) -> None:
    record(registry, "a", STAFF)
    add(registry, group=STAFF)
    before = counter(registry)
    account = open_one(registry, "a")
    assert counter(registry) == before + 1
    assert banned(registry) == {account.uid_number: 0}


def test_a_ban_follows_a_group_that_is_renamed(registry: Registry) -> None:
    """The row is the group. A ban of the new path, ordered before the listing told of it, is of the same group."""
    account = open_one(registry, "a")
    moved = Group(ISSUER, "vo/moved")

    def list_as(group: Group, began: int) -> None:
        made = listing(listed("a", group), began=began, watched=(VO, group))
        object.__setattr__(made, "group_ids", {group: "id-of-staff"})
        with registry.write(AUTHOR) as writer:
            writer.record_listing(made)

    list_as(STAFF, NOW)
    old = add(registry, group=STAFF)
    record(registry, "b", moved, at=NOW + 1)
    new = add(registry, group=moved)
    list_as(moved, NOW + 2)
    assert {ban.ban_id for ban in reaching(registry, person("a"))} == {old.ban_id, new.ban_id}
    with registry.read() as reader:
        assert [ban.group for ban in reader.bans()] == [moved, moved]
    assert banned(registry) == {account.uid_number: 0}
    record(registry, "c", STAFF, at=NOW + 3)
    assert reaching(registry, person("c")) == (), "another group has the old path now"


# --- issuers


def test_a_ban_of_an_issuer_closes_accounts_that_have_nobody_elses_identity(
    registry: Registry,
) -> None:
    """Whoever also has an identity of another issuer stays: by key, and by that one's token."""
    alone, both = open_one(registry, "alone"), open_one(registry, "both")
    link(registry, both, ELSEWHERE)
    record(registry, "newcomer", VO)
    ban = add(registry, issuer=ISSUER, until=NOW + 50)
    assert (ban.kind, ban.issuer, ban.token_id) == (BanKind.ISSUER, ISSUER, None)
    assert banned(registry) == {alone.uid_number: NOW + 50}
    assert banned(registry, NOW + 50) == {}
    assert reaching(registry, person("alone")) == reaching(registry, person("newcomer")) == (ban,)
    assert reaching(registry, person("both")) == reaching(registry, ELSEWHERE) == ()
    with registry.read() as reader:
        assert reader.credential_bans().issuers_at(NOW) == ((ISSUER, NOW + 50),)
        assert reader.credential_bans(issuer=OTHER).find(OTHER, None, NOW) is None


def test_an_account_whose_every_issuer_is_banned_is_closed_until_the_first_is_free(
    registry: Registry,
) -> None:
    account = open_one(registry, "a")
    link(registry, account, ELSEWHERE)
    first = add(registry, issuer=ISSUER)
    second = add(registry, issuer=OTHER, until=NOW + 9)
    assert banned(registry) == {account.uid_number: NOW + 9}
    assert reaching(registry, ELSEWHERE) == reaching(registry, person("a")) == (second,)
    with registry.write(AUTHOR) as writer:
        writer.lift_ban(first.ban_id)
    assert banned(registry) == {}


def test_linking_and_unlinking_never_change_whom_a_ban_of_an_issuer_reaches(
    registry: Registry,
) -> None:
    """Neither to escape it nor to fall under it."""
    alone, both = open_one(registry, "alone"), open_one(registry, "both")
    link(registry, both, ELSEWHERE)
    add(registry, issuer=ISSUER)
    elsewhere = person("b", OTHER)
    for account, identity in ((alone, elsewhere), (both, person("unseen"))):
        with raises(Reason.BANNED, Refused), registry.write(AUTHOR) as writer:
            writer.record_observation(identity, frozenset(), None, NOW)
            writer.link_identity(account.account_id, identity, LinkProof.ADMINISTRATOR)
    for identity in (person("both"), ELSEWHERE):
        with raises(Reason.BANNED, Refused), registry.write(AUTHOR) as writer:
            writer.unlink_identity(both.account_id, identity)
    assert banned(registry) == {alone.uid_number: 0}


def test_an_account_without_an_identity_belongs_to_no_issuer(registry: Registry) -> None:
    """Its last identity was unlinked while it was at rest."""
    account = open_one(registry, "a")
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.SUSPENDED_BY_PERSON)
        writer.unlink_identity(account.account_id, person("a"))
        order(writer, issuer=ISSUER)
    assert banned(registry) == {}


def test_a_newcomer_of_a_banned_issuer_raises_the_counter_with_their_account(
    registry: Registry,
) -> None:
    record(registry, "a", VO)
    add(registry, issuer=ISSUER)
    before = counter(registry)
    account = open_one(registry, "a")
    assert counter(registry) == before + 1
    assert banned(registry) == {account.uid_number: 0}


# --- tokens


def test_a_ban_of_a_token_reaches_no_person(registry: Registry) -> None:
    open_one(registry, "a")
    ban = add(registry, issuer=ISSUER, token_id="t1")
    assert (ban.kind, counter(registry)) == (BanKind.TOKEN, 1)
    assert banned(registry) == {}
    assert reaching(registry, person("a")) == ()
    with registry.read() as reader:
        assert reader.bans() == (ban,)
        whole = reader.credential_bans()
        assert whole.find(ISSUER, "t1", NOW) == ban
        assert whole.find(ISSUER, "t2", NOW) is whole.find(OTHER, "t1", NOW) is None
        asked = reader.credential_bans(issuer=ISSUER, token_id="t1")
        assert asked.find(ISSUER, "t1", NOW) == ban
        assert reader.credential_bans(issuer=ISSUER, token_id="t2").tokens == {}
    with registry.write(AUTHOR) as writer:
        writer.lift_ban(ban.ban_id)
    with registry.read() as reader:
        assert (reader.ban_counter(), reader.credential_bans().tokens) == (2, {})


def test_a_banned_issuer_is_found_by_the_name_it_has_today(registry: Registry) -> None:
    """It was removed, and another profile took its string as an alias."""
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
    ban = add(registry, issuer=OTHER)
    with registry.write(AUTHOR) as writer:
        writer.remove_issuer(OTHER)
        writer.save_issuer(profile(ISSUER, aliases=frozenset({OTHER})))
    with registry.read() as reader:
        for found in (reader.credential_bans(), reader.credential_bans(issuer=ISSUER)):
            assert found.find(ISSUER, None, NOW) == ban


# --- lists, counts and the record


def test_lists_narrow_by_what_a_ban_is_of(registry: Registry) -> None:
    open_one(registry, "a")
    record(registry, "a", STAFF)
    with registry.write(AUTHOR) as writer:
        made = {
            BanKind.ACCOUNT: order(writer, account_id=1),
            BanKind.IDENTITY: order(writer, identity=person("a")),
            BanKind.GROUP: order(writer, group=STAFF),
            BanKind.ISSUER: order(writer, issuer=OTHER),
            BanKind.TOKEN: order(writer, issuer=ISSUER, token_id="t"),
        }
    ids = {kind: ban.ban_id for kind, ban in made.items()}

    def asked(**question: object) -> list[int]:
        with registry.read() as reader:
            page = reader.page_of_bans(BanQuestion(**question), limit=10)  # type: ignore[arg-type]
            return [ban.ban_id for ban in page.items]

    for kind, number in ids.items():
        assert asked(kind=kind) == [number]
    assert asked(issuer=ISSUER) == [2, 3, 5]
    assert asked(issuer=OTHER) == [4]
    assert (asked(group=STAFF.path), asked(group="vo")) == ([3], [])
    assert (asked(token_id="t"), asked(token_id="u")) == ([5], [])
    assert asked(account_id=1) == [1, 2, 3]
    assert asked(issuer=ISSUER, kind=BanKind.TOKEN) == [5]


def test_what_a_ban_would_close_is_counted_without_making_it(registry: Registry) -> None:
    """Tombstones left out; of an issuer, together with those that are banned already."""
    alone, both, closed = (open_one(registry, name) for name in ("alone", "both", "closed"))
    link(registry, both, ELSEWHERE)
    for name in ("alone", "both", "closed"):
        record(registry, name, STAFF)
    with registry.write(AUTHOR) as writer:
        writer.move_account(closed.account_id, AccountEvent.CLOSED)
    with registry.read() as reader:
        assert reader.count_closed_by(group=STAFF, at=NOW) == 2
        assert reader.count_closed_by(group=LATER, at=NOW) == 0
        assert reader.count_closed_by(issuer=ISSUER, at=NOW) == 1
        assert reader.count_closed_by(issuer=OTHER, at=NOW) == 0
    add(registry, issuer=ISSUER, until=NOW + 5)
    with registry.read() as reader:
        assert reader.count_closed_by(issuer=OTHER, at=NOW) == 1
        assert reader.count_closed_by(issuer=OTHER, at=NOW + 5) == 0
    assert banned(registry) == {alone.uid_number: NOW + 5, closed.uid_number: NOW + 5}


def test_the_record_says_what_was_banned_and_what_was_lifted(registry: Registry) -> None:
    """Law 12; an entry about one person still names them alone."""
    with registry.write(AUTHOR) as writer:
        for what in ({"group": STAFF}, {"issuer": OTHER}, {"issuer": OTHER, "token_id": "t"}):
            writer.lift_ban(order(writer, **what).ban_id)
        order(writer, identity=person("a"))
    said = (
        {
            "group": {"issuer": ISSUER, "path": STAFF.path},
        },
        {"banned_issuer": OTHER},
        {"banned_issuer": OTHER, "token_id": "t"},
    )
    with registry.read() as reader:
        bodies = [
            entry.body for entry in reader.changes(limit=1000) if entry.action.endswith("_ban")
        ]
        assert reader.verify_changes()
    for index, wanted in enumerate(said):
        for body in bodies[2 * index : 2 * index + 2]:
            assert body is not None
            assert wanted.items() <= body.items()
    assert bodies[-1] is not None
    assert not {"group", "banned_issuer", "token_id"} & bodies[-1].keys()


def test_bans_made_and_opened_for_in_one_transaction_count(registry: Registry) -> None:
    """A writer reads what it wrote."""
    with registry.write(AUTHOR) as writer:
        order(writer, group=STAFF)
        writer.record_observation(person("a"), frozenset({STAFF}), None, NOW)
        account = writer.open_account(opening(person("a")))
        assert dict(writer.banned_uid_numbers(NOW)) == {account.uid_number: 0}
        assert [ban.group for ban in writer.recorded(person("a")).bans] == [STAFF]

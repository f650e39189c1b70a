"""Several identities of one account: linked with proof, never past a ban, told from evidence."""

from __future__ import annotations

from typing import Any

import pytest

from idmap.application.ports import ListedPerson, Registry
from idmap.application.questions import EvidenceQuestion
from idmap.domain.accounts import Account, AccountEvent
from idmap.domain.errors import Conflict, IdmapError, NotFound
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.linking import EvidenceState, LinkedId, LinkedIdKind, LinkProof
from idmap.domain.provisioning import plan_changes
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    OTHER,
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

ADMIN = LinkProof.ADMINISTRATOR
EVERY_OPEN = EvidenceQuestion()


@pytest.fixture
def registry(registry: Registry) -> Registry:
    """Two issuers are trusted."""
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
    return registry


def elsewhere(subject: str) -> Identity:
    return person(subject, OTHER)


def link(registry: Registry, account: Account, identity: Identity) -> bool:
    with registry.write(AUTHOR) as writer:
        return writer.link_identity(account.account_id, identity, ADMIN)


def unlink(registry: Registry, account: Account, identity: Identity) -> None:
    with registry.write(AUTHOR) as writer:
        writer.unlink_identity(account.account_id, identity)


def ban(
    registry: Registry, *, identity: Identity | None = None, account: Account | None = None
) -> None:
    with registry.write(AUTHOR) as writer:
        writer.add_ban(
            account_id=None if account is None else account.account_id,
            identity=identity,
            reason="stolen",
            until=None,
            at=NOW,
        )


def banned(registry: Registry) -> set[int]:
    with registry.read() as reader:
        return {number for number, _ in reader.banned_uid_numbers(NOW)}


def newest_change(registry: Registry) -> tuple[str, dict[str, Any]]:
    with registry.read() as reader:
        entry = reader.changes(after=reader.last_change() - 1)[0]
    return entry.action, dict(entry.body or {})


def refuses(reason: Reason) -> Any:
    return pytest.raises(IdmapError, check=lambda error: error.reason is reason)


def test_a_linked_identity_is_the_same_account_at_every_door(registry: Registry) -> None:
    account = open_one(registry, "home")
    with registry.read() as reader:
        before = reader.revision()
    assert link(registry, account, elsewhere("work"))
    with registry.read() as reader:
        assert reader.revision() == before + 1, "trust.db has to be told"
        assert reader.recorded(elsewhere("work")).account == account
        assert reader.identities_of(account.account_id) == (person("home"), elsewhere("work"))
        linked = set(reader.every_linked_identity())
        assert linked == {
            (person("home"), account.uid_number),
            (elsewhere("work"), account.uid_number),
        }
        assert reader.shared_accounts() == {account.account_id}
        facts = reader.people_of(account.account_id)
        assert [one.recorded.identity for one in facts] == [person("home"), elsewhere("work")]
    action, body = newest_change(registry)
    assert action == "link_identity"
    assert body["proof"] == "administrator"
    assert (body["issuer"], body["subject"]) == (OTHER, "work")


def test_linking_again_changes_nothing(registry: Registry) -> None:
    account = open_one(registry, "home")
    assert link(registry, account, elsewhere("work"))
    with registry.read() as reader:
        before = (reader.revision(), reader.last_change())
    assert not link(registry, account, elsewhere("work"))
    with registry.read() as reader:
        assert (reader.revision(), reader.last_change()) == before


def test_a_linked_identity_gets_no_account_of_its_own(registry: Registry) -> None:
    account = open_one(registry, "home")
    with registry.write(AUTHOR) as writer:
        writer.link_identity(account.account_id, elsewhere("work"), ADMIN)
        with pytest.raises(Conflict):
            writer.open_account(opening(elsewhere("work")))
    with registry.write(AUTHOR) as writer, pytest.raises(Conflict):
        writer.open_account(opening(elsewhere("work")))


def test_what_has_an_account_is_not_linked_to_another(registry: Registry) -> None:
    first, second = open_one(registry, "home"), open_one(registry, "work")
    with refuses(Reason.IDENTITY_LINKED_ELSEWHERE):
        link(registry, first, person("work"))
    unlinked_since = elsewhere("third")
    link(registry, second, unlinked_since)
    with refuses(Reason.IDENTITY_LINKED_ELSEWHERE):
        link(registry, first, unlinked_since)


def test_a_closed_account_takes_no_identity(registry: Registry) -> None:
    account = open_one(registry, "home")
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.CLOSED)
    with refuses(Reason.ACCOUNT_CLOSED):
        link(registry, account, elsewhere("work"))


def test_nobody_of_an_issuer_that_is_not_trusted_is_linked(registry: Registry) -> None:
    account = open_one(registry, "home")
    with refuses(Reason.IDENTITY_NOT_LINKABLE):
        link(registry, account, Identity(Issuer("https://nobody.example/"), Subject("x")))


@pytest.mark.parametrize("who", ["identity", "own_identity", "account"])
def test_no_link_is_made_where_a_ban_reaches(registry: Registry, who: str) -> None:
    """It would let a banned identity in by an account, or spread a ban unseen."""
    account = open_one(registry, "home")
    match who:
        case "identity":
            ban(registry, identity=elsewhere("work"))
        case "own_identity":
            ban(registry, identity=person("home"))
        case _:
            ban(registry, account=account)
    before = banned(registry)
    with refuses(Reason.BANNED):
        link(registry, account, elsewhere("work"))
    assert banned(registry) == before
    with registry.read() as reader:
        assert reader.recorded(elsewhere("work")).account is None


@pytest.mark.parametrize("who", ["home", "work", "account"])
@pytest.mark.parametrize("leaving", ["home", "work"])
def test_nobody_escapes_a_ban_by_being_unlinked(registry: Registry, who: str, leaving: str) -> None:
    """Neither the one who leaves nor those who stay; a ban of any identity is a ban of the person."""
    account = open_one(registry, "home")
    work = person("work")
    link(registry, account, work)
    if who == "account":
        ban(registry, account=account)
    else:
        ban(registry, identity=person(who))
    assert banned(registry) == {account.uid_number}
    with refuses(Reason.BANNED):
        unlink(registry, account, person(leaving))
    assert banned(registry) == {account.uid_number}
    with registry.read() as reader:
        for identity in (person("home"), work):
            assert [one.reason for one in reader.recorded(identity).bans] == ["stolen"]


def test_robots_and_people_share_no_account(registry: Registry) -> None:
    account = open_one(registry, "home")
    robot_account = open_one(registry, "host:ce")
    with registry.write(AUTHOR) as writer:
        writer.record_listing(
            listing(
                listed("home", VO),
                listed("host:ce", VO, robot=True),
                listed("host:se", VO, robot=True),
                listed("jo", VO),
            )
        )
    with refuses(Reason.ROBOT_AND_PERSON):
        link(registry, account, person("host:se"))
    with refuses(Reason.ROBOT_AND_PERSON):
        link(registry, robot_account, person("jo"))
    assert link(registry, robot_account, person("host:se"))
    assert link(registry, account, person("jo"))


def test_number_and_name_stay_with_the_account_when_an_identity_goes(registry: Registry) -> None:
    account = open_one(registry, "home", "jo")
    link(registry, account, elsewhere("work"))
    unlink(registry, account, person("home"))
    with registry.read() as reader:
        assert reader.recorded(person("home")).account is None
        assert reader.recorded(elsewhere("work")).account == account
    action, body = newest_change(registry)
    assert (action, body["subject"]) == ("unlink_identity", "home")
    again = open_one(registry, "home", "jo")
    assert again.uid_number != account.uid_number
    assert again.username != account.username


def test_the_last_identity_stays_unless_the_account_is_at_rest(registry: Registry) -> None:
    account = open_one(registry, "home")
    with refuses(Reason.LAST_IDENTITY):
        unlink(registry, account, person("home"))
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.SUSPENDED_BY_PERSON)
    unlink(registry, account, person("home"))
    with registry.read() as reader:
        assert reader.identities_of(account.account_id) == ()
        assert reader.find_account(uid_number=account.uid_number) is not None


def test_only_what_is_linked_can_be_unlinked(registry: Registry) -> None:
    account = open_one(registry, "home")
    link(registry, account, elsewhere("work"))
    with pytest.raises(NotFound):
        unlink(registry, account, person("stranger"))
    with pytest.raises(NotFound):
        unlink(registry, account, elsewhere("home"))


def test_two_identities_are_planned_as_one_person(registry: Registry) -> None:
    """One of two who leaves starts no grace and ends no membership; both gone, it starts."""
    with registry.write(AUTHOR) as writer:
        writer.save_rules(document(secondary_groups=["vo/staff_members"]), expect_version=None)
    account = open_one(registry, "home", secondary_groups=(STAFF,))
    link(registry, account, person("work"))

    def plan(*people: ListedPerson, began: int) -> dict[str, int]:
        with registry.write(AUTHOR) as writer:
            writer.record_listing(listing(*people, began=began))
            rules, groups = writer.rules(), writer.posix_groups()
            return plan_changes(writer.people(), rules, groups, NOW).counts()

    assert plan(listed("home", VO, STAFF), listed("work", VO), began=NOW) == {}
    assert plan(listed("work", VO, STAFF), began=NOW + 1) == {}
    assert plan(listed("home", VO), listed("work", STAFF), began=NOW + 2) == {}
    assert plan(listed("home", VO), listed("work", VO), began=NOW + 3) == {"leave_groups": 1}
    assert plan(began=NOW + 4) == {"leave_groups": 1, "start_grace": 1}


# --- evidence ---------------------------------------------------------------------------------

WORK = LinkedId(LinkedIdKind.OIDC, OTHER, "work")
SAML = LinkedId(LinkedIdKind.SAML, "https://idp.example/", "jo@example")


def say(registry: Registry, *people: ListedPerson, began: int = NOW) -> frozenset[Identity]:
    with registry.write(AUTHOR) as writer:
        return writer.record_listing(listing(*people, began=began))


def open_claims(registry: Registry) -> list[tuple[str, LinkedId, bool]]:
    with registry.read() as reader:
        return [
            (one.identity.subject, one.claims, one.contradicted)
            for one in reader.page_of_evidence(EVERY_OPEN).items
        ]


def test_what_an_issuer_says_is_recorded_and_links_nobody(registry: Registry) -> None:
    account = open_one(registry, "home")
    assert say(registry, listed("home", VO, linked_ids=(WORK, SAML)))
    assert open_claims(registry) == [("home", WORK, False), ("home", SAML, False)]
    with registry.read() as reader:
        assert reader.recorded(elsewhere("work")).account is None
        assert [one.username for one in reader.page_of_evidence(EVERY_OPEN).items] == [
            account.username
        ] * 2
    assert newest_change(registry)[0] == "record_listing"
    assert not say(registry, listed("home", VO, linked_ids=(SAML, WORK)), began=NOW + 1)


def test_evidence_that_the_source_withdraws_leaves_the_open_list(registry: Registry) -> None:
    say(registry, listed("home", VO, linked_ids=(WORK, SAML)))
    say(registry, listed("home", VO, linked_ids=(SAML,)), began=NOW + 1)
    assert [claim for _, claim, _ in open_claims(registry)] == [SAML]
    say(registry, began=NOW + 2)
    assert open_claims(registry) == []
    with registry.read() as reader:
        assert {
            one.withdrawn for one in reader.page_of_evidence(EvidenceQuestion(state=None)).items
        } == {True}
        first = reader.page_of_evidence(EvidenceQuestion(state=None)).items[0].evidence_id
    with registry.write(AUTHOR) as writer, refuses(Reason.EVIDENCE_SETTLED):
        writer.settle_evidence(first, EvidenceState.APPROVED)
    say(registry, listed("home", VO, linked_ids=(WORK,)), began=NOW + 3)
    assert [claim for _, claim, _ in open_claims(registry)] == [WORK]


def test_an_unreadable_record_withdraws_nothing(registry: Registry) -> None:
    """Law 6."""
    say(registry, listed("home", VO, linked_ids=(WORK,)))
    say(registry, listed("home", VO, readable=False), began=NOW + 1)
    assert [claim for _, claim, _ in open_claims(registry)] == [WORK]


def test_one_linked_id_claimed_twice_is_marked_until_one_claim_is_refused(
    registry: Registry,
) -> None:
    open_one(registry, "home")
    say(registry, listed("home", VO, linked_ids=(WORK,)), listed("thief", VO, linked_ids=(WORK,)))
    assert [contradicted for _, _, contradicted in open_claims(registry)] == [True, True]
    with registry.read() as reader:
        rivals = [
            (one.identity.subject, one.rivals) for one in reader.page_of_evidence(EVERY_OPEN).items
        ]
        wrong = next(
            one
            for one in reader.page_of_evidence(EVERY_OPEN).items
            if one.identity.subject == "thief"
        )
    assert rivals == [("home", (person("thief"),)), ("thief", (person("home"),))]
    with registry.write(AUTHOR) as writer:
        writer.settle_evidence(wrong.evidence_id, EvidenceState.REFUSED)
    assert open_claims(registry) == [("home", WORK, False)]
    say(
        registry,
        listed("home", VO, linked_ids=(WORK,)),
        listed("thief", VO, linked_ids=()),
        began=NOW + 1,
    )
    say(
        registry,
        listed("home", VO, linked_ids=(WORK,)),
        listed("thief", VO, linked_ids=(WORK,)),
        began=NOW + 2,
    )
    assert open_claims(registry) == [("home", WORK, False)], "refused once, refused when said again"


def test_an_id_that_has_another_account_contradicts_the_claim(registry: Registry) -> None:
    open_one(registry, "home")
    owner = open_one(registry, "owner")
    link(registry, owner, elsewhere("work"))
    say(registry, listed("home", VO, linked_ids=(WORK,)))
    with registry.read() as reader:
        assert [one.rivals for one in reader.page_of_evidence(EVERY_OPEN).items] == [
            (elsewhere("work"),)
        ]


def test_identities_of_one_account_do_not_contradict_each_other(registry: Registry) -> None:
    account = open_one(registry, "home")
    link(registry, account, person("second"))
    say(registry, listed("home", VO, linked_ids=(WORK,)), listed("second", VO, linked_ids=(WORK,)))
    assert [contradicted for _, _, contradicted in open_claims(registry)] == [False, False]
    link(registry, account, elsewhere("work"))
    assert [contradicted for _, _, contradicted in open_claims(registry)] == [False, False]


def test_a_saml_user_is_not_an_openid_subject_of_the_same_spelling(registry: Registry) -> None:
    saml = LinkedId(LinkedIdKind.SAML, OTHER, "work")
    say(registry, listed("home", VO, linked_ids=(WORK,)), listed("other", VO, linked_ids=(saml,)))
    assert [contradicted for _, _, contradicted in open_claims(registry)] == [False, False]


def test_evidence_names_the_canonical_issuer(registry: Registry) -> None:
    """Law 1: the issuer's own alias table says which string it is."""
    with registry.write(AUTHOR) as writer:
        alias = "https://old.example.org/"
        writer.save_issuer(profile(OTHER, aliases=frozenset({alias})))
        said = LinkedId(LinkedIdKind.OIDC, alias, "work")
        writer.record_listing(listing(listed("home", VO, linked_ids=(said,))))
    assert open_claims(registry) == [("home", WORK, False)]


def test_evidence_is_paged_and_settled_once(registry: Registry) -> None:
    ids = tuple(LinkedId(LinkedIdKind.OIDC, OTHER, f"w{number}") for number in range(5))
    say(registry, listed("home", VO, linked_ids=ids))
    with registry.read() as reader:
        first = reader.page_of_evidence(EVERY_OPEN, limit=2).items
        rest = reader.page_of_evidence(EVERY_OPEN, after=first[-1].evidence_id).items
        assert [one.claims for one in (*first, *rest)] == list(ids)
        assert reader.find_evidence(first[0].evidence_id) == first[0]
        assert reader.find_evidence(10_000) is None
    with registry.write(AUTHOR) as writer:
        writer.settle_evidence(first[0].evidence_id, EvidenceState.APPROVED)
        with refuses(Reason.EVIDENCE_SETTLED):
            writer.settle_evidence(first[0].evidence_id, EvidenceState.REFUSED)
        with pytest.raises(NotFound):
            writer.settle_evidence(10_000, EvidenceState.REFUSED)
    with registry.read() as reader:
        assert len(reader.page_of_evidence(EVERY_OPEN).items) == 4
        assert (
            len(reader.page_of_evidence(EvidenceQuestion(state=EvidenceState.APPROVED)).items) == 1
        )


def test_a_rehearsed_listing_changes_the_same_people_when_it_is_kept(registry: Registry) -> None:
    """Evidence is part of a person's record: batches of a run depend on it."""
    people = (listed("home", VO, linked_ids=(WORK,)), listed("jo", VO))
    say(registry, listed("home", VO), listed("jo", VO))
    with registry.rehearse(AUTHOR) as writer:
        rehearsed = writer.record_listing(listing(*people, began=NOW + 1))
    assert rehearsed == {person("home")}
    with registry.write(AUTHOR) as writer:
        assert writer.record_listing(listing(*people, began=NOW + 1), only=rehearsed) == rehearsed
        assert writer.record_listing(listing(*people, began=NOW + 1)) == frozenset()


def test_what_could_be_linked_is_told_from_what_could_not(registry: Registry) -> None:
    """Of a large community most linked ids are of home organisations that no door here takes."""
    account = open_one(registry, "home")
    unknown = LinkedId(LinkedIdKind.OIDC, "https://home.example/", "x")
    say(registry, listed("home", VO, linked_ids=(SAML, WORK, unknown)))
    linkable = EvidenceQuestion(linkable=True)
    with registry.read() as reader:
        assert [one.claims for one in reader.page_of_evidence(linkable).items] == [WORK]
    link(registry, account, elsewhere("work"))
    with registry.read() as reader:
        assert reader.page_of_evidence(linkable).items == ()
        assert len(reader.page_of_evidence(EVERY_OPEN).items) == 3


def test_no_link_is_made_to_a_banned_account_that_has_no_identity_left(registry: Registry) -> None:
    account = open_one(registry, "home")
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.SUSPENDED_BY_PERSON)
        writer.unlink_identity(account.account_id, person("home"))
    ban(registry, account=account)
    with refuses(Reason.BANNED):
        link(registry, account, elsewhere("work"))

"""Shared accounts, pools and terms in the registry: exact names, links by rule alone, counts, what nodes are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from idmap.application.ports import CredentialKind, Registry
from idmap.domain.accounts import NO_TERMS, Account, AccountEvent, AccountState, AccountTerms
from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.linking import LinkProof
from idmap.domain.node_access import EVERYWHERE, NOWHERE, NodeAccess
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from idmap.domain.shared_accounts import holder_of_shared
from idmap.domain.spelling import PrefixCounter
from tests.contracts.test_linking_contract import ban, newest_change
from tests.support.registry_scenes import AUTHOR, NOW, OTHER, STAFF, open_one, person, profile

RULE = LinkProof.RULE


def refuses(reason: Reason) -> Any:
    return pytest.raises(IdmapError, check=lambda error: error.reason is reason)


def open_shared(registry: Registry, subject: str = "ann", **more: Any) -> Account:
    return open_one(registry, subject, "atlasprd", shared=True, **more)


def let_in(registry: Registry, account: Account, subject: str) -> bool:
    with registry.write(AUTHOR) as writer:
        return writer.link_identity(account.account_id, person(subject), RULE)


def let_out(registry: Registry, account: Account, subject: str) -> None:
    with registry.write(AUTHOR) as writer:
        writer.unlink_identity(account.account_id, person(subject), by_rule=True)


def shown(registry: Registry, account: Account) -> Account:
    with registry.read() as reader:
        found = reader.find_account(account_id=account.account_id)
    assert found is not None
    return found


# --- exact names


def test_a_shared_account_has_exactly_its_name_and_says_what_it_is(registry: Registry) -> None:
    account = open_shared(registry)
    assert (account.username, account.shared) == ("atlasprd", True)
    assert shown(registry, account) == account
    action, body = newest_change(registry)
    assert (action, body["shared"]) == ("open_account", True)


def test_a_name_that_is_taken_opens_nothing_and_takes_nothing(registry: Registry) -> None:
    """No other name and no number in its stead; also none of a group's or of a node's own."""
    somebody = open_one(registry, "bob", "atlasprd")
    with registry.read() as reader:
        before = reader.ranges()
    with refuses(Reason.NAME_TAKEN):
        open_shared(registry)
    with registry.read() as reader:
        assert reader.ranges() == before
        assert reader.names_taken({"atlasprd", "vo", "free"}) == {"atlasprd", "vo"}
        assert reader.names_taken(()) == frozenset()
    assert shown(registry, somebody).shared is False


def test_a_name_of_a_nodes_own_is_taken(registry: Registry) -> None:
    with registry.write(AUTHOR) as writer:
        writer.add_credential(CredentialKind.NODE, "n1", b"d" * 32, node_class="login", at=NOW)
        writer.save_node_report(
            "n1", revision=1, ban_counter=0, masked=(), local_names=("atlasprd",), at=NOW
        )
    with registry.read() as reader:
        assert reader.names_taken({"atlasprd"}) == {"atlasprd"}
    with refuses(Reason.NAME_TAKEN):
        open_shared(registry)


def test_a_shared_account_without_a_name_is_refused(registry: Registry) -> None:
    with refuses(Reason.NAME_REFUSED):
        open_one(registry, "ann", None, shared=True)


# --- who is in it


def test_only_a_rule_lets_somebody_in_or_out(registry: Registry) -> None:
    """Neither two logins nor an administrator nor an issuer's word: the next run would undo it."""
    account = open_shared(registry)
    for proof in set(LinkProof) - {RULE}:
        with refuses(Reason.ACCOUNT_SHARED), registry.write(AUTHOR) as writer:
            writer.link_identity(account.account_id, person("bob"), proof)
    assert let_in(registry, account, "bob")
    assert not let_in(registry, account, "bob"), "it is one of them already"
    with refuses(Reason.ACCOUNT_SHARED), registry.write(AUTHOR) as writer:
        writer.unlink_identity(account.account_id, person("bob"))
    let_out(registry, account, "bob")
    with registry.read() as reader:
        assert reader.identities_of(account.account_id) == (person("ann"),)
        assert reader.recorded(person("bob")).account is None


def test_a_rule_links_nobody_to_an_account_that_is_somebodys_own(registry: Registry) -> None:
    own = open_one(registry, "ann", "ann")
    with refuses(Reason.ACCOUNT_SHARED):
        let_in(registry, own, "bob")
    with refuses(Reason.ACCOUNT_SHARED):
        let_out(registry, own, "ann")


def test_nobody_is_taken_from_another_account(registry: Registry) -> None:
    account = open_shared(registry)
    open_one(registry, "bob", "bob")
    with refuses(Reason.IDENTITY_LINKED_ELSEWHERE):
        let_in(registry, account, "bob")


def test_a_link_and_a_ban_do_not_mix(registry: Registry) -> None:
    account = open_shared(registry)
    let_in(registry, account, "bob")
    ban(registry, identity=person("bob"))
    for refused in ("ann", "bob"):
        with refuses(Reason.BANNED):
            let_out(registry, account, refused)
    with refuses(Reason.BANNED):
        let_in(registry, account, "cid")


def test_a_closed_account_lets_nobody_in_and_everybody_out(registry: Registry) -> None:
    account = open_shared(registry)
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.CLOSED)
    with refuses(Reason.ACCOUNT_CLOSED):
        let_in(registry, account, "bob")
    let_out(registry, account, "ann")
    with registry.read() as reader:
        assert reader.identities_of(account.account_id) == ()
        assert reader.names_taken({"atlasprd"}) == {"atlasprd"}, "its name is nobody's any more"


def test_who_left_may_have_an_account_of_their_own_in_the_same_transaction(
    registry: Registry,
) -> None:
    account = open_shared(registry)
    let_in(registry, account, "bob")
    with registry.write(AUTHOR) as writer:
        writer.unlink_identity(account.account_id, person("bob"), by_rule=True)
    own = open_one(registry, "bob", "bob")
    assert own.uid_number != account.uid_number
    with registry.read() as reader:
        assert reader.recorded(person("bob")).account == own


def test_what_a_rule_does_is_told_apart_on_the_record(registry: Registry) -> None:
    account = open_shared(registry)
    let_in(registry, account, "bob")
    action, body = newest_change(registry)
    assert (action, body["proof"], body["subject"]) == ("link_identity", "rule", "bob")
    let_out(registry, account, "bob")
    action, body = newest_change(registry)
    assert (action, body["proof"], body["subject"]) == ("unlink_identity", "rule", "bob")


def test_nodes_are_told_whose_the_account_is_and_that_it_is_shared(registry: Registry) -> None:
    """Every member's identity leads to it, and the account itself stands among them."""
    account = open_shared(registry)
    let_in(registry, account, "bob")
    own = open_one(registry, "cid", "cid")
    with registry.read() as reader:
        assert set(reader.every_linked_identity()) == {
            (person("ann"), account.uid_number),
            (person("bob"), account.uid_number),
            (person("cid"), own.uid_number),
            (holder_of_shared("atlasprd"), account.uid_number),
        }
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.CLOSED)
    with registry.read() as reader:
        assert set(reader.every_linked_identity()) == {(person("cid"), own.uid_number)}


# --- terms


TERMS = (
    NO_TERMS,
    AccountTerms(NOWHERE),
    AccountTerms(NodeAccess(frozenset({"login", "gpu"})), frozenset({"b", "a"}), date(2026, 12, 4)),
    AccountTerms(EVERYWHERE.but_not_on({"secure"})),
    AccountTerms(expires_on=date(2199, 12, 31)),
)


@pytest.mark.parametrize("terms", TERMS, ids=str)
def test_terms_are_kept_as_they_are(registry: Registry, terms: AccountTerms) -> None:
    opened = open_one(registry, "ann", "ann", terms=terms)
    assert opened.terms == terms
    assert shown(registry, opened) == opened
    plain = open_one(registry, "bob", "bob")
    with registry.write(AUTHOR) as writer:
        changed = writer.change_terms(plain.account_id, terms)
    assert changed == replace(
        plain, access=terms.access, local_groups=terms.local_groups, expires_on=terms.expires_on
    )
    assert shown(registry, plain) == changed


def test_a_change_of_terms_is_on_the_record_and_nodes_must_know(registry: Registry) -> None:
    account = open_one(registry, "ann", "ann")
    with registry.read() as reader:
        before = reader.revision()
    with registry.write(AUTHOR) as writer:
        writer.change_terms(account.account_id, TERMS[2])
    with registry.read() as reader:
        assert reader.revision() == before + 1
    action, body = newest_change(registry)
    assert action == "change_terms"
    assert body["before"] == {"node_classes": "*", "local_groups": "", "expires_on": None}
    assert body["after"] == {
        "node_classes": "gpu,login", "local_groups": "a,b", "expires_on": "2026-12-04",
    }  # fmt: skip


def test_the_same_terms_again_change_nothing(registry: Registry) -> None:
    account = open_one(registry, "ann", "ann", terms=TERMS[2])
    with registry.read() as reader:
        before = (reader.revision(), reader.last_change())
    with registry.write(AUTHOR) as writer:
        assert writer.change_terms(account.account_id, TERMS[2]) == account
    with registry.read() as reader:
        assert (reader.revision(), reader.last_change()) == before


def test_a_closed_account_has_no_terms_to_change(registry: Registry) -> None:
    account = open_one(registry, "ann", "ann")
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.CLOSED)
    with refuses(Reason.ACCOUNT_CLOSED), registry.write(AUTHOR) as writer:
        writer.change_terms(account.account_id, TERMS[2])


def test_grace_can_be_cut_and_nothing_else_has_a_day(registry: Registry) -> None:
    account = open_one(registry, "ann", "ann")
    later, sooner = date(2026, 12, 30), date(2026, 12, 1)
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.ENTITLEMENT_LOST, grace_until=later)
        cut = writer.move_account(account.account_id, AccountEvent.GRACE_CUT, grace_until=sooner)
    assert (cut.state, cut.grace_until) == (AccountState.GRACE, sooner)
    assert shown(registry, account) == cut
    with pytest.raises(InvalidInput), registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.GRACE_CUT)


# --- counts


def test_accounts_of_some_rules_are_counted_but_for_closed_ones(registry: Registry) -> None:
    for subject, rule in (("ann", "course"), ("bob", "course"), ("cid", "again"), ("dan", "other")):
        open_one(registry, subject, subject, rule_id=rule)
    with registry.read() as reader:
        assert reader.count_accounts_of({"course", "again", "none"}) == 3
        assert reader.count_accounts_of(frozenset()) == 0
        bob = reader.find_account(username="bob")
    assert bob is not None
    for event, left in ((AccountEvent.SUSPENDED_BY_PERSON, 3), (AccountEvent.CLOSED, 2)):
        with registry.write(AUTHOR) as writer:
            writer.move_account(bob.account_id, event)
        with registry.read() as reader:
            assert reader.count_accounts_of({"course", "again"}) == left


def test_those_who_may_use_an_account_are_counted_person_by_person(registry: Registry) -> None:
    shared, own = open_shared(registry), open_one(registry, "cid", "cid")
    for subject in ("bob", "dan"):
        let_in(registry, shared, subject)
    with registry.read() as reader:
        assert reader.count_users() == 4
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
        writer.link_identity(own.account_id, person("second", OTHER), LinkProof.ADMINISTRATOR)
        writer.move_account(shared.account_id, AccountEvent.SUSPENDED_BY_PERSON)
    with registry.read() as reader:
        assert reader.count_users() == 1, "somebody with two identities is one person"


def test_a_pool_counts_its_names_and_has_its_own_range(registry: Registry) -> None:
    pool = NumberRange("pools", RangePurpose.POOLS, 400_000, 400_009)
    with registry.write(AUTHOR) as writer:
        writer.add_range(pool)
    more: dict[str, Any] = {
        "number_range": "pools",
        "purpose": RangePurpose.POOLS,
        "counter": PrefixCounter("course", 2),
    }
    names = [open_one(registry, f"s{n}", None, **more) for n in range(2)]
    assert [(one.username, one.uid_number) for one in names] == [
        ("course01", 400_000),
        ("course02", 400_001),
    ]
    with refuses(Reason.RANGE_UNKNOWN):
        open_one(registry, "s8", None, number_range="pools")
    with refuses(Reason.RANGE_UNKNOWN):
        open_one(registry, "s9", None, **(more | {"number_range": "people"}))


def test_a_shared_account_may_be_in_groups_like_any_other(registry: Registry) -> None:
    account = open_shared(registry, secondary_groups=(STAFF,))
    assert len(account.secondary_groups) == 1
    with registry.write(AUTHOR) as writer:
        left = writer.change_groups(account.account_id, leave=[STAFF])
    assert left.secondary_groups == ()

"""Accounts that wait for approval, and memberships with a last day."""

from __future__ import annotations

from datetime import date

import pytest

from idmap.application.ports import Registry
from idmap.application.questions import AccountQuestion
from idmap.domain.accounts import AccountEvent, AccountState, LeavingGroup
from idmap.domain.decision import decide
from idmap.domain.doors import API
from idmap.domain.errors import Conflict
from idmap.domain.posix import posix_chunks
from idmap.domain.reasons import Reason
from idmap.domain.rules import EMPTY_RULES
from tests.support.registry_scenes import AUTHOR, NOW, STAFF, open_one, person

DAY = date(2030, 1, 1)


def test_a_pending_account_has_its_number_and_name_and_no_node_hears_of_it(
    registry: Registry,
) -> None:
    account = open_one(registry, "new", "jo", pending=True)
    assert account.state is AccountState.PENDING
    with registry.read() as reader:
        assert reader.page_of_accounts(AccountQuestion(state=AccountState.PENDING)).items == (
            account,
        )
        assert reader.count_accounts()[AccountState.PENDING] == 1
        assert list(reader.every_linked_identity()) == []
        chunks = posix_chunks(reader.every_account(), reader.posix_groups().values())
        assert not any(b"user\t" in chunk for chunk in chunks.values())
        decision = decide(reader.recorded(person("new")), EMPTY_RULES, NOW, API)
    assert decision.reasons == (Reason.ACCOUNT_AWAITS_APPROVAL,)
    later = open_one(registry, "later", "jo")
    assert later.uid_number > account.uid_number
    assert later.username != "jo", "the name is issued"


def test_approval_makes_it_usable_and_known(registry: Registry) -> None:
    account = open_one(registry, "new", "jo", pending=True)
    with registry.write(AUTHOR) as writer:
        approved = writer.move_account(account.account_id, AccountEvent.APPROVED_BY_PERSON)
    assert approved.state is AccountState.ACTIVE
    with registry.read() as reader:
        assert list(reader.every_linked_identity()) == [(person("new"), account.uid_number)]
        chunks = posix_chunks(reader.every_account(), reader.posix_groups().values())
        assert sum(chunk.count(b"user\tjo\t") for chunk in chunks.values()) == 1


def test_a_refused_newcomer_leaves_a_tombstone_and_no_free_number(registry: Registry) -> None:
    account = open_one(registry, "new", "jo", pending=True)
    with registry.write(AUTHOR) as writer:
        writer.move_account(account.account_id, AccountEvent.CLOSED)
    later = open_one(registry, "later", "jo")
    assert later.uid_number > account.uid_number
    assert later.username != "jo"


def test_a_ban_says_so_before_approval_does(registry: Registry) -> None:
    open_one(registry, "new", pending=True)
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=None, identity=person("new"), reason="x", until=None, at=NOW)
    with registry.read() as reader:
        decision = decide(reader.recorded(person("new")), EMPTY_RULES, NOW, API)
    assert decision.reason is Reason.BANNED


def test_a_membership_has_a_last_day_and_stays_until_then(registry: Registry) -> None:
    account = open_one(registry, "jo", secondary_groups=(STAFF,))
    (staff,) = account.secondary_groups
    with registry.read() as reader:
        before = reader.revision()
    with registry.write(AUTHOR) as writer:
        leaving = writer.set_membership_grace(account.account_id, [STAFF], DAY)
    assert leaving.leaving == (LeavingGroup(staff, DAY),)
    assert leaving.secondary_groups == account.secondary_groups
    with registry.read() as reader:
        assert reader.revision() == before, "nodes are told nothing new"
        assert list(reader.every_account()) == [leaving]
        assert reader.recorded(person("jo")).account == leaving
        entry = reader.changes(after=reader.last_change() - 1)[0]
    assert entry.action == "set_membership_grace"
    assert entry.body == {
        "account_id": account.account_id,
        "groups": [staff.name],
        "until": "2030-01-01",
    }
    with registry.write(AUTHOR) as writer:
        kept = writer.set_membership_grace(account.account_id, [STAFF], None)
    assert kept == account


def test_a_group_left_takes_its_last_day_with_it(registry: Registry) -> None:
    account = open_one(registry, "jo", secondary_groups=(STAFF,))
    with registry.write(AUTHOR) as writer:
        writer.set_membership_grace(account.account_id, [STAFF], DAY)
        left = writer.change_groups(account.account_id, leave=[STAFF])
        assert (left.secondary_groups, left.leaving) == ((), ())
        back = writer.change_groups(account.account_id, join=[STAFF])
    assert (back.secondary_groups, back.leaving) == (account.secondary_groups, ())
    with registry.read() as reader:
        assert list(reader.every_account()) == [back]


def test_only_a_group_that_is_held_can_be_on_its_way_out(registry: Registry) -> None:
    account = open_one(registry, "jo")
    with registry.write(AUTHOR) as writer, pytest.raises(Conflict):
        writer.set_membership_grace(account.account_id, [STAFF], DAY)

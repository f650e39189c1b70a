"""What was issued to a shared account is the account's: whoever opens it again gets it, and none of its people do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from idmap.adapters.sql.restore import Given
from idmap.application.published_issues import Published, PublishedIssue
from idmap.domain.accounts import Account
from idmap.domain.errors import Conflict
from idmap.domain.identity import Identity, identity_digest
from idmap.domain.linking import LinkProof
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from idmap.domain.shared_accounts import holder_of_shared
from tests.adapters.sql.test_backup_restore import Host, given_pair
from tests.support.registry_scenes import AUTHOR, open_one, opening, person

NEW_RANGE = NumberRange("later", RangePurpose.PEOPLE, 500_000, 500_009)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    directory = tmp_path / "host"
    directory.mkdir()
    made = Host(directory)
    yield made
    made.registry.close()


def open_shared(host: Host, subject: str, **more: str) -> Account:
    return open_one(host.registry, subject, "atlasprd", shared=True, **more)


def let_in(host: Host, account: Account, subject: str) -> None:
    with host.registry.write(AUTHOR) as writer:
        writer.link_identity(account.account_id, person(subject), LinkProof.RULE)


def lose_everything_beside(host: Host) -> None:
    """The disk died: database, marks and journal are gone."""
    host.registry.close()
    for file in host.directory.glob("registry.db*"):
        file.unlink()


def taken(host: Host) -> bool:
    with host.registry.read() as reader:
        return bool(reader.names_taken({"atlasprd"}))


def snapshot_of(account: Account, *people: Identity, salt: bytes, marked: bool = True) -> Given:
    """What the published chunks say of it."""
    everybody = [*people, *([holder_of_shared(account.username)] if marked else [])]
    issued = tuple(
        PublishedIssue("user", account.username, account.uid_number, identity_digest(salt, one))
        for one in everybody
    )
    return Given(published=Published(realm="a-site", salt=salt, issued=issued))


def salt_of(host: Host) -> bytes:
    with host.registry.read() as reader:
        return reader.salt()


@pytest.mark.parametrize("known_by", ["database", "journal", "snapshot"])
def test_whoever_opens_it_again_gets_the_same_number(host: Host, known_by: str) -> None:
    """After a restore of an older backup, from whatever is left; another member than the first time."""
    backup = host.backup()
    account = open_shared(host, "anna-too")
    let_in(host, account, "bert-too")
    given = Given()
    if known_by == "snapshot":
        members = (person("anna-too"), person("bert-too"))
        given = snapshot_of(account, *members, salt=salt_of(host))
        lose_everything_beside(host)
    if known_by == "journal":
        host.registry.close()
        host.path.unlink()
    host.restore(backup, given)
    host.open()
    assert not taken(host)
    own = open_one(host.registry, "bert-too", "atlasprd")
    assert given_pair(own) not in {given_pair(account), (account.username, own.uid_number)}
    assert own.uid_number != account.uid_number, "a member has no claim to what is the account's"
    again = open_shared(host, "carl")
    assert given_pair(again) == given_pair(account)
    assert host.findings() == []


def test_a_snapshot_from_before_accounts_were_marked_gives_it_to_its_people(host: Host) -> None:
    """Accounts that are one person's are not marked; nothing changes for them."""
    backup = host.backup()
    account = open_one(host.registry, "carl", "carl")
    given = snapshot_of(account, person("carl"), salt=salt_of(host), marked=False)
    lose_everything_beside(host)
    host.restore(backup, given)
    host.open()
    assert given_pair(open_one(host.registry, "carl", "carl")) == given_pair(account)


def test_what_was_a_persons_never_becomes_a_shared_account(host: Host) -> None:
    backup = host.backup()
    own = open_one(host.registry, "carl", "atlasprd")
    host.restore(backup)
    host.open()
    assert taken(host)
    with pytest.raises(Conflict, check=lambda e: e.reason is Reason.NAME_TAKEN):
        open_shared(host, "carl")
    assert given_pair(open_one(host.registry, "carl", "carl")) == given_pair(own)


def test_a_number_in_no_range_of_today_is_waited_for(host: Host) -> None:
    """The name alone, with another number, would be another account's: nothing is opened until the range is back."""
    backup = host.backup()
    with host.registry.write(AUTHOR) as writer:
        writer.add_range(NEW_RANGE)
    account = open_shared(host, "anna-too", number_range="later")
    host.restore(backup)
    host.open()
    assert taken(host)
    with pytest.raises(Conflict, check=lambda e: e.reason is Reason.NAME_TAKEN):
        open_shared(host, "anna-too")
    with host.registry.write(AUTHOR) as writer:
        writer.add_range(NEW_RANGE)
    assert not taken(host)
    assert given_pair(open_shared(host, "bert-too", number_range="later")) == given_pair(account)
    assert host.findings() == []


def test_a_transaction_that_was_lost_leaves_the_name_to_the_account(host: Host) -> None:
    """The journal was written, the commit never came: the next opener gets what was promised."""
    with contextlib.suppress(ZeroDivisionError), host.registry.write(AUTHOR) as writer:
        writer.open_account(opening(person("anna-too"), "atlasprd", shared=True))
        writer.finish()  # type: ignore[attr-defined]
        raise ZeroDivisionError
    assert not taken(host)
    host.registry.close()
    host.open()
    assert not taken(host)
    account = open_shared(host, "bert-too")
    assert account.username == "atlasprd"
    assert host.findings() == []


def test_a_shared_account_in_use_without_anybody_is_found(host: Host) -> None:
    """No plan leaves one so: nobody would be judged, and it would never end."""
    account = open_shared(host, "anna-too")
    assert host.findings() == []
    with host.registry.write(AUTHOR) as writer:
        writer.unlink_identity(account.account_id, person("anna-too"), by_rule=True)
    (found,) = host.findings()
    assert "shared accounts in use that nobody is in: atlasprd" in found

"""Law 2 over random histories, on a real registry: no number and no name has
two owners.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Registry
from idmap.domain.accounts import TRANSITIONS, AccountEvent, AccountState
from idmap.domain.errors import Conflict
from idmap.domain.numbers import is_refused_number
from tests.support.examples import examples
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    NOW,
    VO,
    furnish,
    listed,
    listing,
    opening,
    person,
)

SUBJECTS = st.sampled_from([f"s{number}" for number in range(8)])
NAMES = st.sampled_from([None, "alice", "bob", "carol", "vo"])


class History(RuleBasedStateMachine):
    """Everything that can happen to people."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = self.make()
        furnish(self.registry)
        self.now = NOW
        self.issued: dict[str, tuple[str, int]] = {}
        """Subject → the name and number given to it."""
        self.lost: dict[str, tuple[str, int]] = {}
        """The same for those whom a restore forgot: theirs for good all the same."""

    def make(self) -> Registry:
        return make_registry(lambda: NOW)

    @rule(subject=SUBJECTS, spelled=NAMES)
    def open(self, subject: str, spelled: str | None) -> None:
        """A person comes, or comes back: then they have the account they had."""
        with self.registry.write(AUTHOR) as writer:
            if subject in self.issued:
                with pytest.raises(Conflict):
                    writer.open_account(opening(person(subject), spelled))
            else:
                account = writer.open_account(opening(person(subject), spelled))
                given = (account.username, account.uid_number)
                if subject in self.lost:
                    assert given == self.lost.pop(subject)
                others = [*self.issued.values(), *self.lost.values()]
                names = {name for name, _ in others}
                numbers = {number for _, number in others}
                assert given[0] not in names | {"vo"}
                assert given[1] not in numbers
                self.issued[subject] = given

    @rule(subject=SUBJECTS, spelled=NAMES)
    def fail(self, subject: str, spelled: str | None) -> None:
        """An account is opened and the transaction lost."""
        if subject not in self.issued:
            with contextlib.suppress(ZeroDivisionError), self.registry.write(AUTHOR) as writer:
                writer.open_account(opening(person(subject), spelled))
                raise ZeroDivisionError

    @rule(subject=SUBJECTS, event=st.sampled_from(AccountEvent))
    def move(self, subject: str, event: AccountEvent) -> None:
        """Entitlement lost and returned, suspension, closing."""
        with self.registry.write(AUTHOR) as writer:
            account = writer.recorded(person(subject)).account
            if account is None:
                return
            state = TRANSITIONS[account.state].get(event)
            until = date(2030, 1, 1) if state is AccountState.GRACE else None
            if state is None:
                with pytest.raises(Conflict):
                    writer.move_account(account.account_id, event, until)
            else:
                assert writer.move_account(account.account_id, event, until).state is state

    @rule(subject=SUBJECTS)
    def ban_or_lift(self, subject: str) -> None:
        with self.registry.write(AUTHOR) as writer:
            known = [ban for ban in writer.bans() if ban.identity == person(subject)]
            if known:
                writer.lift_ban(known[0].ban_id)
            else:
                identity = person(subject)
                writer.add_ban(account_id=None, identity=identity, reason="x", until=None, at=NOW)

    @rule(subjects=st.sets(SUBJECTS), readable=st.booleans())
    def list_people(self, subjects: set[str], readable: bool) -> None:
        self.now += 1
        people = [listed(subject, VO, readable=readable) for subject in sorted(subjects)]
        with self.registry.write(AUTHOR) as writer:
            writer.record_listing(listing(*people, began=self.now))

    @invariant()
    def everybody_has_what_they_were_given(self) -> None:
        with self.registry.read() as reader:
            found = {
                facts.recorded.identity.subject: (
                    facts.recorded.account.username,
                    facts.recorded.account.uid_number,
                )
                for facts in reader.people()
                if facts.recorded.account is not None
            }
            accounts = list(reader.every_account())
        assert found == self.issued
        assert len(accounts) == len(self.issued)
        assert not any(is_refused_number(account.uid_number) for account in accounts)

    def teardown(self) -> None:
        with self.registry.read() as reader:
            assert reader.verify_changes() == len(reader.changes(limit=10_000))
        self.registry.close()


class RestoredHistory(History):
    """The same, and restarts, and restored backups."""

    def make(self) -> Registry:
        self.directory = Path(tempfile.mkdtemp())
        self.url = f"sqlite:///{self.directory}/registry.db"
        return SqlRegistry.create(self.url, lambda: NOW)

    @rule()
    def restart(self) -> None:
        self.registry.close()
        self.registry = SqlRegistry.open(self.url, lambda: NOW)

    @rule(subject=SUBJECTS, spelled=NAMES)
    def restore_a_backup_older_than_the_newest_account(
        self, subject: str, spelled: str | None
    ) -> None:
        """What was given since the backup is given to nobody else; who had it gets it again."""
        if subject in self.issued:
            return
        self.registry.close()
        database, backup = self.directory / "registry.db", self.directory / "backup"
        shutil.copy(database, backup)
        self.registry = SqlRegistry.open(self.url, lambda: NOW)
        with self.registry.write(AUTHOR) as writer:
            lost = writer.open_account(opening(person(subject), spelled))
        with self.registry.read() as reader:
            revision = reader.revision()
        self.registry.close()
        backup.replace(database)
        self.registry = SqlRegistry.open(self.url, lambda: NOW)
        with self.registry.read() as reader:
            assert reader.revision() > revision
        given = (lost.username, lost.uid_number)
        assert self.lost.setdefault(subject, given) == given

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.directory)


TestHistories = History.TestCase
TestHistories.settings = settings(max_examples=examples(40), stateful_step_count=30, deadline=None)
TestRestoredHistories = RestoredHistory.TestCase
TestRestoredHistories.settings = settings(
    max_examples=examples(20),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

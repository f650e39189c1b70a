"""Random histories of links, bans and accounts: a link never moves a ban, a number or a name."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from idmap.application.ports import RegistryWriter
from idmap.domain.accounts import AccountEvent, AccountState
from idmap.domain.errors import IdmapError
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.linking import LinkProof
from idmap.domain.reasons import Reason
from tests.support.examples import examples
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    NOW,
    OTHER,
    STAFF,
    VO,
    furnish,
    open_one,
    opening,
    person,
    profile,
)

WHO = [person(name) for name in "abc"] + [person(name, OTHER) for name in "abc"]
PEOPLE = st.sampled_from(WHO)
ALLOWED = {
    Reason.BANNED,
    Reason.ACCOUNT_CLOSED,
    Reason.IDENTITY_LINKED_ELSEWHERE,
    Reason.LAST_IDENTITY,
    Reason.NOT_FOUND,
}


class Links(RuleBasedStateMachine):
    """Six identities of two issuers, their accounts, and everything that may happen to both."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = make_registry(lambda: NOW)
        furnish(self.registry)
        with self.registry.write(AUTHOR) as writer:
            writer.save_issuer(profile(OTHER))
        open_one(self.registry, "a")
        self.issued: dict[int, tuple[str, int]] = {}
        self.orphans: set[int] = set()
        """Accounts whose last identity went while they were at rest; they may have been restored since."""

    def banned(self) -> dict[Identity, list[int]]:
        """Who is reached by which bans."""
        with self.registry.read() as reader:
            return {who: [ban.ban_id for ban in reader.recorded(who).bans] for who in WHO}

    def banned_numbers(self) -> set[int]:
        with self.registry.read() as reader:
            return {number for number, _ in reader.banned_uid_numbers(NOW)}

    @contextlib.contextmanager
    def maybe(self) -> Iterator[RegistryWriter]:
        """A change that may be refused, for a reason that is no surprise."""
        try:
            with self.registry.write(AUTHOR) as writer:
                yield writer
        except IdmapError as error:
            if error.reason not in ALLOWED:
                raise

    def an_account(self, number: int) -> int:
        with self.registry.read() as reader:
            known = [account.account_id for account in reader.every_account()]
        return known[number % len(known)]

    @rule(who=PEOPLE)
    def open(self, who: Identity) -> None:
        with self.registry.read() as reader:
            has = reader.recorded(who).account is not None
        if not has:
            with self.registry.write(AUTHOR) as writer:
                writer.open_account(opening(who))

    @rule(who=PEOPLE, number=st.integers(0, 5))
    def link(self, who: Identity, number: int) -> None:
        before, numbers = self.banned(), self.banned_numbers()
        account_id = self.an_account(number)
        with self.maybe() as writer:
            writer.link_identity(account_id, who, LinkProof.ADMINISTRATOR)
        assert (self.banned(), self.banned_numbers()) == (before, numbers)

    @rule(who=PEOPLE, number=st.integers(0, 5))
    def unlink(self, who: Identity, number: int) -> None:
        before, numbers = self.banned(), self.banned_numbers()
        account_id = self.an_account(number)
        with self.maybe() as writer:
            writer.unlink_identity(account_id, who)
        assert (self.banned(), self.banned_numbers()) == (before, numbers)

    @rule(who=PEOPLE)
    def ban(self, who: Identity) -> None:
        with self.registry.write(AUTHOR) as writer:
            writer.add_ban(account_id=None, identity=who, reason="x", until=None, at=NOW)

    @rule(number=st.integers(0, 5))
    def ban_account(self, number: int) -> None:
        account_id = self.an_account(number)
        with self.registry.write(AUTHOR) as writer:
            writer.add_ban(account_id=account_id, identity=None, reason="x", until=None, at=NOW)

    @rule(issuer=st.sampled_from([ISSUER, OTHER]))
    def ban_issuer(self, issuer: Issuer) -> None:
        with self.registry.write(AUTHOR) as writer:
            writer.add_ban(
                account_id=None, identity=None, issuer=issuer, reason="x", until=None, at=NOW
            )

    @rule(group=st.sampled_from([VO, STAFF]))
    def ban_group(self, group: Group) -> None:
        with self.registry.write(AUTHOR) as writer:
            writer.add_ban(
                account_id=None, identity=None, group=group, reason="x", until=None, at=NOW
            )

    @rule(who=PEOPLE, group=st.sampled_from([VO, STAFF]))
    def join(self, who: Identity, group: Group) -> None:
        if who.issuer == ISSUER:
            with self.registry.write(AUTHOR) as writer:
                writer.record_observation(who, frozenset({group}), None, NOW)

    @precondition(lambda self: any(self.banned().values()))
    @rule()
    def lift_every_ban(self) -> None:
        with self.registry.write(AUTHOR) as writer:
            for ban in writer.bans():
                writer.lift_ban(ban.ban_id)

    @rule(number=st.integers(0, 5), event=st.sampled_from(AccountEvent))
    def move(self, number: int, event: AccountEvent) -> None:
        if event is AccountEvent.ENTITLEMENT_LOST:
            return
        account_id = self.an_account(number)
        with contextlib.suppress(IdmapError), self.registry.write(AUTHOR) as writer:
            writer.move_account(account_id, event)

    @invariant()
    def nothing_issued_moves_and_nobody_is_left_without_a_way_in(self) -> None:
        with self.registry.read() as reader:
            for account in reader.every_account():
                given = (account.username, account.uid_number)
                assert self.issued.setdefault(account.account_id, given) == given
                at_rest = account.state in {AccountState.SUSPENDED, AccountState.TOMBSTONE}
                if not reader.identities_of(account.account_id):
                    assert at_rest or account.account_id in self.orphans
                    self.orphans.add(account.account_id)
            names = [name for name, _ in self.issued.values()]
            assert len(set(names)) == len(names)

    def teardown(self) -> None:
        with self.registry.read() as reader:
            reader.verify_changes()
        self.registry.close()


TestLinks = Links.TestCase
TestLinks.settings = settings(max_examples=examples(40), stateful_step_count=25, deadline=None)

"""Law 2 over random histories of a whole site: nightly runs, newcomers, bans, orders, restarts.

What was given to whom is written down outside the registry, whenever somebody could have been told. From then on
the number and the name are that person's: whatever happens, nobody else has them, and the person has no others.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.backup import write_backup
from idmap.adapters.sql.engine import open_database, reading
from idmap.adapters.sql.restore import Given as NothingElse
from idmap.adapters.sql.restore import RestoreRequest, restore
from idmap.application.administer import move_account
from idmap.application.ban import BanOrder, add_ban, lift_ban
from idmap.application.link_identities import link, unlink
from idmap.application.open_account import open_own_account
from idmap.application.ports import Author, Listing, Progress
from idmap.application.site_numbers import add_range
from idmap.domain.accounts import Account, AccountEvent
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import API
from idmap.domain.errors import Conflict, NotFound, Refused
from idmap.domain.facts import FactKind
from idmap.domain.groups import Group
from idmap.domain.guard import GuardLimits
from idmap.domain.identity import Identity
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from tests.support.allocating_worker import marks_of
from tests.support.examples import examples
from tests.support.ledger_state import check_ledger
from tests.support.postgresql import cluster
from tests.support.provisioning import RULES, START, Site, ToldSource, group, identity
from tests.support.registries import make_registry, quick_directory

PEOPLE = st.sampled_from([f"n{number}" for number in range(7)])
NAMES = st.sampled_from(["alice", "bob", "carol", "demo_compute", "u400001", "no name"])
"""Few, so that most people want one that is taken; one of a group's, one like those made from numbers."""
ORDERS = st.sampled_from(
    [AccountEvent.SUSPENDED_BY_PERSON, AccountEvent.RESTORED_BY_PERSON, AccountEvent.CLOSED]
)
AUTHOR = Author("admin-key", "an order")
MEMBERS = group("demo/compute")
LAST_OF_RANGE = 5
"""Ranges are too small for everybody: they run out, and others are added."""

Given = tuple[int, str]


class RangeExhausted(Exception):
    """What may well happen here, and is no account."""


class NamingSource(ToldSource):
    """A source whose people spell their names as a test says, and may change their minds."""

    def __init__(self) -> None:
        super().__init__()
        self.called = {f"n{number}": ("alice", "bob", "carol")[number % 3] for number in range(7)}

    def observe(
        self,
        watched: frozenset[Group],
        progress: Progress,
        known: Mapping[Group, str],
        facts: frozenset[FactKind],
    ) -> Listing:
        listing = super().observe(watched, progress, known, facts)
        people = tuple(
            replace(one, preferred_username=self.called.get(str(one.preferred_username)))
            for one in listing.people
        )
        return replace(listing, people=people)


class Histories(RuleBasedStateMachine):
    """Everything that can happen to people, by the use cases that make it happen."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = quick_directory()
        """On PostgreSQL for the marks alone."""
        self.url = self.make()
        self.source = NamingSource()
        self.given: dict[Identity, Given] = {}
        """What was acknowledged, for ever."""
        self.linked: dict[Identity, Identity] = {}
        """Second identities that were ever linked, and whose they are."""
        self.ranges = 1
        self.site = self.new_site()

    def make(self) -> str:
        """A registry; gives its URL."""
        make_registry(lambda: START, self.directory).close()
        return f"sqlite:///{self.directory}/registry.db"

    def new_site(self) -> Site:
        registry = SqlRegistry.open(self.url, lambda: START, self.directory)
        site = Site(registry, self.source, GuardLimits(max_percent=100)).prepare()
        with registry.write(AUTHOR) as writer:
            (profile,) = writer.issuers()
            writer.save_issuer(replace(profile, record_groups_from_tokens=True))
            writer.add_range(
                NumberRange("first", RangePurpose.PEOPLE, 400_000, 400_000 + LAST_OF_RANGE)
            )
        self.use_range(site, "first")
        return site

    def use_range(self, site: Site, name: str) -> None:
        member = dict(RULES["classes"]["member"]) | {"range": name}
        site.save_rules(dict(RULES) | {"classes": {"member": member}})

    # --- what happens

    @rule(members=st.sets(PEOPLE), inactive=st.sets(PEOPLE), unreadable=st.sets(PEOPLE))
    def night(self, members: set[str], inactive: set[str], unreadable: set[str]) -> None:
        """People come, leave and return; whatever the guard stops is approved."""
        self.source.members = {"demo/compute": members}
        self.source.inactive, self.source.unreadable = inactive, unreadable
        self.site.later(seconds=30)
        report = self.site.run()
        if report.reason is Reason.GUARD_STOPPED:
            assert report.plan is not None
            report = self.site.run(approve=report.plan.digest)
        assert report.reason in {None, Reason.RANGE_EXHAUSTED}, report

    @rule(name=PEOPLE, wanted=NAMES)
    def spell(self, name: str, wanted: str) -> None:
        """A person calls themselves something else; who has an account keeps its name."""
        self.source.called[name] = wanted

    @rule(name=PEOPLE)
    def ask(self, name: str) -> None:
        """A newcomer, or somebody who has an account, asks at the API door."""
        self.site.later(seconds=30)
        claims = VerifiedClaims(
            identity=identity(name),
            door=API,
            expires_at=self.site.now + 3600,
            issued_at=self.site.now,
            token_id=None,
            client_id=None,
            groups=frozenset({MEMBERS}),
            preferred_username=self.source.called.get(name),
        )
        with contextlib.suppress(Refused, RangeExhausted):
            opened = self.opened(claims)
            answered = (opened.uid_number, opened.username)
            assert self.given.setdefault(identity(name), answered) == answered

    def opened(self, claims: VerifiedClaims) -> Account:
        try:
            return open_own_account(self.site.registry, claims, self.site.now).account
        except Conflict as error:
            if error.reason is Reason.RANGE_EXHAUSTED:
                raise RangeExhausted from error
            raise

    @rule(days=st.sampled_from([1, 40]))
    def time_passes(self, days: int) -> None:
        self.site.later(days=days)

    @rule(name=PEOPLE, event=ORDERS)
    def order(self, name: str, event: AccountEvent) -> None:
        held = self.given.get(identity(name))
        if held is not None:
            with contextlib.suppress(Conflict, NotFound):
                move_account(self.site.registry, AUTHOR, held[1], event)

    @rule(name=PEOPLE, days=st.sampled_from([None, 3]))
    def ban(self, name: str, days: int | None) -> None:
        until = None if days is None else self.site.now + days * 86_400
        add_ban(
            self.site.registry,
            AUTHOR,
            BanOrder(identity=identity(name)),
            until=until,
            at=self.site.now,
        )

    @precondition(lambda self: bool(self.given))
    @rule(which=st.integers(0, 6))
    def link(self, which: int) -> None:
        """An administrator says who somebody is too; another identity of a person has no number of its own."""
        person, name, second = self.someone(which)
        with contextlib.suppress(Conflict, NotFound, Refused):
            link(self.site.registry, AUTHOR, name, second)
            self.linked[second] = person

    @precondition(lambda self: bool(self.linked))
    @rule(which=st.integers(0, 6))
    def unlink(self, which: int) -> None:
        _, name, second = self.someone(which)
        with contextlib.suppress(Conflict, NotFound, Refused):
            unlink(self.site.registry, AUTHOR, name, second)

    def someone(self, which: int) -> tuple[Identity, str, Identity]:
        """A person who was given an account, its name, and who they are too."""
        person = sorted(self.given, key=str)[which % len(self.given)]
        return person, self.given[person][1], identity(f"second-{person.subject}")

    @rule()
    def lift_the_oldest_ban(self) -> None:
        with self.site.registry.read() as reader:
            bans = reader.bans()
        if bans:
            lift_ban(self.site.registry, AUTHOR, bans[0].ban_id)

    @precondition(lambda self: self.ranges < 4)
    @rule()
    def add_a_range(self) -> None:
        self.ranges += 1
        self.use_range(self.site, self.add_missing_ranges())

    def add_missing_ranges(self) -> str:
        """Gives the name of the newest."""
        with self.site.registry.read() as reader:
            known = {status.range.name for status in reader.ranges()}
        for number in range(1, self.ranges):
            first = 400_000 + 10 * number
            new = NumberRange(f"more{number}", RangePurpose.PEOPLE, first, first + LAST_OF_RANGE)
            if new.name not in known:
                add_range(self.site.registry, AUTHOR, new, acknowledge=True)
        return new.name

    @rule(name=PEOPLE)
    def lose_a_transaction(self, name: str) -> None:
        """Accounts are opened and the commit never comes."""
        with (
            contextlib.suppress(ZeroDivisionError, Conflict),
            self.site.registry.write(AUTHOR) as writer,
        ):
            writer.record_observation(identity(name), frozenset({MEMBERS}), None, self.site.now)
            raise ZeroDivisionError

    @rule()
    def restart(self) -> None:
        self.site.registry.close()
        self.open_again()

    def open_again(self) -> None:
        self.site.registry = SqlRegistry.open(self.url, lambda: START, self.directory)

    # --- what must hold

    @invariant()
    def nobody_has_what_was_given_to_another(self) -> None:
        with self.site.registry.read() as reader:
            held: dict[Identity, Given] = {}
            for facts in reader.people():
                account = facts.recorded.account
                if account is not None:
                    person = self.linked.get(facts.recorded.identity, facts.recorded.identity)
                    has = (int(account.uid_number), str(account.username))
                    assert held.setdefault(person, has) == has, "one person, two accounts"
        self.require_kept(held)
        self.given |= held
        numbers, names = zip(*self.given.values(), strict=True) if self.given else ((), ())
        assert len(set(numbers)) == len(numbers), "a number has two owners"
        assert len(set(names)) == len(names), "a name has two owners"
        assert not set(names) & {"demo_compute"}, "a group's name is a person's"

    def require_kept(self, held: dict[Identity, Given]) -> None:
        assert held | self.given == held, "somebody has lost or changed a number or a name"

    def teardown(self) -> None:
        self.site.registry.close()
        database = open_database(self.url, self.directory)
        with reading(database.engine) as connection:
            check_ledger(connection, marks_of(self.url, self.directory))
        database.close()
        shutil.rmtree(self.directory)


class RestoredHistories(Histories):
    """The same, and the registry is now and then restored from a backup that may be old."""

    @rule()
    def back_up(self) -> None:
        """As `idmap db backup`."""
        self.write_backup(self.directory / "backup")

    def write_backup(self, backup: Path) -> None:
        backup.unlink(missing_ok=True)
        database = open_database(self.url, self.directory)
        write_backup(database.engine, backup, realm="demo", at=self.site.now, progress=_quiet)
        database.close()

    @precondition(lambda self: (self.directory / "backup").exists())
    @rule()
    def restore(self) -> None:
        """As `idmap db restore`, the service stopped."""
        self.site.registry.close()
        self.put_back()
        self.open_again()
        # As the administrator must: a number that lies in no range is nobody's, also not its holder's.
        if self.ranges > 1:
            self.add_missing_ranges()

    def put_back(self) -> None:
        request = RestoreRequest(self.directory / "backup", "demo", AUTHOR, self.site.now)
        restore(self.url, request, NothingElse(), _quiet, self.directory)

    @rule(name=PEOPLE, other=PEOPLE)
    def come_and_be_forgotten(self, name: str, other: str) -> None:
        """Somebody gets an account after the backup; another one comes first after the restore."""
        self.back_up()
        self.ask(name)
        self.nobody_has_what_was_given_to_another()
        self.restore()
        self.ask(other)

    def require_kept(self, held: dict[Identity, Given]) -> None:
        """Whom the restored state does not know has nothing, until they come back and get the same."""
        changed = {
            who: (held[who], was) for who, was in self.given.items() if held.get(who, was) != was
        }
        assert changed == {}, "a person who returns got something else"


class CopiedBackHistories(RestoredHistories):
    """The same, by somebody who copies an old file over the database and leaves what lies beside it."""

    def write_backup(self, backup: Path) -> None:
        self.site.registry.close()
        shutil.copy(self.directory / "registry.db", backup)
        self.open_again()

    def put_back(self) -> None:
        shutil.copy(self.directory / "backup", self.directory / "registry.db")


def _quiet(_what: str, _done: int, _total: int | None) -> None:
    """No progress is shown."""


class PostgresqlHistories(RestoredHistories):
    """The same on PostgreSQL."""

    def make(self) -> str:
        self.database = cluster().make_database()
        url = cluster().url(self.database)
        SqlRegistry.create(url, lambda: START, self.directory).close()
        return url

    def teardown(self) -> None:
        super().teardown()
        cluster().drop_database(self.database)


_SETTINGS: Any = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow],
    # A history is 25 steps at most and reads well as it is; to shrink one takes minutes.
    "phases": [Phase.explicit, Phase.reuse, Phase.generate],
}
TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=examples(15), stateful_step_count=25, **_SETTINGS)
TestPostgresqlHistories = PostgresqlHistories.TestCase
TestPostgresqlHistories.settings = settings(
    max_examples=examples(4), stateful_step_count=20, **_SETTINGS
)
TestRestoredHistories = RestoredHistories.TestCase
TestRestoredHistories.settings = settings(
    max_examples=examples(10), stateful_step_count=25, **_SETTINGS
)
TestCopiedBackHistories = CopiedBackHistories.TestCase
TestCopiedBackHistories.settings = settings(
    max_examples=examples(10), stateful_step_count=25, **_SETTINGS
)

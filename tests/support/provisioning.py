"""A small site for provisioning tests: rules, ranges, a clock that moves, and a source told what to say."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from idmap.application.ports import Author, ListedPerson, Listing, Progress, Registry
from idmap.application.provision import RunRequest, run_provision
from idmap.application.provision_apply import Pace
from idmap.application.provision_report import ProvisionReport
from idmap.domain.accounts import Account
from idmap.domain.doors import Door, DoorKind
from idmap.domain.errors import SourceFailed
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import Group
from idmap.domain.guard import GuardLimits
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuers import GroupsDialect, IssuerProfile
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from idmap.domain.spelling import NO_SPELLING, Spelling
from tests.support.registries import make_registry

ISSUER = Issuer("https://iam.example.org/")
START = int(datetime(2026, 11, 2, 2, 17, tzinfo=UTC).timestamp())
GRACE_DAYS = 30

RULES: Mapping[str, Any] = {
    "format": 1,
    "groups": {"range": "groups"},
    "classes": {
        "member": {
            "range": "people",
            "primary_group": "demo/compute",
            "shell": "/bin/bash",
            "home": "/home/{username}",
            "grace_days": GRACE_DAYS,
        }
    },
    "rules": [
        {
            "id": "compute",
            "issuer": ISSUER,
            "group": "demo/compute",
            "class": "member",
            "secondary_groups": ["demo/gpu", "demo/data"],
        }
    ],
}


@contextmanager
def open_registry(directory: Path | None = None) -> Iterator[Registry]:
    """A registry just made, closed at the end; its file is `registry.db` in `directory`, if given."""
    registry = make_registry(lambda: START, directory)
    try:
        yield registry
    finally:
        registry.close()


def group(path: str) -> Group:
    return Group(ISSUER, path)


def identity(name: str) -> Identity:
    return Identity(ISSUER, Subject(f"uuid-of-{name}"))


@dataclass
class ToldSource:
    """A source that says what a test wrote down, or fails as told."""

    name: str = "iam"
    issuer: Issuer = ISSUER
    members: dict[str, set[str]] = field(default_factory=dict)
    """Group path → names."""
    ids: dict[str, str] = field(default_factory=dict)
    """Group path → the source's stable id of it."""
    spelled: dict[str, Spelling] = field(default_factory=dict)
    """Name → what else may spell a username."""
    says: dict[str, set[tuple[FactKind, str]]] = field(default_factory=dict)
    """Name → what else it says of them, if it is asked."""
    tells: frozenset[FactKind] = frozenset(FactKind)
    """The kinds that it can tell."""
    asked_for: list[frozenset[FactKind]] = field(default_factory=list)
    inactive: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    failure: SourceFailed | None = None
    asked: list[frozenset[Group]] = field(default_factory=list)
    began: int = START

    def observe(
        self,
        watched: frozenset[Group],
        progress: Progress,
        known: Mapping[Group, str],
        facts: frozenset[FactKind],
    ) -> Listing:
        """With `ids`, a group is found by its id when it has another path now."""
        self.asked.append(watched)
        self.asked_for.append(facts)
        if self.ids:
            paths = {external_id: path for path, external_id in self.ids.items()}
            gone = [one for one in watched if known.get(one, self.ids.get(one.path)) not in paths]
            if gone and all(one.path not in self.ids for one in gone):
                raise SourceFailed(Reason.SOURCE_GROUP_MISSING, str(gone))
            watched = frozenset(
                Group(self.issuer, paths.get(known.get(one, ""), one.path)) for one in watched
            )
        if self.failure is not None:
            raise self.failure
        progress("reading", 1, 1)
        held: dict[str, set[Group]] = {}
        for one in watched:
            for name in self.members.get(one.path, ()):
                held.setdefault(name, set()).add(one)
        people = tuple(
            ListedPerson(
                identity=Identity(self.issuer, Subject(f"uuid-of-{name}")),
                groups=frozenset(held[name]),
                active=name not in self.inactive,
                preferred_username=name,
                readable=name not in self.unreadable,
                spelling=self.spelled.get(name, NO_SPELLING),
                facts=frozenset(
                    Fact(self.issuer, kind, text)
                    for kind, text in self.says.get(name, ())
                    if kind in facts & self.tells and name not in self.unreadable
                ),
            )
            for name in sorted(held)
        )
        notes = tuple(f"{name}: unreadable" for name in sorted(self.unreadable & held.keys()))
        ids = {one: self.ids[one.path] for one in watched if one.path in self.ids}
        return Listing(
            self.name, self.issuer, watched, people, self.began, notes, ids, self.tells & facts
        )


@dataclass
class Site:
    """One registry with rules and ranges, its source and its clock."""

    registry: Registry
    source: ToldSource = field(default_factory=ToldSource)
    limits: GuardLimits = field(default_factory=GuardLimits)
    now: int = START
    pace: Pace = field(default_factory=Pace)
    _runs: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def prepare(self, rules: Mapping[str, Any] = RULES) -> Site:
        with self.registry.write(Author("test", "a new site")) as writer:
            audiences = {Door(DoorKind.API): frozenset({"https://idmap.example.org"})}
            claims = {"groups": GroupsDialect.PATH}
            writer.save_issuer(IssuerProfile(ISSUER, audiences, groups_claims=claims))
            writer.add_range(NumberRange("people", RangePurpose.PEOPLE, 200_000, 299_999))
            writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 300_000, 300_999))
            writer.save_rules(rules, expect_version=None)
        return self

    def save_rules(self, rules: Mapping[str, Any]) -> None:
        with self.registry.write(Author("test", "new rules")) as writer:
            writer.save_rules(rules, expect_version=None)

    def run(self, **options: Any) -> ProvisionReport:
        self.source.began = self.now
        request = RunRequest(f"run-{next(self._runs)}", "test", **options)
        return run_provision(
            self.registry,
            [self.source],
            self.limits,
            request,
            clock=lambda: self.now,
            pace=self.pace,
        )

    def later(self, **parts: int) -> None:
        self.now += int(timedelta(**parts).total_seconds())

    def day(self, days: int = 0) -> date:
        return (datetime.fromtimestamp(self.now, tz=UTC) + timedelta(days=days)).date()

    def account(self, name: str) -> Account:
        with self.registry.read() as reader:
            account = reader.recorded(identity(name)).account
        assert account is not None, f"{name} has no account"
        return account

    def has_account(self, name: str) -> bool:
        with self.registry.read() as reader:
            return reader.recorded(identity(name)).account is not None

    def everything(self) -> dict[str, Any]:
        """All that provisioning may change; run records and leases are not among it."""
        with self.registry.read() as reader:
            return {
                "people": sorted(map(repr, reader.people())),
                "accounts": list(reader.every_account()),
                "groups": dict(reader.posix_groups()),
                "ranges": reader.ranges(),
                "revision": reader.revision(),
            }

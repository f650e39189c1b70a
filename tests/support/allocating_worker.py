"""A process that allocates accounts and kills itself where it was told to, without a hook in production code.

The failpoints are where SQLAlchemy and Python say what happens: an engine's `commit` comes before COMMIT, a pool's
`reset` after it, and Python's audit events tell of the journal being opened, and of the marks file being made and put
in place.
At one of them, drawn by a seed, the process sends itself SIGKILL, which leaves no `finally` and no `atexit` to run.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Engine, event
from sqlalchemy.pool import Pool

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.engine import database_path
from idmap.adapters.sql.high_water import HighWaterFile, Marks
from idmap.application.open_account import open_own_account
from idmap.application.ports import Author, ListedPerson, Listing, Registry
from idmap.application.provision_steps import apply_changes
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import API
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuers import GroupsDialect, IssuerProfile
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.provisioning import PersonFacts, plan_changes

ISSUER: Final = Issuer("https://iam.example.org/")
NOW: Final = 1_800_000_000
LISTED: Final = NOW - 100
"""The listing began before the newcomers' tokens were issued, or it would be newer than what they say."""
MEMBERS: Final = Group(ISSUER, "members")
NAMES: Final = 700
"""So many usernames are wished for: most people find theirs taken."""

FAILPOINTS: Final = (
    "at_journal",
    "before_marks",
    "marks_not_in_place",
    "before_commit",
    "after_commit",
    "before_answer",
    "after_answer",
)

RULES: Final[dict[str, Any]] = {
    "format": 1,
    "groups": {"range": "groups"},
    "classes": {
        "member": {
            "range": "people",
            "primary_group": "members",
            "shell": "/bin/bash",
            "home": "/home/{username}",
        }
    },
    "rules": [{"id": "members", "issuer": ISSUER, "group": "members", "class": "member"}],
}


def furnish(registry: Registry) -> None:
    """The site: an issuer whose tokens are recorded, a rule, and ranges for everybody."""
    with registry.write(Author("test", "a new site")) as writer:
        writer.save_issuer(
            IssuerProfile(
                ISSUER,
                {API: frozenset({"https://idmap.example.org"})},
                groups_claims={"groups": GroupsDialect.PATH},
                record_groups_from_tokens=True,
            )
        )
        writer.add_range(NumberRange("people", RangePurpose.PEOPLE, 200_000, 299_999))
        writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 300_000, 300_999))
        writer.save_rules(RULES, expect_version=None)


def identity_of(person: int) -> Identity:
    """The identity of a person, who are numbered from 0."""
    return Identity(ISSUER, Subject(f"p{person}"))


def wished_name(person: int) -> str:
    """What the person would like to be called."""
    return f"name{person * 7919 % NAMES}"


@dataclass
class Fate:
    """The failpoint at which this process dies, and at which passage of it."""

    failpoint: str
    passage: int
    committed: bool = False

    @classmethod
    def drawn(cls, seed: str, worker: int, life: int) -> Self:
        """Failpoints in turn, so that all of them are met; the passage by lot, at most the `life`-th."""
        return cls(FAILPOINTS[worker % len(FAILPOINTS)], random.Random(seed).randint(1, life))

    def here(self, failpoint: str) -> None:
        """Returns, or does not."""
        assert failpoint in FAILPOINTS
        if failpoint == self.failpoint:
            self.passage -= 1
            if self.passage == 0:
                os.write(2, f"{failpoint}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def install(self) -> None:
        """From now on every commit in this process passes the failpoints."""
        event.listen(Engine, "commit", self._on_commit)
        event.listen(Pool, "reset", self._on_reset)
        sys.addaudithook(self._on_audit)

    def _on_commit(self, _connection: Any) -> None:
        self.here("before_commit")
        self.committed = True

    def _on_reset(self, *_arguments: Any) -> None:
        if self.committed:
            self.committed = False
            self.here("after_commit")

    def _on_audit(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name not in {"open", "os.rename"}:
            return
        path = str(arguments[0])
        if path.endswith(".issued"):
            self.here("at_journal")
        elif name == "os.rename" and "high-water" in path:
            self.here("marks_not_in_place")
        elif "high-water" in path and path.endswith(".new"):
            self.here("before_marks")


def open_single(registry: Registry, person: int) -> None:
    """As a newcomer asks at the API door."""
    claims = VerifiedClaims(
        identity=identity_of(person),
        door=API,
        expires_at=NOW + 3600,
        issued_at=NOW - 10,
        token_id=None,
        client_id=None,
        groups=frozenset({MEMBERS}),
        preferred_username=wished_name(person),
    )
    open_own_account(registry, claims, NOW)


def open_batch(registry: Registry, people: Sequence[int]) -> None:
    """As the nightly run keeps a batch: recorded, planned and applied in one transaction."""
    listed = tuple(
        ListedPerson(identity_of(person), frozenset({MEMBERS}), True, wished_name(person))
        for person in people
    )
    only = [person.identity for person in listed]
    with registry.write(Author("provision:test", "a batch")) as writer:
        watched = frozenset({MEMBERS})
        writer.record_listing(Listing("iam", ISSUER, watched, listed, LISTED), only=only)
        facts = [
            PersonFacts(writer.recorded(person.identity), person.preferred_username)
            for person in listed
        ]
        plan = plan_changes(facts, writer.rules(), writer.posix_groups(), NOW)
        apply_changes(writer, plan.changes)


def answer(registry: Registry, people: Sequence[int]) -> dict[str, tuple[int, str]]:
    """Opens the accounts; gives subject → (uid number, username) once they are committed."""
    if len(people) == 1:
        open_single(registry, people[0])
    else:
        open_batch(registry, people)
    found = {}
    with registry.read() as reader:
        for person in people:
            account = reader.recorded(identity_of(person)).account
            assert account is not None
            found[f"p{person}"] = (account.uid_number, account.username)
    return found


def marks_of(url: str, directory: Path | None = None) -> Marks:
    """What is kept outside the database: in `directory` on PostgreSQL, beside it on SQLite."""
    return HighWaterFile(database_path(url, directory)).read()


def require_marks_ahead(registry: Registry, url: str, directory: Path) -> None:
    """The marks are never behind what is committed: the database is read first, and both only rise."""
    with registry.read() as reader:
        revision, bans, highest = reader.revision(), reader.ban_counter(), reader.high_water()
    marks = marks_of(url, directory)
    assert marks.revision >= revision, (marks, revision)
    assert marks.ban_counter >= bans, (marks, bans)
    assert all(marks.ranges[name].highest >= number for name, number in highest.items())


def serve(url: str, directory: Path, fate: Fate, requests: int, answers: int) -> None:
    """Answers the lines of descriptor `requests` (JSON lists of people) on descriptor `answers`."""
    registry = SqlRegistry.open(url, lambda: NOW, directory)
    require_marks_ahead(registry, url, directory)
    fate.install()
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            found = json.dumps(answer(registry, json.loads(line))).encode()
            fate.here("before_answer")
            os.write(answers, found + b"\n")
            fate.here("after_answer")
    registry.close()

"""Populated registries to measure, and the bare database beside each: the same file, the same durability.

A site is filled through the allocation path itself, in transactions as long as the nightly run's, and is told apart
from the others by its population alone. What is *bare* is one prepared statement on a connection of its own.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Author, RegistryWriter
from idmap.domain.doors import API
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.issuers import GroupsDialect, IssuerProfile
from idmap.domain.names import Username
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.plans import OpenAccount, OpenGroup
from tests.support.postgresql import Cluster

ISSUER: Final = Issuer("https://iam.example.org/")
VO, STAFF, GPU = (Group(ISSUER, path) for path in ("vo", "vo/staff", "vo/gpu"))
AUTHOR: Final = Author("provision:bench", "a measurement")
FIRST: Final = 1_000_000
BATCH: Final = 5_000
"""Accounts in one transaction while a site is filled."""

RULES: Final[dict[str, Any]] = {
    "format": 1,
    "groups": {"range": "groups"},
    "classes": {
        "member": {
            "range": "people",
            "primary_group": "vo",
            "shell": "/bin/bash",
            "home": "/home/{username}",
        }
    },
    "rules": [{"id": "members", "issuer": ISSUER, "group": "vo", "class": "member"}],
}


class Bare(Protocol):
    """A connection with nothing of ours between it and the database."""

    def rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """One SELECT; `?` for each value."""
        ...

    def insert(self, people: Sequence[int]) -> None:
        """One durable transaction that inserts so many rows into a table of two columns."""
        ...

    def close(self) -> None: ...


class BareSqlite:
    """The same file with the same durability."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=30)
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS bench_bare (number INTEGER PRIMARY KEY, name TEXT UNIQUE)"
        )

    def rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def insert(self, people: Sequence[int]) -> None:
        rows = [(person, f"name{person:08d}") for person in people]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO bench_bare VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self._connection.close()


class BarePostgresql:
    """The same server and database, over the same socket."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._connection.execute("SET synchronous_commit = on")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS bench_bare (number INTEGER PRIMARY KEY, name TEXT UNIQUE)"
        )

    def rows(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement.replace("?", "%s"), values).fetchall()

    def insert(self, people: Sequence[int]) -> None:
        rows = [(person, f"name{person:08d}") for person in people]
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany("INSERT INTO bench_bare VALUES (%s, %s)", rows)

    def close(self) -> None:
        self._connection.close()


@dataclass
class Site:
    """A registry with so many accounts, the bare connection, and how quickly it was filled."""

    population: int
    url: str
    marks: Path
    registry: SqlRegistry
    bare: Bare
    fill_seconds: float = 0.0
    newest: int = 0
    """People so far; they are numbered from 0, and new ones only ever come during a measurement."""

    def fresh(self, count: int) -> range:
        """So many people who have never been here."""
        self.newest += count
        return range(self.newest - count, self.newest)

    def close(self) -> None:
        self.registry.close()
        self.bare.close()


def identity_of(person: int) -> Identity:
    return Identity(ISSUER, Subject(f"7a1f0c52-0000-4000-8000-{person:012d}"))


def username_of(person: int) -> Username:
    return Username(f"name{person:08d}")


def open_account(writer: RegistryWriter, person: int) -> None:
    """One account as the nightly run opens it."""
    writer.open_account(
        OpenAccount(  # noqa: S604  (a login shell, no command line)
            identity=identity_of(person),
            rule_id="members",
            number_range="people",
            spelled=username_of(person),
            primary_group=VO,
            secondary_groups=(STAFF, GPU),
            shell="/bin/bash",
            home="/home/{username}",
        )
    )


def furnish(registry: SqlRegistry) -> None:
    """Issuer, ranges, rules and groups."""
    with registry.write(AUTHOR) as writer:
        writer.save_issuer(
            IssuerProfile(
                ISSUER,
                {API: frozenset({"https://idmap.example.org"})},
                groups_claims={"groups": GroupsDialect.PATH},
                record_groups_from_tokens=True,
            )
        )
        writer.add_range(NumberRange("people", RangePurpose.PEOPLE, FIRST, FIRST + 20_000_000))
        writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 300_000, 300_999))
        writer.save_rules(RULES, expect_version=None)
        for group in (VO, STAFF, GPU):
            writer.open_group(OpenGroup(group, None), group_range="groups")


def fill(site: Site) -> None:
    """Up to its population."""
    began = time.perf_counter()
    while site.newest < site.population:
        with site.registry.write(AUTHOR) as writer:
            for person in site.fresh(min(BATCH, site.population - site.newest)):
                open_account(writer, person)
    site.fill_seconds = time.perf_counter() - began


def sqlite_site(directory: Path, population: int) -> Site:
    """A new one, filled."""
    path = directory / f"registry-{population}.db"
    return _filled(f"sqlite:///{path}", directory, population, lambda: BareSqlite(path))


def postgresql_site(cluster: Cluster, directory: Path, population: int) -> Site:
    """A new one in a database of its own, filled, and with the statistics that autovacuum would take in time."""
    name = cluster.make_database()
    marks = directory / name
    marks.mkdir()
    site = _filled(
        cluster.url(name), marks, population, lambda: BarePostgresql(cluster.connect(name))
    )
    with cluster.connect(name) as connection:
        connection.execute("ANALYZE")
    return site


def _filled(url: str, marks: Path, population: int, bare: Callable[[], Bare]) -> Site:
    registry = SqlRegistry.create(url, marks_directory=marks)
    furnish(registry)
    site = Site(population, url, marks, registry, bare())
    fill(site)
    return site

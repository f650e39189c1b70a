"""What the registry costs by population: allocation, lookup, lists and search, each beside the bare statement.

All populations stand side by side and are asked in every round, in rotating order, so that what else the machine
does falls on all of them alike: the exponent is of the registry, not of the hour. Every answer is checked.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.contestant import BenchError
from bench.places import PROJECT
from bench.registry_sites import (
    AUTHOR,
    FIRST,
    VO,
    Site,
    identity_of,
    open_account,
    postgresql_site,
    sqlite_site,
    username_of,
)
from bench.rounds import say
from idmap.application.open_account import open_own_account
from idmap.application.questions import AccountQuestion
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import API
from tests.support.postgresql import Cluster

PAGE: Final = 100
BATCH: Final = 500
"""Accounts in one transaction of a batch: what the nightly run keeps at once is of that order."""

ON_DISK: Final = "/var/tmp"  # noqa: S108  (a directory of its own, with a random name, is made in it)
"""For PostgreSQL, whose server runs as nobody and may not enter the build directory."""

Call = Callable[[Site, int], object]
"""Asks one thing about one person; gives what is compared between ours and bare."""


@dataclass(frozen=True)
class Operation:
    """One row of the table."""

    name: str
    ours: Call
    bare: Call
    calls: int
    """In one round."""
    per: int = 1
    """What one call's time is divided by."""


def _new_account(site: Site, _person: int) -> object:
    """As a newcomer asks at the API door: three transactions, one of which writes."""
    (person,) = site.fresh(1)
    now = int(time.time())
    claims = VerifiedClaims(
        identity=identity_of(person),
        door=API,
        expires_at=now + 3600,
        issued_at=now,
        token_id=None,
        client_id=None,
        groups=frozenset({VO}),
        preferred_username=username_of(person),
    )
    return open_own_account(site.registry, claims, now).created


def _bare_insert(site: Site, _person: int) -> object:
    site.bare.insert(site.fresh(1))
    return True


def _new_batch(site: Site, _person: int) -> object:
    with site.registry.write(AUTHOR) as writer:
        for person in site.fresh(BATCH):
            open_account(writer, person)
    return True


def _bare_batch(site: Site, _person: int) -> object:
    site.bare.insert(site.fresh(BATCH))
    return True


def _by_name(site: Site, person: int) -> object:
    with site.registry.read() as reader:
        account = reader.find_account(username=username_of(person))
    return account and account.uid_number


def _bare_by_name(site: Site, person: int) -> object:
    statement = "SELECT uid_number, accounts.* FROM accounts WHERE username = ?"
    return site.bare.rows(statement, [username_of(person)])[0][0]


def _by_number(site: Site, person: int) -> object:
    with site.registry.read() as reader:
        account = reader.find_account(uid_number=FIRST + person)
    return account and account.username


def _bare_by_number(site: Site, person: int) -> object:
    statement = "SELECT username, accounts.* FROM accounts WHERE uid_number = ?"
    return site.bare.rows(statement, [FIRST + person])[0][0]


def _recorded(site: Site, person: int) -> object:
    with site.registry.read() as reader:
        account = reader.recorded(identity_of(person)).account
    return account and account.account_id


def _bare_recorded(site: Site, person: int) -> object:
    who = identity_of(person)
    statement = "SELECT account_id, identities.* FROM identities WHERE issuer = ? AND subject = ?"
    return site.bare.rows(statement, [who.issuer, who.subject])[0][0]


def _page(site: Site, _person: int) -> object:
    return _numbers(site, AccountQuestion(), after=_middle(site))


def _bare_page(site: Site, _person: int) -> object:
    statement = (
        "SELECT uid_number, accounts.* FROM accounts WHERE account_id > ?"
        " ORDER BY account_id LIMIT ?"
    )
    return [row[0] for row in site.bare.rows(statement, [_middle(site), PAGE])]


def _begins(site: Site, person: int) -> object:
    """The ten people who share all but the last digit of the name."""
    return _numbers(site, AccountQuestion(prefix=username_of(person)[:-1]))


def _bare_begins(site: Site, person: int) -> object:
    beginning = username_of(person)[:-1]
    statement = (
        "SELECT uid_number, accounts.* FROM accounts WHERE username >= ? AND username < ?"
        " ORDER BY username LIMIT ?"
    )
    return [row[0] for row in site.bare.rows(statement, [beginning, beginning + "~", PAGE])]


def _contains(site: Site, person: int) -> object:
    """The same people by the digits within their names, which no index knows."""
    return _numbers(site, AccountQuestion(search=username_of(person)[4:-1]))


def _bare_contains(site: Site, person: int) -> object:
    part = f"%{username_of(person)[4:-1]}%"
    statement = (
        "SELECT uid_number, accounts.* FROM accounts WHERE lower(username) LIKE ?"
        " ORDER BY account_id LIMIT ?"
    )
    return [row[0] for row in site.bare.rows(statement, [part, PAGE])]


def _numbers(site: Site, asked: AccountQuestion, after: int | None = None) -> list[int]:
    with site.registry.read() as reader:
        page = reader.page_of_accounts(asked, after=after, limit=PAGE)
    return [int(account.uid_number) for account in page.items]


def _middle(site: Site) -> int:
    return site.population // 2


OPERATIONS: Final = (
    Operation("newcomer", _new_account, _bare_insert, 3),
    Operation("in a batch", _new_batch, _bare_batch, 1, BATCH),
    Operation("by name", _by_name, _bare_by_name, 20),
    Operation("by number", _by_number, _bare_by_number, 20),
    Operation("recorded", _recorded, _bare_recorded, 20),
    Operation("page of 100", _page, _bare_page, 3),
    Operation("name begins", _begins, _bare_begins, 3),
    Operation("name contains", _contains, _bare_contains, 1),
)


def measure_registry(
    sizes: Sequence[int], rounds: int, wanted: Sequence[str], directory: Path
) -> dict[str, Any]:
    """For each database: for each population, nanoseconds per call and round, ours and bare; and the memory."""
    found = {}
    with contextlib.ExitStack() as on:
        for kind, make in databases(on, wanted, directory):
            sites = []
            for size in sizes:
                site = make(size)
                on.callback(site.close)
                say(f"{kind}: {size:,} accounts in {site.fill_seconds:.0f} s")
                sites.append(site)
            found[kind] = of_database(sites, rounds)
    return found


def databases(
    on: contextlib.ExitStack, wanted: Sequence[str], directory: Path
) -> Iterator[tuple[str, Callable[[int], Site]]]:
    """Every kind that is wanted, and how to make a site on it. PostgreSQL is ended with `on`."""
    for kind in wanted:
        match kind:
            case "sqlite":
                yield kind, lambda size: sqlite_site(directory, size)
            case "postgresql":
                cluster = Cluster(ON_DISK)
                on.callback(cluster.remove)
                yield kind, partial(postgresql_site, cluster, directory)
            case _:
                raise BenchError(f"DATABASES: {kind} is neither sqlite nor postgresql")


def of_database(sites: Sequence[Site], rounds: int) -> dict[str, Any]:
    """All operations over all populations of one database."""
    times: dict[str, Any] = {
        str(site.population): {
            "fill_per_second": site.population / site.fill_seconds,
            "operations": {each.name: {"ours": [], "bare": []} for each in OPERATIONS},
        }
        for site in sites
    }
    for number in range(-1, rounds):
        turn = number % len(sites)
        for site in (*sites[turn:], *sites[:turn]):
            for each in OPERATIONS:
                took = one_round(each, site, number)
                if number >= 0:
                    for who, nanoseconds in took.items():
                        of = times[str(site.population)]["operations"][each.name]
                        of[who].append(nanoseconds)
    for site in sites:
        site.registry.close()
        times[str(site.population)]["pages"] = paged(site)
    return times


def one_round(each: Operation, site: Site, number: int) -> dict[str, float]:
    """Nanoseconds per call of ours and of the bare statement, whose answers must be the same."""
    people = [(number * 7919 + call * 104_729 + 17) % site.population for call in range(each.calls)]
    took: dict[str, float] = {}
    answers: dict[str, list[object]] = {}
    pair = [("ours", each.ours), ("bare", each.bare)]
    for who, ask in pair if number % 2 else reversed(pair):
        began = time.perf_counter_ns()
        answers[who] = [ask(site, person) for person in people]
        took[who] = (time.perf_counter_ns() - began) / (each.calls * each.per)
    if answers["ours"] != answers["bare"]:
        raise BenchError(f"{each.name} at {site.population}: {answers}")
    return took


def paged(site: Site) -> dict[str, Any]:
    """Reads everybody page by page in a process of its own, whose memory is its own."""
    words = [sys.executable, "-m", "bench.registry_pages", site.url, str(site.marks), str(PAGE)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(done.stderr[-1500:])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(sizes: Sequence[int], rounds: int, wanted: Sequence[str]) -> dict[str, Any]:
    """In a directory of its own under build, on the disk: durability is a part of what is measured."""
    place = PROJECT / "build" / "bench"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="registry-", dir=place) as directory:
        return measure_registry(sizes, rounds, wanted, Path(directory))

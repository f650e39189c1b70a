"""Law 2 with SIGKILL: what clients were told is in the registry, once, whatever died when."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.check import Verdict, check_database
from idmap.adapters.sql.engine import open_database, reading
from tests.support.allocating_client import Run
from tests.support.allocating_worker import FAILPOINTS, NOW, furnish, marks_of
from tests.support.ledger_state import check_ledger
from tests.support.postgresql import cluster
from tests.support.registries import quick_directory

ROOT = Path(__file__).parents[3]
SIZES = (1, 1, 1, 1, 2, 5, 10, 25, 50)
"""Of requests: mostly newcomers by themselves, and the nightly run's batches."""
SMALL_SIZES = (1, 1, 1, 2, 5)
CONTESTED = 0.02
"""The part of the people that every client asks for."""


def divided(people: int, clients: int, sizes: Sequence[int], seed: int) -> list[list[list[int]]]:
    """Everybody once among the clients, and some at all of them, in requests of many sizes."""
    dice = random.Random(seed)
    everybody = list(range(people))
    dice.shuffle(everybody)
    contested = everybody[: int(people * CONTESTED)]
    work: list[list[list[int]]] = []
    for number in range(clients):
        mine = everybody[len(contested) + number :: clients] + contested
        dice.shuffle(mine)
        requests = []
        while mine:
            size = dice.choice(sizes)
            requests.append(mine[:size])
            mine = mine[size:]
        work.append(requests)
    return work


def acknowledged(directory: Path, clients: int) -> dict[str, tuple[int, str]]:
    """Subject → what the clients were told, from their logs; nobody was told two things."""
    told: dict[str, tuple[int, str]] = {}
    for number in range(clients):
        for line in (directory / f"log{number}").read_text().splitlines():
            subject, uid_number, username = line.split()
            given = (int(uid_number), username)
            assert told.setdefault(subject, given) == given
    return told


def run_and_check(
    url: str,
    directory: Path,
    *,
    people: int,
    clients: int,
    sizes: Sequence[int],
    life: int,
    kill: float,
    seconds: float,
) -> Counter[str]:
    """Gives how many workers died at each failpoint."""
    registry = SqlRegistry.create(url, lambda: NOW, directory)
    furnish(registry)
    registry.close()
    seed = 20261121
    run = Run(url, str(directory), divided(people, clients, sizes, seed), seed, life, kill)
    run_file = directory / "run.json"
    run_file.write_text(json.dumps(asdict(run)))
    deaths = Counter(_said(run_file, seconds).split())

    told = acknowledged(directory, clients)
    assert told.keys() == {f"p{person}" for person in range(people)}
    assert len({number for number, _ in told.values()}) == people
    assert len({name for _, name in told.values()}) == people
    registry = SqlRegistry.open(url, lambda: NOW, directory)
    with registry.read() as reader:
        held = {
            facts.recorded.identity.subject: (
                facts.recorded.account.uid_number,
                facts.recorded.account.username,
            )
            for facts in reader.people()
            if facts.recorded.account is not None
        }
        accounts = sum(reader.count_accounts().values())
    registry.close()
    assert held == told
    assert accounts == people
    database = open_database(url, directory)
    with reading(database.engine) as connection:
        check_ledger(connection, marks_of(url, directory))
    database.close()
    wrong = [one for one in check_database(url, directory) if one.verdict is Verdict.WRONG]
    assert wrong == []
    return deaths


def _said(run_file: Path, seconds: float) -> str:
    """Lets the clients work; gives what their workers said last. None of them is left behind."""
    words = [sys.executable, "-m", "tests.support.allocating_client", str(run_file)]
    with subprocess.Popen(
        words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as clients:
        try:
            _, said = clients.communicate(timeout=seconds)
        except BaseException:
            os.killpg(clients.pid, signal.SIGKILL)
            raise
    assert clients.returncode == 0, said[-2000:]
    return said


@pytest.fixture
def directory() -> Iterator[Path]:
    """In memory where the machine allows: a killed process loses nothing that a disk would have kept."""
    place = quick_directory()
    yield place
    shutil.rmtree(place)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, directory: Path) -> Iterator[str]:
    """A database without a registry in it."""
    if request.param == "sqlite":
        yield f"sqlite:///{directory}/registry.db"
        return
    name = cluster().make_database()
    yield cluster().url(name)
    cluster().drop_database(name)


def test_what_was_acknowledged_is_whole_and_without_duplicates(url: str, directory: Path) -> None:
    deaths = run_and_check(
        url,
        directory,
        people=300,
        clients=4,
        sizes=SMALL_SIZES,
        life=10,
        kill=0.05,
        seconds=100,
    )
    assert set(deaths) == set(FAILPOINTS), "every failpoint was met"


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_same_with_20_000_accounts_and_many_processes(url: str, directory: Path) -> None:
    deaths = run_and_check(
        url,
        directory,
        people=20_000,
        clients=8 if url.startswith("sqlite") else 16,
        sizes=SIZES,
        life=40,
        kill=0.05,
        seconds=800,
    )
    assert min(deaths[failpoint] for failpoint in FAILPOINTS) >= 3

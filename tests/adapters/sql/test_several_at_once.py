"""Several processes and threads on one file; one of them is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.high_water import HighWaterFile
from tests.support.registry_scenes import AUTHOR, NOW, furnish, open_one, person

PROCESSES = 4
ACCOUNTS = 200

_CLIENT = """
import os, sys
from idmap.adapters.sql import SqlRegistry
from tests.support.registry_scenes import open_one
url, who, count, log = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
registry = SqlRegistry.open(url)
descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(count):
    account = open_one(registry, f"{who}-{number}", f"name{number}")
    line = f"{who}-{number} {account.username} {account.uid_number}\\n"
    os.write(descriptor, line.encode())
"""
"""Writes to its own log only what was acknowledged to it."""


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/registry.db"
    registry = SqlRegistry.create(url, lambda: NOW)
    furnish(registry)
    registry.close()
    return url


def test_four_processes_and_a_kill_lose_nothing_acknowledged_and_double_nothing(
    url: str, tmp_path: Path
) -> None:
    """Law 2. The acknowledged set is taken from the clients' own logs."""
    logs = [tmp_path / f"log{who}" for who in range(PROCESSES)]
    root = Path(__file__).parents[3]
    clients = [
        subprocess.Popen(
            [sys.executable, "-c", _CLIENT, url, str(who), str(ACCOUNTS), str(logs[who])], cwd=root
        )
        for who in range(PROCESSES)
    ]
    deadline = time.monotonic() + 60
    while not logs[0].exists() or logs[0].read_bytes().count(b"\n") < ACCOUNTS // 4:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(clients[0].pid, signal.SIGKILL)
    codes = [client.wait(timeout=90) for client in clients]
    assert codes == [-signal.SIGKILL, 0, 0, 0]

    acknowledged = {}
    for log in logs:
        for line in log.read_text().splitlines():
            subject, username, number = line.split()
            acknowledged[subject] = (username, int(number))
    survivors = (PROCESSES - 1) * ACCOUNTS
    assert survivors + ACCOUNTS // 4 <= len(acknowledged) < PROCESSES * ACCOUNTS

    registry = SqlRegistry.open(url)
    with registry.read() as reader:
        accounts = list(reader.every_account())
        recorded = {
            facts.recorded.identity.subject: (
                facts.recorded.account.username,
                facts.recorded.account.uid_number,
            )
            for facts in reader.people()
            if facts.recorded.account is not None
        }
        assert reader.verify_changes() > len(accounts)
        highest = reader.high_water()["people"]
        revision = reader.revision()
    registry.close()
    assert acknowledged.items() <= recorded.items()
    assert len(recorded) - len(acknowledged) <= 1, "at most the one being acknowledged"
    assert len({account.uid_number for account in accounts}) == len(accounts)
    assert len({account.username for account in accounts}) == len(accounts)
    marks = HighWaterFile(tmp_path / "registry.db").read()
    assert marks.ranges["people"].highest >= highest
    assert marks.revision >= revision


def test_threads_share_one_registry(url: str) -> None:
    registry = SqlRegistry.open(url)
    failures: list[BaseException] = []

    def work(who: int) -> None:
        try:
            for number in range(10):
                account = open_one(registry, f"{who}-{number}")
                with registry.read() as reader:
                    assert reader.recorded(person(f"{who}-{number}")).account == account
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with registry.read() as reader:
        assert len({account.uid_number for account in reader.every_account()}) == 60
    registry.close()


def test_a_reader_sees_one_state_while_others_write(url: str) -> None:
    registry = SqlRegistry.open(url)
    with registry.read() as reader:
        before = reader.revision()
        open_one(registry, "a")
        assert reader.revision() == before
        assert list(reader.every_account()) == []
    with registry.read() as reader:
        assert reader.revision() == before + 1
    registry.close()


def test_a_write_inside_a_write_is_a_mistake_that_shows_at_once(url: str) -> None:
    registry = SqlRegistry.open(url)
    with registry.write(AUTHOR), pytest.raises(RuntimeError):
        open_one(registry, "a")
    assert open_one(registry, "a").uid_number == 200_000
    registry.close()


def test_another_registry_object_notices_a_commit(url: str) -> None:
    one, other = SqlRegistry.open(url), SqlRegistry.open(url)
    before = (one.change_token(), other.change_token())
    open_one(one, "a")
    assert one.change_token() != before[0]
    assert other.change_token() != before[1]
    one.close()
    other.close()


def test_a_lease_holds_across_registry_objects(url: str) -> None:
    one, other = SqlRegistry.open(url), SqlRegistry.open(url)
    assert one.take_lease("work", "one", at=NOW, seconds=10)
    assert not other.take_lease("work", "other", at=NOW, seconds=10)
    one.close()
    assert other.take_lease("work", "other", at=NOW + 10, seconds=10)
    other.close()

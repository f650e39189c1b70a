"""Several threads and several registry objects on one database."""

from __future__ import annotations

import contextlib
import threading

import pytest

from idmap.application.ports import Registry
from tests.support.registry_scenes import AUTHOR, NOW, VO, listed, listing, open_one, person


def test_threads_share_one_registry(registry: Registry) -> None:
    failures: list[BaseException] = []

    def work(who: int) -> None:
        try:
            for number in range(5):
                account = open_one(registry, f"{who}-{number}")
                with registry.read() as reader:
                    assert reader.recorded(person(f"{who}-{number}")).account == account
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert failures == []
    with registry.read() as reader:
        assert len({account.uid_number for account in reader.every_account()}) == 30
        assert reader.verify_changes() == reader.last_change()


def test_a_reader_sees_one_state_while_others_write(registry: Registry) -> None:
    with registry.read() as reader:
        before = reader.revision()
        open_one(registry, "a")
        assert reader.revision() == before
        assert list(reader.every_account()) == []
    with registry.read() as reader:
        assert reader.revision() == before + 1


def test_a_write_inside_a_write_is_a_mistake_that_shows_at_once(registry: Registry) -> None:
    with registry.write(AUTHOR), pytest.raises(RuntimeError):
        open_one(registry, "a")
    assert open_one(registry, "a").uid_number == 200_000


def test_a_transaction_that_fails_leaves_nothing(registry: Registry) -> None:
    with registry.read() as reader:
        before = (reader.revision(), reader.last_change())
    with contextlib.suppress(ZeroDivisionError), registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("a", VO)))
        writer.add_ban(account_id=None, identity=person("a"), reason="x", until=None, at=NOW)
        raise ZeroDivisionError
    with registry.read() as reader:
        assert (reader.revision(), reader.last_change()) == before
        assert reader.bans() == ()
        assert list(reader.people()) == []

"""The publisher's loops against a registry, a signer and a store that fail now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from idmap.domain.errors import Unavailable
from idmap.domain.manifest import (
    BANS_TYPE,
    MANIFEST_TYPE,
    parse_bans,
    parse_envelope,
    parse_manifest,
)
from idmap.domain.reasons import Reason
from idmap.entrypoints.work.publisher import run_publisher
from tests.support.snapshot_site import SnapshotSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SnapshotSite]:
    """A service with one account."""
    site = SnapshotSite(tmp_path)
    site.open_account("s-alice", "alice")
    yield site
    site.close()


@contextmanager
def running(site: SnapshotSite, **more: Any) -> Iterator[None]:
    """The loops in threads of this process."""
    stop = threading.Event()
    thread = threading.Thread(
        target=run_publisher,
        args=(site.publisher, site.registry, stop),
        kwargs={"clock": site.clock, **more},
    )
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=10)
        assert not thread.is_alive()


def wait_for(fact: Callable[[], bool], seconds: float = 8.0) -> None:
    """Waits until it is so."""
    began = time.monotonic()
    while not fact():
        assert time.monotonic() - began < seconds, "it never came true"
        time.sleep(0.005)


def banned(site: SnapshotSite) -> list[int]:
    """The uid numbers on the published list."""
    data = site.store.read_document("bans")
    if data is None:
        return []
    return [uid for uid, _ in parse_bans(parse_envelope(data, BANS_TYPE).payload).bans]


def revision(site: SnapshotSite) -> int:
    """Of the published manifest."""
    data = site.store.read_document("manifest")
    return parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload).revision if data else 0


def test_a_committed_ban_is_on_disk_at_once(site: SnapshotSite) -> None:
    """Law 5, the service's part of the second (which the end-to-end tests measure): long before anything is due."""
    carol = site.open_account("s-carol", "carol")
    with running(site):
        wait_for(lambda: revision(site) > 0 and site.store.read_document("bans") is not None)
        site.ban(carol)
        wait_for(lambda: banned(site) == [carol.uid_number])


def test_a_ban_does_not_wait_for_a_snapshot_being_built(
    site: SnapshotSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signer that reads a large manifest for seconds."""
    busy, release = threading.Event(), threading.Event()
    sign = site.desk.sign_manifest

    def slowly(payload: bytes, *, approve_shrink: bool = False) -> Any:
        busy.set()
        assert release.wait(10)
        return sign(payload, approve_shrink=approve_shrink)

    monkeypatch.setattr(site.desk, "sign_manifest", slowly)
    carol = site.open_account("s-carol", "carol")
    with running(site):
        assert busy.wait(5)
        site.ban(carol)
        wait_for(lambda: banned(site) == [carol.uid_number])
        release.set()


def test_a_ban_that_ends_leaves_the_list_without_any_commit(site: SnapshotSite) -> None:
    """The loop watches the first end."""
    carol = site.open_account("s-carol", "carol")
    site.ban(carol, until=site.clock.now + 10)
    with running(site):
        wait_for(lambda: banned(site) == [carol.uid_number])
        site.clock.now += 10
        wait_for(lambda: banned(site) == [])


def test_the_loops_outlive_a_signer_and_a_registry_that_fail(
    site: SnapshotSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors are logged and tried again, bans sooner than anything else."""
    failing = threading.Event()
    failing.set()

    def fault(real: Callable[..., Any], error: Exception) -> Callable[..., Any]:
        def maybe(*args: Any, **more: Any) -> Any:
            if failing.is_set():
                raise error
            return real(*args, **more)

        return maybe

    gone = Unavailable(Reason.SIGNER_UNAVAILABLE)
    for name in ("sign_manifest", "sign_bans", "sign_heartbeat"):
        monkeypatch.setattr(site.desk, name, fault(getattr(site.desk, name), gone))
    token = fault(site.registry.change_token, RuntimeError("database is locked"))
    monkeypatch.setattr(site.registry, "change_token", token)
    carol = site.open_account("s-carol", "carol")
    site.ban(carol)
    with running(site):
        time.sleep(0.5)
        assert site.store.read_document("bans") is None
        failing.clear()
        wait_for(lambda: banned(site) == [carol.uid_number])
        wait_for(lambda: revision(site) > 0)
        wait_for(lambda: site.store.read_document("heartbeat") is not None)

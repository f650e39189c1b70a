"""The event stream on a real server: bad news first, to everybody, at once; a slow node costs nothing."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx2
import pytest

from idmap.adapters.snapshot.events import parse_events
from idmap.application.ports import CredentialKind
from idmap.domain.errors import InvalidInput, Unavailable
from idmap.domain.manifest import BANS_TYPE, BanList, encode_bans
from idmap.entrypoints.http.parts import running_of
from idmap.entrypoints.http.server import run_server
from idmap.entrypoints.http.stream import EventHub, encode_frame
from tests.entrypoints.http.site import SETUP, Site


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _serving(site: Site) -> AsyncIterator[str]:
    """The site on Granian, on loopback, with a clean stop."""
    port = _free_port()
    stop = asyncio.Event()
    settings = SimpleNamespace(
        listen="127.0.0.1", port=port, tls_certificate=None, tls_key=None, behind_proxy=False
    )
    server = asyncio.create_task(run_server(site.app, settings, stop))
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(trust_env=False) as client:
            for _ in range(200):
                try:
                    await client.get(f"{url}/healthz")
                    break
                except httpx2.TransportError:
                    await asyncio.sleep(0.02)
        yield url
    finally:
        stop.set()
        await asyncio.wait_for(server, 10)


class _Node:
    """A node that reads its stream and notes what came when."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {secret}"}
        self.seen: list[tuple[str, bytes, float]] = []
        self.ended = asyncio.Event()
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        timeout = httpx2.Timeout(30)
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=timeout) as client,
            client.stream("GET", f"{self._url}/v1/events", headers=self._headers) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            pending = b""
            async for part in answer.aiter_bytes():
                pending += part
                whole, found, rest = pending.rpartition(b"\n\n")
                if found:
                    pending = rest
                    for event in parse_events([whole + b"\n\n"], 1 << 20):
                        self.seen.append((event.name, event.data, time.monotonic()))
        self.ended.set()

    async def until(self, count: int) -> None:
        """Waits until so many events came."""
        for _ in range(500):
            if len(self.seen) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError([name for name, _, _ in self.seen])

    async def close(self) -> None:
        """Goes away without a word."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def test_a_ban_reaches_fifty_streams_within_a_second(site: Site) -> None:
    """Each gets the current documents first, then every news; what is carried is the envelope, byte for byte."""
    site.publish()

    async def story() -> None:
        async with _serving(site) as url:
            nodes = [_Node(url, site.secrets["login1"]) for _ in range(50)]
            await asyncio.gather(*(node.until(3) for node in nodes))
            first = nodes[0].seen
            assert [name for name, _, _ in first] == ["bans", "heartbeat", "manifest"]
            manifest = site.store.read_document("manifest")
            assert manifest is not None
            assert json.loads(first[2][1]) == {
                "revision": 1,
                "sha256": hashlib.sha256(manifest).hexdigest(),
            }
            site.put("bans", BANS_TYPE, encode_bans(BanList("demo", 2, 0, ((200001, 0),))))
            began = time.monotonic()
            await asyncio.gather(*(node.until(4) for node in nodes))
            slowest = max(node.seen[3][2] for node in nodes) - began
            assert {node.seen[3][0] for node in nodes} == {"bans"}
            assert nodes[0].seen[3][1] == site.store.read_document("bans")
            assert slowest < 1.0, slowest
            await asyncio.gather(*(node.close() for node in nodes))
            hub = running_of(site.app).hub
            for _ in range(200):
                if not hub.open_streams:
                    break
                await asyncio.sleep(0.01)
            assert hub.open_streams == 0

    asyncio.run(story())


def test_a_stop_ends_open_streams(site: Site) -> None:
    """The server does not wait for nodes that never hang up."""
    site.publish()

    async def story() -> None:
        async with _serving(site) as url:
            node = _Node(url, site.secrets["login1"])
            await node.until(3)
        await asyncio.wait_for(node.ended.wait(), 5)

    asyncio.run(story())


def test_revoking_a_node_ends_its_stream(site: Site) -> None:
    """It is told nothing more, while the others are."""
    site.publish()
    made = site.ask("POST", "/v1/nodes", "bootstrap", json={"name": "n2", "node_class": "login"})

    async def story() -> None:
        async with _serving(site) as url:
            gone, stays = _Node(url, made.json()["secret"]), _Node(url, site.secrets["login1"])
            await asyncio.gather(gone.until(3), stays.until(3))
            with site.registry.write(SETUP) as writer:
                writer.revoke_credential(CredentialKind.NODE, "n2")
            await asyncio.wait_for(gone.ended.wait(), 2)
            assert not stays.ended.is_set()
            await stays.close()

    asyncio.run(story())


def test_a_slow_listener_keeps_one_of_each(site: Site) -> None:
    """What was overtaken is not sent; memory does not grow with news."""

    async def story() -> None:
        hub = EventHub(site.store, site.registry, poll_seconds=60, max_streams=2)
        site.publish(1, 1)
        await hub.start()
        listener = hub.listen("login1")
        stream = hub.frames(listener)
        for _ in range(3):
            await anext(stream)
        for number in range(2, 30):
            site.publish(number, number)
            await hub._look()
        assert len(listener.due) == 3
        frames = [await anext(stream) for _ in range(3)]
        assert frames[0].startswith(b"event: bans\n")
        assert b'"revision":29' in frames[2]
        await stream.aclose()
        assert hub.open_streams == 0
        await hub.stop()

    asyncio.run(story())


def test_streams_are_bounded_and_the_places_come_free(site: Site) -> None:
    """A node that reconnects in a loop does not fill the service."""

    async def story() -> None:
        hub = EventHub(site.store, site.registry, poll_seconds=60, max_streams=2)
        site.publish()
        await hub.start()
        streams = [hub.frames(hub.listen("login1")) for _ in range(2)]
        for stream in streams:
            await anext(stream)
        with pytest.raises(Unavailable):
            hub.listen("login1")
        await streams[0].aclose()
        hub.listen("login1")
        await hub.stop()

    asyncio.run(story())


def test_the_watch_survives_a_failing_store(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next bans travel the same way, so one failure must not end it."""

    async def story() -> None:
        hub = EventHub(site.store, site.registry, poll_seconds=0.01, max_streams=2)
        with monkeypatch.context() as broken:
            broken.setattr(site.store, "read_document", _raise)
            await hub.start()
            await asyncio.sleep(0.05)
        site.publish()
        listener = hub.listen("login1")
        assert await asyncio.wait_for(anext(hub.frames(listener)), 2)
        await hub.stop()

    asyncio.run(story())


def test_what_is_no_manifest_is_not_announced() -> None:
    """Nodes are not woken for something they would refuse."""
    assert encode_frame("manifest", b"{}") is None


def test_documents_have_etags(site: Site) -> None:
    """A node that has the newest is told so without its bytes."""
    assert site.ask("GET", "/v1/snapshot/manifest", "login1").status_code == 404
    site.publish()
    for name in ("manifest", "bans", "heartbeat"):
        first = site.ask("GET", f"/v1/snapshot/{name}", "login1")
        assert first.content == site.store.read_document(name)
        headers = {"If-None-Match": first.headers["etag"]}
        again = site.ask("GET", f"/v1/snapshot/{name}", "login1", headers=headers)
        assert (again.status_code, again.content) == (304, b"")


def test_trust_chunks_are_for_nodes_and_posix_chunks_for_mirrors(site: Site) -> None:
    """A restricted chunk is never answered on the public path, whoever asks."""
    public = site.store.put_chunk(b"posix", restricted=False)
    trust = site.store.put_chunk(b"salted", restricted=True)
    open_chunk = site.ask("GET", f"/v1/snapshot/chunks/{public}")
    assert (open_chunk.content, "immutable" in open_chunk.headers["cache-control"]) == (
        b"posix",
        True,
    )
    assert site.ask("GET", f"/v1/snapshot/chunks/{trust}").status_code == 404
    assert site.ask("GET", f"/v1/snapshot/trust/{trust}").status_code == 401
    kept = site.ask("GET", f"/v1/snapshot/trust/{trust}", "login1")
    assert (kept.content, kept.headers["cache-control"]) == (b"salted", "no-store")
    assert site.ask("GET", "/v1/snapshot/chunks/..%2Fmanifest.json").status_code in {400, 404}


def test_a_report_tells_the_node_what_it_should_have(site: Site) -> None:
    """And the administrators what it has."""
    report = {"revision": 0, "ban_counter": 0, "masked": ["alice"], "local_names": ["alice"]}
    answer = site.ask("POST", "/v1/nodes/self/report", "login1", json=report).json()
    with site.registry.read() as reader:
        assert answer == {"revision": reader.revision(), "ban_counter": reader.ban_counter()}
    (node,) = site.ask("GET", "/v1/nodes", "bootstrap").json()["nodes"]
    assert (node["name"], node["masked"], node["current"]) == ("login1", ["alice"], False)


def test_the_server_does_not_listen_in_the_open_without_tls(site: Site) -> None:
    """DESIGN §3, a second time after the settings."""
    settings = SimpleNamespace(
        listen="0.0.0.0", port=1, tls_certificate=None, tls_key=None, behind_proxy=False
    )
    with pytest.raises(InvalidInput):
        asyncio.run(run_server(site.app, settings, asyncio.Event()))


def test_a_port_that_is_taken_ends_the_server(site: Site) -> None:
    """With an error, not with a service that nobody can reach."""

    async def story() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            settings = SimpleNamespace(
                listen="127.0.0.1",
                port=taken.getsockname()[1],
                tls_certificate=None,
                tls_key=None,
                behind_proxy=False,
            )
            await asyncio.wait_for(run_server(site.app, settings, asyncio.Event()), 10)

    with pytest.raises(Unavailable):
        asyncio.run(story())


def _raise(_name: str) -> bytes:
    raise OSError("gone")

"""The stream of signed documents to the nodes: one poller, any number of listeners.

Only the newest manifest, ban list and heartbeat matter, so a listener keeps at most one of each: a slow node
skips what was overtaken, and costs three references. A frame is encoded once for all. When a credential is
revoked, its stream ends. The hub signs nothing and believes nothing: what it carries was signed elsewhere and
is checked by the node.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool

from idmap.application.ports import CredentialKind, Registry, SnapshotStore
from idmap.domain.errors import IdmapError, Unavailable
from idmap.domain.manifest import MANIFEST_TYPE, parse_envelope, parse_manifest
from idmap.domain.reasons import Reason

DOCUMENTS: Final = ("bans", "heartbeat", "manifest")
"""In the order in which they are sent when several are due: bad news first."""

SILENCE_SECONDS: Final = 15.0
"""After so much silence a comment goes out, so that both ends notice a dead connection."""

_log = structlog.get_logger("idmap.http")


class Listener:
    """One open stream: what is due, and a bell."""

    def __init__(self, node: str) -> None:
        self.node = node
        self.due: dict[str, bytes] = {}
        self.bell = asyncio.Event()
        self.closed = False

    def tell(self, name: str, frame: bytes) -> None:
        """A newer document takes the place of one not sent yet."""
        self.due[name] = frame
        self.bell.set()

    def close(self) -> None:
        """The stream ends when its writer next looks."""
        self.closed = True
        self.bell.set()


class EventHub:
    """Watches the published documents and wakes the listeners. Lives in one event loop."""

    def __init__(
        self, store: SnapshotStore, registry: Registry, *, poll_seconds: float, max_streams: int
    ) -> None:
        self._store = store
        self._registry = registry
        self._poll_seconds = poll_seconds
        self._max_streams = max_streams
        self._documents: dict[str, bytes] = {}
        self._frames: dict[str, bytes] = {}
        self._listeners: set[Listener] = set()
        self._change_token: int | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def open_streams(self) -> int:
        """How many listeners there are."""
        return len(self._listeners)

    async def start(self) -> None:
        """Begins to watch; the first look has happened when this returns."""
        await self._try_to_look()
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Ends the watch and every stream."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        for listener in tuple(self._listeners):
            listener.close()

    def listen(self, node: str) -> Listener:
        """A listener for `frames`, which alone counts it. Raises Unavailable(SERVICE_UNAVAILABLE) when full."""
        if len(self._listeners) >= self._max_streams:
            raise Unavailable(Reason.SERVICE_UNAVAILABLE, f"{self._max_streams} streams are open")
        return Listener(node)

    async def frames(self, listener: Listener) -> AsyncGenerator[bytes, None]:
        """The listener's stream: the current documents, then the news.

        Ends when the hub stops or the credential is revoked. A stream that is never begun leaves nothing behind.
        """
        self._listeners.add(listener)
        for name, frame in self._frames.items():
            listener.tell(name, frame)
        try:
            while not listener.closed:
                try:
                    await asyncio.wait_for(listener.bell.wait(), SILENCE_SECONDS)
                except TimeoutError:
                    yield b": still here\n\n"
                listener.bell.clear()
                due, listener.due = listener.due, {}
                for name in DOCUMENTS:
                    if name in due and not listener.closed:
                        yield due[name]
        finally:
            self._listeners.discard(listener)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            await self._try_to_look()

    async def _try_to_look(self) -> None:
        """One failed look must not end the watch: the next bans travel this way."""
        try:
            await self._look()
        except Exception as error:
            _log.warning(
                "documents_unreadable", error=type(error).__name__, detail=str(error)[:200]
            )

    async def _look(self) -> None:
        documents, change_token = await run_in_threadpool(self._read)
        for name, data in documents.items():
            if self._documents.get(name) == data:
                continue
            self._documents[name] = data
            frame = encode_frame(name, data)
            if frame is not None:
                self._frames[name] = frame
                for listener in self._listeners:
                    listener.tell(name, frame)
        if change_token != self._change_token:
            living = await run_in_threadpool(self._enrolled)
            self._change_token = change_token
            for listener in self._listeners:
                if listener.node not in living:
                    listener.close()

    def _read(self) -> tuple[dict[str, bytes], int]:
        found = {name: self._store.read_document(name) for name in DOCUMENTS}
        documents = {name: data for name, data in found.items() if data is not None}
        return documents, self._registry.change_token()

    def _enrolled(self) -> frozenset[str]:
        with self._registry.read() as reader:
            return frozenset(
                credential.name
                for credential in reader.credentials()
                if credential.kind is CredentialKind.NODE and not credential.revoked
            )


def encode_frame(name: str, data: bytes) -> bytes | None:
    """One server-sent event (WHATWG HTML §9.2); None when a manifest cannot be read.

    `manifest` tells revision and SHA-256 of the document, which the node then fetches; the others carry the
    envelope itself.
    """
    if name == "manifest":
        try:
            revision = parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload).revision
        except IdmapError as error:
            _log.warning("documents_unreadable", detail=str(error)[:200])
            return None
        summary = {"revision": revision, "sha256": hashlib.sha256(data).hexdigest()}
        data = json.dumps(summary, separators=(",", ":")).encode("ascii")
    lines = b"".join(b"data: " + line + b"\n" for line in data.splitlines())
    return b"event: " + name.encode("ascii") + b"\n" + lines + b"\n"

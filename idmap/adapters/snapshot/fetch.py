"""How a node asks the service: documents, chunks, its report, and the event stream.

Whatever arrives is bounded before it is read and checked before it is given on: a chunk is exactly the size
and hash that the signed manifest promises. TLS, or plain http to this very host; no redirects, no proxy from
the environment. The node's credential goes only to the service. Documents come back as bytes: trusting them is
`verify.py`'s.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import httpx2

from idmap.adapters.snapshot.events import Event, parse_events
from idmap.domain.errors import InvalidInput, NodeInstallFailed
from idmap.domain.issuers import is_loopback_url
from idmap.domain.manifest import MAX_ENVELOPE, ChunkRef
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

MAX_CHUNK: Final = 64 * 1024 * 1024
"""A user chunk at 1 M accounts is about 2 MB; a signed size above this is a mistake."""

CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 20.0
STREAM_SILENCE_SECONDS: Final = 30.0
"""Heartbeats come every 5 s; a stream without a byte for this long is dead."""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What a node tells the service after an installation."""

    revision: int
    ban_counter: int
    masked: tuple[str, ...]
    local_names: tuple[str, ...]


class SnapshotClient:
    """One service as one node sees it. Raises NodeInstallFailed(DOWNLOAD_FAILED or DOWNLOAD_TAMPERED)."""

    def __init__(
        self, url: str, credential: Callable[[], Secret], *, ca_file: Path | None = None
    ) -> None:
        if not url.startswith("https://") and not is_loopback_url(url):
            raise InvalidInput(
                Reason.CONFIGURATION_INVALID, "service.url: plain http is for loopback only"
            )
        self._url = url.rstrip("/")
        self._credential = credential
        self._client = httpx2.Client(
            verify=_tls(ca_file),
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "idmap-agent"},
        )

    def fetch_document(self, name: str) -> bytes:
        """`manifest`, `bans` or `heartbeat`, as an envelope nobody has checked yet."""
        return self._get(f"/v1/snapshot/{name}", MAX_ENVELOPE)

    def fetch_chunk(self, chunk: ChunkRef, *, restricted: bool) -> bytes:
        """A chunk that is what the manifest promises."""
        if chunk.size > MAX_CHUNK:
            raise NodeInstallFailed(
                Reason.MANIFEST_INVALID, f"chunk {chunk.name}: {chunk.size} bytes"
            )
        kind = "trust" if restricted else "chunks"
        data = self._get(f"/v1/snapshot/{kind}/{chunk.sha256}", chunk.size)
        if len(data) < chunk.size:
            raise _failed(f"chunk {chunk.name}: {len(data)} of {chunk.size} bytes came")
        check_chunk(chunk, data)
        return data

    def report(self, report: NodeReport) -> None:
        """Tells the service what is installed here."""
        try:
            response = self._client.post(
                f"{self._url}/v1/nodes/self/report",
                json=asdict(report),
                headers=self._authorization(),
            )
        except httpx2.HTTPError as error:
            raise _failed(f"report: {type(error).__name__}") from None
        if response.status_code >= 300:
            raise _failed(f"report: status {response.status_code}")

    @contextmanager
    def events(self) -> Iterator[Iterator[Event]]:
        """The open event stream; ends with DOWNLOAD_FAILED when it breaks or falls silent."""
        timeout = httpx2.Timeout(STREAM_SILENCE_SECONDS, connect=CONNECT_SECONDS)
        headers = {"Accept": "text/event-stream", **self._authorization()}
        try:
            with self._client.stream(
                "GET", f"{self._url}/v1/events", headers=headers, timeout=timeout
            ) as response:
                if response.status_code != 200:
                    raise _failed(f"/v1/events: {_status(response.status_code)}")
                yield _guarded(parse_events(response.iter_raw(), MAX_ENVELOPE))
        except httpx2.HTTPError as error:
            raise _failed(f"/v1/events: {type(error).__name__}") from None

    def close(self) -> None:
        """Closes every connection, also from another thread."""
        self._client.close()

    def _get(self, path: str, limit: int) -> bytes:
        received = bytearray()
        try:
            with self._client.stream(
                "GET", self._url + path, headers=self._authorization()
            ) as response:
                if response.status_code != 200:
                    raise _failed(f"{path}: {_status(response.status_code)}")
                for part in response.iter_raw():
                    received += part
                    if len(received) > limit:
                        raise NodeInstallFailed(
                            Reason.DOWNLOAD_TAMPERED, f"{path}: more than {limit} bytes"
                        )
        except httpx2.HTTPError as error:
            raise _failed(f"{path}: {type(error).__name__}") from None
        return bytes(received)

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._credential().reveal()}"}


def check_chunk(chunk: ChunkRef, data: bytes) -> None:
    """Raises NodeInstallFailed(DOWNLOAD_TAMPERED) unless size and hash are the promised ones."""
    if len(data) != chunk.size or hashlib.sha256(data).hexdigest() != chunk.sha256:
        raise NodeInstallFailed(
            Reason.DOWNLOAD_TAMPERED, f"chunk {chunk.name}: not what was signed"
        )


def _guarded(events: Iterator[Event]) -> Iterator[Event]:
    try:
        yield from events
    except httpx2.HTTPError as error:
        raise _failed(f"/v1/events: {type(error).__name__}") from None


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(Reason.CONFIGURATION_INVALID, f"{ca_file}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _status(code: int) -> str:
    meanings: dict[int, str] = {
        401: "the service refuses the node's credential",
        403: "the service refuses the node's credential",
        404: "the service has no such document (yet)",
    }
    return f"status {code}: {meanings.get(code, 'unexpected')}"


def _failed(detail: str) -> NodeInstallFailed:
    return NodeInstallFailed(Reason.DOWNLOAD_FAILED, detail)

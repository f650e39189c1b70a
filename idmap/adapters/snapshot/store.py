"""A snapshot store in a directory: chunks by content, documents by name.

    chunks/<2>/<sha256>       for everybody; any dumb server can carry it
    restricted/<2>/<sha256>   for enrolled nodes only (0640): issuers, keys, salted identities
    manifest.json bans.json heartbeat.json
    history/<number>.json     the last manifests, by which garbage is told from what nodes still fetch

A chunk is written once and never changed; a document is replaced in one step. The store trusts nothing a caller says
about a hash: it computes its own, and a name that is no SHA-256 finds nothing (routes pass strangers' text here).
It does not check signatures; nodes do.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from idmap.adapters.snapshot.durable import sync_directory, write_durably
from idmap.domain.errors import IdmapError
from idmap.domain.manifest import MANIFEST_TYPE, parse_envelope, parse_manifest

DOCUMENTS: Final = frozenset({"manifest", "bans", "heartbeat"})
KEEP_MANIFESTS: Final = 48
"""Two days of hourly re-signing; a node that began with one of these still finds its chunks."""

YOUNG_SECONDS: Final = 3600
"""A chunk this young is never garbage: the manifest that names it may be about to be signed."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class DirectorySnapshotStore:
    """The SnapshotStore port on one file system. One writer, any number of readers."""

    def __init__(self, directory: Path, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._clock = clock
        self._unsynced: set[Path] = set()

    def put_chunk(self, data: bytes, *, restricted: bool) -> str:
        """Stores by content; gives the SHA-256 in hexadecimal. A chunk that is there is only marked as young."""
        sha256 = hashlib.sha256(data).hexdigest()
        path = self._chunk_path(sha256, restricted)
        try:
            if path.stat().st_size == len(data):
                os.utime(path)
                return sha256
        except FileNotFoundError:
            self._make_directory(path.parent.parent, restricted)
            self._make_directory(path.parent, restricted)
        write_durably(path, data, mode=0o640 if restricted else 0o644, sync_name=False)
        self._unsynced.add(path.parent)
        return sha256

    def read_chunk(self, sha256: str, *, restricted: bool) -> bytes | None:
        """The chunk's bytes; None when there is none, or when `sha256` is no SHA-256 at all."""
        if not _SHA256.fullmatch(sha256):
            return None
        try:
            return self._chunk_path(sha256, restricted).read_bytes()
        except FileNotFoundError:
            return None

    def put_document(self, name: str, data: bytes) -> None:
        """Replaces `manifest`, `bans` or `heartbeat` in one step.

        Before a manifest, the names of all chunks put since are made durable; it is also kept for garbage collection.
        """
        path = self._document_path(name)
        self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        if name == "manifest":
            while self._unsynced:
                sync_directory(self._unsynced.pop())
            self._remember(data)
        write_durably(path, data, mode=0o644)

    def read_document(self, name: str) -> bytes | None:
        """The document's bytes, or None when it was never written."""
        try:
            return self._document_path(name).read_bytes()
        except FileNotFoundError:
            return None

    def manifests(self) -> Iterator[bytes]:
        """The last manifests, oldest first; the last of them is the published one."""
        for _, path in self._history():
            with suppress(OSError):
                yield path.read_bytes()
        published = self.read_document("manifest")
        if published is not None:
            yield published

    def collect_garbage(self, keep_manifests: int = KEEP_MANIFESTS) -> int:
        """Removes old chunks that none of the last manifests names; gives how many.

        Does nothing at all when one of those manifests cannot be read: what it names is not known.
        """
        history = self._history()
        for _, path in history[:-keep_manifests]:
            path.unlink(missing_ok=True)
        named: set[str] = set()
        for _, path in history[-keep_manifests:]:
            try:
                manifest = parse_manifest(parse_envelope(path.read_bytes(), MANIFEST_TYPE).payload)
            except (IdmapError, OSError):
                return 0
            named.update(chunk.sha256 for chunk in (*manifest.posix, *manifest.trust))
        removed = 0
        for path in self._chunks():
            if path.name not in named and self._clock() - path.stat().st_mtime > YOUNG_SECONDS:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _remember(self, data: bytes) -> None:
        directory = self._directory / "history"
        directory.mkdir(mode=0o755, exist_ok=True)
        history = self._history()
        number = history[-1][0] + 1 if history else 1
        write_durably(directory / f"{number}.json", data, mode=0o644)

    def _history(self) -> list[tuple[int, Path]]:
        found = (self._directory / "history").glob("*.json")
        return sorted((int(path.stem), path) for path in found if path.stem.isdecimal())

    def _chunks(self) -> Iterator[Path]:
        for kind in ("chunks", "restricted"):
            for path in (self._directory / kind).glob("??/*"):
                if _SHA256.fullmatch(path.name):
                    yield path

    def _chunk_path(self, sha256: str, restricted: bool) -> Path:
        kind = "restricted" if restricted else "chunks"
        return self._directory / kind / sha256[:2] / sha256

    def _make_directory(self, directory: Path, restricted: bool) -> None:
        if not directory.is_dir():
            directory.mkdir(mode=0o750 if restricted else 0o755, parents=True, exist_ok=True)
            sync_directory(directory.parent)

    def _document_path(self, name: str) -> Path:
        if name not in DOCUMENTS:
            raise ValueError(f"no document is called {name[:40]!r}")
        return self._directory / f"{name}.json"

"""What the published snapshot proves to have been issued: a restore must not give it to others.

The manifests lie outside the database, on every mirror and node, so that they are there when the host with database
and marks is not. Chunks are checked by their hashes; identities come as the salted digests that nodes get.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from idmap.domain.errors import IdmapError
from idmap.domain.manifest import (
    BANS_TYPE,
    MANIFEST_TYPE,
    BanList,
    ChunkRef,
    Manifest,
    parse_bans,
    parse_envelope,
    parse_manifest,
)
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.trust import ISSUERS_CHUNK, parse_identity_line, parse_issuers


class PublishedSnapshots(Protocol):
    """Where signed manifests and their chunks lie."""

    def read_document(self, name: str) -> bytes | None: ...
    def read_chunk(self, sha256: str, *, restricted: bool) -> bytes | None: ...
    def manifests(self) -> Iterable[bytes]:
        """The last ones, oldest first, the newest being the published one."""
        ...


@dataclass(frozen=True, slots=True)
class PublishedIssue:
    """A name and number of the published view."""

    kind: str
    """`user` or `group`."""
    name: str
    number: int
    digest: bytes | None
    """Of an identity linked to it, under the realm's salt; None when nothing is said."""


@dataclass(frozen=True, slots=True)
class Published:
    """Everything that nodes may have been told; empty when nothing was published."""

    realm: str | None = None
    salt: bytes | None = None
    revision: int = 0
    ban_counter: int = 0
    high_water: Mapping[str, tuple[NumberRange, int]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Range name → the run of numbers that its window was, and the highest issued."""
    issued: tuple[PublishedIssue, ...] = ()
    bans: tuple[tuple[int, int], ...] = ()
    """(uid number, end or 0) that nodes refuse now."""
    banned_issuers: tuple[tuple[str, int], ...] = ()
    """(issuer, end or 0) whose tokens they refuse."""
    banned_tokens: int = 0
    """How many single tokens; the list has their digests alone."""
    unreadable: int = 0
    """Manifests and chunks that could not be used."""


def read_published(store: PublishedSnapshots) -> Published:
    """What the store's manifests and ban list say; whatever does not read is counted and left out.

    Whose an account was is what the newest manifest says that has it: a link that was taken back gives no right.
    """
    reading = _Reading(store)
    for data in reversed(list(store.manifests())):
        reading.add(data)
    return reading.result()


class _Reading:
    def __init__(self, store: PublishedSnapshots) -> None:
        self._store = store
        self._manifests: list[Manifest] = []
        self._read: set[tuple[ChunkRef, ...]] = set()
        self._issued: dict[tuple[str, str, int], tuple[PublishedIssue, ...]] = {}
        self._salt: bytes | None = None
        self._unreadable = 0

    def add(self, data: bytes) -> None:
        try:
            manifest = parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload)
        except IdmapError:
            self._unreadable += 1
            return
        self._manifests.append(manifest)
        chunks = (*manifest.posix, *manifest.trust)
        if chunks in self._read:
            return
        self._read.add(chunks)
        digests: dict[int, list[bytes]] = defaultdict(list)
        for line in self._lines(manifest.trust, "identities-", restricted=True):
            try:
                digest, number = parse_identity_line(line)
            except IdmapError:
                self._unreadable += 1
            else:
                digests[number].append(digest)
        for line in self._lines(manifest.posix, "", restricted=False):
            match line.split("\t"):
                case ["user", name, text, *_] if text.isdecimal():
                    number = int(text)
                    self._keep("user", name, number, digests[number])
                case ["group", name, text] if text.isdecimal():
                    self._keep("group", name, int(text), [])
                case _:
                    self._unreadable += 1
        for chunk in manifest.trust:
            if chunk.name == ISSUERS_CHUNK:
                self._read_salt(chunk)

    def _keep(self, kind: str, name: str, number: int, digests: list[bytes]) -> None:
        found = tuple(PublishedIssue(kind, name, number, digest) for digest in digests)
        nobody = (PublishedIssue(kind, name, number, None),)
        self._issued.setdefault((kind, name, number), found or nobody)

    def result(self) -> Published:
        listed = self._bans()
        refused = Published(
            ban_counter=listed.counter,
            bans=listed.bans,
            banned_issuers=listed.issuers,
            banned_tokens=len(listed.tokens),
            unreadable=self._unreadable,
        )
        if not self._manifests:
            return refused
        marks: dict[str, tuple[NumberRange, int]] = {}
        for manifest in self._manifests:
            for name, highest in manifest.high_water.items():
                window = _window(manifest, name, highest)
                if window is not None and highest >= marks.get(name, (window, 0))[1]:
                    marks[name] = (window, highest)
        announced = (manifest.ban_counter for manifest in self._manifests)
        return replace(
            refused,
            realm=self._manifests[0].realm,
            salt=self._salt,
            revision=max(manifest.revision for manifest in self._manifests),
            ban_counter=max(listed.counter, *announced),
            high_water=MappingProxyType(marks),
            issued=tuple(issue for found in self._issued.values() for issue in found),
            unreadable=self._unreadable,
        )

    def _lines(self, chunks: Iterable[ChunkRef], prefix: str, *, restricted: bool) -> Iterator[str]:
        for chunk in chunks:
            if chunk.name.startswith(prefix):
                data = self._content(chunk, restricted)
                yield from data.decode("ascii", "replace").splitlines()

    def _content(self, chunk: ChunkRef, restricted: bool) -> bytes:
        data = self._store.read_chunk(chunk.sha256, restricted=restricted)
        if data is None or hashlib.sha256(data).hexdigest() != chunk.sha256:
            self._unreadable += 1
            return b""
        return data

    def _read_salt(self, chunk: ChunkRef) -> None:
        try:
            self._salt = self._salt or parse_issuers(self._content(chunk, True)).salt
        except IdmapError:
            self._unreadable += 1

    def _bans(self) -> BanList:
        data = self._store.read_document("bans")
        if data is not None:
            try:
                return parse_bans(parse_envelope(data, BANS_TYPE).payload)
            except IdmapError:
                self._unreadable += 1
        return BanList("", 0, 0, ())


def _window(manifest: Manifest, name: str, highest: int) -> NumberRange | None:
    """The run of numbers in which a range's highest number lies; people and groups never share one."""
    for purpose, runs in (
        (RangePurpose.PEOPLE, manifest.windows.uid),
        (RangePurpose.GROUPS, manifest.windows.gid),
    ):
        for first, last in runs:
            if first <= highest <= last:
                return NumberRange(name, purpose, first, last)
    return None

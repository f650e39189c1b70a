"""What the signer will not sign, whoever asks (law 14).

Each check is the signer's own: it trusts neither the rule loader, nor the ledger, nor the builder. A payload
must be the canonical form of its type and nothing more; revision and ban counter never go back; dates lie
around the signer's own clock; every record of a manifest is read from the store by its hash and checked, and so is
every trust chunk (`trust_refusals.py` says what can be checked there). Pure but for reading chunks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NoReturn, TypeVar

from idmap.application.install_view import PosixView, merge, parse_chunk
from idmap.domain.errors import Conflict, IdmapError
from idmap.domain.issuers import is_issuer_url
from idmap.domain.manifest import (
    BanList,
    ChunkRef,
    Heartbeat,
    Manifest,
    encode_bans,
    encode_heartbeat,
    encode_manifest,
    parse_bans,
    parse_heartbeat,
    parse_manifest,
)
from idmap.domain.numbers import NumberRange, RangePurpose, check_range, is_refused_number
from idmap.domain.posix import Windows
from idmap.domain.reasons import Reason
from idmap.entrypoints.sign.trust_refusals import TrustChecker, TrustRefused

CLOCK_TOLERANCE: Final = 300
"""Seconds that the asker's clock may differ from the signer's; both normally run on one machine."""

MAX_WINDOWS: Final = 16
"""What the compiled file has room for, for uids and for gids each."""

MAX_CHUNKS: Final = 1024
SHRINK_FLOOR: Final = 3
"""Closing up to this many accounts is daily work, also on a small site; emptying the site never is."""

_T = TypeVar("_T", Manifest, BanList, Heartbeat)
ReadChunk = Callable[[str], bytes | None]
"""A chunk by its SHA-256; None when there is none."""


@dataclass(frozen=True, slots=True)
class SignedBefore:
    """What the signer remembers of its own signatures."""

    revision: int = 0
    created: int = 0
    users: int = 0
    ban_counter: int = 0
    bans_issued: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The signer's settings."""

    realm: str
    lifetime_seconds: int
    max_shrink_percent: int


class ManifestChecker:
    """Checks manifests; remembers the records of chunks it has read, so that one change costs one chunk."""

    def __init__(self, limits: Limits, read_chunk: ReadChunk, read_trust_chunk: ReadChunk) -> None:
        self._limits = limits
        self._read_chunk = read_chunk
        self._trust = TrustChecker(lambda chunk: _content(chunk, read_trust_chunk))
        self._read: dict[tuple[ChunkRef, Windows], PosixView] = {}

    def check(
        self, payload: bytes, before: SignedBefore, now: int, *, approve_shrink: bool
    ) -> tuple[Manifest, int]:
        """The manifest and its number of users. Raises Conflict(SIGNER_REFUSED)."""
        manifest = _parsed(parse_manifest, encode_manifest, payload)
        limits = self._limits
        _check_realm(manifest.realm, limits)
        if manifest.revision < before.revision:
            _refuse(f"revision {manifest.revision} is below the last signed, {before.revision}")
        if manifest.revision == before.revision and manifest.created < before.created:
            _refuse("created goes back at the same revision")
        _check_now("created", manifest.created, now)
        if not manifest.created < manifest.not_after <= manifest.created + limits.lifetime_seconds:
            _refuse(f"not_after must lie within {limits.lifetime_seconds} s after created")
        _check_windows(manifest.windows)
        view = self._view(manifest)
        users = len(view.users)
        _check_shrink(before.users, users, limits.max_shrink_percent, approve_shrink)
        try:
            self._trust.check(manifest.trust, frozenset(user.uid_number for user in view.users))
        except TrustRefused as error:
            _refuse(str(error))
        return manifest, users

    def _view(self, manifest: Manifest) -> PosixView:
        names = [chunk.name for chunk in (*manifest.posix, *manifest.trust)]
        if len(names) > MAX_CHUNKS or len(set(names)) != len(names):
            _refuse("a chunk is named twice, or there are too many")
        read: dict[tuple[ChunkRef, Windows], PosixView] = {}
        for chunk in manifest.posix:
            key = (chunk, manifest.windows)
            known = self._read.get(key)
            read[key] = self._parse(chunk, manifest.windows) if known is None else known
        try:
            view = merge(read.values())
        except IdmapError as error:
            _refuse(str(error))
        self._read = read
        return view

    def _parse(self, chunk: ChunkRef, windows: Windows) -> PosixView:
        data = _content(chunk, self._read_chunk)
        try:
            return parse_chunk(chunk.name, data, windows)
        except IdmapError as error:
            _refuse(f"chunk {chunk.name}: {error}")


def _content(chunk: ChunkRef, read: ReadChunk) -> bytes:
    data = read(chunk.sha256)
    if data is None:
        _refuse(f"chunk {chunk.name}: not in the store")
    if len(data) != chunk.size or hashlib.sha256(data).hexdigest() != chunk.sha256:
        _refuse(f"chunk {chunk.name}: not what its hash and size promise")
    return data


def check_bans(payload: bytes, limits: Limits, before: SignedBefore, now: int) -> BanList:
    """The ban list. Raises Conflict(SIGNER_REFUSED). There is no guard on bans (law 5).

    Of a token there is nothing but its digest to look at.
    """
    bans = _parsed(parse_bans, encode_bans, payload)
    _check_realm(bans.realm, limits)
    if bans.counter < before.ban_counter:
        _refuse(f"ban counter {bans.counter} is below the last signed, {before.ban_counter}")
    if bans.counter == before.ban_counter and bans.issued < before.bans_issued:
        _refuse("issued goes back at the same counter")
    _check_now("issued", bans.issued, now)
    for uid_number, _ in bans.bans:
        if is_refused_number(uid_number):
            _refuse(f"{uid_number} is no account's number")
    for name, listed in (("issuer", bans.issuers), ("token", bans.tokens)):
        known = [text for text, _ in listed]
        if any(first >= second for first, second in pairwise(known)):
            _refuse(f"a banned {name} twice, or out of order")
    for issuer, _ in bans.issuers:
        if not is_issuer_url(issuer):
            _refuse(f"{issuer[:80]!r} is no issuer")
    return bans


def check_heartbeat(payload: bytes, limits: Limits, before: SignedBefore, now: int) -> Heartbeat:
    """The heartbeat. Raises Conflict(SIGNER_REFUSED); it never announces what was not signed."""
    heartbeat = _parsed(parse_heartbeat, encode_heartbeat, payload)
    _check_realm(heartbeat.realm, limits)
    _check_now("time", heartbeat.time, now)
    if heartbeat.revision > before.revision or heartbeat.ban_counter > before.ban_counter:
        _refuse("it announces a revision or ban counter that was never signed")
    return heartbeat


def _parsed(parse: Callable[[bytes], _T], encode: Callable[[_T], bytes], payload: bytes) -> _T:
    try:
        value = parse(payload)
        canonical = encode(value)
    except IdmapError as error:
        _refuse(str(error))
    if canonical != payload:
        _refuse("the payload is not the canonical form of its type")
    return value


def _check_realm(realm: str, limits: Limits) -> None:
    if realm != limits.realm:
        _refuse(f"realm {realm[:63]!r} is not {limits.realm!r}")


def _check_now(name: str, value: int, now: int) -> None:
    if abs(value - now) > CLOCK_TOLERANCE:
        _refuse(f"{name} is {value - now} s away from the signer's clock")


def _check_windows(windows: Windows) -> None:
    for purpose, runs in ((RangePurpose.PEOPLE, windows.uid), (RangePurpose.GROUPS, windows.gid)):
        if len(runs) > MAX_WINDOWS:
            _refuse(f"more than {MAX_WINDOWS} windows for {purpose}")
        for first, last in runs:
            try:
                check_range(NumberRange(f"{first}-{last}", purpose, first, last), ())
            except IdmapError as error:
                _refuse(f"window: {error}")


def _check_shrink(before: int, users: int, max_percent: int, approved: bool) -> None:
    dropped = before - users
    if approved or dropped <= 0 or (users > 0 and dropped <= SHRINK_FLOOR):
        return
    if users == 0 or dropped * 100 > before * max_percent:
        _refuse(f"{dropped} of {before} accounts would go; a person has to approve that")


def _refuse(detail: str) -> NoReturn:
    raise Conflict(Reason.SIGNER_REFUSED, detail) from None

"""Publishing: the registry's state becomes signed documents and chunks in the snapshot store.

Three documents on two paths. The *snapshot* is rebuilt when the revision or a trusted key changed, and re-signed when
the rules demand tokens on other node classes, and before its not-after comes near. The *ban list* has a path of its own
that no snapshot build delays and no guard stops (law 5): it is compared with what was last published, so that a ban of
an identity that only later gets an account, or of a group that somebody joins later, is published too. The
*heartbeat* says the service's time and the newest of both.

A `Publisher` decides and acts once per call; loops, threads and retries are `entrypoints/work/publisher.py`'s.
`publish_snapshot` and the other two may be called from two threads at the same time.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from idmap.application.ports import (
    Clock,
    RangeStatus,
    Registry,
    RegistryReader,
    Signer,
    SnapshotStore,
)
from idmap.domain.demands import Demand, ssh_demands
from idmap.domain.errors import IdmapError
from idmap.domain.identity import Issuer, token_digest
from idmap.domain.issuers import IssuerProfile
from idmap.domain.manifest import (
    BANS_TYPE,
    DEFAULT_LIFETIME_SECONDS,
    MANIFEST_TYPE,
    RESIGN_SECONDS,
    BanList,
    ChunkRef,
    Heartbeat,
    Manifest,
    encode_bans,
    encode_envelope,
    encode_heartbeat,
    encode_manifest,
    parse_bans,
    parse_envelope,
    parse_manifest,
)
from idmap.domain.posix import Windows, posix_chunks, windows_of
from idmap.domain.trust import (
    ISSUERS_CHUNK,
    IssuersDocument,
    TrustedIssuer,
    encode_issuers,
    identity_chunks,
    parse_issuers,
)

Jwk = Mapping[str, Any]
TrustedKeys = Callable[[IssuerProfile], tuple[Jwk, ...]]
"""The public keys known for an issuer now; raises IdmapError when none were ever fetched."""

_AHEAD_SECONDS = 60
"""`created` may run a little ahead of the clock when there are several signatures within one second."""


def _windows(ranges: Iterable[RangeStatus]) -> Windows:
    statuses = tuple(ranges)
    return windows_of(
        (status.range for status in statuses), {s.range.name for s in statuses if s.has_gids}
    )


@dataclass(frozen=True, slots=True)
class Published:
    """What was last published as a snapshot."""

    manifest: Manifest
    issuers_sha256: str


class Publisher:
    """Publishes one realm."""

    def __init__(
        self,
        *,
        realm: str,
        registry: Registry,
        store: SnapshotStore,
        signer: Signer,
        trusted_keys: TrustedKeys,
        clock: Clock,
        lifetime_seconds: int = DEFAULT_LIFETIME_SECONDS,
    ) -> None:
        self._realm = realm
        self._registry = registry
        self._store = store
        self._signer = signer
        self._trusted_keys = trusted_keys
        self._clock = clock
        self._lifetime = lifetime_seconds
        self._resign = min(RESIGN_SECONDS, max(1, lifetime_seconds // 3))
        self._published = self._read_published()
        self._known_keys = self._read_known_keys()
        self._bans = self._read_bans()
        self._snapshot_confirmed = False
        self._bans_confirmed = False
        self._bans_of: int | None = None
        """The last entry of the record that the published ban list knows."""

    @property
    def revision(self) -> int:
        """The newest published revision; 0 when there is none."""
        return self._published.manifest.revision if self._published else 0

    def publish_snapshot(self, *, approve_shrink: bool = False) -> Manifest | None:
        """Publishes when something changed or a new signature is due; None when there is nothing to do.

        The first call signs in any case: the signer may have lost what it remembered.

        Raises Conflict(SIGNER_REFUSED) or Unavailable(SIGNER_UNAVAILABLE); the last published one stays.
        """
        now = self._clock()
        last = self._published
        with self._registry.read() as reader:
            profiles = reader.issuers()
        for profile in profiles:
            self._refresh_keys(profile)
        with self._registry.read() as reader:
            revision = reader.revision()
            demands = ssh_demands(reader.rules().demands)
            issuers = self._issuers_chunk(reader.salt(), reader.issuers(), demands)
            issuers_sha256 = hashlib.sha256(issuers).hexdigest()
            token_only = reader.rules().token_only_classes()
            changed = (
                last is None
                or last.manifest.revision != revision
                or last.issuers_sha256 != issuers_sha256
            )
            if (
                not changed
                and last is not None
                and last.manifest.token_only == token_only
                and self._snapshot_confirmed
                and not self._is_aging(now)
            ):
                return None
            if changed or last is None:
                posix = self._put(
                    posix_chunks(reader.every_account(), reader.posix_groups().values()),
                    restricted=False,
                )
                trust = self._put(
                    {
                        ISSUERS_CHUNK: issuers,
                        **identity_chunks(reader.salt(), reader.every_linked_identity()),
                    },
                    restricted=True,
                )
            else:
                posix, trust = last.manifest.posix, last.manifest.trust
            created = self._created(revision, now)
            manifest = Manifest(
                realm=self._realm,
                revision=revision,
                created=created,
                not_after=created + self._lifetime,
                windows=_windows(reader.ranges()),
                ban_counter=reader.ban_counter(),
                high_water=dict(reader.high_water()),
                posix=posix,
                trust=trust,
                token_only=token_only,
            )
        envelope = self._signer.sign_manifest(
            encode_manifest(manifest), approve_shrink=approve_shrink
        )
        self._store.put_document("manifest", encode_envelope(envelope))
        self._published = Published(manifest, issuers_sha256)
        self._snapshot_confirmed = True
        return manifest

    def publish_bans(self) -> BanList | None:
        """Publishes the ban list when it differs from the published one; always the first time after a start.

        A ban that ended leaves the list, and a banned identity that got an account enters it, at the same counter; a
        later `issued` then tells nodes which of the two is newer. Nothing is read twice while no ban ended and nothing
        went on the record: whatever makes a ban, or somebody whom it reaches, stands there (law 12).
        """
        now = self._clock()
        last, end = self._bans, self.next_ban_end()
        with self._registry.read() as reader:
            newest = reader.last_change()
            current = self._bans_confirmed and newest == self._bans_of
            if current and (end is None or now < end):
                return None
            bans = self._ban_list(reader, now)
        if self._bans_confirmed and last is not None and replace(bans, issued=last.issued) == last:
            self._bans_of = newest
            return None
        if last is not None and last.counter == bans.counter:
            bans = replace(bans, issued=max(now, last.issued + 1))
        self._store.put_document("bans", encode_envelope(self._signer.sign_bans(encode_bans(bans))))
        self._bans, self._bans_of = bans, newest
        self._bans_confirmed = True
        return bans

    def _ban_list(self, reader: RegistryReader, now: int) -> BanList:
        refused, salt = reader.credential_bans(), reader.salt()
        tokens = (
            (token_digest(salt, issuer, token_id).hex(), end)
            for (issuer, token_id), end in refused.tokens_at(now)
        )
        return BanList(
            realm=self._realm,
            counter=reader.ban_counter(),
            issued=now,
            bans=reader.banned_uid_numbers(now),
            issuers=refused.issuers_at(now),
            tokens=tuple(sorted(tokens)),
        )

    def next_ban_end(self) -> int | None:
        """When the first published ban ends (seconds since the epoch)."""
        if self._bans is None:
            return None
        listed = (self._bans.bans, self._bans.issuers, self._bans.tokens)
        return min((end for entries in listed for _, end in entries if end), default=None)

    def publish_heartbeat(self) -> Heartbeat:
        """Publishes the service's time with the newest published revision and counter."""
        counter = self._bans.counter if self._bans is not None and self._bans_confirmed else 0
        revision = self.revision if self._snapshot_confirmed else 0
        heartbeat = Heartbeat(self._realm, self._clock(), revision, counter)
        envelope = self._signer.sign_heartbeat(encode_heartbeat(heartbeat))
        self._store.put_document("heartbeat", encode_envelope(envelope))
        return heartbeat

    def _issuers_chunk(
        self, salt: bytes, profiles: tuple[IssuerProfile, ...], demands: tuple[Demand, ...]
    ) -> bytes:
        trusted = tuple(
            TrustedIssuer(profile, self._known_keys.get(profile.issuer, ())) for profile in profiles
        )
        return encode_issuers(IssuersDocument(salt, trusted, demands))

    def _refresh_keys(self, profile: IssuerProfile) -> None:
        """An issuer that cannot be asked, or shows no keys, keeps the ones last published for it (law 7)."""
        try:
            keys = self._trusted_keys(profile)
        except IdmapError:
            return
        if keys:
            ordered = sorted(keys, key=lambda jwk: json.dumps(dict(jwk), sort_keys=True))
            self._known_keys[profile.issuer] = tuple(ordered)

    def _is_aging(self, now: int) -> bool:
        """Whether the published signature is due for renewal, or dated after a clock that was set back."""
        last = self._published
        return last is None or not -_AHEAD_SECONDS <= now - last.manifest.created < self._resign

    def _put(self, chunks: Mapping[str, bytes], *, restricted: bool) -> tuple[ChunkRef, ...]:
        return tuple(
            ChunkRef(name, self._store.put_chunk(data, restricted=restricted), len(data))
            for name, data in chunks.items()
        )

    def _created(self, revision: int, now: int) -> int:
        """At one revision `created` rises with each signature, so that nodes can tell which is newer."""
        last = self._published
        if last is None or last.manifest.revision != revision:
            return now
        return max(now, last.manifest.created + 1)

    def _read_published(self) -> Published | None:
        data = self._store.read_document("manifest")
        if data is None:
            return None
        try:
            manifest = parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload)
        except IdmapError:
            return None
        if manifest.realm != self._realm:
            return None
        issuers = next((c.sha256 for c in manifest.trust if c.name == ISSUERS_CHUNK), "")
        return Published(manifest, issuers)

    def _read_known_keys(self) -> dict[Issuer, tuple[Jwk, ...]]:
        if self._published is None:
            return {}
        data = self._store.read_chunk(self._published.issuers_sha256, restricted=True)
        if data is None:
            return {}
        try:
            return {t.profile.issuer: t.keys for t in parse_issuers(data).issuers}
        except IdmapError:
            return {}

    def _read_bans(self) -> BanList | None:
        data = self._store.read_document("bans")
        if data is None:
            return None
        try:
            return parse_bans(parse_envelope(data, BANS_TYPE).payload)
        except IdmapError:
            return None

"""What a node believes: envelopes signed by a pinned key of the right role, of the right type, for its own realm.

The signature is checked before a byte of the payload is parsed. One valid signature by one pinned key is enough;
key ids only say which key to try. This is the seam at which TUF's roles, thresholds and root rotation take over.
It does not know what is installed: freshness is `application/install.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable

from idmap.adapters.snapshot.keys import PublicKey, Role, parse_public_key
from idmap.domain.errors import InvalidInput, NodeInstallFailed
from idmap.domain.manifest import (
    BANS_TYPE,
    HEARTBEAT_TYPE,
    MANIFEST_TYPE,
    BanList,
    Envelope,
    Heartbeat,
    Manifest,
    parse_bans,
    parse_envelope,
    parse_heartbeat,
    parse_manifest,
    signed_bytes,
)
from idmap.domain.reasons import Reason


class PinnedVerifier:
    """Opens envelopes against the keys of agent.toml. Raises NodeInstallFailed, never returns what is not proved."""

    def __init__(
        self, *, realm: str, manifest_keys: Iterable[str], bans_keys: Iterable[str]
    ) -> None:
        self._realm = realm
        self._keys = {
            Role.MANIFEST: _pinned(Role.MANIFEST, manifest_keys),
            Role.BANS: _pinned(Role.BANS, bans_keys),
        }

    def open_manifest(self, data: bytes) -> Manifest:
        """The manifest in an envelope."""
        manifest = parse_manifest(self._payload(data, MANIFEST_TYPE, Role.MANIFEST))
        self._check_realm(manifest.realm)
        return manifest

    def open_bans(self, data: bytes) -> BanList:
        """The ban list in an envelope."""
        bans = parse_bans(self._payload(data, BANS_TYPE, Role.BANS))
        self._check_realm(bans.realm)
        return bans

    def open_heartbeat(self, data: bytes) -> Heartbeat:
        """The heartbeat in an envelope."""
        heartbeat = parse_heartbeat(self._payload(data, HEARTBEAT_TYPE, Role.BANS))
        self._check_realm(heartbeat.realm)
        return heartbeat

    def _payload(self, data: bytes, payload_type: str, role: Role) -> bytes:
        envelope = parse_envelope(data, payload_type)
        verify_envelope(envelope, self._keys[role])
        return envelope.payload

    def _check_realm(self, realm: str) -> None:
        if realm != self._realm:
            raise NodeInstallFailed(
                Reason.MANIFEST_UNTRUSTED,
                f"it is for the realm {realm[:63]!r}, not {self._realm!r}",
            )


def verify_envelope(envelope: Envelope, pinned: tuple[PublicKey, ...]) -> None:
    """Raises NodeInstallFailed(MANIFEST_UNTRUSTED) unless a pinned key signed exactly this type and payload."""
    message = signed_bytes(envelope.payload_type, envelope.payload)
    for key in pinned:
        signature = envelope.signatures.get(key.key_id)
        if signature is not None and key.holds(signature, message):
            return
    known = ", ".join(sorted(envelope.signatures)) or "nobody"
    raise NodeInstallFailed(
        Reason.MANIFEST_UNTRUSTED, f"signed by {known[:120]}, not by a pinned key"
    )


def _pinned(role: Role, keys: Iterable[str]) -> tuple[PublicKey, ...]:
    parsed = tuple(parse_public_key(text) for text in keys)
    if not parsed:
        raise InvalidInput(Reason.CONFIGURATION_INVALID, f"no {role} key is pinned")
    return parsed

"""The signed summaries a node follows: manifest, ban list, heartbeat.

Payloads are JSON inside a DSSE envelope (secure-systems-lab DSSE v1: the type is signed together with the payload,
so a heartbeat can never pass as a manifest). This module knows the payloads and the bytes that are signed;
signing and checking signatures is an adapter's work, and TUF roles take the place of the pinned keys later.
A node accepts nothing older than what it has: revision and ban counter only rise.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain.errors import NodeInstallFailed
from idmap.domain.node_access import MAX_CLASSES, NODE_CLASS
from idmap.domain.posix import Windows
from idmap.domain.reasons import Reason

MANIFEST_TYPE: Final = "application/vnd.idmap.manifest+json"
BANS_TYPE: Final = "application/vnd.idmap.bans+json"
HEARTBEAT_TYPE: Final = "application/vnd.idmap.heartbeat+json"

FORMAT: Final = 1
FORMAT_TOKEN_ONLY: Final = 2
"""Of a manifest that names token-only classes: an agent that knows nothing of them keeps its last files, and
admits nobody past their not-after, instead of letting keys in."""
DEFAULT_LIFETIME_SECONDS: Final = 72 * 3600
"""A login node admits people for three days without the service (law 7): a long weekend."""

RESIGN_SECONDS: Final = 3600
HEARTBEAT_SECONDS: Final = 5
MAX_ENVELOPE: Final = 64 * 1024 * 1024
MAX_ISSUER: Final = 2048
"""As long as an issuer can be at the admin door."""


@dataclass(frozen=True, slots=True)
class ChunkRef:
    """A chunk by content: where a mirror keeps it and what it must be."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """The POSIX view at one revision."""

    realm: str
    revision: int
    created: int
    not_after: int
    windows: Windows
    ban_counter: int
    high_water: Mapping[str, int]
    """Range name → highest number issued; kept outside the database so that a restore cannot reissue."""
    posix: tuple[ChunkRef, ...]
    trust: tuple[ChunkRef, ...]
    """Chunks for enrolled nodes only: issuers, keys, salted identities."""
    token_only: frozenset[str] = frozenset()
    """Node classes on which a login that shows no token is refused."""


@dataclass(frozen=True, slots=True)
class BanList:
    """Every account refused now, and every issuer and token whose credentials are."""

    realm: str
    counter: int
    issued: int
    bans: tuple[tuple[int, int], ...]
    """(uid number, end or 0)."""
    issuers: tuple[tuple[str, int], ...] = ()
    """(canonical issuer, end or 0), ascending."""
    tokens: tuple[tuple[str, int], ...] = ()
    """(`identity.token_digest` in hexadecimal, end or 0), ascending."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The service's clock and the newest revision and counter, signed every few seconds."""

    realm: str
    time: int
    revision: int
    ban_counter: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload with signatures by key id."""

    payload_type: str
    payload: bytes
    signatures: Mapping[str, bytes]


def signed_bytes(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what a key signs."""
    kind = payload_type.encode("ascii")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope as it travels."""
    return _json(
        {
            "payloadType": envelope.payload_type,
            "payload": base64.b64encode(envelope.payload).decode("ascii"),
            "signatures": [
                {"keyid": key_id, "sig": base64.b64encode(signature).decode("ascii")}
                for key_id, signature in sorted(envelope.signatures.items())
            ],
        }
    )


def parse_envelope(data: bytes, payload_type: str) -> Envelope:
    """An envelope of the expected type. Raises NodeInstallFailed(MANIFEST_INVALID). Nothing in it is trusted yet."""
    if len(data) > MAX_ENVELOPE:
        raise _invalid("envelope too large")
    try:
        value = json.loads(data)
        signatures = {
            str(entry["keyid"]): base64.b64decode(entry["sig"], validate=True)
            for entry in value["signatures"][:16]
        }
        payload = base64.b64decode(value["payload"], validate=True)
        found_type = value["payloadType"]
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        binascii.Error,
        RecursionError,
    ) as error:
        raise _invalid(f"envelope: {type(error).__name__}") from None
    if found_type != payload_type:
        raise _invalid("envelope of another type")
    return Envelope(payload_type, payload, signatures)


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as a payload."""
    demands = {"token_only": sorted(manifest.token_only)} if manifest.token_only else {}
    return _json(
        {
            "format": FORMAT_TOKEN_ONLY if demands else FORMAT,
            **demands,
            "realm": manifest.realm,
            "revision": manifest.revision,
            "created": manifest.created,
            "not_after": manifest.not_after,
            "windows": {"uid": manifest.windows.uid, "gid": manifest.windows.gid},
            "ban_counter": manifest.ban_counter,
            "high_water": dict(manifest.high_water),
            "posix": [[c.name, c.sha256, c.size] for c in manifest.posix],
            "trust": [[c.name, c.sha256, c.size] for c in manifest.trust],
        }
    )


def parse_manifest(payload: bytes) -> Manifest:
    """A manifest whose signature held. Raises NodeInstallFailed(MANIFEST_INVALID)."""
    value = _object(payload, FORMAT, FORMAT_TOKEN_ONLY)
    try:
        return Manifest(
            realm=_text(value["realm"]),
            revision=_count(value["revision"]),
            created=_count(value["created"]),
            not_after=_count(value["not_after"]),
            windows=Windows(uid=_runs(value["windows"]["uid"]), gid=_runs(value["windows"]["gid"])),
            ban_counter=_count(value["ban_counter"]),
            high_water={_text(k): _count(v) for k, v in value["high_water"].items()},
            posix=_chunks(value["posix"]),
            trust=_chunks(value["trust"]),
            token_only=_token_only(value),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(f"manifest: {type(error).__name__}") from None


def encode_bans(bans: BanList) -> bytes:
    """The ban list as a payload. What no list had before is there only when it is not empty."""
    more = {"issuers": bans.issuers, "tokens": bans.tokens}
    return _json(
        {
            "format": FORMAT,
            "realm": bans.realm,
            "counter": bans.counter,
            "issued": bans.issued,
            "bans": bans.bans,
        }
        | {name: entries for name, entries in more.items() if entries}
    )


def parse_bans(payload: bytes) -> BanList:
    """A ban list whose signature held. Raises NodeInstallFailed(MANIFEST_INVALID)."""
    value = _object(payload)
    try:
        return BanList(
            realm=_text(value["realm"]),
            counter=_count(value["counter"]),
            issued=_count(value["issued"]),
            bans=tuple((_count(uid), _count(until)) for uid, until in value["bans"]),
            issuers=tuple((_url(text), _count(until)) for text, until in value.get("issuers", [])),
            tokens=tuple((_sha256(text), _count(until)) for text, until in value.get("tokens", [])),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(f"bans: {type(error).__name__}") from None


def encode_heartbeat(heartbeat: Heartbeat) -> bytes:
    """The heartbeat as a payload."""
    return _json(
        {
            "format": FORMAT,
            "realm": heartbeat.realm,
            "time": heartbeat.time,
            "revision": heartbeat.revision,
            "ban_counter": heartbeat.ban_counter,
        }
    )


def parse_heartbeat(payload: bytes) -> Heartbeat:
    """A heartbeat whose signature held. Raises NodeInstallFailed(MANIFEST_INVALID)."""
    value = _object(payload)
    try:
        return Heartbeat(
            realm=_text(value["realm"]),
            time=_count(value["time"]),
            revision=_count(value["revision"]),
            ban_counter=_count(value["ban_counter"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _invalid(f"heartbeat: {type(error).__name__}") from None


def _object(payload: bytes, *formats: int) -> dict[str, Any]:
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        raise _invalid("payload: not JSON") from None
    if not isinstance(value, dict) or value.get("format") not in (formats or (FORMAT,)):
        raise _invalid(f"payload: format {FORMAT} is needed")
    return value


def _token_only(value: dict[str, Any]) -> frozenset[str]:
    """At least one class, or no such member; the format says which of the two."""
    if value["format"] == FORMAT:
        if "token_only" in value:
            raise ValueError
        return frozenset()
    names = value["token_only"]
    if not isinstance(names, list) or not 0 < len(names) <= MAX_CLASSES:
        raise TypeError
    if not all(NODE_CLASS.fullmatch(_text(name)) for name in names):
        raise ValueError
    return frozenset(names)


def _chunks(rows: object) -> tuple[ChunkRef, ...]:
    if not isinstance(rows, list):
        raise TypeError
    return tuple(
        ChunkRef(_text(name), _sha256(digest), _count(size)) for name, digest, size in rows
    )


def _runs(rows: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(rows, list):
        raise TypeError
    return tuple((_count(first), _count(last)) for first, last in rows)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 255:
        raise TypeError
    return value


def _url(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ISSUER:
        raise TypeError
    return value


def _sha256(value: object) -> str:
    text = _text(value)
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError
    return text


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode(
        "ascii"
    )


def _invalid(detail: str) -> NodeInstallFailed:
    return NodeInstallFailed(Reason.MANIFEST_INVALID, detail)

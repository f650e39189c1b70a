"""What an enrolled node needs to tell whose token it is: issuers, keys, salted identities.

Travels in chunks for enrolled nodes only and ends in `trust.db` (0640). Identities appear only as digests
under the realm's salt, each with its uid number, dealt into chunks so that one new person changes one chunk.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain.demands import Demand, ssh_demands
from idmap.domain.errors import IdmapError, NodeInstallFailed
from idmap.domain.identity import Identity, identity_digest
from idmap.domain.issuer_document import parse_profile, profile_document
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.rule_demands import demand_document, parse_demands

IDENTITY_CHUNKS: Final = 64
FORMAT: Final = 1
FORMAT_WITH_DEMANDS: Final = 2
"""A reader that does not know demands must not take a chunk that has some for one without (law 4)."""
ISSUERS_CHUNK: Final = "issuers"


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """A profile with the public keys (JWKs, RFC 7517) known for it when the snapshot was made."""

    profile: IssuerProfile
    keys: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class IssuersDocument:
    """The `issuers` chunk."""

    salt: bytes
    issuers: tuple[TrustedIssuer, ...]
    demands: tuple[Demand, ...] = ()
    """Those of the rules that speak of ssh doors, for these alone and in the order of the rules: a door tells the first
    that is not met, and no two doors tell another. Verifiers of before them refuse a chunk that has any."""


def encode_issuers(document: IssuersDocument) -> bytes:
    """The chunk's canonical bytes."""
    demands = document.demands
    value = {
        "format": FORMAT if not demands else FORMAT_WITH_DEMANDS,
        "salt": document.salt.hex(),
        "issuers": [
            {"profile": profile_document(t.profile), "keys": [dict(key) for key in t.keys]}
            for t in sorted(document.issuers, key=lambda t: t.profile.issuer)
        ],
        **({"demands": [demand_document(demand) for demand in demands]} if demands else {}),
    }
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode(
        "ascii"
    )


def parse_issuers(data: bytes) -> IssuersDocument:
    """The chunk read back. Raises NodeInstallFailed(MANIFEST_INVALID)."""
    try:
        value = json.loads(data)
        demands = parse_demands(value["demands"]) if "demands" in value else ()
        if value["format"] != (FORMAT_WITH_DEMANDS if demands else FORMAT):
            raise ValueError("format")
        if ssh_demands(demands) != demands:
            raise ValueError("demands")
        return IssuersDocument(
            demands=demands,
            salt=bytes.fromhex(value["salt"]),
            issuers=tuple(
                TrustedIssuer(
                    parse_profile(entry["profile"]), tuple(dict(k) for k in entry["keys"])
                )
                for entry in value["issuers"]
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError, IdmapError) as error:
        raise NodeInstallFailed(
            Reason.MANIFEST_INVALID, f"issuers chunk: {type(error).__name__}"
        ) from error


def identity_chunks(salt: bytes, linked: Iterable[tuple[Identity, int]]) -> dict[str, bytes]:
    """Chunk name → lines of `<digest in hexadecimal> TAB <uid number>`, sorted."""
    rows: dict[int, list[str]] = {index: [] for index in range(IDENTITY_CHUNKS)}
    for identity, uid_number in linked:
        digest = identity_digest(salt, identity)
        rows[digest[0] * IDENTITY_CHUNKS // 256].append(f"{digest.hex()}\t{uid_number}\n")
    return {
        f"identities-{i:02x}": "".join(sorted(lines)).encode("ascii") for i, lines in rows.items()
    }


def parse_identity_line(line: str) -> tuple[bytes, int]:
    """One line read back. Raises NodeInstallFailed(MANIFEST_INVALID)."""
    digest, separator, number = line.partition("\t")
    try:
        if not separator or len(digest) != 64 or not number.isdigit():
            raise ValueError
        return bytes.fromhex(digest), int(number)
    except ValueError:
        raise NodeInstallFailed(Reason.MANIFEST_INVALID, "identities chunk: not a record") from None

"""What the signer will not sign of the trust chunks: issuers and salted identities.

The two kinds of chunk that exist, in their canonical form, and nothing else. An identity must lead to an account that
the same manifest shows, and stands in the one chunk and at the one place that its digest gives it, so that none can
be there twice. The issuers must parse, no two may claim one spelling, and their keys must be public.

What it cannot check: a digest does not tell whose identity it is, so a link to the *wrong* account of this realm looks
like a right one; nor can it tell an issuer's true keys from others. Pure but for reading chunks.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from idmap.domain.errors import IdmapError
from idmap.domain.issuers import check_distinct
from idmap.domain.manifest import ChunkRef
from idmap.domain.trust import IDENTITY_CHUNKS, ISSUERS_CHUNK, encode_issuers, parse_issuers

MIN_SALT: Final = 16
"""Bytes. Under a shorter one the digests of known subjects could be tried out."""

_LINE: Final = re.compile(rb"([0-9a-f]{64})\t([1-9][0-9]{3,9})\n")
_NAMES: Final = {f"identities-{index:02x}": index for index in range(IDENTITY_CHUNKS)}
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of private and symmetric JWKs (RFC 7518 §6.2.2, §6.3.2, §6.4)."""

ReadRestricted = Callable[[ChunkRef], bytes]
"""A trust chunk's bytes, which are what its hash and size promise; refuses otherwise."""


class TrustRefused(Exception):
    """Says why, for the signer's refusal."""


class TrustChecker:
    """Checks trust chunks; remembers those it has read, so that one new identity costs one chunk."""

    def __init__(self, read: ReadRestricted) -> None:
        self._read = read
        self._known: dict[ChunkRef, frozenset[int]] = {}

    def check(self, chunks: tuple[ChunkRef, ...], uid_numbers: frozenset[int]) -> None:
        """Raises TrustRefused. `uid_numbers` are those of the manifest's own users."""
        known: dict[ChunkRef, frozenset[int]] = {}
        for chunk in chunks:
            found = self._known.get(chunk)
            known[chunk] = _parse(chunk, self._read(chunk)) if found is None else found
            nobody = known[chunk] - uid_numbers
            if nobody:
                raise TrustRefused(
                    f"chunk {chunk.name}: uid number {min(nobody)} is no account of this manifest"
                )
        if not any(chunk.name == ISSUERS_CHUNK for chunk in chunks):
            raise TrustRefused("there is no issuers chunk")
        self._known = known


def _parse(chunk: ChunkRef, data: bytes) -> frozenset[int]:
    """The uid numbers that the chunk names."""
    if chunk.name == ISSUERS_CHUNK:
        _check_issuers(data)
        return frozenset()
    index = _NAMES.get(chunk.name)
    if index is None:
        raise TrustRefused(f"there is no trust chunk of the name {chunk.name[:40]!r}")
    uid_numbers: set[int] = set()
    before = b""
    for line in data.splitlines(keepends=True):
        match = _LINE.fullmatch(line)
        if match is None:
            raise TrustRefused(f"chunk {chunk.name}: a line that is no identity")
        digest, uid_number = match.groups()
        if int(digest[:2], 16) * IDENTITY_CHUNKS // 256 != index:
            raise TrustRefused(f"chunk {chunk.name}: an identity of another chunk")
        if digest <= before:
            raise TrustRefused(f"chunk {chunk.name}: an identity twice, or out of order")
        before = digest
        uid_numbers.add(int(uid_number))
    return frozenset(uid_numbers)


def _check_issuers(data: bytes) -> None:
    try:
        document = parse_issuers(data)
        check_distinct(trusted.profile for trusted in document.issuers)
        canonical = encode_issuers(document)
    except IdmapError as error:
        raise TrustRefused(f"chunk {ISSUERS_CHUNK}: {error}") from error
    if canonical != data:
        raise TrustRefused(f"chunk {ISSUERS_CHUNK}: not in canonical form")
    if len(document.salt) < MIN_SALT:
        raise TrustRefused(f"chunk {ISSUERS_CHUNK}: a salt of {len(document.salt)} bytes")
    issuers = [trusted.profile.issuer for trusted in document.issuers]
    if len(set(issuers)) != len(issuers):
        raise TrustRefused(f"chunk {ISSUERS_CHUNK}: an issuer twice")
    for trusted in document.issuers:
        for key in trusted.keys:
            if _PRIVATE & key.keys() or key.get("kty") == "oct":
                raise TrustRefused(
                    f"chunk {ISSUERS_CHUNK}: a key of {trusted.profile.issuer} that is not public"
                )

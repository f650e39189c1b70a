"""The two hashes of posix.db's indexes: SipHash-1-3 of names, a mix of numbers (docs/posix-db.md, Indexes).

SipHash: Aumasson and Bernstein, 2012, with one compression and three finalisation rounds.
"""

from __future__ import annotations

from typing import Final

_MASK: Final = 0xFFFFFFFFFFFFFFFF
_START: Final = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)


def hash_name(seed: bytes, name: bytes) -> int:
    """SipHash-1-3 under the file's seed."""
    k0, k1 = int.from_bytes(seed[:8], "little"), int.from_bytes(seed[8:], "little")
    v = (_START[0] ^ k0, _START[1] ^ k1, _START[2] ^ k0, _START[3] ^ k1)
    whole = len(name) // 8 * 8
    words = [int.from_bytes(name[at : at + 8], "little") for at in range(0, whole, 8)]
    words.append(int.from_bytes(name[whole:], "little") | (len(name) & 0xFF) << 56)
    for word in words:
        v0, v1, v2, v3 = _round(v[0], v[1], v[2], v[3] ^ word)
        v = (v0 ^ word, v1, v2, v3)
    v = (v[0], v[1], v[2] ^ 0xFF, v[3])
    for _ in range(3):
        v = _round(*v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def hash_number(seed: bytes, number: int) -> int:
    """The mix of an id number with the seed's first half."""
    x = int.from_bytes(seed[:8], "little") ^ number
    x = (x ^ x >> 33) * 0xFF51AFD7ED558CCD & _MASK
    x = (x ^ x >> 33) * 0xC4CEB9FE1A85EC53 & _MASK
    return x ^ x >> 33


def _round(v0: int, v1: int, v2: int, v3: int) -> tuple[int, int, int, int]:
    v0 = (v0 + v1) & _MASK
    v2 = (v2 + v3) & _MASK
    v1 = _rotate(v1, 13) ^ v0
    v3 = _rotate(v3, 16) ^ v2
    v0 = _rotate(v0, 32)
    v2 = (v2 + v1) & _MASK
    v0 = (v0 + v3) & _MASK
    v1 = _rotate(v1, 17) ^ v2
    v3 = _rotate(v3, 21) ^ v0
    return v0, v1, _rotate(v2, 32), v3


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & _MASK

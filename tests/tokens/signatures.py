"""Family: signatures that do not hold, or hold over something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from idmap.domain.doors import Door
from idmap.domain.reasons import Reason
from tests.support.tokens import claims, private_key, public_jwk, segment
from tests.tokens.cases import (
    ALL_ALGORITHMS,
    HEADER,
    Case,
    Make,
    by,
    passes,
    respelled,
    sign,
    signature,
    unproved,
)

_INVALID = Reason.SIGNATURE_INVALID
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of P-256."""

_ALL = {"algorithms": ALL_ALGORITHMS}
_RESPELLED = b'{"alg": "RS256" , "kid": "k1"}'
_EC = {"alg": "ES256", "kid": "e1"}


def _ec(tail: bytes) -> Make:
    return lambda door: f"{segment(_EC)}.{segment(claims(door))}.{segment(tail)}"


def _ec_from(change: str) -> Make:
    """A good ECDSA signature, written or bent in another way."""

    def make(door: Door) -> str:
        signed = f"{segment(_EC)}.{segment(claims(door))}"
        good = signature(signed, "p256", "ES256")
        r, s = int.from_bytes(good[:32], "big"), int.from_bytes(good[32:], "big")
        raw = {
            "DER": encode_dss_signature(r, s),
            "swapped": good[32:] + good[:32],
            "short": good[:-1],
            "long": good + b"\0",
            "zero in front": b"\0" + good,
            "mirrored": good[:32] + (_ORDER - s).to_bytes(32, "big"),
            "r alone": good[:32] + bytes(32),
            "s alone": bytes(32) + good[32:],
        }[change]
        return f"{signed}.{segment(raw)}"

    return make


def _number(r: int, s: int) -> Make:
    return _ec(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def _altered(**changes: object) -> Make:
    """Signed first, changed afterwards."""

    def make(door: Door) -> str:
        head, _, tail = sign(HEADER, claims(door)).split(".")
        return f"{head}.{segment(claims(door, **changes))}.{tail}"

    return make


def _rsa(length: int, fill: bytes) -> Make:
    return lambda door: f"{segment(HEADER)}.{segment(claims(door))}.{segment(fill * length)}"


def _bent(index: int) -> Make:
    """One bit of a good signature turned."""

    def make(door: Door) -> str:
        signed = f"{segment(HEADER)}.{segment(claims(door))}"
        good = bytearray(signature(signed))
        good[index] ^= 1
        return f"{signed}.{segment(bytes(good))}"

    return make


def _stretched(before: bytes, after: bytes) -> Make:
    def make(door: Door) -> str:
        signed = f"{segment(HEADER)}.{segment(claims(door))}"
        return f"{signed}.{segment(before + signature(signed) + after)}"

    return make


def _ed(tail: bytes) -> Make:
    header = {"alg": "EdDSA", "kid": "k1"}
    return lambda door: f"{segment(header)}.{segment(claims(door))}.{segment(tail)}"


def _edwards() -> tuple[Mapping[str, Any], ...]:
    return (public_jwk("ed", "k1"),)


def _another(door: Door) -> str:
    """The signature of another good token."""
    head, body, _ = sign(HEADER, claims(door)).split(".")
    return f"{head}.{body}.{sign(HEADER, claims(door, jti='b')).split('.')[2]}"


def _of_another_curve() -> str:
    """ECDSA with SHA-256, as ES256 says, but on P-384."""
    signed = f"{segment(_EC)}.{segment(claims())}"
    der = private_key("p384").sign(signed.encode(), ECDSA(SHA256()))
    r, s = decode_dss_signature(der)
    return f"{signed}.{segment(r.to_bytes(48, 'big') + s.to_bytes(48, 'big'))}"


MISFITS: Final[Mapping[str, tuple[Callable[[], str], str, str]]] = MappingProxyType(
    {
        "ES256 over P-384": (_of_another_curve, "p384", "ES256"),
        "ES256 with an RSA key": (sign, "rsa", "ES256"),
        "RS256 with an EC key": (sign, "p256", "RS256"),
        "RS256 with an Edwards key": (sign, "ed", "RS256"),
        "an algorithm nobody knows": (sign, "rsa", "XS256"),
        "HS256 with an RSA key": (sign, "rsa", "HS256"),
    }
)
"""What reaches the signature checker only past `key_fits`: token, key, algorithm."""

CASES: tuple[Case, ...] = (
    unproved("signed by a stranger's key of the same id", _INVALID, by("rsa-evil", "k1", "RS256")),
    unproved("signed by a stranger's EC key", _INVALID, by("p256-evil", "e1", "ES256")),
    unproved("the signature of another good token", _INVALID, _another),
    unproved("subject altered", _INVALID, _altered(sub="somebody-else")),
    unproved("audience altered", _INVALID, _altered(aud="ssh://other")),
    unproved("expiry altered", _INVALID, _altered(exp=1_900_000_000)),
    unproved("a claim added", _INVALID, _altered(groups=["admins"])),
    unproved("a claim taken away", _INVALID, _altered(jti=None)),
    unproved("header altered", _INVALID, respelled(lambda h, b, s: f"{segment({**HEADER, 'typ': 'JWT'})}.{b}.{s}")),
    unproved("header respelled with a blank", _INVALID, respelled(lambda h, b, s: f"{segment(_RESPELLED)}.{b}.{s}")),
    unproved("the first bit turned", _INVALID, _bent(0)),
    unproved("a middle bit turned", _INVALID, _bent(128)),
    unproved("the last bit turned", _INVALID, _bent(255)),
    unproved("RSA of zeros", _INVALID, _rsa(256, b"\0")),
    unproved("RSA of ones", _INVALID, _rsa(256, b"\xff")),
    unproved("RSA signature 1", _INVALID, _rsa(1, bytes(255) + b"\x01")),
    unproved("RSA of one byte", _INVALID, _rsa(1, b"x")),
    unproved("RSA one byte short", _INVALID, _rsa(255, b"x")),
    unproved("RSA with a zero in front", _INVALID, _stretched(b"\0", b"")),
    unproved("RSA with a byte behind", _INVALID, _stretched(b"", b"\0")),
    unproved("RSA given twice", _INVALID, lambda door: _stretched(signature(f"{segment(HEADER)}.{segment(claims(door))}"), b"")(door)),
    unproved("RSA of ten thousand bytes", _INVALID, _rsa(8_000, b"x")),
    unproved("PSS where PKCS 1 is said", _INVALID, by("rsa", "k1", "PS256", says="RS256"), trust=_ALL),
    unproved("PKCS 1 where PSS is said", _INVALID, by("rsa", "k1", "RS256", says="PS256"), trust=_ALL),
    unproved("SHA-512 where SHA-256 is said", _INVALID, by("rsa", "k1", "RS512", says="RS256"), trust=_ALL),
    unproved("SHA-256 where SHA-512 is said", _INVALID, by("rsa", "k1", "RS256", says="RS512"), trust=_ALL),
    unproved("an RSA signature where ECDSA is said", _INVALID, lambda door: sign(_EC, claims(door))),
    unproved("an ECDSA signature where RSA is said", _INVALID, lambda door: sign(HEADER, claims(door), key="p256", algorithm="ES256")),
    unproved("psychic: r and s zero (CVE-2022-21449)", _INVALID, _number(0, 0)),
    unproved("psychic: r zero", _INVALID, _number(0, 1)),
    unproved("psychic: s zero", _INVALID, _number(1, 0)),
    unproved("ECDSA r and s one", _INVALID, _number(1, 1)),
    unproved("ECDSA r the order", _INVALID, _number(_ORDER, 1)),
    unproved("ECDSA s the order", _INVALID, _number(1, _ORDER)),
    unproved("ECDSA r and s the order", _INVALID, _number(_ORDER, _ORDER)),
    unproved("ECDSA r and s all ones", _INVALID, _ec(b"\xff" * 64)),
    unproved("ECDSA good r, s zero", _INVALID, _ec_from("r alone")),
    unproved("ECDSA good s, r zero", _INVALID, _ec_from("s alone")),
    unproved("ECDSA in DER", _INVALID, _ec_from("DER")),
    unproved("ECDSA r and s swapped", _INVALID, _ec_from("swapped")),
    unproved("ECDSA one byte short", _INVALID, _ec_from("short")),
    unproved("ECDSA one byte long", _INVALID, _ec_from("long")),
    unproved("ECDSA with a zero in front", _INVALID, _ec_from("zero in front")),
    passes("ECDSA mirrored (s and n - s both hold; nothing here counts on one spelling)", _ec_from("mirrored")),
    unproved("Ed25519 of zeros", _INVALID, _ed(bytes(64)), trust=_ALL, keys=_edwards),
    unproved("Ed25519 of 63 bytes", _INVALID, _ed(bytes(63)), trust=_ALL, keys=_edwards),
    unproved("Ed25519 with an order too large in s", _INVALID, _ed(b'\xff' * 64), trust=_ALL, keys=_edwards),
    passes("RS256", lambda door: sign(HEADER, claims(door))),
    passes("ES256", by("p256", "e1", "ES256")),
)  # fmt: skip

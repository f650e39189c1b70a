"""Family: algorithms the profile does not list, and keys of another family, curve or purpose."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

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
    sign,
    unproved,
    unread,
    with_header,
    with_raw_header,
)

_REFUSED = Reason.ALGORITHM_REFUSED
_ALL: dict[str, Any] = {"algorithms": ALL_ALGORITHMS}


def _keys(*members: Mapping[str, Any]) -> Callable[[], tuple[Mapping[str, Any], ...]]:
    return lambda: members


def _key(name: str, key_id: str, **members: Any) -> Callable[[], tuple[Mapping[str, Any], ...]]:
    return lambda: ({**public_jwk(name, key_id), **members},)


def _hmac(encoding: Encoding, form: PublicFormat, digest: Any, name: str) -> Make:
    """CVE-2015-9235: the public key, which everybody has, taken for an HMAC secret."""

    def make(door: Door) -> str:
        secret = private_key("rsa").public_key().public_bytes(encoding, form)
        signed = f"{segment({'alg': name, 'kid': 'k1'})}.{segment(claims(door))}"
        return f"{signed}.{segment(hmac.digest(secret, signed.encode(), digest))}"

    return make


def _unsigned(name: str) -> Make:
    return lambda door: (
        f"{segment({'alg': name, 'kid': 'k1'})}.{segment(claims(door))}.{segment(b'x')}"
    )


_NAMES: tuple[Case, ...] = (
    *(unread(f"alg {name!r}, unsigned", _REFUSED, _unsigned(name)) for name in ("none", "None", "NONE", "nOnE", "none ", "")),
    unread("alg none with a good signature", _REFUSED, with_header(alg="none")),
    unread("alg absent", _REFUSED, with_header(alg=None)),
    unread("alg null", _REFUSED, with_raw_header(b'{"alg":null,"kid":"k1"}')),
    unread("alg true", _REFUSED, with_header(alg=True)),
    unread("alg a number", _REFUSED, with_header(alg=256)),
    unread("alg a list", _REFUSED, with_header(alg=["RS256"])),
    unread("alg an object", _REFUSED, with_header(alg={"name": "RS256"})),
    unread("alg in small letters", _REFUSED, with_header(alg="rs256")),
    unread("alg with a blank", _REFUSED, with_header(alg="RS256 ")),
    unread("alg with a newline", _REFUSED, with_header(alg="RS256\n")),
    unread("alg in full-width letters", _REFUSED, with_header(alg="ＲＳ256")),
    unread("alg of ten thousand characters", _REFUSED, with_header(alg="R" * 8_000)),
    unread("alg a prefix of a good one", _REFUSED, with_header(alg="RS")),
    unread("alg by its XML name", _REFUSED, with_header(alg="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256")),
    unread("HS256 with the public key in PEM", _REFUSED, _hmac(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo, hashlib.sha256, "HS256")),
    unread("HS256 with the public key in DER", _REFUSED, _hmac(Encoding.DER, PublicFormat.SubjectPublicKeyInfo, hashlib.sha256, "HS256")),
    unread("HS256 with the public key in PKCS 1", _REFUSED, _hmac(Encoding.PEM, PublicFormat.PKCS1, hashlib.sha256, "HS256")),
    unread("HS384 with the public key", _REFUSED, _hmac(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo, hashlib.sha384, "HS384")),
    unread("HS512 with the public key", _REFUSED, _hmac(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo, hashlib.sha512, "HS512")),
    unread("RSA1_5 of JWE", _REFUSED, with_header(alg="RSA1_5")),
    unread("dir of JWE", _REFUSED, with_header(alg="dir")),
    unread("ES256K", _REFUSED, with_header(alg="ES256K")),
    *(
        unread(f"{name} where the profile does not list it", _REFUSED, by(key, key_id, name))
        for name, key, key_id in (
            ("RS384", "rsa", "k1"), ("RS512", "rsa", "k1"), ("PS256", "rsa", "k1"), ("PS384", "rsa", "k1"),
            ("PS512", "rsa", "k1"), ("ES384", "p384", "e3"), ("ES512", "p521", "e5"), ("EdDSA", "ed", "d1"),
        )
    ),
    unread("RS256 where the profile lists ES256 alone", _REFUSED, by("rsa", "k1", "RS256"), trust={"algorithms": frozenset({"ES256"})}),
)  # fmt: skip

_BINDING: tuple[Case, ...] = (
    unproved("ES256 under the id of an RSA key", _REFUSED, by("p256", "k1", "ES256")),
    unproved("RS256 under the id of an EC key", _REFUSED, by("rsa", "e1", "RS256")),
    unproved("PS256 under the id of an EC key", _REFUSED, by("rsa", "e1", "PS256"), trust=_ALL),
    unproved("EdDSA under the id of an EC key", _REFUSED, by("ed", "e1", "EdDSA"), trust=_ALL),
    unproved("ES256 with a P-384 key", _REFUSED, by("p384", "x", "ES384", says="ES256"), trust=_ALL, keys=_key("p384", "x")),
    unproved("ES384 with a P-256 key", _REFUSED, by("p256", "x", "ES256", says="ES384"), trust=_ALL, keys=_key("p256", "x")),
    unproved("ES512 with a P-256 key", _REFUSED, by("p256", "x", "ES256", says="ES512"), trust=_ALL, keys=_key("p256", "x")),
    unproved("ES256 with secp256k1", _REFUSED, by("p256", "x", "ES256"), trust=_ALL, keys=_key("p256", "x", crv="secp256k1")),
    unproved("ES256 with a key of no curve", _REFUSED, by("p256", "x", "ES256"), keys=lambda: ({n: v for n, v in public_jwk("p256", "x").items() if n != "crv"},)),
    unproved("ES256 with a list of curves", _REFUSED, by("p256", "x", "ES256"), keys=_key("p256", "x", crv=["P-256"])),
    unproved("EdDSA with Ed448", _REFUSED, by("ed", "x", "EdDSA"), trust=_ALL, keys=_key("ed", "x", crv="Ed448")),
    unproved("EdDSA with X25519", _REFUSED, by("ed", "x", "EdDSA"), trust=_ALL, keys=_key("ed", "x", crv="X25519")),
    unproved("RS256 with a symmetric key in the JWKS", _REFUSED, with_header(), keys=_keys({"kty": "oct", "k": "c2VjcmV0", "kid": "k1"})),
    unproved("RS256 with a key of no type", _REFUSED, with_header(), keys=lambda: ({n: v for n, v in public_jwk("rsa", "k1").items() if n != "kty"},)),
    unproved("a key type in small letters", _REFUSED, with_header(), keys=_key("rsa", "k1", kty="rsa")),
    unproved("a key for encryption", _REFUSED, with_header(), keys=_key("rsa", "k1", use="enc")),
    unproved("a key of an unknown use", _REFUSED, with_header(), keys=_key("rsa", "k1", use="")),
    unproved("a key bound to RS512", _REFUSED, with_header(), keys=_key("rsa", "k1", alg="RS512")),
    unproved("a key bound to PS256", _REFUSED, with_header(), keys=_key("rsa", "k1", alg="PS256")),
    unproved("a key bound to RSA-OAEP", _REFUSED, with_header(), keys=_key("rsa", "k1", alg="RSA-OAEP")),
    passes("a key for signatures, bound to the algorithm", with_header(), keys=_key("rsa", "k1", use="sig", alg="RS256")),
    *(
        passes(f"{name} where the profile lists it alone", by(key, "x", name), trust={"algorithms": frozenset({name})}, keys=_key(key, "x"))
        for name, key in (
            ("RS256", "rsa"), ("RS384", "rsa"), ("RS512", "rsa"), ("PS256", "rsa"), ("PS384", "rsa"), ("PS512", "rsa"),
            ("ES256", "p256"), ("ES384", "p384"), ("ES512", "p521"), ("EdDSA", "ed"),
        )
    ),
    passes("Ed25519 by its new name (RFC 9864)", lambda door: sign({"alg": "Ed25519", "kid": "x"}, claims(door), key="ed", algorithm="EdDSA"), trust={"algorithms": frozenset({"Ed25519"})}, keys=_key("ed", "x")),
    unread("Ed25519 where only EdDSA is listed", _REFUSED, lambda door: sign({**HEADER, "alg": "Ed25519"}, claims(door), key="ed", algorithm="EdDSA"), trust={"algorithms": frozenset({"EdDSA"})}),
)  # fmt: skip

CASES: tuple[Case, ...] = _NAMES + _BINDING

"""An issuer under test: keys, a profile, and tokens minted by an independent library (PyJWT)."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from idmap.adapters.oidc.jwks import pick_key
from idmap.adapters.oidc.signatures import JoseSignatures
from idmap.application.verify_token import TokenVerifier
from idmap.domain.doors import ADMIN, API, Door, parse_door, ssh_door
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile, check_profile, find_profile
from idmap.domain.secrets import Secret

ISSUER = "https://iam.example/"
NOW = 1_800_000_000
SSH = ssh_door("login")
GATE = parse_door("gate")
COMPONENT = parse_door("component:condor")
AUDIENCES = {
    API: "https://idmap.example/api",
    ADMIN: "https://idmap.example/admin",
    SSH: "ssh://login.example",
    GATE: "https://idmap.example/gate",
    COMPONENT: "https://condor.example",
}


@cache
def private_key(name: str) -> Any:
    """A throw-away key, one per name and run; `rsa…`, `short-rsa-<bits>`, `p256…`, `p384…`, `p521…`, `ed…`."""
    if name.startswith("short-rsa-"):
        bits = int(name.removeprefix("short-rsa-"))
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    if name.startswith("rsa"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if name.startswith("p256"):
        return ec.generate_private_key(ec.SECP256R1())
    if name.startswith("p384"):
        return ec.generate_private_key(ec.SECP384R1())
    if name.startswith("p521"):
        return ec.generate_private_key(ec.SECP521R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(name: str, key_id: str, **members: str) -> dict[str, Any]:
    """The public JWK of a key."""
    algorithm: Any = {
        "r": jwt.algorithms.RSAAlgorithm,
        "s": jwt.algorithms.RSAAlgorithm,
        "p": jwt.algorithms.ECAlgorithm,
    }.get(name[0], jwt.algorithms.OKPAlgorithm)
    jwk = json.loads(algorithm.to_jwk(private_key(name).public_key()))
    jwk.pop("key_ops", None)
    return {**jwk, "kid": key_id, **members}


def segment(value: bytes | Mapping[str, Any]) -> str:
    """One base64url part."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class FakeIssuerKeys:
    """IssuerKeys that remembers whom it was asked about."""

    keys: tuple[Mapping[str, Any], ...]
    asked: list[str] = field(default_factory=list)

    def find_key(self, profile: IssuerProfile, key_id: str | None) -> Mapping[str, Any] | None:
        self.asked.append(profile.issuer)
        return pick_key(self.keys, key_id)


def profile(**changes: Any) -> IssuerProfile:
    """The profile of the issuer under test."""
    base: dict[str, Any] = {
        "issuer": Issuer(ISSUER),
        "audiences": {door: frozenset({audience}) for door, audience in AUDIENCES.items()},
        "algorithms": frozenset({"RS256", "ES256"}),
    }
    return check_profile(IssuerProfile(**{**base, **changes}))


def claims(door: Door = SSH, **changes: Any) -> dict[str, Any]:
    """Claims that pass; a change to None removes the claim."""
    base: dict[str, Any] = {
        "iss": ISSUER,
        "sub": "7a1f0c52-0000-4000-8000-000000000001",
        "aud": AUDIENCES[door],
        "iat": NOW - 10,
        "exp": NOW + 3600,
        "jti": "a",
        "client_id": "demo-client",
    }
    return {name: value for name, value in {**base, **changes}.items() if value is not None}


def mint(
    payload: Mapping[str, Any] | None = None,
    *,
    key: str = "rsa",
    key_id: str | None = "k1",
    algorithm: str = "RS256",
    header: Mapping[str, Any] | None = None,
) -> Secret:
    """A token signed by PyJWT; `header` members are added, None removes one."""
    headers: dict[str, Any] = {"typ": None, "kid": key_id, **(header or {})}
    return Secret(
        jwt.encode(
            dict(payload if payload is not None else claims()),
            private_key(key),
            algorithm=algorithm,
            headers={n: v for n, v in headers.items() if v is not None or n == "typ"},
        )
    )


def verifier(
    *profiles: IssuerProfile, keys: FakeIssuerKeys | None = None
) -> tuple[TokenVerifier, FakeIssuerKeys]:
    """A real verifier with real signatures over known keys."""
    keys = keys or FakeIssuerKeys((public_jwk("rsa", "k1"), public_jwk("p256", "e1")))
    trusted = profiles or (profile(),)
    return TokenVerifier(lambda text: find_profile(trusted, text), keys, JoseSignatures()), keys

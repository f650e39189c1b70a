"""How a case of the corpus is written down: one token, one cause, the reason it must get.

A hostile token is wrong in one way only: unless the signature itself is the cause, it carries a good signature by
the issuer's own key, so that removing the one check that refuses it lets it in. Beside each limit stands a case
that must pass. Signing uses PyJWT's algorithms over parts assembled here, so that any bytes can be signed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import jwt

from idmap.application.verify_token import FindBan
from idmap.domain.bans import Ban, CredentialBans
from idmap.domain.doors import ADMIN, API, Door
from idmap.domain.reasons import Reason
from tests.support.tokens import (
    COMPONENT,
    GATE,
    NOW,
    SSH,
    claims,
    private_key,
    public_jwk,
    segment,
)

DOORS: Final = (SSH, API, ADMIN, GATE, COMPONENT)
HEADER: Final[Mapping[str, Any]] = {"alg": "RS256", "kid": "k1"}
KEYS: Final = (("rsa", "k1"), ("p256", "e1"))
"""The issuer's keys unless a case says otherwise."""

ALL_ALGORITHMS: Final = frozenset(
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 Ed25519 EdDSA".split()
)
Make = Callable[[Door], str]


@dataclass(frozen=True)
class Case:
    """One token and what must become of it."""

    name: str
    make: Make
    reason: Reason | None
    """None: the token must be accepted."""
    asks: bool
    """Whether a key may be looked up, which may cost a fetch: only once issuer and algorithm matched."""
    proved: bool
    doors: tuple[Door, ...] = DOORS
    at: int = NOW
    trust: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the issuer's profile."""
    gives: Mapping[str, Any] = field(default_factory=dict)
    """What must come out of an accepted token, beside issuer and door."""
    bans: tuple[Ban, ...] = ()
    """Of issuers and tokens; without any, the verifier is told of none."""
    keys: Callable[[], tuple[Mapping[str, Any], ...]] = lambda: tuple(
        public_jwk(name, key_id) for name, key_id in KEYS
    )

    def find_ban(self) -> FindBan | None:
        """What the verifier is given to ask."""
        return CredentialBans.of(self.bans).find if self.bans else None


def unread(name: str, reason: Reason, make: Make, **more: Any) -> Case:
    """Refused before any key was looked up."""
    return Case(name, make, reason, asks=False, proved=False, **more)


def unproved(name: str, reason: Reason, make: Make, **more: Any) -> Case:
    """Refused at the key or the signature."""
    return Case(name, make, reason, asks=True, proved=False, **more)


def proved(name: str, reason: Reason, make: Make, **more: Any) -> Case:
    """Refused for a claim, after the signature held: the person may be told why."""
    return Case(name, make, reason, asks=True, proved=True, **more)


def passes(name: str, make: Make, **more: Any) -> Case:
    """Accepted: the boundary beside a limit."""
    return Case(name, make, None, asks=True, proved=True, **more)


def sign(
    header: bytes | Mapping[str, Any] = HEADER,
    payload: bytes | Mapping[str, Any] | None = None,
    *,
    key: str = "rsa",
    algorithm: str = "RS256",
) -> str:
    """A token of exactly these parts, signed with that key by that algorithm, whatever the header says."""
    signed = f"{segment(header)}.{segment(claims() if payload is None else payload)}"
    return f"{signed}.{segment(signature(signed, key, algorithm))}"


def signature(signed: str, key: str = "rsa", algorithm: str = "RS256") -> bytes:
    """The signature alone."""
    made = jwt.algorithms.get_default_algorithms()[algorithm]
    return bytes(made.sign(signed.encode(), private_key(key)))


def with_header(**members: Any) -> Make:
    """A good token with these members in its header; None removes one."""
    header = {n: v for n, v in {**HEADER, **members}.items() if v is not None}
    return lambda door: sign(header, claims(door))


def with_raw_header(header: bytes) -> Make:
    """A good token with exactly this text for a header."""
    return lambda door: sign(header, claims(door))


def with_claims(**changes: Any) -> Make:
    """A good token with these claims; None removes one."""
    return lambda door: sign(HEADER, claims(door, **changes))


def with_members(text: str) -> Make:
    """A good token with more JSON text among its claims, unread by `json.dumps`: `"a":NaN`."""

    def make(door: Door) -> str:
        body = json.dumps(claims(door))
        return sign(HEADER, f"{body[:-1]},{text}}}".encode())

    return make


def with_text(around: Callable[[str], str]) -> Make:
    """A good token whose claims' JSON text was changed as a whole."""
    return lambda door: sign(HEADER, around(json.dumps(claims(door))).encode())


def by(key: str, key_id: str | None, algorithm: str, says: str | None = None) -> Make:
    """A good token by another key or algorithm; `says` is the header's `alg` when it lies."""
    header = {"alg": says or algorithm, "kid": key_id}
    kept = {n: v for n, v in header.items() if v is not None}
    return lambda door: sign(kept, claims(door), key=key, algorithm=algorithm)


def respelled(change: Callable[[str, str, str], str]) -> Make:
    """A good token, its three parts put together anew."""

    def make(door: Door) -> str:
        head, body, tail = sign(HEADER, claims(door)).split(".")
        return change(head, body, tail)

    return make

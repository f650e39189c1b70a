"""Reading a token that nobody has vouched for yet (RFC 7515 compact form, RFC 7519).

`parse_token` turns a string into an `UnverifiedToken`: bounded, strict base64url, strict JSON (no
duplicate members, no NaN, bounded depth and numbers). It checks nothing that needs trust and touches
no network. What comes out may be *read* to find the issuer and key, and must not be believed:
only `verify_token` in the application layer makes `VerifiedClaims` of it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from idmap.domain.errors import TokenRefused
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

MAX_TOKEN: Final = 16 * 1024
"""Largest token read. Real ones are 700 to 1 400 bytes; RSA keys and entitlements may triple that."""

MAX_DEPTH: Final = 16
"""Deepest nesting of JSON read; no profile in the field nests deeper than four."""

_SEGMENT: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_FORBIDDEN_HEADER_MEMBERS: Final = frozenset(
    {"crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc", "epk", "p2c", "p2s"}
)
"""Members that bring their own key, change what is signed, or belong to JWE. Never accepted."""


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed token and nothing more."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @property
    def issuer(self) -> str:
        """The issuer it claims; empty when it claims none."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else ""


def parse_token(token: Secret) -> UnverifiedToken:
    """Reads a compact JWS with a JSON object inside.

    Raises TokenRefused: TOKEN_TOO_LARGE, TOKEN_OPAQUE (not three parts), TOKEN_MALFORMED, HEADER_REFUSED.
    """
    text = token.reveal()
    if len(text) > MAX_TOKEN:
        raise TokenRefused(Reason.TOKEN_TOO_LARGE, f"{len(text)} characters")
    segments = text.split(".")
    if len(segments) == 5:
        raise TokenRefused(Reason.TOKEN_MALFORMED, "encrypted tokens (JWE) are not read")
    if len(segments) != 3:
        raise TokenRefused(Reason.TOKEN_OPAQUE, f"{len(segments)} parts")
    header = _json_object(_decode(segments[0], "header"), "header")
    claims = _json_object(_decode(segments[1], "payload"), "payload")
    signature = _decode(segments[2], "signature")
    forbidden = _FORBIDDEN_HEADER_MEMBERS & header.keys()
    if forbidden:
        raise TokenRefused(Reason.HEADER_REFUSED, ", ".join(sorted(forbidden)))
    return UnverifiedToken(
        header=header,
        claims=claims,
        signed=f"{segments[0]}.{segments[1]}".encode("ascii"),
        signature=signature,
    )


def _decode(segment: str, name: str) -> bytes:
    """Strict base64url without padding: one spelling per value."""
    if not _SEGMENT.fullmatch(segment):
        raise TokenRefused(Reason.TOKEN_MALFORMED, f"{name}: not base64url")
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (binascii.Error, ValueError):
        raise TokenRefused(Reason.TOKEN_MALFORMED, f"{name}: not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != segment:
        raise TokenRefused(Reason.TOKEN_MALFORMED, f"{name}: stray bits in base64url")
    return data


def _json_object(data: bytes, name: str) -> Mapping[str, Any]:
    try:
        text = data.decode("utf-8")
        _check_depth(text, name)
        value = json.loads(
            text,
            object_pairs_hook=_unique_members,
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
            parse_float=_bounded_float,
        )
        if "\\u" in text:
            # An escaped lone surrogate is no character: nothing downstream could write it.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise TokenRefused(Reason.TOKEN_MALFORMED, f"{name}: {type(error).__name__}") from None
    if not isinstance(value, dict):
        raise TokenRefused(Reason.TOKEN_MALFORMED, f"{name}: not a JSON object")
    return value


def _check_depth(text: str, name: str) -> None:
    depth = deepest = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    if deepest > MAX_DEPTH:
        raise TokenRefused(Reason.TOKEN_MALFORMED, f"{name}: nested deeper than {MAX_DEPTH}")


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _bounded_int(text: str) -> int:
    if len(text) > 19:
        raise ValueError("number too long")
    return int(text)


def _bounded_float(text: str) -> float:
    if len(text) > 32:
        raise ValueError("number too long")
    return float(text)

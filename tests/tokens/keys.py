"""Family: key ids that reach for a file, a table or another key, and key sets that name no key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from idmap.application.verify_token import MAX_KEY_ID
from idmap.domain.reasons import Reason
from tests.support.tokens import public_jwk
from tests.tokens.cases import Case, by, passes, unproved, unread, with_header, with_raw_header

_UNKNOWN = Reason.KEY_UNKNOWN
_INVALID = Reason.SIGNATURE_INVALID
_LONGEST = "k" * MAX_KEY_ID
Jwks = Callable[[], tuple[Mapping[str, Any], ...]]


def _set(*named: tuple[str, str]) -> Jwks:
    return lambda: tuple(public_jwk(name, key_id) for name, key_id in named)


def _rsa(**members: Any) -> Jwks:
    """The issuer's key with members changed; None removes one."""
    return lambda: (
        {n: v for n, v in {**public_jwk("rsa", "k1"), **members}.items() if v is not None},
    )


def _ec(**members: Any) -> Jwks:
    return lambda: (
        {n: v for n, v in {**public_jwk("p256", "e1"), **members}.items() if v is not None},
    )


_IDS: tuple[Case, ...] = (
    *(
        unproved(f"kid {name}", _UNKNOWN, with_header(kid=value))
        for name, value in {
            "unknown": "other",
            "a path": "../../../../etc/passwd",
            "an absolute path": "/dev/null",
            "a URL": "https://evil.example/key.pem",
            "an SQL fragment": "' OR 1=1 --",
            "an SQL union": "x' UNION SELECT 'c2VjcmV0' --",
            "a shell command": "$(id)",
            "a pipe": "|/bin/sh",
            "a template": "{{7*7}}",
            "an LDAP filter": "*)(uid=*",
            "a pattern": "k.*",
            "a zero byte behind the right one": "k1\0",
            "a blank behind the right one": "k1 ",
            "a newline behind the right one": "k1\n",
            "in capitals": "K1",
            "a prefix": "k",
            "a look-alike": "ｋ1",
            "a format string": "%s%n",
            "a log line": "k1\r\n2026-11-21 accepted",
            "the key itself": "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
        }.items()
    ),
    unread("kid empty", _UNKNOWN, with_header(kid="")),
    unread("kid a number", _UNKNOWN, with_header(kid=1)),
    unread("kid true", _UNKNOWN, with_header(kid=True)),
    unread("kid false", _UNKNOWN, with_header(kid=False)),
    unread("kid a list", _UNKNOWN, with_header(kid=["k1"])),
    unread("kid an object", _UNKNOWN, with_header(kid={"a": 1})),
    unread("kid one longer than the longest", _UNKNOWN, by("rsa", _LONGEST + "k", "RS256"), keys=_set(("rsa", _LONGEST + "k"))),
    unread("kid of eight thousand characters", _UNKNOWN, with_header(kid="k" * 8_000)),
    passes("kid the longest", by("rsa", _LONGEST, "RS256"), keys=_set(("rsa", _LONGEST))),
    passes("kid of one character", by("rsa", "k", "RS256"), keys=_set(("rsa", "k"))),
    passes("kid beyond ASCII", by("rsa", "clé-1", "RS256"), keys=_set(("rsa", "clé-1"))),
    passes("kid absent with one key", by("rsa", None, "RS256"), keys=_set(("rsa", "k1"))),
    passes("kid null with one key", with_raw_header(b'{"alg":"RS256","kid":null}'), keys=_set(("rsa", "k1"))),
    unproved("kid absent with two keys", _UNKNOWN, by("rsa", None, "RS256")),
    unproved("kid null with two keys", _UNKNOWN, with_raw_header(b'{"alg":"RS256","kid":null}')),
    unproved("kid of two different keys", _UNKNOWN, with_header(), keys=_set(("rsa", "k1"), ("rsa-evil", "k1"))),
    unproved("kid of the same key twice", _UNKNOWN, with_header(), keys=_set(("rsa", "k1"), ("rsa", "k1"))),
    unproved("no key at all", _UNKNOWN, with_header(), keys=_set()),
    unproved("a key withdrawn by rotation", _UNKNOWN, with_header(), keys=_set(("rsa-new", "k2"))),
    unproved("a key id reused by rotation", _INVALID, with_header(), keys=_set(("rsa-new", "k1"))),
)  # fmt: skip

_BROKEN: tuple[Case, ...] = (
    unproved("an RSA key of 1 024 bits", _INVALID, by("short-rsa-1024", "k1", "RS256"), keys=_set(("short-rsa-1024", "k1"))),
    unproved("an RSA key one bit short", _INVALID, by("short-rsa-2047", "k1", "RS256"), keys=_set(("short-rsa-2047", "k1"))),
    unproved("an RSA key without a modulus", _INVALID, with_header(), keys=_rsa(n=None)),
    unproved("an RSA key with an empty modulus", _INVALID, with_header(), keys=_rsa(n="")),
    unproved("an RSA modulus in the wrong alphabet", _INVALID, with_header(), keys=_rsa(n="+/=" * 100)),
    unproved("an RSA modulus that is a number", _INVALID, with_header(), keys=_rsa(n=5)),
    unproved("an RSA exponent of 1", _INVALID, with_header(), keys=_rsa(e="AQ")),
    unproved("an RSA key without an exponent", _INVALID, with_header(), keys=_rsa(e=None)),
    unproved("a point off the curve", _INVALID, by("p256", "e1", "ES256"), keys=_ec(y=public_jwk("p256", "e1")["x"])),
    unproved("the point at infinity", _INVALID, by("p256", "e1", "ES256"), keys=_ec(x="A" * 43, y="A" * 43)),
    unproved("half a point", _INVALID, by("p256", "e1", "ES256"), keys=_ec(y=None)),
    unproved("a point of one byte", _INVALID, by("p256", "e1", "ES256"), keys=_ec(x="AA")),
    unproved("an Edwards key of 31 bytes", _INVALID, by("ed", "d1", "EdDSA"), trust={"algorithms": frozenset({"EdDSA"})}, keys=lambda: ({**public_jwk("ed", "d1"), "x": "A" * 41 + "A"},)),
    passes("a JWKS that leaks a private member", with_header(), keys=_rsa(d="c2VjcmV0", p=7)),
    passes("a JWKS key with operations of its own", with_header(), keys=_rsa(key_ops=["encrypt"], x5c=["junk"])),
)  # fmt: skip

CASES: tuple[Case, ...] = _IDS + _BROKEN

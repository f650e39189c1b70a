"""Family: JSON that two readers could read in two ways, or that costs more than it is worth."""

from __future__ import annotations

import json

from idmap.domain.reasons import Reason
from idmap.domain.tokens import MAX_DEPTH
from tests.support.tokens import ISSUER, claims
from tests.tokens.cases import (
    HEADER,
    Case,
    Make,
    passes,
    sign,
    unread,
    with_members,
    with_raw_header,
    with_text,
)

_BAD = Reason.TOKEN_MALFORMED
_DEEP = MAX_DEPTH - 1
"""Levels below the object of claims itself."""


def _payload(data: bytes) -> Make:
    return lambda door: sign(HEADER, data)


def _nested_token(door: object) -> str:
    """RFC 7519 §A.2: a token inside a token, here signed twice with the issuer's own key."""
    return sign({**HEADER, "cty": "JWT"}, sign().encode())


CASES: tuple[Case, ...] = (
    unread("header is a list", _BAD, with_raw_header(b"[]")),
    unread("header is a string", _BAD, with_raw_header(b'"RS256"')),
    unread("header is null", _BAD, with_raw_header(b"null")),
    unread("header is a number", _BAD, with_raw_header(b"7")),
    unread("header is not UTF-8", _BAD, with_raw_header(b'{"alg":"RS256","kid":"k1","x":"\xff"}')),
    unread("header in UTF-16", _BAD, with_raw_header(json.dumps(dict(HEADER)).encode("utf-16"))),
    unread("header behind a byte-order mark", _BAD, with_raw_header(b'\xef\xbb\xbf{"alg":"RS256","kid":"k1"}')),
    unread("header with a comment", _BAD, with_raw_header(b'{"alg":"RS256",/* */"kid":"k1"}')),
    unread("header in single quotes", _BAD, with_raw_header(b"{'alg':'RS256','kid':'k1'}")),
    unread("header with a trailing comma", _BAD, with_raw_header(b'{"alg":"RS256","kid":"k1",}')),
    unread("header cut short", _BAD, with_raw_header(b'{"alg":"RS256","kid":"k1"')),
    unread("two headers", _BAD, with_raw_header(b'{"alg":"RS256","kid":"k1"}{"alg":"none"}')),
    unread("duplicate alg", _BAD, with_raw_header(b'{"alg":"none","alg":"RS256","kid":"k1"}')),
    unread("duplicate alg, the second escaped", _BAD, with_raw_header(b'{"alg":"RS256","\\u0061lg":"none","kid":"k1"}')),
    unread("duplicate kid", _BAD, with_raw_header(b'{"alg":"RS256","kid":"k2","kid":"k1"}')),
    unread("duplicate member deep in the header", _BAD, with_raw_header(b'{"alg":"RS256","kid":"k1","x":{"a":1,"a":2}}')),
    unread("NaN in the header", _BAD, with_raw_header(b'{"alg":"RS256","kid":"k1","x":NaN}')),
    unread("header nested too deep", _BAD, with_raw_header(b'{"alg":"RS256","kid":"k1","x":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}")),
    unread("payload is a string", _BAD, _payload(b'"x"')),
    unread("payload is a list", _BAD, _payload(b"[]")),
    unread("payload is true", _BAD, _payload(b"true")),
    unread("payload is null", _BAD, _payload(b"null")),
    unread("payload is no JSON", _BAD, _payload(b"{")),
    unread("payload is blank", _BAD, _payload(b" ")),
    unread("payload is XML", _BAD, _payload(b"<claims/>")),
    unread("payload is a token (nested JWT)", _BAD, _nested_token),
    unread("payload is not UTF-8", _BAD, _payload(b'{"iss":"\xff"}')),
    unread("payload in overlong UTF-8", _BAD, _payload(b'{"iss":"\xc0\xaf"}')),
    unread("payload with an encoded surrogate", _BAD, _payload(b'{"iss":"\xed\xa0\x80"}')),
    unread("payload with an escaped lone surrogate", _BAD, with_members(r'"client_id":"\ud800"')),
    unread("a lone surrogate in a member's name", _BAD, with_members(r'"\udc00":1')),
    passes("an escaped surrogate pair", with_members(r'"name":"\ud83d\ude00"')),
    unread("payload with a raw newline in a string", _BAD, with_members('"x":"a\nb"')),
    unread("payload with a raw zero byte in a string", _BAD, with_members('"x":"a\0b"')),
    unread("payload with an unknown escape", _BAD, with_members(r'"x":"\x41"')),
    unread("payload followed by a word", _BAD, with_text(lambda text: text + " true")),
    unread("payload followed by a zero byte", _BAD, with_text(lambda text: text + "\0")),
    passes("payload among blanks", with_text(lambda text: f" \n{text}\t ")),
    unread("duplicate iss", _BAD, with_members(f'"iss":"{ISSUER}"')),
    unread("duplicate sub", _BAD, with_members('"sub":"root"')),
    unread("duplicate aud, the second escaped", _BAD, with_members('"\\u0061ud":"x"')),
    unread("duplicate exp", _BAD, with_members('"exp":9999999999')),
    unread("duplicate member deep in a claim", _BAD, with_members('"x":[{"a":1,"a":1}]')),
    passes("names that differ in capitals", with_members('"SUB":"root"')),
    unread("NaN", _BAD, with_members('"x":NaN')),
    unread("Infinity", _BAD, with_members('"x":Infinity')),
    unread("-Infinity", _BAD, with_members('"x":-Infinity')),
    unread("True of Python", _BAD, with_members('"x":True')),
    unread("a number in hexadecimal", _BAD, with_members('"x":0x10')),
    unread("a number with a leading zero", _BAD, with_members('"x":01')),
    unread("a number with a plus", _BAD, with_members('"x":+1')),
    unread("a number with underscores", _BAD, with_members('"x":1_000')),
    unread("an integer of 20 digits", _BAD, with_members(f'"x":{"9" * 20}')),
    passes("an integer of 19 digits", with_members(f'"x":{"9" * 19}')),
    unread("an integer of 5 000 digits", _BAD, with_members(f'"x":{"9" * 5000}')),
    unread("a negative integer of 20 characters", _BAD, with_members(f'"x":-{"9" * 19}')),
    unread("a fraction of 33 characters", _BAD, with_members(f'"x":0.{"1" * 31}')),
    passes("a fraction of 32 characters", with_members(f'"x":0.{"1" * 30}')),
    unread("a fraction of 5 000 digits", _BAD, with_members(f'"x":0.{"1" * 5000}')),
    unread("an exponent of 40 digits", _BAD, with_members(f'"x":1e{"1" * 40}')),
    unread("arrays nested one too deep", _BAD, with_members(f'"x":{"[" * (_DEEP + 1)}{"]" * (_DEEP + 1)}')),
    passes("arrays nested to the limit", with_members(f'"x":{"[" * _DEEP}{"]" * _DEEP}')),
    unread("objects nested one too deep", _BAD, with_members('"x":' + '{"a":' * (_DEEP + 1) + "1" + "}" * (_DEEP + 1))),
    passes("objects nested to the limit", with_members('"x":' + '{"a":' * _DEEP + "1" + "}" * _DEEP)),
    unread("nested too deep behind an escaped quote", _BAD, with_members(r'"x":"\"","y":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH)),
    unread("nested too deep behind an escaped backslash", _BAD, with_members(r'"x":"\\","y":' + "[" * MAX_DEPTH + "]" * MAX_DEPTH)),
    unread("nested 4 000 deep", _BAD, with_members(f'"x":{"[" * 4000}{"]" * 4000}')),
    unread("nested 4 000 deep and never closed", _BAD, _payload(b"[" * 4000)),
    passes("a hundred arrays side by side", with_members(f'"x":[{",".join(["[]"] * 100)}]')),
    unread("nested too deep behind a hundred arrays", _BAD, with_members(f'"x":[{",".join(["[]"] * 100)}],"y":{"[" * MAX_DEPTH}{"]" * MAX_DEPTH}')),
    passes("brackets inside a string", with_members(f'"x":"{"[{" * 50}"')),
    passes("brackets inside a string behind an escaped quote", with_members(rf'"x":"\"{"[" * 50}"')),
    passes("a claim named like a header member", with_members('"jku":"https://evil.example/","crit":["x"],"zip":"DEF"')),
    unread("an issuer of two types", _BAD, lambda door: sign(HEADER, json.dumps(claims(door)).replace('"iss"', '"iss":[],"iss"').encode())),
)  # fmt: skip

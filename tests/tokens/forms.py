"""Family: what is no compact JWS at all, is too long, or spells its base64url in a second way."""

from __future__ import annotations

from typing import Final

from idmap.domain.doors import Door
from idmap.domain.reasons import Reason
from idmap.domain.tokens import MAX_TOKEN
from tests.support.tokens import claims
from tests.tokens.cases import HEADER, Case, Make, passes, respelled, sign, unread

_OPAQUE = Reason.TOKEN_OPAQUE
_MALFORMED = Reason.TOKEN_MALFORMED
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _fixed(text: str) -> Make:
    return lambda door: text


def _of_length(length: int) -> Make:
    """A good token of exactly that many characters: one claim is padded until it fits."""

    def make(door: Door) -> str:
        shortest = sign({**HEADER, "x": "xx"}, claims(door, pad=""))
        pad = (length - len(shortest)) * 3 // 4
        longer = (
            sign({**HEADER, "x": "x" * few}, claims(door, pad="p" * (pad + more)))
            for few in range(3)
            for more in range(-4, 5)
        )
        return next(token for token in longer if len(token) == length)

    return make


def _stray(segment: int) -> Make:
    """The last character of a part changed in bits that carry nothing."""

    def change(*parts: str) -> str:
        spelled = list(parts)
        text = spelled[segment]
        spelled[segment] = text[:-1] + _ALPHABET[_ALPHABET.index(text[-1]) ^ 1]
        return ".".join(spelled)

    # Lengths are chosen so that each part ends in unused bits (never a multiple of four characters).
    def make(door: Door) -> str:
        for extra in range(3):
            header = {**HEADER, "x": "x" * extra}
            for more in range(3):
                parts = sign(header, claims(door, pad="p" * more)).split(".")
                if all(len(part) % 4 for part in parts):
                    return change(*parts)
        raise AssertionError("no such token")

    return make


CASES: tuple[Case, ...] = (
    unread("empty", _OPAQUE, _fixed("")),
    unread("opaque", _OPAQUE, _fixed("8xLOxBtZp8")),
    unread("a reference token of 64 hex digits", _OPAQUE, _fixed("0f" * 32)),
    unread("one dot", _OPAQUE, _fixed("a.b")),
    unread("two dots and nothing", _MALFORMED, _fixed("..")),
    unread("header and payload only", _OPAQUE, respelled(lambda h, b, _: f"{h}.{b}")),
    unread("four parts", _OPAQUE, respelled(lambda h, b, s: f"{h}.{b}.{s}.x")),
    unread("a good token and one dot more", _OPAQUE, respelled(lambda h, b, s: f"{h}.{b}.{s}.")),
    unread("a dot before a good token", _OPAQUE, respelled(lambda h, b, s: f".{h}.{b}.{s}")),
    unread("JWE of five parts", _MALFORMED, _fixed("e30.a.b.c.d")),
    unread("JWE with a good token inside", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s}..")),
    unread("six parts", _OPAQUE, _fixed("a.b.c.d.e.f")),
    unread("sixteen thousand dots", _OPAQUE, _fixed("." * MAX_TOKEN)),
    unread("the JSON serialisation", _OPAQUE, lambda door: '{"payload":"e30","signatures":[]}'),
    unread("two good tokens glued", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s}{h}.{b}.{s}")),
    unread("a Bearer prefix", _MALFORMED, respelled(lambda h, b, s: f"Bearer {h}.{b}.{s}")),
    unread("quoted", _MALFORMED, respelled(lambda h, b, s: f'"{h}.{b}.{s}"')),
    unread("longest and one more", Reason.TOKEN_TOO_LARGE, _of_length(MAX_TOKEN + 1)),
    passes("longest", _of_length(MAX_TOKEN)),
    unread("one megabyte", Reason.TOKEN_TOO_LARGE, _fixed("a" * 1_000_000)),
    unread("one megabyte of dots", Reason.TOKEN_TOO_LARGE, _fixed("." * 1_000_000)),
    unread("trailing newline", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s}\n")),
    unread("trailing blank", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s} ")),
    unread("leading blank", _MALFORMED, respelled(lambda h, b, s: f" {h}.{b}.{s}")),
    unread("newline inside the payload", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b[:9]}\n{b[9:]}.{s}")),
    unread("tab before a dot", _MALFORMED, respelled(lambda h, b, s: f"{h}\t.{b}.{s}")),
    unread("zero byte at the end", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s}\0")),
    unread("zero-width space inside", _MALFORMED, respelled(lambda h, b, s: f"{h}\u200b.{b}.{s}")),
    unread("byte-order mark in front", _MALFORMED, respelled(lambda h, b, s: f"\ufeff{h}.{b}.{s}")),
    unread("full-width dots", _OPAQUE, respelled(lambda h, b, s: f"{h}．{b}．{s}")),
    unread("non-ASCII letters", _MALFORMED, _fixed("é.é.é")),
    unread("an unpaired surrogate", _MALFORMED, _fixed("\ud800.a.b")),
    unread("Arabic digits in base64", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s[:-4]}١١١١")),
    unread("padded header", _MALFORMED, respelled(lambda h, b, s: f"{h}=.{b}.{s}")),
    unread("padded payload", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}==.{s}")),
    unread("padded signature", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s}==")),
    unread("four padding signs", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s}====")),
    unread("standard base64 plus", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.++++{s[4:]}")),
    unread("standard base64 slash", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.////{s[4:]}")),
    unread("percent-encoded dot", _OPAQUE, respelled(lambda h, b, s: f"{h}%2E{b}.{s}")),
    unread("one character too many", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.{s[: len(s) // 4 * 4 - 3]}")),
    unread("a part of one character", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.A")),
    unread("empty header", _MALFORMED, respelled(lambda h, b, s: f".{b}.{s}")),
    unread("empty payload (detached)", _MALFORMED, respelled(lambda h, b, s: f"{h}..{s}")),
    unread("empty signature", _MALFORMED, respelled(lambda h, b, s: f"{h}.{b}.")),
    unread("stray bits in the header", _MALFORMED, _stray(0)),
    unread("stray bits in the payload", _MALFORMED, _stray(1)),
    unread("stray bits in the signature", _MALFORMED, _stray(2)),
    unread("SAML", _OPAQUE, _fixed("<samlp:Response/>")),
    unread("a PASETO", _OPAQUE, _fixed("v4.public.eyJzdWIiOiJhIn0.e30")),
    unread("a macaroon", _OPAQUE, _fixed("MDAxY2xvY2F0aW9uIGh0dHA6Ly9teWJhbmsvCg")),
)  # fmt: skip

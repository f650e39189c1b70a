"""Entity tags and the conditions that requests put on them (RFC 9110 §8.8.3, §13.1.1 and §13.1.2).

Our own tags are strong: one tag, one representation, byte for byte. `If-Match` compares strongly, so that a weak tag
never lets a change through; `If-None-Match` compares weakly. What is not of the RFC's syntax is refused and not
guessed at: a condition that is ignored would be a change nobody wanted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from starlette.datastructures import Headers

from idmap.domain.errors import Conflict, InvalidInput
from idmap.domain.reasons import Reason

D = TypeVar("D")

MAX_FIELD: Final = 4096
"""Bytes of one condition: some fifty tags of ours."""

_ELEMENT: Final = re.compile(r'[ \t]*(?:(W/)?"([!#-~\x80-\xff]*)")?[ \t]*(?:,|$)')
"""One element of a list of tags; empty ones are allowed (RFC 9110 §5.6.1.2)."""


@dataclass(frozen=True, slots=True)
class EntityTag:
    """`"…"`, or `W/"…"` for a weak one."""

    opaque: str
    weak: bool = False

    def __str__(self) -> str:
        return f'W/"{self.opaque}"' if self.weak else f'"{self.opaque}"'


def strong_tag(document: Any) -> EntityTag:
    """The tag of a JSON document: 128 bits of SHA-256 of its canonical text."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return EntityTag(hashlib.sha256(text.encode("ascii")).hexdigest()[:32])


@dataclass(frozen=True, slots=True)
class Representation(Generic[D]):
    """What a GET of one thing answers, where it is got, and its tag."""

    document: D
    location: str
    tag: EntityTag

    @classmethod
    def of(cls, document: D, location: str) -> Representation[D]:
        """With the tag of the document."""
        return cls(document, location, strong_tag(document))


@dataclass(frozen=True, slots=True)
class TagList:
    """The value of `If-Match` or `If-None-Match`."""

    tags: tuple[EntityTag, ...]
    any: bool = False
    """`*`: whatever there is."""

    def has(self, current: EntityTag, *, strongly: bool) -> bool:
        """Whether the current tag is among them (RFC 9110 §8.8.3.2)."""
        if self.any:
            return True
        return any(
            tag.opaque == current.opaque and not (strongly and (tag.weak or current.weak))
            for tag in self.tags
        )


def parse_tags(name: str, values: Sequence[str]) -> TagList | None:
    """The lines of one header field; None without any. Raises InvalidInput(REQUEST_INVALID)."""
    if not values:
        return None
    text = ",".join(values).strip(" \t")
    if text == "*":
        return TagList((), any=True)
    tags: list[EntityTag] = []
    place = 0
    while place < len(text) <= MAX_FIELD and (found := _ELEMENT.match(text, place)):
        if found[2] is not None:
            tags.append(EntityTag(found[2], weak=found[1] is not None))
        place = found.end()
    if place < len(text) or not tags:
        raise InvalidInput(
            Reason.REQUEST_INVALID, f'{name}: entity tags in quotes, as in "3", or * (RFC 9110)'
        )
    return TagList(tuple(tags))


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a request demands of the state it meets."""

    if_match: TagList | None = None
    if_none_match: TagList | None = None

    @classmethod
    def of(cls, headers: Headers) -> Conditions:
        """From the request. Raises InvalidInput(REQUEST_INVALID)."""
        return cls(
            parse_tags("If-Match", headers.getlist("if-match")),
            parse_tags("If-None-Match", headers.getlist("if-none-match")),
        )

    def check(self, current: EntityTag | None) -> None:
        """Before a change of the thing with this tag, None where there is none.

        Raises Conflict(VERSION_CONFLICT), the 412 of RFC 9110 §15.5.13.
        """
        met = self.if_match is None or (
            current is not None and self.if_match.has(current, strongly=True)
        )
        if not met:
            raise Conflict(Reason.VERSION_CONFLICT, f"If-Match: the tag is now {_shown(current)}")
        if (
            self.if_none_match is not None
            and current is not None
            and self.if_none_match.has(current, strongly=False)
        ):
            raise Conflict(Reason.VERSION_CONFLICT, f"If-None-Match: there is {_shown(current)}")

    def not_modified(self, current: str | None) -> bool:
        """Whether a GET whose answer carries this `ETag` may be answered with 304."""
        if self.if_none_match is None or current is None:
            return False
        known = parse_tags("ETag", [current])
        return known is not None and self.if_none_match.has(known.tags[0], strongly=False)


def _shown(tag: EntityTag | None) -> str:
    return "none" if tag is None else str(tag)

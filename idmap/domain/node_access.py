"""On which node classes an account may be used: what rules give, accounts carry and nodes are told.

Written as one word: `*` for everywhere, `login,gpu` for those alone, `*,-secure` for all but those. An account that
may not be used on a node is still known there: files have owners everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

NODE_CLASS: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}", re.ASCII)
"""The label of an ssh door."""

MAX_CLASSES: Final = 64
_EVERY: Final = "*"


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """`only` None: every class but those in `never`. Otherwise `never` is empty: what is refused is left out."""

    only: frozenset[str] | None = None
    never: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.only is not None and self.never:
            object.__setattr__(self, "only", self.only - self.never)
            object.__setattr__(self, "never", frozenset())

    def admits(self, node_class: str) -> bool:
        """Whether an account may be used on nodes of this class."""
        return node_class not in self.never if self.only is None else node_class in self.only

    def and_on(self, more: NodeAccess) -> NodeAccess:
        """Both together: a class that either admits."""
        if self.only is not None and more.only is not None:
            return NodeAccess(self.only | more.only)
        if self.only is None and more.only is None:
            return NodeAccess(None, self.never & more.never)
        every, some = (self, more.only) if self.only is None else (more, self.only)
        return NodeAccess(None, every.never - (some or frozenset()))

    def where_also(self, other: NodeAccess) -> NodeAccess:
        """A class that both admit."""
        if self.only is None and other.only is None:
            return NodeAccess(None, self.never | other.never)
        one, more = (self, other) if self.only is not None else (other, self)
        return NodeAccess(frozenset(c for c in one.only or () if more.admits(c)))

    def covers(self, other: NodeAccess) -> bool:
        """Whether it admits every class that the other admits."""
        return self.where_also(other) == other

    def but_not_on(self, refused: Iterable[str]) -> NodeAccess:
        """Without these classes."""
        return NodeAccess(self.only, self.never | frozenset(refused))

    def __str__(self) -> str:
        if self.only is not None:
            return ",".join(sorted(self.only))
        return ",".join([_EVERY, *(f"-{one}" for one in sorted(self.never))])


EVERYWHERE: Final = NodeAccess()
NOWHERE: Final = NodeAccess(frozenset())


@lru_cache(maxsize=4096)
def parse_node_access(text: str) -> NodeAccess:
    """The inverse of `str`, for its canonical form alone. Raises InvalidInput(REQUEST_INVALID)."""
    words = text.split(",") if text else []
    if words[:1] == [_EVERY]:
        access = NodeAccess(None, frozenset(word.removeprefix("-") for word in words[1:]))
    else:
        access = NodeAccess(frozenset(words))
    named = access.never if access.only is None else access.only
    if len(named) > MAX_CLASSES or not all(map(NODE_CLASS.fullmatch, named)) or str(access) != text:
        raise InvalidInput(Reason.REQUEST_INVALID, f"node classes {text[:80]!r}")
    return access

"""Values that must never be printed (law 9).

A `Secret` shows itself only when asked by name; `repr`, `str`, f-strings and JSON get a placeholder.
It does *not* wipe memory: Python strings cannot be wiped, the C side does that for its own.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final, NoReturn, final

_PLACEHOLDER: Final = "<secret>"


@final
class Secret:
    """A string that does not print."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself; every call site is a place to review."""
        return self._value

    def sha256(self) -> bytes:
        """Digest of the UTF-8 value, for tables that must recognise a secret without holding it."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogatepass")).digest()

    def matches(self, digest: bytes) -> bool:
        """Whether `digest` is this secret's `sha256`, in constant time."""
        return hmac.compare_digest(self.sha256(), digest)

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return _PLACEHOLDER

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return _PLACEHOLDER

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")

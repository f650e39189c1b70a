"""What the registry said, kept exactly as long as nobody committed anything.

Asking whether something was committed costs a few microseconds, reading it again a millisecond; so the doors
that are asked thousands of times a second ask the first every time. There is no lifetime and no staleness: a
ban committed by any process is seen by the next question (law 5). Values must not depend on the time of day.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final, TypeVar

from idmap.application.ports import Registry, RegistryReader

T = TypeVar("T")

LIMIT: Final = 20_000
"""Answers kept; some 2 KiB each. When full, the memory starts anew."""


class Remembered:
    """A memory in front of a registry; for all threads of a process."""

    def __init__(self, registry: Registry, limit: int = LIMIT) -> None:
        self._registry = registry
        self._limit = limit
        self._lock = threading.Lock()
        self._change_token: int | None = None
        self._found: dict[Hashable, Any] = {}
        self._by_mark: dict[Hashable, tuple[Hashable, Any]] = {}
        """The last value of each question that has a mark; these are few."""

    def present(self) -> Mapping[Hashable, Any]:
        """All that is remembered of the present state, by question. Reads nothing, so an event loop may ask."""
        change_token = self._registry.change_token()
        with self._lock:
            return self._found if change_token == self._change_token else {}

    def get(
        self,
        key: Hashable,
        read: Callable[[RegistryReader], T],
        mark: Callable[[RegistryReader], Hashable] | None = None,
    ) -> T:
        """What `read` gives of the present state; `key` names the question, with all it depends on.

        The token is asked for before reading: a value may be newer than its token, never older. With a `mark`, which
        is cheap to read and differs whenever the value may, the value is read again only when the mark does differ.
        """
        change_token = self._registry.change_token()
        with self._lock:
            if change_token != self._change_token:
                self._change_token = change_token
                self._found = {}
            if key in self._found:
                value: T = self._found[key]
                return value
        with self._registry.read() as reader:
            value = read(reader) if mark is None else self._marked(key, read, reader, mark(reader))
        with self._lock:
            if self._change_token == change_token:
                if len(self._found) >= self._limit:
                    self._found = {}
                self._found[key] = value
        return value

    def _marked(
        self,
        key: Hashable,
        read: Callable[[RegistryReader], T],
        reader: RegistryReader,
        mark: Hashable,
    ) -> T:
        """Mark and value are of one state: the reader's."""
        kept = self._by_mark.get(key)
        if kept is not None and kept[0] == mark:
            value: T = kept[1]
            return value
        value = read(reader)
        self._by_mark[key] = (mark, value)
        return value

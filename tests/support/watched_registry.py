"""A registry that tells a test where a run stands: during a rehearsal, before and after every commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from idmap.application.ports import Author, Registry, RegistryReader, RegistryWriter


def nothing() -> None:
    """A failpoint that does nothing."""


@dataclass
class WatchedRegistry:
    """Implements `Registry` by another one; calls back at the points where a run could be in the way."""

    inner: Registry
    rehearsed: Callable[[], None] = nothing
    """In a rehearsal that has done its work and is not over."""
    before_commit: Callable[[], None] = nothing
    """In a write transaction that has done its work: the lock is held."""
    after_commit: Callable[[], None] = nothing

    @contextmanager
    def read(self) -> Iterator[RegistryReader]:
        with self.inner.read() as reader:
            yield reader

    @contextmanager
    def write(self, author: Author) -> Iterator[RegistryWriter]:
        with self.inner.write(author) as writer:
            yield writer
            if author.plan is not None:
                self.before_commit()
        if author.plan is not None:
            self.after_commit()

    @contextmanager
    def rehearse(self, author: Author) -> Iterator[RegistryWriter]:
        with self.inner.rehearse(author) as writer:
            yield writer
            self.rehearsed()

    def take_lease(self, name: str, holder: str, *, at: int, seconds: int) -> bool:
        return self.inner.take_lease(name, holder, at=at, seconds=seconds)

    def release_lease(self, name: str, holder: str) -> None:
        self.inner.release_lease(name, holder)

    def change_token(self) -> int:
        return self.inner.change_token()

    def close(self) -> None:
        self.inner.close()

"""One check of a credential as `idmap explain` shows it, and how checks are noted while they are made.

Notes cost nothing unless somebody asked for them: what a check looked at is put into words only then, and afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Check:
    """One check as `idmap explain` shows it. `shown` never holds the token or a part of it."""

    name: str
    shown: str
    passed: bool


def step(
    trace: list[Check] | None, name: str, look: Callable[..., str], *arguments: object
) -> Step | Unnoted:
    """A context in which one check is made; `trace` gets its outcome, also when it raises, unless it is None.

    `look(*arguments)` puts into words what was looked at. It must not raise, whatever a stranger sent.
    """
    return _UNNOTED if trace is None else Step(trace, name, look, arguments)


class Step:
    """A check that is noted."""

    __slots__ = ("_arguments", "_look", "_name", "_trace")

    def __init__(
        self,
        trace: list[Check],
        name: str,
        look: Callable[..., str],
        arguments: tuple[object, ...],
    ) -> None:
        self._trace = trace
        self._name = name
        self._look = look
        self._arguments = arguments

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        shown = self._look(*self._arguments)
        if error is not None:
            shown = f"{shown}: {error}"
        self._trace.append(Check(self._name, shown, passed=error is None))


class Unnoted:
    """A check that nobody asked to see."""

    __slots__ = ()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        return None


_UNNOTED: Final = Unnoted()

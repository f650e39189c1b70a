"""Which directories a private host covers with its own, and which it shows again inside those.

Pure: the answer depends on the arguments and on the modes of directories, nothing is mounted here.

A directory of the machine stays visible, read-only, unless it is *private* (below) or *closed*: not
searchable by other users. On many machines the interpreter or the checkout lies below somebody's
0700 home; unprivileged processes in the host must reach both. So such an ancestor is covered by an
empty 0755 directory, and only what is exposed is shown again inside it.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

PRIVATE = {
    "/run": 0o755,
    "/tmp": 0o1777,  # noqa: S108 a mount point
    "/var/tmp": 0o1777,  # noqa: S108 a mount point
    "/var/cache": 0o755,
    "/var/lib": 0o755,
    "/var/log": 0o755,
    "/var/mail": 0o2775,
    "/var/spool": 0o755,
    "/home": 0o755,
    "/root": 0o700,
    "/opt": 0o755,
    "/srv": 0o755,
    "/mnt": 0o755,
}
"""Directories that start empty, with their modes. /etc (a copy) and /dev are made elsewhere."""


@dataclass(frozen=True)
class Layout:
    """Directories to cover (with their modes), then directories to show again, in this order."""

    covers: dict[str, int]
    shown: tuple[str, ...]


def closed(directory: Path) -> bool:
    """Whether users other than the owner and its group may not pass through."""
    return not stat.S_IMODE(directory.stat().st_mode) & stat.S_IXOTH


def plan_layout(
    exposed: Iterable[Path],
    private: dict[str, int] | None = None,
    is_closed: Callable[[Path], bool] = closed,
) -> Layout:
    """Decides what to cover so that every directory in `exposed` is reachable by everybody.

    `exposed` are absolute, resolved paths. Raises ValueError for one that is itself closed: what
    its owner hid from other users is not shown to them.
    """
    covers = dict(PRIVATE if private is None else private)
    wanted = sorted(set(exposed), key=lambda path: (len(path.parts), path))
    outermost: list[Path] = []
    for path in wanted:
        if not any(path.is_relative_to(other) for other in outermost):
            outermost.append(path)
    for path in outermost:
        if is_closed(path):
            raise ValueError(f"{path} is closed to other users; allow them with: chmod o+rx {path}")
        for ancestor in reversed(path.parents[:-1]):
            if str(ancestor) in covers or is_closed(ancestor):
                covers[str(ancestor)] = covers.get(str(ancestor), 0) | 0o755
                break
    # A cover inside another cover would be made in vain: the outer one hides its place.
    kept = {
        path: mode
        for path, mode in covers.items()
        if not any(str(parent) in covers for parent in Path(path).parents)
    }
    shown = [str(path) for path in outermost if any(str(parent) in kept for parent in path.parents)]
    return Layout(kept, tuple(shown))

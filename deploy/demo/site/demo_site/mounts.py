"""mount(2) for the private host: the few calls that it needs, with errors that say what failed.

Through ctypes, because each `mount` process would cost more than all of them together, and because
a directory that is about to be covered can only be named by a file descriptor.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000

_FLAGS = {"nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC}
"""Per-mount options that a remount must repeat, or it would drop them."""

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Calls mount(2); raises OSError naming source and target."""
    result = _libc.mount(
        source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode()
    )
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {source} on {target}: {os.strerror(error)}")


def tmpfs(target: str, mode: int, size: str = "512m") -> None:
    """An empty file system in memory, over whatever is at `target`."""
    mount("tmpfs", target, "tmpfs", MS_NOSUID, f"mode={mode:o},size={size}")


def bind(source: str, target: str) -> None:
    """Shows `source` (with the mounts below it) at `target`, which must exist."""
    mount(source, target, "", MS_BIND | MS_REC)


def mount_points() -> Iterator[tuple[str, int]]:
    """Every mount in sight with its per-mount flags (proc(5), mountinfo), outermost first."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        target = fields[4].encode().decode("unicode_escape")
        yield target, sum(_FLAGS.get(option, 0) for option in fields[5].split(","))


def make_all_read_only() -> None:
    """Makes every mount that exists now read-only in this namespace; the root must obey.

    Mounts hidden under others cannot be named, and need not be.
    """
    for target, flags in list(mount_points()):
        try:
            mount("none", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | flags)
        except OSError:
            if target == "/":
                raise

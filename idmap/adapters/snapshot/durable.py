"""Writing a file that is either wholly there or not at all, and survives a power cut.

The order is the point: data synced before it gets its name, the name synced before anybody is told.
What is left of an interrupted write is a hidden temporary file that no reader looks at.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_durably(path: Path, data: bytes, *, mode: int, sync_name: bool = True) -> None:
    """Replaces `path` by `data` in one step. Raises OSError with the old file untouched.

    Without `sync_name` the caller syncs the directory later, once for many files.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if sync_name:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Makes the directory's names survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Files that hold secrets: created 0600, refused when others may read them.

Signing keys and client secrets live in such files, never in arguments, the environment or logs.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


class TooOpen(PermissionError):
    """A secret file that group or others may read. Next step: `chmod 600` it."""


def read_private(path: Path) -> str | None:
    """The text of `path`, or None when there is no such file. Raises `TooOpen`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, encoding="utf-8") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise TooOpen(f"{path} may be read by others; chmod 600 it")
        return file.read()


def write_private(path: Path, text: str) -> None:
    """Put `text` at `path` with mode 0600, whole or not at all."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    # mkstemp creates with mode 0600.
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise

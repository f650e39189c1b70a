"""Replacing a node's file in one step: the old one or the new one, never neither.

The node's own copy of what `adapters/snapshot/durable.py` does at the service: adapters never import each other.
Every failure is NodeInstallFailed(INSTALL_FAILED), with nothing partial left.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from idmap.adapters.node_files.failures import install_failed


def replace_file(
    path: Path, data: bytes, *, mode: int, group_number: int = -1, synced: bool = True
) -> None:
    """Replaces `path` by `data`. Raises NodeInstallFailed(INSTALL_FAILED).

    Not `synced` is for what is checked by its hash at every use.
    """
    with (
        replacing(path, mode=mode, group_number=group_number, synced=synced) as temporary,
        temporary.open("r+b") as file,
    ):
        file.write(data)


@contextmanager
def replacing(
    path: Path, *, mode: int, group_number: int = -1, synced: bool = True
) -> Iterator[Path]:
    """A temporary file (0600) that takes the place of `path` when the block ends well."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        temporary = Path(name)
        try:
            yield temporary
            if group_number >= 0:
                os.fchown(descriptor, -1, group_number)
            os.fchmod(descriptor, mode)
            if synced:
                os.fsync(descriptor)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        if synced:
            sync_directory(path.parent)
    except OSError as error:
        raise install_failed(path, error) from error


def remove_leftovers(directory: Path) -> None:
    """Removes temporary files of writers that were killed. Call only while nobody writes."""
    for path in directory.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Makes the directory's names survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

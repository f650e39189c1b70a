"""Writing an export: each file whole under its name or not at all, through no symbolic link.

Files of the same name are replaced; a userdb directory must be empty, because a record left over from before would
bring a removed account back. Raises InvalidInput(REQUEST_INVALID); OSError for what the file system refuses.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from idmap.adapters.posix_export.userdb import Link
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason


def write_files(directory: Path, files: Mapping[str, bytes | Link], *, into_empty: bool) -> None:
    """Writes all of them (0644), in their order; makes the directory."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    if into_empty and any(directory.iterdir()):
        raise InvalidInput(
            Reason.REQUEST_INVALID,
            f"{directory}: not empty; records left over would bring removed accounts back",
        )
    for name, content in files.items():
        if "/" in name or name in {"", ".", ".."}:
            raise InvalidInput(Reason.REQUEST_INVALID, f"no file name: {name[:80]!r}")
        if isinstance(content, Link):
            (directory / name).symlink_to(content.target)
        else:
            _write(directory / name, content)


def _write(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".idmap-export.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

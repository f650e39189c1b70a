"""What goes wrong with a node's file, as errors that name the file."""

from __future__ import annotations

from pathlib import Path

from idmap.domain.errors import NodeInstallFailed
from idmap.domain.reasons import Reason


def install_failed(path: Path, error: OSError) -> NodeInstallFailed:
    """It could not be written, and why."""
    return NodeInstallFailed(Reason.INSTALL_FAILED, f"{path}: {error.strerror or error}")


def unreadable(path: Path, detail: str) -> NodeInstallFailed:
    """It cannot be read, or is not what it should be."""
    return NodeInstallFailed(Reason.NODE_FILES_UNREADABLE, f"{path}: {detail}")

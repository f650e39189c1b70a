"""Real registries for tests, quick to make: a copy of one that the migrations made."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from functools import lru_cache
from pathlib import Path

from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Clock

_MEMORY = Path("/dev/shm")  # named by the kernel; the directories in it are our own
NOW = 1_700_000_000


def make_registry(clock: Clock = lambda: NOW, directory: Path | None = None) -> SqlRegistry:
    """An empty registry on SQLite: `registry.db` in `directory`, or in one that goes with the object.

    The latter is in memory where the machine allows; what a disk adds is durability: see tests/adapters/sql.
    """
    where = directory or quick_directory()
    shutil.copy(_template() / "registry.db", where / "registry.db")
    registry = SqlRegistry.open(f"sqlite:///{where}/registry.db", clock)
    if directory is None:
        weakref.finalize(registry, shutil.rmtree, where, ignore_errors=True)
    return registry


@lru_cache(maxsize=1)
def _template() -> Path:
    directory = quick_directory()
    weakref.finalize(_template, shutil.rmtree, directory, ignore_errors=True)
    SqlRegistry.create(f"sqlite:///{directory}/registry.db", lambda: NOW).close()
    return directory


def quick_directory() -> Path:
    """A new one, in memory where the machine allows; whoever asks removes it."""
    return Path(
        tempfile.mkdtemp(prefix="idmap-registry-", dir=_MEMORY if _MEMORY.is_dir() else None)
    )

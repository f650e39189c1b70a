"""The store in a directory: content, documents, garbage."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

import pytest

from idmap.adapters.snapshot.store import YOUNG_SECONDS, DirectorySnapshotStore
from tests.support.registry_scenes import AUTHOR
from tests.support.snapshot_site import SnapshotSite


def test_a_chunk_is_found_by_its_hash_and_only_on_its_own_side(tmp_path: Path) -> None:
    """A restricted chunk is not served to everybody."""
    store = DirectorySnapshotStore(tmp_path)
    sha256 = store.put_chunk(b"identities", restricted=True)
    assert sha256 == hashlib.sha256(b"identities").hexdigest()
    assert store.read_chunk(sha256, restricted=True) == b"identities"
    assert store.read_chunk(sha256, restricted=False) is None
    path = tmp_path / "restricted" / sha256[:2] / sha256
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750


@pytest.mark.parametrize(
    "name", ["", "../../etc/passwd", "/etc/passwd", "a" * 63, "A" * 64, "a" * 64 + "\n", "é" * 64]
)
def test_what_is_no_hash_finds_nothing(tmp_path: Path, name: str) -> None:
    """Routes pass strangers' text here."""
    assert DirectorySnapshotStore(tmp_path).read_chunk(name, restricted=False) is None


def test_a_document_is_one_of_three(tmp_path: Path) -> None:
    """No other name is a file."""
    store = DirectorySnapshotStore(tmp_path)
    assert store.read_document("bans") is None
    store.put_document("bans", b"{}")
    assert store.read_document("bans") == b"{}"
    for name in ("../x", "manifest.json", ""):
        with pytest.raises(ValueError, match="no document"):
            store.read_document(name)


def test_a_half_written_chunk_is_written_again(tmp_path: Path) -> None:
    """After a power cut on a file system that kept the name and not the data."""
    store = DirectorySnapshotStore(tmp_path)
    sha256 = store.put_chunk(b"content", restricted=False)
    (tmp_path / "chunks" / sha256[:2] / sha256).write_bytes(b"con")
    store.put_chunk(b"content", restricted=False)
    assert store.read_chunk(sha256, restricted=False) == b"content"


def test_garbage_is_what_no_recent_manifest_names_and_is_not_young(site: SnapshotSite) -> None:
    """Nodes that began with an older manifest still find its chunks."""
    lost = site.store.put_chunk(b"named by nothing", restricted=False)
    for shell in ("/bin/a", "/bin/b", "/bin/c"):
        with site.registry.write(AUTHOR) as writer:
            writer.change_shell(1, shell)
        site.publish()
    assert site.store.collect_garbage(10) == 0, "everything is young"
    for kind in ("chunks", "restricted"):
        for path in (site.directory / "snapshot" / kind).rglob("*"):
            old = time.time() - YOUNG_SECONDS - 10
            os.utime(path, (old, old))
    assert site.store.collect_garbage(10) == 1
    assert site.store.read_chunk(lost, restricted=False) is None
    assert site.store.collect_garbage(2) > 0
    agent = site.agent()
    agent.bans.fetch()
    assert agent.installer.sync(), "the newest manifest is whole"


def test_nothing_is_garbage_while_a_recent_manifest_cannot_be_read(site: SnapshotSite) -> None:
    """What it names is not known."""
    lost = site.store.put_chunk(b"named by nothing", restricted=False)
    path = site.directory / "snapshot" / "chunks" / lost[:2] / lost
    os.utime(path, (1, 1))
    next((site.directory / "snapshot" / "history").iterdir()).write_bytes(b"{")
    assert site.store.collect_garbage() == 0
    assert path.exists()

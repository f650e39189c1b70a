"""The private copy behind a rehearsal: nobody else can read it, and no crash leaves it behind."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.domain.errors import Unavailable
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import AUTHOR, NOW, VO, furnish, listed, listing

ROOT = Path(__file__).parents[3]
PEOPLE = 20_000
"""Enough that the copy does not fit into the memory it may take."""

_KILLED = """
import os, signal, sys
from idmap.adapters.sql import SqlRegistry
from tests.support.registry_scenes import AUTHOR, NOW, STAFF, listed, listing
registry = SqlRegistry.open(sys.argv[1])
with registry.rehearse(AUTHOR) as writer:
    writer.record_listing(listing(*(listed(f"s{n}", STAFF) for n in range(9000)), began=NOW + 1))
    writer.last_change()
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/site/registry.db"
    (tmp_path / "site").mkdir()
    (tmp_path / "temporary").mkdir()
    registry = SqlRegistry.create(url, lambda: NOW)
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        writer.record_listing(listing(*(listed(f"s{number}", VO) for number in range(PEOPLE))))
    registry.close()
    return url


def nameless_files() -> dict[str, os.stat_result]:
    """Files this process holds that have no name any more."""
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            target, status = link.readlink(), link.stat()
        except FileNotFoundError:
            continue
        if str(target).endswith(" (deleted)") and stat.S_ISREG(status.st_mode):
            found[str(target)] = status
    return found


def test_the_copy_has_no_name_and_is_the_owners_alone(url: str, tmp_path: Path) -> None:
    registry = SqlRegistry.open(url)
    before = nameless_files()
    with registry.rehearse(AUTHOR) as writer:
        assert len(list(writer.people())) == PEOPLE
        copies = {name: s for name, s in nameless_files().items() if name not in before}
        assert copies, "the copy is on disk, not in memory"
        assert {stat.S_IMODE(status.st_mode) for status in copies.values()} == {0o600}
    assert nameless_files().keys() <= before.keys(), "and is gone afterwards"
    assert {path.name for path in (tmp_path / "site").iterdir()} <= {
        "registry.db",
        "registry.db-wal",
        "registry.db-shm",
        "registry.db.high-water.json",
        "registry.db.issued",
    }
    registry.close()


def test_a_kill_in_a_rehearsal_leaves_no_copy_and_no_change(url: str, tmp_path: Path) -> None:
    environment = dict(os.environ, SQLITE_TMPDIR=str(tmp_path / "temporary"))
    before = Path(tmp_path / "site/registry.db").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, url], cwd=ROOT, env=environment, timeout=60, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert list((tmp_path / "temporary").iterdir()) == []
    assert Path(tmp_path / "site/registry.db").read_bytes() == before
    registry = SqlRegistry.open(url)
    with registry.read() as reader:
        assert reader.observed_groups() == {VO}
    registry.close()


def test_a_database_that_cannot_be_copied_is_unavailable(url: str, tmp_path: Path) -> None:
    registry = SqlRegistry.open(url)
    (tmp_path / "site/registry.db").rename(tmp_path / "site/gone.db")
    (tmp_path / "site/registry.db").mkdir()
    with pytest.raises(Unavailable) as caught, registry.rehearse(AUTHOR):
        pass
    assert caught.value.reason is Reason.SERVICE_UNAVAILABLE
    registry.close()

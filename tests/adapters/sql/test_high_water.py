"""The marks kept outside the database: what a restored backup cannot forget."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.high_water import HighWaterFile, Issued, Marks
from idmap.domain.errors import IdmapError
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import AUTHOR, NOW, furnish, open_one, person

PEOPLE = RangePurpose.PEOPLE


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A furnished registry, closed."""
    url = f"sqlite:///{tmp_path}/registry.db"
    registry = SqlRegistry.create(url, lambda: NOW)
    furnish(registry)
    registry.close()
    return url


def marks_of(directory: Path) -> Marks:
    return HighWaterFile(directory / "registry.db").read()


def test_the_file_knows_every_commit(url: str, tmp_path: Path) -> None:
    registry = SqlRegistry.open(url)
    account = open_one(registry, "a")
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=1, identity=None, reason="x", until=None, at=NOW)
    with registry.read() as reader:
        revision = reader.revision()
    registry.close()
    marks = marks_of(tmp_path)
    assert (marks.revision, marks.ban_counter) == (revision, 1)
    assert marks.ranges["people"] == Issued(PEOPLE, 200_000, account.uid_number)
    assert not list(tmp_path.glob("*.new"))


def test_the_file_is_on_the_disk_before_the_commit(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And when it cannot be written, nothing is committed."""

    def full(self: HighWaterFile, marks: Marks) -> None:
        raise OSError(28, "No space left on device")

    registry = SqlRegistry.open(url)
    before = marks_of(tmp_path)
    monkeypatch.setattr(HighWaterFile, "write", full)
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.SERVICE_UNAVAILABLE):
        open_one(registry, "a")
    with registry.read() as reader:
        assert list(reader.every_account()) == []
    monkeypatch.undo()
    assert marks_of(tmp_path) == before
    assert open_one(registry, "a").uid_number == 200_000
    registry.close()


def test_a_crash_between_file_and_commit_burns_the_number(url: str, tmp_path: Path) -> None:
    """Nobody was told of it, and nobody else gets it."""
    file = HighWaterFile(tmp_path / "registry.db")
    marks = file.read()
    ahead = Marks(marks.revision + 1, 0, {"people": Issued(PEOPLE, 200_000, 200_000)})
    file.write(marks.raised(ahead))
    registry = SqlRegistry.open(url)
    assert open_one(registry, "a").uid_number == 200_001
    with registry.read() as reader:
        assert reader.revision() > ahead.revision
        assert "raise_counter" in [change.action for change in reader.changes()]
    registry.close()


def test_a_restored_backup_goes_on_above_what_nodes_have_seen(url: str, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copy(tmp_path / "registry.db", backup)
    registry = SqlRegistry.open(url)
    numbers = {open_one(registry, subject).uid_number for subject in "abc"}
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=None, identity=person("a"), reason="x", until=None, at=NOW)
        writer.add_range(NumberRange("new", PEOPLE, 400_000, 400_010))
    numbers.add(open_one(registry, "d", number_range="new").uid_number)
    with registry.read() as reader:
        seen = (reader.revision(), reader.ban_counter())
    registry.close()
    backup.replace(tmp_path / "registry.db")

    registry = SqlRegistry.open(url)
    with registry.read() as reader:
        assert reader.revision() > seen[0]
        assert reader.ban_counter() > seen[1]
        raised = reader.revision()
    with registry.write(AUTHOR) as writer:
        writer.add_range(NumberRange("renamed", PEOPLE, 399_999, 400_020))
    again = {open_one(registry, subject).uid_number for subject in "wxyz"}
    again |= {
        open_one(registry, subject, number_range="renamed").uid_number for subject in ("r1", "r2")
    }
    assert not again & numbers
    assert again >= {399_999, 400_001}, "also from a range that the backup did not know"
    registry.close()
    registry = SqlRegistry.open(url)
    with registry.read() as reader:
        assert reader.revision() == raised + 7, "opening again raises nothing"
        assert reader.verify_changes() > 0
    registry.close()


def test_a_new_database_beside_an_old_file_stays_above_it(url: str, tmp_path: Path) -> None:
    registry = SqlRegistry.open(url)
    first = open_one(registry, "a").uid_number
    with registry.read() as reader:
        revision = reader.revision()
    registry.close()
    (tmp_path / "registry.db").unlink()
    registry = SqlRegistry.create(url)
    with registry.read() as reader:
        assert reader.revision() > revision
    furnish(registry)
    assert open_one(registry, "b").uid_number == first + 1
    registry.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2}',
        '{"format":1,"revision":-1,"ban_counter":0,"ranges":{}}',
    ],
)
def test_a_file_that_cannot_be_understood_stops_everything(
    url: str, tmp_path: Path, text: str
) -> None:
    """Guessing could give a number twice."""
    registry = SqlRegistry.open(url)
    (tmp_path / "registry.db.high-water.json").write_text(text)
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.CONFIGURATION_INVALID):
        open_one(registry, "a")
    registry.close()
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.CONFIGURATION_INVALID):
        SqlRegistry.open(url)


def test_marks_only_rise() -> None:
    low = Marks(1, 9, {"a": Issued(PEOPLE, 10, 20), "b": Issued(PEOPLE, 50, 60)})
    high = Marks(5, 2, {"a": Issued(PEOPLE, 10, 15), "c": Issued(PEOPLE, 21, 22)})
    both = low.raised(high)
    assert both == high.raised(low)
    assert (both.revision, both.ban_counter) == (5, 9)
    assert both.ranges["a"].highest == 20
    assert both.next_above(PEOPLE, 12) == 23, "two runs that touch are passed in one"
    assert both.next_above(RangePurpose.GROUPS, 12) == 23, "private groups have people's numbers"
    assert both.next_above(PEOPLE, 30) == 30


def test_the_file_is_plain_json(url: str, tmp_path: Path) -> None:
    """An administrator and `idmap doctor` can read it."""
    assert url
    document = json.loads((tmp_path / "registry.db.high-water.json").read_text())
    registry = SqlRegistry.open(url)
    with registry.read() as reader:
        newest = reader.last_change()
    registry.close()
    assert [document["record"][when][0] for when in ("before", "after")] == [0, newest]
    del document["record"]
    assert document == {
        "format": 1,
        "revision": 1,
        "ban_counter": 0,
        "ranges": {"groups": {"purpose": "groups", "first": 300_000, "highest": 300_001}},
    }

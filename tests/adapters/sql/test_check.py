"""`idmap db check` finds what it is for, and says nothing about a registry that is whole."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.adapters.sql.check import Verdict, check_database
from idmap.adapters.sql.high_water import HighWaterFile
from idmap.domain.accounts import AccountEvent
from idmap.domain.errors import Conflict, IdmapError, Unavailable
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import AUTHOR, NOW, furnish, open_one, person


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A registry with two accounts, one of them closed, and a ban."""
    url = f"sqlite:///{tmp_path}/registry.db"
    registry = SqlRegistry.create(url, lambda: NOW)
    furnish(registry)
    open_one(registry, "a", "anna")
    closed = open_one(registry, "b", "bert")
    with registry.write(AUTHOR) as writer:
        writer.move_account(closed.account_id, AccountEvent.CLOSED)
        writer.add_ban(account_id=None, identity=person("z"), reason="x", until=None, at=NOW)
    registry.close()
    return url


def findings(url: str) -> dict[str, tuple[Verdict, str]]:
    """Check → (verdict, what it saw), of those that are not well."""
    return {
        finding.check: (finding.verdict, finding.saw)
        for finding in check_database(url)
        if finding.verdict is not Verdict.OK
    }


def past_idmap(directory: Path, *statements: str) -> None:
    """Somebody with the sqlite3 program and all triggers out of the way."""
    connection = sqlite3.connect(directory / "registry.db", isolation_level=None)
    names = [
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='trigger'")
    ]
    for name in names:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA ignore_check_constraints = 1")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_a_whole_registry_is_well_and_is_left_alone(url: str, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert findings(url) == {}
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for name in ("registry.db", "registry.db.high-water.json", "registry.db.issued"):
        assert after[name] == before[name]


@pytest.mark.parametrize(
    ("statement", "check", "says"),
    [
        ("UPDATE accounts SET uid_number = 200777 WHERE username = 'anna'", "ledger", "anna (200777)"),
        ("UPDATE ledger_names SET owner = 'account:9' WHERE name = 'anna'", "ledger", "anna (200000)"),
        ("UPDATE ledger_names SET name = 'root' WHERE name = 'vo'", "ledger", "root"),
        ("UPDATE ledger_numbers SET number = 0 WHERE number = 200001", "ledger", ": 0"),
        ("UPDATE ledger_numbers SET owner = 'group:9' WHERE kind = 'gid'", "ledger", "vo (300000)"),
        ("UPDATE posix_groups SET name = 'anna' WHERE name = 'vo'", "ledger", "anna (300000)"),
        ("UPDATE ledger_names SET retired_at = NULL", "ledger", "bert"),
        ("UPDATE ledger_names SET retired_at = 1", "ledger", "anna"),
        ("UPDATE ranges SET first = 200001 WHERE name = 'people'", "ledger", "anna (200000)"),
        ("UPDATE ranges SET next_number = 200990 WHERE name = 'people'", "marks", "200989"),
        ("UPDATE changes SET author = 'nobody' WHERE sequence = 3", "record", "entry 3"),
        ("UPDATE change_bodies SET body = '{}' WHERE sequence = 4", "record", "entry 4"),
        ("DELETE FROM identities WHERE account_id IS NULL", "pages", "bans"),
        ("UPDATE counters SET value = 1 WHERE name = 'revision'", "marks", "revision 1"),
        ("DELETE FROM ledger_names WHERE name = 'bert'", "journal", "bert"),
    ],
)  # fmt: skip
def test_what_was_changed_past_idmap_is_found(
    url: str, tmp_path: Path, statement: str, check: str, says: str
) -> None:
    past_idmap(tmp_path, statement)
    found = findings(url)
    assert check in found, found
    assert says in found[check][1], found


def test_a_record_that_was_cut_short_is_found(url: str, tmp_path: Path) -> None:
    """The chain that is left holds: only the anchor outside the database tells."""
    newest = "(SELECT max(sequence) FROM changes)"
    past_idmap(
        tmp_path,
        f"DELETE FROM change_bodies WHERE sequence > {newest} - 3",
        f"DELETE FROM changes WHERE sequence > {newest} - 3",
    )
    found = findings(url)
    assert "record" not in found
    assert found["anchor"][0] is Verdict.WRONG
    registry = SqlRegistry.open(url)
    with registry.read() as reader:
        assert "record_behind" in {change.action for change in reader.changes()}
    registry.close()


def test_a_service_that_runs_notices_that_its_record_was_cut_short(
    url: str, tmp_path: Path
) -> None:
    """`idmap audit verify` asks the running service; its next writer goes on, and says so for good."""
    registry = SqlRegistry.open(url)
    newest = "(SELECT max(sequence) FROM changes)"
    past_idmap(
        tmp_path,
        f"DELETE FROM change_bodies WHERE sequence > {newest} - 3",
        f"DELETE FROM changes WHERE sequence > {newest} - 3",
    )
    with registry.read() as reader, pytest.raises(Conflict) as caught:
        reader.verify_changes()
    assert caught.value.reason is Reason.RECORD_BROKEN
    open_one(registry, "c")
    with registry.read() as reader:
        assert reader.verify_changes() > 0
        assert "record_behind" in {change.action for change in reader.changes()}
    registry.close()


def test_an_older_copy_is_found_until_the_service_has_gone_on_above_it(
    url: str, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    shutil.copy(tmp_path / "registry.db", backup)
    registry = SqlRegistry.open(url)
    for subject in "cde":
        open_one(registry, subject)
    registry.close()
    shutil.copy(backup, tmp_path / "registry.db")
    found = findings(url)
    assert found["anchor"][0] is Verdict.WRONG
    assert found["marks"][0] is Verdict.WARNING
    assert found["journal"] == (Verdict.WARNING, "3 transactions that the database does not hold")
    SqlRegistry.open(url).close()
    assert findings(url) == {}


def test_a_commit_that_a_crash_cut_off_is_no_alarm(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = SqlRegistry.open(url)
    written = HighWaterFile.write

    def then_crash(self: HighWaterFile, marks: object) -> None:
        written(self, marks)  # type: ignore[arg-type]
        raise OSError(5, "as if the power went here")

    monkeypatch.setattr(HighWaterFile, "write", then_crash)
    with pytest.raises(IdmapError):
        open_one(registry, "c", "carl")
    registry.close()
    monkeypatch.undo()
    found = findings(url)
    assert {verdict for verdict, _ in found.values()} == {Verdict.WARNING}
    assert found.keys() <= {"anchor", "journal", "marks"}


@pytest.mark.parametrize(
    ("name", "check", "verdict"),
    [
        ("registry.db.high-water.json", "marks", Verdict.WRONG),
        ("registry.db.issued", "journal", Verdict.WARNING),
    ],
)
def test_a_missing_file_is_found(
    url: str, tmp_path: Path, name: str, check: str, verdict: Verdict
) -> None:
    (tmp_path / name).unlink()
    assert findings(url)[check][0] is verdict
    (tmp_path / name).write_text("damage\n")
    assert findings(url)["marks"][0] is Verdict.WRONG


def test_a_damaged_page_is_found(url: str, tmp_path: Path) -> None:
    data = bytearray((tmp_path / "registry.db").read_bytes())
    page = data.index(b"uuid") if b"uuid" in data else data.rindex(b"anna") // 4096 * 4096
    data[page : page + 200] = bytes(200)
    (tmp_path / "registry.db").write_bytes(data)
    with suppress(Unavailable):
        found = findings(url)
        assert any(verdict is Verdict.WRONG for verdict, _ in found.values())


def test_it_may_run_beside_a_service_that_writes(url: str) -> None:
    """Each check begins somewhere else between two commits; none gives a false alarm."""
    registry = SqlRegistry.open(url)

    def while_checking() -> Iterator[None]:
        for number in range(40):
            open_one(registry, f"s{number}", f"name{number}")
            yield

    writing = while_checking()
    for _ in range(4):
        seen = []
        for finding in check_database(url):
            seen.append(finding)
            next(writing)
        assert [f for f in seen if f.verdict is not Verdict.OK] == []
    registry.close()


def test_a_range_that_runs_out_is_a_note(url: str) -> None:
    registry = SqlRegistry.open(url)
    with registry.write(AUTHOR) as writer:
        writer.add_range(NumberRange("few", RangePurpose.PEOPLE, 400_000, 400_001))
    for subject in ("c", "d"):
        open_one(registry, subject, number_range="few")
    registry.close()
    assert findings(url) == {"ranges": (Verdict.WARNING, "few has 0 of 2 left")}

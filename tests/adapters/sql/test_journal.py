"""The journal of what was issued: readable after any crash, stopped by any damage, and what it makes of law 2."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from idmap.adapters.sql import SqlRegistry, upgrade
from idmap.adapters.sql.engine import make_engine, writing
from idmap.adapters.sql.high_water import HighWaterFile
from idmap.adapters.sql.journal import Issue, IssuedJournal, holder_of
from idmap.adapters.sql.schema import MIGRATIONS
from idmap.application.ports import RegistryWriter
from idmap.domain.errors import IdmapError
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.names import GroupName
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.plans import OpenGroup
from idmap.domain.reasons import Reason
from tests.support.examples import examples
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    LATER,
    NOW,
    furnish,
    listing,
    open_one,
    opening,
    person,
)

ISSUES = st.lists(
    st.builds(
        Issue,
        kind=st.sampled_from(["user", "group"]),
        name=st.text('abcdefghijklmnopqrstuvwxyz_0123456789é\n" ', min_size=1, max_size=32),
        number=st.integers(1000, 2**31 - 1),
        holder=st.text("0123456789abcdef", max_size=32),
    ),
    min_size=1,
    max_size=4,
)
MANY = settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def fresh(directory: Path) -> IssuedJournal:
    """An empty journal beside a database that need not be one."""
    (directory / "registry.db").touch()
    journal = IssuedJournal(directory / "registry.db")
    journal.path.unlink(missing_ok=True)
    return journal


@MANY
@given(transactions=st.lists(ISSUES, min_size=1, max_size=8), known=st.integers(0, 9))
def test_what_was_appended_is_read_from_anywhere(
    tmp_path: Path, transactions: list[list[Issue]], known: int
) -> None:
    journal = fresh(tmp_path)
    numbers = [journal.append(issued, NOW)[1] for issued in transactions]
    assert numbers == list(range(1, len(transactions) + 1))
    assert [list(line.issued) for line in journal.after(known)] == transactions[known:]


@MANY
@given(
    transactions=st.lists(ISSUES, min_size=1, max_size=4),
    torn=st.data(),
    next_issued=ISSUES,
)
def test_a_line_torn_by_a_crash_is_no_line_and_is_cut_off(
    tmp_path: Path, transactions: list[list[Issue]], torn: st.DataObject, next_issued: list[Issue]
) -> None:
    """Cut anywhere, or with a hole of zeros where a page never reached the disk."""
    journal = fresh(tmp_path)
    for issued in transactions[:-1]:
        journal.append(issued, NOW)
    if not transactions[:-1]:
        journal.append([Issue("user", "first", 200_000, "")], NOW)
        transactions = [[Issue("user", "first", 200_000, "")], *transactions]
    whole = journal.path.read_bytes()
    journal.append(transactions[-1], NOW)
    line = journal.path.read_bytes()[len(whole) :]
    cut = torn.draw(st.integers(0, len(line) - 1))
    if torn.draw(st.booleans()):
        line = line[:cut]
    else:
        line = line[:cut] + bytes(len(line[cut:]) - 1) + line[-1:] if cut < len(line) - 1 else b""
    journal.path.write_bytes(whole + line)
    assert [list(one.issued) for one in journal.after(0)] == transactions[:-1]
    assert journal.append(next_issued, NOW)[1] == len(transactions)
    assert [list(one.issued) for one in journal.after(0)] == [*transactions[:-1], next_issued]


@MANY
@given(place=st.data(), transactions=st.lists(ISSUES, min_size=3, max_size=5))
def test_damage_before_the_last_line_stops_everything(
    tmp_path: Path, place: st.DataObject, transactions: list[list[Issue]]
) -> None:
    """One changed byte in a line that was whole: guessing could give a name twice.

    Only the last line's own bytes, and the line feed before it, look like a crash's work.
    """
    journal = fresh(tmp_path)
    for issued in transactions:
        journal.append(issued, NOW)
    data = journal.path.read_bytes()
    begin, end = data.index(b"\n") + 1, data[:-1].rindex(b"\n") + 1
    at = place.draw(st.integers(begin, end - 2))
    broken = bytearray(data)
    broken[at] ^= place.draw(st.integers(1, 255))
    journal.path.write_bytes(broken)
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.CONFIGURATION_INVALID):
        journal.after(0)


@pytest.mark.parametrize("text", [b"", b"x\n", b"idmap-issued 2 ab\n", b"idmap-issued 1 ab"])
def test_a_file_that_is_no_journal_stops_everything(tmp_path: Path, text: bytes) -> None:
    journal = fresh(tmp_path)
    journal.path.write_bytes(text)
    for ask in (journal.identity, lambda: journal.append([Issue("user", "a", 1000, "")], NOW)):
        with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.CONFIGURATION_INVALID):
            ask()


def test_only_the_tail_of_a_long_journal_is_read(tmp_path: Path) -> None:
    """Damage far before what the database knows is not even seen: the check of all of it is `idmap db check`'s."""
    journal = fresh(tmp_path)
    many = [Issue("user", f"name{n}", 200_000 + n, "ab" * 16) for n in range(2000)]
    for first in range(0, 2000, 20):
        journal.append(many[first : first + 20], NOW)
    data = bytearray(journal.path.read_bytes())
    data[100] ^= 1
    journal.path.write_bytes(data)
    assert [issue for line in journal.after(90) for issue in line.issued] == many[1800:]


def test_holders_of_people_and_groups_never_meet() -> None:
    salt = bytes(32)
    written = {
        holder_of(salt, Identity(Issuer("https://a/"), Subject("b"))),
        holder_of(salt, Group(Issuer("https://a/"), "b")),
        holder_of(salt, Identity(Issuer("https://a/b"), Subject(""))),
        holder_of(bytes([1] * 32), Identity(Issuer("https://a/"), Subject("b"))),
    }
    assert len(written) == 4
    assert all(len(holder) == 32 for holder in written)


# --- the registry on it


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A furnished registry, closed."""
    url = f"sqlite:///{tmp_path}/registry.db"
    registry = SqlRegistry.create(url, lambda: NOW)
    furnish(registry)
    registry.close()
    return url


def put_back(directory: Path, backup: Path) -> None:
    """Somebody copies an old file over the database, service stopped."""
    shutil.copy(backup, directory / "registry.db")


def test_everybody_keeps_number_and_name_across_a_copied_back_database(
    url: str, tmp_path: Path
) -> None:
    """Law 2 both ways: nobody else gets alice's, and alice gets hers again."""
    backup = tmp_path / "backup"
    shutil.copy(tmp_path / "registry.db", backup)
    registry = SqlRegistry.open(url)
    alice = open_one(registry, "alice", "alice")
    bob = open_one(registry, "bob")
    with registry.write(AUTHOR) as writer:
        later = writer.open_group(OpenGroup(LATER, GroupName("later")), group_range="groups")
    registry.close()
    put_back(tmp_path, backup)

    registry = SqlRegistry.open(url)
    mallory = open_one(registry, "mallory", "alice")
    assert mallory.username != "alice"
    assert mallory.uid_number not in {alice.uid_number, bob.uid_number}
    other = Group(ISSUER, "other")
    with registry.write(AUTHOR) as writer:
        taken = writer.open_group(OpenGroup(other, GroupName("later")), group_range="groups")
        assert taken.name != "later"
        assert writer.open_group(OpenGroup(LATER, None), group_range="groups") == later
    for subject, before in (("bob", bob), ("alice", alice)):
        again = open_one(registry, subject)
        assert (again.username, again.uid_number) == (before.username, before.uid_number)
    with registry.read() as reader:
        actions = [change.action for change in reader.changes()]
        assert actions.count("withhold") == 1
        assert actions.count("record_behind") == 1
        assert reader.verify_changes() > 0
    registry.close()


def test_what_a_failed_commit_took_goes_to_whom_it_was_meant_for(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal was written, the marks could not be: nothing is committed."""
    registry = SqlRegistry.open(url)

    def full(self: HighWaterFile, marks: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HighWaterFile, "write", full)
    with pytest.raises(IdmapError, check=lambda e: e.reason is Reason.SERVICE_UNAVAILABLE):
        open_one(registry, "alice", "alice")
    monkeypatch.undo()
    other = open_one(registry, "other", "alice")
    assert (other.username, other.uid_number) == ("u200001", 200_001)
    alice = open_one(registry, "alice")
    assert (alice.username, alice.uid_number) == ("alice", 200_000)
    registry.close()


def test_nothing_is_issued_when_the_journal_cannot_be_written(url: str, tmp_path: Path) -> None:
    registry = SqlRegistry.open(url)
    before = (tmp_path / "registry.db.issued").read_bytes()
    (tmp_path / "registry.db.issued").unlink()
    (tmp_path / "registry.db.issued").mkdir()
    with pytest.raises(IdmapError):
        open_one(registry, "a")
    with registry.read() as reader:
        assert list(reader.every_account()) == []
    (tmp_path / "registry.db.issued").rmdir()
    (tmp_path / "registry.db.issued").write_bytes(before)
    assert open_one(registry, "a").uid_number == 200_000
    registry.close()


def test_a_number_of_a_range_that_is_no_more_is_not_given_again(url: str, tmp_path: Path) -> None:
    """No node would accept it; the name stays withheld."""
    backup = tmp_path / "backup"
    shutil.copy(tmp_path / "registry.db", backup)
    registry = SqlRegistry.open(url)
    with registry.write(AUTHOR) as writer:
        writer.add_range(NumberRange("new", RangePurpose.PEOPLE, 400_000, 400_009))
    open_one(registry, "a", "anna", number_range="new")
    registry.close()
    put_back(tmp_path, backup)
    registry = SqlRegistry.open(url)
    again = open_one(registry, "a", "anna")
    assert (again.username, again.uid_number) == ("u200000", 200_000)
    registry.close()


def test_a_rehearsal_writes_nothing_beside_the_database(url: str, tmp_path: Path) -> None:
    registry = SqlRegistry.open(url)
    before = (tmp_path / "registry.db.issued").read_bytes()
    with registry.rehearse(AUTHOR) as writer:
        assert writer.open_account(opening(person("a"), "anna")).username == "anna"
    assert (tmp_path / "registry.db.issued").read_bytes() == before
    assert open_one(registry, "b", "anna").username == "anna"
    registry.close()


def test_a_transaction_that_issues_nothing_leaves_the_journal_alone(
    url: str, tmp_path: Path
) -> None:
    registry = SqlRegistry.open(url)
    before = (tmp_path / "registry.db.issued").stat()
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=None, identity=person("a"), reason="x", until=None, at=NOW)
    assert (tmp_path / "registry.db.issued").stat() == before
    registry.close()


def test_a_journal_that_lost_lines_goes_on_above_them(url: str, tmp_path: Path) -> None:
    """The database knows what they said; a line below its count would never be read."""
    registry = SqlRegistry.open(url)
    journal = IssuedJournal(tmp_path / "registry.db")
    old = journal.path.read_bytes()
    for subject in "abc":
        open_one(registry, subject)
    reached = journal.after(0)[-1].number
    journal.path.write_bytes(old)
    open_one(registry, "d")
    assert [line.number for line in journal.after(reached)] == [reached + 1]
    registry.close()


def test_two_processes_share_one_journal(url: str, tmp_path: Path) -> None:
    registries = [SqlRegistry.open(url), SqlRegistry.open(url)]
    given_out = [open_one(registries[n % 2], f"p{n}", f"name{n}") for n in range(6)]
    journal = IssuedJournal(tmp_path / "registry.db")
    issued = [i for line in journal.after(0) for i in line.issued if i.kind == "user"]
    assert [(i.name, i.number) for i in issued] == [(a.username, a.uid_number) for a in given_out]
    for registry in registries:
        with registry.read() as reader:
            assert "withhold" not in [change.action for change in reader.changes()]
        registry.close()


def test_many_lost_accounts_come_back_in_any_order(url: str, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    shutil.copy(tmp_path / "registry.db", backup)
    registry = SqlRegistry.open(url)

    def open_many(writer: RegistryWriter, order: list[int]) -> dict[int, tuple[str, int]]:
        found = {n: writer.open_account(opening(person(f"s{n}"), None)) for n in order}
        return {n: (account.username, account.uid_number) for n, account in found.items()}

    with registry.write(AUTHOR) as writer:
        first = open_many(writer, list(range(500)))
    registry.close()
    put_back(tmp_path, backup)
    registry = SqlRegistry.open(url)
    with registry.write(AUTHOR) as writer:
        second = open_many(writer, [*range(499, 249, -1), 600])
        assert 600 in second
        assert second.pop(600)[1] == 200_500
    assert second == {n: first[n] for n in second}
    registry.close()


@pytest.mark.parametrize("statement", ["DELETE FROM withheld", "UPDATE withheld SET holder = ''"])
def test_what_is_withheld_stays_so(url: str, tmp_path: Path, statement: str) -> None:
    """Also against somebody who writes SQL."""
    backup = tmp_path / "backup"
    shutil.copy(tmp_path / "registry.db", backup)
    registry = SqlRegistry.open(url)
    open_one(registry, "a", "anna")
    registry.close()
    put_back(tmp_path, backup)
    SqlRegistry.open(url).close()
    connection = sqlite3.connect(tmp_path / "registry.db")
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute(statement)
    connection.close()


def test_registries_of_before_the_journal_go_on(tmp_path: Path) -> None:
    """An upgrade from r0002: names of then are in the ledger, names from now on in the journal too."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    url = f"sqlite:///{tmp_path}/registry.db"
    engine = make_engine(url)
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "r0002")
        connection.execute(text("INSERT INTO realm VALUES (1, x'00', 0)"))
    engine.dispose()
    upgrade(url)
    registry = SqlRegistry.open(url, lambda: NOW)
    furnish(registry)
    assert open_one(registry, "a", "anna").username == "anna"
    registry.close()
    names = [
        i.name for line in IssuedJournal(tmp_path / "registry.db").after(0) for i in line.issued
    ]
    assert names == ["vo", "g300001", "anna"]


def _open_with_id(url: str, external_id: str) -> int:
    """The gid that a group gets which its issuer knows by that id."""
    registry = SqlRegistry.open(url, lambda: NOW)
    told = replace(listing(watched=(LATER,)), group_ids={LATER: external_id})
    with registry.write(AUTHOR) as writer:
        writer.record_listing(told)
        gid = writer.open_group(OpenGroup(LATER, GroupName("later")), group_range="groups")
    registry.close()
    return gid.gid_number


@pytest.mark.parametrize("made_anew", [False, True])
def test_a_copied_back_database_gives_a_group_its_gid_and_no_other_one(
    url: str, tmp_path: Path, made_anew: bool
) -> None:
    """The issuer's own id is the group; one made anew under its path meanwhile must not inherit the files."""
    backup = tmp_path / "backup"
    shutil.copy(tmp_path / "registry.db", backup)
    before = _open_with_id(url, "id-1")
    put_back(tmp_path, backup)
    after = _open_with_id(url, "id-2" if made_anew else "id-1")
    assert (after != before) is made_anew

"""What must hold of a registry's ledger at any time, read with plain SQL by nobody's leave.

`check_ledger` raises AssertionError naming what does not hold. It trusts no code of the registry but its tables,
and the record's own verification, which has tests of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlalchemy import Connection, text

from idmap.adapters.sql.changes import list_changes, verify_changes
from idmap.adapters.sql.high_water import Marks

_KINDS = {"people": "uid", "groups": "gid"}


def check_ledger(connection: Connection, marks: Marks) -> None:
    """Numbers, names, ranges, owners, counters, marks and the record, against one another."""
    numbers = {
        (row.kind, row.number): row.owner
        for row in connection.execute(text("SELECT kind, number, owner FROM ledger_numbers"))
    }
    names = {
        row.name: row.owner
        for row in connection.execute(text("SELECT name, owner FROM ledger_names"))
    }
    _check_owners(connection, numbers, names)
    _check_ranges(connection, numbers, marks)
    counters = {
        row.name: row.value for row in connection.execute(text("SELECT name, value FROM counters"))
    }
    assert marks.revision >= counters["revision"], "the marks are behind the revision"
    assert marks.ban_counter >= counters["ban_counter"], "the marks are behind the ban counter"
    _check_record(connection)


def _check_owners(
    connection: Connection, numbers: Mapping[tuple[str, int], str], names: Mapping[str, str]
) -> None:
    """Every number and name has the one owner who carries it, and nobody carries anything else."""
    carried_numbers: dict[tuple[str, int], str] = {}
    carried_names: dict[str, str] = {}
    for row in connection.execute(text("SELECT account_id, uid_number, username FROM accounts")):
        carried_numbers["uid", row.uid_number] = f"account:{row.account_id}"
        carried_names[row.username] = f"account:{row.account_id}"
    for row in connection.execute(text("SELECT group_id, gid_number, name FROM posix_groups")):
        carried_numbers["gid", row.gid_number] = f"group:{row.group_id}"
        carried_names[row.name] = f"group:{row.group_id}"
    assert carried_numbers == dict(numbers)
    assert carried_names == dict(names)
    assert max(Counter(numbers.values()).values(), default=1) == 1, "an owner has two numbers"
    assert max(Counter(names.values()).values(), default=1) == 1, "an owner has two names"


def _check_ranges(
    connection: Connection, numbers: Mapping[tuple[str, int], str], marks: Marks
) -> None:
    for row in connection.execute(
        text("SELECT name, purpose, first, last, next_number FROM ranges")
    ):
        issued = [
            number
            for kind, number in numbers
            if kind == _KINDS[row.purpose] and row.first <= number <= row.last
        ]
        if issued:
            assert row.next_number > max(issued), f"range {row.name} could give a number again"
            assert marks.ranges[row.name].highest >= max(issued), f"range {row.name}: the marks"


def _check_record(connection: Connection) -> None:
    """The record holds, and tells of every account what the account says."""
    verify_changes(connection)
    told: dict[int, tuple[int, str]] = {}
    after = 0
    while entries := list_changes(connection, after, 2000):
        for entry in entries:
            if entry.action == "open_account" and entry.body is not None:
                assert entry.body["account_id"] not in told, "opened twice"
                told[entry.body["account_id"]] = (entry.body["uid_number"], entry.body["username"])
        after = entries[-1].sequence
    accounts = connection.execute(text("SELECT account_id, uid_number, username FROM accounts"))
    assert {row.account_id: (row.uid_number, row.username) for row in accounts} == told

"""`idmap snapshot verify`, `show`, `diff`, `export` and `compile` as they are typed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from idmap.adapters.posix_export.text import group_text, passwd_text
from idmap.adapters.posix_reader.reader import PosixFile
from idmap.domain.accounts import AccountState
from idmap.domain.posix_entries import Entries
from idmap.entrypoints.cli.snapshot import app
from tests.support.posix_text import (
    compile_entries,
    entries_of,
    random_entries,
    small_entries,
    user,
    withhold,
)
from tests.support.snapshot_site import compiler


def idmap_snapshot(*words: object) -> Result:
    """Runs `idmap snapshot …`."""
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A posix.db with something of everything."""
    return compile_entries(small_entries(), tmp_path / "posix.db")


def compile_text(
    entries: Entries, directory: Path, *more: object, shuffled: bool = False
) -> Result:
    """`compile` from the passwd and group text of entries."""
    passwd = passwd_text(entries).decode().splitlines(keepends=True)
    group = group_text(entries).decode().splitlines(keepends=True)
    (directory / "passwd").write_text("".join(reversed(passwd) if shuffled else passwd))
    (directory / "group").write_text("".join(reversed(group) if shuffled else group))
    files = ("--passwd", directory / "passwd", "--group", directory / "group")
    out = directory / "made.db"
    return idmap_snapshot("compile", *files, "--out", out, "--compiler", compiler(), *more)


def test_text_compiled_and_exported_is_the_same_text(tmp_path: Path) -> None:
    """passwd and group → posix.db → passwd and group, byte for byte, whatever the order of the input."""
    made = random_entries(2, 200, 30)
    plain = {"state": AccountState.ACTIVE, "grace_day": 0, "last_day": 0}
    users = [replace(u, **plain, elsewhere=False, token_only=False) for u in made.users]
    users = [
        replace(u, secondary=tuple(g for g in u.secondary if g != u.gid_number)) for u in users
    ]
    entries = entries_of(users, {g.name: g.gid_number for g in made.groups}, revision=1)
    result = compile_text(entries, tmp_path, shuffled=True)
    assert result.exit_code == 0, result.output
    words = ("--format", "passwd", "--format", "group", "--out", tmp_path / "out")
    assert idmap_snapshot("export", tmp_path / "made.db", *words).exit_code == 0
    assert (tmp_path / "out" / "passwd").read_bytes() == passwd_text(entries)
    assert (tmp_path / "out" / "group").read_bytes() == group_text(entries)
    assert PosixFile(tmp_path / "made.db").entries() == entries
    assert idmap_snapshot("verify", tmp_path / "made.db").exit_code == 0


@pytest.mark.parametrize(
    ("above", "withheld"), [("0", ("lab", "big-group")), ("1", ("big-group",)), ("2", ())]
)
def test_compile_withholds_lists_above_the_limit(
    tmp_path: Path, above: str, withheld: tuple[str, ...]
) -> None:
    """lab has one member, big-group two; those in it keep it as a secondary group."""
    words = ("--members", "empty", "--members-above", above)
    assert compile_text(small_entries(), tmp_path, *words).exit_code == 0
    made = PosixFile(tmp_path / "made.db").entries()
    assert made.names_withheld() == withheld
    whole = small_entries()
    assert [u.secondary for u in made.users] == [u.secondary for u in whole.users]
    assert made.groups == withhold(whole, *withheld).groups
    assert idmap_snapshot("verify", tmp_path / "made.db").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("--members", "empty"),
        ("--members-above", "3"),
        ("--members", "full", "--members-above", "0"),
        ("--members", "empty", "--members-above", "-1"),
    ],
)
def test_compile_refuses_a_limit_that_does_not_fit(tmp_path: Path, words: tuple[str, ...]) -> None:
    """As agent.toml does; nothing is written."""
    result = compile_text(small_entries(), tmp_path, *words)
    assert result.exit_code == 1
    assert "request_invalid" in result.stderr
    assert not (tmp_path / "made.db").exists()


def test_the_compiler_gets_sorted_records_whatever_the_files_order(tmp_path: Path) -> None:
    """Groups by gid number, users by uid number: the compiler may rely on it."""
    program = tmp_path / "compiler"
    program.write_text(f"#!/bin/sh\ncat >{tmp_path}/input\n")
    program.chmod(0o755)
    passwd, group = tmp_path / "passwd", tmp_path / "group"
    passwd.write_text(
        "b:*:200009:300000::/:/bin/sh\na:*:200010:300000::/:/bin/sh\nc:*:2000:300000::/:/x\n"
    )
    group.write_text("z:*:300000:\ny:*:5000:c\n")
    files = ("--passwd", passwd, "--group", group, "--out", tmp_path / "x")
    assert idmap_snapshot("compile", *files, "--compiler", program).exit_code == 0
    rows = [line.split("\t") for line in (tmp_path / "input").read_text().splitlines()]
    assert [row[1:3] for row in rows if row[0] == "group"] == [["y", "5000"], ["z", "300000"]]
    assert [row[1] for row in rows if row[0] == "user"] == ["c", "b", "a"]


def test_verify_says_that_all_is_well_or_what_is_not(small: Path) -> None:
    """Words and status for people, JSON for programs."""
    good = idmap_snapshot("verify", small)
    assert good.exit_code == 0
    assert "every invariant holds" in good.output
    data = bytearray(small.read_bytes())
    data[data.index(b"lab\0") - 4] ^= 1
    small.write_bytes(data)
    bad = idmap_snapshot("verify", small)
    assert bad.exit_code == 1
    assert "group lab: says its members' names take" in bad.output
    document = json.loads(idmap_snapshot("verify", small, "--json").stdout)
    assert document["ok"] is False
    assert [finding["place"] for finding in document["findings"]] == ["group lab"]


def test_verify_of_no_snapshot_at_all_is_one_finding(tmp_path: Path) -> None:
    """An empty file, text, a directory."""
    empty = tmp_path / "empty"
    empty.touch()
    assert idmap_snapshot("verify", empty).exit_code == 1
    text = tmp_path / "text"
    text.write_text("hello\n" * 1000)
    assert "not a snapshot" in idmap_snapshot("verify", text).output
    assert idmap_snapshot("verify", tmp_path).exit_code == 2


def test_show_tells_of_the_file_an_account_or_a_group(small: Path) -> None:
    """By name or number; a miss is said, with status 1."""
    assert json.loads(idmap_snapshot("show", small, "--json").stdout) == {
        "revision": 7,
        "created": 1_700_000_000,
        "not_after": 2_000_000_000,
        "users": 5,
        "groups": 4,
        "uid_windows": [[200_000, 299_999]],
        "gid_windows": [[300_000, 399_999]],
        "superseded": False,
    }
    by_name = json.loads(idmap_snapshot("show", small, "bob", "--json").stdout)
    assert by_name == json.loads(idmap_snapshot("show", small, "200001", "--json").stdout)
    assert (by_name["state"], by_name["grace_day"]) == ("grace", "2024-10-05")
    assert (by_name["elsewhere"], by_name["token_only"]) == (False, False)
    text = idmap_snapshot("show", small, "alice").stdout
    assert "lab (300001), big-group (300002)" in text
    assert text.count("admitted") == 2
    text = idmap_snapshot("show", small, "299999").stdout
    assert "refused: for other node classes" in text
    assert "refused: a token is demanded" in text
    members = idmap_snapshot("show", small, "--group", "300002").stdout
    assert "alice, carol" in members
    missed = idmap_snapshot("show", small, "mallory")
    assert missed.exit_code == 1
    assert "not_found" in missed.output


def test_diff_tells_who_came_who_went_and_what_changed(small: Path, tmp_path: Path) -> None:
    """Added, removed, renamed, moved, joined, left: each on a line of its own, and as JSON."""
    old = small_entries()
    users = [u for u in old.users if u.username != "carol"]
    users[0] = replace(users[0], username="alicia", shell="/bin/zsh", secondary=(300_002, 300_005))
    users[1] = replace(users[1], state=AccountState.SUSPENDED, grace_day=0, elsewhere=True)
    users.append(user("erin", 200_077))
    groups = {
        "proj": 300_000,
        "laboratory": 300_001,
        "big-group": 300_002,
        "z": 300_005,
        "new": 300_006,
    }
    new = compile_entries(entries_of(users, groups, revision=8), tmp_path / "new.db")
    result = idmap_snapshot("diff", small, new)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "revision 7 to 8",
        "+ group new (300006)",
        "~ group laboratory (300001)",
        "    name: lab -> laboratory",
        "+ user erin (200077)",
        "- user carol (200002)",
        "~ user alicia (200000)",
        "    username: alice -> alicia",
        "    shell: /bin/sh -> /bin/zsh",
        "    + in z",
        "    - in lab",
        "~ user bob (200001)",
        "    state: grace -> suspended",
        "    grace_day: 2024-10-05 -> none",
        "    elsewhere: False -> True",
    ]
    document = json.loads(idmap_snapshot("diff", small, new, "--json").stdout)
    assert document["same"] is False
    assert [u["username"] for u in document["users_added"]] == ["erin"]
    assert document["users_changed"][0]["joined"] == ["z"]


def test_a_withheld_member_list_is_told_and_nobody_left(small: Path, tmp_path: Path) -> None:
    """By show, verify and diff, to people and programs."""
    withheld = compile_entries(withhold(small_entries(), "big-group"), tmp_path / "withheld.db")
    assert idmap_snapshot("verify", withheld).exit_code == 0
    shown = idmap_snapshot("show", withheld, "--group", "big-group").stdout
    assert dict(line.split(None, 1) for line in shown.splitlines())["members"] == "withheld"
    assert json.loads(idmap_snapshot("show", withheld, "--group", "300002", "--json").stdout) == {
        "name": "big-group",
        "gid_number": 300_002,
        "members": [],
        "members_withheld": True,
    }
    assert "big-group (300002)" in idmap_snapshot("show", withheld, "carol").stdout
    assert idmap_snapshot("diff", small, withheld).stdout.splitlines()[1:] == [
        "~ group big-group (300002)",
        "    member_list: stored -> withheld",
    ]
    assert idmap_snapshot("diff", withheld, small).stdout.splitlines()[2:] == [
        "    member_list: withheld -> stored"
    ]
    document = json.loads(idmap_snapshot("diff", small, withheld, "--json").stdout)
    assert (document["same"], document["users_changed"]) == (False, [])
    users = [replace(u, secondary=()) for u in small_entries().users]
    groups = {g.name: g.gid_number for g in small_entries().groups}
    left = withhold(entries_of(users, groups), "big-group")
    said = idmap_snapshot("diff", withheld, compile_entries(left, tmp_path / "left.db")).stdout
    assert said.count("- in big-group") == 2, "who really left is told as ever"


def test_an_export_says_once_whose_members_it_lacks(tmp_path: Path) -> None:
    """On standard error; the data is plain, with an empty list."""
    made = withhold(small_entries(), "big-group")
    path = compile_entries(made, tmp_path / "posix.db")
    formats = [word for n in ("group", "nss-cache", "userdb") for word in ("--format", n)]
    done = idmap_snapshot("export", path, *formats, "--out", tmp_path / "out")
    assert done.exit_code == 0
    assert done.stderr.count("big-group") == 1
    assert "withheld" in done.stderr
    assert "withheld" not in done.stdout
    for name in ("group", "group.cache"):
        lines = (tmp_path / "out" / name).read_text().splitlines()
        assert lines[1:3] == ["lab:*:300001:alice", "big-group:*:300002:"]
    members = [p.name for p in (tmp_path / "out").iterdir() if p.suffix == ".membership"]
    assert members == ["alice:lab.membership"]
    whole = idmap_snapshot("export", path, "--format", "passwd", "--out", tmp_path / "passwd")
    assert whole.stderr == "", "accounts alone have no member lists"


def test_a_snapshot_differs_in_nothing_from_itself_compiled_again(
    small: Path, tmp_path: Path
) -> None:
    """Another hash seed is no difference."""
    again = compile_entries(small_entries(), tmp_path / "again.db")
    assert again.read_bytes() != small.read_bytes()
    assert "Nothing differs." in idmap_snapshot("diff", small, again).stdout
    assert json.loads(idmap_snapshot("diff", small, again, "--json").stdout)["same"] is True


def test_an_export_that_cannot_be_whole_writes_nothing(tmp_path: Path) -> None:
    """One name that text cannot carry: no file, not even the group's."""
    path = compile_entries(entries_of([user("+x")], {"g": 300_000}), tmp_path / "posix.db")
    words = ("--format", "group", "--format", "passwd", "--out", tmp_path / "out")
    result = idmap_snapshot("export", path, *words)
    assert result.exit_code == 1
    assert "name_refused" in result.output
    assert not (tmp_path / "out").exists()


def test_all_formats_go_into_one_directory(small: Path, tmp_path: Path) -> None:
    """The names do not meet."""
    formats = [
        word for name in ("passwd", "group", "nss-cache", "userdb") for word in ("--format", name)
    ]
    assert idmap_snapshot("export", small, *formats, "--out", tmp_path / "out").exit_code == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"passwd", "group", "passwd.cache.ixuid", "group.cache.ixgid", "alice.user"} <= names

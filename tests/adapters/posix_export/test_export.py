"""Exports of a posix.db: equal to what went in, read by programs that nobody here wrote, never a hostile line."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.adapters.posix_export.directory import write_files
from idmap.adapters.posix_export.nss_cache import nss_cache_files
from idmap.adapters.posix_export.text import group_text, passwd_text
from idmap.adapters.posix_export.userdb import Link, userdb_files
from idmap.domain.errors import InvalidInput
from idmap.domain.posix_entries import Entries, GroupEntry
from tests.support.posix_text import ask_module, entries_of, random_entries, small_entries, user

LIBNSS_CACHE = Path("/usr/lib/x86_64-linux-gnu/libnss_cache.so.2")
"""Debian's libnss-cache, installed by `make setup`."""


def libnss_cache() -> Path:
    """The module wherever this architecture keeps it."""
    return next(Path("/usr/lib").glob("*/libnss_cache.so.2"), LIBNSS_CACHE)


def test_text_is_what_passwd_5_and_group_5_say() -> None:
    """Golden lines."""
    entries = small_entries()
    assert passwd_text(entries).decode().splitlines()[0] == (
        "alice:*:200000:300000:Alice Ü,,,:/home/alice:/bin/sh"
    )
    assert group_text(entries).decode().splitlines() == [
        "proj:*:300000:",
        "lab:*:300001:alice",
        "big-group:*:300002:alice,carol",
        "z:*:300005:",
    ]


HOSTILE = st.text(max_size=40) | st.sampled_from(
    [
        "x\nroot:*:0:0::/:/bin/sh", "a:b", "+", "+alice", "-x", "#x", "", "..", "a/b", "a,b", "0", "root",
        "wheel", "a\0b", "\x1b]0;x\x07", "\u2028", "\udcff", "x\r",
    ]
)  # fmt: skip


@given(name=HOSTILE, gecos=HOSTILE, home=HOSTILE, group=HOSTILE, uid=st.integers(-5, 2**32))
def test_nothing_hostile_can_become_a_line_or_a_file_name(
    name: str, gecos: str, home: str, group: str, uid: int
) -> None:
    """Either the entry cannot be made, or every export holds exactly its one line with exactly its fields."""
    try:
        made = user(name, uid, gecos=gecos, home=home)
        entries = Entries(1, (made,), (GroupEntry(group, 300_000, (name,)),))
        text, groups = passwd_text(entries).decode(), group_text(entries).decode()
    except InvalidInput:
        return
    assert text.endswith("\n")
    assert text[:-1].split("\n") == [f"{name}:*:{uid}:300000:{gecos}:{home}:/bin/sh"]
    assert len(text.split(":")) == 7
    assert groups == f"{group}:*:300000:{name}\n"
    assert len(groups.split(":")) == 4
    assert 1000 <= uid < 2**31
    assert not 60_001 <= uid <= 65_535
    for file in userdb_files(entries):
        assert "/" not in file
        assert file not in {".", ".."}


def test_a_name_that_asks_nis_is_refused_in_text_and_carried_in_userdb() -> None:
    """`+x:…` in passwd is an order to glibc's compat; in JSON it is a name."""
    entries = entries_of([user("+x", secondary=(300_001,))], {"g": 300_000, "h": 300_001})
    for export in (passwd_text, group_text, nss_cache_files):
        with pytest.raises(InvalidInput):
            export(entries)
    assert "+x.user" in userdb_files(entries)


def test_an_index_line_has_one_width_and_sorts_by_bytes() -> None:
    """Key, NUL, offset, NULs, newline: the documented form, read back by hand."""
    files = nss_cache_files(random_entries(5, 200, 20))
    for data_name, key_field, index_name in [
        ("passwd.cache", 0, "passwd.cache.ixname"),
        ("passwd.cache", 2, "passwd.cache.ixuid"),
        ("group.cache", 0, "group.cache.ixname"),
        ("group.cache", 2, "group.cache.ixgid"),
    ]:
        data, index = files[data_name], files[index_name]
        lines = index.split(b"\n")[:-1]
        assert len({len(line) for line in lines}) == 1
        keys = [line.split(b"\0")[0] for line in lines]
        assert keys == sorted(keys)
        assert len(keys) == data.count(b"\n")
        for line in lines:
            key, offset, *rest = line.split(b"\0")
            assert data[int(offset) :].split(b"\n")[0].split(b":")[key_field] == key
            assert not any(rest)


@pytest.mark.root
@pytest.mark.parametrize(("users", "groups"), [(0, 0), (1, 1), (400, 40)])
def test_debians_libnss_cache_answers_from_our_files(
    tmp_path: Path, users: int, groups: int
) -> None:
    """The real module in a root of its own: every name, every number, misses, enumeration."""
    entries = random_entries(11, users, groups)
    etc = tmp_path / "etc"
    write_files(etc, nss_cache_files(entries), into_empty=False)
    questions, expected = ["pwent", "grent"], passwd_text(entries) + group_text(entries)
    answers = expected.decode().splitlines()
    for index, entry in enumerate(entries.users):
        questions += [f"pwnam {entry.username}", f"pwuid {entry.uid_number}"]
        answers += [answers[index]] * 2
    for index, group in enumerate(entries.groups):
        questions += [f"grnam {group.name}", f"grgid {group.gid_number}"]
        answers += [answers[users + index]] * 2
    questions += ["pwnam nosuch", "pwuid 7", "grnam nosuch", "grgid 4000000000"]
    answers += ["none"] * 4
    assert ask_module(libnss_cache(), "cache", questions, tmp_path) == answers


@pytest.mark.root
def test_libnss_cache_searches_our_index_and_not_the_text(tmp_path: Path) -> None:
    """An index that points to another line makes it miss or fall back: so the index is what is read first."""
    entries = random_entries(11, 50, 5)
    files = nss_cache_files(entries)
    name = entries.users[7].username
    without = [
        line for line in files["passwd.cache.ixname"].split(b"\n") if name.encode() not in line
    ]
    write_files(
        tmp_path / "etc", files | {"passwd.cache.ixname": b"\n".join(without)}, into_empty=False
    )
    questions = [f"pwnam {name}", f"pwuid {entries.users[7].uid_number}"]
    missed, found = ask_module(libnss_cache(), "cache", questions, tmp_path)
    assert missed == "none"
    assert found.startswith(f"{name}:")


def test_userdb_records_say_when_an_account_ends() -> None:
    """Suspended is locked; grace and the last day end at their midnight; links and memberships are there."""
    files = userdb_files(small_entries())
    day = 86_400_000_000

    def record(name: str) -> dict[str, object]:
        content = files[name]
        assert isinstance(content, bytes)
        loaded: dict[str, object] = json.loads(content)
        return loaded

    assert record("alice.user") == {
        "disposition": "regular",
        "gid": 300_000,
        "homeDirectory": "/home/alice",
        "realName": "Alice Ü,,,",
        "shell": "/bin/sh",
        "uid": 200_000,
        "userName": "alice",
    }
    assert record("bob.user")["notAfterUSec"] == 20_002 * day
    assert record("carol.user")["locked"] is True
    assert record(f"{'u' * 32}.user")["locked"] is True, "for nodes of other classes"
    assert "locked" not in record("alice.user")
    assert record("Dave.X+y.user")["notAfterUSec"] == 20_001 * day
    assert record("lab.group") == {"disposition": "regular", "gid": 300_001, "groupName": "lab"}
    assert files["200000.user"] == Link("alice.user")
    assert files["300001.group"] == Link("lab.group")
    memberships = sorted(name for name in files if name.endswith(".membership"))
    assert memberships == [
        "alice:big-group.membership",
        "alice:lab.membership",
        "carol:big-group.membership",
    ]


def test_a_userdb_directory_must_be_empty(tmp_path: Path) -> None:
    """A record left over would bring a removed account back."""
    files = userdb_files(small_entries())
    write_files(tmp_path / "userdb", files, into_empty=True)
    assert (tmp_path / "userdb" / "200000.user").readlink() == Path("alice.user")
    assert len(list((tmp_path / "userdb").iterdir())) == len(files)
    with pytest.raises(InvalidInput):
        write_files(tmp_path / "userdb", files, into_empty=True)


def test_an_export_goes_through_no_symbolic_link(tmp_path: Path) -> None:
    """A link planted under the name is replaced, its target untouched."""
    victim = tmp_path / "victim"
    victim.write_text("kept")
    (tmp_path / "passwd").symlink_to(victim)
    write_files(tmp_path, {"passwd": b"new"}, into_empty=False)
    assert victim.read_text() == "kept"
    assert (tmp_path / "passwd").read_bytes() == b"new"
    assert os.lstat(tmp_path / "passwd").st_mode & 0o777 == 0o644


def test_no_entry_is_altered_to_fit() -> None:
    """A member that cannot stand in a text file stops the export; it is not left out."""
    entries = small_entries()
    bad = replace(entries.groups[1], members=("alice", "+bob"))
    with pytest.raises(InvalidInput):
        group_text(replace(entries, groups=(bad,)))

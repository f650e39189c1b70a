"""The view that a node compiles: sorted whatever came, and parsed once for each chunk that is kept."""

from __future__ import annotations

import random

import pytest

from idmap.application.install_view import (
    ChunkReader,
    LocalAccounts,
    PosixView,
    compiler_input,
    mask,
    merge,
    parse_chunk,
)
from idmap.domain.errors import InvalidInput
from idmap.domain.member_lists import FULL_LISTS, MemberLists, MemberPolicy
from idmap.domain.posix import Windows

WINDOWS = Windows(uid=((200_000, 299_999),), gid=((300_000, 399_999),))
NARROW = Windows(uid=((200_000, 200_001),), gid=((300_000, 399_999),))
NOBODY = LocalAccounts(frozenset(), frozenset(), frozenset(), frozenset())


def user_line(name: str, uid: int) -> str:
    """One user."""
    return f"user\t{name}\t{uid}\t300000\tactive\t0\t0\t/home/{name}\t/bin/sh\t{name}\t300001\n"


@pytest.mark.parametrize("seed", range(20))
def test_the_compiler_gets_groups_by_gid_and_users_by_uid_whatever_the_chunks_order(
    seed: int,
) -> None:
    """Also after masking: the compiler may rely on it."""
    rng = random.Random(seed)
    numbers = rng.sample(range(200_000, 300_000), 50)
    lines = [user_line(f"u{number}", number) for number in numbers]
    gids = [*rng.sample(range(300002, 400000), 20), 300000, 300001]
    rng.shuffle(gids)
    chunks = [("groups", "".join(f"group\tg{gid}x\t{gid}\n" for gid in gids))]
    chunks += [(f"users-{i:02x}", "".join(lines[i::5])) for i in range(5)]
    rng.shuffle(chunks)
    whole = merge(parse_chunk(name, data.encode(), WINDOWS) for name, data in chunks)
    local = LocalAccounts(frozenset({f"u{numbers[3]}"}), frozenset(), frozenset(), frozenset())
    for view in (whole, mask(whole, NOBODY)[0], mask(whole, local)[0]):
        text = compiler_input(view, WINDOWS, revision=1, created=1, not_after=0).decode()
        rows = [line.split("\t") for line in text.splitlines()]
        groups = [int(row[2]) for row in rows if row[0] == "group"]
        users = [int(row[2]) for row in rows if row[0] == "user"]
        assert groups == sorted(gids)
        assert users == sorted(users)
        assert len(users) in {49, 50}


def view_of(*users: tuple[str, int, str]) -> PosixView:
    """Users by name, uid and secondary gids; the groups big, small, one of nobody, and everybody's primary."""
    groups = "".join(
        f"group\t{name}\t{gid}\n"
        for name, gid in (
            ("proj", 300_000),
            ("big", 300_001),
            ("small", 300_002),
            ("idle", 300_003),
        )
    )
    lines = "".join(
        user_line(name, uid).replace("\t300001\n", f"\t{gids}\n") for name, uid, gids in users
    )
    chunks = (("groups", groups), ("users-00", lines))
    return merge(parse_chunk(name, data.encode(), WINDOWS) for name, data in chunks)


FOUR = view_of(
    ("a", 200_000, "300001,300002"),
    ("b", 200_001, "300001"),
    ("c", 200_002, "300001"),
    ("d", 200_003, ""),
)


def compiled(view: PosixView, **more: object) -> list[str]:
    """The compiler's input, by lines."""
    given = {"revision": 1, "created": 1, "not_after": 0} | more
    return compiler_input(view, WINDOWS, **given).decode().splitlines()  # type: ignore[arg-type]


def groups_of(lines: list[str]) -> list[str]:
    """Their group lines."""
    return [line for line in lines if line.startswith("group")]


WHOLE = ["group\tproj\t300000", "group\tbig\t300001", "group\tsmall\t300002", "group\tidle\t300003"]


@pytest.mark.parametrize(("above", "marked"), [(0, {1, 2}), (1, {1}), (2, {1}), (3, set())])
def test_groups_above_the_limit_are_marked_and_nothing_else_changes(
    above: int, marked: set[int]
) -> None:
    """Three are in big and one in small. A primary group counts nobody, as in `/etc/group`; users stay whole."""
    lists = MemberLists(MemberPolicy.EMPTY, above)
    withheld = lists.withheld(user.secondary for user in FOUR.users)
    lines, before = compiled(FOUR, members_withheld=withheld), compiled(FOUR)
    assert groups_of(lines) == [
        line + "\tnomembers" if i in marked else line for i, line in enumerate(WHOLE)
    ]
    assert [line.removesuffix("\tnomembers") for line in lines] == before


def test_who_is_masked_here_is_not_counted() -> None:
    """Members as people on this node see them: the same snapshot shows a list on one node and not on the other."""
    lists = MemberLists(MemberPolicy.EMPTY, 2)
    local = LocalAccounts(frozenset({"b"}), frozenset(), frozenset(), frozenset())
    seen = mask(FOUR, local)[0]
    assert lists.withheld(user.secondary for user in FOUR.users) == {300_001}
    assert lists.withheld(user.secondary for user in seen.users) == frozenset()
    local = LocalAccounts(frozenset(), frozenset(), frozenset({"big"}), frozenset())
    seen = mask(FOUR, local)[0]
    assert lists.withheld(user.secondary for user in seen.users) == frozenset()


def test_without_the_setting_the_text_is_the_one_of_before() -> None:
    """Golden: a compiler that knows no fourth field goes on reading it."""
    assert compiled(FOUR) == [
        "idmap-posix\t2", "revision\t1", "created\t1", "not_after\t0",
        "window\tuid\t200000\t299999", "window\tgid\t300000\t399999",
        *WHOLE,
        "user\ta\t200000\t300000\tactive\t0\t0\t/home/a\t/bin/sh\ta\t300001,300002\t0",
        "user\tb\t200001\t300000\tactive\t0\t0\t/home/b\t/bin/sh\tb\t300001\t0",
        "user\tc\t200002\t300000\tactive\t0\t0\t/home/c\t/bin/sh\tc\t300001\t0",
        "user\td\t200003\t300000\tactive\t0\t0\t/home/d\t/bin/sh\td\t\t0",
        "end\t4\t4",
    ]  # fmt: skip
    withheld = FULL_LISTS.withheld(user.secondary for user in FOUR.users)
    assert compiled(FOUR, members_withheld=withheld) == compiled(FOUR)


def test_a_kept_chunk_is_the_same_view_and_other_windows_read_it_anew() -> None:
    """What was legal under yesterday's windows is checked under today's."""
    reader = ChunkReader()
    data = (user_line("a", 200_000) + user_line("b", 200_005)).encode()
    first = reader.read("users-00", "0" * 64, data, WINDOWS)
    assert reader.read("users-00", "0" * 64, data, WINDOWS) is first
    assert reader.read("users-00", "1" * 64, data, WINDOWS) is not first
    with pytest.raises(InvalidInput):
        reader.read("users-00", "0" * 64, data, NARROW)
    with pytest.raises(InvalidInput):
        reader.read("groups", "0" * 64, data, WINDOWS)


def test_what_is_no_longer_named_is_forgotten_and_much_is_not_kept() -> None:
    """Memory follows the newest snapshot, and ends at the bound."""
    reader = ChunkReader(max_records=2)
    two = (user_line("a", 200_000) + user_line("b", 200_005)).encode()
    one = user_line("c", 200_007).encode()
    kept = reader.read("users-00", "0" * 64, two, WINDOWS)
    beyond = reader.read("users-01", "1" * 64, one, WINDOWS)
    assert reader.read("users-00", "0" * 64, two, WINDOWS) is kept
    assert reader.read("users-01", "1" * 64, one, WINDOWS) is not beyond
    assert reader.read("users-01", "1" * 64, one, WINDOWS) == beyond
    reader.keep_only(frozenset({"1" * 64}))
    assert reader.read("users-00", "0" * 64, two, WINDOWS) is not kept
    assert isinstance(kept, PosixView)

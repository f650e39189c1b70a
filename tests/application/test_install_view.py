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

"""bans.db: written and read here, read by C; every damage is noticed."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.adapters.node_files.bans_db import encode_bans_db, read_bans, write_bans
from idmap.application.install_state import InstalledBans
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.reasons import Reason

SOUND = InstalledBans(
    counter=5, issued=11, signed_time=12, clock_skew=True, bans=((200001, 1800000000), (200009, 0))
)
TIMES = st.integers(0, 2**63 - 1)
LISTS = st.builds(
    InstalledBans,
    counter=st.integers(0, 2**64 - 1),
    issued=TIMES,
    signed_time=TIMES,
    clock_skew=st.booleans(),
    bans=st.dictionaries(st.integers(0, 2**32 - 1), TIMES).map(lambda d: tuple(sorted(d.items()))),
)


def test_the_ban_list_is_where_the_format_says(tmp_path: Path) -> None:
    """Header and entries, sorted; 0644 whatever the file before was, and nothing beside it."""
    path = tmp_path / "bans.db"
    path.touch(0o600)
    write_bans(path, replace(SOUND, bans=SOUND.bans[::-1]))
    data = path.read_bytes()
    head = struct.unpack_from("<8sIIQQqqIIII", data)
    assert head[:8] == (b"IDMAPBAN", 1, 1, len(data), 5, 11, 12, 2)
    assert head[8:] == (zlib.crc32(data[64:]), 0, zlib.crc32(data[:60]))
    assert list(struct.iter_unpack("<IIq", data[64:])) == [(200001, 0, 1800000000), (200009, 0, 0)]
    assert path.stat().st_mode & 0o7777 == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["bans.db"]


@given(bans=LISTS)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, bans: InstalledBans
) -> None:
    path = tmp_path_factory.mktemp("bans") / "bans.db"
    write_bans(path, bans)
    assert read_bans(path) == bans


def test_of_two_bans_on_one_number_the_longer_counts(tmp_path: Path) -> None:
    """A doubled entry must not keep the others' bans from the node."""
    listed = ((200001, 50), (200002, 0), (200001, 90), (200002, 7), (0, 0), (200001, 60))
    write_bans(tmp_path / "bans.db", replace(SOUND, bans=listed))
    read = read_bans(tmp_path / "bans.db")
    assert read is not None
    assert read.bans == ((0, 0), (200001, 90), (200002, 0))


@pytest.mark.parametrize("ban", [(2**32, 0), (-1, 0), (200001, 2**63)])
def test_a_number_that_the_file_cannot_hold_leaves_the_list_that_is_there(
    tmp_path: Path, ban: tuple[int, int]
) -> None:
    path = tmp_path / "bans.db"
    write_bans(path, SOUND)
    with pytest.raises(NodeInstallFailed) as caught:
        write_bans(path, replace(SOUND, bans=(ban,)))
    assert caught.value.reason is Reason.MANIFEST_INVALID
    assert read_bans(path) == SOUND
    assert [p.name for p in tmp_path.iterdir()] == ["bans.db"]


def test_a_full_disk_leaves_the_list_that_is_there_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "bans.db"
    write_bans(path, SOUND)
    program = (
        "import sys, pathlib; from idmap.adapters.node_files import bans_db;"
        "path = pathlib.Path(sys.argv[1]); now = bans_db.read_bans(path);"
        "bans_db.write_bans(path, type(now)(9, 1, 1, False, tuple((n, 0) for n in range(5000))))"
    )
    command = ["prlimit", "--fsize=4096", sys.executable, "-B", "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert f"NodeInstallFailed: install_failed: {path}: File too large" in done.stderr, done.stderr
    assert read_bans(path) == SOUND
    assert [p.name for p in tmp_path.iterdir()] == ["bans.db"]


def test_every_flipped_bit_and_every_truncation_is_noticed(tmp_path: Path) -> None:
    whole, path = encode_bans_db(SOUND), tmp_path / "damaged"
    damaged = [whole[:cut] for cut in range(len(whole))] + [whole + b"\0"]
    for bit in range(len(whole) * 8):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(NodeInstallFailed) as caught:
            read_bans(path)
        assert caught.value.reason is Reason.NODE_FILES_UNREADABLE
    assert read_bans(tmp_path / "absent") is None

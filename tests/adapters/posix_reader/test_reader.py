"""The Python reader of posix.db against the C compiler that writes it and the C module that reads it."""

from __future__ import annotations

import os
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idmap.adapters.posix_export.text import group_text, passwd_text
from idmap.adapters.posix_reader.check import check_posix_file, mapping_notes
from idmap.adapters.posix_reader.hashes import hash_name
from idmap.adapters.posix_reader.layout import Damaged
from idmap.adapters.posix_reader.reader import PosixFile
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.numbers import is_refused_number
from idmap.domain.posix_entries import Entries
from tests.support.posix_text import (
    ask_module,
    compile_entries,
    random_entries,
    small_entries,
    withhold,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A posix.db with something of everything."""
    return compile_entries(small_entries(), tmp_path_factory.mktemp("small") / "posix.db")


def test_what_the_compiler_wrote_is_read_back(small: Path) -> None:
    """Every field of every account, and the members that the compiler derived."""
    assert PosixFile(small).entries() == small_entries()


@pytest.mark.parametrize(("users", "groups"), [(0, 0), (0, 3), (1, 1), (500, 60)])
def test_random_populations_are_read_back_found_and_sound(
    tmp_path: Path, users: int, groups: int
) -> None:
    """Every name and number through the indexes; misses; no finding."""
    made = random_entries(users, users, groups)
    path = compile_entries(made, tmp_path / "posix.db")
    posix = PosixFile(path)
    assert posix.entries() == made
    for user in made.users:
        assert posix.find_user(user.username) == user
        assert posix.find_user_by_number(user.uid_number) == user
    for group in made.groups:
        assert posix.find_group(group.name) == group
        assert posix.find_group_by_number(group.gid_number) == group
    for name in ("nosuch", "", "x" * 300, "ü", "\udcff"):
        assert posix.find_user(name) is posix.find_group(name) is None
    assert posix.find_user_by_number(0) is posix.find_group_by_number(0) is None
    assert check_posix_file(path) == ()


def test_a_withheld_member_list_is_read_back_and_sound(tmp_path: Path) -> None:
    """Empty and said to be; the accounts' own lists stay whole, and so do the other groups'."""
    made = withhold(small_entries(), "big-group")
    path = compile_entries(made, tmp_path / "posix.db")
    posix = PosixFile(path)
    assert posix.entries() == made
    big, lab = posix.find_group("big-group"), posix.find_group("lab")
    assert big is not None
    assert lab is not None
    assert (big.members, big.members_withheld) == ((), True)
    assert (lab.members, lab.members_withheld) == (("alice",), False)
    alice = posix.find_user("alice")
    assert alice is not None
    assert alice.secondary == (300_001, 300_002)
    assert check_posix_file(path) == ()


@pytest.mark.root
def test_both_readers_say_the_same_of_everybody(tmp_path: Path) -> None:
    """The C module, built for this path, enumerates; every line is the one that Python makes."""
    made = random_entries(3, 300, 40)
    made = withhold(made, *(group.name for group in made.groups[::7]))
    path = compile_entries(made, tmp_path / "posix.db")
    build = tmp_path / "c"
    target = build / "libnss_idmap.so.2"
    command = ["make", "-s", "-C", str(ROOT / "pam_module"), f"BUILD={build}", f"POSIX_DB={path}"]
    subprocess.run([*command, str(target)], check=True, capture_output=True, timeout=100)
    entries = PosixFile(path).entries()
    python = (passwd_text(entries) + group_text(entries)).decode()
    assert ask_module(target, "idmap", ["pwent", "grent"]) == python.splitlines()
    assert len(python.splitlines()) == 340


def test_a_flipped_bit_in_any_used_byte_is_an_answer_inside_the_windows_or_damage(
    small: Path,
) -> None:
    """Also with the header's checksum repaired: no other exception, no number of the system, no endless search."""
    original = small.read_bytes()
    accepted = refused = 0
    path = small.with_name("flipped.db")
    places = [*range(520), *range(1020, 1030), *range(4096, len(original))]
    for at in places:
        damaged = bytearray(original)
        damaged[at] ^= 1 << at % 8
        damaged[1020:1024] = struct.pack("<I", zlib.crc32(damaged[:1020]))
        path.write_bytes(damaged)
        try:
            posix = PosixFile(path)
            entries = posix.entries()
            posix.find_user("alice")
            posix.find_group_by_number(300_002)
        except NodeInstallFailed:
            refused += 1
            continue
        accepted += 1
        _all_inside_the_windows(entries)
    assert refused > 100
    assert accepted + refused == len(places)


def test_a_truncated_file_is_refused(small: Path) -> None:
    """The header knows the exact length."""
    original = small.read_bytes()
    path = small.with_name("cut.db")
    for size in range(0, len(original), 41):
        path.write_bytes(original[:size])
        with pytest.raises(NodeInstallFailed):
            PosixFile(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_wild_damage_never_leaves_the_readers_own_errors(small: Path, data: st.DataObject) -> None:
    """Several words overwritten anywhere behind the magic, checksum repaired."""
    content = bytearray(small.read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(16, len(content) // 4 - 1)) * 4
        word = data.draw(st.sampled_from([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, 8, 4096, 300_000]))
        struct.pack_into("<I", content, at, word)
    struct.pack_into("<I", content, 1020, zlib.crc32(content[:1020]))
    path = small.with_name("wild.db")
    path.write_bytes(content)
    findings = check_posix_file(path)
    try:
        entries = PosixFile(path).entries()
    except NodeInstallFailed:
        assert findings, "what cannot be read is a finding"
    else:
        _all_inside_the_windows(entries)


def test_hostile_strings_of_a_file_never_become_entries(small: Path) -> None:
    """A colon or newline written into gecos or home behind the compiler's back is damage, not content."""
    original = small.read_bytes()
    for old in (b"Alice", b"/home/alice"):
        for bad in (b":", b"\n", b"\x1b", b"\0"):
            path = small.with_name("hostile.db")
            path.write_bytes(original.replace(old, old[:1] + bad + old[2:]))
            with pytest.raises(NodeInstallFailed):
                PosixFile(path).entries()


def broken(small: Path, change: int, value: bytes) -> list[str]:
    """The places that `verify` names after these bytes were written, checksum repaired."""
    content = bytearray(small.read_bytes())
    content[change : change + len(value)] = value
    content[1020:1024] = struct.pack("<I", zlib.crc32(content[:1020]))
    path = small.with_name("broken.db")
    path.write_bytes(content)
    return [finding.place for finding in check_posix_file(path)]


def test_verify_names_what_is_broken(small: Path) -> None:
    """One invariant after another."""
    data = small.read_bytes()
    sections = struct.unpack_from("<12Q", data, 128)
    groups, names = sections[2], sections[4]
    assert check_posix_file(small) == ()
    assert broken(small, 1024, b"\1") == []
    assert broken(small, 1024, b"\2") == ["header"]
    assert broken(small, 100, b"\1") == ["header"]
    assert broken(small, 64, b"\6") == ["header"]
    assert broken(small, 256, struct.pack("<II", 0, 299_999)) == ["header"]
    assert broken(small, 80, struct.pack("<I", 8)) == ["user-name index"]
    assert broken(small, names, bytes(sections[5])) == ["user-name index"] * 7
    lab = data.index(b"lab\0")
    assert broken(small, lab - 4, b"\7") == ["group lab"]
    big = data.index(b"big-group\0")
    first, second = struct.unpack_from("<II", data, big + 12)
    assert broken(small, big + 12, struct.pack("<II", second, first)) == ["group big-group"]
    assert "group big-group" in broken(small, big + 12, struct.pack("<II", first, first))
    assert broken(small, big - 7, b"\1") == ["group big-group"], "withheld, and yet it is there"
    assert broken(small, big - 7, b"\2") == ["records"], "no other flag is known"
    assert broken(small, big - 6, b"\1") == ["records"]
    assert broken(small, groups, b"\xff\xff") == ["records"]
    assert broken(small, 4096 + 36, b"\3") == [], "both flags are known"
    assert broken(small, 4096 + 36, b"\4") == ["records"], "no other is"


def test_verify_finds_an_index_entry_that_only_a_search_would_miss(small: Path) -> None:
    """Two slots exchanged: each record still has its slot, but not where its hash looks."""
    data = bytearray(small.read_bytes())
    offset, size = struct.unpack_from("<QQ", data, 128 + 32)
    slots = [bytes(data[at : at + 8]) for at in range(offset, offset + size, 8)]
    used = next(i for i, slot in enumerate(slots) if any(slot))
    free = next(i for i in range(len(slots)) if not any(slots[i]) and i not in {used, used + 1})
    slots[used], slots[free] = slots[free], slots[used]
    data[offset : offset + size] = b"".join(slots)
    path = small.with_name("exchanged.db")
    path.write_bytes(data)
    assert any("is not found" in finding.detail for finding in check_posix_file(path))


def test_a_list_that_is_empty_and_does_not_say_why_is_found(tmp_path: Path) -> None:
    """The bit taken away: whoever reads the list would believe that nobody is in the group."""
    path = compile_entries(withhold(small_entries(), "big-group"), tmp_path / "posix.db")
    big = path.read_bytes().index(b"big-group\0")
    assert broken(path, big - 7, b"\0") == ["group big-group"]


def test_a_withheld_list_with_members_is_no_entry(small: Path) -> None:
    """Tools do not show what one half of the record denies."""
    data = bytearray(small.read_bytes())
    data[data.index(b"big-group\0") - 7] = 1
    path = small.with_name("denied.db")
    path.write_bytes(data)
    with pytest.raises(NodeInstallFailed, match="withheld"):
        PosixFile(path).entries()


def test_a_member_list_that_lacks_somebody_is_found(tmp_path: Path) -> None:
    """The user says the group, the group does not say the user: written by hand, never by the compiler."""
    made = small_entries()
    path = compile_entries(made, tmp_path / "posix.db")
    data = bytearray(path.read_bytes())
    gids = data.index(struct.pack("<II", 300_001, 300_002))
    struct.pack_into("<I", data, gids, 300_005)
    path.write_bytes(data)
    places = [finding.place for finding in check_posix_file(path)]
    assert places == ["group lab", "group z"]


def test_what_no_node_would_map_is_noted(small: Path, tmp_path: Path) -> None:
    """Ownership and modes are not the content's fault."""
    link = tmp_path / "link.db"
    link.symlink_to(small)
    assert mapping_notes(link)[0] == "it is a symbolic link"
    copy = tmp_path / "copy.db"
    copy.write_bytes(small.read_bytes())
    copy.chmod(0o666)
    assert "group or others may write to it" in mapping_notes(copy)
    assert check_posix_file(copy) == ()


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Tools are pointed at anything."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with pytest.raises(NodeInstallFailed):
        PosixFile(fifo)


@pytest.mark.parametrize(
    ("length", "value"),
    [
        (0, "dcc40f055801acab"),
        (4, "2883d388605775cf"),
        (8, "8e9a298d11959036"),
        (15, "5699512a6dd820d3"),
        (32, "0db6a7166c7b1581"),
    ],
)
def test_names_hash_as_siphash_1_3_does(length: int, value: str) -> None:
    """The published vectors that Rust's libcore tests with: key 00…0f, message 00, 01, …"""
    hashed = hash_name(bytes(range(16)), bytes(range(length)))
    assert hashed.to_bytes(8, "little").hex() == value


def test_damage_stays_inside_the_package() -> None:
    """Callers see one kind of error."""
    assert not issubclass(Damaged, NodeInstallFailed)


def _all_inside_the_windows(entries: Entries) -> None:
    for user in entries.users:
        for number in (user.uid_number, user.gid_number, *user.secondary):
            assert not is_refused_number(number)
        assert not set("\n:\0") & set(user.gecos + user.home + user.shell)

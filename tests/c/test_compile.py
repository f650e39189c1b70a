"""idmap-compile refuses what law 10 forbids, whoever asks, and replaces a file wholly or not at all."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

NAMES_REFUSED = [
    "root",
    "toor",
    "nobody",
    "daemon",
    "bin",
    "sys",
    "Root",
    "wheel",
    "sudo",
    "docker",
    "ssl-cert",
]
NAMES_REFUSED += ["systemd-journal", "systemd.journal", "video", "render", "shadow", "kvm", "disk"]
NAMES_MALFORMED = [
    "",
    "-x",
    "1234",
    ".",
    "..",
    "a b",
    "a:b",
    "a,b",
    "a/b",
    "a" * 33,
    "ä",
    "a@b",
    "$x",
    "a\x7fb",
]
NUMBERS_REFUSED = [0, 1, 999, 60001, 65534, 65535, 2**31, 2**32 - 1]


def names(directory: Path) -> list[str]:
    """What lies in a directory, but for the lock, which stays."""
    return sorted(path.name for path in directory.iterdir() if path.suffix != ".lock")


def code_of(done: subprocess.CompletedProcess[str]) -> str:
    """The code in brackets, after checking that exactly one line was said and the status is 1."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stderr.startswith("idmap-compile: -:"), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr.rstrip().rpartition("[")[2].rstrip("]")


@pytest.fixture
def refused(sanitized, records, tmp_path):
    """Compiles text or changed records, which must be refused with nothing left; gives the code."""

    def compile_to_nothing(text=None, **changes):
        out = tmp_path / "posix.db"
        done = sanitized.compile(records(**changes).text() if text is None else text, out)
        code = code_of(done)
        assert names(tmp_path) == []
        return code

    return compile_to_nothing


@pytest.mark.parametrize("name", NAMES_REFUSED)
def test_a_name_of_the_system_is_refused_for_users_and_groups(refused, user, name):
    """The closed table holds whatever the case and the separators."""
    assert refused(users=[user(name, 200000)]) == "name_reserved"
    assert refused(groups=[("proj", 300000), (name, 300001)], users=[]) == "name_reserved"


@pytest.mark.parametrize("name", NAMES_MALFORMED)
def test_a_name_that_cannot_be_carried_is_refused(refused, user, name):
    """Anything outside the adoptable grammar is refused before it reaches a file."""
    assert refused(users=[user(name, 200000)]) in {"name_malformed", "control_character"}
    assert refused(groups=[("proj", 300000), (name, 300001)], users=[]) in {
        "name_malformed",
        "control_character",
    }


def test_a_wide_adoptable_name_is_carried(sanitized, records, user, tmp_path):
    """Dots, plus signs, capitals and 32 characters are someone's existing name."""
    names = ["Dave.X+y", "a" * 32, "9lives", "_x"]
    users = [user(name, 200000 + i) for i, name in enumerate(names)]
    sanitized.install(records(users=users), tmp_path / "posix.db")


@pytest.mark.parametrize("number", NUMBERS_REFUSED)
def test_a_number_of_the_system_is_refused_wherever_it_stands(refused, user, number):
    """As uid, primary gid, gid of a group, or end of a window."""
    wide = ["uid\t1000\t60000", "uid\t200000\t299999", "gid\t1000\t60000", "gid\t300000\t399999"]
    assert refused(windows=wide, users=[user("alice", number)]) == "number_refused"
    assert refused(windows=wide, groups=[("proj", number)]) == "number_refused"
    assert refused(users=[user("alice", 200000, gid=number)]) == "number_refused"
    assert refused(windows=[f"uid\t{number}\t{number}"]) == "number_refused"


def test_a_window_across_the_hole_is_refused(refused):
    """A window may not contain 60001-65535."""
    assert refused(windows=["uid\t60000\t70000"]) == "number_refused"


def test_a_number_outside_the_windows_is_refused(refused, user):
    """Without a window, every number is outside."""
    assert refused(users=[user("alice", 300000)]) == "number_outside_windows"
    assert refused(groups=[("proj", 200000)]) == "number_outside_windows"
    assert refused(windows=[]) == "number_outside_windows"


def test_a_seventeenth_window_is_refused(refused):
    """The header has room for sixteen."""
    assert (
        refused(windows=[f"uid\t{200000 + i}\t{200000 + i}" for i in range(17)])
        == "window_malformed"
    )


def test_a_window_upside_down_or_of_another_kind_is_refused(refused):
    """First must not be above last; the kind is uid or gid."""
    assert refused(windows=["uid\t200001\t200000"]) == "window_malformed"
    assert refused(windows=["pid\t200000\t200001"]) == "window_malformed"


def test_a_name_or_number_given_twice_is_refused(refused, user):
    """Users among users, groups among groups."""
    assert refused(users=[user("alice", 200000), user("alice", 200001)]) == "name_repeated"
    assert refused(users=[user("alice", 200000), user("bob", 200000)]) == "number_repeated"
    assert refused(groups=[("proj", 300000), ("proj", 300001)]) == "name_repeated"
    assert refused(groups=[("proj", 300000), ("lab", 300000)]) == "number_repeated"


def test_a_double_is_reported_at_its_own_line(sanitized, records, user, tmp_path):
    """The line named is the later of the two."""
    users = [user("alice", 200001), user("bob", 200003), user("alice", 200005)]
    done = sanitized.compile(records(users=users).text(), tmp_path / "posix.db")
    assert done.stderr.startswith("idmap-compile: -:11: "), done.stderr
    groups = [("proj", 300000), ("lab", 300001), ("lab", 300002), ("more", 300003)]
    done = sanitized.compile(records(groups=groups).text(), tmp_path / "posix.db")
    assert done.stderr.startswith("idmap-compile: -:9: "), done.stderr


def test_a_user_and_a_group_share_a_name_only_with_the_same_number(
    refused, sanitized, records, user, tmp_path
):
    """That is a private group; anything else would confuse people and programs."""
    assert refused(users=[user("lab", 200000)]) == "name_repeated"
    private = records(
        users=[user("alice", 300007, gid=300007)],
        groups=[("alice", 300007)],
        windows=["uid\t300000\t300009", "gid\t300000\t300009"],
    )
    sanitized.install(private, tmp_path / "posix.db")


def test_a_gid_that_is_no_groups_number_is_refused(refused, user):
    """As primary and as secondary group."""
    assert refused(users=[user("alice", 200000, gid=300005)]) == "group_unknown"
    assert refused(users=[user("alice", 200000, gids=(300005,))]) == "group_unknown"


def test_a_secondary_gid_given_twice_or_badly_is_refused(refused, user):
    """The list is numbers between commas."""
    assert refused(users=[user("alice", 200000, gids=(300001, 300001))]) == "group_repeated"
    for text in ("300001,", ",300001", "300001,,300000", "0300001", "+1"):
        line = user("alice", 200000).line() + text
        assert refused(users=[], extra=[line]) == "number_malformed", text


@pytest.mark.parametrize("path", ["", "home/x", "/home/a:b", "/home/ä", "/" + "x" * 1023])
def test_a_home_or_shell_that_is_no_plain_absolute_path_is_refused(refused, user, path):
    """Absolute, ASCII, without a colon, below 1024 bytes."""
    assert refused(users=[user("alice", 200000, home=path)]) == "path_malformed"
    assert refused(users=[user("alice", 200000, shell=path)]) == "path_malformed"


@pytest.mark.parametrize("gecos", ["a:b", "\udcff", "\u0085", "x" * 1024])
def test_gecos_with_a_colon_or_without_utf8_is_refused(sanitized, records, user, tmp_path, gecos):
    """A colon, a stray byte, a C1 control, too long."""
    text = (
        records(users=[user("alice", 200000, gecos=gecos)])
        .text()
        .encode("utf-8", "surrogateescape")
    )
    command = [sanitized.compiler, "posix", "--in", "-", "--out", str(tmp_path / "posix.db")]
    done = subprocess.run(command, input=text, capture_output=True, timeout=60)
    assert done.returncode == 1
    assert b"[gecos_malformed]" in done.stderr


@pytest.mark.parametrize("control", ["\x00", "\x01", "\r", "\x1b", "\x7f"])
def test_a_control_character_anywhere_is_refused(refused, user, control):
    """Also in gecos, where it would reach terminals."""
    assert refused(users=[user("alice", 200000, gecos=f"a{control}b")]) == "control_character"


def test_a_newline_in_a_field_is_a_broken_record(refused, user):
    """It splits the line, and neither half is a record."""
    assert refused(users=[user("alice", 200000, gecos="a\nb")]) == "field_count"


@pytest.mark.parametrize("state", ["", "Active", "banned", "tombstone"])
def test_an_unknown_state_is_refused(refused, user, state):
    """There are three, spelled one way."""
    assert refused(users=[user("alice", 200000, state=state)]) == "state_unknown"


def test_grace_without_a_last_day_is_refused(refused, user):
    """Grace that never ends is not grace."""
    assert refused(users=[user("alice", 200000, state="grace")]) == "dates_malformed"


def test_a_snapshot_that_ends_before_it_begins_is_refused(refused):
    """not_after is 0 or not before created."""
    assert refused(not_after="1699999999") == "dates_malformed"


@pytest.mark.parametrize(
    "number", ["", "-1", "+1", "01", "1e3", "0x10", " 1", "18446744073709551616"]
)
def test_a_number_that_is_not_plain_decimal_is_refused(refused, number):
    """No sign, no leading zero, no overflow."""
    assert refused(revision=number) in {"number_malformed", "number_too_large"}


def test_the_largest_revision_is_carried(sanitized, records, tmp_path):
    """All 64 bits."""
    out = sanitized.install(records(revision=str(2**64 - 1)), tmp_path / "posix.db")
    assert struct.unpack_from("<Q", out.read_bytes(), 24) == (2**64 - 1,)


def test_every_truncation_of_the_input_is_refused(sanitized, records, tmp_path):
    """A pipe that breaks anywhere installs nothing."""
    text = records().text()
    for cut in range(len(text)):
        done = sanitized.compile(text[:cut], tmp_path / "posix.db")
        assert done.returncode == 1, text[:cut]
    assert names(tmp_path) == []


def test_a_wrong_count_at_the_end_is_refused(refused, records):
    """Lines lost in the middle show there."""
    assert refused(records().text().replace("end\t2\t2", "end\t2\t3")) == "truncated"
    assert refused(records().text().replace("end\t2\t2", "end\t1\t2")) == "truncated"


def test_records_out_of_order_unknown_or_after_the_end_are_refused(refused, records, user):
    """One order, known kinds, nothing behind the end."""
    assert refused(extra=["group\tlate\t300002"]) == "out_of_order"
    assert refused(extra=["revision\t8"]) == "out_of_order"
    assert refused(extra=["shadow\talice\tx"]) == "record_unknown"
    assert refused(extra=[""]) == "record_unknown"
    assert refused(records().text() + "\n") == "record_unknown"
    assert refused("revision\t7\n") == "out_of_order"
    assert (
        refused(records().text().replace("idmap-posix\t2", "idmap-posix\t1")) == "version_unknown"
    )
    assert refused(extra=[user("carol", 200002).line() + "\tmore"]) == "field_count"
    assert refused(extra=["group\tx"], users=[]) == "field_count"


@pytest.mark.parametrize("flags", [0, 1, 2, 3])
def test_flags_stand_where_the_format_says(plain, records, user, tmp_path, flags):
    """Bit 0 elsewhere, bit 1 token only; of each user its own."""
    users = [user("alice", 200000, flags=flags), user("bob", 200001)]
    data = plain.install(records(users=users), tmp_path / "posix.db").read_bytes()
    size = struct.unpack_from("<I", data, 4096 + 4)[0]
    assert struct.unpack_from("<I", data, 4096 + 36) == (flags,)
    assert struct.unpack_from("<I", data, 4096 + size + 36) == (0,)


@pytest.mark.parametrize("flags", ["4", "7", "8", "4294967295", "", "-1", "01", "1 ", "x"])
def test_a_flag_that_is_not_known_is_refused(refused, records, user, flags):
    """The compiler is never newer than what reads its file."""
    line = user("alice", 200000).line()
    text = records(users=[user("alice", 200000)]).text()
    changed = text.replace(line, line.removesuffix("0") + flags)
    assert changed != text
    assert refused(changed) in {"number_too_large", "number_malformed"}


def test_a_user_without_flags_is_refused(refused, records, user):
    """Version 1's records were a field shorter."""
    line = user("alice", 200000).line()
    text = records(users=[user("alice", 200000)]).text()
    assert refused(text.replace(line, line.removesuffix("\t0"))) == "field_count"


def group_record(data, index):
    """A group's bytes from its head up to its end; -1 is the last one."""
    at, size = struct.unpack_from("<QQ", data, 128 + 16)
    found, end = [], at + size
    while at < end:
        length = struct.unpack_from("<I", data, at + 4)[0]
        found.append(data[at : at + length])
        at += length
    return found[index]


def test_a_member_list_that_is_withheld_is_empty_and_says_so(plain, records, user, tmp_path):
    """Bit 0 of the byte at 17; the users' own lists and the other groups' members are whole."""
    users = [
        user("alice", 200000, gids=(300000, 300001)),
        user("bob", 200001, gids=(300001, 300002)),
        user("carol", 200002, gids=(300000, 300002)),
    ]
    groups = [("proj", 300000), ("all", 300001), ("lab", 300002)]
    full = records(users=users, groups=groups)
    data = {}
    for withheld in ((), (300001,)):
        out = plain.install(replace(full, withheld=withheld), tmp_path / "posix.db")
        data[withheld] = out.read_bytes()
    before, after = data[()], data[(300001,)]
    users_end = 4096 + struct.unpack_from("<Q", before, 128 + 8)[0]
    assert after[4096:users_end] == before[4096:users_end]
    listed = group_record(before, 1)
    assert (listed[17], *struct.unpack_from("<III", listed, 12)[::2]) == (0, 2, len("alice bob "))
    empty = group_record(after, 1)
    assert (empty[16], empty[17]) == (3, 1)
    assert struct.unpack_from("<I", empty, 12) == struct.unpack_from("<I", empty, 20) == (0,)
    assert empty[24:28] == b"all\0"
    assert len(empty) == 32
    for index in (0, 2):
        kept = group_record(after, index)
        assert kept[4:] == group_record(before, index)[4:], "but for the record's own reference"
        assert struct.unpack_from("<I", kept, 12) == (2,)


def test_what_may_follow_a_gid_is_one_word(refused, records):
    """Anything else would be taken for a list that is there."""
    text = records().text()
    for more, code in [
        ("", "field_unknown"),
        ("members", "field_unknown"),
        ("Nomembers", "field_unknown"),
        ("nomembers ", "field_unknown"),
        ("nomembers\t", "field_count"),
        ("nomembers\tnomembers", "field_count"),
    ]:
        changed = text.replace("group\tlab\t300001\n", f"group\tlab\t300001\t{more}\n")
        assert changed != text
        assert refused(changed) == code, more


def test_a_group_without_a_list_is_named_once_per_user_all_the_same(refused, user):
    """As its number is checked where it is a primary group's."""
    twice = user("alice", 200000, gids=(300001, 300001))
    assert refused(users=[twice], withheld=(300001,)) == "group_repeated"


def test_a_line_above_one_mebibyte_is_refused(refused, user):
    """Memory stays bounded whatever comes."""
    assert refused(users=[user("alice", 200000, gecos="x" * (1 << 20))]) == "line_too_long"


def test_the_header_is_where_the_format_says(plain, records, tmp_path):
    """The offsets that Python relies on."""
    data = plain.install(records(), tmp_path / "posix.db").read_bytes()
    head = struct.unpack_from("<8sIIQQqq", data)
    assert head == (b"IDMAPPSX", 1, 0, len(data), 7, 1700000000, 2000000000)
    assert struct.unpack_from("<IIII", data, 64) == (2, 2, 1, 1)
    assert struct.unpack_from("<II", data, 256) == (200000, 299999)
    assert struct.unpack_from("<II", data, 384) == (300000, 399999)
    assert struct.unpack_from("<II", data, 1020) == (zlib.crc32(data[:1020]), 0)


def test_numbers_that_do_not_ascend_are_refused(refused, user):
    """Whoever compiles sorts: users by uid number, groups by gid number."""
    late = user("early", 200000).line()
    sound = [user("alice", 200001), user("bob", 200002)]
    assert refused(users=sound, extra=[late]) == "out_of_order"
    assert (
        refused(groups=[("proj", 300001)], users=[], extra=["group\tlab\t300000"]) == "out_of_order"
    )


def test_the_same_input_and_seed_give_the_same_file(plain, records, user, tmp_path):
    """Nothing of memory or time gets in; another seed gives another order of the indexes."""
    users = [user(f"u{i}x", 200000 + i, gids=(300001,) if i % 3 else ()) for i in range(500)]
    images = []
    for seed in ("00" * 16, "00" * 16, "01" * 16):
        out = tmp_path / "posix.db"
        done = plain.compile(records(users=users).text(), out, "--seed", seed)
        assert done.returncode == 0
        images.append(out.read_bytes())
    assert images[0] == images[1]
    assert images[0] != images[2]
    assert names(tmp_path) == ["posix.db"]


def test_the_installed_file_is_roots_and_readable_by_all(plain, records, tmp_path):
    """Mode 0644 whatever the umask."""
    before = os.umask(0o077)
    try:
        out = plain.install(records(), tmp_path / "posix.db")
    finally:
        os.umask(before)
    assert out.stat().st_mode & 0o7777 == 0o644


def superseded(path: Path) -> int:
    """The superseded word of a file."""
    return struct.unpack_from("<I", path.read_bytes(), 1024)[0]


def test_the_replaced_file_is_marked_and_its_second_name_removed(plain, records, tmp_path):
    """Processes that map the old file see the word."""
    out = plain.install(records(), tmp_path / "posix.db")
    held = tmp_path / "held"
    os.link(out, held)
    plain.install(records(revision="8"), out)
    assert superseded(held) == 1
    assert superseded(out) == 0
    assert names(tmp_path) == ["held", "posix.db"]


KILLED_AT = [
    "fsync",
    "fchmod",
    "linkat",
    "renameat",
    "unlinkat",
    "write",
    "pwrite64",
    "openat",
    "flock",
]


@pytest.mark.parametrize("call", KILLED_AT)
def test_a_kill_at_any_step_leaves_the_old_file_or_the_new(plain, records, tmp_path, call):
    """SIGKILL at every such system call: one whole file; the next run cleans up and marks."""
    out = tmp_path / "posix.db"
    killed = 0
    for when in range(1, 12):
        plain.install(records(revision="7"), out)
        held = tmp_path / "held"
        held.unlink(missing_ok=True)
        os.link(out, held)
        prefix = ("strace", "-o", "/dev/null", "-e", f"inject={call}:signal=KILL:when={when}")
        done = plain.compile(records(revision="8").text(), out, prefix=prefix)
        revision = struct.unpack_from("<Q", out.read_bytes(), 24)[0]
        data = out.read_bytes()
        assert revision in (7, 8)
        assert struct.unpack_from("<Q", data, 16)[0] == len(data)
        assert zlib.crc32(data[:1020]) == struct.unpack_from("<I", data, 1020)[0]
        assert superseded(out) == 0, "the installed file is never marked"
        if done.returncode == 0:
            assert revision == 8
            break
        killed += 1
        assert subprocess.run([plain.compiler, "settle", "--out", str(out)]).returncode == 0
        assert superseded(held) == (1 if revision == 8 else 0)
        plain.install(records(revision="9"), out)
        assert superseded(held) == 1
        held.unlink()
        assert names(tmp_path) == ["posix.db"]
    assert killed > 0


@pytest.mark.parametrize(
    "call", ["flock", "fsync", "renameat", "write", "pwrite64", "linkat", "fchmod"]
)
def test_a_failing_system_call_leaves_the_old_file_alone(plain, records, tmp_path, call):
    """EIO and ENOSPC before the rename: status 3, the old file, nothing beside it."""
    out = plain.install(records(revision="7"), tmp_path / "posix.db")
    before = out.read_bytes()
    prefix = ("strace", "-o", "/dev/null", "-e", f"inject={call}:error=ENOSPC:when=1")
    done = plain.compile(records(revision="8").text(), out, prefix=prefix)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert out.read_bytes() == before
    assert names(tmp_path) == ["posix.db"]


def test_a_full_disk_leaves_the_old_file_alone(plain, records, user, tmp_path):
    """The file size limit stops the write in the middle."""
    out = plain.install(records(), tmp_path / "posix.db")
    before = out.read_bytes()
    many = [user(f"u{i}x", 200000 + i, gecos="g" * 200) for i in range(20000)]
    done = plain.compile(records(users=many).text(), out, prefix=("prlimit", "--fsize=1000000"))
    assert done.returncode == 3
    assert "[output_unwritable]" in done.stderr
    assert out.read_bytes() == before
    assert names(tmp_path) == ["posix.db"]


def waiting(plain, out):
    """A compiler that has begun on `out` and waits for its input."""
    temporary = out.with_name("posix.db.tmp")
    before = temporary.stat().st_ino if temporary.exists() else None
    process = subprocess.Popen(
        [plain.compiler, "posix", "--in", "-", "--out", str(out)], stdin=subprocess.PIPE
    )
    while not temporary.exists() or temporary.stat().st_ino == before:
        assert process.poll() is None
    return process


def test_the_second_of_two_compilers_on_one_target_is_told_that_it_is_busy(
    plain, records, tmp_path
):
    """The first is not disturbed: what it installs is its own, whole. `settle` waits for its end."""
    out = plain.install(records(revision="7"), tmp_path / "posix.db")
    with waiting(plain, out) as first:
        second = plain.compile(records(revision="9").text(), out)
        with subprocess.Popen([plain.compiler, "settle", "--out", str(out)]) as settle:
            with pytest.raises(subprocess.TimeoutExpired):
                settle.wait(0.3)
            first.communicate(records(revision="8").text().encode())
            assert settle.wait(10) == 0
    assert second.returncode == 3
    assert "[busy]" in second.stderr
    assert first.returncode == 0
    assert struct.unpack_from("<Q", out.read_bytes(), 24) == (8,)
    assert names(tmp_path) == ["posix.db"]


def test_who_may_only_read_holds_nobody_up(plain, records, tmp_path):
    """Anybody may lock what they may open: the directory and the installed file. The lock itself is root's alone."""
    out = plain.install(records(revision="7"), tmp_path / "posix.db")
    assert stat.S_IMODE((tmp_path / "posix.db.lock").stat().st_mode) == 0o600
    opened = [os.open(path, os.O_RDONLY) for path in (tmp_path, out)]
    try:
        for descriptor in opened:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        plain.install(records(revision="8"), out)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    assert struct.unpack_from("<Q", out.read_bytes(), 24) == (8,)


@pytest.mark.parametrize("fatal", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_ended_by_a_signal_is_in_nobodys_way(plain, records, tmp_path, fatal):
    """SIGTERM while the input is still coming: the old file stays, the next run leaves nothing but the target."""
    out = plain.install(records(revision="7"), tmp_path / "posix.db")
    before = out.read_bytes()
    with waiting(plain, out) as process:
        process.send_signal(fatal)
    assert process.returncode == -fatal
    assert out.read_bytes() == before
    plain.install(records(revision="8"), out)
    assert names(tmp_path) == ["posix.db"]


def test_a_left_over_of_a_killed_run_is_replaced(plain, records, tmp_path):
    """Its content does not matter."""
    (tmp_path / "posix.db.tmp").write_bytes(b"x" * 100000)
    plain.install(records(), tmp_path / "posix.db")
    assert names(tmp_path) == ["posix.db"]


@pytest.mark.parametrize("planted", ["symlink", "dangling", "hardlink", "fifo"])
def test_nothing_is_written_through_what_lies_under_the_temporary_name(
    plain, records, tmp_path, planted
):
    """It is taken away, not opened; what it led to stays as it was."""
    node = tmp_path / "node"
    node.mkdir()
    victim, temporary = tmp_path / "victim", node / "posix.db.tmp"
    victim.write_bytes(b"x" * 5000)
    victim.chmod(0o600)
    if planted == "symlink":
        temporary.symlink_to(victim)
    elif planted == "dangling":
        temporary.symlink_to(tmp_path / "absent")
    elif planted == "hardlink":
        os.link(victim, temporary)
    else:
        os.mkfifo(temporary)
    out = plain.install(records(), node / "posix.db")
    assert stat.S_ISREG(out.lstat().st_mode)
    assert victim.read_bytes() == b"x" * 5000
    assert victim.stat().st_mode & 0o7777 == 0o600
    assert names(tmp_path) == ["node", "victim"]
    assert names(node) == ["posix.db"]


def test_a_directory_under_the_temporary_name_is_told(plain, records, tmp_path):
    """Nothing is removed that may hold something."""
    (tmp_path / "posix.db.tmp").mkdir()
    done = plain.compile(records().text(), tmp_path / "posix.db")
    assert done.returncode == 3
    assert "[output_unwritable]" in done.stderr
    assert names(tmp_path) == ["posix.db.tmp"]


def test_help_version_and_wrong_usage_have_their_status(plain, tmp_path):
    """0 for the first two; 2 for what cannot be understood; 3 for files that are not there."""

    def status(*words: str) -> int:
        return subprocess.run([plain.compiler, *words], capture_output=True, input=b"").returncode

    out = str(tmp_path / "x.db")
    assert status("--help") == 0
    assert status("--version") == 0
    for words in [
        (),
        ("posix",),
        ("posix", "--in", "-"),
        ("bans", "--in", "-", "--out", out),
        ("posix", "settle", "--in", "-", "--out", out),
        ("settle",),
        ("settle", "--in", "-", "--out", out),
        ("other", "--in", "-", "--out", out),
        ("posix", "--bad"),
    ]:
        assert status(*words) == 2, words
    assert status("posix", "--in", "-", "--out", out, "--seed", "xyz") == 2
    assert status("posix", "--in", str(tmp_path / "none"), "--out", out) == 3
    assert status("posix", "--in", "-", "--out", str(tmp_path / "no" / "x.db")) == 3
    assert names(tmp_path) == []


def test_a_hundred_thousand_users_compile_in_bounded_memory(plain, records, user, tmp_path):
    """Far below the size of the input plus the output."""
    users = [user(f"user{i}", 200000 + i, gids=(300001,)) for i in range(99999)]
    text = records(users=users).text()
    command = ["prlimit", "--data=60000000"]
    assert plain.compile(text, tmp_path / "posix.db", prefix=command).returncode == 0

"""The readers of posix.db and bans.db: damaged files, wrong owners, and the account phase."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from idmap.adapters.node_files.bans_db import write_bans
from idmap.application.install_state import InstalledBans

DAY = 86400
CREATED = 1700000000


@pytest.fixture(scope="module")
def small(sanitized, tmp_path_factory):
    """A small posix.db with something of everything, and a ban list."""
    directory = tmp_path_factory.mktemp("small")
    lines = [
        "idmap-posix\t2", "revision\t3", f"created\t{CREATED}", "not_after\t2000000000",
        "window\tuid\t200000\t200100", "window\tgid\t300000\t300100",
        "group\tproj\t300000", "group\tlab\t300001", "group\tbig-group\t300002",
        "user\talice\t200000\t300000\tactive\t0\t0\t/home/alice\t/bin/bash\tAlice Ü\t300001,300002\t0",
        "user\tbob\t200001\t300001\tgrace\t20000\t20001\t/h/bob\t/bin/sh\t\t300002\t0",
        "user\tcarol\t200002\t300000\tsuspended\t0\t0\t/h/c\t/bin/zsh\tC\t\t2",
        "user\tdave.x\t200003\t300002\tactive\t1\t0\t/h/d\t/bin/zsh\tD\t300000,300001,300002\t2",
        "end\t3\t4",
    ]  # fmt: skip
    posix, bans = directory / "posix.db", directory / "bans.db"
    assert sanitized.compile("".join(line + "\n" for line in lines), posix).returncode == 0
    listed = ((200001, 0), (200002, 99), (200003, 1))
    write_bans(bans, InstalledBans(1, 5, 6, clock_skew=False, bans=listed))
    return posix, bans


def test_every_flipped_bit_and_every_truncation_gives_an_answer_or_none(sanitized, small):
    """Never a crash, a loop, a number of the system or one outside the windows."""
    command = [sanitized.driver("reader_damage"), *map(str, small)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=80)
    assert done.returncode == 0, done.stderr[-4000:]
    words = done.stdout.split()
    size = small[0].stat().st_size
    flips, cuts, records_seen = (int(word) for word in words[1::2])
    assert flips >= size * 8, done.stdout
    assert cuts >= size, done.stdout
    assert records_seen > size, done.stdout


@pytest.mark.parametrize(
    ("target", "runs"),
    [
        ("reader", 10000),
        ("nss", 500),
        ("account", 5000),
        ("bans", 10000),
        ("compiler", 2000),
        ("reply", 10000),
    ],
)
def test_a_short_fuzzing_run_finds_nothing(tmp_path, target, runs):
    """libFuzzer from the kept corpus, the checksum repaired, under AddressSanitizer and UBSan."""
    fuzz = Path(__file__).parent / "fuzz.py"
    command = [sys.executable, str(fuzz), str(tmp_path), "run", str(runs), target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    executed = re.search(r"^total +(\d+) executions", done.stdout, re.MULTILINE)
    assert executed is not None
    assert int(executed[1]) >= runs


@pytest.fixture
def ask(sanitized, small, install_bans, tmp_path):
    """Asks account_vectors about a name at a time; gives its answer's four fields."""
    driver = sanitized.driver("account_vectors")

    def one(name, now=CREATED, posix=None, ban_list=None, **head):
        path = small[1]
        if ban_list is not None or head:
            path = tmp_path / "bans.db"
            install_bans(path, bans=ban_list or (), **head)
        line = f"{posix or small[0]}\t{path}\t{name}\t{now}\n"
        done = subprocess.run([driver], input=line, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        return tuple(done.stdout.rstrip("\n").split("\t"))

    return one


def test_an_active_account_is_let_in_with_its_own_numbers(ask):
    """The answer carries uid, gid and name."""
    assert ask("alice") == ("ok", "200000", "300000", "alice")


@pytest.mark.parametrize(
    "name", ["", "nobody", "root", "alic", "alicee", "a" * 33, "a" * 4000, "a:b"]
)
def test_a_name_without_a_record_is_unknown(ask, name):
    """And nothing else is told."""
    assert ask(name) == ("account_unknown", "0", "0", "")


def test_the_first_refusal_that_applies_is_the_answer(ask):
    """A ban comes before the state, the state before the dates."""
    assert ask("bob")[0] == "banned"
    assert ask("carol")[0] == "account_suspended", "its ban ended at 99"
    assert ask("carol", ban_list=[(200002, 0)])[0] == "banned"
    assert ask("dave.x", ban_list=[])[0] == "account_expired"
    assert ask("dave.x", now=2100000000, clock_skew=1)[0] == "account_expired"
    assert ask("alice", now=2100000000, clock_skew=1)[0] == "snapshot_expired"
    assert ask("alice", clock_skew=1)[0] == "clock_skew"


def test_node_classes_and_tokens_have_their_place_among_the_refusals(
    sanitized, records, user, ask, tmp_path
):
    """Another class comes before the dates; a token is asked for when nothing else is in the way."""
    users = [
        user("away", 200000, flags=3, expires_day=1),
        user("gone", 200001, flags=3, state="suspended"),
        user("late", 200002, flags=2, expires_day=1),
        user("here", 200003, flags=2),
    ]
    posix = sanitized.install(records(users=users), tmp_path / "classes.db")
    assert ask("away", posix=posix, ban_list=[(200000, 0)])[0] == "banned"
    assert ask("away", posix=posix, ban_list=[])[0] == "node_class_refused"
    assert ask("gone", posix=posix, ban_list=[])[0] == "account_suspended"
    assert ask("late", posix=posix, ban_list=[])[0] == "account_expired"
    assert ask("here", posix=posix, ban_list=[], clock_skew=1)[0] == "clock_skew"
    assert ask("here", now=2100000000, posix=posix, ban_list=[])[0] == "snapshot_expired"
    told = ("token_demanded", "200003", "300000", "here")
    assert ask("here", posix=posix, ban_list=[]) == told, "a caller who saw a token goes on"


def test_an_unknown_flag_makes_the_record_unreadable_for_logins(
    sanitized, records, user, ask, tmp_path
):
    """Nothing of it is told, not even to someone who is banned: what it forbids is not known."""
    posix = sanitized.install(records(users=[user("alice", 200000)]), tmp_path / "later.db")
    data = bytearray(posix.read_bytes())
    for bit in range(2, 32):
        struct.pack_into("<I", data, 4096 + 36, 1 << bit)
        posix.write_bytes(data)
        assert ask("alice", posix=posix) == ("node_files_unreadable", "0", "0", "")


def test_a_day_counts_until_its_end_in_utc(ask):
    """bob's last day is 20000, his last day of grace 20001."""
    assert ask("bob", now=20001 * DAY - 1, ban_list=[])[0] == "ok"
    assert ask("bob", now=20001 * DAY, ban_list=[])[0] == "account_expired"


def test_grace_ends_with_its_last_day(sanitized, records, user, ask, tmp_path):
    """And only grace has one: an active account's grace day means nothing."""
    users = [
        user("gina", 200000, state="grace", grace_day=20001),
        user("abe", 200001, grace_day=20001),
    ]
    posix = sanitized.install(records(users=users), tmp_path / "grace.db")
    assert ask("gina", now=20002 * DAY - 1, posix=posix)[0] == "ok"
    assert ask("gina", now=20002 * DAY, posix=posix)[0] == "grace_ended"
    assert ask("abe", now=20002 * DAY, posix=posix, ban_list=[])[0] == "ok"


def test_a_slow_clock_revives_nothing(sanitized, records, user, ask, tmp_path):
    """The snapshot's creation and the newest signed time are lower bounds of now."""
    users = [user("alice", 200000, expires_day=19000)]
    posix = sanitized.install(records(users=users), tmp_path / "slow.db")
    assert ask("alice", now=0, posix=posix)[0] == "account_expired"
    users = [user("alice", 200000, expires_day=20500)]
    posix = sanitized.install(records(users=users), tmp_path / "slow.db")
    assert ask("alice", now=0, posix=posix)[0] == "ok"
    assert ask("alice", now=0, posix=posix, signed_time=20501 * DAY)[0] == "account_expired"


def test_a_ban_holds_until_its_end_and_no_longer(ask):
    """Banned while now is before the end."""
    until = CREATED + 1000
    assert ask("alice", now=until - 1, ban_list=[(200000, until)])[0] == "banned"
    assert ask("alice", now=until, ban_list=[(200000, until)])[0] == "ok"


def test_not_after_is_the_last_second(ask):
    """And 0 is none (the compiler refuses nothing else that is early)."""
    assert ask("alice", now=2000000000)[0] == "ok"
    assert ask("alice", now=2000000001)[0] == "snapshot_expired"


def test_a_negative_or_huge_clock_is_no_fault(ask):
    """The answer follows the same rules."""
    assert ask("alice", now=-(2**63))[0] == "ok"
    assert ask("alice", now=2**63 - 1)[0] == "snapshot_expired"


@pytest.fixture
def copies(small, tmp_path):
    """Writable copies of both files."""
    return [Path(shutil.copy(path, tmp_path / f"copy-{path.name}")) for path in small]


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    "damage",
    [
        "missing",
        "empty",
        "short",
        "long",
        "magic",
        "group",
        "world",
        "owner",
        "link",
        "pipe",
        "directory",
        "unreadable_path",
    ],
)
def test_a_file_that_is_not_exactly_as_installed_is_unreadable(
    ask, sanitized, copies, which, damage
):
    """For the account phase that is a refusal, for both files alike."""
    path = copies[which]
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage in {"empty", "short", "long", "magic"}:
        path.write_bytes(
            {"empty": b"", "short": data[:-1], "long": data + b"\0", "magic": b"X" + data[1:]}[
                damage
            ]
        )
    elif damage in {"group", "world"}:
        path.chmod(0o664 if damage == "group" else 0o646)
    elif damage == "owner":
        os.chown(path, 65534, 0)
    elif damage == "link":
        path.rename(path.with_suffix(".real"))
        path.symlink_to(path.with_suffix(".real"))
    elif damage == "pipe":
        path.unlink()
        os.mkfifo(path)
    elif damage == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.unlink()
        copies[which] = path / "below"
    line = f"{copies[0]}\t{copies[1]}\talice\t{CREATED}\n"
    done = subprocess.run(
        [sanitized.driver("account_vectors")],
        input=line,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.stdout == "node_files_unreadable\t0\t0\t\n", done.stderr


def test_a_record_of_root_is_not_believed_even_with_a_sound_header(ask, small, tmp_path):
    """A forged uid 0, gid 0 or uid outside the windows is unavailable, not an answer."""
    data = bytearray(small[0].read_bytes())
    at = data.index(b"alice\0") - 40
    for change in [
        (at + 8, struct.pack("<I", 0)),
        (at + 12, struct.pack("<I", 0)),
        (at + 8, struct.pack("<I", 200101)),
    ]:
        forged = bytearray(data)
        forged[change[0] : change[0] + 4] = change[1]
        path = tmp_path / "forged.db"
        path.write_bytes(forged)
        assert ask("alice", posix=path) == ("node_files_unreadable", "0", "0", "")


def test_a_window_that_covers_the_system_opens_nothing(ask, small, tmp_path):
    """The reader's own hard limits hold against a header that permits everything."""
    data = bytearray(small[0].read_bytes())
    for window in (256, 384):
        struct.pack_into("<II", data, window, 0, 2**32 - 1)
    struct.pack_into("<I", data, 1020, zlib.crc32(data[:1020]))
    at = data.index(b"alice\0") - 40
    for uid in (0, 999, 60001, 65534, 2**31, 2**32 - 1):
        struct.pack_into("<I", data, at + 8, uid)
        path = tmp_path / "wide.db"
        path.write_bytes(data)
        assert ask("alice", posix=path)[0] == "node_files_unreadable", uid


def test_the_overflow_owner_is_believed_only_outside_the_initial_user_namespace(
    user_namespaces, sanitized, small, c_base
):
    """In a container without root's mapping, root's files show as owned by 65534."""
    directory = c_base / "overflow"
    directory.mkdir()
    for path in small:
        shutil.copy(path, directory / path.name)
    line = f"{directory}/posix.db\t{directory}/bans.db\talice\t{CREATED}\n"
    driver = sanitized.driver("account_vectors")
    inside = [
        "setpriv",
        "--reuid=12345",
        "--regid=12345",
        "--clear-groups",
        "unshare",
        "-r",
        driver,
    ]
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        inside, input=line, capture_output=True, text=True, timeout=20, env=environment
    )
    assert done.stdout.startswith("ok\t200000"), done.stderr
    os.chown(directory / "posix.db", 65534, 65534)
    done = subprocess.run([driver], input=line, capture_output=True, text=True, timeout=20)
    assert done.stdout.startswith("node_files_unreadable")


def test_a_malformed_question_ends_the_vector_driver(sanitized):
    """Status 2, so that a broken vector file is not taken for an answer."""
    for line in ("x\n", "a\tb\tc\n", "a\tb\tc\tx\n", "a\tb\tc\t1\t2\n"):
        done = subprocess.run(
            [sanitized.driver("account_vectors")], input=line, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert done.stdout == ""

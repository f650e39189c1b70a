"""libnss_idmap against glibc's `files`, under replacement, and between marker system calls."""

from __future__ import annotations

import os
import random
import re
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

EXPORTED = {
    f"_nss_idmap_{name}"
    for name in (
        "getpwnam_r getpwuid_r setpwent getpwent_r endpwent getgrnam_r getgrgid_r setgrent getgrent_r endgrent "
        "initgroups_dyn"
    ).split()
}


@pytest.fixture(scope="module")
def population():
    """Random accounts and groups, the same at every run: names, strings and memberships of all sizes."""
    rng = random.Random(20261121)
    letters = "abcdefghijklmnopqrstuvwxyzABC0123456789_-.+"
    groups, users, taken = [], [], set()

    def name() -> str:
        while True:
            new = rng.choice("abcxyz_") + "".join(rng.choices(letters, k=rng.randrange(0, 32)))
            if new not in taken and new.lower() not in {
                "a",
                "bin",
                "sys",
                "adm",
                "backup",
                "audio",
            }:
                taken.add(new)
                return new

    for i in range(40):
        groups.append((name(), 300000 + i * rng.randrange(1, 9) * 41))
    groups = list({gid: (n, gid) for n, gid in groups}.values())
    for i in range(160):
        gids = rng.sample([gid for _, gid in groups], rng.randrange(0, 12))
        gecos = rng.choice(["", "A B", "Zoë Ångström,,,", "x" * rng.randrange(0, 300)])
        home = "/" + "".join(rng.choices(letters + "/", k=rng.randrange(0, 80)))
        values = {
            "gid": rng.choice(groups)[1],
            "gids": gids,
            "gecos": gecos,
            "home": home,
            "shell": "/bin/sh",
        }
        users.append((name(), 200000 + i * 7, values))
    return groups, users


@pytest.fixture
def installed(sanitized, records, user, population):
    """The population where the sanitized module looks."""
    groups, users = population
    made = records(
        groups=groups,
        users=[user(name, uid, **values) for name, uid, values in users],
        windows=["uid\t200000\t299999", "gid\t300000\t399999"],
    )
    sanitized.install(made)
    yield made
    (sanitized.live / "posix.db").unlink()


@pytest.fixture
def root_directory(sanitized, installed, tmp_path):
    """A root directory whose /etc/passwd and /etc/group say the same as posix.db, installed there too."""
    etc = tmp_path / "etc"
    etc.mkdir()
    users = sorted(installed.users, key=lambda user: user.uid)
    (etc / "passwd").write_text("".join(user.passwd() + "\n" for user in users))
    (etc / "group").write_text("".join(line + "\n" for line in installed.group_lines()))
    inside = tmp_path / str(sanitized.live).lstrip("/")
    inside.mkdir(parents=True)
    shutil.copy(sanitized.live / "posix.db", inside / "posix.db")
    return tmp_path


def transcript(build, module, root, questions):
    """The module's answers, one a line."""
    command = [build.driver("nss_transcript"), module, *([str(root)] if root else [])]
    text = "".join(question + "\n" for question in questions)
    # The leak checker needs /proc, which a chroot has not.
    environment = os.environ | {"ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.splitlines()


def test_every_function_answers_as_files_does(sanitized, installed, root_directory):
    """Hits, misses, absurd keys, every buffer size, enumeration and group lists, inside a chroot."""
    questions = ["pwent", "grent", "pwent"]
    for user in installed.users:
        questions += [f"pwnam {user.name}", f"pwuid {user.uid}"]
    for name, gid in installed.groups:
        questions += [f"grnam {name}", f"grgid {gid}"]
    for key in ("nosuch", "root", "x" * 32, "x" * 33, "x" * 900, "a:b", "*", "ü", "0"):
        questions += [f"pwnam {key}", f"grnam {key}"]
    for number in (0, 1, 999, 1000, 60001, 65534, 65535, 200001, 2**31, 2**32 - 1):
        questions += [f"pwuid {number}", f"grgid {number}"]
    ours = transcript(sanitized, sanitized.module, root_directory, questions)
    theirs = transcript(sanitized, "files", root_directory, questions)
    assert len(ours) > 600
    # What a failure leaves in errno is not what `files` leaves; ours is asserted elsewhere.
    status = [re.sub(" errno [0-9]+$", "", line) for line in ours]
    assert status == [re.sub(" errno [0-9]+$", "", line) for line in theirs]


def test_group_lists_agree_with_files(sanitized, installed, root_directory):
    """initgroups: the same set, the primary left out, limits kept; order is not promised."""
    questions = [f"initgroups {user.name} {user.gid} 0" for user in installed.users]
    ours = transcript(sanitized, sanitized.module, root_directory, questions)
    theirs = transcript(sanitized, "files", root_directory, questions)
    for user, mine, other in zip(installed.users, ours, theirs, strict=True):
        assert mine.startswith("status 1:")
        assert sorted(mine.split()[2:]) == sorted(other.split()[2:])
        assert mine.split()[3:] == [str(gid) for gid in user.gids if gid != user.gid]
    user = max(installed.users, key=lambda user: len(user.gids))
    for limit in range(1, len(user.gids) + 3):
        (line,) = transcript(
            sanitized, sanitized.module, None, [f"initgroups {user.name} 1 {limit}"]
        )
        assert line.split()[2:] == ["1", *map(str, user.gids)][:limit]
    assert transcript(sanitized, sanitized.module, None, ["initgroups nosuch 1 0"]) == [
        "status 0: 1"
    ]


def test_an_empty_name_is_nobodys(sanitized, installed):
    """glibc's files would look for it too."""
    assert (
        transcript(sanitized, sanitized.module, None, ["pwnam ", "grnam "])
        == ["status 0 errno 2"] * 2
    )


def test_without_a_file_everything_is_unavailable(sanitized):
    """UNAVAIL with ENOENT, so that glibc goes on to the next source."""
    questions = [
        "pwnam alice",
        "pwuid 200000",
        "grnam proj",
        "grgid 300000",
        "pwent",
        "grent",
        "initgroups alice 1 0",
    ]
    assert not (sanitized.live / "posix.db").exists()
    assert transcript(sanitized, sanitized.module, None, questions) == ["status -1 errno 2"] * 6 + [
        "status -1: 1"
    ]


def test_a_damaged_file_is_unavailable_through_the_module(sanitized, installed):
    """A header that fails its checks is no file."""
    path = sanitized.live / "posix.db"
    data = bytearray(path.read_bytes())
    data[20] ^= 1
    path.write_bytes(data)
    assert transcript(sanitized, sanitized.module, None, ["pwuid 200000"]) == ["status -1 errno 2"]


def test_getent_and_id_print_what_was_compiled(plain, records, user, population):
    """Through glibc itself, with our module as the only source."""
    groups, users = population
    made = records(groups=groups, users=[user(name, uid, **values) for name, uid, values in users])
    plain.install(made)
    environment = os.environ | {"LD_LIBRARY_PATH": str(plain.directory)}

    def getent(*words: str) -> str:
        return subprocess.run(
            ["getent", "-s", "idmap", *words], capture_output=True, text=True, env=environment
        ).stdout

    ordered = sorted(made.users, key=lambda account: account.uid)
    assert getent("passwd") == "".join(account.passwd() + "\n" for account in ordered)
    assert getent("group") == "".join(line + "\n" for line in made.group_lines())
    some = max(made.users, key=lambda account: len(account.gids))
    assert getent("passwd", some.name) == some.passwd() + "\n" == getent("passwd", str(some.uid))
    assert getent("initgroups", some.name).split()[1:] == [str(gid) for gid in some.gids]
    assert getent("shadow", some.name) == ""


@pytest.mark.parametrize("which", ["plain", "clang"])
def test_only_the_entry_points_are_exported(request, which):
    """Nothing else can be called or interposed, by either compiler's build."""
    build = request.getfixturevalue(which)
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", build.module], capture_output=True, text=True
    ).stdout
    assert {line.split()[-1].split("@")[0] for line in listed.splitlines()} == EXPORTED


FORBIDDEN = r"\b(malloc|calloc|free|fopen|fprintf|printf|snprintf|syslog|getenv|setlocale|abort|exit|__assert_fail)\b"


def test_the_module_calls_nothing_that_law_8_forbids(plain):
    """No stdio, syslog, getenv, locale or allocation but realloc."""
    listed = subprocess.run(
        ["nm", "-D", "--undefined-only", plain.module], capture_output=True, text=True
    ).stdout
    assert not re.search(FORBIDDEN, listed), listed
    assert "realloc" in listed


def between_markers(trace: str) -> list[list[str]]:
    """The lines between each pair of markers, by process, without signals and exits."""
    runs, open_runs = [], {}
    for line in trace.splitlines():
        pid, _, rest = line.partition(" ")
        rest = rest.strip()
        if "marker" in rest:
            if pid in open_runs:
                runs.append(open_runs.pop(pid))
            else:
                open_runs[pid] = []
        elif pid in open_runs and not rest.startswith("<... write resumed>"):
            open_runs[pid].append(rest)
    assert not open_runs
    return runs


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("count", [100_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_many_lookups_make_no_system_call(plain, records, tmp_path, present, count):
    """Hits and misses of every kind, and with no file at all; in the process and in a forked child."""
    path = plain.install(records())
    if not present:
        path.unlink()
    trace = tmp_path / "trace"
    driver = [plain.driver("nss_quiet"), plain.module, str(count)]
    command = ["strace", "-f", "-o", str(trace), *driver]
    done = subprocess.run(
        [*command, "alice", "200000", "lab", "300001"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    runs = between_markers(trace.read_text())
    assert runs == [[], []], runs


def test_a_file_that_appears_later_is_found(plain, records, tmp_path):
    """A daemon started before the first sync looks again after a second."""
    source = tmp_path / "later.py"
    source.write_text(
        "import os, pwd, sys, time\n"
        "print('ready', flush=True)\n"
        "start = time.monotonic()\n"
        "while time.monotonic() - start < 8:\n"
        "    try:\n"
        "        print(pwd.getpwnam('alice').pw_uid); break\n"
        "    except KeyError:\n"
        "        time.sleep(0.05)\n"
    )
    live = plain.live / "posix.db"
    live.unlink(missing_ok=True)
    conf = tmp_path / "nsswitch.conf"
    conf.write_text("passwd: idmap\n")
    shell = f"mount --bind {conf} /etc/nsswitch.conf && exec python3 {source}"
    environment = os.environ | {"LD_LIBRARY_PATH": str(plain.directory)}
    command = ["unshare", "-m", "sh", "-c", shell]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.3)
        plain.install(records())
        assert process.stdout.read() == "200000\n"


@pytest.mark.parametrize(
    ("threads", "replacements"),
    [(1, 100), (64, 100), pytest.param(64, 1000, marks=pytest.mark.long)],
)
def test_replacement_under_threads_and_forks_never_mixes_revisions(
    plain, records, user, tmp_path, threads, replacements
):
    """Each call is of one revision, none older than before; no descriptor or mapping is kept."""

    def install(revision: int) -> None:
        tag = f"r{revision}"
        users = [user("alice", 200000, gecos=tag, home=f"/home/{tag}", shell=f"/bin/{tag}")]
        users += [user(f"m{i}_{tag}", 200001 + i, gids=(300001,)) for i in range(2)]
        plain.install(records(users=users, revision=str(revision)))

    stop = tmp_path / "stop"
    install(1)
    command = [
        "nice",
        "-n",
        "19",
        plain.driver("nss_replace"),
        plain.module,
        str(threads),
        str(stop),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        revision = 1
        while revision <= replacements and process.poll() is None:
            revision += 1
            install(revision)
        stop.touch()
        output = process.stdout.read()
        assert process.wait(30) == 0, process.stderr.read() + output
    found = {
        key: int(value)
        for key, value in zip(output.split()[::2], output.split()[1::2], strict=True)
    }
    assert revision == replacements + 1
    assert found["newest"] == revision
    assert found["lookups"] > 1000
    assert found["forks"] > 0
    assert found["leaked_descriptors"] == 0
    assert found["mappings"] == 1


class Paused:
    """Readers that stop inside the library; nss_paused.c has the words."""

    def __init__(self, plain, records, user):
        self.plain, self.records, self.user = plain, records, user

    def __enter__(self):
        command = [self.plain.driver("nss_paused"), self.plain.module]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()

    def install(self, revision):
        tag = f"r{revision}"
        alice = self.user("alice", 200000, gecos=tag, home=f"/home/{tag}", shell=f"/bin/{tag}")
        self.plain.install(self.records(users=[alice], revision=str(revision)))

    def __call__(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


SLOTS = 7
"""Of nss_map.c: how many revisions one process can have mapped."""


def test_paused_readers_keep_their_own_revision_and_the_newest_answers(plain, records, user):
    """All slots but two may be held: lookups still find each new revision at once."""
    with Paused(plain, records, user) as paused:
        for revision in range(1, SLOTS - 1):
            paused.install(revision)
            assert paused("ask") == f"r{revision}"
            assert paused("pause") == str(revision - 1)
        for revision in range(SLOTS, SLOTS + 20):
            paused.install(revision)
            assert paused("ask") == f"r{revision}"
        assert paused("maps") == str(SLOTS - 1)
        for reader in range(SLOTS - 2):
            assert paused(f"release {reader}") == f"r{reader + 1}"
        assert paused("maps") == "1"


def test_when_every_slot_is_held_an_old_whole_revision_answers_until_one_is_free(
    plain, records, user
):
    """Old for as long as SLOTS readers stand still in as many revisions; no clock has a part in it."""
    with Paused(plain, records, user) as paused:
        for revision in range(1, SLOTS + 1):
            paused.install(revision)
            assert paused("ask") == f"r{revision}"
            paused("pause")
        for revision in range(SLOTS + 1, SLOTS + 4):
            paused.install(revision)
            assert paused("ask") == f"r{SLOTS}"
        time.sleep(1.2)  # as long as a look that came too early is put off
        assert paused("ask") == f"r{SLOTS}"
        assert paused("release 2") == "r3"
        assert paused("ask") == f"r{SLOTS + 3}"
        for reader in {*range(SLOTS)} - {2}:
            assert paused(f"release {reader}") == f"r{reader + 1}"
        assert paused("ask") == f"r{SLOTS + 3}"
        assert paused("maps") == "1"


def test_odd_places_get_the_right_answer(plain, records):
    """A small stack, a vfork child, closed standard descriptors; errno is left as it was on success."""
    plain.install(records())
    done = subprocess.run([plain.driver("nss_odd_places"), plain.module], timeout=20)
    assert done.returncode == 0


def test_an_unprivileged_user_namespace_gets_the_right_answer(user_namespaces, plain, records):
    """Apptainer, rootless Podman and `unshare -r` see root's files as owned by nobody."""
    plain.install(records())
    inside = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "unshare", "-r"]
    done = subprocess.run([*inside, plain.driver("nss_odd_places"), plain.module], timeout=20)
    assert done.returncode == 0


def test_the_module_refuses_a_file_of_someone_else(plain, records):
    """Wrong owner or mode: unavailable through the module as well."""
    path = plain.install(records())
    os.chown(path, 65534, 0)
    assert transcript(plain, plain.module, None, ["pwuid 200000"]) == ["status -1 errno 2"]
    os.chown(path, 0, 0)
    path.chmod(0o664)
    assert transcript(plain, plain.module, None, ["pwuid 200000"]) == ["status -1 errno 2"]
    path.chmod(0o644)
    assert transcript(plain, plain.module, None, ["pwuid 200000"])[0].startswith(
        "alice:*:200000:300000"
    )


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4, 0xFFFFFFFF])
def test_flags_are_nothing_to_names_and_numbers(plain, records, flags):
    """Known or not: who is refused here has files here, and a flag of a later version stops no `ls`."""
    path = plain.install(records())
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, 4096 + 36, flags)
    path.write_bytes(data)
    questions = ["pwnam alice", "pwuid 200000", "initgroups alice 300000 0", "grnam lab"]
    answers = transcript(plain, plain.module, None, questions)
    assert answers[0] == answers[1] == "alice:*:200000:300000::/home/alice:/bin/bash"
    assert "300001" in answers[2]
    assert answers[3] == "lab:*:300001:alice"


def test_a_group_whose_members_are_withheld_is_there_and_given_at_logins(plain, records, user):
    """getgrnam and the enumeration show it without members, initgroups gives it; the other groups are whole."""
    users = [user(f"user{n}", 200000 + n, gids=(300001, 300002)) for n in range(50)]
    groups = [("proj", 300000), ("everybody", 300001), ("lab", 300002)]
    plain.install(records(users=users, groups=groups, withheld=(300001,)))
    members = ",".join(f"user{n}" for n in range(50))
    questions = ["grnam everybody", "grgid 300001", "grnam lab", "initgroups user7 300000 0"]
    answers = transcript(plain, plain.module, None, questions)
    assert answers[:3] == ["everybody:*:300001:"] * 2 + [f"lab:*:300002:{members}"]
    assert answers[3].split()[3:] == ["300001", "300002"]
    listed = transcript(plain, plain.module, None, ["grent"])
    assert ["everybody:*:300001:" in line for line in listed].count(True) == 1


def test_installing_puts_the_files_where_they_belong(plain, tmp_path):
    """make install DESTDIR= does not need a running system."""
    source = Path(__file__).resolve().parents[2] / "pam_module"
    for name in ("idmap-compile", "libnss_idmap.so.2"):
        assert (plain.directory / name).exists()
    command = [
        "make",
        "-s",
        "-n",
        "-C",
        str(source),
        f"BUILD={plain.directory}",
        f"DESTDIR={tmp_path}",
        "install",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/usr/bin/idmap-compile" in done.stdout

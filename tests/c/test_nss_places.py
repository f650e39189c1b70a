"""The module where programs run: whole root directories, containers, and `id` and `getent` themselves.

Each test has a private mount namespace; nothing of the machine's own /etc is written.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

LISTED = "getent passwd; getent group"


@pytest.fixture
def many(records, user):
    """Accounts with and without groups, gecos and memberships; no name or number is a number's text."""
    groups = [(f"g{i}-lab", 300000 + 7 * i) for i in range(30)]
    users = [
        user(
            f"person_{i}",
            200000 + 3 * i,
            gid=300000 + 7 * (i % 30),
            gids=[
                300000 + 7 * ((i * k) % 30) for k in range(2, 2 + i % 6) if (i * k) % 30 != i % 30
            ],
            gecos="Zoë Ångström,,," if i % 2 else "",
            shell="/bin/sh",
        )
        for i in range(90)
    ]
    unique = [user(**{**vars(one), "gids": tuple(dict.fromkeys(one.gids))}) for one in users]
    return records(groups=groups, users=unique)


def in_private_mounts(script, environment=None):
    """Runs `script` in a shell with a mount namespace of its own; gives what it printed."""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-euc", script],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | (environment or {}),
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture
def under(plain, tmp_path):
    """Runs a script with /etc/nsswitch.conf, passwd and group as given; our module can be found."""

    def run(services, passwd, group, script):
        etc = tmp_path / f"etc-{services}"
        etc.mkdir(exist_ok=True)
        (etc / "nsswitch.conf").write_text(
            f"passwd: {services}\ngroup: {services}\ninitgroups: {services}\n"
        )
        (etc / "passwd").write_text(passwd)
        (etc / "group").write_text(group)
        binds = "; ".join(
            f"mount --bind {etc / name} /etc/{name}"
            for name in ("nsswitch.conf", "passwd", "group")
        )
        return in_private_mounts(f"{binds}; {script}", {"LD_LIBRARY_PATH": str(plain.directory)})

    return run


def test_id_and_getent_print_the_same_as_with_files_for_every_entry(plain, many, under):
    """Everything listed, then each account and group asked for by name and by number, and `id` of each."""
    plain.install(many)
    users = sorted(many.users, key=lambda user: user.uid)
    passwd = "".join(user.passwd() + "\n" for user in users)
    group = "".join(line + "\n" for line in many.group_lines())
    names = " ".join([*(user.name for user in users), "nosuch"])
    uids = " ".join([*(str(user.uid) for user in users), "199999", "0"])
    group_names = " ".join([*(name for name, _ in many.groups), "nosuch"])
    gids = " ".join([*(str(gid) for _, gid in many.groups), "300001", "0"])
    script = (
        f"{LISTED}; for n in {names}; do getent passwd $n || echo $?; id $n 2>&1 || echo $?;"
        f" id -Gn $n 2>&1 || echo $?; getent initgroups $n || echo $?; done;"
        f" for u in {uids}; do getent passwd $u || echo $?; done;"
        f" for g in {group_names} {gids}; do getent group $g || echo $?; done"
    )
    ours = under("idmap", "", "", script).splitlines()
    theirs = under("files", passwd, group, script).splitlines()
    assert len(ours) > 5 * len(users)
    # The order of supplementary groups is the record's with us and the group file's with `files`.
    assert [unordered(line) for line in ours] == [unordered(line) for line in theirs]


def unordered(line: str) -> list[str]:
    """A line's words, with those of a list of groups sorted behind the first."""
    if line.startswith("uid="):
        head, _, groups = line.partition(" groups=")
        return [head, *sorted(groups.split(","))]
    words = line.split(" ")
    return words if ":" in line else [words[0], *sorted(word for word in words[1:] if word)]


@pytest.fixture
def root_directory(plain, c_base):
    """A root directory with the module, a program that asks and goes on, and what the two need."""
    root = c_base / "container"
    if root.exists():
        return root
    programs = {"/bin/sh": "/bin/sh", "/usr/bin/getent": "/usr/bin/getent"}
    programs["/asks"] = plain.driver("nss_paused")
    command = ["ldd", *programs.values()]
    needed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    libraries = {word for word in needed.split() if word.startswith("/") and word[-1] != ":"}
    for path, source in {**programs, **{path: path for path in libraries}}.items():
        target = root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    place = next(Path(path).parent for path in libraries if "/libc.so" in path)
    shutil.copy(plain.module, root / str(place)[1:])
    for name in ("etc", "proc", str(plain.live)[1:]):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "etc/nsswitch.conf").write_text("passwd: idmap\ngroup: idmap\n")
    return root


@pytest.mark.parametrize("kind", ["chroot", "unprivileged"])
def test_a_container_that_binds_the_directory_sees_each_replacement(
    request, plain, records, user, root_directory, kind
):
    """One process inside asks before and after; the new file lies behind the bound *directory*."""
    if kind == "unprivileged":
        request.getfixturevalue("user_namespaces")

    def install(tag):
        alice = user("alice", 200000, gecos=tag, home=f"/home/{tag}", shell=f"/bin/{tag}")
        plain.install(records(users=[alice]))

    root = root_directory
    enter = f"mount --bind {plain.live} {root}{plain.live}; mount --rbind /proc {root}/proc; exec "
    if kind == "unprivileged":
        enter += "setpriv --reuid=12345 --regid=12345 --clear-groups unshare -r "
    enter += f"chroot {root} /bin/sh -c 'getent passwd alice; exec /asks libnss_idmap.so.2'"
    command = ["unshare", "-m", "--propagation", "private", "sh", "-euc", enter]
    install("r1")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "alice:*:200000:300000:r1:/home/r1:/bin/r1\n"
        for revision in ("r1", "r2", "r3"):
            install(revision)
            process.stdin.write("ask\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{revision}\n"
        process.stdin.close()
        assert process.wait(20) == 0

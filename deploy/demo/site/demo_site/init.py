"""Process 1 of a private host: builds its file system, then keeps it alive for its runner.

Started by `private_host` inside new mount, pid, uts, ipc (and net) namespaces. It makes everything
that exists read-only, covers what must be private, says `ready` on standard output and then waits.
It ends, and with it every process of the namespace, as soon as its standard input closes or the
runner's pidfd says that the runner is gone, even if the runner was killed. Meanwhile it is the
syslog of the host (/dev/log to /var/log/syslog), so that what PAM modules report can be read.

It starts no other process after `ready`.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import TypedDict

from demo_site import layout, mounts

SYSLOG = Path("/var/log/syslog")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 0x1


class Orders(TypedDict):
    """What the runner asks for, as JSON in the only argument."""

    hostname: str
    expose: list[str]
    net: bool
    runner_pidfd: int


def open_directory(path: str) -> int:
    """A handle by which `path` stays reachable after it was covered."""
    return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def make_devices() -> None:
    """A private /dev: the harmless devices of the machine, own terminals, own shared memory."""
    old = open_directory("/dev")
    mounts.mount("tmpfs", "/dev", "tmpfs", mounts.MS_NOSUID, "mode=755,size=1m")
    for name in DEVICES:
        Path("/dev", name).touch()
        mounts.bind(f"/proc/self/fd/{old}/{name}", f"/dev/{name}")
    os.close(old)
    for name, target in (("fd", "/proc/self/fd"), ("ptmx", "pts/ptmx")):
        Path("/dev", name).symlink_to(target)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        Path("/dev", name).symlink_to(f"/proc/self/fd/{number}")
    Path("/dev/pts").mkdir()
    options = "newinstance,ptmxmode=0666,mode=620,gid=5"
    mounts.mount("devpts", "/dev/pts", "devpts", mounts.MS_NOSUID | mounts.MS_NOEXEC, options)
    shared_memory = Path("/dev/shm")  # noqa: S108 the private one
    shared_memory.mkdir()
    mounts.tmpfs(str(shared_memory), 0o1777)


def make_etc() -> None:
    """A private copy of the machine's /etc, owners and modes included, without its host keys."""
    old = open_directory("/etc")
    mounts.tmpfs("/etc", 0o755)
    subprocess.run(  # noqa: S603 fixed arguments
        ["cp", "-a", f"/proc/self/fd/{old}/.", "/etc/"],  # noqa: S607 a fixed PATH
        check=True,
        pass_fds=(old,),
        timeout=60,
    )
    os.close(old)
    for key in Path("/etc/ssh").glob("ssh_host_*"):
        key.unlink()


def make_directories(expose: list[str]) -> None:
    """Covers the private and the closed directories, and shows again what is exposed."""
    plan = layout.plan_layout([Path(path) for path in expose])
    handles = {path: open_directory(path) for path in plan.shown}
    for path, mode in plan.covers.items():
        if Path(path).is_dir() and not Path(path).is_symlink():
            mounts.tmpfs(path, mode)
    for path, handle in handles.items():
        Path(path).mkdir(parents=True, exist_ok=True)
        mounts.bind(f"/proc/self/fd/{handle}", path)
        os.close(handle)
    for path, mode in (("/run/sshd", 0o755), ("/run/lock", 0o1777), ("/run/idmap", 0o755)):
        Path(path).mkdir(parents=True, exist_ok=True)
        Path(path).chmod(mode)


def loopback_up() -> None:
    """Brings up the only interface of a new network namespace (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        answer = fcntl.ioctl(control, SIOCGIFFLAGS, request)
        (flags,) = struct.unpack("16xh14x", answer)
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def build(orders: Orders) -> None:
    """Everything before `ready`. The order matters: covers must not hide what is still to come."""
    mounts.make_all_read_only()
    flags = mounts.MS_NOSUID | mounts.MS_NODEV | mounts.MS_NOEXEC
    mounts.mount("proc", "/proc", "proc", flags)
    make_devices()
    make_etc()
    make_directories(orders["expose"])
    hostname = orders["hostname"]
    socket.sethostname(hostname)
    Path("/etc/hostname").write_text(f"{hostname}\n")
    hosts = Path("/etc/hosts")
    hosts.unlink(missing_ok=True)
    hosts.write_text(f"127.0.0.1 localhost {hostname}\n::1 localhost\n")
    if orders["net"]:
        loopback_up()


def serve(runner_pidfd: int) -> None:
    """Keeps syslog until the runner closes our standard input or dies."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    Path("/dev/log").chmod(0o666)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    watched = select.poll()
    for descriptor in (0, runner_pidfd, log.fileno()):
        watched.register(descriptor, select.POLLIN)
    with SYSLOG.open("ab", buffering=0) as out:
        SYSLOG.chmod(0o640)
        while True:
            for descriptor, _ in watched.poll():
                if descriptor != log.fileno():
                    return
                out.write(log.recv(65536).rstrip(b"\0\n") + b"\n")


def main() -> None:
    """Builds, reports a failure in one line on standard error, or serves."""
    orders: Orders = json.loads(sys.argv[1])
    os.set_inheritable(orders["runner_pidfd"], False)
    os.umask(0o022)
    os.chdir("/")
    try:
        build(orders)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        sys.exit(f"private host: {error}")
    # Orphans of the host become our children; without this they would stay as zombies.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    serve(orders["runner_pidfd"])


if __name__ == "__main__":
    main()

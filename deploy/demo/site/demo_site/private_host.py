"""A private host: real sshd, PAM and NSS on this machine, without touching this machine.

`PrivateHost` starts a process tree in namespaces of its own. Inside, /etc is a private copy;
/run, /home, /var/lib, /opt and the like start empty; the rest of the machine is there read-only;
the network is one loopback interface (unless `net=False`). Nothing in it survives: when the `with`
ends, or when the runner dies in whatever way, process 1 of the host ends and the kernel ends the
rest.

Everything is bounded in time. Secrets go in by `input` or `write`, never by arguments. It needs
root and util-linux (unshare, nsenter, setpriv), not overlayfs; so it also works in bare roots.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")

PACKAGE = Path(__file__).resolve().parent
PROJECT = PACKAGE.parents[3]
START_SECONDS = 30.0
"""Building the file system takes 0.1 s; a loaded machine may take much longer."""
PATH = "/opt/idmap/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
MARKER = "IDMAP_PRIVATE_HOST"
"""Set in every process that a host starts, so that a leftover can be told from a stranger's."""

_ENTER = """
user=$1; log=$2; shift 2
umask 022
if [ -n "$log" ]; then exec >>"$log" 2>&1; fi
if [ "$user" = root ]; then export HOME=/root USER=root LOGNAME=root; cd /; exec "$@"; fi
entry=$(getent passwd "$user") || { echo "private host: no user $user" >&2; exit 127; }
field() { printf '%s' "$entry" | cut -d: -f"$1"; }
export HOME="$(field 6)" USER="$user" LOGNAME="$user"
cd "$HOME" 2>/dev/null || cd /
exec setpriv --reuid "$(field 3)" --regid "$(field 4)" --init-groups -- "$@"
"""
"""Runs inside: sh -c _ENTER sh USER LOG ARGV… Names are resolved by the host's own NSS."""

_WRITE = """
set -e; umask 077
mkdir -p -m 0755 -- "$(dirname -- "$1")"
new=$(mktemp -- "$1.XXXXXX"); trap 'rm -f -- "$new"' EXIT
cat >"$new"; chmod -- "$2" "$new"; chown -- "$3" "$new"; mv -fT -- "$new" "$1"; trap - EXIT
"""


class PrivateHostError(RuntimeError):
    """The host, or something asked of it, failed; the message ends with what was last logged."""


@dataclass(frozen=True)
class Completed:
    """What a command in the host did. Output that is not UTF-8 shows as replacement characters."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    def check(self) -> Self:
        """Itself, or PrivateHostError when the command failed."""
        if self.returncode != 0:
            said = tail(self.stderr or self.stdout)
            raise PrivateHostError(f"{self.argv[0]} exited with {self.returncode}:\n{said}")
        return self


def tail(text: str, lines: int = 25) -> str:
    """The last lines of a log, for error messages."""
    return "\n".join(text.splitlines()[-lines:])


def child_of(pid: int) -> int | None:
    """The process that `pid` forked, or None. For unshare and nsenter, which have one child."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            # "pid (comm) state ppid …"; comm may contain anything, so split after the last ")".
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue  # ended meanwhile
        if parent == pid:
            return int(entry.parent.name)
    return None


def wait_for(predicate: Callable[[], T | None], timeout: float = 10.0, what: str = "") -> T:
    """The first true value of `predicate`, asked 20 times a second; PrivateHostError in the end."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise PrivateHostError(f"waited {timeout:g} s for {what or 'a condition'}, in vain")
        time.sleep(0.05)


class Service:
    """A long-running process of the host, with its output in `log` (a path inside)."""

    def __init__(
        self, host: PrivateHost, name: str, log: str, entry: subprocess.Popen[bytes]
    ) -> None:
        self._host, self._entry = host, entry
        self.name, self.log = name, log

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._entry.poll() is None

    @property
    def returncode(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self._entry.poll()

    @property
    def pid(self) -> int:
        """Its process id as the machine sees it; PrivateHostError when it has ended."""

        def found() -> int | None:
            if not self.alive:
                raise PrivateHostError(f"{self.name} ended with {self.returncode}")
            return child_of(self._entry.pid)

        return wait_for(found, 5, self.name)

    def output(self) -> str:
        """Everything it has printed so far; nothing, when it has not got as far as its log."""
        return self._host.run(["cat", "--", self.log]).stdout

    def stop(self, timeout: float = 10.0) -> None:
        """Ends it: SIGTERM, and after `timeout` seconds SIGKILL for it and its process group."""
        pid = child_of(self._entry.pid) if self.alive else None
        if pid is not None:
            _signal(pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._entry.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """Ends it and its process group at once."""
        _kill_group(self._entry)


class PrivateHost:
    """See the module. Use as a context manager; one host may be used from several threads.

    `expose` names further directories of the machine that must be reachable by everybody inside
    (read-only); the checkout and the Python interpreter always are.
    """

    def __init__(
        self, *, net: bool = True, hostname: str = "login1", expose: Iterable[Path] = ()
    ) -> None:
        self.net, self.hostname = net, hostname
        self.python = sys.executable
        self.marker = secrets.token_hex(8)
        always = (PROJECT, Path(sys.prefix), Path(sys.base_prefix))
        self._expose = [str(Path(path).resolve()) for path in (*always, *expose)]
        self._services: list[Service] = []
        self._unshare: subprocess.Popen[bytes] | None = None
        self._pid = 0

    @property
    def pid(self) -> int:
        """Process 1 of the host, as the machine sees it."""
        return self._pid

    @property
    def environment(self) -> dict[str, str]:
        """What every process of the host starts with."""
        return {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", MARKER: self.marker}

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise PrivateHostError("a private host needs root: run this with sudo")
        namespaces = ["--mount", "--pid", "--uts", "--ipc", *(["--net"] if self.net else [])]
        runner = os.pidfd_open(os.getpid())
        orders = {
            "hostname": self.hostname,
            "expose": self._expose,
            "net": self.net,
            "runner_pidfd": runner,
        }
        try:
            self._unshare = subprocess.Popen(  # noqa: S603 no shell; the arguments are ours
                [  # noqa: S607 root's own PATH decides, as for any command of root
                    "unshare",
                    *namespaces,
                    "--fork",
                    "--kill-child",
                    "--propagation",
                    "private",
                    "--",
                    self.python,
                    "-m",
                    "demo_site.init",
                    json.dumps(orders),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(runner,),
                env={**self.environment, "PYTHONPATH": str(PACKAGE.parent)},
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(runner)
        try:
            self._wait_until_ready(self._unshare)
        except BaseException:
            self.close()
            raise
        return self

    def _wait_until_ready(self, unshare: subprocess.Popen[bytes]) -> None:
        if unshare.stdout is None or unshare.stderr is None:
            raise PrivateHostError("the private host was started without pipes")
        readable, _, _ = select.select([unshare.stdout], [], [], START_SECONDS)
        if not readable:
            raise PrivateHostError(f"the private host was not ready after {START_SECONDS:g} s")
        if unshare.stdout.readline() != b"ready\n":
            said = unshare.stderr.read(65536).decode(errors="replace")
            raise PrivateHostError(f"the private host did not start:\n{tail(said)}")
        self._pid = wait_for(lambda: child_of(unshare.pid), 5, "process 1 of the private host")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends every process of the host; safe to call twice."""
        if self._unshare is None:
            return
        if self._pid:
            _signal(self._pid, signal.SIGKILL)
        # unshare --kill-child covers the time before process 1 was known.
        _kill_group(self._unshare)
        for service in self._services:
            service.kill()
        for stream in (self._unshare.stdin, self._unshare.stdout, self._unshare.stderr):
            if stream is not None:
                stream.close()
        self._unshare, self._pid, self._services = None, 0, []

    def _popen(
        self,
        argv: Sequence[str],
        user: str | None,
        env: Mapping[str, str] | None,
        log: str,
        piped: bool,
    ) -> subprocess.Popen[bytes]:
        if not self._pid:
            raise PrivateHostError("the private host is not running")
        enter = ["nsenter", "--target", str(self._pid), "--mount", "--pid", "--uts", "--ipc"]
        enter += [*(["--net"] if self.net else []), "--root", "--wd", "--"]
        channel = subprocess.PIPE if piped else subprocess.DEVNULL
        return subprocess.Popen(  # noqa: S603 running what the caller names is its purpose
            [*enter, "sh", "-c", _ENTER, "sh", user or "root", log, *argv],
            stdin=channel,
            stdout=channel,
            stderr=channel,
            env={**self.environment, **(env or {})},
            start_new_session=True,
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str | None = None,
        input: str | bytes | None = None,  # noqa: A002 the name that subprocess.run uses
        env: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> Completed:
        """Runs a command to its end, as `user` (default root), who is looked up inside.

        Standard input is `input`, or empty. Raises PrivateHostError after `timeout` seconds, when
        the command and its process group are ended.
        """
        given = input.encode() if isinstance(input, str) else input
        process = self._popen(argv, user, env, "", piped=True)
        try:
            out, err = process.communicate(given or b"", timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            out, err = process.communicate()
            said = tail((err or out).decode(errors="replace"))
            raise PrivateHostError(f"{argv[0]} ran longer than {timeout:g} s:\n{said}") from None
        except BaseException:
            _kill_group(process)
            raise
        texts = (out.decode(errors="replace"), err.decode(errors="replace"))
        return Completed(tuple(argv), process.returncode, *texts)

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        log: str | None = None,
    ) -> Service:
        """Starts a process that stays; its output goes to `log`, by default /var/log/NAME.log."""
        log = log or f"/var/log/{name}.log"
        service = Service(self, name, log, self._popen(argv, user, env, log, piped=False))
        self._services.append(service)
        return service

    def write(
        self, path: str, text: str | bytes, *, mode: int = 0o644, owner: str = "root:root"
    ) -> None:
        """Puts a file in place in one step, with its directories (0755)."""
        self.run(["sh", "-c", _WRITE, "sh", path, f"{mode:o}", owner], input=text).check()

    def install(self, source: Path, path: str, *, mode: int = 0o644) -> None:
        """Copies a file of the machine into the host, owned by root."""
        self.write(path, source.read_bytes(), mode=mode)

    def read(self, path: str) -> str:
        """The text of a file of the host; PrivateHostError when it cannot be read."""
        return self.run(["cat", "--", path]).check().stdout

    def exists(self, path: str) -> bool:
        """Whether something is at `path`."""
        return self.run(["test", "-e", path]).returncode == 0

    def add_user(
        self,
        name: str,
        uid_number: int,
        *,
        password: str | None = None,
        groups: Sequence[str] = (),
        system: bool = False,
    ) -> None:
        """Makes a *local* account with its own group, by useradd in the private /etc.

        A system account has no home and no shell to log in with.
        """
        place = ["--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
        if not system:
            place = ["--create-home", "--shell", "/bin/bash"]
        self.run(["groupadd", "--gid", str(uid_number), "--", name]).check()
        numbers = ["--uid", str(uid_number), "--gid", str(uid_number)]
        more = ["--groups", ",".join(groups)] if groups else []
        self.run(["useradd", *numbers, *place, *more, "--", name]).check()
        if password is not None:
            self.run(["chpasswd", "--crypt-method", "SHA512"], input=f"{name}:{password}").check()

    def wait_for(
        self,
        predicate: Callable[[], T | None],
        timeout: float = 10.0,
        what: str = "",
        service: Service | None = None,
    ) -> T:
        """Like the function; with `service`, also fails as soon as that ends, with its log."""

        def asked() -> T | None:
            if service is not None and not service.alive:
                raise PrivateHostError(f"{service.name} ended with {service.returncode}")
            return predicate()

        try:
            return wait_for(asked, timeout, what)
        except PrivateHostError as error:
            if service is None:
                raise
            raise PrivateHostError(f"{error}\n{tail(service.output())}") from error


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the process group that `process` leads, then reaps it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired as error:
        raise PrivateHostError(f"process {process.pid} cannot be ended") from error


def tools_missing() -> list[str]:
    """The commands a private host needs and this machine lacks; `make setup` installs them."""
    needed = ("unshare", "nsenter", "setpriv", "useradd", "cp", "sh")
    return [name for name in needed if shutil.which(name) is None]

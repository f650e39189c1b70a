"""A host of one's own for PAM: real libpam, real modules, private /etc/passwd and /etc/pam.d.

`PamHost` writes the files of a node (posix.db by idmap-compile, bans.db by the agent's writer), binds them over the
real ones in a mount namespace of its own, and logs people in with `pam_driver`. The verifier is
whatever the test starts on `host.socket`; nothing here judges tokens.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from idmap.adapters.node_files.bans_db import write_bans
from idmap.application.install_state import InstalledBans
from idmap.entrypoints.verify.protocol import VerifyReply, VerifyRequest
from idmap.entrypoints.verify.server import VerifyServer, open_listener

TREE = Path(__file__).resolve().parents[2]
SOURCES = TREE / "tests" / "c"
DAY = 86400

ANNA = 200017
"""The uid number of `anna`, whom every host has."""

WINDOW = "window=200000-299999"
PASSED_ON = "PAM_CRED_INSUFFICIENT"
"""What the marker module below ours gives: ours had said PAM_IGNORE or PAM_USER_UNKNOWN."""

STACK = (
    "auth [success=done user_unknown=ignore default=die] {module}\n"
    "auth required pam_debug.so auth=cred_insufficient\n"
    "account [success=done ignore=ignore default=die] {module}\n"
    "account required pam_debug.so acct=cred_insufficient\n"
)

_ENTER = (
    'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/pam.d &&'
    ' mount --bind "$3" /etc/nsswitch.conf && mount --bind "$4" /etc/group &&'
    ' shift 4 && exec "$@"'
)


@functools.cache
def built() -> Path:
    """The folder with pam_idmap.so, idmap-compile and idmap-principals, built if need be."""
    build = Path(os.environ.get("IDMAP_C_BUILD", TREE / "build" / "c")).resolve()
    make = ["make", "-s", "-j2", "-C", str(TREE / "pam_module"), f"BUILD={build}", "all"]
    subprocess.run(make, check=True)
    return build


@functools.cache
def driver() -> Path:
    """The program that logs in; bound at start, as Debian's sshd is.

    Lazy binding saves the vector registers on the stack, with what memcpy last had in them.
    """
    return compile_driver("pam_driver", "-rdynamic", "-Wl,-z,now", "-lpam")


def compile_driver(name: str, *options: str, sources: tuple[Path, ...] = ()) -> Path:
    """Compiles tests/c/NAME.c; libraries and flags in `options`."""
    program = built() / "tests" / name
    program.parent.mkdir(exist_ok=True)
    strict = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-g"]
    files = [str(SOURCES / f"{name}.c"), *map(str, sources)]
    include = f"-I{TREE / 'pam_module'}"
    subprocess.run(["cc", *strict, include, "-o", str(program), *files, *options], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Login:
    """What one run of the driver reported, in order: (event, text)."""

    events: tuple[tuple[str, str], ...]

    def texts(self, event: str) -> list[str]:
        """The texts of every event of that kind."""
        return [text for kind, text in self.events if kind == event]

    def code(self, step: str) -> str:
        """PAM's answer to a step."""
        (code,) = self.texts(step)
        return code

    @property
    def told(self) -> str:
        """What the person was told."""
        return "\n".join(text for text in self.texts("error") if text.startswith("idmap:"))

    @property
    def log(self) -> str:
        """What pam_idmap wrote to syslog."""
        return "\n".join(text for text in self.texts("syslog") if text.startswith("pam_idmap"))

    @property
    def prompts(self) -> list[str]:
        """The questions asked with echo off."""
        assert not self.texts("prompt-on")
        return self.texts("prompt-off")


@dataclass
class PamHost:
    """One node. Change the fields, then `login`."""

    directory: Path
    passwd: dict[str, int] = field(default_factory=lambda: {"root": 0, "anna": ANNA})
    group: dict[str, int] = field(default_factory=lambda: {"root": 0})
    arguments: list[str] = field(default_factory=lambda: [WINDOW, "verifier_uid=0"])
    stack: str = STACK

    def __post_init__(self) -> None:
        self.posix = self.directory / "posix.db"
        self.bans = self.directory / "bans.db"
        self.local_groups = self.directory / "local-groups"
        self.socket = self.directory / "verify.sock"
        self.write_posix()
        self.write_bans()

    def write_posix(
        self,
        users: dict[str, str] | None = None,
        *,
        created: int | None = None,
        not_after: int | None = None,
    ) -> None:
        """Compiles posix.db. `users` gives `UID STATE EXPIRES_DAY GRACE_DAY [FLAGS]` by name."""
        now = int(time.time())
        users = {"anna": f"{ANNA} active 0 0"} if users is None else users
        created = now - 60 if created is None else created
        lines = [
            "idmap-posix\t2",
            "revision\t1",
            f"created\t{created}",
            f"not_after\t{now + DAY if not_after is None else not_after}",
            "window\tuid\t200000\t400000",
            "window\tgid\t200000\t400000",
            "group\tlab\t200001",
        ]
        for name, record in users.items():
            uid, state, expires, grace, *flags = record.split()
            who = f"user\t{name}\t{uid}\t200001\t{state}\t{expires}\t{grace}"
            lines.append(f"{who}\t/home/{name}\t/bin/sh\t{name}\t\t{(flags or [0])[0]}")
        text = "".join(line + "\n" for line in [*lines, f"end\t1\t{len(users)}"])
        command = [str(built() / "idmap-compile"), "posix", "--in", "-", "--out", str(self.posix)]
        subprocess.run(command, input=text, text=True, check=True)

    def write_bans(
        self, bans: dict[int, int] | None = None, *, skew: bool = False, signed_time: int = 0
    ) -> None:
        """Replaces bans.db. `bans` gives the end of a ban (0: none) by uid number."""
        listed = tuple((bans or {}).items())
        write_bans(self.bans, InstalledBans(1, 0, signed_time, skew, listed))

    @property
    def module(self) -> str:
        """The module and its arguments, as they stand in a pam.d file."""
        files = [f"posix={self.posix}", f"bans={self.bans}", f"socket={self.socket}"]
        files.append(f"local_groups={self.local_groups}")
        return " ".join([str(built() / "pam_idmap.so"), *files, *self.arguments])

    def run(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a program with this host's passwd, pam.d and nsswitch.conf."""
        passwd = self.directory / "passwd"
        lines = [f"{name}:*:{uid}:{uid}::/tmp:/bin/sh\n" for name, uid in self.passwd.items()]
        passwd.write_text("".join(lines))
        switch = self.directory / "nsswitch.conf"
        switch.write_text("passwd: files\ngroup: files\nshadow: files\n")
        stacks = self.directory / "pam.d"
        stacks.mkdir(exist_ok=True)
        (stacks / "door").write_text(self.stack.format(module=self.module))
        (stacks / "other").write_text("auth required pam_deny.so\naccount required pam_deny.so\n")
        group = self.directory / "group"
        group.write_text("".join(f"{name}:x:{gid}:\n" for name, gid in self.group.items()))
        over = map(str, (passwd, stacks, switch, group))
        enter = ["unshare", "-m", "sh", "-c", _ENTER, "sh", *over]
        return subprocess.run(
            [*enter, *command], input=stdin, capture_output=True, text=True, timeout=30, check=False
        )

    def login(
        self, username: str, *answers: str, steps: str = "auth", options: tuple[str, ...] = ()
    ) -> Login:
        """Logs `username` in; `steps` are pam_driver's, separated by blanks."""
        command = [str(driver()), *options, "door", username, *steps.split()]
        result = self.run(*command, stdin="".join(answer + "\n" for answer in answers))
        assert result.returncode == 0, result
        events = [line.partition("\t")[::2] for line in result.stdout.splitlines()]
        return Login(tuple(events))


@contextmanager
def new_host() -> Iterator[PamHost]:
    """A host with `anna` in posix.db and in the system, and no verifier."""
    directory = Path(tempfile.mkdtemp(prefix="idmap-pam-"))
    try:
        yield PamHost(directory)
    finally:
        shutil.rmtree(directory)


@contextmanager
def verifier(
    path: Path, answer: Callable[[VerifyRequest], VerifyReply]
) -> Iterator[list[VerifyRequest]]:
    """Our server in a thread, as root; gives the list of requests that came."""
    seen: list[VerifyRequest] = []

    def remember(request: VerifyRequest) -> VerifyReply:
        seen.append(request)
        return answer(request)

    server = VerifyServer(open_listener(path, {}), remember)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield seen
    finally:
        server.stop()
        thread.join()
        path.unlink(missing_ok=True)

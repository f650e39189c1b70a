"""Builds of the C part for its tests, and the text that idmap-compile reads.

Everything is built out of tree with make, into pytest's own directory. The NSS module has its path
compiled in, so each build comes with the `live` directory in which it looks for posix.db.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from idmap.adapters.node_files.bans_db import write_bans
from idmap.application.install_state import InstalledBans

ROOT = Path(__file__).resolve().parents[2]
PAM_MODULE = ROOT / "pam_module"
CLOSED = "2000000000"
"""A not_after far enough away for every test."""


@dataclass(frozen=True)
class User:
    """One user line; the defaults are a sound account."""

    name: str
    uid: int
    gid: int = 300000
    state: str = "active"
    expires_day: int = 0
    grace_day: int = 0
    home: str | None = None
    shell: str = "/bin/bash"
    gecos: str = ""
    gids: Sequence[int] = ()
    flags: int = 0

    def line(self) -> str:
        """The record as text."""
        home = f"/home/{self.name}" if self.home is None else self.home
        values = (self.name, self.uid, self.gid, self.state, self.expires_day, self.grace_day)
        texts = (home, self.shell, self.gecos, ",".join(map(str, self.gids)))
        return "\t".join(("user", *map(str, values), *texts, str(self.flags)))

    def passwd(self) -> str:
        """The line that glibc's `files` reads for the same account."""
        home = f"/home/{self.name}" if self.home is None else self.home
        return f"{self.name}:*:{self.uid}:{self.gid}:{self.gecos}:{home}:{self.shell}"


@dataclass(frozen=True)
class Records:
    """The input of `idmap-compile posix`."""

    users: Sequence[User] = (User("alice", 200000, gids=(300001,)), User("bob", 200001))
    groups: Sequence[tuple[str, int]] = (("proj", 300000), ("lab", 300001))
    withheld: Sequence[int] = ()
    """Gids of groups whose members are not to be listed."""
    revision: str = "7"
    created: str = "1700000000"
    not_after: str = CLOSED
    windows: Sequence[str] = ("uid\t200000\t299999", "gid\t300000\t399999")
    extra: Sequence[str] = field(default=())

    def text(self) -> str:
        """The records as text, in the order of their numbers, as the compiler wants them."""
        groups = sorted(self.groups, key=lambda group: group[1])
        users = sorted(self.users, key=lambda user: user.uid)
        lines = ["idmap-posix\t2", f"revision\t{self.revision}", f"created\t{self.created}"]
        lines += [f"not_after\t{self.not_after}", *(f"window\t{w}" for w in self.windows)]
        for name, gid in groups:
            lines.append(f"group\t{name}\t{gid}" + "\tnomembers" * (gid in self.withheld))
        lines += [user.line() for user in users]
        lines += [*self.extra, f"end\t{len(self.groups)}\t{len(self.users)}"]
        return "".join(line + "\n" for line in lines)

    def group_lines(self) -> list[str]:
        """The lines that glibc's `files` reads for the same groups, in order of number."""
        lines = []
        for name, gid in sorted(self.groups, key=lambda group: group[1]):
            users = sorted(self.users, key=lambda user: user.uid)
            listed = [] if gid in self.withheld else users
            members = ",".join(user.name for user in listed if gid in user.gids)
            lines.append(f"{name}:*:{gid}:{members}")
        return lines


SOUND_BANS = InstalledBans(
    counter=1, issued=1700000000, signed_time=1700000000, clock_skew=False, bans=()
)


@dataclass(frozen=True)
class Build:
    """One build of the C part."""

    directory: Path
    live: Path

    @property
    def compiler(self) -> str:
        """The path of idmap-compile."""
        return str(self.directory / "idmap-compile")

    @property
    def module(self) -> str:
        """The path of the NSS module."""
        return str(self.directory / "libnss_idmap.so.2")

    def driver(self, name: str) -> str:
        """The path of a test driver, built when first asked for."""
        _make(self.directory, f"{self.directory}/tests/{name}", self._options())
        return str(self.directory / "tests" / name)

    def _options(self) -> list[str]:
        return (self.directory / "options").read_text().split("\n")

    def compile(
        self, text: str, out: Path, *options: str, prefix: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Runs `idmap-compile posix` on `text`, given on standard input."""
        command = [*prefix, self.compiler, "posix", "--in", "-", "--out", str(out), *options]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60)

    def install(self, records: Records, out: Path | None = None) -> Path:
        """Compiles `records` to `out`, by default to where the module looks; must succeed."""
        target = self.live / "posix.db" if out is None else out
        done = self.compile(records.text(), target)
        assert done.returncode == 0, done.stderr
        return target


def _make(directory: Path, target: str, options: Sequence[str]) -> None:
    command = ["make", "-s", "-j2", "-C", str(PAM_MODULE), f"BUILD={directory}", *options, target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr


def _build(base: Path, name: str, *options: str) -> Build:
    directory = base / name
    live = base / f"{name}-live"
    directory.mkdir()
    live.mkdir()
    chosen = [f"POSIX_DB={live}/posix.db", *options]
    (directory / "options").write_text("\n".join(chosen))
    _make(directory, f"{directory}/libnss_idmap.so.2", chosen)
    _make(directory, f"{directory}/idmap-compile", chosen)
    return Build(directory, live)


@pytest.fixture(scope="session")
def c_base() -> Iterator[Path]:
    """Where builds go. Some tests change user, and pytest's own directory is closed to others."""
    with tempfile.TemporaryDirectory(prefix="idmap-c-", dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def plain(c_base: Path) -> Build:
    """As installed, but for the path."""
    return _build(c_base, "plain", "CC=gcc")


@pytest.fixture(scope="session")
def sanitized(c_base: Path) -> Build:
    """With AddressSanitizer and UBSan."""
    return _build(c_base, "sanitized", "CC=gcc", "SANITIZE=1", "CFLAGS=-O1 -g")


@pytest.fixture(scope="session")
def clang(c_base: Path) -> Build:
    """Built by clang with the same warnings as errors."""
    return _build(c_base, "clang", "CC=clang")


@pytest.fixture
def records() -> Callable[..., Records]:
    """Sound records, with what the test changes."""
    return lambda **changes: replace(Records(), **changes)


@pytest.fixture
def user() -> type[User]:
    """The user line's class."""
    return User


@pytest.fixture
def install_bans() -> Callable[..., None]:
    """Writes a bans.db at a path; a sound one, with what the test changes."""
    return lambda path, **changes: write_bans(path, replace(SOUND_BANS, **changes))


@pytest.fixture
def user_namespaces() -> None:
    """Skips, with the reason in the report, where the kernel gives none: inside a chroot, for instance."""
    done = subprocess.run(["unshare", "-r", "true"], capture_output=True, text=True, timeout=10)
    if done.returncode != 0:
        pytest.skip(f"this kernel gives no user namespace here: {done.stderr.strip()}")

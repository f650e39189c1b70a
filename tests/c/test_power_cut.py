"""After a power cut at any moment, posix.db and bans.db are the old file or the new one, never neither.

The system calls of a real installation are recorded with strace and then replayed into every state that a disk may
be left in by a file system that promises only what POSIX does: what an fsync covered is there; of the rest, each change
of a directory and each page of a file may be there or not, in any order. Nothing is assumed of journals or ordering.
"""

from __future__ import annotations

import itertools
import re
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = 4096
LINE = re.compile(r"^\d+\s+(\w+)\((.*)\)\s+= (-?\d+)")
RECORDED = "openat,close,pwrite64,write,ftruncate,fsync,fdatasync,linkat,rename,renameat,renameat2,unlinkat"
CHECKSUM_AT = {"posix.db": 1020, "bans.db": 60}
"""Of the header; it covers what stands before it."""
SECOND_BANS = """
import sys, pathlib
from idmap.adapters.node_files.bans_db import write_bans
from idmap.application.install_state import InstalledBans
bans = tuple((200000 + number, number) for number in range(300))
write_bans(pathlib.Path(sys.argv[1]), InstalledBans(8, 1, 1, False, bans))
"""


class Recorded(NamedTuple):
    """An installation: the file's name, its system calls, what it replaced, what it wrote."""

    name: str
    trace: str
    old: bytes
    new: bytes


@dataclass
class Inode:
    """A file: what an fsync has made lasting, what has been done since."""

    lasting: bytes = b""
    current: bytes = b""


@dataclass
class Disk:
    """One directory; `lasting` names what an fsync of it has made lasting, `pending` is what came after."""

    lasting: dict[str, int] = field(default_factory=dict)
    current: dict[str, int] = field(default_factory=dict)
    pending: list[tuple[str, int | None]] = field(default_factory=list)
    inodes: list[Inode] = field(default_factory=list)

    def name(self, name: str, inode: int | None) -> None:
        """Gives `name` to `inode`, or takes it from whatever has it."""
        self.pending.append((name, inode))
        apply(self.current, name, inode)

    def directories(self):
        """Every directory that a cut now may leave: any subset of what is pending, in order."""
        for kept in itertools.product((False, True), repeat=len(self.pending)):
            names = dict(self.lasting)
            for (name, inode), keep in zip(self.pending, kept, strict=True):
                if keep:
                    apply(names, name, inode)
            yield names

    def contents(self, inode: int):
        """Every content that a cut now may leave: old length or new, each changed page by itself old or new."""
        old, new = self.inodes[inode].lasting, self.inodes[inode].current
        if old == new:
            return [new]
        found = [new, old, new[: len(new) // 2], new[:PAGE], old[: len(new)].ljust(len(new), b"\0")]
        for at in range(0, len(new), PAGE):
            stale = old[at : at + PAGE].ljust(len(new[at : at + PAGE]), b"\0")
            found.append(new[:at] + stale + new[at + PAGE :])
        return found


def apply(names: dict[str, int], name: str, inode: int | None) -> None:
    """One change of a directory."""
    if inode is None:
        names.pop(name, None)
    else:
        names[name] = inode


def unquote(text: str) -> bytes:
    """The bytes that strace -xx wrote as a string of hexadecimal escapes."""
    return bytes.fromhex(text.strip().strip('"').replace("\\x", ""))


def name_of(text: str) -> str:
    """The name in its directory of a path as strace -xx wrote it."""
    return Path(unquote(text).decode()).name


def replay(recorded: Recorded):
    """Gives the disk after each recorded call. The directory's only file at first is the target, lasting."""
    target, trace, old, _ = recorded
    disk = Disk({target: 0}, {target: 0}, [], [Inode(old, old)])
    open_files: dict[int, int | None] = {}
    written: dict[int, int] = {}
    yield "the start", disk
    for line in trace.splitlines():
        matched = LINE.match(line)
        if matched is None or int(matched[3]) < 0:
            continue
        call, value = matched[1], int(matched[3])
        words = [word.strip() for word in matched[2].split(", ")]
        if call == "openat":
            name = name_of(words[1])
            if "O_DIRECTORY" in words[2]:
                open_files[value] = None
            elif target in name:
                if name not in disk.current:
                    disk.inodes.append(Inode())
                    disk.name(name, len(disk.inodes) - 1)
                open_files[value] = disk.current[name]
                written[value] = 0
        elif call in {"linkat", "rename", "renameat", "renameat2"}:
            source, new = (name_of(word) for word in words if word.startswith('"'))
            inode = disk.current[source]
            disk.name(new, inode)
            if call != "linkat":
                disk.name(source, None)
        elif call == "unlinkat":
            disk.name(name_of(words[1]), None)
        elif (number := int(words[0])) in open_files:
            held = open_files[number]
            if call == "close":
                del open_files[number]
            elif call == "fsync" and held is None:
                disk.lasting = dict(disk.current)
                disk.pending.clear()
            elif held is not None and call == "fsync":
                disk.inodes[held].lasting = disk.inodes[held].current
            elif held is not None and call == "ftruncate":
                disk.inodes[held].current = disk.inodes[held].current[: int(words[1])]
            elif held is not None and call in {"write", "pwrite64"}:
                data = unquote(words[1])
                at = int(words[3]) if call == "pwrite64" else written[number]
                if call == "write":
                    written[number] = at + len(data)
                before = disk.inodes[held].current
                disk.inodes[held].current = (
                    before[:at].ljust(at, b"\0") + data + before[at + len(data) :]
                )
            else:
                raise AssertionError(f"a call that the replay does not know: {line[:200]}")
        yield line[:120], disk


def revision(name: str, data: bytes) -> int | None:
    """The revision or counter of a sound file; None for one that a reader would not take."""
    at = CHECKSUM_AT[name]
    if len(data) < at + 4 or struct.unpack_from("<Q", data, 16)[0] != len(data):
        return None
    if zlib.crc32(data[:at]) != struct.unpack_from("<I", data, at)[0]:
        return None
    return int(struct.unpack_from("<Q", data, 24)[0])


@pytest.fixture
def recorded_posix(plain, records, user, tmp_path):
    """Revision 8 replaces revision 7."""
    out = tmp_path / "posix.db"
    users = [user(f"u{i}x", 200000 + i, gids=(300001,)) for i in range(200)]
    old = plain.install(records(users=users, revision="7"), out).read_bytes()
    text = records(users=users, revision="8").text()
    done = plain.compile(text, out, prefix=strace(tmp_path))
    assert done.returncode == 0, done.stderr
    return Recorded("posix.db", (tmp_path / "trace").read_text(), old, out.read_bytes())


@pytest.fixture
def recorded_bans(install_bans, tmp_path):
    """The list of counter 8 replaces that of counter 7, in a process of its own."""
    out = tmp_path / "bans.db"
    install_bans(out, counter=7, bans=tuple((200000 + number, 0) for number in range(400)))
    old = out.read_bytes()
    command = [*strace(tmp_path), sys.executable, "-c", SECOND_BANS, str(out)]
    subprocess.run(command, check=True, timeout=60)
    return Recorded("bans.db", (tmp_path / "trace").read_text(), old, out.read_bytes())


@pytest.fixture(params=["posix", "bans"])
def recorded(request):
    """The one and the other."""
    return request.getfixturevalue(f"recorded_{request.param}")


def strace(directory: Path) -> list[str]:
    """What records a program's calls into `directory`/trace."""
    options = ["-f", "-xx", "-s", "10000000", "-o", str(directory / "trace")]
    return ["strace", *options, "-e", f"trace={RECORDED}"]


def failures(recorded: Recorded) -> tuple[list[str], int, set[int | None]]:
    """The steps after which a cut may leave neither file, how many states were looked at, and what they held."""
    name, _, old, new = recorded
    wrong, states, seen = [], 0, set()
    for step, disk in replay(recorded):
        for names in disk.directories():
            inode = names.get(name)
            for data in [b""] if inode is None else disk.contents(inode):
                states += 1
                seen.add(revision(name, data))
                bare = data[:1024] + bytes(4) + data[1028:] if name == "posix.db" else data
                if bare != old and bare != new:
                    wrong.append(step)
    return wrong, states, seen


def test_a_power_cut_at_any_moment_leaves_the_old_file_or_the_new(recorded):
    """Byte for byte, but for the superseded word, in every state of every prefix."""
    wrong, states, seen = failures(recorded)
    assert wrong == []
    assert states > len(list(replay(recorded)))
    assert seen == {7, 8}


def test_the_installed_file_is_never_left_marked(recorded_posix):
    """A marked file under the target's name would be mapped anew at every lookup: only a replaced one may be marked."""
    for step, disk in replay(recorded_posix):
        for names in disk.directories():
            for data in disk.contents(names["posix.db"]):
                assert data[1024:1028] == bytes(4), step


def test_without_the_sync_of_the_file_the_simulation_finds_neither(recorded):
    """The simulation can fail: with the first fsync struck out of the record, it does."""
    lines = recorded.trace.splitlines()
    first = next(i for i, line in enumerate(lines) if " fsync(" in line)
    without = "\n".join(lines[:first] + lines[first + 1 :])
    wrong, _, seen = failures(recorded._replace(trace=without))
    assert wrong
    assert None in seen

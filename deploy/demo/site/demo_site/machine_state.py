"""What a run must leave as it found it: /etc, accounts, listening ports, processes, enablement.

`machine_state()` reads; `differences()` compares two readings and says each difference in a line.
Only reads, and only through /proc and the file system: it starts nothing, so it does not show up in
its own answer. Other people may work on the machine at the same time; with `markers`, only
processes and ports of the private hosts with those markers count.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from demo_site.private_host import MARKER

LISTEN = "0A"
"""TCP state LISTEN in /proc/net/tcp; a bound UDP socket shows as 07 and listens, too."""
TABLES = (("tcp", LISTEN), ("tcp6", LISTEN), ("udp", "07"), ("udp6", "07"))


@dataclass(frozen=True)
class Process:
    """One process; the start time tells a recycled number from the same process."""

    pid: int
    started: int
    command: str
    marker: str


@dataclass(frozen=True)
class MachineState:
    """A reading. `files`: path to mode, owner and content hash (or link target)."""

    files: dict[str, str]
    ports: dict[str, str]
    processes: frozenset[Process]


def _describe(path: Path) -> str:
    """One line that changes when the file does; times do not count."""
    info = path.lstat()
    base = f"{info.st_mode:o} {info.st_uid}:{info.st_gid}"
    if path.is_symlink():
        return f"{base} -> {path.readlink()}"
    if path.is_file():
        return f"{base} {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return base


def read_tree(top: Path) -> dict[str, str]:
    """Every file below `top`; links to units below /etc/systemd are what "enabled" means."""
    found = {}
    for directory, directories, names in os.walk(top):
        for name in (*directories, *names):
            path = Path(directory, name)
            try:
                found[str(path)] = _describe(path)
            except FileNotFoundError:
                continue  # a temporary file of somebody else
    return found


def _marker(environment: bytes) -> str:
    for setting in environment.split(b"\0"):
        name, _, value = setting.partition(b"=")
        if name == MARKER.encode():
            return value.decode(errors="replace")
    return ""


def read_processes() -> Iterator[Process]:
    """Every process but kernel threads and the calling one."""
    for directory in Path("/proc").glob("[0-9]*"):
        if int(directory.name) == os.getpid():
            continue
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
            command = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
            marker = _marker((directory / "environ").read_bytes())
        except (OSError, PermissionError):
            continue  # ended meanwhile
        if command:
            said = command.decode(errors="replace").strip()
            yield Process(int(directory.name), int(fields[19]), said, marker)


def _owners() -> dict[str, str]:
    """Socket inode to the marker of the process that holds it."""
    owners = {}
    for process in read_processes():
        try:
            for handle in Path(f"/proc/{process.pid}/fd").iterdir():
                target = str(handle.readlink())
                if target.startswith("socket:["):
                    owners[target[8:-1]] = process.marker
        except OSError:
            continue
    return owners


def read_ports() -> dict[str, str]:
    """Listening sockets of this network namespace, as PROTOCOL ADDRESS:PORT, to their marker."""
    owners = _owners()
    found = {}
    for table, state in TABLES:
        path = Path("/proc/net", table)
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == state:
                address, _, port = fields[1].partition(":")
                found[f"{table} {address}:{int(port, 16)}"] = owners.get(fields[9], "")
    return found


def machine_state() -> MachineState:
    """Reads the machine as it is now."""
    return MachineState(read_tree(Path("/etc")), read_ports(), frozenset(read_processes()))


def differences(
    before: MachineState, after: MachineState, markers: Collection[str] | None = None
) -> list[str]:
    """What changed, a line each; empty when nothing did.

    Ports and processes that went away are not held against the run: what it found running and
    did not start, it cannot be shown to have ended.
    """
    lines = []
    for path in sorted(before.files.keys() | after.files.keys()):
        old, new = before.files.get(path, "absent"), after.files.get(path, "absent")
        if old != new:
            lines.append(f"{path}: {old} became {new}")
    ports = set(after.ports.items()) - set(before.ports.items())
    lines += [f"listening: {port}" for port, mark in sorted(ports) if _ours(mark, markers)]
    for process in sorted(after.processes - before.processes, key=lambda each: each.pid):
        if _ours(process.marker, markers):
            lines.append(f"running: {process.pid} {process.command}")
    return lines


def _ours(marker: str, markers: Collection[str] | None) -> bool:
    return markers is None or marker in markers

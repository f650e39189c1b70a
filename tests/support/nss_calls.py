"""Asks a real NSS module, loaded by its file, and prints passwd and group lines: run as a process of its own.

    python nss_calls.py MODULE SERVICE [ROOT]      questions on standard input: `pwent`, `grent`, `pwnam NAME`, …

ctypes calls the module's own entry points, so neither nsswitch.conf nor the system's own files have a say.
With ROOT the process first enters it.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator

SUCCESS = 1


class Passwd(ctypes.Structure):
    """struct passwd of glibc."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("gecos", ctypes.c_char_p),
        ("home", ctypes.c_char_p),
        ("shell", ctypes.c_char_p),
    ]

    def line(self) -> bytes:
        """As in passwd(5)."""
        numbers = b"%d:%d" % (self.uid, self.gid)
        return b":".join((self.name, self.password, numbers, self.gecos, self.home, self.shell))


class Group(ctypes.Structure):
    """struct group of glibc."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("password", ctypes.c_char_p),
        ("gid", ctypes.c_uint32),
        ("members", ctypes.POINTER(ctypes.c_char_p)),
    ]

    def line(self) -> bytes:
        """As in group(5)."""
        members = []
        while (member := self.members[len(members)]) is not None:
            members.append(member)
        return b":".join((self.name, self.password, b"%d" % self.gid, b",".join(members)))


class Module:
    """One NSS module."""

    def __init__(self, path: str, service: str) -> None:
        self._library = ctypes.CDLL(path)
        self._service = service
        self._buffer = ctypes.create_string_buffer(1 << 20)

    def answer(self, question: str) -> Iterator[bytes]:
        """The lines of the answer; `none` for a miss."""
        kind, _, key = question.partition(" ")
        record = Passwd() if kind.startswith("pw") else Group()
        if kind in {"pwent", "grent"}:
            self._function(f"set{kind}")(0)
            while self._call(f"get{kind}_r", record):
                yield record.line()
            self._function(f"end{kind}")()
            return
        value: object = key.encode() if kind in {"pwnam", "grnam"} else ctypes.c_uint32(int(key))
        yield record.line() if self._call(f"get{kind}_r", record, value) else b"none"

    def _call(self, name: str, record: Passwd | Group, *key: object) -> bool:
        error = ctypes.c_int(0)
        size = ctypes.c_size_t(len(self._buffer))
        status: int = self._function(name)(
            *key, ctypes.byref(record), self._buffer, size, ctypes.byref(error)
        )
        return status == SUCCESS

    def _function(self, name: str) -> ctypes._CFuncPtr:
        function: ctypes._CFuncPtr = getattr(self._library, f"_nss_{self._service}_{name}")
        return function


def main() -> None:
    """The process."""
    module = Module(sys.argv[1], sys.argv[2])
    if len(sys.argv) > 3:
        os.chroot(sys.argv[3])
        os.chdir("/")
    for question in sys.stdin.read().splitlines():
        for line in module.answer(question):
            sys.stdout.buffer.write(line + b"\n")


if __name__ == "__main__":
    main()

"""Every name and number ever issued, one line per transaction, in `<database>.issued`.

A line is on the disk *before* its transaction commits. A database restored from yesterday's backup finds in it what
was issued since: it withholds those names and numbers from everybody but whom they were issued to (law 2). An entry
is kept whether or not its commit came through; the holder, who asks again, gets the very same.

The first line is `idmap-issued 1 <id>`, the id being random, so that a database knows which journal it has read how
far. Each other line is `<number> <time> <check> <JSON list of entries>`; numbers rise, the check is the
beginning of a SHA-256. A crash can only leave the last line half written: its commit never came, nobody was told of
it, and the next writer cuts it off. Any other line that does not read is damage, and stops whoever would allocate.

Holders are salted digests (trust.py's, halved): the file names accounts, and no identity. It never shrinks; a million
accounts are some 80 MB, of which only the lines that the database does not know are read.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from idmap.adapters.sql.high_water import like_database, sync_directory
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, identity_digest
from idmap.domain.reasons import Reason

FORMAT: Final = 1
_MAGIC: Final = b"idmap-issued"
_BLOCK: Final = 1 << 14
_HOLDER_HEX: Final = 32
"""128 bits: nobody finds another identity with the same."""


@dataclass(frozen=True, slots=True)
class Issue:
    """A name and a number that were issued together."""

    kind: str
    """`user` or `group`."""
    name: str
    number: int
    holder: str
    """Whose they are, as `holder_of` says; empty when nobody can prove it."""


@dataclass(frozen=True, slots=True)
class JournalLine:
    """What one transaction issued."""

    number: int
    at: int
    issued: tuple[Issue, ...]


def holder_of(salt: bytes, owner: Identity | Group, external_id: str | None = None) -> str:
    """Whom something is issued to, unreadable without the realm's salt.

    A group is its issuer's own id for it where that is known: one made anew under the same path is another holder.
    """
    match owner:
        case Group() if external_id is not None:
            # Three zero bytes: no identity and no path has that form.
            digest = hashlib.sha256(salt + f"{owner.issuer}\0\0\0{external_id}".encode()).digest()
        case Identity():
            digest = identity_digest(salt, owner)
        case Group():
            # Two zero bytes: no identity has that form.
            digest = hashlib.sha256(salt + f"{owner.issuer}\0\0{owner.path}".encode()).digest()
    return digest.hex()[:_HOLDER_HEX]


def holder_of_digest(digest: bytes) -> str:
    """The same from an identity's digest, as chunks for enrolled nodes carry it."""
    return digest.hex()[:_HOLDER_HEX]


class IssuedJournal:
    """The journal of one database. Only whoever holds the write transaction may append."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(f"{database.name}.issued")

    def identity(self) -> str | None:
        """The journal's id; None when there is no journal yet.

        Raises InvalidInput(CONFIGURATION_INVALID) for a file that is no journal.
        """
        try:
            with self.path.open("rb") as file:
                return self._header(file)[0]
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._damaged(f"{error.strerror}") from error

    def after(self, number: int) -> tuple[JournalLine, ...]:
        """The lines with a higher number, in order, without reading far beyond them.

        Raises InvalidInput(CONFIGURATION_INVALID) when one of them cannot be understood.
        """
        try:
            with self.path.open("rb") as file:
                lines, _ = self._read(file, number)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise self._damaged(f"{error.strerror}") from error
        return tuple(line for line in lines if line.number > number)

    def append(
        self, issued: Sequence[Issue], at: int, read_until: Callable[[str], int] = lambda _: 0
    ) -> tuple[str, int]:
        """One more line; on return it survives a power cut. Gives the journal's id and the line's number.

        `read_until` tells for the id how far the database has read: the new line stands above that, also when the
        journal lost lines that the database knows.

        Raises OSError, and InvalidInput as above.
        """
        if not self.path.exists():
            self._create()
        with self.path.open("r+b") as file:
            identity, _ = self._header(file)
            lines, end = self._read(file, None)
            number = max(lines[-1].number if lines else 0, read_until(identity)) + 1
            file.seek(end)
            file.truncate()
            file.write(_encode(JournalLine(number, at, tuple(issued))))
            file.flush()
            os.fsync(file.fileno())
        return identity, number

    def _create(self) -> None:
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
        with os.fdopen(descriptor, "wb") as file:
            like_database(descriptor, self._database)
            file.write(b"%s %d %s\n" % (_MAGIC, FORMAT, secrets.token_hex(8).encode()))
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)
        sync_directory(self.path.parent)

    def _header(self, file: BinaryIO) -> tuple[str, int]:
        """The id, and where the lines begin."""
        file.seek(0)
        header = file.readline(200)
        match header.split():
            case [magic, version, identity] if magic == _MAGIC and header.endswith(b"\n"):
                if version != str(FORMAT).encode():
                    raise self._damaged("written by a newer idmap")
                return identity.decode("ascii", "replace"), len(header)
        raise self._damaged("not a journal of issued names")

    def _read(self, file: BinaryIO, after: int | None) -> tuple[list[JournalLine], int]:
        """The lines from `after` on, or only the last one; and where the last good line ends."""
        _, beginning = self._header(file)
        size, block = file.seek(0, os.SEEK_END), _BLOCK
        while True:
            start = max(beginning, size - block)
            file.seek(start)
            data = file.read(size - start)
            if start > beginning:
                cut = data.find(b"\n") + 1
                start, data = start + cut, data[cut:] if cut else b""
            whole = data.count(b"\n")
            reached = whole > 1 if after is None else whole > 0 and _number(data) <= after
            if reached or start <= beginning:
                break
            block *= 4
        return self._parse(data, start)

    def _parse(self, data: bytes, start: int) -> tuple[list[JournalLine], int]:
        lines: list[JournalLine] = []
        texts = data.split(b"\n")
        pieces = texts if texts[-1] else texts[:-1]
        for index, text in enumerate(pieces):
            line = _decode(text)
            if line is None or (lines and line.number <= lines[-1].number):
                if index + 1 == len(pieces):
                    break
                raise self._damaged(f"at byte {start} a line does not read")
            if index + 1 == len(pieces) and texts[-1]:
                break
            lines.append(line)
            start += len(text) + 1
        return lines, start

    def _damaged(self, detail: str) -> InvalidInput:
        return InvalidInput(Reason.CONFIGURATION_INVALID, f"{self.path}: {detail}")


def _encode(line: JournalLine) -> bytes:
    rows = [[issue.kind, issue.name, issue.number, issue.holder] for issue in line.issued]
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    return b"%d %d %s %s\n" % (line.number, line.at, _check(line.number, line.at, text), text)


def _decode(data: bytes) -> JournalLine | None:
    """None for what is no line."""
    try:
        number, at, check, text = data.split(b" ", 3)
        if check != _check(int(number), int(at), text):
            return None
        return JournalLine(int(number), int(at), tuple(_issues(json.loads(text))))
    except (ValueError, TypeError):
        return None


def _issues(rows: Iterable[tuple[str, str, int, str]]) -> Iterable[Issue]:
    for kind, name, number, holder in rows:
        yield Issue(kind, name, number, holder)


def _check(number: int, at: int, text: bytes) -> bytes:
    return hashlib.sha256(b"%d %d %s" % (number, at, text)).hexdigest()[:16].encode("ascii")


def _number(data: bytes) -> int:
    """The number of the first line; one that does not read counts as too high, so that more is read."""
    try:
        return int(data.split(b" ", 1)[0])
    except ValueError:
        return 1 << 62

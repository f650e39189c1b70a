"""How far numbers and counters have come, kept beside the database in
`<database>.high-water.json`; for PostgreSQL, by every host that writes, in a directory of its own.

A database restored from yesterday's backup does not know what was issued since; this file does.
It is written, and on the disk, *before* a commit is acknowledged, so it may be ahead of the
database by what a crash cut off, and is never behind. Whoever allocates skips what the file
counts as issued; whoever opens the database raises its counters above the file's. The manifest
carries the same marks to the nodes.

It also anchors the record of changes: the head of the chain before and after the newest
transaction that wrote to it. The database's own head is one of the two, or the record was cut
short, or is another history's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from idmap.application.ports import RangeStatus
from idmap.domain.errors import InvalidInput
from idmap.domain.numbers import RangePurpose
from idmap.domain.reasons import Reason

FORMAT: Final = 1


@dataclass(frozen=True, slots=True)
class Issued:
    """The numbers of one range that count as issued: all from `first` to `highest`."""

    purpose: RangePurpose
    first: int
    highest: int


@dataclass(frozen=True, slots=True)
class Head:
    """Where a record of changes ends: the newest entry's sequence, and its chain in hexadecimal."""

    sequence: int
    chain: str


@dataclass(frozen=True, slots=True)
class Anchor:
    """The head of the record before and after the newest transaction that wrote to it."""

    before: Head
    after: Head


@dataclass(frozen=True, slots=True)
class Marks:
    """Everything the file says. Ranges are remembered even when the database has forgotten them."""

    revision: int = 0
    ban_counter: int = 0
    ranges: Mapping[str, Issued] = field(default_factory=lambda: MappingProxyType({}))
    record: Anchor | None = None
    """None until the first transaction after an upgrade from a version that kept none."""

    def next_above(self, purpose: RangePurpose, number: int) -> int:
        """The lowest number from `number` upward that no mark counts as issued.

        A number of a forgotten range of people may be a private group's gid too, so it counts for groups as well.
        """
        intervals = sorted(
            (mark.first, mark.highest)
            for mark in self.ranges.values()
            if set(mark.purpose.kinds) & set(purpose.kinds)
        )
        for first, highest in intervals:
            if first <= number <= highest:
                number = highest + 1
        return number

    def ranges_behind(self, ranges: Iterable[RangeStatus]) -> Iterator[tuple[str, int, int]]:
        """(range, its next number, the highest that counts as issued) for ranges that stand at an issued number."""
        for status in ranges:
            start = status.next_number
            if start <= status.range.last:
                free = min(self.next_above(status.range.purpose, start), status.range.last + 1)
                if free > start:
                    yield status.range.name, start, free - 1

    def raised(self, other: Marks) -> Marks:
        """The higher of each; the other's anchor, which is the newer one."""
        ranges = dict(self.ranges)
        for name, mark in other.ranges.items():
            mine = ranges.get(name)
            if mine is None:
                ranges[name] = mark
            else:
                ranges[name] = Issued(
                    mark.purpose, min(mine.first, mark.first), max(mine.highest, mark.highest)
                )
        return Marks(
            revision=max(self.revision, other.revision),
            ban_counter=max(self.ban_counter, other.ban_counter),
            ranges=MappingProxyType(ranges),
            record=other.record or self.record,
        )


class HighWaterFile:
    """The file of one database. Only whoever holds the write transaction may write it.

    Its mode is the database's, where that is a file, and else what the umask leaves of 0660.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self.path = database.with_name(f"{database.name}.high-water.json")

    def read(self) -> Marks:
        """The marks; none when there is no file yet.

        Raises InvalidInput(CONFIGURATION_INVALID) when it cannot be understood: guessing could
        give a number twice.
        """
        try:
            return _parse(json.loads(self.path.read_bytes()))
        except FileNotFoundError:
            return Marks()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(
                Reason.CONFIGURATION_INVALID, f"{self.path}: {type(error).__name__}: {error}"
            ) from error

    def write(self, marks: Marks) -> None:
        """Replaces the file atomically; on return it survives a power cut. Raises OSError."""
        data = json.dumps(_as_json(marks), sort_keys=True, separators=(",", ":")).encode()
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o660)
        with os.fdopen(descriptor, "wb") as file:
            like_database(descriptor, self._database)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)
        sync_directory(self.path.parent)


def like_database(descriptor: int, database: Path) -> None:
    """Gives a new file beside the database its mode, where that is a file, and the service's owner when root writes:
    it has to go on using it.
    """
    if database.exists():
        status = database.stat()
        os.fchmod(descriptor, status.st_mode & 0o777)
    else:
        status = database.parent.stat()
    if os.geteuid() == 0:
        os.fchown(descriptor, status.st_uid, status.st_gid)


def sync_directory(directory: Path) -> None:
    """Makes names that were made or replaced in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _as_json(marks: Marks) -> dict[str, Any]:
    document: dict[str, Any] = {
        "format": FORMAT,
        "revision": marks.revision,
        "ban_counter": marks.ban_counter,
        "ranges": {
            name: {"purpose": str(mark.purpose), "first": mark.first, "highest": mark.highest}
            for name, mark in marks.ranges.items()
        },
    }
    if marks.record is not None:
        document["record"] = {
            "before": [marks.record.before.sequence, marks.record.before.chain],
            "after": [marks.record.after.sequence, marks.record.after.chain],
        }
    return document


def _parse(document: Any) -> Marks:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r} is not known")
    return Marks(
        revision=_number(document["revision"]),
        ban_counter=_number(document["ban_counter"]),
        ranges=MappingProxyType(
            {
                name: Issued(
                    RangePurpose(body["purpose"]), _number(body["first"]), _number(body["highest"])
                )
                for name, body in document["ranges"].items()
            }
        ),
        record=_anchor(document.get("record")),
    )


def _anchor(body: Any) -> Anchor | None:
    if body is None:
        return None
    return Anchor(_head(*body["before"]), _head(*body["after"]))


def _head(sequence: object, chain: object) -> Head:
    if not isinstance(chain, str) or len(bytes.fromhex(chain)) != 32:
        raise ValueError(f"{chain!r} is not a link of a chain")
    return Head(_number(sequence), chain)


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a number")
    return value

"""How far numbers and counters have come, kept beside the database in
`<database>.high-water.json`.

A database restored from yesterday's backup does not know what was issued since; this file does.
It is written, and on the disk, *before* a commit is acknowledged, so it may be ahead of the
database by what a crash cut off, and is never behind. Whoever allocates skips what the file
counts as issued; whoever opens the database raises its counters above the file's. The manifest
carries the same marks to the nodes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

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
class Marks:
    """Everything the file says. Ranges are remembered even when the database has forgotten them."""

    revision: int = 0
    ban_counter: int = 0
    ranges: Mapping[str, Issued] = field(default_factory=lambda: MappingProxyType({}))

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

    def raised(self, other: Marks) -> Marks:
        """The higher of each."""
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
        )


class HighWaterFile:
    """The file of one database. Only whoever holds the write transaction may write it."""

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
            os.fchmod(descriptor, self._database.stat().st_mode & 0o777)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
        new.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _as_json(marks: Marks) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "revision": marks.revision,
        "ban_counter": marks.ban_counter,
        "ranges": {
            name: {"purpose": str(mark.purpose), "first": mark.first, "highest": mark.highest}
            for name, mark in marks.ranges.items()
        },
    }


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
    )


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a number")
    return value

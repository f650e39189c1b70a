"""Server-sent events (WHATWG HTML §9.2), read with a bound.

Only what idmap sends is understood: `event:` and `data:` lines, comments (a sign of life), an empty line as
the end. Events without a type or with a field of another name are ignored. It does not reconnect and does not
judge what the data says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from idmap.domain.errors import NodeInstallFailed
from idmap.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its type and its data lines joined by newlines."""

    name: str
    data: bytes


SIGN_OF_LIFE: Final = Event("", b"")
"""What a comment line becomes: the stream lives, and says nothing."""


def parse_events(parts: Iterable[bytes], limit: int) -> Iterator[Event]:
    """Events as they complete. Raises NodeInstallFailed(DOWNLOAD_FAILED) for one longer than `limit`."""
    pending = bytearray()
    name = b""
    data: list[bytes] = []
    held = 0
    for part in parts:
        searched = len(pending)
        pending += part
        while (end := pending.find(b"\n", searched)) >= 0:
            line = bytes(pending[:end]).removesuffix(b"\r")
            del pending[: end + 1]
            searched = 0
            if not line:
                if name and data:
                    yield Event(name.decode("ascii", "replace"), b"\n".join(data))
                name, data, held = b"", [], 0
                continue
            if line.startswith(b":"):
                yield SIGN_OF_LIFE
                continue
            field, _, value = line.partition(b":")
            value = value.removeprefix(b" ")
            if field == b"event":
                name = value[:64]
            elif field == b"data":
                data.append(value)
                held += len(value) + 1
        if held + len(pending) > limit:
            raise NodeInstallFailed(Reason.DOWNLOAD_FAILED, "an event above the size limit")

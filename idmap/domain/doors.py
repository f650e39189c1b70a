"""Where a credential is shown. A token opens one kind of door (law 13).

A door is named `ssh:<node class>`, `api`, `admin`, `gate` or `component:<name>`; the name is also the key
under which an issuer's profile lists the audiences that door accepts. There is no door for everything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}", re.ASCII)


class DoorKind(StrEnum):
    SSH = "ssh"
    API = "api"
    ADMIN = "admin"
    GATE = "gate"
    COMPONENT = "component"


_LABELLED: Final = frozenset({DoorKind.SSH, DoorKind.COMPONENT})


@dataclass(frozen=True, slots=True, order=True)
class Door:
    """One kind of place. `label` is the node class or the component's name, else empty."""

    kind: DoorKind
    label: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.label}" if self.label else str(self.kind)


API: Final = Door(DoorKind.API)
ADMIN: Final = Door(DoorKind.ADMIN)


def parse_door(text: str) -> Door:
    """A door from its name. Raises InvalidInput(REQUEST_INVALID)."""
    kind_text, separator, label = text.partition(":")
    try:
        kind = DoorKind(kind_text)
    except ValueError:
        raise InvalidInput(Reason.REQUEST_INVALID, f"unknown door {text!r}") from None
    if (kind in _LABELLED) != bool(separator) or (separator and not _LABEL.fullmatch(label)):
        raise InvalidInput(
            Reason.REQUEST_INVALID, f"door {text!r}: a label is for ssh and component"
        )
    return Door(kind, label)


def ssh_door(node_class: str) -> Door:
    """The ssh door of a node class."""
    return parse_door(f"ssh:{node_class}")

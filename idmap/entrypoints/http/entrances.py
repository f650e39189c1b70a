"""The entrances of the service. Each takes one kind of credential (law 13)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Safe methods (RFC 9110 §9.2.1)."""


class Entrance(StrEnum):
    """Where a route is reached, and with what."""

    OPEN = "open"
    API = "api"
    ADMIN = "admin"
    COMPONENT = "component"
    NODE = "node"

"""Capabilities: what a token may be used for, said in its `scope` (WLCG common JWT profile 1.3, "capabilities").

A token with any capability is one for that purpose: its groups then do not authorise (`claims`). Whatever *looks* like
a capability counts for that, also one nobody can read; only well-formed ones are reported. `compute.*` has no
path; `storage.*` must have one. Which capability a door wants, its issuer's profile says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

COMPUTE: Final = frozenset({"read", "create", "modify", "cancel"})
STORAGE: Final = frozenset({"read", "create", "modify", "stage", "poll"})

_PREFIXES: Final = ("compute.", "storage.")
_PATH: Final = re.compile(r"/[!-~]*", re.ASCII)
_MAX_SCOPE: Final = 8192


@dataclass(frozen=True, slots=True, order=True)
class Capability:
    """One capability. `path` is empty for `compute`, absolute for `storage`."""

    kind: str
    action: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.kind}.{self.action}" + (f":{self.path}" if self.path else "")

    def covers(self, wanted: Capability) -> bool:
        """Whether it is for everything that the other is for: the same, or storage from further up the path."""
        alike = (self.kind, self.action) == (wanted.kind, wanted.action)
        below = wanted.path.startswith(f"{self.path.rstrip('/')}/")
        return alike and (self.path == wanted.path or (bool(self.path) and below))


@dataclass(frozen=True, slots=True)
class Purpose:
    """What the scopes say: whether there is any capability, and those that can be read."""

    present: bool
    capabilities: frozenset[Capability]


NO_PURPOSE: Final = Purpose(present=False, capabilities=frozenset())


def parse_purpose(claims: Mapping[str, Any]) -> Purpose:
    """Reads `scope`, a string (RFC 8693 §4.2) or, as some issuers have it, a list of strings.

    Raises InvalidInput(CLAIM_INVALID): a scope that cannot be read might have been a capability.
    """
    value = claims.get("scope", "")
    scopes = value.split(" ") if isinstance(value, str) else value
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise InvalidInput(Reason.CLAIM_INVALID, "scope: a string or an array of strings")
    if sum(map(len, scopes)) > _MAX_SCOPE:
        raise InvalidInput(Reason.CLAIM_INVALID, "scope: too long")
    alike = [scope for scope in scopes if scope.lower().startswith(_PREFIXES)]
    read = (find_capability(scope) for scope in alike)
    return Purpose(bool(alike), frozenset(one for one in read if one is not None))


def find_capability(scope: str) -> Capability | None:
    """The capability that a scope is; None when it is none, or not a well-formed one."""
    name, colon, path = scope.partition(":")
    kind, _, action = name.partition(".")
    if kind == "compute" and action in COMPUTE and not colon:
        return Capability(kind, action)
    if kind == "storage" and action in STORAGE and _PATH.fullmatch(path):
        # A path that climbs has two readings; neither is ours to choose.
        return None if {".", ".."} & set(path.split("/")) else Capability(kind, action, path)
    return None

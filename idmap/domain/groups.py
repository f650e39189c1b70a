"""A group's canonical id: what a rule names and a gid is bound to.

One group has several spellings (INDIGO IAM `vo/sub`, WLCG `/vo/sub`). The canonical form is the path without a leading
slash, bound to its issuer. Membership of a child never implies membership of its parent: an
issuer that wants that says so by listing both (INDIGO IAM does). AARC URNs, roles and Keycloak paths
are other dialects, not read here yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason

MAX_PATH: Final = 512
"""INDIGO IAM's own limit on a group's full path."""

_COMPONENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
"""WLCG profile 1.3, `group`: the narrower of the two grammars we read."""


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """A group as an issuer knows it: its issuer and its canonical path."""

    issuer: Issuer
    path: str

    def __str__(self) -> str:
        return f"{self.path} @ {self.issuer}"


def parse_group(issuer: Issuer, spelling: object) -> Group:
    """A group from a rule, a claim or a source. Raises InvalidInput(CLAIM_INVALID)."""
    if not isinstance(spelling, str) or not 1 <= len(spelling) <= MAX_PATH:
        raise InvalidInput(Reason.CLAIM_INVALID, "group: a path of 1 to 512 characters is needed")
    path = spelling.removeprefix("/")
    if not all(_COMPONENT.fullmatch(component) for component in path.split("/")):
        raise InvalidInput(Reason.CLAIM_INVALID, f"group: {spelling[:80]!r} is not a group path")
    return Group(issuer, path)

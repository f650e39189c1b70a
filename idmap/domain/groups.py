"""A group's canonical id: what a rule names and a gid is bound to.

One group has several spellings (INDIGO IAM `vo/sub`, WLCG and Keycloak `/vo/sub`, AARC `urn:…:group:vo:sub`). The
canonical form is the path without a leading slash, bound to its issuer, with `:role=<role>` behind it when the
membership is one in a role; a role of the whole issuer has no path (`:role=<role>`). Names beyond WLCG's alphabet are
percent-encoded, one spelling per name, so a name can hold a slash or a colon without becoming structure.

Membership of a child never implies membership of its parent, nor a role that of its group: an issuer that wants
that says so by listing both (INDIGO IAM does), or its profile says `parents_implied`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason

MAX_PATH: Final = 512
"""INDIGO IAM's own limit on a group's full path."""

_COMPONENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
"""WLCG profile 1.3, `group`: the narrower of the grammars we read, and what is never percent-encoded."""

LOCAL_ISSUER: Final = Issuer("idmap:local")
"""Site-local groups are bound to no issuer; this stands in its place. No profile, rule, source or token may name it."""

PRIVATE_ISSUER: Final = Issuer("idmap:private")
"""Likewise for private groups: the path is the username of the one account whose primary group it is."""

SHARED_ISSUER: Final = Issuer("idmap:shared")
"""Likewise for shared accounts: they belong to nobody, so what was issued to one is issued to its name."""

OUR_ISSUERS: Final = frozenset({LOCAL_ISSUER, PRIVATE_ISSUER, SHARED_ISSUER})

_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ROLE: Final = ":role="


@dataclass(frozen=True, slots=True, order=True)
class Group:
    """A group as an issuer knows it: its issuer and its canonical path."""

    issuer: Issuer
    path: str

    def __str__(self) -> str:
        return f"{self.path} @ {self.issuer}"


PRIVATE_GROUP: Final = Group(PRIVATE_ISSUER, "own")
"""In an account class: each account gets a primary group of its own, with its name and its number as gid."""


def local_group(name: str) -> Group:
    """The site-local group of that name."""
    return Group(LOCAL_ISSUER, name)


def is_federated(group: Group) -> bool:
    """Whether an issuer knows the group; of the others only people here say who is in them."""
    return group.issuer not in OUR_ISSUERS


def parse_group(issuer: Issuer, spelling: object) -> Group:
    """A group from a claim or a source that speaks in plain paths. Raises InvalidInput(CLAIM_INVALID)."""
    text = _bounded(spelling)
    path = text.removeprefix("/")
    if not all(_COMPONENT.fullmatch(component) for component in path.split("/")):
        raise _invalid(text, "is not a group path")
    return Group(issuer, path)


def parse_keycloak_path(issuer: Issuer, spelling: object) -> Group:
    """A group from Keycloak's mapper with "full path" on: `/vo/sub`. Raises InvalidInput(CLAIM_INVALID).

    Without the leading slash it is a bare name, which two groups may share; Keycloak writes a slash inside a name as
    `~/`. Both are refused. Other characters are kept, encoded.
    """
    text = _bounded(spelling)
    if not text.startswith("/") or "~" in text:
        raise _invalid(text, "is not a full group path")
    return make_group(issuer, text[1:].split("/"))


def parse_group_id(issuer: Issuer, spelling: object) -> Group:
    """A group as rules name it: the canonical id, a leading slash allowed. Raises InvalidInput(CLAIM_INVALID)."""
    text = _bounded(spelling)
    path, separator, role = text.removeprefix("/").partition(_ROLE)
    names = [decode_name(component) for component in path.split("/")] if path else []
    if not names and not separator:
        raise _invalid(text, "is not a group path")
    group = make_group(issuer, names, decode_name(role) if separator else None)
    if group.path != text.removeprefix("/"):
        raise _invalid(text, f"is written {group.path!r}")
    return group


def make_group(issuer: Issuer, names: Iterable[str], role: str | None = None) -> Group:
    """The group of these names, outermost first. Raises InvalidInput(CLAIM_INVALID)."""
    path = "/".join(encode_name(name) for name in names)
    if role is not None:
        path += f"{_ROLE}{encode_name(role)}"
    if not 1 <= len(path) <= MAX_PATH:
        raise _invalid(path, "is empty or too long")
    return Group(issuer, path)


def implied_groups(group: Group) -> frozenset[Group]:
    """What `group` implies where the profile says `parents_implied`: the group of a role, and every parent."""
    path, separator, _ = group.path.partition(_ROLE)
    parts = path.split("/") if path else []
    last = len(parts) if separator else len(parts) - 1
    return frozenset(Group(group.issuer, "/".join(parts[:end])) for end in range(1, last + 1))


def split_path(path: str) -> tuple[tuple[str, ...], str | None]:
    """The names of a canonical path, outermost first, and its role; decoded. Raises InvalidInput(CLAIM_INVALID)."""
    names, separator, role = path.partition(_ROLE)
    decoded = tuple(decode_name(part) for part in names.split("/")) if names else ()
    return decoded, decode_name(role) if separator else None


def encode_name(name: str) -> str:
    """One name as it stands in a canonical path: whatever is outside WLCG's alphabet as %XX of its UTF-8.

    Raises InvalidInput(CLAIM_INVALID) for an empty name, outer blanks, and characters that cannot be seen.
    """
    if not name or name != name.strip():
        raise _invalid(name, "a name is empty or has outer blanks")
    if any(unicodedata.category(character).startswith("C") for character in name):
        raise _invalid(name, "a name holds a control or unassigned character")
    return "".join(
        character
        if _COMPONENT.fullmatch(character if index == 0 else f"a{character}")
        else "".join(f"%{byte:02X}" for byte in character.encode())
        for index, character in enumerate(name)
    )


def decode_name(text: str) -> str:
    """The name behind a percent-encoded component. Raises InvalidInput(CLAIM_INVALID)."""
    if _PERCENT.search(text):
        raise _invalid(text, "has a % that encodes nothing")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError:  # also of a lone surrogate, which JSON can carry
        raise _invalid(text, "does not encode UTF-8") from None


def _bounded(spelling: object) -> str:
    if not isinstance(spelling, str) or not 1 <= len(spelling) <= MAX_PATH:
        raise InvalidInput(Reason.CLAIM_INVALID, "group: a path of 1 to 512 characters is needed")
    return spelling


def _invalid(text: str, problem: str) -> InvalidInput:
    return InvalidInput(Reason.CLAIM_INVALID, f"group: {text[:80]!r} {problem}")

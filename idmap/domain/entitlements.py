"""Entitlements: the URNs by which proxies assert groups (AARC-G002, AARC-G069) and rights to resources (AARC-G027).

    <NAMESPACE>:group:<GROUP>[:<SUBGROUP>…][:role=<ROLE>][#<AUTHORITY>]
    <NAMESPACE>:res:<RESOURCE>[:<CHILD>…][:act:<ACTION>[,<ACTION>…]][#<AUTHORITY>]

Structure is read first and percent-encoding undone afterwards, part by part: an encoded `:` or `#` is a character of a
name. `urn` and the namespace identifier compare without case, everything behind them byte for byte (RFC 8141 §3.1).
RFC 8141 knows no blanks, yet Helmholtz sends them in sub-groups and Perun in authorities: a single blank inside a
name, a role or an authority reads like `%20`; anywhere else, and other characters outside RFC 8141, spoil the URN.

What is parsed is not yet believed: the profile pins one namespace and lists the authorities (`Pinning`). It does
*not* say that a child implies its parent, nor that a role implies its group: see `groups`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from idmap.domain.errors import InvalidInput
from idmap.domain.groups import decode_name, encode_name
from idmap.domain.reasons import Reason

MAX_ENTITLEMENT: Final = 1024
"""Longest URN read; the longest group path, every character of it encoded, is refused anyway."""

_HEAD: Final = re.compile(r"(?i:urn):([A-Za-z0-9][A-Za-z0-9-]{0,30}[A-Za-z0-9])", re.ASCII)
"""RFC 8141 §2: scheme and namespace identifier."""

_PLAIN: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=@/-]|%[0-9A-Fa-f]{2})+", re.ASCII)
"""One part between colons: RFC 8141's `pchar` and `/`, without the colon."""

_WITH_BLANKS: Final = re.compile(rf"{_PLAIN.pattern}(?: {_PLAIN.pattern})*", re.ASCII)
_AUTHORITY: Final = re.compile(
    r"(?:[A-Za-z0-9._~!$&'()*+,;=@/?:-]|%[0-9A-Fa-f]{2})+"
    r"(?: (?:[A-Za-z0-9._~!$&'()*+,;=@/?:-]|%[0-9A-Fa-f]{2})+)*",
    re.ASCII,
)
_GROUP: Final = "group"
_RESOURCE: Final = "res"
_ROLE: Final = "role="
_ACTIONS: Final = "act"


@dataclass(frozen=True, slots=True)
class GroupEntitlement:
    """Membership of a group, perhaps in a role. Names are decoded; namespace and authority are as sent."""

    namespace: str
    """`urn:<nid>:…`, scheme and identifier in lower case."""
    names: tuple[str, ...]
    role: str | None = None
    authority: str = ""
    """Who vouches for it; empty when the URN does not say."""


@dataclass(frozen=True, slots=True)
class ResourceEntitlement:
    """A right to a resource (AARC-G027). Without actions the URN names none; nothing is added."""

    namespace: str
    names: tuple[str, ...]
    actions: frozenset[str] = frozenset()
    authority: str = ""


Entitlement = GroupEntitlement | ResourceEntitlement


@dataclass(frozen=True, slots=True)
class Pinning:
    """What an issuer may speak of: one namespace, so that two groups never share a path, and who may vouch for it."""

    namespace: str
    authorities: frozenset[str]
    """Compared byte for byte; the empty string stands for a URN without authority."""

    def covers(self, entitlement: Entitlement) -> bool:
        """Whether the entitlement counts."""
        return entitlement.namespace == self.namespace and entitlement.authority in self.authorities


def parse_entitlement(value: object) -> Entitlement:
    """Reads one URN. Raises InvalidInput(CLAIM_INVALID) for everything that is not exactly of one of the two forms."""
    if not isinstance(value, str) or len(value) > MAX_ENTITLEMENT:
        raise _invalid("not a URN of a readable length")
    text, hash_sign, authority = value.partition("#")
    if hash_sign and not _AUTHORITY.fullmatch(authority):
        raise _invalid("the authority is empty or malformed")
    parts = text.split(":")
    cut = next((i for i in range(3, len(parts)) if parts[i] in {_GROUP, _RESOURCE}), None)
    if cut is None:
        raise _invalid("neither a group nor a resource")
    namespace = parse_namespace(":".join(parts[:cut]))
    body = parts[cut + 1 :]
    if parts[cut] == _GROUP:
        return _group(namespace, body, authority)
    return _resource(namespace, body, authority)


def parse_namespace(text: str) -> str:
    """A namespace in its canonical form, at least `urn:<nid>:<one part>`. Raises InvalidInput(CLAIM_INVALID)."""
    scheme, _, rest = text.partition(":")
    identifier, _, specific = rest.partition(":")
    if not _HEAD.fullmatch(f"{scheme}:{identifier}"):
        raise _invalid("not a URN (RFC 8141 §2)")
    parts = specific.split(":")
    if not all(_PLAIN.fullmatch(part) for part in parts) or {_GROUP, _RESOURCE} & set(parts):
        raise _invalid("the namespace is malformed")
    return f"urn:{identifier.lower()}:{_upper_hex(specific)}"


def entitlement_urn(entitlement: Entitlement) -> str:
    """The entitlement as a URN, in the one spelling that needs no blanks; inverse of `parse_entitlement`."""
    names = ":".join(_spelled(name) for name in entitlement.names)
    match entitlement:
        case GroupEntitlement(role=role):
            text = f"{entitlement.namespace}:{_GROUP}:{names}"
            text += "" if role is None else f":{_ROLE}{encode_name(role)}"
        case ResourceEntitlement(actions=actions):
            text = f"{entitlement.namespace}:{_RESOURCE}:{names}"
            listed = ",".join(sorted(encode_name(action) for action in actions))
            text += f":{_ACTIONS}:{listed}" if listed else ""
    return f"{text}#{entitlement.authority}" if entitlement.authority else text


def _group(namespace: str, body: list[str], authority: str) -> GroupEntitlement:
    role = None
    if body and body[-1].startswith(_ROLE):
        role = _name(body.pop().removeprefix(_ROLE))
    if any(part.startswith(_ROLE) for part in body):
        raise _invalid("a role belongs to the last group only (AARC-G069)")
    return GroupEntitlement(namespace, _names(body), role, authority)


def _resource(namespace: str, body: list[str], authority: str) -> ResourceEntitlement:
    actions: frozenset[str] = frozenset()
    if _ACTIONS in body:
        at = body.index(_ACTIONS)
        if len(body) != at + 2:
            raise _invalid("one list of actions ends a resource (AARC-G027)")
        actions = frozenset(_name(action) for action in body[at + 1].split(","))
        body = body[:at]
    return ResourceEntitlement(namespace, _names(body), actions, authority)


def _names(parts: list[str]) -> tuple[str, ...]:
    if not parts:
        raise _invalid("it names nothing")
    return tuple(_name(part) for part in parts)


def _name(part: str) -> str:
    """A name decoded, after the structure was read. Checked by encoding it: what cannot be encoded is no name."""
    if not _WITH_BLANKS.fullmatch(part):
        raise _invalid("an empty or malformed part")
    name = decode_name(part)
    encode_name(name)
    return name


def _spelled(name: str) -> str:
    """A name that can be mistaken for the keyword `act` has its first letter encoded."""
    return f"%61{_ACTIONS[1:]}" if name == _ACTIONS else encode_name(name)


def _upper_hex(text: str) -> str:
    """RFC 8141 §3.1: the digits of percent-encoding compare without case."""
    return re.sub(r"%[0-9a-f]{2}", lambda found: found.group().upper(), text, flags=re.IGNORECASE)


def _invalid(problem: str) -> InvalidInput:
    return InvalidInput(Reason.CLAIM_INVALID, f"entitlement: {problem}")

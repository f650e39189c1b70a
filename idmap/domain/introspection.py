"""How an issuer is asked about opaque tokens (RFC 7662), as data.

Part of an issuer's profile; without it no opaque token of that issuer opens anything. The client's secret is only named
here: `serve` finds it in its settings under `[introspection.NAME]`, nodes never do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from idmap.domain.doors import Door, DoorKind, parse_door
from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

_SECRET_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,30}", re.ASCII)
_MEMBERS: Final = frozenset(
    "client_id secret doors endpoint on_timeout userinfo userinfo_endpoint".split()
)


_Choice = TypeVar("_Choice", "OnTimeout", "Userinfo")


class OnTimeout(StrEnum):
    """What an issuer's silence means. There is no choice that lets somebody in."""

    UNAVAILABLE = "unavailable"
    """`issuer_unavailable`: try again."""
    REFUSE = "refuse"
    """As if the issuer had said no."""


class Userinfo(StrEnum):
    """Whether userinfo (OpenID Connect Core §5.3) is asked once introspection has authenticated the token.

    It may add groups and the spelling of a name, and nothing else. There is no choice by which it authenticates:
    its answer has no audience.
    """

    NEVER = "never"
    IF_POSSIBLE = "if_possible"
    """A fault leaves groups unknown and goes on with what introspection said."""
    REQUIRED = "required"
    """A fault refuses."""


@dataclass(frozen=True, slots=True)
class Introspection:
    """How one issuer is asked."""

    client_id: str
    secret: str
    """Name of the client's secret in the settings of `serve`."""
    doors: frozenset[Door] = frozenset()
    """Doors whose opaque tokens go to this issuer when nobody says whose they are; one issuer per door."""
    endpoint: str | None = None
    """Set to skip discovery; otherwise `introspection_endpoint` of the discovery document (RFC 8414)."""
    on_timeout: OnTimeout = OnTimeout.UNAVAILABLE
    userinfo: Userinfo = Userinfo.NEVER
    userinfo_endpoint: str | None = None
    """Set to skip discovery; otherwise `userinfo_endpoint` of the discovery document."""


def introspection_document(introspection: Introspection) -> dict[str, Any]:
    """As JSON-ready data, in one canonical order; without a word on userinfo when that is never asked."""
    userinfo = {
        "userinfo": str(introspection.userinfo),
        "userinfo_endpoint": introspection.userinfo_endpoint,
    }
    return {
        "client_id": introspection.client_id,
        "secret": introspection.secret,
        "doors": sorted(str(door) for door in introspection.doors),
        "endpoint": introspection.endpoint,
        "on_timeout": str(introspection.on_timeout),
        **({} if introspection.userinfo is Userinfo.NEVER else userinfo),
    }


def parse_introspection(document: object) -> Introspection:
    """Checked. Raises InvalidInput(ISSUER_INVALID or REQUEST_INVALID) naming the member."""
    if not isinstance(document, Mapping):
        raise _invalid("", "a table is needed")
    unknown = sorted(document.keys() - _MEMBERS)
    if unknown:
        raise _invalid(unknown[0], "unknown member")
    doors = document.get("doors", [])
    if not isinstance(doors, list) or not all(isinstance(door, str) for door in doors):
        raise _invalid("doors", "a list of doors is needed")
    parsed = frozenset(parse_door(door) for door in doors)
    if any(door.kind is DoorKind.ADMIN for door in parsed):
        raise _invalid("doors", "the admin door takes no opaque token without its issuer's name")
    secret = _text(document, "secret")
    if not _SECRET_NAME.fullmatch(secret):
        raise _invalid("secret", "the name of a section in the service's settings is needed")
    userinfo = _choice(document, "userinfo", Userinfo.NEVER)
    userinfo_endpoint = _endpoint(document, "userinfo_endpoint")
    if userinfo_endpoint is not None and userinfo is Userinfo.NEVER:
        raise _invalid("userinfo_endpoint", "userinfo is never asked")
    return Introspection(
        client_id=_text(document, "client_id"),
        secret=secret,
        doors=parsed,
        endpoint=_endpoint(document, "endpoint"),
        on_timeout=_choice(document, "on_timeout", OnTimeout.UNAVAILABLE),
        userinfo=userinfo,
        userinfo_endpoint=userinfo_endpoint,
    )


def _endpoint(document: Mapping[str, Any], name: str) -> str | None:
    if document.get(name) is None:
        return None
    endpoint = _text(document, name)
    try:
        parts = urlsplit(endpoint)
    except ValueError:  # an address in brackets that is none
        parts = urlsplit("")
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or parts.fragment or not (parts.scheme == "https" or local):
        raise _invalid(name, "an https URL is needed; plain http is for loopback only")
    return endpoint


def _choice(document: Mapping[str, Any], name: str, default: _Choice) -> _Choice:
    kind = type(default)
    try:
        return kind(document.get(name, default))
    except ValueError:
        raise _invalid(name, f"one of {', '.join(kind)}") from None


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 2048 or not value.isprintable():
        raise _invalid(name, "a string is needed")
    return value


def _invalid(name: str, detail: str) -> InvalidInput:
    return InvalidInput(Reason.ISSUER_INVALID, f"introspection{name and '.'}{name}: {detail}")

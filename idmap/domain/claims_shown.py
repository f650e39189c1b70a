"""What each check of a token's claims looked at, in words that are safe to paste.

Dates, audiences, counts and names, each cut to a bounded length; never the token, its `jti`, or a person's e-mail.
Nothing here raises, whatever the claims hold: text from strangers is shown as `repr` writes it, without control
characters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from idmap.domain.claim_checks import Reading
from idmap.domain.doors import DoorKind
from idmap.domain.issuers import ADMIN_MAX_AUTHENTICATION_AGE_SECONDS

LISTED: Final = 5
"""So many of a list are shown; the rest is counted."""

LONGEST: Final = 80
"""Characters of one value."""


def binding(reading: Reading) -> str:
    """Whether the token wants a proof of possession."""
    return "cnf is there" if "cnf" in reading.claims else "no cnf"


def expiry(reading: Reading) -> str:
    """Both dates and the leeway."""
    return f"{_dated(reading, 'exp')}, {_now(reading)}, leeway {reading.profile.leeway_seconds} s"


def time_of_issue(reading: Reading) -> str:
    """The date alone: now was shown before."""
    return _dated(reading, "iat")


def not_before(reading: Reading) -> str:
    """The date alone."""
    return _dated(reading, "nbf")


def age(reading: Reading) -> str:
    """How old, and how old it may be."""
    return f"{reading.at - reading.issued_at} s, at most {reading.profile.max_age_seconds} s"


def audience(reading: Reading) -> str:
    """The token's audiences and the door's."""
    accepted = sorted(reading.profile.audiences.get(reading.door, frozenset()))
    return f"{_said(reading.claims, 'aud')}; {reading.door} takes {listed(accepted) or 'none'}"


def required_claims(reading: Reading) -> str:
    """Their names."""
    return ", ".join(sorted(reading.profile.required_claims)) or "no others"


def wlcg_version(reading: Reading) -> str:
    """What it says."""
    return _said(reading.claims, "wlcg.ver")


def type_claim(reading: Reading) -> str:
    """What it says and what is demanded."""
    accepted = sorted(reading.profile.accepted_type_claims)
    demanded = f"one of {listed(accepted)} is demanded" if accepted else "none is demanded"
    return f"{_said(reading.claims, 'typ')}; {demanded}"


def client(reading: Reading) -> str:
    """Who asked for the token; of its id only that there is one."""
    has_id = "jti is there" if reading.claims.get("jti") is not None else "no jti"
    return f"{_said(reading.claims, 'client_id')}; {has_id}"


def subject(reading: Reading) -> str:
    """The stable claim."""
    return _said(reading.claims, reading.profile.subject_claim)


def robot(reading: Reading) -> str:
    """What tells a client or a host, and what the profile says of them."""
    named = ", ".join(_said(reading.claims, name) for name in ("sub", "client_id", "azp"))
    return f"{named}; the profile says: {reading.profile.robots}"


def identification(reading: Reading) -> str:
    """The values, and those that would do."""
    demanded = sorted(reading.profile.required_assurance)
    wanted = f"one of {listed(demanded)} is demanded" if demanded else "none is demanded"
    return f"{_said(reading.claims, 'eduperson_assurance')}; {wanted}"


def authentication(reading: Reading) -> str:
    """The value, and those that would do at this door."""
    demanded = sorted(reading.profile.required_acr.get(reading.door, frozenset()))
    wanted = f"wants one of {listed(demanded)}" if demanded else "wants none"
    return f"{_said(reading.claims, 'acr')}; {reading.door} {wanted}"


def capabilities(reading: Reading) -> str:
    """What the token is for, and what this door demands."""
    found = sorted(str(one) for one in reading.purpose.capabilities)
    unread = "there are, but none that can be read" if reading.purpose.present else "none"
    demanded = sorted(reading.profile.required_capabilities.get(reading.door, frozenset()))
    wanted = f"; {reading.door} wants one of {listed(demanded)}" if demanded else ""
    return f"{listed(found) or unread}{wanted}"


def groups(reading: Reading) -> str:
    """Those that can be read, and from which claims."""
    if reading.purpose.present:
        return "left aside: the token is for its capabilities"
    there = [name for name in sorted(reading.profile.groups_claims) if name in reading.claims]
    found = listed(sorted(group.path for group in reading.asserted.groups)) or "none"
    resources = len(reading.asserted.resources)
    return f"{found}, {resources} resource(s), read from {', '.join(there) or 'no claim'}"


def recent(reading: Reading) -> str:
    """When somebody was there, at the one door that asks."""
    if reading.door.kind is not DoorKind.ADMIN:
        return f"not asked at {reading.door}"
    said = "auth_time" if "auth_time" in reading.claims else "iat"
    limit = ADMIN_MAX_AUTHENTICATION_AGE_SECONDS
    return f"{_dated(reading, said)}, {_now(reading)}, at most {limit} s ago"


def bounded(value: object) -> str:
    """A stranger's value as `repr` writes it, cut; of what holds other values, only what it is."""
    if isinstance(value, list | Mapping):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value if not isinstance(value, str) else value[: LONGEST + 1])
    return text if len(text) <= LONGEST + 2 else f"{text[:LONGEST]}…"


def moment(seconds: object) -> str:
    """A date as in the token and as people write it, in UTC; without the second where there is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return bounded(seconds)
    try:
        return f"{int(seconds)} ({datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC)"
    except (ValueError, OverflowError, OSError):
        return bounded(seconds)


def _dated(reading: Reading, name: str) -> str:
    return f"{name} {moment(reading.claims[name])}" if name in reading.claims else f"no {name}"


def _now(reading: Reading) -> str:
    return f"now {moment(reading.at)}"


def _said(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if value is None:
        return f"no {name}"
    if isinstance(value, list):
        return f"{name} {listed(value) or '[]'}"
    return f"{name} {bounded(value)}"


def listed(values: Iterable[object]) -> str:
    """The first few values of strangers, and how many more there are."""
    found = list(values)
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return ", ".join(bounded(value) for value in found[:LISTED]) + more

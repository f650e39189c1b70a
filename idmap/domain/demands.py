"""Demands: what a credential must prove at a door, whatever is recorded about its person. They only narrow (law 3).

A demand names doors and, unless it is for everybody, issuers; a token shown there must fulfil every demand that speaks
of it. A login that shows no token (a key, a certificate) proves nothing of it: at an ssh door a demand
refuses it unless it says `keys = "admit"`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from idmap.domain.capabilities import find_capability
from idmap.domain.claims import VerifiedClaims
from idmap.domain.claims_shown import listed
from idmap.domain.doors import Door, DoorKind
from idmap.domain.errors import TokenRefused
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason

CLOCK_LEEWAY_SECONDS: Final = 60
"""How far an issuer's clock may run ahead of ours; a login of tomorrow is no login."""


@dataclass(frozen=True, slots=True)
class Met:
    """One thing that a demand asks of a token: what was wanted, what the token says, and whether that is enough."""

    reason: Reason
    """What a door says where it is not."""
    wanted: str
    had: str
    met: bool


@dataclass(frozen=True, slots=True)
class Demand:
    """Of each list that is not empty the token must carry one."""

    demand_id: str
    doors: frozenset[Door]
    issuers: frozenset[Issuer] = frozenset()
    """Empty: tokens of every issuer."""
    assurance: frozenset[str] = frozenset()
    acr: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    """As scopes write them: `compute.read`."""
    max_authentication_age: int | None = None
    """Seconds since the person logged in."""
    admits_keys: bool = False

    def speaks_of(self, door: Door, issuer: Issuer) -> bool:
        """Whether a token of this issuer at this door must fulfil it."""
        return door in self.doors and (not self.issuers or issuer in self.issuers)

    def look(self, claims: VerifiedClaims, at: int) -> Iterator[Met]:
        """Everything it asks for, in order; each must be met."""
        if self.assurance:
            had = claims.assurance.values
            met = not self.assurance.isdisjoint(had)
            yield Met(Reason.ASSURANCE_TOO_LOW, _any("assurance", self.assurance), _said(had), met)
        if self.acr:
            acr = claims.assurance.acr
            said = _said(() if acr is None else (acr,))
            yield Met(Reason.ACR_REFUSED, _any("acr", self.acr), said, acr in self.acr)
        if self.capabilities:
            wanted = [one for one in map(find_capability, self.capabilities) if one is not None]
            met = any(has.covers(one) for has in claims.capabilities for one in wanted)
            said = _said(map(str, claims.capabilities))
            yield Met(Reason.CAPABILITY_MISSING, _any("capability", self.capabilities), said, met)
        if self.max_authentication_age is not None:
            age = at - claims.authenticated_at
            met = -CLOCK_LEEWAY_SECONDS <= age <= self.max_authentication_age
            asked = f"login at most {self.max_authentication_age} s ago"
            yield Met(Reason.AUTHENTICATION_TOO_OLD, asked, _ago(claims, age), met)

    def unmet(self, claims: VerifiedClaims, at: int) -> tuple[Reason, ...]:
        """Everything that is missing."""
        return tuple(one.reason for one in self.look(claims, at) if not one.met)


def demands_of(demands: Iterable[Demand], door: Door, issuer: Issuer) -> Iterator[Demand]:
    """Those that a token of this issuer must fulfil at this door."""
    return (one for one in demands if one.speaks_of(door, issuer))


def unmet_demands(
    demands: Iterable[Demand], claims: VerifiedClaims, door: Door, at: int
) -> tuple[tuple[Demand, Reason], ...]:
    """What is missing for the demands of this door, with the demand that misses it."""
    asked = demands_of(demands, door, claims.identity.issuer)
    return tuple((one, reason) for one in asked for reason in one.unmet(claims, at))


def require_demands(demands: Iterable[Demand], claims: VerifiedClaims, door: Door, at: int) -> None:
    """Raises TokenRefused, proved, with what the first demand misses that is not fulfilled."""
    for demand, reason in unmet_demands(demands, claims, door, at):
        raise TokenRefused(reason, f"demand {demand.demand_id} of {door}", proved=True)


def demanded_until(demands: Iterable[Demand], claims: VerifiedClaims, door: Door) -> int | None:
    """From when on a token that fulfils the demands of a door does so no more; None when only its own dates end it."""
    ages = (one.max_authentication_age for one in demands_of(demands, door, claims.identity.issuer))
    ends = [claims.authenticated_at + age + 1 for age in ages if age is not None]
    return min(ends, default=None)


def ssh_demands(demands: Iterable[Demand]) -> tuple[Demand, ...]:
    """What nodes are told: the demands of ssh doors, without the other doors that they name."""
    found = []
    for demand in demands:
        doors = frozenset(door for door in demand.doors if door.kind is DoorKind.SSH)
        if doors:
            found.append(replace(demand, doors=doors))
    return tuple(found)


def refuses_keys(demands: Iterable[Demand], door: Door) -> bool:
    """Whether a login that shows no token is refused at this ssh door."""
    return door.kind is DoorKind.SSH and any(
        door in one.doors and not one.admits_keys for one in demands
    )


def _any(what: str, values: Iterable[str]) -> str:
    return f"{what}: any of {', '.join(sorted(values))}"


def _said(values: Iterable[str]) -> str:
    return listed(sorted(values)) or "none"


def _ago(claims: VerifiedClaims, age: int) -> str:
    if claims.auth_time == 0:
        return "the token does not say when"
    return f"{'login' if claims.auth_time is not None else 'token issued'} {age} s ago"

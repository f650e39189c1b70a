"""Demands: what a credential must prove at a door, whatever is recorded about its person. They only narrow (law 3).

A demand names doors and, unless it is for everybody, issuers; a token shown there must fulfil every demand that speaks
of it. A login that shows no token (a key, a certificate) proves nothing of it: at an ssh door a demand
refuses it unless it says `keys = "admit"`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import Door, DoorKind
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason


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

    def unmet(self, claims: VerifiedClaims, at: int) -> Reason | None:
        """What is missing, the first of it; None when nothing is."""
        if self.assurance and not self.assurance & claims.assurance.values:
            return Reason.ASSURANCE_TOO_LOW
        if self.acr and claims.assurance.acr not in self.acr:
            return Reason.ACR_REFUSED
        if self.capabilities and self.capabilities.isdisjoint(map(str, claims.capabilities)):
            return Reason.CAPABILITY_MISSING
        age = self.max_authentication_age
        if age is not None and at - claims.authenticated_at > age:
            return Reason.AUTHENTICATION_TOO_OLD
        return None


def unmet_demands(
    demands: Iterable[Demand], claims: VerifiedClaims, door: Door, at: int
) -> tuple[tuple[Demand, Reason], ...]:
    """Every demand of this door that the token does not fulfil, with what is missing."""
    asked = (one for one in demands if one.speaks_of(door, claims.identity.issuer))
    found = ((one, one.unmet(claims, at)) for one in asked)
    return tuple((one, reason) for one, reason in found if reason is not None)


def refuses_keys(demands: Iterable[Demand], door: Door) -> bool:
    """Whether a login that shows no token is refused at this ssh door."""
    return door.kind is DoorKind.SSH and any(
        door in one.doors and not one.admits_keys for one in demands
    )

"""What the rules demand of tokens, as fast as the doors ask: remembered until anybody commits anything.

`decide` looks at demands wherever an account is asked for. Here are the doors that look at a token before that, or
without asking for an account: the API's entrance, and the service's answer to a node about an opaque token.
"""

from __future__ import annotations

from collections.abc import Iterator

from idmap.application.remembered import Remembered
from idmap.domain.checks import Check
from idmap.domain.claims import VerifiedClaims
from idmap.domain.demands import Demand, demands_of, require_demands
from idmap.domain.doors import Door, DoorKind
from idmap.domain.identity import Issuer
from idmap.domain.rules import RuleSet, demands_at


def require_demanded(remembered: Remembered, claims: VerifiedClaims, at: int) -> None:
    """Raises TokenRefused, proved, with what a demand of the token's door misses in it."""
    demands: tuple[Demand, ...] = remembered.get("demands", lambda reader: reader.rules().demands)
    require_demands(demands, claims, claims.door, at)


def demand_checks(
    rules: RuleSet, issuer: Issuer, door: Door, claims: VerifiedClaims | None, at: int
) -> Iterator[Check]:
    """For `idmap explain`: everything that each demand of the door asks of the token; at an ssh door where none is
    shown, whether that is enough."""
    if claims is not None:
        for demand in demands_of(rules.demands, door, issuer):
            for one in demand.look(claims, at):
                shown = f"wants {one.wanted}; the token: {one.had}"
                yield Check(f"demand {demand.demand_id}", shown, passed=one.met)
    elif door.kind is DoorKind.SSH:
        for demand in demands_at(rules, door):
            shown = "admits a login without a token" if demand.admits_keys else "wants a token"
            yield Check(f"demand {demand.demand_id}", shown, passed=demand.admits_keys)

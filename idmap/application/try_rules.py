"""What rules would make of one person, who shows a token or is named, and what those in force make of them.

The token is verified at its door as always, and nothing is put on record: its groups count as far as the issuer's
profile would let them be recorded. It is the story of `explain` with a candidate in place of the rules in force.
"""

from __future__ import annotations

from dataclasses import dataclass

from idmap.application.link_identities import person_of
from idmap.application.open_account import facts_with_token
from idmap.application.ports import RegistryReader
from idmap.application.verify_token import TokenVerifier
from idmap.domain.checks import Check
from idmap.domain.claims import VerifiedClaims
from idmap.domain.considered import Considered, consider, would_let_in
from idmap.domain.decision import Decision, Recorded, decide
from idmap.domain.demands import unmet_demands
from idmap.domain.doors import Door
from idmap.domain.errors import IdmapError
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet
from idmap.domain.secrets import Secret
from idmap.domain.what_if import Effect, outcome_of


@dataclass(frozen=True, slots=True)
class ShownToken:
    """A token with the door it is shown at."""

    token: Secret
    door: Door
    issuer: str | None = None
    """Whose an opaque one is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the candidate makes of somebody."""

    identity: Identity
    person: Recorded
    """All that counts together."""
    decision: Decision
    now: Decision
    """By the rules in force."""
    effects: frozenset[Effect]
    considered: tuple[Considered, ...]
    helps: tuple[str, ...]
    checks: tuple[Check, ...] = ()
    door: Door | None = None
    at_door: tuple[Reason, ...] = ()
    """What the door would say; empty without a token."""
    unmet: tuple[tuple[str, Reason], ...] = ()
    """Demands of the door that the token does not fulfil, and what it lacks."""


@dataclass(frozen=True, slots=True)
class NotVerified:
    """The token opens nothing, whatever the rules say."""

    reason: Reason
    checks: tuple[Check, ...]
    next_step: str


def try_identity(
    reader: RegistryReader, candidate: RuleSet, identity: Identity, at: int
) -> Verdict:
    """By what is recorded of the whole person."""
    recorded = reader.recorded(identity)
    return _verdict(reader, candidate, identity, person_of(reader, recorded), at)


def verify_shown(
    verifier: TokenVerifier, shown: ShownToken, at: int
) -> tuple[VerifiedClaims, tuple[Check, ...]] | NotVerified:
    """Outside of any transaction: an issuer may have to be asked."""
    trace: list[Check] = []
    try:
        claims = verifier.verify(shown.token, shown.door, at, trace, shown.issuer)
    except IdmapError as error:
        return NotVerified(error.reason, tuple(trace), error.next_step)
    return claims, tuple(trace)


def try_token(
    reader: RegistryReader,
    candidate: RuleSet,
    claims: VerifiedClaims,
    checks: tuple[Check, ...],
    at: int,
) -> Verdict:
    """By what is recorded and what the token may add to it, and at the token's door."""
    person = facts_with_token(reader, claims)
    found = _verdict(reader, candidate, claims.identity, person, at)
    recorded = reader.recorded(claims.identity)
    door = claims.door
    return Verdict(
        identity=found.identity,
        person=person,
        decision=found.decision,
        now=found.now,
        effects=found.effects,
        considered=found.considered,
        helps=found.helps,
        checks=checks,
        door=door,
        at_door=decide(recorded, candidate, at, door, claims).reasons,
        unmet=tuple(
            (demand.demand_id, reason)
            for demand, reason in unmet_demands(candidate.demands, claims, door, at)
        ),
    )


def _verdict(
    reader: RegistryReader, candidate: RuleSet, identity: Identity, person: Recorded, at: int
) -> Verdict:
    now, decision = decide(person, reader.rules(), at), decide(person, candidate, at)
    considered = consider(person, candidate, decision.grant)
    return Verdict(
        identity=identity,
        person=person,
        decision=decision,
        now=now,
        effects=outcome_of(now, decision).effects,
        considered=considered,
        helps=() if decision.allowed else would_let_in(considered),
    )

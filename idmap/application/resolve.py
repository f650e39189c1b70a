"""Whose token is it at this door: the question every compute component asks.

Gather (verify the token, read what is recorded) → decide → shape the answer. Reads only; a refusal is an
exception with its reason. The `decision_id` is a digest of what the decision was made of, so two answers with
the same id were the same decision; nothing is written per request. An answer lives at most a minute (law 5).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from idmap.application.banned_credentials import credential_bans, credential_bans_at
from idmap.application.link_identities import person_of
from idmap.application.ports import RegistryReader
from idmap.application.remembered import Remembered
from idmap.application.verify_token import TokenVerifier
from idmap.domain.accounts import Account
from idmap.domain.bans import CredentialBans
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Decision, Recorded, decide
from idmap.domain.demands import demanded_until
from idmap.domain.doors import Door
from idmap.domain.errors import Refused
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.domain.rules import RuleSet, SlurmAssociation
from idmap.domain.secrets import Secret

ANSWER_LIFETIME_SECONDS: Final = 60
"""Law 5: what we hand to machines lives at most 60 s."""

_dump: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True).encode


@dataclass(frozen=True, slots=True)
class Resolved:
    """The full record a door gets."""

    account: Account
    claims: VerifiedClaims
    reason: Reason
    decision_id: str
    revision: int
    expires_at: int
    """When the token, what is demanded of it, or the account ends, whichever is first (seconds since the epoch)."""
    valid_until: int
    """When this answer must be asked for again."""
    slurm: SlurmAssociation | None = None
    """Where its jobs are charged."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is recorded about one identity, all of one state of the registry."""

    recorded: Recorded
    rules: RuleSet
    revision: int
    ban_counter: int
    salt: bytes
    slurm: SlurmAssociation | None = None
    """Where the account's jobs are charged: the same for every token that leads to it."""


def unnoted(claims: VerifiedClaims) -> None:
    """For whoever does not want to know."""
    del claims


def resolve(
    remembered: Remembered,
    verifier: TokenVerifier,
    token: Secret,
    door: Door,
    allowed_doors: Collection[str],
    at: int,
    issuer: str | None = None,
    note: Callable[[VerifiedClaims], None] = unnoted,
) -> Resolved:
    """The account behind `token` at `door` and time `at`; `issuer` says whose an opaque token is. `note` is told what
    was verified, whatever becomes of it.

    Raises Refused(DOOR_REFUSED) when the asking component may not speak for that door, TokenRefused when the
    token fails, and Refused with the decision's first reason when the account may not be used.
    """
    if str(door) not in allowed_doors:
        raise Refused(Reason.DOOR_REFUSED, f"{door} is not among the component's doors")
    claims = verifier.verify(token, door, at, issuer=issuer)
    note(claims)
    facts = remembered.get(
        ("facts", claims.identity), lambda reader: _gather(reader, claims.identity, at)
    )
    return _answer(facts, claims, at, credential_bans(remembered))


def resolve_from_memory(
    present: Mapping[Hashable, Any],
    verifier: TokenVerifier,
    token: Secret,
    door: Door,
    allowed_doors: Collection[str],
    at: int,
    note: Callable[[VerifiedClaims], None] = unnoted,
) -> Resolved | None:
    """The answer of `resolve`, where token and facts are both remembered at `present`; else None.

    Decides anew, like `resolve`; reads and waits for nothing, so that an event loop may ask. Raises Refused.
    """
    if str(door) not in allowed_doors:
        return None
    claims = verifier.recall(token, door, at, present)
    if claims is None:
        return None
    note(claims)
    facts: Facts | None = present.get(("facts", claims.identity))
    refused = credential_bans_at(present)
    return None if facts is None or refused is None else _answer(facts, claims, at, refused)


def _answer(facts: Facts, claims: VerifiedClaims, at: int, refused: CredentialBans) -> Resolved:
    decision = decide(facts.recorded, facts.rules, at, claims.door, claims, refused)
    found = decision_id(facts, decision, claims)
    if not decision.allowed or decision.account is None:
        others = ", ".join(decision.reasons[1:])
        raise Refused(decision.reason, f"decision {found}" + (f"; also {others}" if others else ""))
    demanded = demanded_until(facts.rules.demands, claims, claims.door)
    ends = (claims.expires_at, account_end(decision.account), demanded)
    expires_at = min(end for end in ends if end is not None)
    return Resolved(
        account=decision.account,
        claims=claims,
        reason=decision.reason,
        decision_id=found,
        revision=facts.revision,
        expires_at=expires_at,
        valid_until=min(expires_at, at + ANSWER_LIFETIME_SECONDS),
        slurm=facts.slurm,
    )


def decision_id(facts: Facts, decision: Decision, claims: VerifiedClaims) -> str:
    """SHA-256 over identity, door, rule version, revision, ban counter, the credential facts used and the outcome.

    Salted by the realm: the id alone tells nobody who it was about. The ban counter stands in for the bans,
    which do not raise the revision; the outcome covers what only time changes.
    """
    made_of = [
        claims.identity.issuer,
        claims.identity.subject,
        str(claims.door),
        facts.rules.version,
        facts.revision,
        facts.ban_counter,
        list(decision.reasons),
    ]
    return hashlib.sha256(facts.salt + _dump(made_of).encode("ascii")).hexdigest()[:32]


def _gather(reader: RegistryReader, identity: Identity, at: int) -> Facts:
    recorded, rules = reader.recorded(identity), reader.rules()
    return Facts(
        recorded=recorded,
        rules=rules,
        revision=reader.revision(),
        ban_counter=reader.ban_counter(),
        salt=reader.salt(),
        slurm=_slurm(reader, recorded, rules, at),
    )


def _slurm(
    reader: RegistryReader, recorded: Recorded, rules: RuleSet, at: int
) -> SlurmAssociation | None:
    """What the rules grant the whole person now; of a shared account, and in grace, what the class says whose rule once
    gave it."""
    account = recorded.account
    if account is None or not rules.has_slurm:
        return None
    grant = None if account.shared else decide(person_of(reader, recorded), rules, at).grant
    if grant is not None:
        return grant.slurm
    given = rules.class_of(account.rule_id)
    return None if given is None else given.slurm


def account_end(account: Account) -> int | None:
    """The first second at which the account is no longer usable by its own dates; None without an end."""
    ends = [day for day in (account.grace_until, account.expires_on) if day is not None]
    if not ends:
        return None
    return int(datetime.combine(min(ends) + timedelta(days=1), time(), tzinfo=UTC).timestamp())

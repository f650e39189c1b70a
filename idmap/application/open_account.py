"""A newcomer's own request for an account: recorded, decided, allocated, in one transaction.

The plan is the nightly run's own (`plan_changes`) for one person, so both give the same account. Asking again gives
the same account; two askers at once get one, because a write transaction is exclusive. Nothing of a stranger whom
no rule knows is kept: the refusal rolls the observation back. Publishing to the nodes is the worker's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from idmap.application.link_identities import person_of
from idmap.application.ports import Author, Registry, RegistryReader, RegistryWriter
from idmap.domain.accounts import Account
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Recorded, decide
from idmap.domain.errors import Refused
from idmap.domain.provisioning import OpenAccount, OpenGroup, PersonFacts, plan_changes
from idmap.domain.reasons import Reason
from idmap.domain.spelling import NO_SPELLING

_NO_ACCOUNT_YET: Final = frozenset(
    {Reason.ACCOUNT_UNKNOWN, Reason.NO_RULE_MATCHES, Reason.ROBOT_REFUSED}
)
"""What a door says of somebody without an account; every other reason stands in the way of one."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The account, the revision at which it is certainly there, and whether this call made it."""

    account: Account
    revision: int
    created: bool


def open_own_account(registry: Registry, claims: VerifiedClaims, at: int) -> Opened:
    """Gives the person behind `claims` their account at time `at`.

    Raises Refused: BANNED, the account's own reason when one exists and may not be used, NO_RULE_MATCHES,
    ROBOT_REFUSED; and Conflict(RANGE_EXHAUSTED).
    """
    with registry.read() as reader:
        existing = _usable_account(reader, claims, at)
        revision = reader.revision()
    if existing is not None:
        return Opened(existing, revision, created=False)
    author = Author(f"self:{claims.identity}", "asked for an account at the API door")
    with registry.write(author) as writer:
        account, created = _open(writer, claims, at)
    with registry.read() as reader:
        return Opened(account, reader.revision(), created)


def facts_with_token(reader: RegistryReader, claims: VerifiedClaims) -> Recorded:
    """What would be on record of the person if the token's groups were recorded now, where the issuer's profile
    allows it."""
    recorded = reader.recorded(claims.identity)
    if _records_groups(reader, claims):
        recorded = replace(
            recorded,
            groups=recorded.groups | claims.groups,
            robot=recorded.robot or claims.robot,
        )
    return person_of(reader, recorded)


def _open(writer: RegistryWriter, claims: VerifiedClaims, at: int) -> tuple[Account, bool]:
    if _records_groups(writer, claims):
        # Dated by the token's issue: an older token must not undo what a newer listing said.
        writer.record_observation(
            claims.identity,
            claims.groups,
            claims.preferred_username,
            min(claims.issued_at, at),
            robot=claims.robot,
            spelling=claims.spelling,
        )
    recorded = writer.recorded(claims.identity)
    rules = writer.rules()
    existing = _usable_account(writer, claims, at)
    if existing is not None:
        return existing, False
    known = writer.facts(claims.identity)
    spelling = NO_SPELLING if known is None else known.spelling
    person = PersonFacts(recorded, claims.preferred_username, spelling=spelling)
    plan = plan_changes([person], rules, writer.posix_groups(), at)
    for change in plan.changes:
        if isinstance(change, OpenAccount):
            wanted = {change.primary_group, *change.secondary_groups}
            for group in plan.changes:
                if isinstance(group, OpenGroup) and group.group in wanted:
                    writer.open_group(group, group_range=rules.group_range)
            return writer.open_account(change), True
    unmatched = decide(recorded, rules, at).reason
    raise Refused(unmatched, f"{len(rules.rules)} rule(s) of version {rules.version}")


def _usable_account(reader: RegistryReader, claims: VerifiedClaims, at: int) -> Account | None:
    """The account if there is one and it may be used, or waits for approval; None when there is none and nothing
    forbids one."""
    recorded = reader.recorded(claims.identity)
    refused = reader.credential_bans(issuer=claims.identity.issuer, token_id=claims.token_id)
    decision = decide(recorded, reader.rules(), at, claims.door, claims, refused)
    if decision.allowed or decision.reason is Reason.ACCOUNT_AWAITS_APPROVAL:
        return decision.account
    if recorded.account is not None or not set(decision.reasons) <= _NO_ACCOUNT_YET:
        raise Refused(decision.reason, str(claims.identity))
    return None


def _records_groups(reader: RegistryReader, claims: VerifiedClaims) -> bool:
    return any(
        profile.issuer == claims.identity.issuer and profile.record_groups_from_tokens
        for profile in reader.issuers()
    )

"""A newcomer's own request for an account: recorded, decided, allocated, in one transaction.

The plan is the nightly run's own (`plan_changes`) for one person, so both give the same account. Asking again gives
the same account; two askers at once get one, because a write transaction is exclusive. Nothing of a stranger whom
no rule knows is kept: the refusal rolls the observation back. Who has an account and comes with a token that says a
fact not on record of them, such as a better assurance, has it recorded; what it means for the account is the
nightly run's to say. Publishing to the nodes is the worker's business.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from idmap.application.account_named import account_named
from idmap.application.gather_standings import gather_standings, in_the_way
from idmap.application.link_identities import person_of
from idmap.application.ports import Author, Registry, RegistryReader, RegistryWriter
from idmap.application.provision_steps import apply_changes
from idmap.domain.account_changes import narrowed
from idmap.domain.accounts import Account, AccountState
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Grant, Recorded, decide
from idmap.domain.errors import Refused
from idmap.domain.facts import Fact
from idmap.domain.groups import Group
from idmap.domain.linking import LinkProof
from idmap.domain.plans import JoinAccount, OpenAccount, OpenGroup
from idmap.domain.provisioning import PersonFacts, federated_groups, plan_changes
from idmap.domain.reasons import Reason
from idmap.domain.spelling import NO_SPELLING
from idmap.domain.token_facts import token_facts

_NO_ACCOUNT_YET: Final = frozenset(
    {
        Reason.ACCOUNT_UNKNOWN,
        Reason.NO_RULE_MATCHES,
        Reason.DENIED_BY_RULE,
        Reason.ACCOUNT_EXPIRED,
        Reason.ROBOT_REFUSED,
    }
)
"""What a door says of somebody without an account; every other reason stands in the way of one."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The account, the revision at which it is certainly there, and whether this call made it, or let the person in."""

    account: Account
    revision: int
    created: bool


def open_own_account(registry: Registry, claims: VerifiedClaims, at: int) -> Opened:
    """Gives the person behind `claims` their account at time `at`.

    Raises Refused: BANNED, the account's own reason when one exists and may not be used, NO_RULE_MATCHES,
    ROBOT_REFUSED; and Conflict(RANGE_EXHAUSTED).
    """
    author = Author(f"self:{claims.identity}", "asked for an account at the API door")
    with registry.read() as reader:
        existing = _usable_account(reader, claims, at)
        revision = reader.revision()
        new_groups = _unlisted_groups(reader, claims)
        news = bool(new_groups) or _says_something_new(reader, claims)
    if existing is not None:
        if news:
            with registry.write(author) as writer:
                _record(writer, claims, new_groups, at)
        return Opened(existing, revision, created=False)
    with registry.write(author) as writer:
        account, created = _open(writer, claims, at)
    with registry.read() as reader:
        return Opened(account, reader.revision(), created)


def facts_with_token(reader: RegistryReader, claims: VerifiedClaims) -> Recorded:
    """What would be on record of the person if the token's groups and facts were recorded now, where the issuer's
    profile allows it."""
    recorded = reader.recorded(claims.identity)
    if _records(reader, claims):
        facts = _kept_facts(reader, claims)
        if facts is not None:
            facts |= reader.facts_said(claims.identity).by_sources
        recorded = replace(
            recorded,
            groups=recorded.groups | claims.groups,
            robot=recorded.robot or claims.robot,
            facts=recorded.facts if facts is None else facts,
        )
    return person_of(reader, recorded)


def _open(writer: RegistryWriter, claims: VerifiedClaims, at: int) -> tuple[Account, bool]:
    if _records(writer, claims):
        _record(writer, claims, claims.groups, at)
    recorded = writer.recorded(claims.identity)
    rules = writer.rules()
    existing = _usable_account(writer, claims, at)
    if existing is not None:
        return existing, False
    known = writer.facts(claims.identity)
    spelling = NO_SPELLING if known is None else known.spelling
    person = PersonFacts(recorded, claims.preferred_username, spelling=spelling)
    standings = gather_standings(writer, rules, at)
    plan = plan_changes([person], rules, writer.posix_groups(), at, standings)
    for change in plan.changes:
        if isinstance(change, OpenAccount):
            wanted = {change.primary_group, *change.secondary_groups}
            for group in plan.changes:
                if isinstance(group, OpenGroup) and group.group in wanted:
                    writer.open_group(group, group_range=rules.group_range)
            return writer.open_account(change), True
    decision = decide(recorded, rules, at)
    if decision.grant is None:
        raise Refused(decision.reason, f"{len(rules.rules)} rule(s) of version {rules.version}")
    for change in plan.changes:
        if isinstance(change, JoinAccount):
            return _join(writer, change, decision.grant), True
    # Whom a rule entitles waits for a place in a pool, or for a shared account that lets people in.
    reason = in_the_way(standings, decision.grant) or Reason.BANNED
    raise Refused(reason, f"class {decision.grant.account_class.name}")


def _join(writer: RegistryWriter, change: JoinAccount, grant: Grant) -> Account:
    """Lets somebody into a shared account that there is. It gives at once no more than this person is entitled to; what
    the others leave to it is the nightly run's to say, and so is whether it comes back when it was suspended."""
    account = account_named(writer, change.username)
    if account.state is AccountState.SUSPENDED:
        raise Refused(Reason.ACCOUNT_SUSPENDED, f"shared account {account.username}")
    writer.link_identity(account.account_id, change.identity, LinkProof.RULE)
    groups_of = federated_groups(writer.posix_groups())
    apply_changes(writer, narrowed(account, grant, groups_of))
    return account_named(writer, change.username)


def _usable_account(reader: RegistryReader, claims: VerifiedClaims, at: int) -> Account | None:
    """The account if there is one and it may be used, or waits for approval; None when there is none and nothing
    forbids one."""
    recorded = reader.recorded(claims.identity)
    refused = reader.credential_bans(issuer=claims.identity.issuer, token_id=claims.token_id)
    decision = decide(recorded, reader.rules(), at, claims.door, claims, refused)
    if decision.allowed or decision.reason is Reason.ACCOUNT_AWAITS_APPROVAL:
        return decision.account
    if recorded.account is not None:
        raise Refused(decision.reason, str(claims.identity))
    for reason in decision.reasons:
        if reason not in _NO_ACCOUNT_YET:
            raise Refused(reason, str(claims.identity))
    return None


def _record(
    writer: RegistryWriter, claims: VerifiedClaims, groups: frozenset[Group], at: int
) -> None:
    """Dated by the token's issue: an older token must not undo what a newer listing, or a newer token, said."""
    writer.record_observation(
        claims.identity,
        groups,
        claims.preferred_username,
        min(claims.issued_at, at),
        robot=claims.robot,
        spelling=claims.spelling,
        facts=token_facts(claims),
    )


def _unlisted_groups(reader: RegistryReader, claims: VerifiedClaims) -> frozenset[Group]:
    """Groups that rules speak of, that no source lists, and that the token is the first to say the person is in: of an
    issuer that nobody reads every night, tokens are all there is. What a source lists, the source decides."""
    if not _records(reader, claims):
        return frozenset()
    asked = claims.groups & reader.rules().groups() - reader.listed_groups().keys()
    return asked - reader.recorded(claims.identity).groups


def _says_something_new(reader: RegistryReader, claims: VerifiedClaims) -> bool:
    """Whether the token says a fact that no token before it did. One that merely says less was perhaps not asked for
    more, and is left unrecorded."""
    if not _records(reader, claims):
        return False
    facts = _kept_facts(reader, claims)
    return facts is not None and not facts <= reader.facts_said(claims.identity).by_tokens


def _kept_facts(reader: RegistryReader, claims: VerifiedClaims) -> frozenset[Fact] | None:
    """What the token says of the kinds that some rule asks for; None when it does not speak of facts."""
    facts, wanted = token_facts(claims), reader.rules().wanted_facts()
    if facts is None:
        return None
    return frozenset(fact for fact in facts if (fact.issuer, fact.kind) in wanted)


def _records(reader: RegistryReader, claims: VerifiedClaims) -> bool:
    return any(
        profile.issuer == claims.identity.issuer and profile.record_groups_from_tokens
        for profile in reader.issuers()
    )

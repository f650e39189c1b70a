"""Why a person has, or has not, an account: every check and every rule, in the order they were made.

Uses the verifier's own trace and `decide` itself, so the explanation cannot differ from the decision. For
administrators only: it says what strangers are never told. It never holds the token or a part of it, and
changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from idmap.application.demanded import demand_checks
from idmap.application.differences import difference_check
from idmap.application.gather_standings import gather_standings, in_the_way
from idmap.application.link_identities import person_of
from idmap.application.open_account import facts_with_token
from idmap.application.ports import Registry, RegistryReader
from idmap.application.verify_token import TokenVerifier
from idmap.domain.administrators import held_roles
from idmap.domain.bans import Ban, BanKind
from idmap.domain.checks import Check
from idmap.domain.claims import VerifiedClaims
from idmap.domain.considered import Considered, consider, would_let_in
from idmap.domain.decision import Recorded, account_reason, decide
from idmap.domain.doors import Door
from idmap.domain.errors import IdmapError, NotFound
from idmap.domain.identity import Identity
from idmap.domain.reasons import REASONS, Reason
from idmap.domain.rules import RuleSet
from idmap.domain.secrets import Secret


@dataclass(frozen=True, slots=True)
class Explanation:
    """The story of one identity, or of a token that did not get as far as one."""

    identity: Identity | None
    door: Door | None
    checks: tuple[Check, ...]
    considered: tuple[Considered, ...]
    recorded: Recorded | None
    reasons: tuple[Reason, ...]
    rules_version: int
    helps: tuple[str, ...]
    """What would change the outcome, most important first."""

    @property
    def outcome(self) -> Reason:
        """The code a door would give."""
        return self.reasons[0]


def explain_token(
    registry: Registry,
    verifier: TokenVerifier,
    token: Secret,
    door: Door,
    at: int,
    issuer: str | None = None,
) -> Explanation:
    """Verifies the token at the door as always, then goes on with whose it is. `issuer`: see TokenVerifier.verify."""
    trace: list[Check] = []
    try:
        claims = verifier.verify(token, door, at, trace, issuer)
    except IdmapError as error:
        with registry.read() as reader:
            version = reader.rules().version
        helps = (error.next_step,)
        return Explanation(None, door, tuple(trace), (), None, (error.reason,), version, helps)
    with registry.read() as reader:
        return _explain(reader, reader.recorded(claims.identity), trace, door, claims, at)


def explain_identity(
    registry: Registry, identity: Identity, door: Door | None, at: int
) -> Explanation:
    """What is recorded about the identity, and what follows."""
    with registry.read() as reader:
        return _explain(reader, reader.recorded(identity), [], door, None, at)


def explain_account(
    registry: Registry, username: str, door: Door | None, at: int
) -> tuple[Explanation, ...]:
    """One explanation for each identity linked to the account. Raises NotFound."""
    with registry.read() as reader:
        account = reader.find_account(username=username)
        if account is None:
            raise NotFound(f"account {username!r}")
        return tuple(
            _explain(reader, reader.recorded(identity), [], door, None, at)
            for identity in reader.identities_of(account.account_id)
        )


def _explain(
    reader: RegistryReader,
    recorded: Recorded,
    trace: list[Check],
    door: Door | None,
    claims: VerifiedClaims | None,
    at: int,
) -> Explanation:
    rules = reader.rules()
    person = person_of(reader, recorded)
    facts = person if claims is None else facts_with_token(reader, claims)
    entitled = decide(facts, rules, at)
    considered = consider(facts, rules, entitled.grant)
    identity = recorded.identity
    token_id = None if claims is None else claims.token_id
    refused = reader.credential_bans(issuer=identity.issuer, token_id=token_id)
    checks = [*trace, *_recorded_checks(recorded, at), _roles_check(recorded, rules)]
    of_tokens = refused.find(identity.issuer, token_id, at)
    if of_tokens is not None:
        checks.append(Check("tokens of its issuer accepted", _shown(of_tokens), passed=False))
    if person.groups != recorded.groups:
        linked = ", ".join(sorted(group.path for group in person.groups - recorded.groups))
        shown = linked or "this one's do not count"
        checks.append(Check("groups of linked identities", shown, passed=True))
    if facts.groups != person.groups:
        added = ", ".join(sorted(group.path for group in facts.groups - person.groups))
        checks.append(Check("groups this token may put on record", added, passed=True))
    if facts.facts != person.facts:
        changed = [f"+ {fact}" for fact in sorted(facts.facts - person.facts)]
        changed += [f"- {fact}" for fact in sorted(person.facts - facts.facts)]
        checks.append(Check("facts this token may put on record", "; ".join(changed), passed=True))
    difference = None if claims is None else difference_check(reader, claims)
    if difference is not None:
        checks.append(difference)
    if door is not None:
        checks += demand_checks(rules, recorded.identity.issuer, door, claims, at)
        reasons = decide(recorded, rules, at, door, claims, refused).reasons
    elif recorded.account is not None:
        reasons = (account_reason(recorded.account, recorded.bans, at),)
    else:
        waits = None
        if entitled.grant is not None:
            waits = in_the_way(gather_standings(reader, rules, at), entitled.grant)
        reasons = entitled.reasons if waits is None else (waits,)
    helps = [REASONS[reason].next_step for reason in reasons if reason is not Reason.OK]
    if not entitled.allowed:
        helps.extend(_missing(facts, considered))
    return Explanation(
        identity=recorded.identity,
        door=door,
        checks=tuple(checks),
        considered=considered,
        recorded=recorded,
        reasons=reasons,
        rules_version=rules.version,
        helps=tuple(dict.fromkeys(helps)),
    )


def _recorded_checks(recorded: Recorded, at: int) -> tuple[Check, ...]:
    account = recorded.account
    groups = ", ".join(sorted(group.path for group in recorded.groups)) or "none"
    checks = [
        Check("active at the source", str(recorded.identity), recorded.active_at_source),
        Check("groups on record", groups, bool(recorded.groups)),
        *_fact_check(recorded),
        Check("no ban in force", _bans(recorded, at), not _in_force(recorded.bans, at)),
    ]
    if account is None:
        return (*checks, Check("account", "none", False))
    reason = account_reason(account, (), at)
    shown = f"{account.username} ({account.uid_number}) is {account.state}"
    if account.grace_until is not None:
        shown += f" until {account.grace_until}"
    return (*checks, Check("account", f"{shown}: {reason}", reason is Reason.OK))


def _fact_check(recorded: Recorded) -> tuple[Check, ...]:
    """No line where there are none: most sites' rules ask for groups alone."""
    facts = "; ".join(f"{fact.kind} {fact.value}" for fact in sorted(recorded.facts))
    return (Check("facts on record", facts, passed=True),) if facts else ()


def _roles_check(recorded: Recorded, rules: RuleSet) -> Check:
    """Roles of this identity alone, whatever it is linked to; to have none is nothing amiss."""
    held = held_roles(recorded, rules)
    shown = ", ".join(sorted(held.roles)) or "none"
    if held.manages:
        shown += " of " + ", ".join(sorted(group.path for group in held.manages))
    return Check("roles at the admin door", shown, passed=True)


def _in_force(bans: tuple[Ban, ...], at: int) -> tuple[Ban, ...]:
    return tuple(ban for ban in bans if ban.holds(at))


def _bans(recorded: Recorded, at: int) -> str:
    """Each with why it reaches the person."""
    return (
        "; ".join(f"{_shown(ban)} ({_why(ban, recorded)})" for ban in _in_force(recorded.bans, at))
        or "none"
    )


def _shown(ban: Ban) -> str:
    return f"ban {ban.ban_id} of {ban.of}: {ban.reason}"


def _why(ban: Ban, recorded: Recorded) -> str:
    match ban.kind:
        case BanKind.ACCOUNT:
            return "this person's account"
        case BanKind.IDENTITY if ban.identity == recorded.identity:
            return "this very identity"
        case BanKind.IDENTITY:
            return "linked to the same account"
        case BanKind.GROUP if ban.group in recorded.groups:
            return "this identity is recorded in it"
        case BanKind.GROUP:
            return "an identity linked to the same account is recorded in it"
        case BanKind.ISSUER | BanKind.TOKEN:
            return "no identity of the person is of an issuer that is not banned"


def _missing(recorded: Recorded, considered: tuple[Considered, ...]) -> tuple[str, ...]:
    if not recorded.active_at_source:
        return ("The source has to list this person as active again.",)
    if not considered:
        return ("The site has no rules; an administrator saves some with 'idmap rules apply'.",)
    return would_let_in(considered)

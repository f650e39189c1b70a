"""The one decision (law 3).

`decide` looks at what is *recorded* about a person and, at a door, at what a *credential* proves. Without a door it
says whether the person is to have an account and what kind: the nightly run and a newcomer's request
ask that. At a door it says whether the recorded account may be used now. For doors that see no token that answer
is compiled into the node files; the C code (`pam_module/account.c`) adds the time, the ban list and the file's age, in
the order written here, and the vectors in tests/vectors prove that both agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime

from idmap.domain.accounts import UNKNOWN_TO_NODES, Account, AccountState
from idmap.domain.bans import NO_CREDENTIAL_BANS, Ban, CredentialBans
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import Door
from idmap.domain.groups import Group
from idmap.domain.identity import Identity
from idmap.domain.reasons import Reason
from idmap.domain.rules import Rule, RuleSet


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the registry knows about one identity."""

    identity: Identity
    active_at_source: bool
    """False when the source says the person is disabled or past their end; such a person matches no rule."""
    groups: frozenset[Group]
    account: Account | None
    bans: tuple[Ban, ...] = ()
    """Every ban that reaches the person: of the identity, of its account, of the account's other identities, of a
    group that one of these is recorded in, and of issuers when no identity is of another one (`closing_bans`)."""
    robot: bool = False
    """A client, a host or a service account: only rules for robots match it, and those match nobody else."""
    also: frozenset[Identity] = frozenset()
    """Other identities whose facts these are too, where `persons.as_one` put a person together."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a matching rule gives: the kind of account and the groups."""

    rule: Rule
    secondary_groups: frozenset[Group]


@dataclass(frozen=True, slots=True)
class Considered:
    """One rule as `explain` shows it."""

    rule_id: str
    condition: str
    matched: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome and every reason for it, most important first."""

    allowed: bool
    reasons: tuple[Reason, ...]
    grant: Grant | None
    account: Account | None
    considered: tuple[Considered, ...]

    @property
    def reason(self) -> Reason:
        """The one code a door reports."""
        return self.reasons[0]


def decide(
    recorded: Recorded,
    rules: RuleSet,
    at: int,
    door: Door | None = None,
    credential: VerifiedClaims | None = None,
    refused: CredentialBans = NO_CREDENTIAL_BANS,
) -> Decision:
    """Decides for one identity at time `at` (seconds since the epoch).

    Without `door`: is there to be an account? With `door`: may the recorded account be used? A
    `credential` must be this identity's and this door's own, and neither it nor its issuer `refused`; it can only
    take away.
    """
    considered = tuple(_consider(recorded, rule) for rule in rules.rules)
    grant = _find_grant(recorded, rules)
    if door is None:
        reasons: tuple[Reason, ...] = () if grant is not None else (_unmatched(recorded),)
    else:
        found = _door_reasons(recorded, grant, at, door, credential, refused)
        reasons = tuple(dict.fromkeys(found))
    return Decision(
        allowed=not reasons,
        reasons=reasons or (Reason.OK,),
        grant=grant,
        account=recorded.account,
        considered=considered,
    )


def account_reason(account: Account, bans: Iterable[Ban], at: int) -> Reason:
    """What any door says of the account alone; the C account phase gives the same answer.

    Order of precedence: closed, banned, pending, suspended, expired, grace ended. Nodes never hear of a pending one.
    """
    today = day_of(at)
    if account.state is AccountState.TOMBSTONE:
        return Reason.ACCOUNT_UNKNOWN
    if any(ban.holds(at) for ban in bans):
        return Reason.BANNED
    if account.state is AccountState.PENDING:
        return Reason.ACCOUNT_AWAITS_APPROVAL
    if account.state is AccountState.SUSPENDED:
        return Reason.ACCOUNT_SUSPENDED
    if account.expires_on is not None and today > account.expires_on:
        return Reason.ACCOUNT_EXPIRED
    if account.grace_until is not None and today > account.grace_until:
        return Reason.GRACE_ENDED
    return Reason.OK


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """What the installed files say of time: all the C code adds to a decision besides the ban list."""

    created: int
    not_after: int
    """0 for never, as in files compiled from plain passwd and group."""
    signed_time: int
    """The newest signed time the agent has seen."""
    clock_skew: bool
    """The agent found the node's clock more than two minutes ahead."""


def node_reason(
    account: Account | None, bans: Iterable[Ban], times: NodeTimes, clock: int
) -> Reason:
    """What the account phase on a node says: the specification of `pam_module/account.c`.

    The effective time is never less than the newest signed one, so a slow clock revives nothing. A pending account
    is nobody to a node.
    """
    at = max(clock, times.created, times.signed_time)
    if account is None or account.state in UNKNOWN_TO_NODES:
        return Reason.ACCOUNT_UNKNOWN
    reason = account_reason(account, bans, at)
    if reason is not Reason.OK:
        return reason
    if times.not_after and at > times.not_after:
        return Reason.SNAPSHOT_EXPIRED
    return Reason.CLOCK_SKEW if times.clock_skew else Reason.OK


def day_of(at: int) -> date:
    """The UTC day of a time. Dates count to the end of their UTC day, here and in C."""
    return datetime.fromtimestamp(at, tz=UTC).date()


def _consider(recorded: Recorded, rule: Rule) -> Considered:
    return Considered(
        rule_id=rule.rule_id,
        condition=_condition(rule),
        matched=_matches(recorded, rule),
    )


def _condition(rule: Rule) -> str:
    member = f"member of {rule.group.path} at {rule.group.issuer}"
    if not rule.robots:
        return member
    return f"robot, {member}" + (" or named by the rule" if rule.subjects else "")


def _matches(recorded: Recorded, rule: Rule) -> bool:
    """Rules for robots match robots alone, and the others people alone."""
    if not recorded.active_at_source or recorded.robot is not rule.robots:
        return False
    return rule.group in recorded.groups or any(
        identity.subject in rule.subjects and identity.issuer == rule.group.issuer
        for identity in (recorded.identity, *recorded.also)
    )


def _unmatched(recorded: Recorded) -> Reason:
    return Reason.ROBOT_REFUSED if recorded.robot else Reason.NO_RULE_MATCHES


def _find_grant(recorded: Recorded, rules: RuleSet) -> Grant | None:
    for rule in rules.rules:
        if _matches(recorded, rule):
            primary = rule.account_class.primary_group
            secondary = frozenset(rule.secondary_groups) & recorded.groups
            return Grant(rule=rule, secondary_groups=secondary - {primary})
    return None


def _door_reasons(
    recorded: Recorded,
    grant: Grant | None,
    at: int,
    door: Door,
    credential: VerifiedClaims | None,
    refused: CredentialBans,
) -> Iterable[Reason]:
    if credential is not None:
        if credential.identity != recorded.identity:
            yield Reason.IDENTITY_MISMATCH
        if credential.door != door:
            yield Reason.AUDIENCE_REFUSED
        if refused.find(credential.identity.issuer, credential.token_id, at) is not None:
            yield Reason.BANNED
    if recorded.account is None:
        # A ban stands whether or not there is an account to close.
        if any(ban.holds(at) for ban in recorded.bans):
            yield Reason.BANNED
        yield Reason.ACCOUNT_UNKNOWN
        if grant is None:
            yield _unmatched(recorded)
        return
    reason = account_reason(recorded.account, recorded.bans, at)
    if reason is not Reason.OK:
        yield reason

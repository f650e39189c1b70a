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
from idmap.domain.conditions import Who
from idmap.domain.demands import refuses_keys, unmet_demands
from idmap.domain.doors import Door, DoorKind
from idmap.domain.facts import Fact
from idmap.domain.groups import PRIVATE_GROUP, Group
from idmap.domain.identity import Identity
from idmap.domain.node_access import NodeAccess
from idmap.domain.reasons import Reason
from idmap.domain.rules import (
    AccountClass,
    Adds,
    Denies,
    Gives,
    Rule,
    RuleSet,
    SlurmAssociation,
    held_items,
)


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
    facts: frozenset[Fact] = frozenset()
    """What else sources and tokens said, of the kinds that some rule asks for."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What the matching rules give together: the winner's class, and what all of them add."""

    rule: Rule
    """The winner."""
    account_class: AccountClass
    secondary_groups: frozenset[Group]
    access: NodeAccess
    local_groups: frozenset[str] = frozenset()
    slurm: SlurmAssociation | None = None
    added_by: tuple[str, ...] = ()
    """Ids of the rules that added something."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome and every reason for it, most important first."""

    allowed: bool
    reasons: tuple[Reason, ...]
    grant: Grant | None
    account: Account | None
    denied_by: Rule | None = None
    """The deny rule that took the account away; of several the one that gives the least grace."""
    denied_classes: frozenset[str] = frozenset()
    """Node classes that deny rules take away, from an account in grace too."""
    entitled_but_denied: bool = False
    """But for `denied_by` there would be an account."""

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
    take away. Its cost is that of the rules that may match, not of all.
    """
    found = _find(recorded, rules)
    grant, denied_by = found.grant, found.denied_by
    if denied_by is not None:
        grant = None
    over = grant is not None and recorded.account is None and _is_over(grant.account_class, at)
    if over:
        grant = None
    unmatched = Reason.ACCOUNT_EXPIRED if over else _unmatched(recorded, denied_by)
    if door is None:
        reasons: tuple[Reason, ...] = () if grant is not None else (unmatched,)
    else:
        lacking = None if grant is not None else unmatched
        told = _door_reasons(recorded, lacking, rules, at, door, credential, refused)
        reasons = tuple(dict.fromkeys(told))
    return Decision(
        allowed=not reasons,
        reasons=reasons or (Reason.OK,),
        grant=grant,
        account=recorded.account,
        denied_by=denied_by,
        denied_classes=found.denied_classes,
        entitled_but_denied=denied_by is not None and found.grant is not None,
    )


def account_reason(
    account: Account, bans: Iterable[Ban], at: int, node_class: str | None = None
) -> Reason:
    """What any door says of the account alone; the C account phase gives the same answer on a node of the class.

    Order of precedence: closed, banned, pending, suspended, not on these nodes, expired, grace ended. Nodes never
    hear of a pending one.
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
    if node_class is not None and not account.access.admits(node_class):
        return Reason.NODE_CLASS_REFUSED
    if account.expires_on is not None and today > account.expires_on:
        return Reason.ACCOUNT_EXPIRED
    if account.grace_until is not None and today > account.grace_until:
        return Reason.GRACE_ENDED
    return Reason.OK


@dataclass(frozen=True, slots=True)
class NodeTimes:
    """What the installed files say of time: all the C code adds to a decision besides the ban list, and, on a class
    that is token-only, whether this login showed a token."""

    created: int
    not_after: int
    """0 for never, as in files compiled from plain passwd and group."""
    signed_time: int
    """The newest signed time the agent has seen."""
    clock_skew: bool
    """The agent found the node's clock more than two minutes ahead."""


def node_reason(
    account: Account | None,
    bans: Iterable[Ban],
    times: NodeTimes,
    clock: int,
    node_class: str | None = None,
    *,
    token_demanded: bool = False,
) -> Reason:
    """What the account phase on a node says: the specification of `pam_module/account.c`.

    The effective time is never less than the newest signed one, so a slow clock revives nothing. A pending account
    is nobody to a node. `token_demanded` is for a login without a token on a class that is token-only; as that login
    can be made another way, everything else is said first.
    """
    at = max(clock, times.created, times.signed_time)
    if account is None or account.state in UNKNOWN_TO_NODES:
        return Reason.ACCOUNT_UNKNOWN
    reason = account_reason(account, bans, at, node_class)
    if reason is not Reason.OK:
        return reason
    if times.not_after and at > times.not_after:
        return Reason.SNAPSHOT_EXPIRED
    if times.clock_skew:
        return Reason.CLOCK_SKEW
    return Reason.TOKEN_DEMANDED if token_demanded else Reason.OK


def day_of(at: int) -> date:
    """The UTC day of a time. Dates count to the end of their UTC day, here and in C."""
    return datetime.fromtimestamp(at, tz=UTC).date()


def who_of(recorded: Recorded) -> Who:
    """The person as conditions see them."""
    return Who(
        active=recorded.active_at_source,
        robot=recorded.robot,
        identities=recorded.also | {recorded.identity},
        held=held_items(recorded.groups, recorded.facts),
    )


def _unmatched(recorded: Recorded, denied_by: Rule | None) -> Reason:
    if denied_by is not None:
        return Reason.DENIED_BY_RULE
    return Reason.ROBOT_REFUSED if recorded.robot else Reason.NO_RULE_MATCHES


def _is_over(account_class: AccountClass, at: int) -> bool:
    return account_class.expires_on is not None and day_of(at) > account_class.expires_on


@dataclass(frozen=True, slots=True)
class _Found:
    """What the matching rules say, whoever of them wins."""

    grant: Grant | None
    denied_by: Rule | None
    denied_classes: frozenset[str]


def _find(recorded: Recorded, rules: RuleSet) -> _Found:
    who = who_of(recorded)
    refused: set[str] = set()
    denials: list[tuple[int, int, Rule]] = []
    winner: tuple[Rule, Gives] | None = None
    more: list[tuple[Rule, Adds]] = []
    for position, rule in rules.candidates(who):
        if not rule.condition.holds(who):
            continue
        match rule.outcome:
            case Denies(node_classes) if node_classes:
                refused |= node_classes
            case Denies(grace_days=grace_days):
                denials.append((grace_days, position, rule))
            case Gives() as gives:
                winner = winner or (rule, gives)
            case Adds() as adds:
                more.append((rule, adds))
    return _Found(
        grant=None if winner is None else _united(recorded, *winner, more, refused),
        denied_by=min(denials, key=lambda found: found[:2])[2] if denials else None,
        denied_classes=frozenset(refused),
    )


def _united(
    recorded: Recorded,
    rule: Rule,
    gives: Gives,
    more: list[tuple[Rule, Adds]],
    refused: set[str],
) -> Grant:
    given = gives.account_class
    secondary, access, local = set(gives.secondary_groups), given.access, given.local_groups
    slurm = given.slurm
    for _, adds in more:
        secondary |= set(adds.secondary_groups)
        access = access.and_on(adds.access)
        local |= adds.local_groups
        slurm = slurm or adds.slurm
    return Grant(
        rule=rule,
        account_class=given,
        secondary_groups=frozenset(secondary & recorded.groups)
        - {given.primary_group, PRIVATE_GROUP},
        access=access.but_not_on(refused),
        local_groups=local,
        slurm=slurm,
        added_by=tuple(one.rule_id for one, _ in more),
    )


def _door_reasons(
    recorded: Recorded,
    lacking: Reason | None,
    rules: RuleSet,
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
        if lacking is not None:
            yield lacking
        yield from _undemanded(rules, at, door, credential)
        return
    node_class = door.label if door.kind is DoorKind.SSH else None
    reason = account_reason(recorded.account, recorded.bans, at, node_class)
    if reason is not Reason.OK:
        yield reason
    yield from _undemanded(rules, at, door, credential)


def _undemanded(
    rules: RuleSet, at: int, door: Door, credential: VerifiedClaims | None
) -> Iterable[Reason]:
    """What the credential, or its absence, falls short of."""
    if credential is not None:
        unmet = unmet_demands(rules.demands, credential, door, at)
        return dict.fromkeys(reason for _, reason in unmet)
    return [Reason.TOKEN_DEMANDED] if refuses_keys(rules.demands, door) else []

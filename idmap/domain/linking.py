"""Several identities of one account: who may be linked, on what proof, and what is only evidence.

A link needs proof of both sides: two fresh logins by the same person, or an administrator who gives a reason. What an
issuer says of its own people's other ids is evidence for the administrator and links nobody by itself; nor do
names and mail addresses (law 1). Linking and unlinking never change what a ban reaches: while one reaches
either side, neither happens. Merging two accounts is not here.

Who uses a *shared* account, the rules say and nobody else: no login and no order links an identity to one or takes
one from it, for the next run would undo it. Whoever must go now is banned, or denied by a rule.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from idmap.domain.accounts import Account, AccountState
from idmap.domain.bans import NO_CREDENTIAL_BANS, Ban, CredentialBans
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Recorded
from idmap.domain.errors import Conflict, Refused
from idmap.domain.identity import Identity, Issuer
from idmap.domain.reasons import Reason

MAX_LOGIN_AGE_SECONDS: Final = 600
"""Both logins that prove a link are this young at most: time to log in twice, not to find a token in a log."""

_CLOCK_LEEWAY_SECONDS: Final = 60
"""How far an issuer's clock may run ahead of ours; the profile's own leeway was applied before."""


class LinkProof(StrEnum):
    """On what proof an identity was linked; the record of changes keeps it."""

    TWO_LOGINS = "two_logins"
    ADMINISTRATOR = "administrator"
    EVIDENCE = "evidence"
    """An administrator's approval of what an issuer said."""
    RULE = "rule"
    """A rule lets everybody who matches into a shared account."""


class LinkedIdKind(StrEnum):
    """What an issuer says a linked id is. Only the first kind is an identity at a door of ours."""

    OIDC = "oidc"
    SAML = "saml"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True, order=True)
class LinkedId:
    """Another id of a person, as their issuer claims it; both strings exact.

    For SAML the entity id and the user id, for certificates the two distinguished names.
    """

    kind: LinkedIdKind
    issuer: str
    subject: str

    def __str__(self) -> str:
        return f"{self.subject} @ {self.issuer}"


class EvidenceState(StrEnum):
    """What an administrator said of it."""

    OPEN = "open"
    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A source's claim that an identity's person is also somebody else."""

    evidence_id: int
    source: str
    identity: Identity
    """The person the source speaks of."""
    claims: LinkedId
    """Who they are said to be too."""
    state: EvidenceState
    first_seen: int
    withdrawn: bool
    """The source says it no longer."""
    username: str | None
    """The account of `identity`, if there is one."""
    rivals: tuple[Identity, ...] = ()
    """Identities of other people that claim the same id, or that are it and have another account."""

    @property
    def contradicted(self) -> bool:
        """Whether somebody else lays the same claim."""
        return bool(self.rivals)


def require_fresh(claims: VerifiedClaims, at: int) -> None:
    """Raises Refused(AUTHENTICATION_TOO_OLD) unless the login behind `claims` is at most MAX_LOGIN_AGE_SECONDS old.

    `auth_time` (OpenID Connect Core §2) where the issuer says it, else the time of issue.
    """
    age = at - claims.authenticated_at
    if not -_CLOCK_LEEWAY_SECONDS <= age <= MAX_LOGIN_AGE_SECONDS:
        raise Refused(Reason.AUTHENTICATION_TOO_OLD, f"{claims.identity}: {age} s ago")


def check_link(
    account: Account,
    own: Sequence[Recorded],
    identity: Recorded,
    account_bans: Sequence[Ban],
    trusted: Collection[Issuer],
    at: int,
    proof: LinkProof = LinkProof.ADMINISTRATOR,
) -> None:
    """Whether `identity` may become one of `account`'s, which has the identities `own` and the bans `account_bans`.

    Raises Conflict: ACCOUNT_CLOSED, IDENTITY_LINKED_ELSEWHERE, IDENTITY_NOT_LINKABLE, ROBOT_AND_PERSON, ACCOUNT_SHARED
    for whatever but a rule; and Refused(BANNED) when a ban reaches the account or the identity: a link would widen it
    or hide it.
    """
    by_rule = proof is LinkProof.RULE
    _require_rule(account, by_rule)
    if account.state is AccountState.TOMBSTONE:
        raise Conflict(Reason.ACCOUNT_CLOSED, f"account {account.username}")
    if identity.account is not None and identity.account.account_id != account.account_id:
        raise Conflict(
            Reason.IDENTITY_LINKED_ELSEWHERE,
            f"{identity.identity} is linked to {identity.account.username}",
        )
    if not by_rule and identity.identity.issuer not in trusted:
        raise Conflict(Reason.IDENTITY_NOT_LINKABLE, f"issuer {identity.identity.issuer!r}")
    _require_no_ban((*account_bans, *identity.bans), at)
    if not by_rule and own and all(one.robot for one in own) is not identity.robot:
        raise Conflict(Reason.ROBOT_AND_PERSON, f"{identity.identity} and {account.username}")


def check_unlink(
    account: Account,
    own: Sequence[Recorded],
    at: int,
    refused: CredentialBans = NO_CREDENTIAL_BANS,
    *,
    by_rule: bool = False,
) -> None:
    """Whether one of `account`'s identities `own` may be taken from it; number and name stay with the account.

    Raises Refused(BANNED): the one unlinked would escape the ban, or the account would, or its other identities,
    of `refused` issuers alone, would close it; and Conflict: ACCOUNT_SHARED for whatever but a rule, LAST_IDENTITY when
    nobody could use an account that is meant to be used. From a shared one the last goes by a plan that lets somebody
    else in, or while nobody may use it (`shared_accounts`).
    """
    _require_rule(account, by_rule)
    _require_no_ban([ban for recorded in own for ban in recorded.bans], at)
    # Of a shared account the others are other people: what closes it when one has left is what is banned.
    for issuer in sorted({one.identity.issuer for one in own} if not by_rule else ()):
        _require_no_ban(refused.issuers.get(issuer, ()), at)
    at_rest = account.state in {AccountState.SUSPENDED, AccountState.TOMBSTONE}
    if len(own) == 1 and not at_rest and not by_rule:
        raise Conflict(Reason.LAST_IDENTITY, f"account {account.username} is {account.state}")


def _require_rule(account: Account, by_rule: bool) -> None:
    if account.shared is not by_rule:
        raise Conflict(Reason.ACCOUNT_SHARED, f"account {account.username}")


def _require_no_ban(bans: Sequence[Ban], at: int) -> None:
    for ban in bans:
        if ban.holds(at):
            raise Refused(Reason.BANNED, f"ban {ban.ban_id} of {ban.of}")

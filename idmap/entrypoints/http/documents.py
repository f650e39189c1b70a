"""The JSON that the routes give about people: identities, groups, accounts, bans, evidence of links.

Each document is a type and the function that makes it, side by side: a member more is a line in both, and mypy misses
neither. JSON faces follow POSIX and say `uid` and `gid`; times are whole seconds since the epoch, days are ISO dates
(UTC).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Literal

from typing_extensions import TypedDict

from idmap.application.ban import Foreseen
from idmap.application.link_identities import Linked
from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.bans import Ban, BanKind
from idmap.domain.decision import Recorded
from idmap.domain.facts import FactKind
from idmap.domain.groups import Group, is_federated
from idmap.domain.identity import Identity
from idmap.domain.linking import Evidence, EvidenceState, LinkedIdKind
from idmap.domain.rules import SlurmAssociation
from idmap.entrypoints.http.answers import Count, Day, Number, Seconds, exact


@exact
class IdentityDocument(TypedDict):
    """An identity: both strings exact, byte for byte."""

    issuer: str
    subject: str


def identity_document(identity: Identity) -> IdentityDocument:
    """Both strings."""
    return {"issuer": identity.issuer, "subject": identity.subject}


@exact
class GroupDocument(TypedDict):
    """A group as POSIX knows it."""

    name: str
    gid: Number


def group_document(group: PosixGroup) -> GroupDocument:
    """Name and number."""
    return {"name": group.name, "gid": group.gid_number}


@exact
class LeavingDocument(GroupDocument):
    """A group that is kept for a while after it was left."""

    until: Day


@exact
class AccountDocument(TypedDict):
    """An account as administrators and its owner see it; the primary group comes first."""

    username: str
    uid: Number
    gid: Number
    groups: list[GroupDocument]
    leaving: list[LeavingDocument]
    home: str
    shell: str
    state: AccountState
    grace_until: Day | None
    expires_on: Day | None
    rule: str
    node_classes: str
    local_groups: list[str]
    shared: bool


def account_document(account: Account) -> AccountDocument:
    """Without its identities and bans."""
    return {
        "username": account.username,
        "uid": account.uid_number,
        "gid": account.primary_group.gid_number,
        "groups": groups_of(account),
        "leaving": [
            {**group_document(one.group), "until": one.until.isoformat()} for one in account.leaving
        ],
        "home": account.home,
        "shell": account.shell,
        "state": account.state,
        "grace_until": day(account.grace_until),
        "expires_on": day(account.expires_on),
        "rule": account.rule_id,
        "node_classes": str(account.access),
        "local_groups": sorted(account.local_groups),
        "shared": account.shared,
    }


@exact
class SlurmDocument(TypedDict):
    """Where the account's jobs are charged."""

    account: str
    qos: list[str]


def slurm_document(slurm: SlurmAssociation | None) -> SlurmDocument | None:
    """As the class of the rule that gave the account says, or a rule that adds."""
    return None if slurm is None else {"account": slurm.account, "qos": list(slurm.qos)}


@exact
class PathDocument(TypedDict):
    """A group as its issuer knows it."""

    issuer: str
    path: str


def path_document(group: Group) -> PathDocument:
    """Both strings."""
    return {"issuer": group.issuer, "path": group.path}


@exact
class BannedTokenDocument(TypedDict):
    """One token: its issuer and its `jti`."""

    issuer: str
    token_id: str


@exact
class BanDocument(TypedDict):
    """A ban with what it is of, who ordered it and why."""

    id: int
    kind: BanKind
    account_id: int | None
    identity: IdentityDocument | None
    group: PathDocument | None
    issuer: str | None
    token: BannedTokenDocument | None
    reason: str
    author: str
    since: Seconds
    until: Seconds | None


@exact
class ForeseenBanDocument(TypedDict):
    """What a ban closes."""

    closes: int
    warnings: list[str]


@exact
class OrderedBanDocument(BanDocument):
    """A new ban, and what it closes."""

    closes: int
    warnings: list[str]


def foreseen_ban_document(found: Foreseen) -> ForeseenBanDocument:
    """How many accounts, and which administrators."""
    return {"closes": found.closes, "warnings": list(found.warnings)}


def ban_document(ban: Ban) -> BanDocument:
    """Whom, by whom, why, from when to when."""
    of_token = None
    if ban.token_id is not None and ban.issuer is not None:
        of_token = BannedTokenDocument(issuer=ban.issuer, token_id=ban.token_id)
    return {
        "id": ban.ban_id,
        "kind": ban.kind,
        "account_id": ban.account_id,
        "identity": None if ban.identity is None else identity_document(ban.identity),
        "group": None if ban.group is None else path_document(ban.group),
        "issuer": None if of_token else ban.issuer,
        "token": of_token,
        "reason": ban.reason,
        "author": ban.author,
        "since": ban.since,
        "until": ban.until,
    }


@exact
class OneAccountDocument(AccountDocument):
    """An account with its identities and what bans it and them."""

    identities: list[IdentityDocument]
    bans: list[BanDocument]


def one_account_document(
    account: Account, identities: Iterable[Identity], bans: Iterable[Ban]
) -> OneAccountDocument:
    """What `/v1/accounts/{name}` shows."""
    return {
        **account_document(account),
        "identities": [identity_document(identity) for identity in identities],
        "bans": [ban_document(ban) for ban in bans],
    }


@exact
class FactDocument(TypedDict):
    """What is on record beside groups, because some rule asks for its kind."""

    kind: FactKind
    value: str


@exact
class RecordedDocument(TypedDict):
    """Everything known about one identity; one never seen has no groups and no account."""

    identity: IdentityDocument
    active_at_source: bool
    groups: list[str]
    facts: list[FactDocument]
    account: AccountDocument | None
    bans: list[BanDocument]


def recorded_document(recorded: Recorded) -> RecordedDocument:
    """What the registry has."""
    return {
        "identity": identity_document(recorded.identity),
        "active_at_source": recorded.active_at_source,
        "groups": sorted(group.path for group in recorded.groups),
        "facts": [{"kind": fact.kind, "value": fact.value} for fact in sorted(recorded.facts)],
        "account": None if recorded.account is None else account_document(recorded.account),
        "bans": [ban_document(ban) for ban in recorded.bans],
    }


@exact
class ListedGroupDocument(GroupDocument):
    """A group with the federated one it stands for; `local` ones are of the site's own."""

    issuer: str
    path: str
    local: bool


def listed_group_document(both: tuple[Group, PosixGroup]) -> ListedGroupDocument:
    """As lists show it."""
    group, posix = both
    return {
        **group_document(posix),
        "issuer": group.issuer,
        "path": group.path,
        "local": not is_federated(group),
    }


@exact
class OneGroupDocument(ListedGroupDocument):
    """A group with the accounts that hold it as a secondary one."""

    id: str | None
    members: list[str]


@exact
class AddedGroupDocument(GroupDocument):
    """A new group of the site's own."""

    local: Literal[True]


@exact
class ReboundGroupDocument(TypedDict):
    """A group that goes on under its issuer's new id."""

    issuer: str
    path: str
    id: str


@exact
class ClaimedIdDocument(TypedDict):
    """Another id of a person, as their issuer claims it."""

    kind: LinkedIdKind
    issuer: str
    subject: str


@exact
class EvidenceDocument(TypedDict):
    """What a source says of somebody, and who else says so."""

    id: int
    source: str
    identity: IdentityDocument
    account: str | None
    claims: ClaimedIdDocument
    state: EvidenceState
    first_seen: Seconds
    withdrawn: bool
    contradicted: bool
    rivals: list[IdentityDocument]


def evidence_document(evidence: Evidence) -> EvidenceDocument:
    """One piece."""
    return {
        "id": evidence.evidence_id,
        "source": evidence.source,
        "identity": identity_document(evidence.identity),
        "account": evidence.username,
        "claims": {
            "kind": evidence.claims.kind,
            "issuer": evidence.claims.issuer,
            "subject": evidence.claims.subject,
        },
        "state": evidence.state,
        "first_seen": evidence.first_seen,
        "withdrawn": evidence.withdrawn,
        "contradicted": evidence.contradicted,
        "rivals": [identity_document(rival) for rival in evidence.rivals],
    }


@exact
class LinksDocument(TypedDict):
    """An account and the identities linked to it."""

    account: AccountDocument | None
    identities: list[IdentityDocument]


@exact
class LinkedDocument(TypedDict):
    """What linking or unlinking led to."""

    account: AccountDocument
    identities: list[IdentityDocument]
    changed: bool


def linked_document(linked: Linked) -> LinkedDocument:
    """With whether anything changed."""
    return {
        "account": account_document(linked.account),
        "identities": [identity_document(identity) for identity in linked.identities],
        "changed": linked.changed,
    }


Next = int | str | None
"""`after` of the following page; null on the last."""


@exact
class AccountsPage(TypedDict):
    """Accounts."""

    accounts: list[AccountDocument]
    next: Next


@exact
class IdentitiesPage(TypedDict):
    """Identities with what is on record about them."""

    identities: list[RecordedDocument]
    next: Next


@exact
class GroupsPage(TypedDict):
    """Groups."""

    groups: list[ListedGroupDocument]
    next: Next


@exact
class BansPage(TypedDict):
    """Bans, with the counter that nodes compare."""

    bans: list[BanDocument]
    next: Next
    ban_counter: Count


@exact
class LiftedBanDocument(TypedDict):
    """The ban that is over."""

    lifted: int


@exact
class EvidencePage(TypedDict):
    """Evidence of links."""

    evidence: list[EvidenceDocument]
    next: Next


def groups_of(account: Account) -> list[GroupDocument]:
    """Primary first."""
    return [group_document(g) for g in (account.primary_group, *account.secondary_groups)]


def day(value: date | None) -> str | None:
    """As ISO 8601 has it."""
    return None if value is None else value.isoformat()

"""The registry's tables, as SQLModel classes; the only place that names a column's type.

What must never happen is refused by the database itself: uniqueness of numbers and names (law 2)
and the hard refusals of law 10 by the constraints here, append-only-ness by the triggers that
migration r0001 adds. Times are seconds since the epoch; documents are canonical JSON as text, so
that every database keeps the very bytes. Rows are written with Core statements on the `Table`
objects at the end of this module.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlmodel import Field, SQLModel

from idmap.domain.names import ROOT_EQUIVALENT_GROUPS

METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)
"""Constraints have names, or no later migration could change them on PostgreSQL."""


class _Row(SQLModel):
    metadata = METADATA


def _allowed_number(column: str) -> str:
    return f"{column} BETWEEN 1000 AND 60000 OR {column} BETWEEN 65536 AND 2147483647"


def _allowed_name(column: str) -> str:
    refused = ", ".join(f"'{name}'" for name in sorted(ROOT_EQUIVALENT_GROUPS))
    return f"length({column}) BETWEEN 1 AND 32 AND lower({column}) NOT IN ({refused})"


def _key(**more: Any) -> Any:
    """A primary key that we number ourselves, within the exclusive transaction."""
    return Field(primary_key=True, sa_column_kwargs={"autoincrement": False}, **more)


def _text_key() -> Any:
    return Field(primary_key=True, sa_type=Text)


def _text() -> Any:
    return Field(sa_type=Text)


def _text_or_null() -> Any:
    return Field(default=None, sa_type=Text)


def _time() -> Any:
    return Field(sa_type=BigInteger)


def _time_or_null() -> Any:
    return Field(default=None, sa_type=BigInteger)


def _bytes() -> Any:
    return Field(sa_type=LargeBinary)


def _reference(target: str, *, primary_key: bool = False, nullable: bool = False) -> Any:
    return Field(
        default=None if nullable else ...,
        primary_key=primary_key,
        nullable=nullable,
        sa_column_args=[ForeignKey(target)],
        sa_column_kwargs={"autoincrement": False},
    )


# --- the ledger -------------------------------------------------------------------------------


class LedgerNumberRow(_Row, table=True):
    """Every uid and gid number ever issued. Only `retired_at` is ever written again, once."""

    __tablename__ = "ledger_numbers"
    __table_args__ = (
        CheckConstraint("kind IN ('uid', 'gid')", name="kind"),
        CheckConstraint(_allowed_number("number"), name="law_10"),
    )
    kind: str = _text_key()
    number: int = _key()
    owner: str = _text()
    """`account:<id>` or `group:<id>`."""
    range_name: str | None = Field(
        default=None, sa_type=Text, sa_column_args=[ForeignKey("ranges.name")]
    )
    """Null is for numbers taken over from before idmap, which may lie in no range."""
    rule: str | None = _text_or_null()
    issued_at: int = _time()
    author: str = _text()
    plan: str | None = _text_or_null()
    retired_at: int | None = _time_or_null()


class LedgerNameRow(_Row, table=True):
    """Every username and group name ever issued: one name space."""

    __tablename__ = "ledger_names"
    __table_args__ = (
        CheckConstraint("kind IN ('user', 'group')", name="kind"),
        CheckConstraint(_allowed_name("name"), name="law_10"),
    )
    name: str = _text_key()
    kind: str = _text()
    owner: str = _text()
    issued_at: int = _time()
    author: str = _text()
    plan: str | None = _text_or_null()
    retired_at: int | None = _time_or_null()


class WithheldRow(_Row, table=True):
    """Names and numbers that were issued, and not by the history that this database holds: found in the journal
    outside the database, in a published snapshot, or in the database that a restore replaced.
    """

    __tablename__ = "withheld"
    __table_args__ = (
        CheckConstraint("kind IN ('user', 'group')", name="kind"),
        Index(None, "holder"),
        Index(None, "kind", "number"),
    )
    name: str = _text_key()
    kind: str = _text_key()
    number: int = _key()
    holder: str = _text_key()
    """Salted digest of the identity or group that may have them again; empty for nobody."""
    since: int = _time()


class RangeRow(_Row, table=True):
    """Ranges; `next_number` only rises."""

    __tablename__ = "ranges"
    __table_args__ = (
        CheckConstraint("purpose IN ('people', 'groups')", name="purpose"),
        CheckConstraint("first <= last AND next_number >= first", name="order"),
        CheckConstraint(_allowed_number("first"), name="law_10_first"),
        CheckConstraint(_allowed_number("last"), name="law_10_last"),
        CheckConstraint("NOT (first <= 65535 AND last >= 60001)", name="law_10_hole"),
    )
    name: str = _text_key()
    purpose: str = _text()
    first: int
    last: int
    next_number: int = Field(sa_type=BigInteger)
    serves: str | None = _text_or_null()
    """`robots` or `pools` where `purpose`, which says the kind of number, is not the whole of it."""


# --- people, accounts, groups -----------------------------------------------------------------


class GroupRow(_Row, table=True):
    """A group as an issuer knows it: what observations speak of and a gid is bound to.

    The row is the group; its path is how it is spelled now.
    """

    __tablename__ = "groups"
    __table_args__ = (
        UniqueConstraint("issuer", "path"),
        Index("uq_groups_issuer_external_id", "issuer", "external_id", unique=True),
    )
    group_id: int = _key()
    issuer: str = _text()
    path: str = _text()
    listed_at: int | None = _time_or_null()
    """When the newest complete listing of it began: token observations before that are stale."""
    external_id: str | None = _text_or_null()
    """The issuer's own stable id of it, once a source said it."""


class FormerPathRow(_Row, table=True):
    """Paths that a group had before it was renamed: rules that still say one mean the group."""

    __tablename__ = "former_paths"
    issuer: str = _text_key()
    path: str = _text_key()
    group_id: int = _reference("groups.group_id")
    rules_version: int
    """Of the newest rules when it happened: rules saved later speak of paths as they are by then."""
    since: int = _time()


class PosixGroupRow(_Row, table=True):
    """The gid and name of a group; never changed, never deleted."""

    __tablename__ = "posix_groups"
    __table_args__ = (
        UniqueConstraint("gid_number"),
        UniqueConstraint("name"),
        CheckConstraint(_allowed_number("gid_number"), name="law_10"),
    )
    group_id: int = _reference("groups.group_id", primary_key=True)
    name: str = Field(sa_type=Text, sa_column_args=[ForeignKey("ledger_names.name")])
    gid_number: int


class AccountRow(_Row, table=True):
    """Accounts; number and name never change, a closed one stays as a tombstone."""

    __tablename__ = "accounts"
    __table_args__ = (
        UniqueConstraint("uid_number"),
        UniqueConstraint("username"),
        CheckConstraint(_allowed_number("uid_number"), name="law_10"),
        CheckConstraint(
            "state IN ('pending', 'active', 'grace', 'suspended', 'tombstone')", name="state"
        ),
        CheckConstraint("(state = 'grace') = (grace_until IS NOT NULL)", name="grace"),
        CheckConstraint("NOT held OR state = 'suspended'", name="held"),
        Index(None, "state", "account_id"),
        Index(None, "rule_id", "account_id"),
        Index(None, "primary_group_id", "account_id"),
    )
    account_id: int = _key()
    username: str = Field(sa_type=Text, sa_column_args=[ForeignKey("ledger_names.name")])
    uid_number: int
    primary_group_id: int = _reference("posix_groups.group_id")
    home: str = _text()
    shell: str = _text()
    state: str = _text()
    grace_until: date | None = None
    expires_on: date | None = None
    held: bool = False
    rule_id: str = _text()
    node_classes: str = Field(
        default="*", sa_type=Text, sa_column_kwargs={"server_default": text("'*'")}
    )
    """As `NodeAccess` writes itself."""
    local_groups: str = Field(
        default="", sa_type=Text, sa_column_kwargs={"server_default": text("''")}
    )
    """Names of groups of the nodes' own, with commas between them."""
    shared: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """Several people use it."""


class MembershipRow(_Row, table=True):
    """Secondary groups of accounts, as the nodes are told."""

    __tablename__ = "memberships"
    __table_args__ = (Index(None, "group_id", "account_id"),)
    account_id: int = _reference("accounts.account_id", primary_key=True)
    group_id: int = _reference("posix_groups.group_id", primary_key=True)
    grace_until: date | None = None
    """The person has left; last day of the membership."""


class IdentityRow(_Row, table=True):
    """Every identity ever recorded, and the account it is linked to."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("issuer", "subject"), Index(None, "account_id"))
    identity_id: int = _key()
    issuer: str = _text()
    subject: str = _text()
    account_id: int | None = _reference("accounts.account_id", nullable=True)
    active: bool
    preferred_username: str | None = _text_or_null()
    first_seen: int = _time()
    unreadable_since: int | None = _time_or_null()
    """Set while the source's listings name the person but cannot be read in full (law 6)."""
    robot: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    """A client, a host or a service account: only rules for robots match it."""
    spelling: str | None = _text_or_null()
    """What may spell a username beside the preferred name, as JSON; null once there is an account."""


class ObservationRow(_Row, table=True):
    """Who was seen in which group, by which source or in a token."""

    __tablename__ = "observations"
    __table_args__ = (Index(None, "group_id", "identity_id"),)
    identity_id: int = _reference("identities.identity_id", primary_key=True)
    group_id: int = _reference("groups.group_id", primary_key=True)
    source: str = _text_key()
    """`token`, or `source:<name>`."""
    seen_at: int = _time()
    """First sight by a source; newest sight in a token."""


class FactRow(_Row, table=True):
    """What else is on record of an identity, because some rule asks for it; bound to the identity's issuer."""

    __tablename__ = "facts"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('label', 'attribute', 'assurance', 'entitlement', 'email_domain')",
            name="kind",
        ),
    )
    identity_id: int = _reference("identities.identity_id", primary_key=True)
    kind: str = _text_key()
    value: str = _text_key()
    source: str = _text_key()
    """`token`, or `source:<name>`."""
    seen_at: int = _time()


class DifferenceRow(_Row, table=True):
    """Where a token and a source disagree about a membership that some rule asks for."""

    __tablename__ = "differences"
    __table_args__ = (
        CheckConstraint("kind IN ('not_in_token', 'not_in_source')", name="kind"),
        Index(None, "last_seen"),
    )
    identity_id: int = _reference("identities.identity_id", primary_key=True)
    group_id: int = _reference("groups.group_id", primary_key=True)
    kind: str = _text_key()
    first_seen: int = _time()
    last_seen: int = _time()


class EvidenceRow(_Row, table=True):
    """What sources say of people's other identities; links nobody by itself."""

    __tablename__ = "link_evidence"
    __table_args__ = (
        UniqueConstraint("identity_id", "source", "kind", "issuer", "subject"),
        CheckConstraint("kind IN ('oidc', 'saml', 'certificate')", name="kind"),
        CheckConstraint("state IN ('open', 'approved', 'refused')", name="state"),
        Index(None, "issuer", "subject"),
    )
    evidence_id: int = _key()
    identity_id: int = _reference("identities.identity_id")
    source: str = _text()
    kind: str = _text()
    issuer: str = _text()
    subject: str = _text()
    state: str = _text()
    first_seen: int = _time()
    withdrawn_at: int | None = _time_or_null()
    """Set while the source's listings do not say it."""


# --- policy -----------------------------------------------------------------------------------


class IssuerRow(_Row, table=True):
    __tablename__ = "issuers"
    issuer: str = _text_key()
    profile: str = _text()


class RuleVersionRow(_Row, table=True):
    """Every version of the rules as saved."""

    __tablename__ = "rule_versions"
    version: int = _key()
    document: str = _text()
    saved_at: int = _time()
    author: str = _text()
    reason: str = Field(default="", sa_type=Text, sa_column_kwargs={"server_default": text("''")})


class RulePinRow(_Row, table=True):
    """The version in force while it is not the newest: one row, or none."""

    __tablename__ = "rule_pin"
    __table_args__ = (CheckConstraint("pin_id = 1", name="single"),)
    pin_id: int = _key()
    version: int = _reference("rule_versions.version")
    pinned_at: int = _time()
    author: str = _text()
    reason: str = _text()


class BanRow(_Row, table=True):
    __tablename__ = "bans"
    __table_args__ = (
        CheckConstraint(
            "account_id IS NOT NULL OR identity_id IS NOT NULL"
            " OR group_id IS NOT NULL OR banned_issuer IS NOT NULL",
            name="someone",
        ),
        CheckConstraint("until IS NULL OR until > since", name="order"),
        Index(None, "account_id"),
        Index(None, "identity_id"),
        Index(None, "group_id"),
        Index(None, "token_id", "banned_issuer"),
    )
    ban_id: int = _key()
    account_id: int | None = _reference("accounts.account_id", nullable=True)
    identity_id: int | None = _reference("identities.identity_id", nullable=True)
    group_id: int | None = None
    """Everybody who is recorded in the group."""
    banned_issuer: str | None = _text_or_null()
    """Every token of the issuer, and every account that has identities of this issuer alone; with `token_id`,
    that one token of it (the `jti` claim)."""
    token_id: str | None = _text_or_null()
    reason: str = _text()
    author: str = _text()
    since: int = _time()
    until: int | None = _time_or_null()
    lifted_at: int | None = _time_or_null()


# --- machines ---------------------------------------------------------------------------------


class CredentialRow(_Row, table=True):
    """Machine credentials, by SHA-256 only (law 9). A name may be given anew once revoked."""

    __tablename__ = "credentials"
    __table_args__ = (
        UniqueConstraint("digest"),
        CheckConstraint("kind IN ('admin_key', 'component', 'node')", name="kind"),
        CheckConstraint("length(digest) = 32", name="sha256"),
        Index(
            "uq_credentials_in_force",
            "kind",
            "name",
            unique=True,
            sqlite_where=text("revoked_at IS NULL"),
            postgresql_where=text("revoked_at IS NULL"),
        ),
    )
    credential_id: int = _key()
    kind: str = _text()
    name: str = _text()
    digest: bytes = _bytes()
    node_class: str | None = _text_or_null()
    doors: str = _text()
    created: int = _time()
    revoked_at: int | None = _time_or_null()


class NodeRow(_Row, table=True):
    __tablename__ = "nodes"
    name: str = _text_key()
    node_class: str = _text()
    revision: int = Field(sa_type=BigInteger)
    ban_counter: int = Field(sa_type=BigInteger)
    reported: int | None = _time_or_null()
    masked: str = _text()


class NodeLocalNameRow(_Row, table=True):
    """Account names that nodes have of their own; none of them is given to a new account."""

    __tablename__ = "node_local_names"
    __table_args__ = (Index(None, "name"),)
    node: str = Field(primary_key=True, sa_type=Text, sa_column_args=[ForeignKey("nodes.name")])
    name: str = _text_key()


class LeaseRow(_Row, table=True):
    __tablename__ = "leases"
    name: str = _text_key()
    holder: str = _text()
    expires: int = _time()


# --- the realm and its record -----------------------------------------------------------------


class CounterRow(_Row, table=True):
    """`revision` and `ban_counter`; they only rise."""

    __tablename__ = "counters"
    name: str = _text_key()
    value: int = Field(sa_type=BigInteger)


class RealmRow(_Row, table=True):
    """The one row of the realm."""

    __tablename__ = "realm"
    __table_args__ = (CheckConstraint("realm_id = 1", name="single"),)
    realm_id: int = _key()
    salt: bytes = _bytes()
    created: int = _time()


class ChangeRow(_Row, table=True):
    """One leaf of the record of changes; changes.py says what is committed."""

    __tablename__ = "changes"
    __table_args__ = (
        Index(None, "at"),
        Index(None, "author", "sequence"),
        Index(None, "action", "sequence"),
    )
    sequence: int = _key(sa_type=BigInteger)
    at: int = _time()
    author: str = _text()
    reason: str = _text()
    plan: str | None = _text_or_null()
    action: str = _text()
    commitment: bytes = _bytes()
    chain: bytes = _bytes()


class ChangeBodyRow(_Row, table=True):
    """The part of a leaf that may be erased: with its salt gone, the commitment tells nothing."""

    __tablename__ = "change_bodies"
    __table_args__ = (
        Index(None, "account_id", "sequence"),
        Index(None, "subject", "sequence"),
    )
    sequence: int = Field(
        primary_key=True,
        sa_type=BigInteger,
        sa_column_args=[ForeignKey("changes.sequence")],
        sa_column_kwargs={"autoincrement": False},
    )
    salt: bytes = _bytes()
    body: str = _text()
    account_id: int | None = None
    issuer: str | None = _text_or_null()
    subject: str | None = _text_or_null()
    """Whom the body speaks of, once more, to be found by; erased with it."""


class KeptAnswerRow(_Row, table=True):
    """Answers to repeat, for a day or so; what was done stands on the record."""

    __tablename__ = "kept_answers"
    __table_args__ = (Index(None, "expires"), Index(None, "caller", "at"))
    caller: str = _text_key()
    request_key: str = _text_key()
    fingerprint: bytes = _bytes()
    at: int = _time()
    expires: int = _time()
    status: int
    headers: str = _text()
    body: str | None = _text_or_null()


class RunRow(_Row, table=True):
    __tablename__ = "runs"
    __table_args__ = (Index(None, "started"),)
    run_id: str = _text_key()
    started: int = _time()
    finished: int | None = _time_or_null()
    outcome: str = _text()
    reason: str | None = _text_or_null()
    plan: str | None = _text_or_null()


def _table(row: type[_Row]) -> Table:
    return METADATA.tables[str(row.__tablename__)]


LEDGER_NUMBERS: Final = _table(LedgerNumberRow)
LEDGER_NAMES: Final = _table(LedgerNameRow)
WITHHELD: Final = _table(WithheldRow)
RANGES: Final = _table(RangeRow)
GROUPS: Final = _table(GroupRow)
FORMER_PATHS: Final = _table(FormerPathRow)
POSIX_GROUPS: Final = _table(PosixGroupRow)
ACCOUNTS: Final = _table(AccountRow)
MEMBERSHIPS: Final = _table(MembershipRow)
IDENTITIES: Final = _table(IdentityRow)
OBSERVATIONS: Final = _table(ObservationRow)
FACTS: Final = _table(FactRow)
DIFFERENCES: Final = _table(DifferenceRow)
LINK_EVIDENCE: Final = _table(EvidenceRow)
ISSUERS: Final = _table(IssuerRow)
RULE_VERSIONS: Final = _table(RuleVersionRow)
RULE_PIN: Final = _table(RulePinRow)
BANS: Final = _table(BanRow)
CREDENTIALS: Final = _table(CredentialRow)
NODES: Final = _table(NodeRow)
NODE_LOCAL_NAMES: Final = _table(NodeLocalNameRow)
LEASES: Final = _table(LeaseRow)
COUNTERS: Final = _table(CounterRow)
REALM: Final = _table(RealmRow)
CHANGES: Final = _table(ChangeRow)
CHANGE_BODIES: Final = _table(ChangeBodyRow)
KEPT_ANSWERS: Final = _table(KeptAnswerRow)
RUNS: Final = _table(RunRow)

"""The ports: what the use cases need from the outside, and nothing more.

`Registry` is the one transactional record. A transaction reads one consistent state; a write transaction is
exclusive, belongs to a named author with a reason, and everything it changes goes on the record in
the same commit (law 12). What takes long is rehearsed on a copy: a ban waits for no rehearsal (law 5).
Each port has one contract suite in tests/contracts, run on a fake and on the real thing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Final, Protocol

from idmap.application.questions import (
    AccountQuestion,
    BanQuestion,
    ChangeQuestion,
    DifferenceQuestion,
    EvidenceQuestion,
    GroupMember,
    GroupQuestion,
    IdentityQuestion,
    Page,
    RulesPin,
    RulesVersion,
)
from idmap.domain.accounts import Account, AccountEvent, AccountState, AccountTerms, PosixGroup
from idmap.domain.bans import Ban, CredentialBans
from idmap.domain.decision import Recorded
from idmap.domain.differences import Difference
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.issuers import IssuerProfile
from idmap.domain.linking import Evidence, EvidenceState, LinkedId, LinkProof
from idmap.domain.manifest import Envelope
from idmap.domain.names import Username
from idmap.domain.numbers import ForeignNumber, NumberKind, NumberRange
from idmap.domain.plans import OpenAccount, OpenGroup
from idmap.domain.provisioning import PersonFacts
from idmap.domain.rules import RuleSet
from idmap.domain.secrets import Secret
from idmap.domain.spelling import NO_SPELLING, Spelling
from idmap.domain.tokens import UnverifiedToken


class Clock(Protocol):
    """Seconds since the epoch. On a node, never less than the newest signed time seen."""

    def __call__(self) -> int: ...


# --- the registry -----------------------------------------------------------------------------

LOW_PERCENT: Final = 10
"""Of a range; a range that a year filled leaves a month's warning."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something and why; the first two columns of the record of changes.

    `name` is `admin-key`, `identity:<subject @ issuer>`, `component:<name>`, `provision:<run>`, `self:<…>`.
    """

    name: str
    reason: str
    plan: str | None = None
    """Digest of the plan under which it happens."""


class CredentialKind(StrEnum):
    """Machine credentials the service gives out; each opens one kind of door."""

    ADMIN_KEY = "admin_key"
    COMPONENT = "component"
    NODE = "node"


@dataclass(frozen=True, slots=True)
class MachineCredential:
    """A bearer credential known only by its SHA-256."""

    kind: CredentialKind
    name: str
    node_class: str | None
    """For nodes: their class."""
    doors: tuple[str, ...]
    """For components: the doors whose tokens they may present (law 13; no confused deputies)."""
    created: int
    revoked: bool


@dataclass(frozen=True, slots=True)
class RangeStatus:
    """A range and how far it has been used."""

    range: NumberRange
    next_number: int
    """No number below it is given any more; above `range.last` when exhausted."""
    passed_over: int = 0
    """Numbers from `next_number` on that are issued or withheld already."""
    has_gids: bool = False
    """Whether numbers of it are gids too: always for groups, for others once an account has a private group."""

    @property
    def size(self) -> int:
        """How many numbers the range has."""
        return self.range.last - self.range.first + 1

    @property
    def free(self) -> int:
        """How many numbers it can still give."""
        return max(0, self.range.last - self.next_number + 1 - self.passed_over)

    @property
    def is_low(self) -> bool:
        """Whether less than LOW_PERCENT of it is left: time to add another one."""
        return self.free * 100 < self.size * LOW_PERCENT


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What an enrolled node last reported."""

    name: str
    node_class: str
    revision: int
    ban_counter: int
    reported: int | None
    masked: tuple[str, ...]
    """Names masked on the node because it has an account of its own with that name or number."""


@dataclass(frozen=True, slots=True)
class ChangeEntry:
    """One leaf of the record of changes."""

    sequence: int
    at: int
    author: str
    reason: str
    plan: str | None
    action: str
    body: Mapping[str, Any] | None
    """None once erased; the commitment stays."""
    commitment: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One provisioning run, whatever became of it."""

    run_id: str
    started: int
    finished: int | None
    outcome: str
    """`applied`, `nothing_to_do`, `stopped`, `failed`, or `running`."""
    reason: str | None
    plan: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The answer to a request that carried an `Idempotency-Key`, to be repeated until it expires."""

    caller: str
    key: str
    fingerprint: bytes
    """SHA-256 of the request: another request may not use the key."""
    at: int
    expires: int
    status: int
    headers: Mapping[str, str]
    body: str | None
    """None where the answer held a secret: that is never stored (law 9)."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A complete, proved listing of the watched groups of one issuer (law 6)."""

    source: str
    issuer: Issuer
    watched: frozenset[Group]
    people: tuple[ListedPerson, ...]
    began: int
    """When reading began: observations from tokens made later are newer than this listing."""
    notes: tuple[str, ...] = ()
    """Records that could not be read in full, for the report."""
    group_ids: Mapping[Group, str] = field(default_factory=dict)
    """The issuer's own stable ids of the watched groups, where it has any; under their paths of now."""
    covers: frozenset[FactKind] = frozenset(FactKind)
    """Kinds of facts that the source tells of its people: its silence about others means nothing."""


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """One person as a source lists them. Unreadable ones count as present and unchanged."""

    identity: Identity
    groups: frozenset[Group]
    active: bool
    preferred_username: str | None
    readable: bool = True
    robot: bool = False
    """The source says that this is a service account, not a person."""
    linked_ids: tuple[LinkedId, ...] = ()
    """Who the source says they are too: evidence, never a link."""
    spelling: Spelling = NO_SPELLING
    """What may spell a username; the registry keeps what some class of the rules needs."""
    facts: frozenset[Fact] = frozenset()
    """Of the listing's issuer; the registry keeps the kinds that some rule asks for."""


@dataclass(frozen=True, slots=True)
class FactsSaid:
    """What is on record of one identity beside groups, by who said it."""

    by_sources: frozenset[Fact]
    by_tokens: frozenset[Fact]


@dataclass(frozen=True, slots=True)
class FormerPath:
    """A path that a group had, and who in the rules in force still says it."""

    former: Group
    now: Group
    named_by: tuple[str, ...]


class RegistryReader(Protocol):
    """One consistent state."""

    def issuers(self) -> tuple[IssuerProfile, ...]: ...
    def rules(self) -> RuleSet:
        """The version in force: the pinned one, else the newest; EMPTY_RULES when there is none."""
        ...

    def rules_pin(self) -> RulesPin | None: ...
    def rules_of(self, version: int) -> RuleSet:
        """One version as it would be in force now. Raises NotFound."""
        ...

    def check_rules(self, document: Mapping[str, Any]) -> RuleSet:
        """A document as the next version. Raises RuleFault for what it may not name, as `save_rules` does."""
        ...

    def rules_document(self, version: int | None = None) -> tuple[int, Mapping[str, Any]] | None:
        """Version and document as saved; the newest without `version`; None when there is none."""
        ...

    def ranges(self) -> tuple[RangeStatus, ...]: ...
    def posix_groups(self) -> Mapping[Group, PosixGroup]: ...
    def find_account(
        self,
        *,
        account_id: int | None = None,
        username: str | None = None,
        uid_number: int | None = None,
    ) -> Account | None: ...
    def count_accounts(self) -> Mapping[AccountState, int]: ...
    def count_accounts_of(self, rules: Collection[str]) -> int:
        """How many accounts, tombstones left out, one of these rules gave."""
        ...

    def count_users(self) -> int:
        """Accounts that may be used, shared ones once for everybody in them."""
        ...

    def names_taken(self, names: Collection[str]) -> frozenset[str]:
        """Of these names those under which no shared account can be opened."""
        ...

    def every_account(self) -> Iterator[Account]:
        """All of them, by account id, in bounded memory."""
        ...

    def every_linked_identity(self) -> Iterator[tuple[Identity, int]]:
        """(identity, uid number) of every identity whose account is not a tombstone, and of every shared account itself
        (`holder_of_shared`); bounded memory."""
        ...

    def identities_of(self, account_id: int) -> tuple[Identity, ...]: ...
    def recorded(self, identity: Identity) -> Recorded:
        """What is known; an identity never seen has no groups, no account and is active."""
        ...

    # several identities of one account

    def people_of(self, account_id: int) -> tuple[PersonFacts, ...]:
        """Every identity linked to an account, with its facts."""
        ...

    def shared_accounts(self) -> frozenset[int]:
        """The accounts that have several identities."""
        ...

    def page_of_evidence(
        self, asked: EvidenceQuestion, *, after: int | str | None = None, limit: int = 100
    ) -> Page[Evidence]: ...

    def find_evidence(self, evidence_id: int) -> Evidence | None: ...

    # tokens compared with sources

    def listed_groups(self) -> Mapping[Group, int]:
        """The groups that a complete listing covered, and when the newest one of each began."""
        ...

    def said_by_sources(
        self, identities: Collection[Identity]
    ) -> Mapping[Identity, frozenset[Group]]:
        """The groups that sources, not tokens, say; of the identities on record whose record could be read."""
        ...

    def differences_of(self, identities: Collection[Identity]) -> tuple[Difference, ...]:
        """Those that stand."""
        ...

    def count_differences(self, since: int) -> int:
        """How many were last seen then or later."""
        ...

    def page_of_differences(
        self, asked: DifferenceQuestion, *, after: int | str | None = None, limit: int = 100
    ) -> Page[Difference]: ...

    def people(self) -> Iterator[PersonFacts]:
        """Every identity ever recorded, with its groups, account and bans; bounded memory."""
        ...

    def observed_groups(self) -> frozenset[Group]:
        """The groups that anybody is recorded in, whoever said so."""
        ...

    def bans(self, *, at: int | None = None) -> tuple[Ban, ...]:
        """All bans not lifted; with `at` those in force then."""
        ...

    def banned_uid_numbers(self, at: int) -> tuple[tuple[int, int], ...]:
        """(uid number, end or 0), sorted: every account that a ban reaches, of whatever kind (`Recorded.bans`)."""
        ...

    def credential_bans(
        self, *, issuer: Issuer | None = None, token_id: str | None = None
    ) -> CredentialBans:
        """What refuses credentials: everything; with `issuer`, all that can refuse its token of that id."""
        ...

    def count_closed_by(
        self, *, group: Group | None = None, issuer: Issuer | None = None, at: int
    ) -> int:
        """How many accounts, tombstones left out, a ban of a group, or of an issuer, closes or would close then."""
        ...

    def revision(self) -> int:
        """Rises with every commit that changes what nodes are told (accounts, groups, ranges, links, issuers)."""
        ...

    def ban_counter(self) -> int:
        """Rises with every commit that changes bans, or whom they reach."""
        ...

    def high_water(self) -> Mapping[str, int]: ...
    def find_credential(self, digest: bytes) -> MachineCredential | None:
        """By the SHA-256 of the secret; revoked ones too."""
        ...

    def credentials(self) -> tuple[MachineCredential, ...]: ...
    def nodes(self) -> tuple[NodeStatus, ...]: ...
    def changes(self, *, after: int = 0, limit: int = 100) -> tuple[ChangeEntry, ...]: ...
    def last_change(self) -> int:
        """The sequence of the newest entry of the record, 0 without one; in a writer, its own count too."""
        ...

    def verify_changes(self) -> int:
        """Checks every commitment and the chain; gives the number of leaves. Raises Conflict when broken."""
        ...

    def runs(self, *, limit: int = 20) -> tuple[RunRecord, ...]: ...

    # groups: their ids at their issuers, their former paths, their members
    def group_ids(self) -> Mapping[Group, str]:
        """The issuer's stable id of each group whose source said one."""
        ...

    def former_paths(self) -> tuple[FormerPath, ...]:
        """Renames that the rules in force were written before; `rules()` follows them."""
        ...

    def members_of(self, group: Group) -> tuple[Username, ...]:
        """The accounts, tombstones left out, that hold a POSIX group as a secondary one; by name."""
        ...

    def facts(self, identity: Identity) -> PersonFacts | None:
        """Everything on record that a plan looks at; None for an identity never seen."""
        ...

    def facts_said(self, identity: Identity) -> FactsSaid:
        """What `Recorded.facts` unites."""
        ...

    def observed_fact_kinds(self) -> frozenset[tuple[Issuer, FactKind]]:
        """The kinds of facts that a source says of anybody, by issuer."""
        ...

    # numbers: what the ledger says of them
    def issued_numbers(self, kind: NumberKind, first: int, last: int) -> Mapping[int, str | None]:
        """Number → name of what it was issued to; None for one that was in use on the site before."""
        ...

    def salt(self) -> bytes:
        """The realm's salt for identity digests; made at initialisation."""
        ...

    # --- for administrators: one of each, and lists by pages

    def find_group(self, name: str) -> tuple[Group, PosixGroup] | None:
        """By name, or by gid number: no name is all digits."""
        ...

    def find_ban(self, ban_id: int) -> Ban | None:
        """Until it is lifted."""
        ...

    def find_node(self, name: str) -> NodeStatus | None:
        """While it is enrolled."""
        ...

    def find_machine(self, kind: CredentialKind, name: str) -> MachineCredential | None:
        """The one in force."""
        ...

    def page_of_accounts(
        self, asked: AccountQuestion, *, after: int | str | None = None, limit: int = 100
    ) -> Page[Account]:
        """Here and below, `after` is the `next` of the page before; InvalidInput(REQUEST_INVALID) for another."""
        ...

    def page_of_identities(
        self, asked: IdentityQuestion, *, after: int | str | None = None, limit: int = 100
    ) -> Page[Recorded]: ...
    def page_of_groups(
        self, asked: GroupQuestion, *, after: int | str | None = None, limit: int = 100
    ) -> Page[tuple[Group, PosixGroup]]: ...
    def page_of_members(
        self, group: Group, *, after: int | str | None = None, limit: int = 100
    ) -> Page[GroupMember]:
        """Identities recorded in the group, then accounts that hold it without."""
        ...

    def suspended_by(self, account_id: int) -> str | None:
        """The author of the order under which an account is suspended; None when it is not by anybody's order."""
        ...

    def page_of_bans(
        self, asked: BanQuestion, *, after: int | str | None = None, limit: int = 100
    ) -> Page[Ban]: ...
    def page_of_nodes(
        self, *, node_class: str | None = None, after: str | None = None, limit: int = 100
    ) -> Page[NodeStatus]:
        """Enrolled ones, by name."""
        ...

    def page_of_machines(
        self, kind: CredentialKind, *, after: int | str | None = None, limit: int = 100
    ) -> Page[MachineCredential]:
        """Revoked ones too, in the order they were made."""
        ...

    def page_of_changes(
        self, asked: ChangeQuestion, *, after: int | str | None = None, limit: int = 100
    ) -> Page[ChangeEntry]: ...
    def page_of_runs(self, *, after: str | None = None, limit: int = 20) -> Page[RunRecord]:
        """Newest first."""
        ...

    def page_of_rules(
        self, *, after: int | str | None = None, limit: int = 100
    ) -> Page[RulesVersion]:
        """Newest first."""
        ...

    # --- answers to requests with a key

    def find_answer(self, caller: str, key: str, at: int) -> KeptAnswer | None:
        """None too when it expired."""
        ...


class RegistryWriter(RegistryReader, Protocol):
    """An exclusive transaction. Raises Conflict or InvalidInput with nothing changed."""

    def save_issuer(self, profile: IssuerProfile) -> None: ...
    def remove_issuer(self, issuer: Issuer) -> None: ...
    def save_rules(self, document: Mapping[str, Any], *, expect_version: int | None) -> RuleSet:
        """A new immutable version. Raises VERSION_CONFLICT, RULE_INVALID, RANGE_UNKNOWN."""
        ...

    def pin_rules(self, version: int) -> RulesPin:
        """That version is in force until another is pinned or none is. Raises NotFound."""
        ...

    def unpin_rules(self) -> None:
        """The newest version is in force again. Raises NotFound when none is pinned."""
        ...

    def add_range(self, new: NumberRange) -> None: ...
    def reserve_numbers(self, range_name: str, numbers: Collection[ForeignNumber]) -> int:
        """Numbers of a range that something else uses are never issued; gives how many were new to the ledger.

        Raises Conflict(NUMBER_TAKEN) for one that was issued already.
        """
        ...

    def add_local_group(self, name: str, *, group_range: str) -> PosixGroup:
        """A site-local group of exactly that name. Raises NAME_REFUSED, NAME_TAKEN, RANGE_UNKNOWN, RANGE_EXHAUSTED."""
        ...

    def rebind_group(self, group: Group, external_id: str) -> None:
        """A group that was made anew at its issuer takes over name, gid and files. Raises NotFound, NAME_TAKEN."""
        ...

    def open_group(self, change: OpenGroup, *, group_range: str) -> PosixGroup: ...
    def open_account(self, change: OpenAccount) -> Account:
        """Number from the range, name as spelled if it was never issued and no node has it, else from the number.

        Raises Conflict(RANGE_EXHAUSTED). Never gives a number or a name twice (law 2).
        """
        ...

    def move_account(
        self, account_id: int, event: AccountEvent, grace_until: date | None = None
    ) -> Account: ...
    def change_groups(
        self, account_id: int, *, join: Iterable[Group] = (), leave: Iterable[Group] = ()
    ) -> Account: ...
    def change_shell(self, account_id: int, shell: str) -> Account: ...

    def change_terms(self, account_id: int, terms: AccountTerms) -> Account:
        """On which node classes, with which local groups and until when it may be used."""
        ...

    # several identities of one account, and membership grace

    def link_identity(
        self, account_id: int, identity: Identity, proof: LinkProof, *, evidence: int | None = None
    ) -> bool:
        """False when it was linked to this account already. Raises what `check_link` raises."""
        ...

    def unlink_identity(
        self, account_id: int, identity: Identity, *, by_rule: bool = False
    ) -> None:
        """Number and name stay with the account. Raises NotFound, and what `check_unlink` raises."""
        ...

    def settle_evidence(self, evidence_id: int, state: EvidenceState) -> None:
        """Raises NotFound, and Conflict(EVIDENCE_SETTLED) unless it is open."""
        ...

    def set_membership_grace(
        self, account_id: int, groups: Iterable[Group], until: date | None
    ) -> Account:
        """The last day of held secondary groups; None for no end. Nodes are told nothing new."""
        ...

    def record_listing(
        self, listing: Listing, *, only: Collection[Identity] | None = None
    ) -> frozenset[Identity]:
        """Replaces what this source said of the watched groups, and supersedes older token observations of them.

        A person who is not listed keeps their identity and loses the watched groups and what the source said of them
        beside; unreadable ones are left alone. Facts that no rule asks for any more go, whoever said them.
        With `only`, nobody but these is touched, at the cost of these. Gives those whose record changed.
        A group whose stable id is known under another path was renamed: it keeps gid and name.
        Raises Conflict(GROUP_REPLACED) when a path belongs to another id than before.
        """
        ...

    def record_observation(
        self,
        identity: Identity,
        groups: frozenset[Group],
        preferred_username: str | None,
        at: int,
        *,
        robot: bool = False,
        spelling: Spelling = NO_SPELLING,
        facts: frozenset[Fact] | None = None,
    ) -> None:
        """What a token said, where the issuer's profile lets it be recorded. `robot` marks; it never unmarks.

        `facts` replace what tokens said of the identity before, unless a newer one was recorded; None says nothing of
        facts. Only kinds that some rule asks for are kept.
        """
        ...

    def forget_facts(self) -> int:
        """Removes facts of kinds that no rule asks for any more, of everybody; gives how many."""
        ...

    def add_ban(
        self,
        *,
        account_id: int | None,
        identity: Identity | None,
        group: Group | None = None,
        issuer: Issuer | None = None,
        token_id: str | None = None,
        reason: str,
        until: int | None,
        at: int,
    ) -> Ban:
        """What it is of may never have been seen. With `token_id`, of that one token of the issuer.

        Raises InvalidInput(REQUEST_INVALID) for a ban of nothing or of the past, NotFound for no such account.
        """
        ...

    def lift_ban(self, ban_id: int) -> None: ...
    def add_credential(
        self,
        kind: CredentialKind,
        name: str,
        digest: bytes,
        *,
        node_class: str | None = None,
        doors: tuple[str, ...] = (),
        at: int,
    ) -> MachineCredential: ...
    def revoke_credential(self, kind: CredentialKind, name: str) -> None: ...
    def save_node_report(
        self,
        name: str,
        *,
        revision: int,
        ban_counter: int,
        masked: tuple[str, ...],
        local_names: tuple[str, ...],
        at: int,
    ) -> None:
        """Also remembers the node's own account names, so that no new account is given one of them."""
        ...

    def save_run(self, run: RunRecord) -> None: ...

    # --- answers to requests with a key: no change of ours, so not on the record

    def keep_answer(self, answer: KeptAnswer, *, at_most: int) -> None:
        """Keeps it, the newest `at_most` of its caller, and forgets what expired."""
        ...

    def forget_answers(self, at: int) -> int:
        """Removes those expired by then; gives how many."""
        ...

    # --- differences between tokens and sources: observations, so neither on the record nor in the revision

    def save_differences(self, found: Collection[Difference]) -> None:
        """Adds them, or sees them again. People who are on no record are passed over."""
        ...

    def settle_differences(self, settled: Collection[Difference]) -> None:
        """Token and source agree by now."""
        ...

    def forget_differences(self, before: int) -> int:
        """Removes those last seen before then; gives how many."""
        ...


class Registry(Protocol):
    """The registry of one realm."""

    def read(self) -> AbstractContextManager[RegistryReader]: ...
    def write(self, author: Author) -> AbstractContextManager[RegistryWriter]:
        """Commits at the end of the block; rolls back on any exception."""
        ...

    def rehearse(self, author: Author) -> AbstractContextManager[RegistryWriter]:
        """A write transaction on a private copy of the newest state: never kept, and nobody waits for it."""
        ...

    def take_lease(self, name: str, holder: str, *, at: int, seconds: int) -> bool:
        """One holder at a time across processes and replicas; the same holder may renew."""
        ...

    def release_lease(self, name: str, holder: str) -> None: ...
    def change_token(self) -> int:
        """Differs after any process committed anything; cheap enough to ask ten times a second."""
        ...

    def close(self) -> None: ...


# --- tokens -----------------------------------------------------------------------------------


class IssuerKeys(Protocol):
    """Public keys by issuer and key id. Only ever asked about an issuer that is trusted."""

    def find_key(self, profile: IssuerProfile, key_id: str | None) -> Mapping[str, Any] | None:
        """The JWK (RFC 7517), or None when there is none such (or several, without a key id).

        May fetch once, within its own bounds. Raises Unavailable(ISSUER_UNAVAILABLE) when nothing was ever fetched.
        """
        ...


class SignatureChecker(Protocol):
    """Checks one signature with one key and one algorithm."""

    def check(self, token: UnverifiedToken, jwk: Mapping[str, Any], algorithm: str) -> bool:
        """Whether it holds. False too when key and algorithm do not belong together."""
        ...


# --- sources ----------------------------------------------------------------------------------


class Progress(Protocol):
    """Told how far a long reading has come."""

    def __call__(self, what: str, done: int, total: int | None) -> None: ...


class Source(Protocol):
    """Where people come from. Reading proves its own completeness or raises SourceFailed."""

    name: str
    issuer: Issuer

    def observe(
        self,
        watched: frozenset[Group],
        progress: Progress,
        known: Mapping[Group, str],
        facts: frozenset[FactKind],
    ) -> Listing:
        """`known`: stable ids that this source said before, so that it finds a group that was renamed since.
        `facts`: what the rules ask for beside groups; nothing else need be read.
        """
        ...


class SiteNumbers(Protocol):
    """What else on the site has numbers: the host's NSS, a directory."""

    def find_in_use(self, kind: NumberKind, first: int, last: int) -> Iterable[ForeignNumber]:
        """Every number found in use, ours among them. Raises Unavailable(SITE_UNAVAILABLE)."""
        ...


# --- signing and publication ------------------------------------------------------------------


class Signer(Protocol):
    """`idmap sign`: holds the keys, reads nobody's input but typed requests, refuses on its own."""

    def sign_manifest(self, payload: bytes, *, approve_shrink: bool = False) -> Envelope: ...
    def sign_bans(self, payload: bytes) -> Envelope: ...
    def sign_heartbeat(self, payload: bytes) -> Envelope: ...
    def public_keys(self) -> Mapping[str, str]:
        """Role → public key as `ed25519:<base64>`; roles are `manifest` and `bans`."""
        ...


class SnapshotStore(Protocol):
    """Where chunks and signed documents lie for any dumb server to carry."""

    def put_chunk(self, data: bytes, *, restricted: bool) -> str:
        """Stores by content; gives the SHA-256 in hexadecimal. Restricted ones go to enrolled nodes only."""
        ...

    def read_chunk(self, sha256: str, *, restricted: bool) -> bytes | None: ...
    def put_document(self, name: str, data: bytes) -> None:
        """Replaces `manifest`, `bans` or `heartbeat` atomically."""
        ...

    def read_document(self, name: str) -> bytes | None: ...


class SecretMaker(Protocol):
    """Makes bearer secrets that nobody can guess (256 bits)."""

    def __call__(self) -> Secret: ...

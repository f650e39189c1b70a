"""What administrators ask a list for. Every member narrows; none of them widens.

A list comes in pages: in the order of one key that no row ever changes, each page beginning after the last key of the
page before. So whatever is written meanwhile, nothing that was there all along is skipped or shown twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar

from idmap.domain.accounts import AccountState
from idmap.domain.bans import BanKind
from idmap.domain.differences import DifferenceKind
from idmap.domain.identity import Identity
from idmap.domain.linking import EvidenceState
from idmap.domain.names import Username

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """Some of a list."""

    items: tuple[Item, ...]
    next: int | str | None
    """The key to go on after; None on the last page."""


@dataclass(frozen=True, slots=True)
class AccountQuestion:
    """Which accounts. In order of account id; of username with `prefix`; of uid number with a span of them."""

    state: AccountState | None = None
    rules: frozenset[str] | None = None
    """Given by one of these rules."""
    group: str | None = None
    """Name of a POSIX group, primary or secondary."""
    issuer: str | None = None
    """Some identity of the account is this issuer's."""
    prefix: str | None = None
    """The username begins so, byte for byte."""
    search: str | None = None
    """The username holds this somewhere, whatever the case of its letters."""
    uid_from: int | None = None
    uid_to: int | None = None
    grace_before: date | None = None
    """In grace, the last day of it before this one."""
    held: bool | None = None
    """Suspended by a person."""


@dataclass(frozen=True, slots=True)
class IdentityQuestion:
    """Which identities. In order of first sight; of subject with `issuer`."""

    issuer: str | None = None
    prefix: str | None = None
    """The subject begins so, byte for byte; only with `issuer`."""
    linked: bool | None = None
    active: bool | None = None
    robot: bool | None = None
    group: str | None = None
    """Recorded in the group with this path."""


@dataclass(frozen=True, slots=True)
class EvidenceQuestion:
    """Which evidence for links. In order of its id."""

    state: EvidenceState | None = EvidenceState.OPEN
    """Open evidence that its source withdrew is left out."""
    linkable: bool = False
    """Only what names an identity that a door here takes, and that is not linked to the person already."""


@dataclass(frozen=True, slots=True)
class DifferenceQuestion:
    """Which differences between tokens and sources. In order of first sight of their identities."""

    issuer: str | None = None
    group: str | None = None
    """The group's path."""
    kind: DifferenceKind | None = None
    account_id: int | None = None
    """Of an identity linked to it."""


@dataclass(frozen=True, slots=True)
class GroupQuestion:
    """Which groups that have a gid. In order of gid number; of name with `prefix`."""

    issuer: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class BanQuestion:
    """Which bans that were not lifted. In order of ban id."""

    at: int | None = None
    """In force then; without it, those that are over by their date too."""
    account_id: int | None = None
    """That reach the account, whatever they are of."""
    identity: Identity | None = None
    """Of this very identity."""
    kind: BanKind | None = None
    issuer: str | None = None
    """That name it: of the issuer, of one of its tokens, groups or identities."""
    group: str | None = None
    """Of a group with this path."""
    token_id: str | None = None
    author: str | None = None


@dataclass(frozen=True, slots=True)
class ChangeQuestion:
    """Which entries of the record. In order of sequence. An erased entry no longer says whom it concerned."""

    author: str | None = None
    action: str | None = None
    since: int | None = None
    until: int | None = None
    """Seconds since the epoch; `since` itself is within, `until` is not."""
    account_id: int | None = None
    identity: Identity | None = None


@dataclass(frozen=True, slots=True)
class RulesVersion:
    """One saved version of the rules, without its document."""

    version: int
    saved_at: int
    author: str
    rules: int
    classes: int
    reason: str = ""
    in_force: bool = False
    """It is the pinned one, or the newest while none is pinned."""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class RulesPin:
    """The version that is in force whatever is saved after it."""

    version: int
    pinned_at: int
    author: str
    reason: str


@dataclass(frozen=True, slots=True)
class GroupMember:
    """Somebody in a group, as far as its manager is concerned: nothing of other groups."""

    identity: Identity | None
    """Recorded in the group; None for an account that holds it without."""
    active: bool | None
    """At the identity's source."""
    username: Username | None
    state: AccountState | None
    """Of the account; None without one."""

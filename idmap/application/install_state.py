"""What installing needs from a node: its files, its own accounts, the service, the verifier; and what it remembers.

The files themselves say what is installed; `AgentState` adds what they cannot: the newest manifest ever
accepted (so that nothing older gets in, also after a crash between two files), what is masked, and the last
error. Losing the state file costs a re-installation, never safety: revision and counter are read from the
files' headers too.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from idmap.application.install_view import LocalAccounts, Masked
from idmap.domain.demands import Demand
from idmap.domain.manifest import BanList, ChunkRef, Heartbeat, Manifest
from idmap.domain.trust import TrustedIssuer


class Document(StrEnum):
    """The signed documents, by the name they have at the service."""

    MANIFEST = "manifest"
    BANS = "bans"
    HEARTBEAT = "heartbeat"


class Step(StrEnum):
    """The points of an installation at which a crash must leave a safe node; tests stop there."""

    FLOOR_REMEMBERED = "floor_remembered"
    BANS_SAVED = "bans_saved"
    REFUSED_INSTALLED = "refused_installed"
    BANS_INSTALLED = "bans_installed"
    CHUNKS_CACHED = "chunks_cached"
    MANIFEST_SAVED = "manifest_saved"
    TRUST_INSTALLED = "trust_installed"
    LOCAL_GROUPS_INSTALLED = "local_groups_installed"
    POSIX_INSTALLED = "posix_installed"
    STATE_WRITTEN = "state_written"


Reached = Callable[[Step], None]
"""Told of every step; does nothing in a real agent."""

NOT_REACHED: Final[Reached] = lambda _step: None  # noqa: E731 -- a constant, not a function


@dataclass(frozen=True, slots=True)
class InstalledBans:
    """What bans.db says."""

    counter: int
    issued: int
    signed_time: int
    """The newest signed time the agent had seen when it wrote the file."""
    clock_skew: bool
    bans: tuple[tuple[int, int], ...]
    """(uid number, end or 0), sorted."""


@dataclass(frozen=True, slots=True)
class RefusedCredentials:
    """What refused.json says: the part of the ban list that concerns credentials, not accounts."""

    issuers: tuple[tuple[str, int], ...] = ()
    """(issuer, end or 0)."""
    tokens: tuple[tuple[str, int], ...] = ()
    """(digest in hexadecimal, end or 0)."""


NOTHING_REFUSED: Final = RefusedCredentials()
"""What a node refuses that has no refused.json."""


@dataclass(frozen=True, slots=True)
class InstalledPosix:
    """What posix.db's header says."""

    revision: int
    created: int
    not_after: int
    seed: bytes
    users: int
    groups: int


@dataclass(frozen=True, slots=True)
class TrustContent:
    """What goes into trust.db."""

    revision: int
    created: int
    not_after: int
    salt: bytes
    issuers: tuple[TrustedIssuer, ...]
    identities: tuple[tuple[bytes, int, str], ...]
    """(digest, uid number, username); identities of masked accounts are not among them."""
    demands: tuple[Demand, ...] = ()
    """What tokens must prove at ssh doors."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The last thing that went wrong."""

    at: int
    during: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class AgentState:
    """`agent-state.json`. Times are the node's clock, but for `created`, `not_after` and `signed_time`."""

    newest_revision: int = 0
    newest_created: int = 0
    """Of the newest manifest ever accepted; written before anything of it is installed."""
    installed_revision: int = 0
    manifest_sha256: str = ""
    created: int = 0
    not_after: int = 0
    installed_at: int = 0
    ban_counter: int = 0
    bans_installed_at: int = 0
    signed_time: int = 0
    """The newest signed time seen."""
    heartbeat_at: int = 0
    """When the last heartbeat came."""
    masked: tuple[Masked, ...] = ()
    elsewhere: int = 0
    """How many accounts may not be used on nodes of this class."""
    token_only: bool = False
    """A login that shows no token is refused here."""
    local_digest: str = ""
    """Of the node's own accounts against which the installed files were masked, its class, the groups it gives and its
    policy for member lists."""
    members_withheld: int = 0
    """Of how many groups the installed posix.db has no member list."""
    failure: Failure | None = None


class Service(Protocol):
    """The service as a node sees it. Raises NodeInstallFailed(DOWNLOAD_FAILED, DOWNLOAD_TAMPERED)."""

    def fetch_document(self, name: str) -> bytes: ...
    def fetch_chunk(self, chunk: ChunkRef, *, restricted: bool) -> bytes:
        """Exactly the promised bytes."""
        ...


class Verifier(Protocol):
    """Opens envelopes by pinned keys. Raises NodeInstallFailed(MANIFEST_UNTRUSTED, MANIFEST_INVALID)."""

    def open_manifest(self, data: bytes) -> Manifest: ...
    def open_bans(self, data: bytes) -> BanList: ...
    def open_heartbeat(self, data: bytes) -> Heartbeat: ...


class NodeFiles(Protocol):
    """The node's files. Writers raise NodeInstallFailed(INSTALL_FAILED) and leave what was there."""

    def snapshot_lock(self) -> AbstractContextManager[None]:
        """One installation of posix.db and trust.db at a time, across processes."""
        ...

    def bans_lock(self) -> AbstractContextManager[None]:
        """The same for bans.db and refused.json; never held while a snapshot is being built."""
        ...

    def read_envelope(self, document: Document) -> bytes | None: ...
    def save_envelope(self, document: Document, data: bytes) -> None: ...
    def read_chunk(self, chunk: ChunkRef) -> bytes | None:
        """A cached chunk that is still what was signed; None for any other."""
        ...

    def save_chunk(self, chunk: ChunkRef, data: bytes) -> None: ...
    def keep_chunks(self, sha256s: frozenset[str]) -> None:
        """Removes all others."""
        ...

    def read_bans(self) -> InstalledBans | None:
        """bans.db, wholly checked. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
        ...

    def read_refused(self) -> RefusedCredentials | None:
        """refused.json, wholly checked. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
        ...

    def read_posix(self) -> InstalledPosix | None:
        """posix.db's checked header. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
        ...

    def has_trust(self, revision: int, created: int) -> bool:
        """Whether trust.db is sound and belongs to that manifest."""
        ...

    def install_bans(self, bans: InstalledBans) -> None:
        """Sorted by number; of two bans on one number the longer counts."""
        ...

    def install_refused(self, refused: RefusedCredentials) -> None: ...
    def install_posix(self, compiler_input: bytes) -> None: ...
    def install_local_groups(self, text: bytes) -> None: ...
    def install_trust(self, content: TrustContent) -> None: ...
    def local_accounts(self) -> LocalAccounts:
        """The node's own accounts. Raises NodeInstallFailed(INSTALL_FAILED) when they cannot be read."""
        ...

    def read_state(self) -> AgentState: ...
    def update_state(self, change: Callable[[AgentState], AgentState]) -> AgentState:
        """Read, change, write in one step across processes."""
        ...

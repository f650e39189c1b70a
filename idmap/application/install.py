"""Installing a snapshot on a node: fetch, verify, mask, compile, replace.

The order makes every crash safe (law 7; tests kill the agent after each step):

    1  the accepted revision is remembered    nothing older is installed from here on
    2  refused.json, bans.db   first, so that nobody whom the new files admit is admitted against an older ban list
    3  chunks and manifest are cached         whatever follows can be repeated without the service
    4  trust.db    a new identity without its record is refused (account_unknown); numbers never change owners, so an
                   old identity with a new record is the same person
    5  local-groups   the node's own groups that accounts have here; a name without its record gets none
    6  posix.db    names and numbers
    7  the state file

Each file is replaced in one step; a failure leaves the last good ones. What clashes with the node's own
accounts is left out of both files and reported (law 10). Fetching and writing are behind ports; signatures are
the verifier's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from idmap.application.install_bans import BanKeeper
from idmap.application.install_state import (
    NOT_REACHED,
    AgentState,
    Document,
    Failure,
    InstalledPosix,
    NodeFiles,
    Reached,
    Service,
    Step,
    TrustContent,
    Verifier,
)
from idmap.application.install_view import (
    ChunkReader,
    LocalAccounts,
    Masked,
    PosixView,
    compiler_input,
    count_elsewhere,
    local_groups_text,
    mask,
    merge,
)
from idmap.domain.errors import IdmapError, NodeInstallFailed
from idmap.domain.issuers import check_distinct
from idmap.domain.manifest import ChunkRef, Manifest
from idmap.domain.member_lists import FULL_LISTS, MemberLists
from idmap.domain.reasons import Reason
from idmap.domain.trust import ISSUERS_CHUNK, IssuersDocument, parse_identity_line, parse_issuers


@dataclass(frozen=True, slots=True)
class Built:
    """The files of one manifest for this node, ready to be written."""

    posix: bytes
    """For `idmap-compile posix`."""
    local_groups: bytes
    trust: TrustContent
    masked: tuple[Masked, ...]
    elsewhere: int
    members_withheld: int
    """Of how many groups posix.db has no member list."""


class Installer:
    """Brings one node to the newest snapshot."""

    def __init__(
        self,
        *,
        node_class: str,
        service: Service,
        verifier: Verifier,
        files: NodeFiles,
        bans: BanKeeper,
        clock: Callable[[], int],
        member_lists: MemberLists = FULL_LISTS,
        reached: Reached = NOT_REACHED,
    ) -> None:
        self._node_class = node_class
        self._service = service
        self._verifier = verifier
        self._files = files
        self._bans = bans
        self._clock = clock
        self._member_lists = member_lists
        self._reached = reached
        self._reader = ChunkReader()

    def sync(self) -> bool:
        """Installs the newest snapshot; whether anything was installed.

        Raises NodeInstallFailed; the last good files stay.
        """
        envelope = self._service.fetch_document(Document.MANIFEST)
        manifest = self._verifier.open_manifest(envelope)
        with self._files.snapshot_lock():
            state = self._files.read_state()
            installed = self._installed()
            self._check_fresh(manifest, state, installed)
            self._keep_bans_up(manifest)
            local = self._files.local_accounts()
            sha256 = hashlib.sha256(envelope).hexdigest()
            if sha256 == state.manifest_sha256 and self._is_complete(manifest, local, state):
                return False
            if (manifest.revision, manifest.created) > (
                state.newest_revision,
                state.newest_created,
            ):
                self._files.update_state(
                    lambda s: replace(
                        s, newest_revision=manifest.revision, newest_created=manifest.created
                    )
                )
            self._reached(Step.FLOOR_REMEMBERED)
            self._cache_chunks(manifest)
            self._reached(Step.CHUNKS_CACHED)
            self._write(self._build(manifest, local), manifest, envelope, local)
        self._bans.note_time(manifest.created)
        return True

    def remask(self) -> bool:
        """Installs the cached snapshot again when the node's accounts or settings changed, or it was left half done.

        Needs nobody but the node; also after not-after, because names and numbers never expire (law 7).
        """
        with self._files.snapshot_lock():
            envelope = self._files.read_envelope(Document.MANIFEST)
            if envelope is None:
                return False
            manifest = self._verifier.open_manifest(envelope)
            local = self._files.local_accounts()
            state = self._files.read_state()
            if (manifest.revision, manifest.created) < self._floor(state, self._installed()):
                return False
            if self._is_complete(manifest, local, state):
                return False
            self._write(self._build(manifest, local), manifest, envelope, local)
        return True

    def _build(self, manifest: Manifest, local: LocalAccounts) -> Built:
        built = build_files(
            manifest, self._files, local, self._node_class, self._member_lists, self._reader
        )
        self._reader.keep_only(frozenset(chunk.sha256 for chunk in manifest.posix))
        return built

    def _check_fresh(
        self, manifest: Manifest, state: AgentState, installed: InstalledPosix | None
    ) -> None:
        floor = self._floor(state, installed)
        if (manifest.revision, manifest.created) < floor:
            raise NodeInstallFailed(
                Reason.SNAPSHOT_OLDER,
                f"revision {manifest.revision} of {manifest.created}; here was {floor[0]} of {floor[1]}",
            )
        if not manifest.created < manifest.not_after:
            raise NodeInstallFailed(Reason.MANIFEST_INVALID, "not_after is not after created")
        now = self._bans.effective_time()
        if manifest.not_after <= now:
            raise NodeInstallFailed(
                Reason.SNAPSHOT_EXPIRED,
                f"revision {manifest.revision} ended {now - manifest.not_after} s ago by this node's time",
            )

    def _floor(self, state: AgentState, installed: InstalledPosix | None) -> tuple[int, int]:
        """Nothing older is installed: what the state file remembers, or posix.db itself if that was lost."""
        remembered = (state.newest_revision, state.newest_created)
        return max(remembered, (installed.revision, installed.created) if installed else (0, 0))

    def _keep_bans_up(self, manifest: Manifest) -> None:
        """Step 2. A list that cannot be had now does not stop names and numbers; without any, PAM refuses."""
        if self._bans.is_missing() or manifest.ban_counter > self._bans.counter():
            try:
                self._bans.fetch()
            except NodeInstallFailed as error:
                self.note_failure("bans", error)

    def _is_complete(self, manifest: Manifest, local: LocalAccounts, state: AgentState) -> bool:
        installed = self._installed()
        return (
            installed is not None
            and (installed.revision, installed.created) == (manifest.revision, manifest.created)
            and self._files.has_trust(manifest.revision, manifest.created)
            and state.local_digest == self._digest(local)
        )

    def _digest(self, local: LocalAccounts) -> str:
        return _digest(local, self._node_class, self._member_lists)

    def _cache_chunks(self, manifest: Manifest) -> None:
        for restricted, chunks in ((False, manifest.posix), (True, manifest.trust)):
            for chunk in chunks:
                if self._files.read_chunk(chunk) is None:
                    data = self._service.fetch_chunk(chunk, restricted=restricted)
                    self._files.save_chunk(chunk, data)

    def _write(
        self, built: Built, manifest: Manifest, envelope: bytes, local: LocalAccounts
    ) -> None:
        files = self._files
        files.save_envelope(Document.MANIFEST, envelope)
        self._reached(Step.MANIFEST_SAVED)
        files.install_trust(built.trust)
        self._reached(Step.TRUST_INSTALLED)
        files.install_local_groups(built.local_groups)
        self._reached(Step.LOCAL_GROUPS_INSTALLED)
        files.install_posix(built.posix)
        self._reached(Step.POSIX_INSTALLED)
        now = self._clock()
        files.update_state(
            lambda state: replace(
                state,
                newest_revision=manifest.revision,
                newest_created=manifest.created,
                installed_revision=manifest.revision,
                manifest_sha256=hashlib.sha256(envelope).hexdigest(),
                created=manifest.created,
                not_after=manifest.not_after,
                installed_at=now,
                signed_time=max(state.signed_time, manifest.created),
                masked=built.masked,
                elsewhere=built.elsewhere,
                token_only=self._node_class in manifest.token_only,
                local_digest=self._digest(local),
                members_withheld=built.members_withheld,
            )
        )
        self._reached(Step.STATE_WRITTEN)
        files.keep_chunks(frozenset(c.sha256 for c in (*manifest.posix, *manifest.trust)))

    def note_failure(self, during: str, error: IdmapError) -> None:
        """Remembers for `status` what went wrong; silent when even that cannot be written."""
        note_failure(self._files, self._clock(), during, error)

    def _installed(self) -> InstalledPosix | None:
        try:
            return self._files.read_posix()
        except NodeInstallFailed:
            return None


def build_files(
    manifest: Manifest,
    files: NodeFiles,
    local: LocalAccounts,
    node_class: str,
    member_lists: MemberLists = FULL_LISTS,
    reader: ChunkReader | None = None,
) -> Built:
    """Everything that goes into the node's files, from cached chunks; `reader` may know some already.

    Raises NodeInstallFailed: MANIFEST_INVALID, NAME_REFUSED, NUMBER_REFUSED … for a record that no node
    installs, whoever signed it; DOWNLOAD_FAILED when a chunk is not in the cache.
    """
    reader = ChunkReader(max_records=0) if reader is None else reader
    try:
        whole = merge(
            reader.read(chunk.name, chunk.sha256, _cached(files, chunk), manifest.windows)
            for chunk in manifest.posix
        )
    except NodeInstallFailed:
        raise
    except IdmapError as error:
        raise NodeInstallFailed(error.reason, error.detail) from error
    view, masked = mask(whole, local)
    withheld = member_lists.withheld(user.secondary for user in view.users)
    posix = compiler_input(
        view,
        manifest.windows,
        revision=manifest.revision,
        created=manifest.created,
        not_after=manifest.not_after,
        node_class=node_class,
        token_only=node_class in manifest.token_only,
        members_withheld=withheld,
    )
    return Built(
        posix=posix,
        local_groups=local_groups_text(view, local),
        trust=_trust_content(manifest, files, view),
        masked=masked,
        elsewhere=count_elsewhere(view, node_class),
        members_withheld=len(withheld),
    )


def note_failure(files: NodeFiles, now: int, during: str, error: IdmapError) -> None:
    """Remembers the last failure in the state file, if it can be written at all."""
    failure = Failure(now, during, str(error.reason), error.detail)
    try:
        files.update_state(lambda state: replace(state, failure=failure))
    except NodeInstallFailed:
        return


def _trust_content(manifest: Manifest, files: NodeFiles, view: PosixView) -> TrustContent:
    username_of = {user.uid_number: user.name for user in view.users}
    document: IssuersDocument | None = None
    identities: dict[bytes, tuple[int, str]] = {}
    for chunk in manifest.trust:
        data = _cached(files, chunk)
        if chunk.name == ISSUERS_CHUNK:
            document = parse_issuers(data)
            continue
        for line in data.decode("ascii", "replace").splitlines():
            digest, uid_number = parse_identity_line(line)
            if digest in identities:
                raise NodeInstallFailed(Reason.MANIFEST_INVALID, "one identity has two accounts")
            if uid_number in username_of:
                identities[digest] = (uid_number, username_of[uid_number])
    if document is None:
        raise NodeInstallFailed(Reason.MANIFEST_INVALID, "there is no issuers chunk")
    try:
        check_distinct(trusted.profile for trusted in document.issuers)
    except IdmapError as error:
        raise NodeInstallFailed(Reason.MANIFEST_INVALID, error.detail) from error
    return TrustContent(
        revision=manifest.revision,
        created=manifest.created,
        not_after=manifest.not_after,
        salt=document.salt,
        issuers=document.issuers,
        identities=tuple((digest, uid, name) for digest, (uid, name) in identities.items()),
        demands=document.demands,
    )


def _cached(files: NodeFiles, chunk: ChunkRef) -> bytes:
    data = files.read_chunk(chunk)
    if data is None:
        raise NodeInstallFailed(Reason.DOWNLOAD_FAILED, f"chunk {chunk.name} is not in the cache")
    return data


def _digest(local: LocalAccounts, node_class: str, member_lists: MemberLists) -> str:
    """Of all that decides what one manifest becomes here. A setting that says nothing adds nothing."""
    value = (
        repr([sorted(part) for part in (local.users, local.groups)])
        + repr([sorted(part) for part in (local.uid_numbers, local.gid_numbers)])
        + repr((node_class, sorted(local.given)))
    )
    if member_lists != FULL_LISTS:
        value += repr((str(member_lists.policy), member_lists.above))
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).hexdigest()

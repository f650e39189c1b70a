"""The node's directory (`/var/lib/idmap`): the installed files, the chunk cache, what the agent remembers.

    posix.db                0644, written by idmap-compile only
    bans.db                 0644
    local-groups            0644, which of the node's own groups an account has here; for pam_idmap's setcred
    trust.db refused.json   0640, root and the verifier's group
    manifest.envelope bans.envelope   what was last accepted, signatures and all; verified again at each use
    chunks/                 0700, by SHA-256; checked at each use
    agent-state.json        0644, for people and for `status`
    *.lock                  one installation at a time, across processes

Every writer raises NodeInstallFailed(INSTALL_FAILED) and leaves the last good file.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from idmap.adapters.node_files.bans_db import read_bans, write_bans
from idmap.adapters.node_files.failures import install_failed
from idmap.adapters.node_files.local_accounts import file_marks, read_local_accounts
from idmap.adapters.node_files.posix_header import read_posix_header
from idmap.adapters.node_files.refused import read_refused, write_refused
from idmap.adapters.node_files.replace import remove_leftovers, replace_file
from idmap.adapters.node_files.trust_db import TrustDb, write_trust_db
from idmap.application.install_state import (
    AgentState,
    Document,
    Failure,
    InstalledBans,
    InstalledPosix,
    RefusedCredentials,
    TrustContent,
)
from idmap.application.install_view import LocalAccounts, MaskCause, Masked
from idmap.domain.errors import IdmapError, NodeInstallFailed
from idmap.domain.manifest import ChunkRef
from idmap.domain.reasons import Reason

COMPILE_SECONDS: Final = 300
"""A million accounts take a few seconds; more than this is a hung disk."""

_COMPILER_SAYS: Final = {1: Reason.MANIFEST_INVALID, 3: Reason.INSTALL_FAILED}
"""idmap-compile's exit status; anything else is INSTALL_FAILED too."""


class NodeDirectory:
    """The NodeFiles port on a real file system."""

    def __init__(
        self,
        directory: Path,
        *,
        compiler: Path,
        passwd: Path,
        group: Path,
        trust_group_number: int,
        listed_groups: frozenset[str] = frozenset(),
    ) -> None:
        self._directory = directory
        self._compiler = compiler
        self._passwd = passwd
        self._group = group
        self._trust_group_number = trust_group_number
        self._listed_groups = listed_groups
        self._threads = threading.Lock()

    @property
    def posix_path(self) -> Path:
        """Where posix.db is."""
        return self._directory / "posix.db"

    @property
    def bans_path(self) -> Path:
        """Where bans.db is."""
        return self._directory / "bans.db"

    @property
    def local_groups_path(self) -> Path:
        """Where the list of local groups is."""
        return self._directory / "local-groups"

    @property
    def trust_path(self) -> Path:
        """Where trust.db is."""
        return self._directory / "trust.db"

    @property
    def refused_path(self) -> Path:
        """Where refused.json is, if the ban list ever named an issuer or a token."""
        return self._directory / "refused.json"

    def prepare(self) -> None:
        """At start: makes the directories and ends a replacement of posix.db that was interrupted."""
        try:
            self._directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            (self._directory / "chunks").mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise install_failed(self._directory, error) from error
        with self.snapshot_lock(), self.bans_lock(), self._threads, self._lock("state.lock"):
            for directory in (self._directory, self._directory / "chunks"):
                remove_leftovers(directory)
            self._run("settle", "--out", str(self.posix_path))

    def snapshot_lock(self) -> AbstractContextManager[None]:
        """One installation of posix.db and trust.db at a time."""
        return self._lock("snapshot.lock")

    def bans_lock(self) -> AbstractContextManager[None]:
        """One installation of bans.db and refused.json at a time."""
        return self._lock("bans.lock")

    def read_envelope(self, document: Document) -> bytes | None:
        """What was last accepted."""
        try:
            return (self._directory / f"{document}.envelope").read_bytes()
        except OSError:
            return None

    def save_envelope(self, document: Document, data: bytes) -> None:
        """Keeps it across restarts."""
        replace_file(self._directory / f"{document}.envelope", data, mode=0o600)

    def read_chunk(self, chunk: ChunkRef) -> bytes | None:
        """A cached chunk, if it is still what was signed."""
        try:
            data = self._chunk_path(chunk.sha256).read_bytes()
        except OSError:
            return None
        if len(data) != chunk.size or hashlib.sha256(data).hexdigest() != chunk.sha256:
            return None
        return data

    def save_chunk(self, chunk: ChunkRef, data: bytes) -> None:
        """Keeps a chunk that was checked."""
        replace_file(self._chunk_path(chunk.sha256), data, mode=0o600, synced=False)

    def keep_chunks(self, sha256s: frozenset[str]) -> None:
        """Removes every other chunk; one that cannot be removed is only a waste of space."""
        for path in (self._directory / "chunks").iterdir():
            if path.name not in sha256s:
                try:
                    path.unlink()
                except OSError:
                    continue

    def read_bans(self) -> InstalledBans | None:
        """bans.db, wholly checked."""
        return read_bans(self.bans_path)

    def read_refused(self) -> RefusedCredentials | None:
        """refused.json, wholly checked."""
        return read_refused(self.refused_path)

    def read_posix(self) -> InstalledPosix | None:
        """posix.db's header, checked."""
        return read_posix_header(self.posix_path)

    def has_trust(self, revision: int, created: int) -> bool:
        """Whether trust.db is sound and belongs to that manifest."""
        trust = TrustDb(self.trust_path)
        try:
            return trust.revision() == (revision, created)
        except IdmapError:
            return False
        finally:
            trust.close()

    def install_bans(self, bans: InstalledBans) -> None:
        """Replaces bans.db."""
        write_bans(self.bans_path, bans)

    def install_refused(self, refused: RefusedCredentials) -> None:
        """Replaces refused.json."""
        write_refused(self.refused_path, refused, group_number=self._trust_group_number)

    def install_posix(self, compiler_input: bytes) -> None:
        """Compiles posix.db in place."""
        self._compile(compiler_input, self.posix_path)

    def install_local_groups(self, text: bytes) -> None:
        """Replaces the list of local groups."""
        replace_file(self.local_groups_path, text, mode=0o644)

    def compile_like(self, compiler_input: bytes, seed: bytes, out: Path) -> None:
        """Compiles into `out` with the hash seed of an installed file, to compare the two."""
        self._compile(compiler_input, out, "--seed", seed.hex())

    def install_trust(self, content: TrustContent) -> None:
        """Replaces trust.db."""
        write_trust_db(self.trust_path, content, group_number=self._trust_group_number)

    def local_accounts(self) -> LocalAccounts:
        """The node's own accounts."""
        return read_local_accounts(self._passwd, self._group, self._listed_groups)

    def local_marks(self) -> tuple[tuple[int, int, int, int], ...]:
        """Changes when the node's own passwd or group file does."""
        return file_marks(self._passwd, self._group)

    def read_state(self) -> AgentState:
        """What is remembered; nothing, when the file is missing or cannot be understood."""
        try:
            return _parse_state(json.loads((self._directory / "agent-state.json").read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return AgentState()

    def update_state(self, change: Callable[[AgentState], AgentState]) -> AgentState:
        """Read, change, write in one step."""
        with self._threads, self._lock("state.lock"):
            before = self.read_state()
            after = change(before)
            if after != before:
                data = json.dumps(asdict(after), indent=1, sort_keys=True).encode("ascii")
                replace_file(self._directory / "agent-state.json", data + b"\n", mode=0o644)
            return after

    def _lock(self, name: str) -> AbstractContextManager[None]:
        return _locked(self._directory / name)

    def _chunk_path(self, sha256: str) -> Path:
        return self._directory / "chunks" / sha256

    def _compile(self, text: bytes, out: Path, *more: str) -> None:
        self._run("posix", "--in", "-", "--out", str(out), *more, text=text)

    def _run(self, *arguments: str, text: bytes = b"") -> None:
        try:
            done = subprocess.run(  # noqa: S603 -- the program is named in agent.toml
                [str(self._compiler), *arguments],
                input=text,
                capture_output=True,
                timeout=COMPILE_SECONDS,
                env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NodeInstallFailed(Reason.INSTALL_FAILED, f"{self._compiler}: {error}") from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip()[:500]
            reason = _COMPILER_SAYS.get(done.returncode, Reason.INSTALL_FAILED)
            raise NodeInstallFailed(reason, said or f"idmap-compile ended with {done.returncode}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise install_failed(path, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _parse_state(value: dict[str, Any]) -> AgentState:
    masked = tuple(
        Masked(m["kind"], m["name"], m["number"], MaskCause(m["cause"]))
        for m in value.pop("masked")
    )
    failure = value.pop("failure")
    state = AgentState(
        **value, masked=masked, failure=None if failure is None else Failure(**failure)
    )
    if not all(type(n) is int for n in (state.newest_revision, state.newest_created)):
        raise ValueError
    return state

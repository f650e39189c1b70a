"""refused.json: banned issuers and tokens, written by the agent, read by idmap-verify at every token.

0640 like trust.db and of the same group. A node whose ban list never had such bans has no such file, and refuses
nothing by it; one that cannot be read, is not what was written, or went away is NODE_FILES_UNREADABLE, and nobody gets
in by token (law 4). The reader keeps the file open, so that no later file can be taken for it by its inode.

    {"format": 1, "refused": {"issuers": [[issuer, end]], "tokens": [[digest, end]]}, "sha256": of "refused"}

`refused` is canonical JSON (sorted members, no blanks, ASCII); ends are seconds since the epoch, 0 for none; a digest
is `identity.token_digest` in hexadecimal.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any, Final

from idmap.adapters.node_files.replace import replace_file
from idmap.application.install_state import RefusedCredentials
from idmap.domain.errors import NodeInstallFailed, Unavailable
from idmap.domain.identity import Issuer, token_digest
from idmap.domain.reasons import Reason

FORMAT: Final = 1


def write_refused(path: Path, refused: RefusedCredentials, *, group_number: int) -> None:
    """Replaces the file. Raises NodeInstallFailed(INSTALL_FAILED) with the old one in place."""
    content = {"issuers": refused.issuers, "tokens": refused.tokens}
    document = {"format": FORMAT, "refused": content, "sha256": _sha256(content)}
    replace_file(path, _canonical(document) + b"\n", mode=0o640, group_number=group_number)


def read_refused(path: Path) -> RefusedCredentials | None:
    """The file, wholly checked; None when it is missing. Raises NodeInstallFailed(NODE_FILES_UNREADABLE)."""
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise NodeInstallFailed(
            Reason.NODE_FILES_UNREADABLE, f"{path}: {type(error).__name__}"
        ) from error


class RefusedFile:
    """The reader of idmap-verify. Safe to share between threads; looks for a newer file at every question."""

    def __init__(self, path: Path, salt: Callable[[], bytes]) -> None:
        """`salt` is the realm's, as trust.db has it."""
        self._path = path
        self._salt = salt
        self._lock = threading.Lock()
        self._file: BufferedReader | None = None
        self._opened: tuple[int, int] | None = None
        self._issuers: dict[str, int] = {}
        self._tokens: dict[str, int] = {}

    def check(self) -> None:
        """Raises Unavailable(NODE_FILES_UNREADABLE) when it cannot be told what is banned."""
        with self._lock:
            self._refresh()

    def is_banned(self, issuer: Issuer, token_id: str | None, at: int) -> bool:
        """Whether a token of the issuer with this id is refused at that time. Raises as `check`."""
        with self._lock:
            self._refresh()
            issuers, tokens = self._issuers, self._tokens
        if _holds(issuers.get(issuer), at):
            return True
        if token_id is None or not tokens:
            return False
        return _holds(tokens.get(token_digest(self._salt(), issuer, token_id).hex()), at)

    def close(self) -> None:
        """Forgets the file; the next question opens it again."""
        with self._lock:
            self._forget()

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
            if self._opened != (found.st_dev, found.st_ino):
                self._read()
        except FileNotFoundError as error:
            if self._file is not None:
                raise self._unreadable("it was here before") from error
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._unreadable(f"{type(error).__name__}: {error}") from error

    def _unreadable(self, why: str) -> Unavailable:
        return Unavailable(Reason.NODE_FILES_UNREADABLE, f"{self._path}: {why}")

    def _read(self) -> None:
        file = self._path.open("rb")
        try:
            refused, status = _parse(file.read()), os.fstat(file.fileno())
        except BaseException:
            file.close()
            raise
        self._forget()
        self._file, self._opened = file, (status.st_dev, status.st_ino)
        self._issuers, self._tokens = dict(refused.issuers), dict(refused.tokens)

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._opened = None
        self._issuers, self._tokens = {}, {}


def _holds(end: int | None, at: int) -> bool:
    return end is not None and (end == 0 or at < end)


def _parse(data: bytes) -> RefusedCredentials:
    """Raises ValueError, TypeError and KeyError for whatever was not written by `write_refused`."""
    value = json.loads(data)
    content = value["refused"]
    if value["format"] != FORMAT or value["sha256"] != _sha256(content):
        raise ValueError("not as it was written")
    return RefusedCredentials(_entries(content["issuers"]), _entries(content["tokens"]))


def _entries(rows: list[list[Any]]) -> tuple[tuple[str, int], ...]:
    entries = tuple((text, end) for text, end in rows)
    if not all(isinstance(text, str) and type(end) is int for text, end in entries):
        raise TypeError
    return entries


def _sha256(content: object) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return text.encode("ascii")

"""Issuers' public keys on disk: shared by `serve` and `work`, believed no more than the network.

One JSON file per issuer, named by the digest of the issuer's string. What is read passes the same filter as what is
fetched; a file that is not whole, speaks of another issuer or is dated in the future counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from idmap.application.ports import Clock

MAX_KEYS: Final = 32
MAX_FILE: Final = 512 * 1024
CLOCK_SLACK_SECONDS: Final = 60
"""So far ahead another process's clock may be; beyond, the file would never grow old."""

_PUBLIC_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e", "kid", "use", "alg")
_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})

Jwk = Mapping[str, Any]
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """The keys of one issuer and when it showed them."""

    keys: tuple[Jwk, ...]
    fetched: int


def public_keys(keys: Sequence[object]) -> tuple[Jwk, ...]:
    """The asymmetric keys among these, public members only."""
    return tuple(
        {name: key[name] for name in _PUBLIC_MEMBERS if isinstance(key.get(name), str)}
        for key in keys[:MAX_KEYS]
        if isinstance(key, dict) and isinstance(key.get("kty"), str) and key["kty"] in _KEY_TYPES
    )


class KeyFiles:
    """A directory of such files."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._seen: dict[str, tuple[int, int]] = {}

    def load_if_new(self, issuer: str) -> Known | None:
        """What is stored, when the file is another than at the last call; None otherwise."""
        path = self._path(issuer)
        try:
            status = path.stat()
            mark = (status.st_ino, status.st_mtime_ns)
            if self._seen.get(issuer) == mark:
                return None
            self._seen[issuer] = mark
            return self._read(path, issuer)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            _log.warning("issuer_keys_unreadable", issuer=issuer, detail=type(error).__name__)
            return None

    def store(self, issuer: str, known: Known) -> None:
        """Replaces the file. A failure is logged: the keys are in memory."""
        value = {"issuer": issuer, "fetched": known.fetched, "keys": list(known.keys)}
        path = self._path(issuer)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                json.dump(value, file)
            # Public keys; `serve` and `work` may be two users.
            Path(file.name).chmod(0o644)
            Path(file.name).replace(path)
        except OSError as error:
            _log.warning("issuer_keys_not_stored", issuer=issuer, detail=type(error).__name__)

    def _read(self, path: Path, issuer: str) -> Known:
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_FILE))
        fetched = value["fetched"]
        if value["issuer"] != issuer or type(fetched) is not int:
            raise ValueError("not this issuer's file")
        if fetched > self._clock() + CLOCK_SLACK_SECONDS:
            raise ValueError("dated in the future")
        keys = public_keys(value["keys"])
        if not keys:
            raise ValueError("no usable key")
        return Known(keys, fetched)

    def _path(self, issuer: str) -> Path:
        return self._directory / f"{hashlib.sha256(issuer.encode()).hexdigest()[:32]}.json"

"""The Ed25519 keys that sign what nodes follow, and their public form.

Two roles: `manifest` for snapshots, `bans` for ban lists and heartbeats. Private keys are PKCS#8 files that only
their owner may read; a file open to others is refused, not repaired. A public key travels as `ed25519:<base64>`, which
is what agent.toml pins; its id is the first 16 hexadecimal digits of the SHA-256 of its 32 bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from idmap.adapters.snapshot.durable import sync_directory
from idmap.domain.errors import InvalidInput
from idmap.domain.manifest import Envelope, signed_bytes
from idmap.domain.reasons import Reason

_PREFIX: Final = "ed25519:"
_MAX_KEY_FILE: Final = 4096


class Role(StrEnum):
    """What a key signs."""

    MANIFEST = "manifest"
    BANS = "bans"
    """Ban lists and heartbeats: the fast path has a key of its own."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked against."""

    key_id: str
    raw: bytes

    def holds(self, signature: bytes, message: bytes) -> bool:
        """Whether the signature is this key's over exactly `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return _PREFIX + base64.b64encode(self.raw).decode("ascii")


class SigningKey:
    """A private key; shows nothing of itself but its public half."""

    __slots__ = ("_private", "public")

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = _public(private.public_key().public_bytes_raw())

    def sign(self, payload_type: str, payload: bytes) -> Envelope:
        """The payload in an envelope with this key's one signature."""
        signature = self._private.sign(signed_bytes(payload_type, payload))
        return Envelope(payload_type, payload, {self.public.key_id: signature})

    def __repr__(self) -> str:
        return f"<signing key {self.public.key_id}>"


def parse_public_key(text: str) -> PublicKey:
    """A key as agent.toml pins it. Raises InvalidInput(CONFIGURATION_INVALID)."""
    try:
        if not text.startswith(_PREFIX):
            raise ValueError
        raw = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        Ed25519PublicKey.from_public_bytes(raw)
    except (ValueError, binascii.Error, UnsupportedAlgorithm):
        raise _invalid(
            f"{text[:24]!r} is not a public key; 'idmap keys list' prints them"
        ) from None
    return _public(raw)


def generate_keys(directory: Path) -> Mapping[Role, PublicKey]:
    """Makes both roles' keys. Raises InvalidInput(CONFIGURATION_INVALID) when any is there already.

    A key that is there is never replaced: nodes have pinned it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    existing = [path for path in (key_path(directory, role) for role in Role) if path.exists()]
    if existing:
        raise _invalid(f"{existing[0]} exists; a key that nodes have pinned is never overwritten")
    made = {}
    for role in Role:
        private = Ed25519PrivateKey.generate()
        text = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with os.fdopen(os.open(key_path(directory, role), flags, 0o600), "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        made[role] = SigningKey(private).public
    sync_directory(directory)
    return made


def load_keys(directory: Path) -> Mapping[Role, SigningKey]:
    """Both roles' keys. Raises InvalidInput(CONFIGURATION_INVALID) naming the file that cannot be used."""
    return {role: _load(key_path(directory, role)) for role in Role}


def key_path(directory: Path, role: Role) -> Path:
    """Where a role's private key lies."""
    return directory / f"{role}.key"


def _load(path: Path) -> SigningKey:
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
                raise _invalid(f"{path}: a key file must be a regular file with mode 0600 or 0400")
            key = load_pem_private_key(file.read(_MAX_KEY_FILE), password=None)
    except OSError as error:
        raise _invalid(f"{path}: {error.strerror}; 'idmap keys generate' makes keys") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _invalid(f"{path}: not an unencrypted PKCS#8 key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _invalid(f"{path}: not an Ed25519 key")
    return SigningKey(key)


def _public(raw: bytes) -> PublicKey:
    return PublicKey(hashlib.sha256(raw).hexdigest()[:16], raw)


def _invalid(detail: str) -> InvalidInput:
    return InvalidInput(Reason.CONFIGURATION_INVALID, detail)

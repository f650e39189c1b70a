"""What the simulator knows about a person and a group.

Identifiers are derived with uuid5 from one namespace, so the same name has the same UUID on every run and a test
can compute it without asking. A record is mutable: `Directory` owns it and is the only module that changes it.

This module does not know JSON; `shapes` draws records as SCIM.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import NewType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PersonId = NewType("PersonId", str)
GroupId = NewType("GroupId", str)

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://iam-simulator.invalid/")
# The name ends in .invalid (RFC 2606) so that no real issuer can share the derived UUIDs.

SITE_OFFSET = timezone(timedelta(hours=1))
# IAM prints times with the server's own offset; a non-zero one catches readers that assume Z.

EPOCH = datetime(2024, 1, 2, 3, 4, 5, 678000, tzinfo=SITE_OFFSET)
# Creation time of the first record. Fixed, so that a population is the same on every run.

OPTIONAL_GROUP_LABEL = "wlcg.optional-group"
# INDIGO IAM: a group with this label is left out of tokens unless it is asked for by name.


def person_id(key: str) -> PersonId:
    """The UUID of the person created under the username `key`: `uuid5(NAMESPACE, "person:" + key)`."""
    return PersonId(str(uuid.uuid5(NAMESPACE, f"person:{key}")))


def group_id(path: str) -> GroupId:
    """The UUID of the group created at `path`: `uuid5(NAMESPACE, "group:" + path)`. A rename keeps it."""
    return GroupId(str(uuid.uuid5(NAMESPACE, f"group:{path}")))


def login_client_id() -> str:
    """The client a person's token is issued to unless another is asked for; IAM's ids are UUIDs."""
    return str(uuid.uuid5(NAMESPACE, "client:login"))


@dataclass(frozen=True, slots=True)
class Label:
    """An IAM label: a name with an optional prefix and an optional value."""

    name: str
    prefix: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class SshKey:
    """A public SSH key as IAM stores it: the base64 body without type or comment."""

    display: str
    value: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the key blob, base64 without padding, as OpenSSH prints it after `SHA256:`."""
        digest = hashlib.sha256(base64.b64decode(self.value)).digest()
        return base64.b64encode(digest).decode().rstrip("=")


def demo_ssh_key(username: str) -> SshKey:
    """A well-formed ed25519 public key for `username`. Anyone can derive its private half: never trust it."""
    seed = hashlib.sha256(f"iam-simulator:{username}".encode()).digest()
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    line = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return SshKey(display="laptop", value=line.split()[1])


@dataclass(frozen=True, slots=True)
class Certificate:
    """An X.509 certificate linked to a person; names in RFC 2253 order."""

    display: str
    subject: str
    issuer: str


@dataclass(slots=True)
class Person:
    """One IAM account. `groups` holds every group, ancestors included, as IAM keeps it."""

    id: PersonId
    username: str
    given_name: str
    family_name: str
    email: str
    created: datetime
    last_modified: datetime
    active: bool = True
    end_time: datetime | None = None
    aup_signature_time: datetime | None = None
    service_account: bool = False
    has_extension: bool = True
    ssh_keys: tuple[SshKey, ...] = ()
    oidc_ids: tuple[tuple[str, str], ...] = ()
    saml_ids: tuple[tuple[str, str, str], ...] = ()
    certificates: tuple[Certificate, ...] = ()
    labels: tuple[Label, ...] = ()
    attributes: tuple[tuple[str, str | None], ...] = ()
    groups: set[GroupId] = field(default_factory=set)

    @property
    def full_name(self) -> str:
        """Given and family name with one space, as IAM's `name.formatted`."""
        return f"{self.given_name} {self.family_name}".strip()


@dataclass(slots=True)
class Group:
    """One IAM group. `path` is the full path without a leading slash, at most 512 characters."""

    id: GroupId
    path: str
    parent: GroupId | None
    created: datetime
    last_modified: datetime
    description: str | None = None
    labels: tuple[Label, ...] = ()
    members: set[PersonId] = field(default_factory=set)
    children: set[GroupId] = field(default_factory=set)

    @property
    def is_optional(self) -> bool:
        """Whether tokens carry this group only when it is asked for by name."""
        return any(label.name == OPTIONAL_GROUP_LABEL for label in self.labels)

"""Who: the pair (issuer, subject), compared byte for byte (law 1).

E-mail addresses, preferred usernames and display names are attributes: they may spell a name or
narrow a rule, and they never appear in this module.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NewType

from idmap.domain.errors import InvalidInput
from idmap.domain.reasons import Reason

Issuer = NewType("Issuer", str)
"""An issuer's exact string, as its tokens carry it (RFC 7519 §4.1.1)."""

Subject = NewType("Subject", str)
"""The value of the claim that the issuer's profile names as stable; usually `sub`."""

MAX_SUBJECT = 255
"""OpenID Connect Core §2 and WLCG profile 1.3 allow at most 255 ASCII characters."""


@dataclass(frozen=True, slots=True, order=True)
class Identity:
    """One federated identity. Equality is equality of both strings, nothing softer."""

    issuer: Issuer
    subject: Subject

    def __str__(self) -> str:
        return f"{self.subject} @ {self.issuer}"


def parse_subject(value: object) -> Subject:
    """A subject from a claim or a source.

    Raises InvalidInput(CLAIM_INVALID) unless it is 1 to 255 printable ASCII characters.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_SUBJECT:
        raise InvalidInput(Reason.CLAIM_INVALID, "subject: 1 to 255 characters are needed")
    if not all(" " <= character <= "~" for character in value):
        raise InvalidInput(Reason.CLAIM_INVALID, "subject: only printable ASCII is accepted")
    return Subject(value)


def identity_digest(salt: bytes, identity: Identity) -> bytes:
    """SHA-256(salt, issuer, zero byte, subject): the only form in which an identity reaches a node.

    The zero byte cannot occur in either string, so no two pairs collide by concatenation.
    """
    text = f"{identity.issuer}\0{identity.subject}".encode()
    return hashlib.sha256(salt + text).digest()


def token_digest(salt: bytes, issuer: Issuer, token_id: str) -> bytes:
    """SHA-256(salt, issuer, zero byte, token id): the only form in which a banned token reaches a node.

    No zero byte can occur in an issuer, so what stands behind the first one is the token id, whatever it holds.
    """
    text = f"{issuer}\0{token_id}".encode("utf-8", "surrogatepass")
    return hashlib.sha256(salt + text).digest()

"""The bytes between pam_idmap and idmap-verify (docs/verify-protocol.md).

Pure: bytes to values and back, nothing else. Whatever breaks the layout raises `ProtocolError`;
what comes out of `parse_` keeps every limit, so nobody downstream checks again. Numbers are
big-endian. The C side (`verify_client.c`) writes requests and reads replies; the other two
functions are what tests and `idmap doctor` need to stand in for it.
"""

from __future__ import annotations

import re
import secrets
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from idmap.domain.secrets import Secret

MAGIC: Final = b"IDMV"
VERSION: Final = 1

USERNAME_MAX: Final = 32
"""IDMAP_NAME_MAX of pam_module/account.h."""

RHOST_MAX: Final = 255
SERVICE_MAX: Final = 32

SECRET_MAX: Final = 16384
"""MAX_TOKEN of domain/tokens.py: what no token may exceed is not carried either."""

REQUEST_HEADER: Final = struct.Struct("!4sHHHHI")
"""magic, version, lengths of username, rhost, service, secret."""

REPLY: Final = struct.Struct("!4sHHIII33s40s17s18s")
"""magic, version, 0, outcome, flags, uid number, username, reason, correlation id, zeros."""

FLAG_PROVED: Final = 1
UID_NUMBER_MAX: Final = 2**32 - 1

_VISIBLE: Final = re.compile(rb"[!-~]*")
_SECRET: Final = re.compile(rb"[ -~]+")
"""Tokens (RFC 6750 §2.1), codes and PINs are printable ASCII; nothing else is carried."""

_REASON: Final = re.compile(r"[a-z0-9_]{1,39}", re.ASCII)
_CORRELATION_ID: Final = re.compile(r"[0-9a-f]{16}", re.ASCII)
_USERNAME: Final = re.compile(r"[!-~]{0,32}", re.ASCII)


class ProtocolError(ValueError):
    """The bytes are not of this protocol. The message never quotes them."""


class Outcome(IntEnum):
    """What the verifier found, as it stands in the reply."""

    ACCEPTED = 0
    REFUSED = 1


@dataclass(frozen=True, slots=True)
class VerifyRequest:
    """One credential shown at this node. `rhost` and `service` are for the log only."""

    username: str
    rhost: str
    service: str
    secret: Secret


@dataclass(frozen=True, slots=True)
class VerifyReply:
    """The verifier's answer. Build it with `accept` or `refuse`; raises ValueError if unsayable.

    `proved` is true once the credential was found to be somebody's: only then may PAM show
    `reason`. `username` and `uid_number` are those of the account the credential belongs to,
    whoever was asked for; PAM compares both with the system's own answer.
    """

    outcome: Outcome
    proved: bool
    uid_number: int
    username: str
    reason: str
    correlation_id: str

    def __post_init__(self) -> None:
        if not 0 <= self.uid_number <= UID_NUMBER_MAX:
            raise ValueError("uid_number does not fit")
        if not _USERNAME.fullmatch(self.username):
            raise ValueError("username does not fit")
        if not _REASON.fullmatch(self.reason):
            raise ValueError("reason is not a code")
        if not _CORRELATION_ID.fullmatch(self.correlation_id):
            raise ValueError("correlation_id is not sixteen hexadecimal digits")
        if self.outcome is Outcome.ACCEPTED and not (self.proved and self.username):
            raise ValueError("nobody is accepted without proof and a name")

    @classmethod
    def accept(cls, username: str, uid_number: int, correlation_id: str = "") -> VerifyReply:
        """The credential is that of `username`."""
        ref = correlation_id or new_correlation_id()
        return cls(Outcome.ACCEPTED, True, uid_number, username, "ok", ref)

    @classmethod
    def refuse(cls, reason: str, *, proved: bool = False, correlation_id: str = "") -> VerifyReply:
        """The credential is not accepted, for `reason`."""
        ref = correlation_id or new_correlation_id()
        return cls(Outcome.REFUSED, proved, 0, "", str(reason), ref)


def new_correlation_id() -> str:
    """Sixteen random hexadecimal digits, to find a refusal in the log."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class RequestLengths:
    """The header of a request: how long each field is. All within their limits."""

    username: int
    rhost: int
    service: int
    secret: int

    @property
    def total(self) -> int:
        """Bytes that follow the header."""
        return self.username + self.rhost + self.service + self.secret


def parse_request_header(header: bytes | bytearray) -> RequestLengths:
    """Reads exactly `REQUEST_HEADER.size` bytes. Raises ProtocolError."""
    if len(header) != REQUEST_HEADER.size:
        raise ProtocolError("request header of the wrong size")
    magic, version, username, rhost, service, secret = REQUEST_HEADER.unpack(header)
    if magic != MAGIC or version != VERSION:
        raise ProtocolError("not a request of this version")
    lengths = RequestLengths(username, rhost, service, secret)
    if (
        not 1 <= username <= USERNAME_MAX
        or rhost > RHOST_MAX
        or service > SERVICE_MAX
        or not 1 <= secret <= SECRET_MAX
    ):
        raise ProtocolError("a length breaks its limit")
    return lengths


def parse_request_body(lengths: RequestLengths, body: bytes | bytearray) -> VerifyRequest:
    """Reads the fields that follow the header. Raises ProtocolError."""
    if len(body) != lengths.total:
        raise ProtocolError("request body of the wrong size")
    fields: list[str] = []
    start = 0
    for size, shape in (
        (lengths.username, _VISIBLE),
        (lengths.rhost, _VISIBLE),
        (lengths.service, _VISIBLE),
        (lengths.secret, _SECRET),
    ):
        field = body[start : start + size]
        start += size
        if not shape.fullmatch(field):
            raise ProtocolError("a field holds other than printable ASCII")
        fields.append(field.decode("ascii"))
    username, rhost, service, secret = fields
    return VerifyRequest(username, rhost, service, Secret(secret))


def parse_request(data: bytes | bytearray) -> VerifyRequest:
    """Reads a whole request. Raises ProtocolError."""
    size = REQUEST_HEADER.size
    return parse_request_body(parse_request_header(data[:size]), data[size:])


def serialise_request(request: VerifyRequest) -> bytes:
    """The bytes of a request. Raises ProtocolError if a field breaks its limit."""
    try:
        fields = [
            text.encode("ascii")
            for text in (
                request.username,
                request.rhost,
                request.service,
                request.secret.reveal(),
            )
        ]
        header = REQUEST_HEADER.pack(MAGIC, VERSION, *(len(field) for field in fields))
    except (UnicodeEncodeError, struct.error):
        # `from None`: the encoding error quotes the text it could not encode.
        raise ProtocolError("a field cannot be carried") from None
    data = header + b"".join(fields)
    parse_request(data)
    return data


def serialise_reply(reply: VerifyReply) -> bytes:
    """The 128 bytes of a reply."""
    return REPLY.pack(
        MAGIC,
        VERSION,
        0,
        reply.outcome,
        FLAG_PROVED if reply.proved else 0,
        reply.uid_number,
        reply.username.encode("ascii"),
        reply.reason.encode("ascii"),
        reply.correlation_id.encode("ascii"),
        b"",
    )


def parse_reply(data: bytes) -> VerifyReply:
    """Reads exactly 128 bytes, as strictly as the C side. Raises ProtocolError."""
    if len(data) != REPLY.size:
        raise ProtocolError("reply of the wrong size")
    magic, version, zero, outcome, flags, uid_number, *texts, rest = REPLY.unpack(data)
    if magic != MAGIC or version != VERSION or zero or flags > FLAG_PROVED or any(rest):
        raise ProtocolError("not a reply of this version")
    try:
        username, reason, correlation_id = (_text(field) for field in texts)
        return VerifyReply(
            Outcome(outcome), bool(flags), uid_number, username, reason, correlation_id
        )
    except ValueError as error:
        raise ProtocolError("a field of the reply is malformed") from error


def _text(field: bytes) -> str:
    """A zero-terminated field that is all zeros after its end."""
    text, zero, rest = field.partition(b"\0")
    if not zero or any(rest):
        raise ProtocolError("a text field is not terminated")
    return text.decode("ascii")

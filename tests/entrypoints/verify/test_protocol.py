"""The bytes between pam_idmap and idmap-verify, from the Python side."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.verify.protocol import (
    MAGIC,
    REPLY,
    REQUEST_HEADER,
    RHOST_MAX,
    SECRET_MAX,
    SERVICE_MAX,
    UID_NUMBER_MAX,
    USERNAME_MAX,
    Outcome,
    ProtocolError,
    VerifyReply,
    VerifyRequest,
    parse_reply,
    parse_request,
    serialise_reply,
    serialise_request,
)

VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
REQUESTS = st.builds(
    VerifyRequest,
    username=st.text(VISIBLE, min_size=1, max_size=USERNAME_MAX),
    rhost=st.text(VISIBLE, max_size=RHOST_MAX),
    service=st.text(VISIBLE, max_size=SERVICE_MAX),
    secret=st.builds(Secret, st.text(PRINTABLE, min_size=1, max_size=2000)),
)
IDS = st.text("0123456789abcdef", min_size=16, max_size=16)
ACCEPTED = st.builds(
    VerifyReply.accept,
    st.text(VISIBLE, min_size=1, max_size=USERNAME_MAX),
    st.integers(0, UID_NUMBER_MAX),
    IDS,
)
REFUSED = st.builds(
    VerifyReply.refuse, st.sampled_from(Reason), proved=st.booleans(), correlation_id=IDS
)


def same(one: VerifyRequest, other: VerifyRequest) -> bool:
    """Whether two requests say the same; a Secret does not compare."""

    def fields(request: VerifyRequest) -> tuple[str, str, str, str]:
        return (request.username, request.rhost, request.service, request.secret.reveal())

    return fields(one) == fields(other)


@given(REQUESTS)
def test_a_request_survives_the_wire(request: VerifyRequest) -> None:
    """parse(serialise(x)) == x."""
    assert same(parse_request(serialise_request(request)), request)


@given(st.one_of(ACCEPTED, REFUSED))
def test_a_reply_survives_the_wire_in_128_bytes(reply: VerifyReply) -> None:
    """parse(serialise(x)) == x."""
    data = serialise_reply(reply)
    assert len(data) == REPLY.size == 128
    assert parse_reply(data) == reply


@given(st.binary(max_size=400), st.booleans())
def test_garbage_is_a_protocol_error_and_nothing_else(data: bytes, with_magic: bool) -> None:
    """No other exception, and never a value that does not serialise to the same bytes."""
    data = MAGIC + b"\0\1" + data if with_magic else data
    with contextlib.suppress(ProtocolError):
        assert serialise_request(parse_request(data)) == data
    with contextlib.suppress(ProtocolError):
        assert serialise_reply(parse_reply(data)) == data


@given(REQUESTS, st.data())
def test_a_damaged_request_is_refused_or_means_exactly_its_bytes(
    request: VerifyRequest, draw: st.DataObject
) -> None:
    """One byte changed, or the end cut off: the layout has no second spelling."""
    data = bytearray(serialise_request(request))
    data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    del data[draw.draw(st.integers(0, len(data))) :]
    with contextlib.suppress(ProtocolError):
        assert serialise_request(parse_request(data)) == data


@given(st.one_of(ACCEPTED, REFUSED), st.integers(0, 127), st.integers(0, 255))
def test_a_damaged_reply_is_refused_or_means_exactly_its_bytes(
    reply: VerifyReply, at: int, value: int
) -> None:
    """As strict as the C side."""
    data = bytearray(serialise_reply(reply))
    data[at] = value
    with contextlib.suppress(ProtocolError):
        assert serialise_reply(parse_reply(bytes(data))) == data


def request_with(**changes: str) -> VerifyRequest:
    """A good request with one field changed."""
    fields = {"username": "anna", "rhost": "", "service": "sshd", "secret": "t"} | changes
    return VerifyRequest(
        fields["username"], fields["rhost"], fields["service"], Secret(fields["secret"])
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"username": ""},
        {"username": "a" * 33},
        {"username": "an na"},
        {"username": "an\0na"},
        {"username": "ann\u00e4"},
        {"rhost": "r" * 256},
        {"rhost": "a\nb"},
        {"service": "s" * 33},
        {"secret": ""},
        {"secret": "x" * (SECRET_MAX + 1)},
        {"secret": "x" * 70000},
        {"secret": "t\n"},
        {"secret": "secret-\u00e9"},
    ],
)
def test_a_field_beyond_its_limit_is_not_carried(changes: dict[str, str]) -> None:
    """Nor quoted in the error, which may reach a log (law 9)."""
    with pytest.raises(ProtocolError) as caught:
        serialise_request(request_with(**changes))
    assert "secret-" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_longest_request_is_carried() -> None:
    """Every field at its limit: the size docs/verify-protocol.md promises."""
    longest = request_with(
        username="u" * USERNAME_MAX,
        rhost="r" * RHOST_MAX,
        service="s" * SERVICE_MAX,
        secret="x" * SECRET_MAX,
    )
    data = serialise_request(longest)
    assert len(data) == 16719
    assert same(parse_request(data), longest)


def test_the_layout_is_the_documented_one() -> None:
    """Golden bytes; the C side has the same offsets."""
    request = serialise_request(request_with(rhost="::1"))
    assert request.hex() == "49444d5600010004000300040000000161" + "6e6e613a3a3173736864" + "74"
    assert REQUEST_HEADER.size == 16
    reply = serialise_reply(VerifyReply.accept("anna", 200017, "0123456789abcdef"))
    expected = bytes.fromhex("49444d56 0001 0000 00000000 00000001 00030d51")
    expected += b"anna".ljust(33, b"\0") + b"ok".ljust(40, b"\0")
    assert reply == expected + b"0123456789abcdef".ljust(35, b"\0")


@pytest.mark.parametrize(
    "fields",
    [
        (Outcome.ACCEPTED, False, 1000, "anna", "ok", "0" * 16),
        (Outcome.ACCEPTED, True, 1000, "", "ok", "0" * 16),
        (Outcome.ACCEPTED, True, -1, "anna", "ok", "0" * 16),
        (Outcome.ACCEPTED, True, 2**32, "anna", "ok", "0" * 16),
        (Outcome.ACCEPTED, True, 1000, "a" * 33, "ok", "0" * 16),
        (Outcome.REFUSED, False, 0, "", "", "0" * 16),
        (Outcome.REFUSED, False, 0, "", "Not a code", "0" * 16),
        (Outcome.REFUSED, False, 0, "", "banned", "0" * 15),
        (Outcome.REFUSED, False, 0, "", "banned", "F" * 16),
    ],
)
def test_a_reply_that_cannot_be_said_cannot_be_built(
    fields: tuple[Outcome, bool, int, str, str, str],
) -> None:
    """Above all: nobody is accepted without proof and a name."""
    with pytest.raises(ValueError, match=r"."):
        VerifyReply(*fields)


def test_every_reason_fits_into_a_reply() -> None:
    """Forty bytes are enough for the whole table, and stay so."""
    for reason in Reason:
        assert parse_reply(serialise_reply(VerifyReply.refuse(reason))).reason == reason


def test_a_request_does_not_print_its_secret() -> None:
    """Law 9."""
    assert "t0ken" not in repr(request_with(secret="t0ken"))

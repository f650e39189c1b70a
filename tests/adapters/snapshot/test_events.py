"""Server-sent events, however they are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.adapters.snapshot.events import SIGN_OF_LIFE, Event, parse_events
from idmap.adapters.snapshot.fetch import SnapshotClient
from idmap.domain.errors import InvalidInput, NodeInstallFailed
from idmap.domain.secrets import Secret

STREAM = b": hi\r\nevent: bans\r\ndata: {1}\r\n\r\nid: 7\ndata: lonely\n\nevent:heartbeat\ndata:a\ndata: b\n\n"
EVENTS = [SIGN_OF_LIFE, Event("bans", b"{1}"), Event("heartbeat", b"a\nb")]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_however_the_stream_is_cut(cuts: list[int]) -> None:
    """TCP cuts where it likes."""
    edges = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[a:b] for a, b in pairwise(edges)]
    assert list(parse_events(parts, 1000)) == EVENTS


@given(st.binary(max_size=300))
def test_no_bytes_make_the_parser_fail_otherwise_than_by_its_own_error(data: bytes) -> None:
    """Strangers' bytes in a process of root."""
    for event in parse_events([data], 1000):
        assert isinstance(event, Event)


@pytest.mark.parametrize("part", [b"x" * 100, b"data: " + b"x" * 50 + b"\n"])
def test_an_endless_event_is_given_up(part: bytes) -> None:
    """Memory has a bound, whether the line or the event never ends."""
    with pytest.raises(NodeInstallFailed):
        list(parse_events([part] * 50, 1000))


@pytest.mark.parametrize(
    "url", ["http://idmap.example.org", "ftp://127.0.0.1", "http://127.0.0.1.evil.org"]
)
def test_a_node_speaks_plain_http_to_itself_only(url: str) -> None:
    """DESIGN §3, Transport."""
    with pytest.raises(InvalidInput):
        SnapshotClient(url, lambda: Secret("x"))

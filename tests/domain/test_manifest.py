"""The manifest as bytes: what a node without a demand reads is what it always read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.errors import NodeInstallFailed
from idmap.domain.manifest import Manifest, encode_manifest, parse_manifest
from idmap.domain.posix import Windows

CLASSES = st.frozensets(st.from_regex(r"[a-z][a-z0-9_-]{0,30}", fullmatch=True), max_size=8)


def manifest(token_only: frozenset[str] = frozenset()) -> Manifest:
    """A small one."""
    return Manifest(
        realm="a-site",
        revision=7,
        created=10,
        not_after=20,
        windows=Windows(uid=((200_000, 299_999),), gid=()),
        ban_counter=1,
        high_water={"people": 200_003},
        posix=(),
        trust=(),
        token_only=token_only,
    )


def test_without_a_demand_nothing_new_is_written() -> None:
    """Agents of before read it byte for byte as before."""
    assert encode_manifest(manifest()) == (
        b'{"ban_counter":1,"created":10,"format":1,"high_water":{"people":200003},"not_after":20,"posix":[],'
        b'"realm":"a-site","revision":7,"trust":[],"windows":{"gid":[],"uid":[[200000,299999]]}}'
    )


@given(CLASSES)
def test_what_is_written_is_read(classes: frozenset[str]) -> None:
    """And in one spelling only."""
    assert parse_manifest(encode_manifest(manifest(classes))) == manifest(classes)


def test_an_agent_that_knows_no_demands_cannot_read_one() -> None:
    """Another format: it keeps its files, instead of letting keys in."""
    assert json.loads(encode_manifest(manifest(frozenset({"secure"}))))["format"] == 2


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"format": 3},
        {"token_only": []},
        {"token_only": None},
        {"token_only": "secure"},
        {"token_only": {"secure": 1}},
        {"token_only": ["secure", 1]},
        {"token_only": ["Secure"]},
        {"token_only": [""]},
        {"token_only": [f"c{n}" for n in range(65)]},
    ],
)
def test_a_demand_that_is_not_understood_is_no_manifest(change: dict[str, object]) -> None:
    """Law 4: never read as if nothing were demanded."""
    value = json.loads(encode_manifest(manifest(frozenset({"secure"}))))
    with pytest.raises(NodeInstallFailed):
        parse_manifest(json.dumps(value | change).encode())


def test_the_newer_format_without_a_demand_is_none() -> None:
    """One spelling for each thing that is said."""
    value = json.loads(encode_manifest(manifest()))
    with pytest.raises(NodeInstallFailed):
        parse_manifest(json.dumps(value | {"format": 2}).encode())

"""The signed ban list: what older and newer nodes read of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from idmap.domain.errors import NodeInstallFailed
from idmap.domain.manifest import MAX_ISSUER, BanList, encode_bans, parse_bans

DIGEST = "ab" * 32


def listed(**more: Any) -> dict[str, Any]:
    """A payload as an object."""
    return {"format": 1, "realm": "r", "counter": 2, "issued": 3, "bans": [[200_000, 0]]} | more


def as_payload(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def test_without_banned_credentials_the_payload_is_what_it_always_was() -> None:
    """A node that knows nothing of them reads it, and the signer of before signs it."""
    bans = BanList("r", 2, 3, ((200_000, 0),))
    assert encode_bans(bans) == as_payload(listed())
    assert parse_bans(as_payload(listed())) == bans


def test_each_new_member_is_there_only_when_it_says_something() -> None:
    issuers, tokens = (("https://a.example/", 9),), ((DIGEST, 0),)
    for bans, members in (
        (BanList("r", 2, 3, (), issuers=issuers), {"issuers"}),
        (BanList("r", 2, 3, (), tokens=tokens), {"tokens"}),
        (BanList("r", 2, 3, (), issuers, tokens), {"issuers", "tokens"}),
    ):
        payload = encode_bans(bans)
        assert set(json.loads(payload)) - set(listed()) == members
        assert parse_bans(payload) == bans


@pytest.mark.parametrize(
    "more",
    [
        {"issuers": None},
        {"issuers": [["https://a.example/"]]},
        {"issuers": [["https://a.example/", -1]]},
        {"issuers": [["https://a.example/", "0"]]},
        {"issuers": [[1, 0]]},
        {"issuers": [["", 0]]},
        {"issuers": [["x" * (MAX_ISSUER + 1), 0]]},
        {"tokens": "x"},
        {"tokens": [[DIGEST]]},
        {"tokens": [[DIGEST.upper(), 0]]},
        {"tokens": [[DIGEST[:-1], 0]]},
        {"tokens": [[DIGEST, 2**63]]},
    ],
)
def test_members_of_another_shape_are_refused(more: dict[str, Any]) -> None:
    """The node keeps the list it has."""
    with pytest.raises(NodeInstallFailed):
        parse_bans(as_payload(listed(**more)))

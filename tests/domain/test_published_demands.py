"""Demands on their way to nodes: one spelling, ssh doors alone, and no agent that skips what it does not know."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.capabilities import Capability
from idmap.domain.claims import VerifiedClaims
from idmap.domain.demands import (
    Demand,
    demanded_until,
    require_demands,
    ssh_demands,
    unmet_demands,
)
from idmap.domain.doors import API, parse_door
from idmap.domain.errors import NodeInstallFailed, TokenRefused
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.reasons import Reason
from idmap.domain.rule_demands import demand_document, read_demand
from idmap.domain.rule_fields import Fields
from idmap.domain.trust import IssuersDocument, encode_issuers, parse_issuers
from tests.support import rule_worlds as worlds
from tests.support.rule_worlds import NOW

SECURE, LOGIN = parse_door("ssh:secure"), parse_door("ssh:login")
STRONG = Demand("strong", frozenset({SECURE}), acr=frozenset({"mfa"}))

demands = st.builds(
    replace,
    worlds.demand,
    capabilities=st.frozensets(
        st.sampled_from(("compute.read", "storage.read:/data", "storage.stage:/")), max_size=2
    ),
    acr=st.frozensets(st.sampled_from(("mfa", "é")), min_size=1),
)


def is_written(demand: Demand) -> bool:
    return not demand.admits_keys or any(worlds.is_ssh(door) for door in demand.doors)


@given(demands.filter(is_written))
def test_a_demand_is_read_as_it_was_written(demand: Demand) -> None:
    assert read_demand(Fields(demand_document(demand), "demand", "")) == demand
    assert demand_document(demand) == json.loads(json.dumps(demand_document(demand)))


@given(st.lists(demands.filter(is_written), max_size=3))
def test_nodes_get_the_demands_of_ssh_doors_in_their_order(found: list[Demand]) -> None:
    """Restricted to those doors, what a token must prove there is what it must prove by the rules."""
    told = ssh_demands(found)
    assert ssh_demands(told) == told
    assert all(worlds.is_ssh(door) for demand in told for door in demand.doors)
    for door in filter(worlds.is_ssh, worlds.DOORS):
        by_rules = [replace(one, doors=frozenset()) for one in found if door in one.doors]
        assert [replace(one, doors=frozenset()) for one in told if door in one.doors] == by_rules


@given(st.lists(demands.filter(is_written), max_size=2, unique_by=lambda one: one.demand_id))
def test_the_chunk_is_read_back_in_the_order_of_the_rules(found: list[Demand]) -> None:
    """So that a node and the service tell the same reason first."""
    document = IssuersDocument(bytes(32), (), ssh_demands(found))
    data = encode_issuers(document)
    assert parse_issuers(data) == document
    assert encode_issuers(parse_issuers(data)) == data


def test_a_chunk_without_demands_is_the_one_that_every_agent_reads() -> None:
    """Byte for byte what it was; one that demands something has a format that older agents refuse."""
    plain = encode_issuers(IssuersDocument(b"salt", ()))
    assert plain == b'{"format":1,"issuers":[],"salt":"73616c74"}'
    demanding = json.loads(encode_issuers(IssuersDocument(b"salt", (), (STRONG,))))
    assert demanding["format"] == 2


_ROW = demand_document(STRONG)


@pytest.mark.parametrize(
    "chunk",
    [
        {"format": 1, "demands": [_ROW]},
        {"format": 2},
        {"format": 2, "demands": []},
        {"format": 2, "demands": {}},
        {"format": 2, "demands": [7]},
        {"format": 2, "demands": [_ROW, _ROW]},
        {"format": 2, "demands": [_ROW | {"doors": ["api"]}]},
        {"format": 2, "demands": [_ROW | {"doors": ["ssh:secure", "api"]}]},
        {"format": 2, "demands": [_ROW | {"acr": []}]},
        {"format": 2, "demands": [_ROW | {"colour": "red"}]},
        {"format": 3, "demands": [_ROW]},
    ],
)
def test_a_chunk_that_is_not_understood_is_not_installed(chunk: dict[str, Any]) -> None:
    """Law 4: what it might have demanded, nobody fulfils."""
    data = json.dumps({"salt": "00", "issuers": []} | chunk).encode()
    with pytest.raises(NodeInstallFailed, check=lambda e: e.reason is Reason.MANIFEST_INVALID):
        parse_issuers(data)


# --- what a token must prove


ISSUER = Issuer("https://iam.example/")
CLAIMS = VerifiedClaims(
    identity=Identity(ISSUER, Subject("s")),
    door=SECURE,
    expires_at=NOW + 600,
    issued_at=NOW - 10,
    token_id=None,
    client_id=None,
    groups=frozenset(),
    preferred_username=None,
)


@pytest.mark.parametrize(
    ("wanted", "has", "enough"),
    [
        ("compute.read", "compute.read", True),
        ("compute.read", "compute.create", False),
        ("storage.read:/data", "storage.read:/data", True),
        ("storage.read:/data", "storage.read:/", True),
        ("storage.read:/data/x", "storage.read:/data", True),
        ("storage.read:/data/x", "storage.read:/data/", True),
        ("storage.read:/data", "storage.read:/data/x", False),
        ("storage.read:/data", "storage.read:/dat", False),
        ("storage.read:/data", "storage.read:/da", False),
        ("storage.read:/data", "storage.stage:/data", False),
    ],
)
def test_a_capability_covers_what_lies_below_its_path(wanted: str, has: str, enough: bool) -> None:
    """WLCG profile 1.3: by whole names, never by letters."""
    kind, _, rest = has.partition(".")
    action, _, path = rest.partition(":")
    claims = replace(CLAIMS, capabilities=frozenset({Capability(kind, action, path)}))
    demand = Demand("d", frozenset({SECURE}), capabilities=frozenset({wanted}))
    assert (demand.unmet(claims, NOW) == ()) is enough


@pytest.mark.parametrize(
    ("auth_time", "issued_at", "enough"),
    [
        (NOW - 60, NOW, True),
        (NOW - 61, NOW, False),
        (None, NOW - 60, True),
        (None, NOW - 61, False),
        (0, NOW, False),
        (NOW + 60, NOW, True),
        (NOW + 61, NOW, False),
        (NOW + 10**9, NOW, False),
    ],
)
def test_a_login_is_recent_by_its_own_time_and_none_of_tomorrow_is(
    auth_time: int | None, issued_at: int, enough: bool
) -> None:
    """Where the issuer does not say when the person logged in, the token's issue stands for it."""
    claims = replace(CLAIMS, auth_time=auth_time, issued_at=issued_at)
    demand = Demand("d", frozenset({SECURE}), max_authentication_age=60)
    assert (demand.unmet(claims, NOW) == ()) is enough


def test_a_demand_speaks_of_its_doors_and_issuers_alone() -> None:
    of_issuer = replace(STRONG, issuers=frozenset({ISSUER}))
    other = replace(CLAIMS, identity=Identity(Issuer("https://other.example/"), Subject("s")))
    assert [r for _, r in unmet_demands([of_issuer], CLAIMS, SECURE, NOW)] == [Reason.ACR_REFUSED]
    for claims, door in ((CLAIMS, LOGIN), (CLAIMS, API), (other, SECURE)):
        assert unmet_demands([of_issuer], claims, door, NOW) == ()
        require_demands([of_issuer], claims, door, NOW)


def test_everything_that_is_missing_is_told_and_the_first_of_it_is_the_reason() -> None:
    demand = Demand(
        "all",
        frozenset({SECURE}),
        assurance=frozenset({"high"}),
        acr=frozenset({"mfa"}),
        capabilities=frozenset({"compute.read"}),
        max_authentication_age=60,
    )
    claims = replace(CLAIMS, issued_at=NOW - 100)
    found = [reason for _, reason in unmet_demands([demand], claims, SECURE, NOW)]
    assert found == [
        Reason.ASSURANCE_TOO_LOW,
        Reason.ACR_REFUSED,
        Reason.CAPABILITY_MISSING,
        Reason.AUTHENTICATION_TOO_OLD,
    ]
    with pytest.raises(TokenRefused) as caught:
        require_demands([demand], claims, SECURE, NOW)
    assert (caught.value.reason, caught.value.proved) == (found[0], True)


def test_an_answer_ends_when_the_login_gets_too_old() -> None:
    demand = Demand("d", frozenset({SECURE}), max_authentication_age=60)
    claims = replace(CLAIMS, auth_time=NOW - 40)
    end = demanded_until([demand, STRONG], claims, SECURE)
    assert end == NOW + 21
    assert demand.unmet(claims, end - 1) == ()
    assert demand.unmet(claims, end) == (Reason.AUTHENTICATION_TOO_OLD,)
    assert demanded_until([demand], claims, LOGIN) is None


@given(worlds.demand, st.data())
def test_what_explain_shows_of_a_demand_is_what_was_decided(
    demand: Demand, data: st.DataObject
) -> None:
    """Each thing asked with what the token says, in words that can be printed whatever a stranger wrote."""
    claims = data.draw(worlds.credentials(Identity(worlds.ISSUERS[0], Subject("s")), SECURE))
    shown = list(demand.look(claims, NOW))
    assert tuple(one.reason for one in shown if not one.met) == demand.unmet(claims, NOW)
    assert all(one.wanted.isprintable() and one.had.isprintable() for one in shown)


def test_a_strangers_acr_is_shown_as_repr_writes_it() -> None:
    claims = replace(CLAIMS, assurance=replace(CLAIMS.assurance, acr="\x1b[2J" + "x" * 5000))
    (shown,) = STRONG.look(claims, NOW)
    assert shown.had.isprintable()
    assert len(shown.had) < 200

"""Member lists that a node withholds: from agent.toml to the posix.db that the real compiler writes, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from idmap.adapters.posix_reader.check import check_posix_file
from idmap.adapters.posix_reader.reader import PosixFile
from idmap.domain.groups import Group
from idmap.domain.names import GroupName
from idmap.domain.plans import OpenGroup
from idmap.domain.posix_entries import GroupEntry
from idmap.domain.reasons import Reason
from idmap.entrypoints.agent.assemble import Agent
from idmap.entrypoints.agent.inspect import status_report, verify_installed
from idmap.entrypoints.agent.main import app
from tests.support.registry_scenes import AUTHOR, ISSUER
from tests.support.snapshot_site import SnapshotSite

BIG, SMALL = "big", "small"
EMPTY_ABOVE_TWO = {"policy": "empty", "above": 2}
DIGEST_OF_BEFORE = "49b1c3e75a19fdef107044430ac46f746bf562bf74b7971a2b0207ffa1b249c9"
"""What an agent that knew no setting remembered of this node: its upgrade installs nothing anew."""

LOCAL = "root:x:0:0:root:/root:/bin/sh\n"


@pytest.fixture
def crowd(site: SnapshotSite) -> SnapshotSite:
    """Three people in big, one of them in small too, beside alice and bob, who are in neither."""
    big, small = Group(ISSUER, "vo/big"), Group(ISSUER, "vo/small")
    with site.registry.write(AUTHOR) as writer:
        writer.open_group(OpenGroup(big, GroupName(BIG)), group_range="groups")
        writer.open_group(OpenGroup(small, GroupName(SMALL)), group_range="groups")
    site.open_account("s-carol", "carol", secondary_groups=(big, small))
    site.open_account("s-dora", "dora", secondary_groups=(big,))
    site.open_account("s-erik", "erik", secondary_groups=(big,))
    site.publish()
    return site


def synced(site: SnapshotSite, **members: object) -> Agent:
    """The agent with this policy, after a sync that installed something."""
    agent = site.agent(members=members)
    agent.bans.fetch()
    assert agent.installer.sync()
    return agent


def group(site: SnapshotSite, name: str) -> GroupEntry:
    """A group by the file, which is sound."""
    assert check_posix_file(site.node / "posix.db") == ()
    found = PosixFile(site.node / "posix.db").find_group(name)
    assert found is not None
    return found


def said_of_members(agent: Agent) -> Any:
    """By `idmap-agent status --json`."""
    return status_report(agent)["members"]


def test_a_big_group_has_no_list_and_everybody_stays_in_it(crowd: SnapshotSite) -> None:
    """A small one keeps its own; `verify` finds what was signed, by the same policy."""
    agent = synced(crowd, **EMPTY_ABOVE_TWO)
    big, small = group(crowd, BIG), group(crowd, SMALL)
    assert (big.members, big.members_withheld) == ((), True)
    assert (small.members, small.members_withheld) == (("carol",), False)
    users = PosixFile(crowd.node / "posix.db").entries().users
    inside = {user.username for user in users if big.gid_number in user.secondary}
    assert inside == {"carol", "dora", "erik"}
    assert verify_installed(agent) == []
    assert said_of_members(agent) == {"policy": "empty", "above": 2, "withheld": 1}


@pytest.mark.parametrize(
    ("above", "withheld"), [(0, {BIG, SMALL}), (1, {BIG}), (2, {BIG}), (3, set())]
)
def test_the_limit_is_the_most_that_a_group_shows(
    crowd: SnapshotSite, above: int, withheld: set[str]
) -> None:
    """Exactly as many as the limit are shown; a group of nobody hides nothing."""
    agent = synced(crowd, policy="empty", above=above)
    assert set(PosixFile(crowd.node / "posix.db").entries().names_withheld()) == withheld
    assert said_of_members(agent)["withheld"] == len(withheld)


def test_members_are_counted_as_this_node_sees_them(crowd: SnapshotSite) -> None:
    """A local dora masks the site's: two are left, and two are shown; when she goes, the list goes."""
    crowd.passwd.write_text(f"{LOCAL}dora:x:1500:1500::/:/bin/sh\n")
    agent = synced(crowd, **EMPTY_ABOVE_TWO)
    assert group(crowd, BIG).members == ("carol", "erik")
    crowd.passwd.write_text(LOCAL)
    assert agent.installer.remask()
    assert group(crowd, BIG).members_withheld
    assert verify_installed(agent) == []


def test_another_setting_takes_effect_at_the_next_sync_of_the_same_revision(
    crowd: SnapshotSite,
) -> None:
    """There and back; the same setting again installs nothing."""
    revision = synced(crowd).files.read_state().installed_revision
    assert group(crowd, BIG).members == ("carol", "dora", "erik")
    for members, shown in (
        (EMPTY_ABOVE_TWO, ()),
        ({"policy": "empty", "above": 3}, ("carol", "dora", "erik")),
        (EMPTY_ABOVE_TWO, ()),
        ({"policy": "full"}, ("carol", "dora", "erik")),
    ):
        agent = synced(crowd, **members)
        assert group(crowd, BIG).members == shown
        assert agent.files.read_state().installed_revision == revision
        assert verify_installed(agent) == []
        assert not agent.installer.sync()


def test_a_restarted_agent_needs_no_service_for_it(crowd: SnapshotSite) -> None:
    """From cached chunks, as for a new node class."""
    synced(crowd)
    crowd.server.asked.clear()
    assert not crowd.agent().installer.remask()
    assert crowd.agent(members=EMPTY_ABOVE_TWO).installer.remask()
    assert group(crowd, BIG).members_withheld
    assert crowd.server.asked == []


def test_full_lists_are_the_default_and_cost_no_new_installation(crowd: SnapshotSite) -> None:
    """Said or not said: what is installed stays."""
    agent = synced(crowd)
    assert said_of_members(agent) == {"policy": "full", "above": None, "withheld": 0}
    assert not crowd.agent(members={"policy": "full"}).installer.sync()
    assert agent.files.read_state().local_digest == DIGEST_OF_BEFORE
    state = crowd.node / "agent-state.json"
    document = json.loads(state.read_text())
    del document["members_withheld"]
    state.write_text(json.dumps(document))
    assert not crowd.agent().installer.sync(), "the state file of an agent that knew no setting"


def test_a_group_that_grows_past_the_limit_loses_its_list(crowd: SnapshotSite) -> None:
    """With the snapshot in which it grew."""
    synced(crowd, policy="empty", above=3)
    assert len(group(crowd, BIG).members) == 3
    big = Group(ISSUER, "vo/big")
    crowd.open_account("s-fay", "fay", secondary_groups=(big,))
    crowd.publish()
    synced(crowd, policy="empty", above=3)
    assert group(crowd, BIG).members_withheld


def test_verify_tells_a_file_of_another_policy(crowd: SnapshotSite) -> None:
    """It compares whole files; a sync installs again."""
    synced(crowd)
    agent = crowd.agent(members=EMPTY_ABOVE_TWO)
    assert [(f.file, f.reason) for f in verify_installed(agent)] == [
        ("posix.db", Reason.NODE_FILES_UNREADABLE)
    ]
    assert agent.installer.sync()
    assert verify_installed(agent) == []


def test_status_and_verify_tell_people_and_programs(crowd: SnapshotSite) -> None:
    """As they are typed, by agent.toml."""
    config = crowd.write_config()
    whole = config.read_text()
    synced(crowd)
    assert row(config, "member lists") == "full; 0 withheld"
    config.write_text(f'{whole}[members]\npolicy = "empty"\nabove = 2\n')
    assert row(config, "member lists") == "empty above 2 members; 0 withheld", "not yet installed"
    done = CliRunner().invoke(app, ["sync", "--once", "--config", str(config)])
    assert done.exit_code == 0, done.output
    assert row(config, "member lists") == "empty above 2 members; 1 withheld"
    said = CliRunner().invoke(app, ["status", "--json", "--config", str(config)]).stdout
    assert json.loads(said)["members"] == {"policy": "empty", "above": 2, "withheld": 1}
    assert CliRunner().invoke(app, ["verify", "--config", str(config)]).exit_code == 0


def row(config: Path, name: str) -> str:
    """One row of `idmap-agent status`."""
    said = CliRunner().invoke(app, ["status", "--config", str(config)]).output
    return {line[:20].strip(): line[20:] for line in said.splitlines()}[name]

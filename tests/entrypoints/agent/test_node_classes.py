"""What a node makes of its class: who may be used here, whether keys do, which of its own groups it gives.

From the registry's accounts and rules, over signed documents and the agent, to the files that C reads.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import date

import pytest
from typer.testing import CliRunner

from idmap.adapters.posix_reader.check import check_posix_file
from idmap.adapters.posix_reader.reader import PosixFile
from idmap.domain.accounts import AccountTerms
from idmap.domain.errors import InvalidInput
from idmap.domain.node_access import NodeAccess
from idmap.domain.reasons import Reason
from idmap.entrypoints.agent.assemble import Agent
from idmap.entrypoints.agent.inspect import status_report, verify_installed
from idmap.entrypoints.agent.main import app
from idmap.entrypoints.settings import load_agent_settings
from tests.support.registry_scenes import AUTHOR, document
from tests.support.snapshot_site import ROOT, START, SnapshotSite

HEAD = "# idmap-local-groups 1\n"
GPU_ONLY = AccountTerms(access=NodeAccess(frozenset({"gpu"})))
NOT_GPU = AccountTerms(access=NodeAccess(None, frozenset({"gpu"})))
OWN_GROUPS = "root:x:0:\nvideo:x:44:\ngpu:x:987:\nscratch:x:1200:\n"


@pytest.fixture
def mixed(site: SnapshotSite) -> SnapshotSite:
    """Beside alice and bob: carol for gpu nodes, dora for all others, erik with groups of the nodes' own."""
    site.open_account("s-carol", "carol", terms=GPU_ONLY)
    site.open_account("s-dora", "dora", terms=NOT_GPU)
    local = frozenset({"gpu", "scratch", "absent"})
    site.open_account("s-erik", "erik", terms=AccountTerms(local_groups=local))
    site.group.write_text(OWN_GROUPS)
    site.publish()
    return site


def synced(site: SnapshotSite, **more: object) -> Agent:
    """The agent after it has installed the newest."""
    agent = site.agent(**more)
    agent.bans.fetch()
    agent.installer.sync()
    return agent


def elsewhere(site: SnapshotSite) -> set[str]:
    """Who may not be used on this node, by the file; names and groups are there for all."""
    entries = PosixFile(site.node / "posix.db").entries()
    assert {u.username for u in entries.users} == {"alice", "bob", "carol", "dora", "erik"}
    assert check_posix_file(site.node / "posix.db") == ()
    return {u.username for u in entries.users if u.elsewhere}


def token_only(site: SnapshotSite) -> bool:
    """Whether the file demands tokens: of everybody or of nobody."""
    (said,) = {u.token_only for u in PosixFile(site.node / "posix.db").entries().users}
    return said


def local_groups(site: SnapshotSite) -> str:
    """The list without its head."""
    text = (site.node / "local-groups").read_text()
    assert text.startswith(HEAD)
    return text.removeprefix(HEAD)


def account_phase(site: SnapshotSite, *names: str) -> list[str]:
    """What C says of these names on this node."""
    build = ROOT / "build" / "c"
    driver = build / "tests" / "account_vectors"
    subprocess.run(
        ["make", "-s", "-C", str(ROOT / "pam_module"), f"BUILD={build}", str(driver)], check=True
    )
    files = f"{site.node}/posix.db\t{site.node}/bans.db"
    text = "".join(f"{files}\t{name}\t{START}\n" for name in names)
    done = subprocess.run([driver], input=text, capture_output=True, text=True, check=True)
    return [line.split("\t")[0] for line in done.stdout.splitlines()]


def demand_tokens(site: SnapshotSite, *node_classes: str) -> None:
    """Rules by which keys do not do on nodes of these classes."""
    doors = [f"ssh:{one}" for one in node_classes]
    demands = [{"id": "sure", "doors": doors, "acr": ["mfa"]}] if doors else []
    with site.registry.write(AUTHOR) as writer:
        rules = document() | {"format": 2, "demands": demands}
        writer.save_rules(rules, expect_version=None)
    site.publish()


@pytest.mark.parametrize(
    ("node_class", "refused"), [("login", {"carol"}), ("gpu", {"dora"}), ("archive", {"carol"})]
)
def test_a_node_refuses_whom_its_class_is_not_for(
    mixed: SnapshotSite, node_class: str, refused: set[str]
) -> None:
    """The same signed documents; each class its own answer."""
    agent = synced(mixed, node_class=node_class)
    assert elsewhere(mixed) == refused
    assert not token_only(mixed)
    report = status_report(agent)
    assert (report["node_class"], report["elsewhere"]) == (node_class, 1)
    assert verify_installed(agent) == []


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="the reader takes files of root's alone")
def test_the_account_phase_says_so(mixed: SnapshotSite) -> None:
    """In C, from what the agent installed."""
    synced(mixed)
    assert account_phase(mixed, "alice", "carol", "dora") == ["ok", "node_class_refused", "ok"]
    demand_tokens(mixed, "login")
    synced(mixed)
    assert account_phase(mixed, "alice", "carol") == ["token_demanded", "node_class_refused"]
    demand_tokens(mixed)
    synced(mixed)
    assert account_phase(mixed, "alice") == ["ok"]


def test_a_demand_of_a_class_reaches_its_nodes_only(mixed: SnapshotSite) -> None:
    """By the manifest; the records are the same."""
    demand_tokens(mixed, "secure", "gpu")
    synced(mixed)
    assert not token_only(mixed)
    agent = synced(mixed, node_class="secure")
    assert token_only(mixed)
    assert status_report(agent)["token_only"]
    assert verify_installed(agent) == []
    demand_tokens(mixed)
    assert agent.installer.sync()
    assert not token_only(mixed)
    assert not status_report(agent)["token_only"]


def test_a_node_that_changes_its_class_installs_again_without_the_service(
    mixed: SnapshotSite,
) -> None:
    """From cached chunks, as for a local account that is new."""
    demand_tokens(mixed, "gpu")
    synced(mixed)
    mixed.server.asked.clear()
    assert not mixed.agent().installer.remask(), "nothing changed"
    assert mixed.agent(node_class="gpu").installer.remask()
    assert elsewhere(mixed) == {"dora"}
    assert token_only(mixed)
    assert mixed.server.asked == []


def test_local_groups_are_those_that_the_node_lists_and_has(mixed: SnapshotSite) -> None:
    """By its own group file; without a setting there are none."""
    agent = synced(mixed)
    assert local_groups(mixed) == ""
    agent = mixed.agent(local_groups=["scratch", "absent", "other"])
    assert agent.installer.remask()
    assert local_groups(mixed) == "erik:1200\n"
    assert (mixed.node / "local-groups").stat().st_mode & 0o777 == 0o644
    report = status_report(agent)
    assert report["local_groups"] == {"scratch": 1200, "absent": None, "other": None}
    agent = mixed.agent(local_groups=["scratch", "gpu"])
    assert agent.installer.remask()
    assert local_groups(mixed) == "erik:987,1200\n"
    assert verify_installed(agent) == []


def test_a_group_that_changes_on_the_node_is_followed(mixed: SnapshotSite) -> None:
    """Another number, or gone: at the next look of the agent, without the service."""
    agent = synced(mixed, local_groups=["gpu"])
    assert local_groups(mixed) == "erik:987\n"
    mixed.group.write_text("root:x:0:\ngpu:x:988:\n")
    assert agent.installer.remask()
    assert local_groups(mixed) == "erik:988\n"
    mixed.group.write_text("root:x:0:\n")
    assert agent.installer.remask()
    assert local_groups(mixed) == ""


@pytest.mark.parametrize(
    "lines",
    [
        "gpu:x:0:\n",
        "gpu:x:27:\nsudo:x:27:\n",
        "sudo:x:27:\ngpu:x:27:\n",
        "gpu:x:999:\nsystemd-journal:x:999:\n",
        "gpu:x:\n",
        "gpu\n",
        "+gpu:x:987:\n",
        "#gpu:x:987:\n",
        "",
    ],
)
def test_a_number_that_is_the_systems_is_given_to_nobody(mixed: SnapshotSite, lines: str) -> None:
    """Law 10, under whatever name it is listed."""
    mixed.group.write_text(f"root:x:0:\n{lines}")
    agent = synced(mixed, local_groups=["gpu"])
    assert local_groups(mixed) == ""
    assert status_report(agent)["local_groups"] == {"gpu": None}


def test_the_first_of_two_lines_counts_as_for_everybody(mixed: SnapshotSite) -> None:
    """getgrnam gives the first."""
    mixed.group.write_text("root:x:0:\ngpu:x:987:\ngpu:x:4:\n")
    synced(mixed, local_groups=["gpu"])
    assert local_groups(mixed) == "erik:987\n"


def test_a_masked_account_is_given_nothing(mixed: SnapshotSite) -> None:
    """The name is the node's own here."""
    mixed.passwd.write_text("root:x:0:0::/:/bin/sh\nerik:x:1500:1500::/:/bin/sh\n")
    synced(mixed, local_groups=["gpu"])
    assert local_groups(mixed) == ""


@pytest.mark.parametrize("name", ["video", "Docker", "systemd-journal", "munge", "a b", "", "4"])
def test_a_node_cannot_list_a_group_of_the_systems(mixed: SnapshotSite, name: str) -> None:
    """It stops the agent's start: nothing is left out in silence."""
    config = mixed.write_config()
    text = config.read_text()
    config.write_text(f"local_groups = {json.dumps([name])}\n{text}")
    with pytest.raises(InvalidInput) as caught:
        load_agent_settings(config)
    assert caught.value.reason is Reason.CONFIGURATION_INVALID
    assert "local_groups" in caught.value.detail


def test_a_list_that_was_changed_is_found_and_mended(mixed: SnapshotSite) -> None:
    """By `idmap-agent verify`; content, mode and absence."""
    agent = synced(mixed, local_groups=["gpu"])
    path = mixed.node / "local-groups"
    for damage in (
        lambda: path.write_text(f"{HEAD}alice:987\n"),
        lambda: path.chmod(0o664),
        path.unlink,
    ):
        damage()
        assert [finding.file for finding in verify_installed(agent)] == ["local-groups"]
        agent.files.install_local_groups(f"{HEAD}erik:987\n".encode())
        assert verify_installed(agent) == []


def test_status_tells_people_and_programs(mixed: SnapshotSite) -> None:
    """Class, keys, accounts for other classes, and local groups."""
    demand_tokens(mixed, "login")
    config = mixed.write_config()
    config.write_text(f'local_groups = ["gpu", "absent"]\n{config.read_text()}')
    synced(mixed, local_groups=["gpu", "absent"])
    said = CliRunner().invoke(app, ["status", "--config", str(config)]).output
    rows = {line[:20].strip(): line[20:] for line in said.splitlines()}
    assert rows["node class"] == "login"
    assert rows["keys"] == "REFUSED: a token is demanded"
    assert rows["for other classes"] == "1 accounts"
    assert rows["local groups"] == "gpu (987), absent (NOT GIVEN)"


def test_a_record_of_before_and_its_day_are_as_before(mixed: SnapshotSite) -> None:
    """An account with an end, everywhere: no new field travels."""
    terms = AccountTerms(expires_on=date(2027, 2, 1))
    account = mixed.open_account("s-fay", "fay", terms=terms)
    mixed.publish()
    synced(mixed)
    entry = PosixFile(mixed.node / "posix.db").find_user("fay")
    assert entry is not None
    assert (entry.uid_number, entry.elsewhere, entry.token_only) == (
        account.uid_number,
        False,
        False,
    )

"""Banned issuers and tokens on a node: in the ban list, then in refused.json, whatever happens in between."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from idmap.adapters.node_files.refused import RefusedFile, read_refused
from idmap.adapters.snapshot.keys import Role
from idmap.application.install_state import Step
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.identity import Issuer
from idmap.domain.manifest import BANS_TYPE, BanList, encode_bans
from idmap.domain.reasons import Reason
from idmap.entrypoints.agent.inspect import status_report, verify_installed
from idmap.entrypoints.agent.main import app
from tests.entrypoints.agent.test_crashes import in_child, killing
from tests.entrypoints.agent.test_daemon import running, wait_for
from tests.support.registry_scenes import ISSUER, OTHER
from tests.support.snapshot_site import REALM, START, SnapshotSite


def refused(site: SnapshotSite) -> RefusedFile:
    """As idmap-verify reads it."""
    with site.registry.read() as reader:
        salt = reader.salt()
    return RefusedFile(site.node / "refused.json", lambda: salt)


def is_banned(site: SnapshotSite, issuer: Issuer, token_id: str | None = None) -> bool:
    """What idmap-verify would find, started now."""
    with closing(refused(site)) as node:
        return node.is_banned(issuer, token_id, START)


def file_of(site: SnapshotSite) -> Path:
    return site.node / "refused.json"


def ban_both(site: SnapshotSite) -> tuple[int, int]:
    """An issuer and a token of another one."""
    numbers = site.ban_what(issuer=OTHER), site.ban_what(issuer=ISSUER, token_id="t1")
    site.publish()
    return numbers


def test_a_ban_of_a_token_or_an_issuer_in_the_stream_is_in_force_within_a_second(
    site: SnapshotSite,
) -> None:
    """Law 5, without asking back; and lifted as fast."""
    with running(site):
        node = refused(site)
        assert not node.is_banned(ISSUER, "t1", START)
        site.server.asked.clear()
        numbers = []
        for what, shown in (
            ({"issuer": ISSUER, "token_id": "t1"}, (ISSUER, "t1")),
            ({"issuer": OTHER}, (OTHER, None)),
        ):
            numbers.append(site.ban_what(**what))  # type: ignore[arg-type]
            site.publisher.publish_bans()
            site.server.send_document("bans")
            wait_for(lambda shown=shown: node.is_banned(*shown, START))  # type: ignore[misc]
        assert not node.is_banned(ISSUER, "t2", START)
        for number in numbers:
            site.lift(number)
        site.publisher.publish_bans()
        site.server.send_document("bans")
        wait_for(lambda: not node.is_banned(OTHER, None, START))
        assert not node.is_banned(ISSUER, "t1", START)
        assert "/v1/snapshot/bans" not in site.server.asked
        node.close()


def test_a_node_whose_list_never_named_any_has_no_file_and_is_sound(site: SnapshotSite) -> None:
    """As every node was before."""
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    assert not file_of(site).exists()
    assert verify_installed(agent) == []
    report = status_report(agent)
    assert (report["banned_issuers"], report["banned_tokens"]) == ([], 0)
    assert not is_banned(site, ISSUER, "t1")


def test_once_there_the_file_stays_and_says_so_when_nothing_is_banned_any_more(
    site: SnapshotSite,
) -> None:
    """Taken away it would be missed."""
    numbers = ban_both(site)
    agent = site.agent()
    agent.bans.fetch()
    for number in numbers:
        site.lift(number)
    site.publish()
    agent.bans.fetch()
    found = read_refused(file_of(site))
    assert found is not None
    assert (found.issuers, found.tokens) == ((), ())


@pytest.mark.parametrize("step", [Step.BANS_SAVED, Step.REFUSED_INSTALLED])
def test_an_agent_killed_between_the_two_files_installs_both_at_the_next_start(
    site: SnapshotSite, step: Step
) -> None:
    """Kill -9; then what was saved is enough."""
    site.agent().bans.fetch()
    site.ban(site.open_account("s-carol", "carol"))
    ban_both(site)
    assert in_child(lambda: site.agent(killing(step)).bans.fetch() and None) == -signal.SIGKILL
    assert file_of(site).exists() == (step is Step.REFUSED_INSTALLED)
    before = site.agent().files.read_bans()
    assert before is not None
    assert before.bans == ()
    site.server.asked.clear()
    agent = site.agent()
    agent.bans.restore()
    after = agent.files.read_bans()
    assert after is not None
    assert after.bans == ((200_002, 0),)
    assert is_banned(site, OTHER)
    assert site.server.asked == []
    assert not agent.bans.fetch(), "the list is installed already"


@pytest.mark.parametrize("damage", ["gone", "garbage", "another list", "mode"])
def test_a_file_that_is_not_the_accepted_list_is_named_and_installed_again(
    site: SnapshotSite, damage: str
) -> None:
    """By 'verify', at the next start and at the next poll."""
    ban_both(site)
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    assert verify_installed(agent) == []
    right = file_of(site).read_bytes()
    for mend in (agent.bans.restore, agent.bans.fetch):
        match damage:
            case "gone":
                file_of(site).unlink()
            case "garbage":
                file_of(site).write_bytes(b"{")
            case "another list":
                agent.files.install_refused(type(read_refused(file_of(site)))())  # type: ignore[misc]
            case _:
                file_of(site).chmod(0o644)
        assert [finding.file for finding in verify_installed(agent)] == ["refused.json"]
        if damage == "mode":
            file_of(site).chmod(0o640)
        mend()
        assert file_of(site).read_bytes() == right
        assert verify_installed(agent) == []


def test_a_file_that_cannot_be_written_holds_up_no_ban_of_an_account(site: SnapshotSite) -> None:
    """And is tried again until it can."""
    agent = site.agent()
    agent.bans.fetch()
    file_of(site).mkdir()
    site.ban(site.open_account("s-carol", "carol"))
    ban_both(site)
    for _ in range(2):
        with pytest.raises(NodeInstallFailed) as caught:
            agent.bans.fetch()
        assert caught.value.reason is Reason.INSTALL_FAILED
        installed = agent.files.read_bans()
        assert installed is not None
        assert installed.bans == ((200_002, 0),)
    file_of(site).rmdir()
    assert agent.bans.fetch()
    assert is_banned(site, OTHER)


def test_a_list_of_before_empties_the_file_and_replay_of_it_changes_nothing(
    site: SnapshotSite,
) -> None:
    """The members are optional; the counter is what nodes go by."""
    old = site.store.read_document("bans") or b""
    ban_both(site)
    agent = site.agent()
    agent.bans.fetch()
    with pytest.raises(NodeInstallFailed) as caught:
        agent.bans.install(old)
    assert caught.value.reason is Reason.SNAPSHOT_OLDER
    assert is_banned(site, OTHER)
    newer = encode_bans(BanList(REALM, 99, START, ()))
    agent.bans.install(site.sign(Role.BANS, BANS_TYPE, newer))
    assert not is_banned(site, OTHER)


def test_status_says_what_is_refused_by_token(site: SnapshotSite) -> None:
    """For people, and for programs."""
    ban_both(site)
    agent = site.agent()
    agent.bans.fetch()
    config = ["--config", str(site.write_config())]
    said = CliRunner().invoke(app, ["status", *config]).output
    assert f"refused by token    {OTHER}; 1 single tokens" in said
    report = json.loads(CliRunner().invoke(app, ["status", "--json", *config]).output)
    assert (report["banned_issuers"], report["banned_tokens"]) == ([OTHER], 1)
    file_of(site).write_bytes(b"")
    said = CliRunner().invoke(app, ["status", *config]).output
    assert "EVERYBODY: refused.json cannot be read" in said
    assert "unreadable" in said


def test_an_issuer_is_banned_by_its_exact_string(site: SnapshotSite) -> None:
    """Law 1."""
    ban_both(site)
    site.agent().bans.fetch()
    node = refused(site)
    assert node.is_banned(OTHER, None, START)
    assert not node.is_banned(Issuer(OTHER.rstrip("/")), None, START)
    node.close()

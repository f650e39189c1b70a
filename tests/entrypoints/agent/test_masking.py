"""The node's own accounts win on that node (law 10): mask, and report."""

from __future__ import annotations

import pytest

from idmap.adapters.node_files.trust_db import TrustDb
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.groups import Group
from idmap.domain.names import GroupName
from idmap.domain.plans import OpenGroup
from idmap.domain.reasons import Reason
from tests.support.registry_scenes import AUTHOR, ISSUER, STAFF, person
from tests.support.snapshot_site import SnapshotSite, installed_groups, installed_users

LOCAL = "root:x:0:0:root:/root:/bin/sh\n"


def synced(site: SnapshotSite) -> dict[str, str]:
    """Masked name → cause, after a sync; alice's identity must agree with alice's record."""
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    known = TrustDb(site.node / "trust.db").find_account(person("s-alice"))
    assert (known is not None) == ("alice" in installed_users(site.node))
    return {m.name: str(m.cause) for m in agent.files.read_state().masked}


def test_a_federated_person_named_like_a_local_account_is_masked(site: SnapshotSite) -> None:
    """Whatever the number: without this, sshd started the session as the local account."""
    site.passwd.write_text(LOCAL + "alice:x:1500:1500::/home/alice:/bin/sh\n")
    assert synced(site) == {"alice": "local_username"}
    assert set(installed_users(site.node)) == {"bob"}


def test_a_federated_person_with_a_local_uid_is_masked(site: SnapshotSite) -> None:
    """Whatever the name: two names with one uid own each other's files."""
    site.passwd.write_text(LOCAL + "carla:x:200000:1500::/home/carla:/bin/sh\n")
    assert synced(site) == {"alice": "local_uid_number"}


def test_a_federated_person_named_like_a_local_group_is_masked(site: SnapshotSite) -> None:
    """User private groups, sudoers rules and ACLs speak of names."""
    site.group.write_text("root:x:0:\nalice:x:1500:\n")
    assert synced(site) == {"alice": "local_group_has_the_username"}


@pytest.mark.parametrize("line", ["vo:x:1500:\n", "lab:x:300000:\n"])
def test_a_federated_group_with_a_local_name_or_gid_is_masked_with_those_whose_primary_it_is(
    site: SnapshotSite, line: str
) -> None:
    """An account without its primary group has no place on the node."""
    site.group.write_text("root:x:0:\n" + line)
    cause = "local_group_name" if line.startswith("vo") else "local_gid_number"
    assert synced(site) == {
        "vo": cause,
        "alice": "primary_group_masked",
        "bob": "primary_group_masked",
    }
    assert "vo" not in installed_groups(site.node)


def test_the_primary_gid_of_a_local_person_counts_as_a_local_gid(site: SnapshotSite) -> None:
    """Also when no line of the group file has it."""
    site.passwd.write_text(LOCAL + "carla:x:1500:300000::/home/carla:/bin/sh\n")
    assert synced(site)["vo"] == "local_gid_number"


def test_a_masked_group_is_dropped_from_secondary_groups(site: SnapshotSite) -> None:
    """The person stays; the membership would be one of the local group."""
    extra = Group(ISSUER, "vo/extra")
    with site.registry.write(AUTHOR) as writer:
        made = writer.open_group(OpenGroup(extra, GroupName("extra")), group_range="groups")
    carol = site.open_account("s-carol", "carol", secondary_groups=(STAFF, extra))
    site.publish()
    assert synced(site) == {}
    assert len(installed_users(site.node)["carol"][1]) == 2
    site.group.write_text("root:x:0:\nextra:x:1501:\n")
    assert site.agent().installer.remask()
    assert made.gid_number not in installed_users(site.node)["carol"][1]
    assert installed_users(site.node)["carol"][0] == carol.uid_number


def test_a_local_account_added_later_is_masked_at_the_next_pass_without_the_service(
    site: SnapshotSite,
) -> None:
    """From cached chunks; and unmasked again when it goes."""
    assert synced(site) == {}
    site.server.asked.clear()
    site.passwd.write_text(LOCAL + "bob:x:1500:1500::/home/bob:/bin/sh\n")
    assert site.agent().installer.remask()
    assert set(installed_users(site.node)) == {"alice"}
    site.passwd.write_text(LOCAL)
    assert site.agent().installer.remask()
    assert set(installed_users(site.node)) == {"alice", "bob"}
    assert not site.agent().installer.remask()
    assert site.server.asked == []


def test_masking_works_on_a_snapshot_past_its_not_after(site: SnapshotSite) -> None:
    """Names and numbers never expire, so masking must not either."""
    synced(site)
    site.node_clock.now += 100 * 3600
    site.passwd.write_text(LOCAL + "bob:x:1500:1500::/home/bob:/bin/sh\n")
    assert site.agent().installer.remask()
    assert set(installed_users(site.node)) == {"alice"}


def test_compat_lines_and_comments_name_nobody(site: SnapshotSite) -> None:
    """`+` and `-` lines are instructions to nss_compat."""
    site.passwd.write_text(LOCAL + "# alice\n+\n-bob\n+@netgroup::::::\n\n")
    assert synced(site) == {}


def test_an_unreadable_passwd_file_installs_nothing(site: SnapshotSite) -> None:
    """Nothing could be masked by it, and empty means nobody (law 4)."""
    site.passwd.unlink()
    with pytest.raises(NodeInstallFailed) as caught:
        site.agent().installer.sync()
    assert caught.value.reason is Reason.INSTALL_FAILED
    assert not (site.node / "posix.db").exists()

"""Yesterday's backup is restored under a running agent: real service, worker, signer, agent and login node.

The scenes run in order on one site. The agent is never restarted: it has to go on accepting what the restored service
publishes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from demo_site.site import API_AUDIENCE, DemoSite, serve
from tests.e2e.sites import provisioned_site

STATE = "/var/lib/idmap-server"

PATIENCE = 90.0
"""Seconds. The worker is patient with a signer that is not up yet; how fast a node learns of things is other tests'."""

pytestmark = pytest.mark.timeout(500)


@pytest.fixture(scope="module")
def site() -> Iterator[DemoSite]:
    """A site with its first accounts."""
    with provisioned_site(PATIENCE) as site:
        yield site


def newcomer(site: DemoSite, person: str) -> tuple[str, int]:
    """Joins the group, asks for an account, and is known to the node; gives name and number."""
    site.iam("POST", "changes", {"action": "join", "person": person, "group": "demo/compute"})
    token = site.token(person, API_AUDIENCE, include_authn_info=True)
    answer = site.api("POST", "/v1/me/account", token, body={})
    assert answer.status in {200, 202}, answer.text
    account = answer.json()["account"]
    name, number = str(account["username"]), int(account["uid"])
    site.host.wait_for(
        lambda: lookup(site, name) == number or None, PATIENCE, f"{name} on the node"
    )
    return name, number


def lookup(site: DemoSite, name: str) -> int | None:
    """The uid number that the node's own tools see."""
    done = site.host.run(["getent", "passwd", name])
    return int(done.stdout.split(":")[2]) if done.returncode == 0 else None


def node(site: DemoSite) -> tuple[int, int]:
    """Revision and ban counter installed on the node."""
    status = json.loads(site.host.run(["idmap-agent", "status", "--json"]).stdout)
    return status["revision"], status["ban_counter"]


def ban(site: DemoSite, name: str) -> None:
    """And it reaches the node."""
    site.idmap("bans", "add", "--account", name, "--reason", "a test").check()
    site.host.wait_for(lambda: is_banned(site, name) or None, PATIENCE, f"the ban of {name}")


def is_banned(site: DemoSite, name: str) -> bool:
    return site.host.run(["idmap-principals", name]).returncode != 0


def backup(site: DemoSite, name: str) -> str:
    """While the service runs, as its own user."""
    done = site.host.run(["idmap", "db", "backup", f"{STATE}/{name}"], user="idmap").check()
    assert "verified" in done.stdout
    return f"{STATE}/{name}"


def restore(site: DemoSite, path: str) -> str:
    """As root, the service stopped; the agent runs on."""
    command = ["idmap", "db", "restore", path, "--reason", "the disk died"]
    refused = site.host.run(command)
    assert refused.returncode == 1
    assert "database_in_use" in refused.stderr
    site.services["serve"].stop()
    planned = site.host.run([*command, "--dry-run"]).check().stdout
    done = site.host.run(command).check().stdout
    assert planned.splitlines()[1] == done.splitlines()[1]
    serve(site)
    return done


def check(site: DemoSite) -> None:
    """The database, what lies beside it, and the agent, which is still the same process."""
    done = site.host.run(["idmap", "db", "check"], user="idmap")
    assert done.returncode == 0, done.stdout
    assert "WRONG" not in done.stdout
    assert "changes verified" in site.idmap("audit", "verify").check().stdout
    assert site.services["agent"].alive


def test_nothing_issued_since_is_issued_again_and_the_node_goes_on(site: DemoSite) -> None:
    path = backup(site, "yesterday.db")
    heidi = newcomer(site, "heidi")
    ban(site, "erin")
    seen = node(site)
    agent = site.services["agent"].pid

    said = restore(site, path)
    assert "1 accounts" in said
    site.wait_for_revision(PATIENCE)
    revision, counter = site.host.wait_for(
        lambda: node(site) if node(site)[1] > seen[1] else None, PATIENCE, "the restored ban list"
    )
    assert revision > seen[0], "the agent accepts the next snapshot"
    assert counter > seen[1], "and the next ban list"
    assert lookup(site, "heidi") is None, "what was lost leaves the node"
    assert is_banned(site, "erin"), "who was banned stays banned"

    carol = newcomer(site, "carol")
    assert carol[1] != heidi[1], "the number issued since is not issued again"
    assert newcomer(site, "heidi") == heidi, "and its holder gets it back, with the name"
    ban(site, "alice")
    assert node(site)[1] > counter
    assert site.services["agent"].pid == agent
    check(site)


def test_the_host_is_lost_with_everything_but_the_backup_and_the_published_snapshot(
    site: DemoSite,
) -> None:
    """No database, no marks, no journal: the signed snapshot says what was given out, and to whom."""
    path = backup(site, "last.db")
    lost = newcomer(site, "dave")
    seen = node(site)
    site.services["serve"].stop()
    site.host.run(["sh", "-c", f"rm -f {STATE}/registry.db*"]).check()
    command = ["idmap", "db", "restore", path, "--reason", "a new host", "--json"]
    report = json.loads(site.host.run(command).check().stdout)
    assert (report["lost_accounts"], report["revision"] > seen[0]) == (1, True)
    serve(site)
    site.wait_for_revision(PATIENCE)
    assert node(site)[0] > seen[0]
    assert is_banned(site, "erin")
    other = newcomer(site, "olivia")
    assert other[1] != lost[1]
    assert newcomer(site, "dave") == lost
    ban(site, lost[0])
    check(site)

"""From a rule to a real login: node classes, local groups and a demanded token, through every part that stands between.

A whole site of its own: rules are applied as an administrator applies them, the run compiles them into accounts, the
service publishes, the agent installs, sshd asks PAM.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from demo_site import PrivateHost
from demo_site.site import AGENT_FILE, ISSUER, SSH_AUDIENCE, start_site
from demo_site.ssh_client import KeyPair

GPU = 987
WHY = ("--reason", "a test of the rules")


def rules(**changed: Any) -> dict[str, Any]:
    """Everybody of demo/compute; `changed` are members of the class, `demands` those of the document.

    `secondary_groups` are the rule's: the issuer's groups whose gids its members have too.
    """
    demands = changed.pop("demands", [])
    secondary_groups = changed.pop("secondary_groups", [])
    personal = {
        "range": "people",
        "primary_group": "demo",
        "shell": "/bin/bash",
        "home": "/home/{username}",
        "grace_days": 30,
    }
    compute = {"id": "compute", "issuer": ISSUER, "group": "demo/compute", "class": "personal"}
    if secondary_groups:
        compute["secondary_groups"] = secondary_groups
    return {
        "format": 2,
        "classes": {"personal": personal | changed},
        "rules": [compute],
        "admins": [{"role": "site-admin", "issuer": ISSUER, "group": "demo/admins"}],
        "demands": demands,
    }


class Ruled:
    """The site, and alice's key."""

    def __init__(self, host: PrivateHost) -> None:
        self.site = start_site(host)
        host.run(["groupadd", "--gid", str(GPU), "gpu"]).check()
        self.key: KeyPair = self.site.laptop.make_key()
        self.site.sshd.authorize("alice", self.key.public)

    def save(self, **changed: Any) -> None:
        """Saves the rules; demands count at once."""
        self.site.host.write("/etc/idmap/rules.json", json.dumps(rules(**changed)))
        self.site.idmap("rules", "apply", "/etc/idmap/rules.json", *WHY).check()

    def apply(self, **changed: Any) -> None:
        """Saves the rules, runs provisioning, approves what it takes away, waits until the node has it."""
        self.save(**changed)
        done = self.site.provision("--no-progress")
        if "guard_stopped" in done.stdout:
            plan = re.search(r"^Hash: (\w+)$", done.stdout, re.MULTILINE)
            assert plan is not None, done.stdout
            done = self.site.provision("--no-progress", "--approve", plan[1])
        done.check()
        self.site.wait_for_revision()

    def list_groups(self, *names: str) -> None:
        """The node's own setting, and its agent with it."""
        text = self.site.host.read(AGENT_FILE)
        first, _, rest = text.partition("\n")
        lines = [line for line in rest.splitlines() if not line.startswith("local_groups")]
        self.configure("\n".join([first, f"local_groups = {json.dumps(names)}", *lines, ""]))

    def withhold_members(self, *lines: str) -> None:
        """The node's own policy for member lists; none without lines."""
        text = self.site.host.read(AGENT_FILE).partition("[members]\n")[0]
        self.configure(text + "".join(f"{line}\n" for line in ("[members]", *lines) if lines))

    def configure(self, text: str) -> None:
        """Another agent.toml, and the agent with it."""
        self.site.host.write(AGENT_FILE, text)
        self.site.services["agent"].stop()
        self.site.start_service("agent", ["idmap-agent", "run"])

    def members(self, group: str) -> set[str]:
        """Whom `getent group` shows."""
        line = self.site.host.run(["getent", "group", group]).check().stdout
        return set(filter(None, line.rstrip("\n").split(":")[3].split(",")))

    def status(self) -> dict[str, Any]:
        """What the agent says of the node."""
        said = self.site.host.run(["idmap-agent", "status", "--json"]).check().stdout
        return dict(json.loads(said))

    def groups(self) -> set[int]:
        """`id -G` of a login with alice's key."""
        done = self.site.laptop.with_key("alice", self.key, ["id", "-G"])
        assert done.returncode == 0, done.stderr
        return {int(gid) for gid in done.stdout.split()}


@pytest.fixture(scope="module")
def ruled() -> Iterator[Ruled]:
    """One site; each test applies rules of its own."""
    with PrivateHost() as host:
        yield Ruled(host)


def test_a_local_group_counts_on_a_node_that_lists_it_and_nowhere_else(ruled: Ruled) -> None:
    """Given by rule all the while; the node's own setting decides, and NSS never shows it."""
    ruled.apply(local_groups=["gpu"])
    assert GPU not in ruled.groups()
    ruled.list_groups("gpu")
    ruled.site.host.wait_for(lambda: GPU in ruled.groups(), 20, "the group is given")
    named = ruled.site.laptop.with_key("alice", ruled.key, ["id", "-Gn"]).stdout.split()
    assert "gpu" in named
    assert str(GPU) not in ruled.site.host.run(["id", "-G", "alice"]).check().stdout.split()
    ruled.list_groups()
    ruled.site.host.wait_for(lambda: GPU not in ruled.groups(), 20, "the group is taken back")


def test_an_account_for_other_node_classes_is_refused_here(ruled: Ruled) -> None:
    """Known, with a name and its files; not let in."""
    ruled.apply(node_classes=["gpu"])
    done = ruled.site.laptop.with_key("alice", ruled.key)
    assert done.returncode != 0
    assert "idmap: node_class_refused" in done.stderr
    done = ruled.site.laptop.with_secret("alice", ruled.site.token("alice", SSH_AUDIENCE))
    assert "node_class_refused" in done.stderr
    assert ruled.site.host.run(["id", "-un", "alice"]).returncode == 0
    assert ruled.status()["elsewhere"] > 0


def test_a_demand_of_the_door_refuses_keys_there(ruled: Ruled) -> None:
    """And lets in whoever shows the token that it asks for; taken back, keys do again."""
    demand = {"id": "strong", "doors": ["ssh:login"], "acr": ["https://refeds.org/profile/mfa"]}
    ruled.apply(demands=[demand])
    ruled.site.host.wait_for(lambda: ruled.status()["token_only"], 20, "the demand arrives")
    assert ruled.status()["elsewhere"] == 0
    done = ruled.site.laptop.with_key("alice", ruled.key)
    assert done.returncode != 0
    assert "idmap: token_demanded" in done.stderr
    proof = {"acr": "https://refeds.org/profile/mfa"}
    token = ruled.site.token("alice", SSH_AUDIENCE, extra=proof)
    done = ruled.site.laptop.with_secret("alice", token, ["id", "-un"])
    assert (done.returncode, done.stdout) == (0, "alice\n"), done.stderr
    ruled.save()
    ruled.site.host.wait_for(lambda: not ruled.status()["token_only"], 20, "it is taken back")
    assert ruled.site.laptop.with_key("alice", ruled.key).returncode == 0


def test_a_withheld_list_shows_nobody_and_everybody_keeps_the_group(ruled: Ruled) -> None:
    """At real NSS: the big group's list is empty and the small one's whole, until the setting goes."""
    ruled.apply(secondary_groups=["demo/compute", "demo/gpu"])
    node = ruled.site.host
    big, small = ruled.members("demo_compute"), ruled.members("demo_gpu")
    assert big > small
    assert "alice" in small
    before = node.run(["id", "-G", "alice"]).check().stdout
    ruled.withhold_members('policy = "empty"', f"above = {len(small)}")
    node.wait_for(lambda: not ruled.members("demo_compute"), 20, "the list is withheld")
    assert ruled.members("demo_gpu") == small
    assert node.run(["id", "-G", "alice"]).check().stdout == before
    assert ruled.groups() == {int(gid) for gid in before.split()}, "and a login has it"
    assert ruled.status()["members"]["withheld"] == 1
    node.run(["idmap-agent", "verify"]).check()
    ruled.withhold_members()
    node.wait_for(lambda: ruled.members("demo_compute") == big, 20, "the list is back")

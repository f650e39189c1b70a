"""Node classes at a real sshd: who may be used here, classes on which keys do not do, and the node's own groups."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from demo_site import Completed, PrivateHost, Service
from demo_site.installation import install_idmap
from demo_site.ssh_client import LAPTOP, KeyPair, SshClient
from demo_site.sshd import start_sshd
from tests.e2e.node_records import (
    ELSEWHERE,
    TOKEN_ONLY,
    User,
    install_bans,
    install_local_groups,
    install_posix,
)
from tests.e2e.people import LOCAL_PASSWORD, LOCAL_USER

VERIFIER = Path(__file__).parent / "stand_in_verifier.py"
ADA = User("ada", 200001)
GRACE = User("grace", 200002)
TOKEN = "the-token-of-ada"
CA = "/etc/ssh/user_ca"
GPU, SCRATCH, VIDEO = 987, 1200, 944
SSHD_SETTINGS = f"""\
PasswordAuthentication yes
TrustedUserCAKeys {CA}.pub
AuthorizedPrincipalsCommand /opt/idmap/bin/idmap-principals %u
AuthorizedPrincipalsCommandUser nobody
Match User mel
    AuthenticationMethods publickey,keyboard-interactive
"""
MEL = User("mel", 200003)


class Node:
    """A login node with three people, one key that opens all of them, a certificate of ada's, and a verifier."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        install_idmap(host)
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", CA]).check()
        for name, gid in (("gpu", GPU), ("scratch", SCRATCH)):
            host.run(["groupadd", "--gid", str(gid), name]).check()
        self.server = start_sshd(host, more=SSHD_SETTINGS)
        self.client = SshClient(self.server)
        self.key = self.client.make_key()
        for username in ("ada", "grace", "mel", LOCAL_USER):
            self.server.authorize(username, self.key.public)
        self.certified = self._certified()
        self.reset()

    def _certified(self) -> KeyPair:
        """A key that opens ada by its certificate alone."""
        pair = self.client.make_key("id_certified")
        sign = ["ssh-keygen", "-q", "-s", CA, "-I", "ada", "-n", f"account:{ADA.uid_number}"]
        self.host.run([*sign, f"{pair.path}.pub"]).check()
        self.host.run(["chown", LAPTOP, f"{pair.path}-cert.pub"]).check()
        return pair

    def reset(self, flags: int = 0) -> None:
        """Everybody with these flags, nobody banned, no local groups; ada's token is good."""
        install_posix(self.host, [replace(user, flags=flags) for user in (ADA, GRACE, MEL)])
        install_bans(self.host)
        install_local_groups(self.host)
        table = {hashlib.sha256(TOKEN.encode()).hexdigest(): ["ada", ADA.uid_number]}
        self.host.write("/srv/verifier.json", json.dumps(table))

    def groups(self, done: Completed) -> set[int]:
        """What a session's `id -G` said."""
        assert done.returncode == 0, done.stderr
        return {int(gid) for gid in done.stdout.split()}


@pytest.fixture(scope="module")
def built_node() -> Iterator[Node]:
    """A host of its own, with a verifier that stays."""
    with PrivateHost() as host:
        host.add_user(LOCAL_USER, 1500, password=LOCAL_PASSWORD)
        node = Node(host)
        _start_verifier(node)
        yield node


@pytest.fixture
def node(built_node: Node) -> Node:
    """The node as at the beginning."""
    built_node.reset()
    return built_node


def _start_verifier(node: Node) -> Service:
    argv = [node.host.python, str(VERIFIER)]
    service = node.host.start("verifier", argv, user="idmap-verify")
    node.host.wait_for(lambda: "listening" in service.output(), 15, "the verifier", service)
    return service


def test_every_way_in_is_open_on_a_class_that_demands_nothing(node: Node) -> None:
    """Against which the refusals mean something."""
    for done in (
        node.client.with_key("ada", node.key, ["id", "-un"]),
        node.client.with_key("ada", node.certified, ["id", "-un"]),
        node.client.with_secret("ada", TOKEN, ["id", "-un"]),
        node.client.with_secret("ada", TOKEN, ["id", "-un"], method="password"),
        node.host.run(["su", "ada", "-c", "id -un"]),
    ):
        assert (done.returncode, done.stdout) == (0, "ada\n"), done.stderr


@pytest.mark.parametrize("method", ["keyboard-interactive", "password"])
def test_a_token_logs_in_on_a_token_only_class(node: Node, method: str) -> None:
    """The two ways in which sshd runs `auth`: in a process of its own, and in the one that asks `account`."""
    node.reset(TOKEN_ONLY)
    done = node.client.with_secret("ada", TOKEN, ["id", "-un"], method=method)
    assert (done.returncode, done.stdout) == (0, "ada\n"), done.stderr
    wrong = node.client.with_secret("ada", "another-token", method=method)
    assert wrong.returncode == 255


def test_keys_certificates_and_su_are_refused_on_a_token_only_class(node: Node) -> None:
    """The person is told what to do instead; a certificate has no principals."""
    node.reset(TOKEN_ONLY)
    done = node.client.with_key("ada", node.key)
    assert done.returncode == 255
    assert "idmap: token_demanded: This node wants an access token" in done.stderr
    assert node.client.with_key("ada", node.certified).returncode == 255
    assert node.host.run(["su", "ada", "-c", "id"]).returncode != 0
    log = node.host.read("/var/log/syslog")
    assert log.count("reason=token_demanded username=ada") >= 2
    assert node.host.run(["id", "-u", "ada"]).stdout == "200001\n", "names stay"


def test_the_nodes_own_people_need_no_token(node: Node) -> None:
    """Neither by key nor by password."""
    node.reset(TOKEN_ONLY)
    for done in (
        node.client.with_key(LOCAL_USER, node.key, ["id", "-u"]),
        node.client.with_secret(LOCAL_USER, LOCAL_PASSWORD, ["id", "-u"]),
        node.client.with_secret(LOCAL_USER, LOCAL_PASSWORD, ["id", "-u"], method="password"),
        node.host.run(["su", LOCAL_USER, "-c", "id -u"]),
    ):
        assert (done.returncode, done.stdout) == (0, "1500\n"), done.stderr


def test_a_key_and_then_a_token_are_enough_and_the_key_alone_is_not(node: Node) -> None:
    """`AuthenticationMethods publickey,keyboard-interactive`: the account phase comes after both."""
    node.reset(TOKEN_ONLY)
    table = {hashlib.sha256(b"the-token-of-mel").hexdigest(): ["mel", MEL.uid_number]}
    node.host.write("/srv/verifier.json", json.dumps(table))
    assert node.client.with_key("mel", node.key).returncode == 255
    options = ["-oPreferredAuthentications=publickey,keyboard-interactive", "-oIdentitiesOnly=yes"]
    command = node.client.command("mel", [*options, "-i", node.key.path], ["id", "-un"])
    done = node.client.answering("the-token-of-mel", command)
    assert (done.returncode, done.stdout) == (0, "mel\n"), done.stderr


@pytest.mark.parametrize("flags", [ELSEWHERE, ELSEWHERE | TOKEN_ONLY])
def test_an_account_for_other_classes_is_known_here_and_refused_at_every_door(
    node: Node, flags: int
) -> None:
    """By key, certificate, token and su, with the reason; its files keep their owner's name."""
    node.reset(flags)
    refused = node.client.with_key("ada", node.key)
    assert refused.returncode == 255
    assert "idmap: node_class_refused: The account may not be used" in refused.stderr
    for method in ("keyboard-interactive", "password"):
        by_token = node.client.with_secret("ada", TOKEN, method=method)
        assert by_token.returncode == 255
        assert "node_class_refused" in by_token.stderr
    assert node.client.with_key("ada", node.certified).returncode == 255
    assert node.host.run(["su", "ada", "-c", "id"]).returncode != 0
    assert node.host.run(["id", "-un", "200001"]).stdout == "ada\n"


def test_local_groups_come_with_every_kind_of_ssh_login(node: Node) -> None:
    """By key, certificate and both methods of a token; each its own, nobody another's."""
    install_local_groups(node.host, ada=[GPU, SCRATCH], grace=[SCRATCH])
    command = ["id", "-G"]
    for done in (
        node.client.with_key("ada", node.key, command),
        node.client.with_key("ada", node.certified, command),
        node.client.with_secret("ada", TOKEN, command),
        node.client.with_secret("ada", TOKEN, command, method="password"),
    ):
        assert node.groups(done) == {200001, GPU, SCRATCH}
    assert node.groups(node.client.with_key("grace", node.key, command)) == {200002, SCRATCH}
    assert node.groups(node.client.with_key(LOCAL_USER, node.key, command)) == {1500}
    named = node.client.with_key("ada", node.key, ["id", "-Gn"]).stdout.split()
    assert named == ["ada", "gpu", "scratch"]


def test_nss_never_shows_a_local_group(node: Node) -> None:
    """Whoever asks for ada's groups is told what the signed record says (law 10)."""
    install_local_groups(node.host, ada=[GPU])
    assert node.host.run(["id", "-G", "ada"]).stdout == "200001\n"
    assert node.host.run(["getent", "group", "gpu"]).stdout == f"gpu:x:{GPU}:\n"
    assert node.host.run(["su", "ada", "-c", "id -G"]).stdout == "200001\n", "only at ssh"


def test_a_node_that_lists_no_group_gives_none(node: Node) -> None:
    """Then the agent's list has no line; a list that others could write counts for nothing either."""
    assert node.groups(node.client.with_key("ada", node.key, ["id", "-G"])) == {200001}
    install_local_groups(node.host, ada=[GPU])
    node.host.run(["chmod", "0666", "/var/lib/idmap/local-groups"]).check()
    assert node.groups(node.client.with_key("ada", node.key, ["id", "-G"])) == {200001}


def test_root_and_what_means_root_is_never_given_whatever_the_list_says(node: Node) -> None:
    """The module looks again at what the node says of each number now."""
    node.host.run(["groupadd", "--force", "--gid", str(VIDEO), "docker"])
    docker = int(node.host.run(["getent", "group", "docker"]).check().stdout.split(":")[2])
    install_local_groups(node.host, ada=[0, docker, 4711, GPU])
    assert node.groups(node.client.with_key("ada", node.key, ["id", "-G"])) == {200001, GPU}
    log = node.host.read("/var/log/syslog")
    for gid in (0, docker, 4711):
        assert f"event=local_group_refused username=ada gid_number={gid}" in log

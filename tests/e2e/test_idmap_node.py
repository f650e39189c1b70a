"""A node with idmap's NSS and PAM: people who exist only in posix.db, through real sshd."""

from __future__ import annotations

import hashlib
import json
import string
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_site import PrivateHost, Service
from demo_site.installation import install_idmap
from demo_site.ssh_client import KeyPair, SshClient
from demo_site.sshd import start_sshd
from tests.e2e.node_records import POSIX, User, install_bans, install_posix
from tests.e2e.people import LOCAL_PASSWORD, LOCAL_USER

VERIFIER = Path(__file__).parent / "stand_in_verifier.py"
ADA = User("ada", 200001, secondary=(201000,))
GRACE = User("grace", 200002)
GROUPS = [("physics", 201000)]


class Node:
    """A login node with idmap installed, its server, a client, and a key that opens every name."""

    def __init__(self, host: PrivateHost) -> None:
        self.host = host
        install_idmap(host)
        self.server = start_sshd(host)
        self.client = SshClient(self.server)
        self.key = self._key_for(ADA.username, GRACE.username, LOCAL_USER)
        self.reset()

    def _key_for(self, *usernames: str) -> KeyPair:
        key = self.client.make_key()
        for username in usernames:
            self.server.authorize(username, key.public)
        return key

    def reset(self) -> None:
        """Everybody is as at the beginning."""
        install_posix(self.host, [ADA, GRACE], GROUPS)
        install_bans(self.host)

    def knows(self, secret: str, username: str, uid_number: int) -> None:
        """Makes `secret` a credential of an account."""
        table = {hashlib.sha256(secret.encode()).hexdigest(): [username, uid_number]}
        self.host.write("/srv/verifier.json", json.dumps(table))


@pytest.fixture(scope="module")
def built_node() -> Iterator[Node]:
    """A host of its own: what is installed here would change every other test's logins."""
    with PrivateHost() as host:
        host.add_user(LOCAL_USER, 1500, password=LOCAL_PASSWORD)
        yield Node(host)


@pytest.fixture
def node(built_node: Node) -> Node:
    """The node with its first accounts and without bans."""
    built_node.reset()
    return built_node


@pytest.fixture
def verifier(node: Node) -> Iterator[Service]:
    """A verifier that holds real conversations with pam_idmap."""
    argv = [node.host.python, str(VERIFIER)]
    # Its log is added to: what the verifier of the test before said is not this one's word.
    node.host.run(["rm", "-f", "/var/log/verifier.log"]).check()
    service = node.host.start("verifier", argv, user="idmap-verify")
    node.host.wait_for(lambda: "listening" in service.output(), 15, "the verifier", service)
    yield service
    service.stop()


def test_names_and_numbers_come_from_the_file(node: Node) -> None:
    passwd = node.host.run(["getent", "passwd", "ada"]).check().stdout
    assert passwd == "ada:*:200001:200001:A Person:/home/ada:/bin/bash\n"
    ids = node.host.run(["id", "ada"], user=LOCAL_USER).check().stdout
    assert ids == "uid=200001(ada) gid=200001(ada) groups=200001(ada),201000(physics)\n"


def test_a_key_logs_in_and_the_home_is_made(node: Node) -> None:
    done = node.client.with_key("ada", node.key, ["id; pwd; stat -c %a,%U:%G ."])
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "uid=200001(ada) gid=200001(ada) groups=200001(ada),201000(physics)",
        "/home/ada",
        "700,ada:ada",
    ]


def test_a_local_person_is_left_to_the_system(node: Node) -> None:
    by_key = node.client.with_key(LOCAL_USER, node.key, ["id", "-u"])
    assert (by_key.returncode, by_key.stdout) == (0, "1500\n"), by_key.stderr
    by_password = node.client.with_secret(LOCAL_USER, LOCAL_PASSWORD, ["id", "-u"])
    assert (by_password.returncode, by_password.stdout) == (0, "1500\n"), by_password.stderr


def test_a_ban_counts_for_a_key_at_once_and_for_nobody_else(node: Node) -> None:
    install_bans(node.host, [ADA.uid_number])
    refused = node.client.with_key("ada", node.key)
    assert refused.returncode == 255
    assert node.client.with_key("grace", node.key).returncode == 0
    assert "banned" in node.host.read("/var/log/syslog")


def test_a_suspended_account_is_refused_with_a_key(node: Node) -> None:
    install_posix(node.host, [User("ada", 200001, state="suspended", secondary=(201000,))], GROUPS)
    assert node.client.with_key("ada", node.key).returncode == 255
    assert node.host.run(["id", "-u", "ada"]).stdout == "200001\n", "names stay"


def test_past_its_not_after_the_file_admits_nobody_but_keeps_the_names(node: Node) -> None:
    install_posix(node.host, [ADA], GROUPS, not_after=int(time.time()) - 10)
    assert node.client.with_key("ada", node.key).returncode == 255
    assert node.host.run(["id", "-un", "200001"]).stdout == "ada\n"


def test_a_file_that_others_may_write_admits_nobody(node: Node) -> None:
    node.host.run(["chmod", "0666", POSIX]).check()
    assert node.client.with_key("ada", node.key).returncode == 255


def test_su_asks_the_account_phase_too(node: Node) -> None:
    assert node.host.run(["su", "ada", "-c", "id -u"]).stdout == "200001\n"
    install_bans(node.host, [ADA.uid_number])
    assert node.host.run(["su", "ada", "-c", "id -u"]).returncode != 0


@pytest.mark.parametrize("length", [40, 1022, 1023, 1024, 1500, 2046])
@pytest.mark.usefixtures("verifier")
def test_a_secret_of_any_length_arrives_whole_through_the_stock_client(
    node: Node, length: int
) -> None:
    letters = string.ascii_letters + string.digits
    secret = "".join(letters[number * 7 % len(letters)] for number in range(length))
    node.knows(secret, "ada", ADA.uid_number)
    done = node.client.with_secret("ada", secret, ["id", "-u"])
    assert (done.returncode, done.stdout) == (0, "200001\n"), done.stderr


@pytest.mark.usefixtures("verifier")
def test_a_secret_opens_only_its_own_account(node: Node) -> None:
    node.knows("a-secret-of-grace", "grace", GRACE.uid_number)
    assert node.client.with_secret("ada", "a-secret-of-grace").returncode == 255
    assert node.client.with_secret("grace", "a-secret-of-grace").returncode == 0


@pytest.mark.usefixtures("verifier")
def test_no_secret_is_ever_logged(node: Node) -> None:
    for secret in ("a-right-and-remarkable-secret", "a-wrong-and-remarkable-secret"):
        node.knows("a-right-and-remarkable-secret", "ada", ADA.uid_number)
        node.client.with_secret("ada", secret)
    logged = node.host.run(["sh", "-c", "cat /var/log/*"]).stdout
    assert "remarkable" not in logged


def test_without_a_verifier_secrets_fail_and_keys_work(node: Node) -> None:
    assert node.client.with_secret("ada", "anything").returncode == 255
    assert "agent_unavailable" in node.host.read("/var/log/syslog")
    assert node.client.with_key("ada", node.key).returncode == 0

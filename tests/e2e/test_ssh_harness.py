"""Real ssh to real sshd, with the distribution's own accounts: the harness itself works."""

from __future__ import annotations

import pytest

from demo_site import PrivateHost
from demo_site.ssh_client import ASKPASS, SshClient
from demo_site.sshd import SshServer
from tests.e2e.people import LOCAL_PASSWORD, LOCAL_USER


def test_a_local_person_logs_in_with_a_key(ssh_server: SshServer, ssh_client: SshClient) -> None:
    key = ssh_client.make_key("local")
    ssh_server.authorize(LOCAL_USER, key.public)
    done = ssh_client.with_key(LOCAL_USER, key, ["id -un; pwd"])
    assert (done.returncode, done.stdout) == (0, "lena\n/home/lena\n"), done.stderr


def test_a_local_person_logs_in_with_a_password(ssh_client: SshClient) -> None:
    done = ssh_client.with_secret(LOCAL_USER, LOCAL_PASSWORD, ["id", "-u"])
    assert (done.returncode, done.stdout) == (0, "1500\n"), done.stderr


def test_a_wrong_password_is_refused(ssh_client: SshClient) -> None:
    done = ssh_client.with_secret(LOCAL_USER, "wrong")
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_a_server_with_another_key_gets_no_password(
    private_host: PrivateHost, ssh_client: SshClient
) -> None:
    line = private_host.read(ssh_client.known_hosts)
    private_host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/srv/other"]).check()
    other = private_host.read("/srv/other.pub").split()[1]
    try:
        private_host.write(ssh_client.known_hosts, f"{line.split()[0]} ssh-ed25519 {other}\n")
        done = ssh_client.with_secret(LOCAL_USER, LOCAL_PASSWORD)
    finally:
        private_host.write(ssh_client.known_hosts, line)
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


def test_the_method_that_cuts_answers_is_not_offered(ssh_client: SshClient) -> None:
    done = ssh_client.with_secret(LOCAL_USER, "wrong")
    assert "password" not in done.stderr
    assert "keyboard-interactive" in done.stderr


def test_no_token_stays_at_the_laptop(private_host: PrivateHost, ssh_client: SshClient) -> None:
    ssh_client.with_secret(LOCAL_USER, "wrong")
    assert private_host.run(["ls", "-A", f"{ssh_client.home}/tokens"]).stdout == ""


@pytest.mark.parametrize("length", [1, 1022, 1023, 1024, 2046, 2900])
def test_askpass_answers_in_pieces_and_starts_again(private_host: PrivateHost, length: int) -> None:
    token = "".join(chr(ord("a") + number % 26) for number in range(length))
    path = f"/srv/token-{length}"
    private_host.write(path, token + "\n", mode=0o600)
    questions = ["(forrest of@login1) Access token: ", *["(x@y) The rest of it: "] * 2]
    script = 'for question in "$@"; do "$ASKPASS" "$question"; echo; done'
    for _ in range(2):
        done = private_host.run(
            ["sh", "-c", script, "sh", *questions],
            env={"IDMAP_TOKEN_FILE": path, "ASKPASS": str(ASKPASS)},
        ).check()
        pieces = done.stdout.split("\n")[:3]
        assert "".join(pieces) == token
        assert all(len(piece) <= 1023 for piece in pieces)

"""Somebody at a laptop: the stock ssh client, run by an unprivileged user of the private host.

The server's key is known beforehand and checked strictly: a token typed to a stranger's host is
stolen. The token reaches ssh through `askpass` from a 0600 file; it is in no argument, no
environment and no output. One attempt per call, bounded in time.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from demo_site.private_host import PACKAGE, Completed
from demo_site.sshd import SshServer

LAPTOP = "laptop"
LAPTOP_UID = 1990
ASKPASS = PACKAGE / "askpass"


@dataclass(frozen=True)
class KeyPair:
    """A person's ssh key: where the private part is (in the host), and the public line."""

    path: str
    public: str


class SshClient:
    """Logs in to one server. The local user `laptop` is made when it is not there yet."""

    def __init__(self, server: SshServer) -> None:
        self._server, self._host = server, server.host
        if self._host.run(["getent", "passwd", LAPTOP]).returncode != 0:
            self._host.add_user(LAPTOP, LAPTOP_UID)
        self.home = f"/home/{LAPTOP}"
        self.known_hosts = f"{self.home}/.ssh/known_hosts.{server.port}"
        self._private_directory(f"{self.home}/.ssh")
        self._private_directory(f"{self.home}/tokens")
        self._write(self.known_hosts, server.known_hosts + "\n")

    def _private_directory(self, path: str) -> None:
        owner = ["-o", LAPTOP, "-g", LAPTOP]
        self._host.run(["install", "-d", "-m", "700", *owner, path]).check()

    def _write(self, path: str, text: str) -> None:
        self._host.write(path, text, mode=0o600, owner=f"{LAPTOP}:{LAPTOP}")

    def command(self, username: str, options: Sequence[str], command: Sequence[str]) -> list[str]:
        """The whole ssh command line, for showing it."""
        fixed = {
            "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "NumberOfPasswordPrompts": "1",
            "ConnectTimeout": "10",
        }
        settings = [f"-o{key}={value}" for key, value in fixed.items()]
        line = ["ssh", "-F", "/dev/null", *settings, *options]
        return [*line, "-p", str(self._server.port), "-l", username, "127.0.0.1", *command]

    def _ssh(self, argv: Sequence[str], env: Mapping[str, str], timeout: float) -> Completed:
        return self._host.run(argv, user=LAPTOP, env=env, timeout=timeout)

    def with_secret(
        self,
        username: str,
        secret: str,
        command: Sequence[str] = ("id",),
        timeout: float = 30.0,
        *,
        method: str = "keyboard-interactive",
    ) -> Completed:
        """Logs in as `username` with a token (or password) and runs `command` there.

        `method` is ssh's: `password` is the other that has a secret. Asked again for the rest, it gives the next 1023
        bytes. ssh's own failure is status 255.
        """
        options = [f"-oPreferredAuthentications={method}", "-oPubkeyAuthentication=no"]
        return self.answering(secret, self.command(username, options, command), timeout)

    def answering(self, secret: str, argv: Sequence[str], timeout: float = 30.0) -> Completed:
        """Runs a whole ssh command line that is asked for a token on its way."""
        path = f"{self.home}/tokens/{secrets.token_hex(8)}"
        self._write(path, secret)
        env = {
            "SSH_ASKPASS": str(ASKPASS),
            "SSH_ASKPASS_REQUIRE": "force",
            "IDMAP_TOKEN_FILE": path,
        }
        try:
            return self._ssh(argv, env, timeout)
        finally:
            self._host.run(["sh", "-c", 'rm -f -- "$1"*', "sh", path])

    def with_key(
        self, username: str, key: KeyPair, command: Sequence[str] = ("id",), timeout: float = 30.0
    ) -> Completed:
        """Logs in as `username` with an ssh key and runs `command` there."""
        options = ["-oPreferredAuthentications=publickey", "-oIdentitiesOnly=yes", "-i", key.path]
        return self._ssh(self.command(username, options, command), {}, timeout)

    def make_key(self, name: str = "id_ed25519") -> KeyPair:
        """A new ssh key of the laptop's user."""
        path = f"{self.home}/.ssh/{name}"
        making = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path]
        self._host.run(making, user=LAPTOP).check()
        return KeyPair(path, self._host.read(f"{path}.pub").strip())

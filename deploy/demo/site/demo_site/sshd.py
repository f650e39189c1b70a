"""Real OpenSSH's server in a private host: /usr/sbin/sshd with the host's own PAM and NSS.

It runs with the distribution's sshd_config, `deploy/sshd_config.d/idmap.conf`, and one more drop-in
with what a private host needs: port, host key, and authorized keys that an administrator placed.
The host key is made inside and never leaves it; clients get the matching known_hosts line.
"""

from __future__ import annotations

from dataclasses import dataclass

from demo_site.installation import DEPLOY
from demo_site.private_host import PrivateHost, PrivateHostError, Service

SSHD = "/usr/sbin/sshd"
CONFIG = "/etc/ssh/sshd_config"
DROP_INS = f"{CONFIG}.d"
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"
KEYS = "/etc/ssh/authorized_keys.d"
"""Keys placed by the administrator, one file per username; homes may not exist before the login."""


@dataclass(frozen=True)
class SshServer:
    """A running server. `known_hosts` is the line by which clients recognise it."""

    host: PrivateHost
    service: Service
    port: int
    known_hosts: str

    def log(self) -> str:
        """What sshd has logged; PAM modules log to /var/log/syslog of the host."""
        return self.service.output()

    def authorize(self, username: str, public_key: str) -> None:
        """Lets the holder of a key in as `username`, as far as the account phase allows."""
        self.host.write(f"{KEYS}/{username}", public_key + "\n")

    def stop(self) -> None:
        """Ends the listener; sessions that are open stay."""
        self.service.stop()


def _drop_in(host: PrivateHost, port: int, more: str) -> str:
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {HOST_KEY}",
        "PidFile none",
        "LogLevel VERBOSE",
        f"AuthorizedKeysFile .ssh/authorized_keys {KEYS}/%u",
        # Tests and the demo are refused on purpose, many times, from one address.
        "MaxStartups 100",
    ]
    # Since OpenSSH 9.8; older ones refuse the keyword.
    penalties = ["-T", "-f", "/dev/null", "-h", HOST_KEY, "-o", "PerSourcePenalties=no"]
    if host.run([SSHD, *penalties]).returncode == 0:
        lines.append("PerSourcePenalties no")
    return "\n".join([*lines, more, ""])


def start_sshd(host: PrivateHost, *, port: int = 2222, more: str = "") -> SshServer:
    """Configures and starts sshd on 127.0.0.1:`port`, and waits until it answers.

    `more` is added to its configuration. Raises PrivateHostError with its log when it fails.
    """
    if not host.exists(HOST_KEY):
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", HOST_KEY]).check()
    drop_in = _drop_in(host, port, more)
    host.run(["mkdir", "-p", DROP_INS, KEYS]).check()
    host.write(f"{DROP_INS}/00-private-host.conf", drop_in)
    host.install(DEPLOY / "sshd_config.d" / "idmap.conf", f"{DROP_INS}/10-idmap.conf")
    host.run([SSHD, "-t", "-f", CONFIG]).check()
    kind, key = host.read(f"{HOST_KEY}.pub").split()[:2]
    service = host.start("sshd", [SSHD, "-D", "-e", "-f", CONFIG])
    server = SshServer(host, service, port, f"[127.0.0.1]:{port} {kind} {key}")
    listening = f"Server listening on 127.0.0.1 port {port}."
    try:
        host.wait_for(lambda: listening in server.log(), 15, "sshd", service)
    except PrivateHostError:
        service.kill()
        raise
    return server

"""`make up` and `make down`: the demo site, kept running on this machine's loopback to play with.

`up` starts a runner of its own session that holds the private host; `down` ends that runner by its process id, and
with it everything. The host's /etc, accounts and processes are private; only its ports are on the machine's
loopback. What `up` prints is all one needs: the ssh command, the known_hosts line, an askpass, a token
command, the API's address.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from demo_site.private_host import PACKAGE, PROJECT, PrivateHost, PrivateHostError, wait_for
from demo_site.site import (
    API_AUDIENCE,
    IAM_PORT,
    IAM_URL,
    SERVICE_PORT,
    SERVICE_URL,
    SSH_AUDIENCE,
    SSH_PORT,
    start_site,
)

DIRECTORY: Final = PROJECT / ".run"
STATE: Final = DIRECTORY / "site.json"
LOG: Final = DIRECTORY / "site.log"
KNOWN_HOSTS: Final = DIRECTORY / "known_hosts"
ADMIN_KEY: Final = DIRECTORY / "admin.key"
TOKEN: Final = DIRECTORY / "token"
START_SECONDS: Final = 90
STOP_SECONDS: Final = 30


def up() -> int:
    """Starts the site unless it stands already, and prints how to use it."""
    if running_pid() is None:
        taken = [port for port in (IAM_PORT, SERVICE_PORT, SSH_PORT) if is_taken(port)]
        if taken:
            print(f"up: port {taken[0]} is in use on this machine", file=sys.stderr)
            return 1
        DIRECTORY.mkdir(mode=0o700, exist_ok=True)
        clean()
        with LOG.open("wb") as log:
            runner = subprocess.Popen(
                [sys.executable, "-m", "demo_site.standing", "run"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        try:
            wait_for(lambda: STATE.exists() or runner.poll() is not None or None, START_SECONDS)
        except PrivateHostError:
            runner.terminate()
        if not STATE.exists():
            print(f"up: the site did not start; the end of {LOG}:", file=sys.stderr)
            print("\n".join(LOG.read_text().splitlines()[-20:]), file=sys.stderr)
            return 1
    print(usage())
    return 0


def down() -> int:
    """Ends the site. Nothing of it remains."""
    pid = running_pid()
    if pid is None:
        print("down: the site is not running")
    else:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: running_pid() is None or None, STOP_SECONDS, "the site's end")
        print("down: the site has ended")
    if DIRECTORY.exists():
        clean()
        LOG.unlink(missing_ok=True)
        if not any(DIRECTORY.iterdir()):
            DIRECTORY.rmdir()
    return 0


def run() -> int:
    """The runner: holds the private host until it is told to stop."""
    stopped: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopped.append(number))
    with PrivateHost(net=False, hostname="login1") as host:
        site = start_site(host)
        site.provision("--no-progress").check()
        site.wait_for_revision()
        write_private(KNOWN_HOSTS, site.sshd.known_hosts + "\n")
        write_private(ADMIN_KEY, site.admin_key() + "\n")
        write_private(STATE, json.dumps({"pid": os.getpid()}))
        while not stopped:
            time.sleep(0.2)
    return 0


def usage() -> str:
    """What one types to use the site."""
    python = os.path.relpath(sys.executable)
    mint = f"{python} -m iam_simulator token --url {IAM_URL} --person alice"
    token, hosts = os.path.relpath(TOKEN), os.path.relpath(KNOWN_HOSTS)
    askpass = os.path.relpath(PACKAGE / "askpass")
    return f"""\
The demo site is running: an IAM, the idmap service and one login node.

A token for alice (also erin, whose --profile wlcg --groups token is longer than 1023 bytes):
  (umask 077; {mint} --audience {SSH_AUDIENCE} >{token})

Log in with it, by askpass; or leave the three variables out and paste the token:
  IDMAP_TOKEN_FILE={token} SSH_ASKPASS={askpass} SSH_ASKPASS_REQUIRE=force \\
    ssh -o UserKnownHostsFile={hosts} -o StrictHostKeyChecking=yes -p {SSH_PORT} alice@127.0.0.1

The host key, for your own known_hosts:
  {KNOWN_HOSTS.read_text().strip()}

The API (OpenAPI at {SERVICE_URL}/openapi.json):
  printf 'header = "Authorization: Bearer %s"' "$({mint} --audience {API_AUDIENCE})" |
    curl --config - {SERVICE_URL}/v1/me

Administration:
  export IDMAP_URL={SERVICE_URL} IDMAP_KEY_FILE={os.path.relpath(ADMIN_KEY)}
  .venv/bin/idmap accounts list
  .venv/bin/idmap bans add --account alice --reason "trying it out"

make down ends it."""


def running_pid() -> int | None:
    """The runner's process id, when it is alive and ours."""
    try:
        pid = int(json.loads(STATE.read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, KeyError):
        return None
    return pid if b"demo_site.standing" in command else None


def is_taken(port: int) -> bool:
    """Whether somebody listens on that loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def write_private(path: Path, text: str) -> None:
    """A file only its owner reads."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)


def clean() -> None:
    """Removes what an earlier site left in its directory, but for the log."""
    for path in DIRECTORY.iterdir():
        if path != LOG:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    sys.exit({"up": up, "down": down, "run": run}[sys.argv[1]]())

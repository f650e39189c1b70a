"""Starting the simulator inside a test: a context manager and what it yields.

    with running_simulator(population="small") as iam:
        token = iam.token("alice", profile="wlcg", groups=True)
        iam.change("join", person="heidi", group="demo/compute")

The simulator runs as a child process on a free loopback port with `--control`. It is stopped by its
own process id, and it stops by itself when the test process ends without stopping it.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .control_client import ControlClient, ControlError
from .records import GroupId, PersonId, group_id, person_id

READY_SECONDS = 30.0
# Generous: a population of 100,000 on a shared machine of two cores takes several seconds.

STOP_SECONDS = 5.0

START_ATTEMPTS = 3
# Another process can take the free port between our look and the simulator's bind.


class SimulatorFailed(RuntimeError):
    """The simulator did not start; the message ends with what it wrote."""


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """A simulator that answers. `url` has no trailing slash; `issuer` is exactly what tokens say."""

    url: str
    issuer: str
    process_id: int
    client_secrets: Mapping[str, str] = field(repr=False)
    _control: ControlClient = field(repr=False)

    def token(self, person: str | None = None, **options: Any) -> str:
        """A person's access token; `options` are the fields of `POST /simulator/token`."""
        return str(self.mint(person, **options)["access_token"])

    def mint(self, person: str | None = None, **options: Any) -> dict[str, Any]:
        """As `token`, with `bytes` and `claims` beside `access_token`."""
        return self.control("POST", "token", {"person": person, **options})

    def client_token(self, client_id: str = "idmap-both", scope: str | None = None) -> str:
        """A client's own token, through the real token endpoint."""
        return self._control.client_token(client_id, self.client_secrets[client_id], scope)

    def change(self, action: str, **fields: Any) -> None:
        """A change at once; `fields` are those of `POST /simulator/changes`."""
        self.control("POST", "changes", {"action": action, **fields})

    def fault(self, path_prefix: str, **fields: Any) -> None:
        """Order a fault; `fields` are those of `POST /simulator/faults`."""
        self.control("POST", "faults", {"path_prefix": path_prefix, **fields})

    def reset(self) -> None:
        """Lift all faults and count requests from zero; records, tokens and keys stay."""
        self.control("DELETE", "faults")
        self.control("DELETE", "requests")

    def request_counts(self) -> dict[str, int]:
        """Requests since the start or the last reset, by "METHOD /path/{parameter}"."""
        counts: dict[str, int] = self.control("GET", "requests")["counts"]
        return counts

    def control(self, method: str, name: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Any call to `/simulator/<name>`. Raises `ControlError` when refused."""
        return self._control.call(method, name, body)

    def person_id(self, username: str) -> PersonId:
        """The UUID of a person created under `username`: the `sub` of their tokens."""
        return person_id(username)

    def group_id(self, path: str) -> GroupId:
        """The UUID of a group created at `path`."""
        return group_id(path)


@contextmanager
def running_simulator(
    *,
    population: str | int | Path = "small",
    seed: int = 1,
    profile: str = "iam",
    list_order: str = "window",
    include_authn_info: bool = False,
    issuer: str | None = None,
    base_url: str | None = None,
    port: int | None = None,
    key_file: Path | None = None,
    clients_file: Path | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    more_arguments: Sequence[str] = (),
) -> Iterator[RunningSimulator]:
    """Run a simulator for the length of a `with` block.

    Without `issuer` the tokens name the simulator's own address with a slash. With one, links and
    endpoints still lead to the simulator unless `base_url` says otherwise. Raises `SimulatorFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="iam-simulator-") as directory:
        clients_file = clients_file or Path(directory, "clients.json")
        arguments = [
            *("--population", str(population), "--seed", str(seed)),
            *("--profile", profile, "--list-order", list_order),
            *("--clients-file", str(clients_file), "--control", "--stop-with-stdin"),
            *more_arguments,
        ]
        if include_authn_info:
            arguments.append("--include-authn-info")
        for option, value in (
            ("--issuer", issuer),
            ("--key-file", key_file),
            ("--tls-cert", tls_cert),
            ("--tls-key", tls_key),
        ):
            if value is not None:
                arguments += [option, str(value)]
        log = Path(directory, "log")
        scheme = "http" if tls_cert is None else "https"
        for attempt in range(1, START_ATTEMPTS + 1):
            chosen = port or _free_port()
            url = f"{scheme}://127.0.0.1:{chosen}"
            control = ControlClient(url, tls_cert)
            process = _start(
                [*arguments, "--port", str(chosen), "--base-url", base_url or url], log
            )
            try:
                health = _wait_until_ready(process, control, log)
                if health is None and attempt < START_ATTEMPTS:
                    continue
                if health is None:
                    raise SimulatorFailed(log.read_text(errors="replace")[-4000:])
                yield RunningSimulator(
                    url, str(health["issuer"]), process.pid, _secrets(clients_file), control
                )
                return
            finally:
                _stop(process)


def _start(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    package_parent = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(package_parent)}
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own module, our own interpreter
            [sys.executable, "-m", "iam_simulator", *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def _wait_until_ready(
    process: subprocess.Popen[bytes], control: ControlClient, log: Path
) -> dict[str, Any] | None:
    """What `health` says once *this* process answers; None when it has ended."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return None
        try:
            health = control.call("GET", "health")
        except (OSError, ControlError):
            time.sleep(0.02)
            continue
        if health["pid"] == process.pid:
            return health
        return None
    raise SimulatorFailed(
        f"not ready in {READY_SECONDS} s: {log.read_text(errors='replace')[-4000:]}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop this very process, gently and then firmly."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _secrets(clients_file: Path) -> dict[str, str]:
    clients = json.loads(clients_file.read_text())["clients"]
    return {client["client_id"]: client["client_secret"] for client in clients}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

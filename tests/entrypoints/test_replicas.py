"""Two replicas of the service on one PostgreSQL: what one is told, the other does; and one of them is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from iam_simulator.testing import RunningSimulator, running_simulator
from idmap.adapters.sql import SqlRegistry
from idmap.application.ports import Author
from idmap.application.provision import LEASE
from idmap.domain.doors import parse_door
from idmap.domain.identity import Issuer
from idmap.domain.issuers import GroupsDialect, IssuerProfile
from idmap.domain.numbers import NumberRange, RangePurpose
from tests.support.postgresql import cluster
from tests.support.provisioning import ISSUER, RULES

pytestmark = pytest.mark.timeout(300)

AUDIENCE = "https://portal.example.org"
DOOR = "component:portal"


@dataclass
class Replica:
    """One host's `idmap serve` with its children, and what it keeps on that host."""

    name: str
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    stream: list[str] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.directory / "idmap.toml"

    def idmap(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "idmap", *words, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            command = [sys.executable, "-m", "idmap", "serve", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(lambda: self.ask("GET", "/readyz")[0] == 200, self.log)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)
            self.process = None

    def log(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-4000:]

    def ask(
        self, method: str, path: str, bearer: str = "", body: object = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and document; 0 when nobody answers."""
        headers = {"Authorization": f"Bearer {bearer}", "Idmap-Reason": "a test"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"{}")
        except OSError:
            return 0, {}

    def listen(self, bearer: str) -> None:
        """Collects the stream of events in the background, until the service ends."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/events", headers={"Authorization": f"Bearer {bearer}"}
        )

        def collect() -> None:
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    for line in answer:
                        self.stream.append(line.decode().strip())
            except OSError:
                pass

        threading.Thread(target=collect, daemon=True).start()


@dataclass
class World:
    """Two replicas, an issuer, and the credentials that the scenes need."""

    iam: RunningSimulator
    one: Replica
    other: Replica
    admin: str = ""
    component: str = ""
    node: str = ""

    def resolve(self, replica: Replica, token: str) -> tuple[int, dict[str, Any]]:
        body = {"token": token, "door": DOOR}
        return replica.ask("POST", "/v1/resolve", self.component, body)


def until(condition: Callable[[], bool], explain: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.01)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def make_replica(name: str, directory: Path, url: str, iam: RunningSimulator) -> Replica:
    replica = Replica(name, directory, free_port())
    directory.mkdir(mode=0o700)
    secret = directory / "iam.secret"
    secret.touch(0o600)
    secret.write_text(iam.client_secrets["idmap-admin"] + "\n")
    replica.config.write_text(
        f"""
realm = "test"
[registry]
url = "{url}"
marks_directory = "{directory}"
[serve]
port = {replica.port}
[sign]
socket = "{directory}/sign.sock"
keys_directory = "{directory}/keys"
[snapshot]
directory = "{directory}/snapshot"
[issuer_keys]
directory = "{directory}/issuers"
[schedule]
enabled = false
[sources.iam]
kind = "indigo-iam"
issuer = "{iam.issuer}"
url = "{iam.url}"
client_id = "idmap-admin"
client_secret_file = "{secret}"
"""
    )
    return replica


def prepare(registry: SqlRegistry, issuer: Issuer) -> None:
    text = json.dumps(RULES).replace("demo/data", "demo/gpu/debug").replace(ISSUER, issuer)
    audiences = {parse_door(DOOR): frozenset({AUDIENCE})}
    with registry.write(Author("test", "a new site")) as writer:
        claims = {"wlcg.groups": GroupsDialect.PATH, "groups": GroupsDialect.PATH}
        writer.save_issuer(IssuerProfile(issuer, audiences, groups_claims=claims))
        writer.add_range(NumberRange("people", RangePurpose.PEOPLE, 200_000, 299_999))
        writer.add_range(NumberRange("groups", RangePurpose.GROUPS, 300_000, 300_999))
        writer.save_rules(json.loads(text), expect_version=None)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("replicas")
    database = cluster().make_database()
    url = cluster().url(database)
    with running_simulator() as iam:
        world = World(
            iam,
            make_replica("one", place / "one", url, iam),
            make_replica("other", place / "other", url, iam),
        )
        made = world.one.idmap("init", "--key-file", str(place / "admin.key"))
        assert made.returncode == 0, made.stderr
        # Replicas sign with the same keys: nodes pin them.
        shutil.copytree(world.one.directory / "keys", world.other.directory / "keys")
        world.admin = (place / "admin.key").read_text().strip()
        registry = SqlRegistry.open(url, marks_directory=place)
        prepare(registry, Issuer(iam.issuer))
        registry.close()
        done = world.one.idmap("provision", "run", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        try:
            world.one.start()
            world.other.start()
            yield world
        finally:
            world.one.end()
            world.other.end()
            cluster().drop_database(database)


def test_init_of_the_second_replica_finds_a_registry(world: World, tmp_path: Path) -> None:
    again = world.other.idmap("init", "--key-file", str(tmp_path / "admin.key"))
    assert again.returncode == 1
    assert "is a registry already" in again.stderr + again.stdout
    assert not (tmp_path / "admin.key").exists()
    upgraded = world.other.idmap("db", "upgrade")
    assert upgraded.returncode == 0, upgraded.stdout + upgraded.stderr
    checked = world.other.idmap("db", "check")
    assert checked.returncode == 0, (
        "a host without marks of its own is no damage: " + checked.stdout
    )


def test_what_one_replica_is_told_the_other_does(world: World) -> None:
    """Credentials, decisions and bans; the answers of both are remembered ones when the ban comes."""
    body = {"name": "portal", "doors": [DOOR]}
    status, made = world.one.ask("POST", "/v1/components", world.admin, body)
    assert status == 201, made
    world.component = str(made["secret"])
    status, made = world.one.ask(
        "POST", "/v1/nodes", world.admin, {"name": "login1", "node_class": "login"}
    )
    assert status == 201, made
    world.node = str(made["secret"])

    token = world.iam.token("alice", profile="wlcg", groups=True, audience=AUDIENCE)
    until(lambda: world.resolve(world.other, token)[0] == 200, world.other.log)
    answers = [
        world.resolve(replica, token)[1] for replica in (world.one, world.other) for _ in "ab"
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["username"] == "alice"

    world.other.listen(world.node)
    until(lambda: "event: bans" in world.other.stream, world.other.log)
    sent = world.other.stream.count("event: bans")
    status, ban = world.one.ask(
        "POST", "/v1/bans", world.admin, {"account": "alice", "reason": "stolen"}
    )
    assert status == 201, ban
    until(lambda: world.resolve(world.other, token)[0] == 403, world.other.log)
    until(lambda: world.other.stream.count("event: bans") > sent, world.other.log)
    assert world.resolve(world.one, token)[0] == 403
    status, _ = world.other.ask("DELETE", f"/v1/bans/{ban['id']}", world.admin)
    assert status in {200, 204}
    until(lambda: world.resolve(world.one, token)[0] == 200, world.one.log)


def test_one_run_at_a_time_across_replicas(world: World) -> None:
    registry = SqlRegistry.open(cluster_url(world), marks_directory=world.one.directory)
    assert registry.take_lease(LEASE, "one", at=int(time.time()), seconds=3600)
    done = world.other.idmap("provision", "run", "--json")
    assert "already_running" in done.stdout + done.stderr
    registry.release_lease(LEASE, "one")
    registry.close()
    done = world.other.idmap("provision", "run", "--json")
    assert done.returncode == 0, done.stdout + done.stderr


def cluster_url(world: World) -> str:
    for line in world.one.config.read_text().splitlines():
        if line.startswith("url = "):
            return line.split('"')[1]
    raise AssertionError(line)


def test_one_replica_is_killed_and_the_other_goes_on(world: World) -> None:
    assert world.one.process is not None
    os.kill(world.one.process.pid, signal.SIGKILL)
    world.one.end(signal.SIGKILL)
    token = world.iam.token("alice", profile="wlcg", groups=True, audience=AUDIENCE)
    assert world.one.ask("GET", "/readyz")[0] == 0
    assert world.resolve(world.other, token)[0] == 200
    sent = world.other.stream.count("event: bans")
    body = {"account": "alice", "reason": "stolen again"}
    status, ban = world.other.ask("POST", "/v1/bans", world.admin, body)
    assert status == 201, ban
    assert world.resolve(world.other, token)[0] == 403
    until(lambda: world.other.stream.count("event: bans") > sent, world.other.log)
    world.one.start()
    assert world.resolve(world.one, token)[0] == 403, "and it comes back to what is"

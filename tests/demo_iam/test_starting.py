"""Starting, stopping, files, TLS and the command line."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.types import Message

from iam_simulator.app import create_app
from iam_simulator.control_client import ControlClient, ControlError
from iam_simulator.instance import Instance, Settings
from iam_simulator.population import build_directory
from iam_simulator.testing import SimulatorFailed, running_simulator

Get = Callable[..., Any]
PACKAGE_PARENT = Path(__file__).parents[2] / "deploy" / "demo" / "iam"


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [sys.executable, "-m", "iam_simulator", *arguments],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_simulator_is_gone_after_its_block() -> None:
    """Its process has ended and its port answers nobody."""
    with running_simulator() as iam:
        assert iam.control("GET", "health")["pid"] == iam.process_id
    with pytest.raises(ProcessLookupError):
        os.kill(iam.process_id, 0)
    with pytest.raises(OSError, match="refused"):
        iam.control("GET", "health")


def test_a_simulator_stops_when_its_standard_input_ends() -> None:
    """So it does not outlive the tests that forgot it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "iam_simulator", "--port", "0", "--stop-with-stdin"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE_PARENT)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert process.stderr.readline().startswith(b"iam_simulator: http://127.0.0.1:")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors


def test_a_failed_start_says_why(tmp_path: Path) -> None:
    """The simulator's own words are in the error."""
    with (
        pytest.raises(SimulatorFailed, match=r"none\.json"),
        running_simulator(population=tmp_path / "none.json"),
    ):
        pass


def test_keys_and_secrets_are_written_0600_and_survive_a_restart(tmp_path: Path) -> None:
    """A token of the first run verifies with the keys of the second."""
    keys, clients = tmp_path / "keys.json", tmp_path / "clients.json"
    with running_simulator(key_file=keys, clients_file=clients) as first:
        token = first.token("alice")
        secrets = dict(first.client_secrets)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (keys, clients)} == {0o600}
    with running_simulator(key_file=keys, clients_file=clients) as second:
        key = jwt.PyJWKClient(f"{second.url}/jwk").get_signing_key_from_jwt(token)
        assert jwt.decode(token, key, algorithms=["RS256"])["sub"] == second.person_id("alice")
        assert dict(second.client_secrets) == secrets


@pytest.mark.parametrize("option", ["--key-file", "--clients-file"])
def test_a_secret_file_that_others_may_read_is_refused(tmp_path: Path, option: str) -> None:
    """With the next step to take."""
    path = tmp_path / "secret"
    path.write_text("{}")
    path.chmod(0o644)
    ended = command("--port", "0", option, str(path))
    assert ended.returncode == 1
    assert "chmod 600" in ended.stderr


@pytest.mark.parametrize("option", ["--key-file", "--clients-file"])
def test_a_broken_secret_file_is_not_quoted(tmp_path: Path, option: str) -> None:
    """The error names the file's kind of trouble, not its content."""
    path = tmp_path / "secret"
    path.write_text('{"clients": [{"client_secret": "hunter2"}], "keys": ["hunter2"]}')
    path.chmod(0o600)
    ended = command("--port", "0", option, str(path))
    assert ended.returncode == 1
    assert "hunter2" not in ended.stderr


def test_without_control_there_is_no_control() -> None:
    """The paths are not in the application; with it, only loopback peers are answered."""
    settings = Settings("http://x/", "http://x", "http://x/", population="0")
    closed = create_app(Instance(settings))
    assert asyncio.run(status_of(closed, "/simulator/health", "127.0.0.1")) == 404
    opened = create_app(Instance(replace(settings, control=True)))
    assert asyncio.run(status_of(opened, "/simulator/health", "127.0.0.1")) == 200
    assert asyncio.run(status_of(opened, "/simulator/health", "192.0.2.7")) == 403


async def status_of(app: Starlette, path: str, peer: str) -> int:
    """The status an application gives a peer, without a server."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}
    await app({**scope, "client": (peer, 4000)}, receive, send)
    return int(sent[0]["status"])


def test_the_token_command_prints_the_token_alone() -> None:
    """Ready for `TOKEN=$(…)`."""
    with running_simulator() as iam:
        ended = command(
            *("token", "--url", iam.url, "--person", "alice", "--profile", "wlcg", "--groups"),
            *("--audience", "ssh://demo", "--claim", "acr=mfa", "--lifetime", "60"),
        )
        refused = command("token", "--url", iam.url, "--person", "nobody")
    assert (ended.returncode, ended.stderr) == (0, "")
    claims = jwt.decode(ended.stdout.strip(), options={"verify_signature": False})
    assert claims["aud"] == "ssh://demo"
    assert claims["acr"] == "mfa"
    assert claims["wlcg.groups"][0] == "/demo"
    assert claims["exp"] - claims["iat"] == 60
    assert refused.returncode == 1
    assert "404" in refused.stderr


def test_a_population_can_come_from_a_file(tmp_path: Path, get: Get) -> None:
    """Groups, people and their times as written."""
    path = tmp_path / "population.json"
    person = {"username": "zoe", "groups": ["vo/a"], "end_time": "2030-01-01T00:00:00+02:00"}
    path.write_text(json.dumps({"groups": [{"path": "vo/a"}], "people": [person]}))
    with running_simulator(population=path) as iam:
        (zoe,) = get(iam, "/scim/Users").json()["Resources"]
    assert [group["display"] for group in zoe["groups"]] == ["vo", "vo/a"]
    extension = zoe["urn:indigo-dc:scim:schemas:IndigoUser"]
    assert extension["endTime"] == "2030-01-01T00:00:00.000+02:00"


def test_a_generated_population_depends_on_size_and_seed_alone() -> None:
    """The same twice; another seed gives others the same usernames and UUIDs."""
    one, same, other = (build_directory("500", seed) for seed in (1, 1, 2))
    assert one.list_people() == same.list_people()
    assert one.list_people() != other.list_people()
    assert [p.id for p in one.list_people()] == [p.id for p in other.list_people()]


def test_a_large_population_is_built_in_seconds() -> None:
    """100,000 people; more are refused."""
    start = time.monotonic()
    assert len(build_directory("100000", 1).list_people()) == 100_000
    assert time.monotonic() - start < 30
    with pytest.raises(ValueError, match="at most"):
        build_directory("100001", 1)


def test_tls_is_served_with_a_given_certificate(tmp_path: Path) -> None:
    """The control client and PyJWT reach it over https."""
    cert, key = self_signed(tmp_path)
    with running_simulator(tls_cert=cert, tls_key=key) as iam:
        assert iam.url.startswith("https://")
        assert iam.issuer == f"{iam.url}/"
        assert iam.token("alice").count(".") == 2
        with pytest.raises(httpx2.ConnectError):
            httpx2.get(f"{iam.url}/jwk", trust_env=False)
        with pytest.raises((OSError, ControlError)):
            ControlClient(iam.url.replace("https", "http")).call("GET", "health")


def self_signed(directory: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, in files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file

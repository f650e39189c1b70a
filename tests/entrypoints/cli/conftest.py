"""A running service for the administrators' commands, over TLS, and a runner for them."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from idmap.entrypoints.cli import (
    accounts,
    audit,
    bans,
    components,
    groups,
    identities,
    issuers,
    nodes,
    ranges,
    rules,
)
from idmap.entrypoints.cli.explain import explain
from idmap.entrypoints.http.server import run_server
from tests.entrypoints.http.site import Site, make_site

SUB_APPS = {
    "issuers": issuers.app,
    "rules": rules.app,
    "ranges": ranges.app,
    "accounts": accounts.app,
    "groups": groups.app,
    "identities": identities.app,
    "bans": bans.app,
    "nodes": nodes.app,
    "components": components.app,
    "audit": audit.app,
}


def whole_app() -> typer.Typer:
    """The commands as main.py registers them."""
    app = typer.Typer()
    for name, sub_app in SUB_APPS.items():
        app.add_typer(sub_app, name=name)
    app.command("explain")(explain)
    return app


@dataclass
class Service:
    """A site that is served, and an administrator's shell."""

    site: Site
    url: str
    ca_file: Path
    key_file: Path

    def run(self, *arguments: str, **options: Any) -> Result:
        """One command with the right options."""
        common = [
            "--url",
            self.url,
            "--ca-file",
            str(self.ca_file),
            "--key-file",
            str(self.key_file),
        ]
        return CliRunner().invoke(whole_app(), [*arguments, *common], **options)

    def json(self, *arguments: str) -> Any:
        """One command that succeeds, as JSON."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


def _certificate(directory: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idmap test")])
    now = datetime.datetime.now(tz=datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "tls.pem", directory / "tls.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate_file, key_file


def _serve(site: Site, port: int, tls: tuple[Path, Path]) -> Callable[[], None]:
    """Serves in a thread of its own; gives what ends it."""
    ready = threading.Event()
    handle: dict[str, Any] = {}

    async def run() -> None:
        handle["loop"], handle["stop"] = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        settings = SimpleNamespace(
            listen="127.0.0.1",
            port=port,
            tls_certificate=tls[0],
            tls_key=tls[1],
            behind_proxy=False,
        )
        await run_server(site.app, settings, handle["stop"])

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    ready.wait(10)
    for _ in range(500):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)

    def end() -> None:
        handle["loop"].call_soon_threadsafe(handle["stop"].set)
        thread.join(10)
        assert not thread.is_alive()

    return end


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A fresh site, served over TLS on loopback."""
    for name in ("IDMAP_URL", "IDMAP_KEY_FILE", "IDMAP_CA_FILE"):
        monkeypatch.delenv(name, raising=False)
    tls = _certificate(tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    for site in make_site(tmp_path):
        key_file = tmp_path / "admin.key"
        key_file.touch(mode=0o600)
        key_file.write_text(site.secrets["bootstrap"])
        end = _serve(site, port, tls)
        try:
            # The service's own log is another program's output.
            with capture_logs():
                yield Service(site, f"https://127.0.0.1:{port}", tls[0], key_file)
        finally:
            end()

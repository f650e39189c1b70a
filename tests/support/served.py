"""A real `idmap serve` in a process of its own, and a wire to it that breaks when a test says so."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from idmap.adapters.sql import SqlRegistry
from idmap.application.administer import add_admin_key
from idmap.application.ports import Author
from idmap.domain.secrets import Secret
from idmap.entrypoints.bootstrap import make_secret
from tests.support.registry_scenes import NOW, furnish, opening, person

ROOT = Path(__file__).parents[2]
WHY = Author("test", "set up the site")
_MAIN = "import sys; sys.argv[0] = 'idmap'; from idmap.entrypoints.cli.main import main; main()"


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Served:
    """A site of its own: registry, admin key, accounts `alice`, `bob` and `carol`; and its service."""

    directory: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    secret: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key_file(self) -> Path:
        return self.directory / "admin.key"

    def set_up(self) -> None:
        """Makes registry, key and settings."""
        url = f"sqlite:///{self.directory}/registry.db"
        registry = SqlRegistry.create(url)
        furnish(registry)
        with registry.write(WHY) as writer:
            for name in ("alice", "bob", "carol"):
                writer.open_account(opening(person(name), name))
        self.secret = add_admin_key(registry, WHY, make_secret, "bootstrap", NOW).reveal()
        registry.close()
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(self.secret)
        (self.directory / "idmap.toml").write_text(
            f'realm = "test"\n[registry]\nurl = "{url}"\n'
            f'[snapshot]\ndirectory = "{self.directory}/snapshot"\n'
            f'[issuer_keys]\ndirectory = "{self.directory}/issuers"\n'
            f"[serve]\nport = {self.port}\nstart_children = false\n"
        )

    def start(self, before: str = "") -> None:
        """Starts the service and waits until it answers; `before` is Python that runs first in its process."""
        command = [sys.executable, "-c", f"{before}\n{_MAIN}", "serve"]
        with (self.directory / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--config", str(self.directory / "idmap.toml")],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        for _ in range(600):
            if self.process.poll() is not None:
                raise AssertionError((self.directory / "serve.log").read_text())
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the service does not answer")

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.send_signal(signal.SIGKILL)
            self.process.wait(20)

    def ask(
        self, method: str, path: str, *, port: int | None = None, **more: object
    ) -> httpx2.Response:
        """One request of the administrator."""
        headers = {
            "Authorization": f"Bearer {Secret(self.secret).reveal()}",
            "Idmap-Reason": "test",
        }
        headers |= more.pop("headers", {})  # type: ignore[arg-type]  # the tests' own
        url = f"http://127.0.0.1:{port or self.port}{path}"
        with httpx2.Client(timeout=30, trust_env=False) as client:
            return client.request(method, url, headers=headers, **more)  # type: ignore[arg-type]  # as above


@contextmanager
def served(directory: Path, before: str = "") -> Iterator[Served]:
    """A service that is gone afterwards."""
    site = Served(directory)
    site.set_up()
    site.start(before)
    try:
        yield site
    finally:
        site.kill()


@contextmanager
def breaking_wire(port: int, breaks: Callable[[bytes], bool]) -> Iterator[tuple[int, list[bytes]]]:
    """A port that leads to another. Where `breaks` is true of what the service answers, nothing of it arrives.

    Gives the port and what was swallowed.
    """
    swallowed: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.1)
    stop = threading.Event()

    def carry(near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", port)) as far:
            near.settimeout(20)
            far.settimeout(20)
            while request := near.recv(65536):
                far.sendall(request)
                while not _whole(request):
                    more = near.recv(65536)
                    request += more
                    far.sendall(more)
                answer = far.recv(65536)
                if breaks(answer):
                    swallowed.append(answer)
                    return
                near.sendall(answer)

    def accept() -> None:
        while not stop.is_set():
            try:
                near, _ = listener.accept()
            except TimeoutError:
                continue
            try:
                carry(near)
            except OSError:
                near.close()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield int(listener.getsockname()[1]), swallowed
    finally:
        stop.set()
        thread.join(30)
        listener.close()


def _whole(request: bytes) -> bool:
    head, _, body = request.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return True


def killing(where: str) -> str:
    """Python that ends the service's process at a moment of its first change: `before` or `after` its commit."""
    assert where in {"before", "after"}
    name = {"before": "_describe", "after": "_finish"}[where]
    owner = {"before": "changing", "after": "changing.OneChange"}[where]
    done = {"before": "", "after": "original(*given)"}[where]
    return os.linesep.join(
        [
            "import os, signal",
            "from idmap.entrypoints.http import changing",
            f"original = {owner}.{name}",
            "def dying(*given):",
            f"    {done or 'pass'}",
            "    os.kill(os.getpid(), signal.SIGKILL)",
            f"{owner}.{name} = dying",
        ]
    )

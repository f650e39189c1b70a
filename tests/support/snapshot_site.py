"""A small service and one node around it, on loopback: real keys, real store, real idmap-compile, a registry in memory.

`SnapshotSite` is what a test changes: registry, clocks, what the server answers. The signer works in this process.
"""

from __future__ import annotations

import hashlib
import json
import queue
import struct
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from idmap.adapters.snapshot.keys import Role, generate_keys, load_keys
from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.application.install_state import NOT_REACHED, Reached
from idmap.application.publish import Publisher
from idmap.domain.accounts import Account
from idmap.domain.manifest import encode_envelope
from idmap.entrypoints.agent.assemble import Agent, assemble
from idmap.entrypoints.settings import AgentSettings
from idmap.entrypoints.sign.refusals import Limits
from idmap.entrypoints.sign.signing import Desk
from idmap.entrypoints.sign.state import SignerState
from tests.support.registries import make_registry
from tests.support.registry_scenes import AUTHOR, furnish, open_one, opening, person

ROOT = Path(__file__).resolve().parents[2]
REALM = "a-site"
START = 1_800_000_000
CREDENTIAL = "node-credential-of-a-test"
JWK = {"kty": "RSA", "kid": "k1", "n": "AQAB", "e": "AQAB"}


def compiler() -> Path:
    """The real idmap-compile, built when it is missing."""
    program = ROOT / "build" / "c" / "idmap-compile"
    if not program.exists():
        subprocess.run(["make", "-C", str(ROOT / "pam_module")], check=True, capture_output=True)
    return program


class SetClock:
    """A clock that a test sets."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


class SnapshotSite:
    """The service, and settings of a node that follows it."""

    def __init__(self, directory: Path, start: int = START) -> None:
        self.directory = directory
        self.clock = SetClock(start)
        self.node_clock = SetClock(start)
        self.registry = make_registry(self.clock)
        furnish(self.registry)
        self.keys_directory = directory / "keys"
        generate_keys(self.keys_directory)
        self.keys = load_keys(self.keys_directory)
        self.store = DirectorySnapshotStore(directory / "snapshot")
        self.trusted_keys: dict[str, tuple[dict[str, Any], ...]] = {}
        self.desk = self.make_desk()
        self.publisher = self.make_publisher()
        self.server = FakeService(self.store)
        self.node = directory / "node"
        self.passwd, self.group = directory / "passwd", directory / "group"
        self.passwd.write_text("root:x:0:0:root:/root:/bin/sh\n")
        self.group.write_text("root:x:0:\n")
        credential = directory / "node.key"
        credential.write_text(CREDENTIAL)
        credential.chmod(0o600)
        self.credential_file = credential

    def make_desk(self, **limits: Any) -> Desk:
        """A signer's desk on this site's keys and state file."""
        given = {"realm": REALM, "lifetime_seconds": 72 * 3600, "max_shrink_percent": 30} | limits
        return Desk(
            limits=Limits(**given),
            keys=self.keys,
            state=SignerState(self.keys_directory / "signer-state.json"),
            read_chunk=lambda sha256: self.store.read_chunk(sha256, restricted=False),
            read_trust_chunk=lambda sha256: self.store.read_chunk(sha256, restricted=True),
            clock=self.clock,
        )

    def make_publisher(self) -> Publisher:
        """A publisher as after a restart."""
        return Publisher(
            realm=REALM,
            registry=self.registry,
            store=self.store,
            signer=self.desk,
            trusted_keys=lambda profile: self.trusted_keys.get(profile.issuer, (JWK,)),
            clock=self.clock,
        )

    def publish(self) -> None:
        """Everything, in the order of the real thing."""
        self.publisher.publish_bans()
        self.publisher.publish_snapshot()
        self.publisher.publish_heartbeat()

    def open_account(self, subject: str, name: str | None = None, **more: Any) -> Account:
        """One more account in the registry."""
        return open_one(self.registry, subject, name, **more)

    def open_accounts(self, count: int) -> None:
        """That many more accounts, in one transaction."""
        with self.registry.write(AUTHOR) as writer:
            for number in range(count):
                writer.open_account(opening(person(f"s-{number}"), f"p{number}x"))

    def ban(self, account: Account, until: int | None = None) -> int:
        """Bans an account; gives the ban's number."""
        with self.registry.write(AUTHOR) as writer:
            return writer.add_ban(
                account_id=account.account_id,
                identity=None,
                reason="a test",
                until=until,
                at=self.clock(),
            ).ban_id

    def ban_identity(self, subject: str) -> None:
        """Bans an identity, with or without an account."""
        with self.registry.write(AUTHOR) as writer:
            writer.add_ban(
                account_id=None, identity=person(subject), reason="t", until=None, at=self.clock()
            )

    def ban_what(self, *, until: int | None = None, **what: Any) -> int:
        """Bans a group, an issuer or one of its tokens; gives the ban's number."""
        with self.registry.write(AUTHOR) as writer:
            given = {"account_id": None, "identity": None} | what
            return writer.add_ban(reason="a test", until=until, at=self.clock(), **given).ban_id

    def lift(self, ban_id: int) -> None:
        """Lifts a ban."""
        with self.registry.write(AUTHOR) as writer:
            writer.lift_ban(ban_id)

    def settings(self, **more: Any) -> AgentSettings:
        """agent.toml of the node."""
        document: dict[str, Any] = {
            "realm": REALM,
            "node_class": "login",
            "service": {"url": self.server.url, "credential_file": str(self.credential_file)},
            "trust": {
                "manifest_keys": [str(self.keys[Role.MANIFEST].public)],
                "bans_keys": [str(self.keys[Role.BANS].public)],
            },
            "files": {
                "directory": str(self.node),
                "trust_group": "root",
                "compiler": str(compiler()),
                "passwd": str(self.passwd),
                "group": str(self.group),
            },
        }
        return AgentSettings.model_validate(document | more)

    def agent(self, reached: Reached = NOT_REACHED, **more: Any) -> Agent:
        """The node's agent, as after a restart."""
        agent = assemble(self.settings(**more), clock=self.node_clock, reached=reached)
        agent.files.prepare()
        self.server.clients.append(agent.client.close)
        return agent

    def write_config(self) -> Path:
        """agent.toml as a file."""
        settings = self.settings()
        lines = [f'realm = "{REALM}"', 'node_class = "login"', "poll_seconds = 1", "[service]"]
        lines += [f'url = "{self.server.url}"', f'credential_file = "{self.credential_file}"']
        lines += ["[trust]", f"manifest_keys = {json.dumps(settings.trust.manifest_keys)}"]
        lines += [f"bans_keys = {json.dumps(settings.trust.bans_keys)}", "[files]"]
        files = settings.files
        lines += [f'{k} = "{getattr(files, k)}"' for k in type(files).model_fields]
        path = self.directory / "agent.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def sign(self, role: Role, payload_type: str, payload: bytes) -> bytes:
        """An envelope signed by the site's real key, past every refusal of the signer."""
        return encode_envelope(self.keys[role].sign(payload_type, payload))

    def close(self) -> None:
        """Ends the server and every client."""
        self.server.close()


class FakeService:
    """The HTTP side as a node sees it (the routes that fetch.py asks), with faults on demand."""

    def __init__(self, store: DirectorySnapshotStore) -> None:
        self.store = store
        self.reports: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.faults: dict[str, Callable[[bytes], bytes]] = {}
        """Path, or its beginning → what becomes of the body."""
        self.short: set[str] = set()
        """Beginnings of paths whose answers break off in the middle."""
        self.streams: list[queue.Queue[bytes | None]] = []
        self.clients: list[Callable[[], None]] = []
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def send(self, name: str, data: bytes) -> None:
        """One event to every open stream."""
        for stream in list(self.streams):
            stream.put(b"event: " + name.encode() + b"\ndata: " + data + b"\n\n")

    def send_document(self, name: str) -> None:
        """The stored document as an event, as the HTTP side does."""
        data = self.store.read_document(name) or b""
        if name == "manifest":
            data = json.dumps({"revision": 0, "sha256": hashlib.sha256(data).hexdigest()}).encode()
        self.send(name, data)

    def end_streams(self) -> None:
        """Closes every stream."""
        for stream in list(self.streams):
            stream.put(None)

    def close(self) -> None:
        """Ends the server and the clients that asked it."""
        self.end_streams()
        for close in self.clients:
            close()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    service: FakeService
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        service, path = self.service, self.path
        service.asked.append(path)
        if path == "/v1/events":
            self._stream()
            return
        *_, kind, last = path.split("/")
        if path.startswith("/v1/snapshot/trust/"):
            if self.headers["Authorization"] != f"Bearer {CREDENTIAL}":
                self._answer(401, b"")
                return
            data = service.store.read_chunk(last, restricted=True)
        elif path.startswith("/v1/snapshot/chunks/"):
            data = service.store.read_chunk(last, restricted=False)
        else:
            data = service.store.read_document(last) if kind == "snapshot" else None
        if data is None:
            self._answer(404, b"")
            return
        for beginning, fault in service.faults.items():
            data = fault(data) if path.startswith(beginning) else data
        self._answer(200, data, short=any(path.startswith(p) for p in service.short))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.service.reports.append(json.loads(body))
        self._answer(204, b"")

    def _answer(self, status: int, data: bytes, *, short: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if short else data)
        self.close_connection = self.close_connection or short

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b": hello\n\n")
        stream: queue.Queue[bytes | None] = queue.Queue()
        self.service.streams.append(stream)
        try:
            while (part := stream.get()) is not None:
                self.wfile.write(part)
        except OSError:
            return
        finally:
            self.service.streams.remove(stream)
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the base class's name
        return


def installed_users(node: Path) -> dict[str, tuple[int, tuple[int, ...]]]:
    """username → (uid number, secondary gids) from a node's posix.db."""
    found = {}
    for record in _records(node / "posix.db", 0):
        uid, name_length, count = (
            struct.unpack_from("<I", record, 8)[0],
            record[16],
            struct.unpack_from("<I", record, 32)[0],
        )
        lengths = [name_length, *struct.unpack_from("<HHH", record, 18)]
        at = 40 + sum(lengths) + len(lengths)
        gids = struct.unpack_from(f"<{count}I", record, (at + 3) & ~3)
        found[record[40 : 40 + name_length].decode()] = (uid, gids)
    return found


def installed_groups(node: Path) -> dict[str, int]:
    """Group name → gid number from a node's posix.db."""
    return {
        record[24 : 24 + record[16]].decode(): struct.unpack_from("<I", record, 8)[0]
        for record in _records(node / "posix.db", 1)
    }


def _records(path: Path, section: int) -> list[bytes]:
    data = path.read_bytes()
    offset, size = struct.unpack_from("<QQ", data, 128 + 16 * section)
    end, records = offset + size, []
    while offset < end:
        length = struct.unpack_from("<I", data, offset + 4)[0]
        if length == 0:
            break
        records.append(data[offset : offset + length])
        offset += length
    return records

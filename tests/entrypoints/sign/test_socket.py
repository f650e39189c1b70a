"""`idmap sign` over its real socket."""

from __future__ import annotations

import base64
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from idmap.adapters.snapshot.keys import Role
from idmap.adapters.snapshot.sign_client import SocketSigner
from idmap.adapters.snapshot.sign_wire import receive_message, send_message
from idmap.adapters.snapshot.verify import PinnedVerifier
from idmap.domain.errors import Conflict, InvalidInput, Unavailable
from idmap.domain.manifest import BanList, Heartbeat, encode_bans, encode_envelope, encode_heartbeat
from idmap.domain.reasons import Reason
from idmap.entrypoints.settings import ServiceSettings, SignSettings, SnapshotSettings
from idmap.entrypoints.sign.main import run_signer
from tests.support.snapshot_site import REALM, SnapshotSite


@pytest.fixture
def settings(site: SnapshotSite) -> ServiceSettings:
    """The service's settings of the site."""
    return ServiceSettings(
        realm=REALM,
        sign=SignSettings(socket=site.directory / "sign.sock", keys_directory=site.keys_directory),
        snapshot=SnapshotSettings(directory=site.directory / "snapshot"),
    )


@pytest.fixture
def path(settings: ServiceSettings, site: SnapshotSite) -> Iterator[Path]:
    """The socket of a running signer that has signed nothing yet."""
    (site.keys_directory / "signer-state.json").unlink()
    stop = threading.Event()
    thread = threading.Thread(target=run_signer, args=(settings, stop))
    thread.start()
    path = settings.sign.socket
    while not _listens(path):
        time.sleep(0.01)
    yield path
    stop.set()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert not path.exists()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) == 0


def ask(path: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """One request past the client."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        send_message(connection, request)
        return receive_message(connection)


def test_what_the_signer_signs_holds_for_the_pinned_keys(path: Path) -> None:
    """Client, wire, server, keys and verifier together; the socket is for owner and group."""
    signer = SocketSigner(path)
    keys = signer.public_keys()
    verifier = PinnedVerifier(
        realm=REALM, manifest_keys=[keys["manifest"]], bans_keys=[keys["bans"]]
    )
    now = int(time.time())
    bans = BanList(REALM, 1, now, ((200_000, 0),))
    assert verifier.open_bans(encode_envelope(signer.sign_bans(encode_bans(bans)))) == bans
    beat = Heartbeat(REALM, now, 0, 1)
    envelope = encode_envelope(signer.sign_heartbeat(encode_heartbeat(beat)))
    assert verifier.open_heartbeat(envelope) == beat
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_refusal_comes_back_with_the_signers_words(path: Path) -> None:
    """For the log of who asked."""
    with pytest.raises(Conflict) as caught:
        SocketSigner(path).sign_bans(encode_bans(BanList(REALM, 1, 5, ())))
    assert caught.value.reason is Reason.SIGNER_REFUSED
    assert "signer's clock" in caught.value.detail


PAYLOAD = base64.b64encode(b"anything").decode()


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"type": "sign"},
        {"type": "sign_bytes", "payload": PAYLOAD},
        {"type": ["sign_bans"], "payload": PAYLOAD},
        {"type": "sign_bans"},
        {"type": "sign_bans", "payload": 7},
        {"type": "sign_bans", "payload": "***"},
        {"type": "sign_bans", "payload": PAYLOAD},
        {"type": "sign_bans", "payload": PAYLOAD, "payload_type": "text/plain"},
        {"type": "sign_manifest", "payload": PAYLOAD, "approve_shrink": "yes"},
        {"type": "public_keys", "private": True},
    ],
)
def test_nothing_is_signed_that_is_not_a_typed_request(
    path: Path, request_: dict[str, Any]
) -> None:
    """There is no request for bytes of the caller's choosing."""
    answer = ask(path, request_)
    assert answer is not None
    assert answer["ok"] is False
    assert answer["reason"] == "signer_refused"
    assert "envelope" not in answer


@pytest.mark.parametrize(
    "raw", [b"\xff\xff\xff\xff", struct.pack(">I", 3) + b"abc", struct.pack(">I", 2) + b"[]", b"\0"]
)
def test_a_broken_message_ends_the_connection_and_not_the_signer(path: Path, raw: bytes) -> None:
    """Too long, not JSON, no object, cut short."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(raw)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert SocketSigner(path).public_keys().keys() == {"manifest", "bans"}


def test_a_second_signer_does_not_take_the_first_ones_socket(
    path: Path, settings: ServiceSettings
) -> None:
    """Two signers would remember two histories."""
    with pytest.raises(InvalidInput):
        run_signer(settings, threading.Event())
    assert SocketSigner(path).public_keys()


def test_a_signer_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    """With its own reason, for the publisher to try again."""
    with pytest.raises(Unavailable) as caught:
        SocketSigner(tmp_path / "nobody.sock").public_keys()
    assert caught.value.reason is Reason.SIGNER_UNAVAILABLE


def test_the_signer_does_not_start_with_a_key_that_others_can_read(
    settings: ServiceSettings, site: SnapshotSite
) -> None:
    """It refuses; it does not repair."""
    (site.keys_directory / f"{Role.BANS}.key").chmod(0o640)
    with pytest.raises(InvalidInput):
        run_signer(settings, threading.Event())


def test_a_user_who_is_not_named_is_not_answered(path: Path) -> None:
    """The group may connect; the process that reads strangers' input is in it, and gets nothing (law 14)."""
    path.chmod(0o666)
    asks = (
        "import os, socket, sys; os.setuid(12345); s = socket.socket(socket.AF_UNIX); s.settimeout(5);"
        " s.connect(sys.argv[1]); print(len(s.recv(1)))"
    )
    for directory in path.parents:
        if "pytest-of-" in str(directory):
            directory.chmod(0o711)
    done = subprocess.run(
        [sys.executable, "-c", asks, str(path)], capture_output=True, text=True, timeout=20
    )
    assert done.stdout == "0\n", done.stderr
    assert ask(path, {"type": "public_keys"}) is not None

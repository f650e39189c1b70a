"""The verifier's socket server against honest, slow, hostile and unentitled peers."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog

from idmap.domain.secrets import Secret
from idmap.entrypoints.verify.protocol import (
    REPLY,
    Outcome,
    VerifyReply,
    VerifyRequest,
    parse_reply,
    serialise_request,
)
from idmap.entrypoints.verify.server import SocketError, VerifyServer, open_listener

REF = "0123456789abcdef"
REQUEST = serialise_request(VerifyRequest("anna", "::1", "sshd", Secret("t0ken")))
ME = frozenset({os.geteuid()})

Answering = Callable[[VerifyRequest], VerifyReply]


def accept(request: VerifyRequest) -> VerifyReply:
    """Everybody is who they say."""
    return VerifyReply.accept(request.username, 200017, REF)


@contextmanager
def serving(
    path: Path,
    answer: Answering = accept,
    *,
    allowed_uids: frozenset[int] = ME,
    concurrency: int = 4,
    read_timeout: float = 5.0,
) -> Iterator[VerifyServer]:
    """A server in a thread."""
    server = VerifyServer(
        open_listener(path, {}),
        answer,
        allowed_uids=allowed_uids,
        concurrency=concurrency,
        read_timeout=read_timeout,
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def connect(path: Path) -> socket.socket:
    """A peer with ten seconds of patience."""
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(10)
    peer.connect(str(path))
    return peer


def ask(path: Path, data: bytes = REQUEST) -> bytes:
    """Everything the server says to `data`."""
    with connect(path) as peer:
        peer.sendall(data)
        return drain(peer)


def drain(peer: socket.socket) -> bytes:
    """Reads until the server closes."""
    data = b""
    try:
        while more := peer.recv(4096):
            data += more
    except ConnectionResetError:
        pass  # closed while our bytes were unread
    return data


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the socket goes."""
    return tmp_path / "verify.sock"


def test_one_request_gets_one_reply_and_the_end(path: Path) -> None:
    """128 bytes, then the connection is closed."""
    with serving(path):
        data = ask(path)
    assert len(data) == REPLY.size
    assert parse_reply(data) == VerifyReply.accept("anna", 200017, REF)


def test_a_request_may_come_in_single_bytes(path: Path) -> None:
    """A stream has no message borders."""
    with serving(path), connect(path) as peer:
        for byte in REQUEST:
            peer.sendall(bytes([byte]))
        assert parse_reply(drain(peer)).outcome is Outcome.ACCEPTED


def test_a_peer_that_is_not_root_is_closed_unread(path: Path) -> None:
    """SO_PEERCRED decides before a byte is read."""
    seen: list[VerifyRequest] = []

    def answer(request: VerifyRequest) -> VerifyReply:
        seen.append(request)
        return accept(request)

    with serving(path, answer, allowed_uids=frozenset({os.geteuid() + 1})), connect(path) as peer:
        assert drain(peer) == b""
    assert seen == []


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"IDMV\0\2" + REQUEST[6:],
        b"IDMV\0\1\0\0" + REQUEST[8:],
        REQUEST[:12] + b"\xff\xff\xff\xff",
        REQUEST[:12] + b"\0\0\x40\x01",
        REQUEST[:-1] + b"\0",
        b"\0" * 16,
    ],
)
def test_what_does_not_parse_gets_no_answer(path: Path, data: bytes) -> None:
    """And the next request is served as if nothing had been."""
    with serving(path):
        assert ask(path, data) == b""
        assert ask(path) != b""


def test_a_peer_that_stalls_is_dropped_and_holds_up_nobody(path: Path) -> None:
    """The deadline is for the whole request, however it trickles."""
    with serving(path, read_timeout=2), connect(path) as stalled, connect(path) as trickling:
        stalled.sendall(REQUEST[:10])
        begun = time.monotonic()
        assert ask(path) != b""
        assert time.monotonic() - begun < 2
        trickling.sendall(REQUEST[:1])
        time.sleep(0.3)
        trickling.sendall(REQUEST[1:2])
        assert drain(stalled) == b""
        assert drain(trickling) == b""
        assert time.monotonic() - begun < 10


def test_more_stalled_peers_than_workers_delay_others_by_one_deadline(path: Path) -> None:
    """Concurrency is bounded; what waits is served when the stalled are dropped."""
    with serving(path, concurrency=2, read_timeout=0.5):
        stalled = [connect(path) for _ in range(4)]
        assert ask(path) != b""
        for peer in stalled:
            peer.close()


def test_no_more_requests_are_in_hand_than_allowed(path: Path) -> None:
    """A flood costs two threads here, not twenty."""
    lock = threading.Lock()
    now, most = 0, 0

    def answer(request: VerifyRequest) -> VerifyReply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        return accept(request)

    replies: list[bytes] = []
    with serving(path, answer, concurrency=2):
        threads = [threading.Thread(target=lambda: replies.append(ask(path))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [len(reply) for reply in replies] == [REPLY.size] * 20
    assert most == 2


def say_something_else(_: VerifyRequest) -> VerifyReply:
    """Breaks the contract of `answer`."""
    return True  # type: ignore[return-value]


def fail_loudly(request: VerifyRequest) -> VerifyReply:
    """An exception that quotes the secret."""
    raise RuntimeError(request.secret.reveal())


@pytest.mark.parametrize("answer", [fail_loudly, say_something_else])
def test_an_answer_that_fails_is_a_refusal_and_its_text_is_not_logged(
    path: Path, answer: Answering
) -> None:
    """`internal_error`, unproved; the log has the exception's name and the reference only."""
    with structlog.testing.capture_logs() as log, serving(path, answer):
        reply = parse_reply(ask(path))
    assert (reply.outcome, reply.proved, reply.reason) == (Outcome.REFUSED, False, "internal_error")
    (line,) = log
    assert (line["event"], line["ref"]) == ("verify_answer_failed", reply.correlation_id)
    assert "t0ken" not in str(log)


def test_a_stopping_server_answers_what_it_has_in_hand(path: Path) -> None:
    """An upgrade refuses nobody who was already being judged."""
    begun = threading.Event()

    def answer(request: VerifyRequest) -> VerifyReply:
        begun.set()
        time.sleep(0.3)
        return accept(request)

    with serving(path, answer) as server, connect(path) as peer:
        peer.sendall(REQUEST)
        assert begun.wait(5)
        server.stop()
        server.stop()
        assert parse_reply(drain(peer)).outcome is Outcome.ACCEPTED
    server.stop()


def test_a_peer_that_leaves_before_its_answer_harms_nobody(path: Path) -> None:
    """No signal, no traceback, and the next one is served."""
    with serving(path):
        with connect(path) as peer:
            peer.sendall(REQUEST)
        assert ask(path) != b""


def test_the_socket_is_for_its_owner_and_root(path: Path) -> None:
    """Mode 0600."""
    with open_listener(path, {}):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_stale_socket_is_replaced_and_a_live_one_is_not(path: Path) -> None:
    """A killed verifier leaves a socket behind; two verifiers are a mistake."""
    with open_listener(path, {}), pytest.raises(SocketError):
        open_listener(path, {})
    with serving(path):
        assert ask(path) != b""


def test_a_file_in_the_way_is_left_alone(path: Path) -> None:
    """Only sockets are removed."""
    path.write_text("precious")
    with pytest.raises(SocketError):
        open_listener(path, {})
    assert path.read_text() == "precious"


PROGRAM = """
import os, sys
from pathlib import Path
from idmap.entrypoints.verify.protocol import VerifyReply
from idmap.entrypoints.verify.server import VerifyServer, open_listener, run
if sys.argv[1] == "inherited":
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.dup2(int(sys.argv[3]), 3)  # where systemd puts it
server = VerifyServer(
    open_listener(Path(sys.argv[2])),
    lambda request: VerifyReply.accept(request.username, 200017),
    allowed_uids={os.geteuid()},
)
assert not {"LISTEN_PID", "LISTEN_FDS"} & set(os.environ)
print("ready", flush=True)
run(server)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("socket_from", ["inherited", "own"])
def test_a_verifier_process_serves_and_ends_cleanly(
    path: Path, socket_from: str, number: signal.Signals
) -> None:
    """With systemd's descriptor 3 or a socket of its own; status 0 on SIGTERM."""
    environment = dict(os.environ, LISTEN_PID="1")
    with socket.socket(socket.AF_UNIX) as listener:
        if socket_from == "inherited":
            listener.bind(str(path))
            listener.listen()
            environment["LISTEN_FDS"] = "1"
        arguments = [socket_from, str(path), str(listener.fileno())]
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *arguments],
            env=environment,
            cwd=Path(__file__).parents[3],
            stdout=subprocess.PIPE,
            pass_fds=[listener.fileno()],
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            assert parse_reply(ask(path)).outcome is Outcome.ACCEPTED
            process.send_signal(number)
            assert process.wait(5) == 0


@pytest.mark.parametrize("count", ["2", "x", "-1"])
def test_other_than_one_inherited_socket_is_refused(path: Path, count: str) -> None:
    """A unit with two sockets is a mistake; nothing is guessed (law 4)."""
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count}
    with pytest.raises(SocketError):
        open_listener(path, environment)
    assert not path.exists()


def test_descriptors_meant_for_another_process_are_not_taken(path: Path) -> None:
    """LISTEN_PID names whom systemd meant."""
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1"}
    with open_listener(path, environment):
        assert path.is_socket()

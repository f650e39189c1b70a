"""The measuring programs count what is wrong: a fast wrong answer must never look like a good one."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs, built out of tree."""
    place = tmp_path_factory.mktemp("bench-c")
    done = subprocess.run(
        ["make", "-s", "-C", str(ROOT / "bench" / "c"), f"BUILD={place}"],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return place


def ask(command: list[str], lines: str) -> list[list[str]]:
    """What a program answers to lines on its standard input, after `ready`."""
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=30)
    answers = done.stdout.splitlines()
    assert answers[0] == "ready", done.stderr
    return [line.split() for line in answers[1:]]


def test_right_answers_of_glibc_count_as_right(built: Path, tmp_path: Path) -> None:
    """root is in every /etc/passwd and /etc/group."""
    (tmp_path / "order").write_text("root 0 root 0\n")
    driver = [str(built / "driver"), "glibc", "files", "-", str(tmp_path / "order")]
    operations = ("name", "id", "group_name", "gid", "unknown")
    answers = ask(driver, "".join(f"{name} 0 10 2\n" for name in operations))
    assert [answer[1] for answer in answers] == ["0"] * len(operations)
    assert all(int(answer[0]) > 0 for answer in answers)


def test_an_answer_with_another_number_counts_as_wrong(built: Path, tmp_path: Path) -> None:
    """Each lookup is checked, on every thread."""
    (tmp_path / "order").write_text("root 7 root 7\n")
    driver = [str(built / "driver"), "glibc", "files", "-", str(tmp_path / "order")]
    answers = ask(driver, "name 0 10 1\ngroup_name 0 10 4\n")
    assert [answer[1] for answer in answers] == ["10", "40"]


@pytest.mark.root
def test_a_known_name_is_not_unknown(built: Path, tmp_path: Path) -> None:
    """The driver asks for `x` and the name; here that name exists."""
    (tmp_path / "order").write_text("root 0 root 0\n")
    (tmp_path / "passwd").write_text("xroot:*:5:5::/:/bin/sh\n")
    script = f"mount --bind {tmp_path}/passwd /etc/passwd && exec {built}/driver glibc files - {tmp_path}/order"
    (answer,) = ask(["unshare", "--mount", "sh", "-c", script], "unknown 0 10 1\n")
    assert answer[1] == "10"


def test_a_missing_function_is_said(built: Path, tmp_path: Path) -> None:
    """libnss-cache has no initgroups, for instance."""
    (tmp_path / "module.c").write_text("int _nss_odd_getpwnam_r(void) { return 0; }\n")
    module = tmp_path / "odd.so"
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-o", str(module), str(tmp_path / "module.c")], check=True
    )
    (tmp_path / "order").write_text("root 0 root 0\n")
    driver = [str(built / "driver"), "module", str(module), "odd", str(tmp_path / "order")]
    assert ask(driver, "initgroups 0 1 1\n") == [["unsupported"]]


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """200 for /good, 403 for all else."""
        self.send_response(200 if self.path == "/good" else 403)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    """A small HTTP server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_load_generator_counts_answers_that_are_not_200(
    built: Path, tmp_path: Path, port: int
) -> None:
    """Two requests in rotation, one of them refused."""
    requests = [f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n" for name in ("good", "bad")]
    (tmp_path / "r").write_text("".join(f"{len(text)}\n{text}" for text in requests))
    load = [str(built / "load"), str(port), str(tmp_path / "r"), "2"]
    answers = ask(load, "0 20\n")
    assert answers[0][1] == "10"

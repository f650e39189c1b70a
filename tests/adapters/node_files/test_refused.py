"""refused.json: written by the agent, read by idmap-verify at every token."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
from pathlib import Path

import pytest

from idmap.adapters.node_files.refused import RefusedFile, read_refused, write_refused
from idmap.application.install_state import RefusedCredentials
from idmap.domain.errors import NodeInstallFailed, Unavailable
from idmap.domain.identity import Issuer, token_digest
from idmap.domain.reasons import Reason

SALT = b"0123456789abcdef"
A, B = Issuer("https://a.example/"), Issuer("https://b.example/")
AT = 1_800_000_000


def content(
    issuers: dict[str, int] | None = None, tokens: dict[tuple[Issuer, str], int] | None = None
) -> RefusedCredentials:
    digests = {token_digest(SALT, *key).hex(): end for key, end in (tokens or {}).items()}
    return RefusedCredentials(
        tuple(sorted((issuers or {}).items())), tuple(sorted(digests.items()))
    )


def write(path: Path, refused: RefusedCredentials) -> None:
    write_refused(path, refused, group_number=os.getgid())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """One banned issuer, and one token of the other."""
    path = tmp_path / "refused.json"
    write(path, content({A: 0}, {(B, "t1"): AT + 10}))
    return path


def test_a_banned_issuer_and_a_banned_token_are_refused_and_nothing_else(path: Path) -> None:
    """Exact strings, exact ids, until the very second."""
    refused = RefusedFile(path, lambda: SALT)
    assert refused.is_banned(A, None, AT)
    assert refused.is_banned(A, "any", AT + 10**9)
    assert refused.is_banned(B, "t1", AT + 9)
    assert not refused.is_banned(B, "t1", AT + 10)
    for issuer, token_id in (
        (B, None),
        (B, "t2"),
        (B, "T1"),
        (Issuer(A.rstrip("/")), "t1"),
        (Issuer(A.upper()), None),
    ):
        assert not refused.is_banned(issuer, token_id, AT)
    refused.close()


def test_the_file_is_for_the_verifiers_group_alone_and_reads_back(path: Path) -> None:
    """0640, and nothing in it says whose token it was."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert read_refused(path) == content({A: 0}, {(B, "t1"): AT + 10})
    assert "t1" not in path.read_text()
    assert read_refused(path.with_name("absent")) is None


def test_a_node_that_never_had_such_bans_refuses_nothing_by_them(tmp_path: Path) -> None:
    """Until the agent installs the first."""
    path = tmp_path / "refused.json"
    refused = RefusedFile(path, lambda: SALT)
    refused.check()
    assert not refused.is_banned(A, "t1", AT)
    write(path, content({A: 0}))
    assert refused.is_banned(A, "t1", AT)
    refused.close()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format": 1, "refused": {"issuers": [], "tokens": []}, "sha256": ""}',
        b'{"format": 1, "refused": null, "sha256": ""}',
    ],
)
def test_a_damaged_file_lets_nobody_in_and_a_good_one_heals_it(path: Path, damage: bytes) -> None:
    """Law 4: not to know who is banned is to refuse."""
    refused = RefusedFile(path, lambda: SALT)
    refused.check()
    other = path.with_name("new")
    other.write_bytes(damage)
    other.rename(path)
    for ask in (refused.check, lambda: refused.is_banned(B, None, AT)):
        with pytest.raises(Unavailable) as caught:
            ask()
        assert caught.value.reason is Reason.NODE_FILES_UNREADABLE
    with pytest.raises(NodeInstallFailed):
        read_refused(path)
    write(path, content())
    assert not refused.is_banned(A, None, AT)
    refused.close()


def test_every_changed_byte_is_noticed(path: Path) -> None:
    """A flipped bit must not free anybody."""
    whole = path.read_bytes()
    damaged = path.with_name("damaged")
    for index in range(len(whole) - 1):  # the last one is the end of the line
        damaged.write_bytes(whole[:index] + bytes([whole[index] ^ 1]) + whole[index + 1 :])
        with pytest.raises(NodeInstallFailed):
            read_refused(damaged)
    for length in range(len(whole) - 1):
        damaged.write_bytes(whole[:length])
        with pytest.raises(NodeInstallFailed):
            read_refused(damaged)


@pytest.mark.parametrize(
    "refused",
    [
        {"issuers": [["x"]], "tokens": []},
        {"issuers": [["x", "1"]], "tokens": []},
        {"issuers": [["x", True]], "tokens": []},
        {"issuers": [[1, 1]], "tokens": []},
        {"issuers": []},
    ],
)
def test_what_has_a_sound_hash_and_another_shape_is_refused_too(
    path: Path, refused: object
) -> None:
    """Written by whoever knows how to hash."""
    text = json.dumps(refused, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(json.dumps({"format": 1, "refused": refused, "sha256": digest}))
    with pytest.raises(NodeInstallFailed):
        read_refused(path)


def test_a_file_that_went_away_lets_nobody_in(path: Path) -> None:
    """Somebody took it away: the agent never does."""
    refused = RefusedFile(path, lambda: SALT)
    assert refused.is_banned(A, None, AT)
    path.unlink()
    with pytest.raises(Unavailable):
        refused.is_banned(B, None, AT)
    write(path, content({B: 0}))
    assert not refused.is_banned(A, None, AT)
    assert refused.is_banned(B, None, AT)
    refused.close()


def test_each_replacement_is_seen_at_the_next_question(path: Path) -> None:
    """Also when the file system gives its number to the third file again."""
    refused = RefusedFile(path, lambda: SALT)
    for number in range(200):
        write(path, content({A: 0} if number % 2 else {B: 0}))
        assert refused.is_banned(A, None, AT) == bool(number % 2)
        assert refused.is_banned(B, None, AT) == (not number % 2)
        write(path, content())
        write(path, content({A: 0} if number % 2 else {B: 0}))
    refused.close()


def test_threads_never_see_half_of_a_file(path: Path) -> None:
    """Each list bans exactly one of the two."""
    refused, stop, wrong = RefusedFile(path, lambda: SALT), threading.Event(), list[str]()
    write(path, content({A: 0, B: 0}))

    def ask() -> None:
        while not stop.is_set():
            if not refused.is_banned(A, None, AT):
                wrong.append("free for a moment")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(100):
        write(path, content({A: 0} if number % 2 else {A: 0, B: 0}))
    stop.set()
    for thread in threads:
        thread.join()
    refused.close()
    assert wrong == []


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(NodeInstallFailed) as caught:
        write_refused(path.parent / "no" / "such.json", content(), group_number=os.getgid())
    assert caught.value.reason is Reason.INSTALL_FAILED
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["refused.json"]

"""A private group, from the registry to what C programs are told: the one name and number a user and a group share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from idmap.adapters.posix_reader.reader import PosixFile
from idmap.application.install_view import LocalAccounts, compiler_input, mask, merge, parse_chunk
from idmap.application.publish import _windows
from idmap.domain.errors import IdmapError
from idmap.domain.groups import PRIVATE_GROUP
from idmap.domain.posix import Windows, posix_chunks
from idmap.domain.reasons import Reason
from tests.support.registries import make_registry
from tests.support.registry_scenes import AUTHOR, VO, furnish, opening, person

CALLS = Path(__file__).parents[1] / "support" / "nss_calls.py"


def published() -> tuple[dict[str, bytes], Windows]:
    """Alice with a group of her own who is in `vo` too, and bob without one."""
    registry = make_registry()
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        writer.open_account(
            opening(person("a"), "alice", primary_group=PRIVATE_GROUP, secondary_groups=(VO,))
        )
        writer.open_account(opening(person("b"), "bob"))
    with registry.read() as reader:
        chunks = posix_chunks(reader.every_account(), reader.posix_groups().values())
        windows = _windows(reader.ranges())
    registry.close()
    return chunks, windows


def parsed(chunks: Mapping[str, bytes], windows: Windows) -> Any:
    return merge(parse_chunk(name, data, windows) for name, data in chunks.items())


def test_nss_and_our_reader_tell_the_private_group(plain: Any) -> None:
    chunks, windows = published()
    assert windows.gid == ((200_000, 200_999), (300_000, 300_999))
    text = compiler_input(
        parsed(chunks, windows), windows, revision=1, created=1_700_000_000, not_after=0
    )
    target = plain.live / "posix.db"
    done = plain.compile(text.decode(), target)
    assert done.returncode == 0, done.stderr
    reader = PosixFile(target)
    own = reader.find_group("alice")
    assert own is not None
    assert (own.gid_number, own.members) == (200_000, ())
    user = reader.find_user("alice")
    assert user is not None
    assert (user.uid_number, user.gid_number) == (200_000, 200_000)
    asked = "pwnam alice\ngrnam alice\ngrgid 200000\ngrnam bob\npwnam bob\n"
    answer = subprocess.run(
        [sys.executable, CALLS, plain.module, "idmap"],
        input=asked, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    alice, by_name, by_number, nobody, bob = answer.stdout.splitlines()
    assert ":200000:200000:" in alice
    assert by_name == by_number == "alice:*:200000:"
    assert nobody == "none"
    assert ":200001:300000:" in bob


def test_a_private_group_changes_its_accounts_chunk_and_no_other() -> None:
    chunks, windows = published()
    with_group = {name for name, data in chunks.items() if b"group\t" in data}
    assert len(with_group) == 2
    assert "groups" in with_group
    lines = b"".join(chunks.values()).decode().splitlines()
    assert lines.count("group\talice\t200000") == 1
    assert not any(line.startswith("group\tbob") for line in lines)
    assert parsed(chunks, windows)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("group\talice2\t200000", Reason.MANIFEST_INVALID),  # another name
        ("group\talice\t200001", Reason.MANIFEST_INVALID),  # another number
        ("group\tbob\t200001", Reason.MANIFEST_INVALID),  # bob's primary group is another
        ("group\tlab\t300500", Reason.MANIFEST_INVALID),  # no account's
        ("group\twheel\t200000", Reason.NAME_REFUSED),
        ("group\talice\t400000", Reason.NUMBER_REFUSED),
    ],
)
def test_no_other_group_hides_among_the_users(line: str, reason: Reason) -> None:
    """The signer and the agent read alike: what stands there is a private group of an account in the chunk."""
    chunks, windows = published()
    (name,) = (n for n, data in chunks.items() if b"user\talice" in data)
    wrong = {**chunks, name: chunks[name].replace(b"group\talice\t200000", line.encode())}
    with pytest.raises(IdmapError) as caught:
        parsed(wrong, windows)
    assert caught.value.reason is reason


def test_people_without_private_groups_open_no_window_for_them() -> None:
    """The gid windows are no wider than what was issued."""
    registry = make_registry()
    furnish(registry)
    with registry.read() as reader:
        assert _windows(reader.ranges()).gid == ((300_000, 300_999),)
    registry.close()


def test_a_nodes_own_account_or_group_wins_over_a_private_group() -> None:
    """Masked together: nobody is left with a group that is not theirs."""
    chunks, windows = published()
    view = parsed(chunks, windows)
    for local in (
        LocalAccounts(frozenset({"alice"}), frozenset(), frozenset(), frozenset()),
        LocalAccounts(frozenset(), frozenset({200_000}), frozenset(), frozenset()),
        LocalAccounts(frozenset(), frozenset(), frozenset({"alice"}), frozenset()),
        LocalAccounts(frozenset(), frozenset(), frozenset(), frozenset({200_000})),
    ):
        kept, masked = mask(view, local)
        assert "alice" not in {user.name for user in kept.users}
        assert "alice" not in {group.name for group in kept.groups}
        assert {m.name for m in masked} == {"alice"}


@pytest.mark.parametrize("gid", [200_000, 200_500])
def test_the_compiler_refuses_a_group_of_another_number_with_a_users_name(
    plain: Any, tmp_path: Path, gid: int
) -> None:
    """The one shared name is the private group's: same number, or nothing."""
    text = (
        "idmap-posix\t2\nrevision\t1\ncreated\t1700000000\nnot_after\t0\n"
        "window\tuid\t200000\t200999\nwindow\tgid\t200000\t200999\n"
        f"group\talice\t{gid}\n"
        f"user\talice\t200000\t{gid}\tactive\t0\t0\t/home/alice\t/bin/sh\talice\t\t0\nend\t1\t1\n"
    )
    done = plain.compile(text, tmp_path / "posix.db")
    assert (done.returncode == 0) is (gid == 200_000), done.stderr
    if gid != 200_000:
        assert "name_repeated" in done.stderr

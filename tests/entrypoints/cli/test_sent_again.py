"""A command whose connection breaks is sent again with its key: done once, and said so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from idmap.entrypoints.cli import client
from tests.entrypoints.cli.conftest import whole_app
from tests.support.served import Served, breaking_wire, served

BAN = ("bans", "add", "--account", "alice", "--reason", "stolen laptop")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One service for all."""
    with served(tmp_path_factory.mktemp("served")) as running:
        yield running


def _run(site: Served, port: int, *arguments: str) -> Result:
    common = ("--url", f"http://127.0.0.1:{port}", "--key-file", str(site.key_file))
    return CliRunner().invoke(whole_app(), [*arguments, *common])


def _bans(site: Served) -> int:
    return len(site.ask("GET", "/v1/bans").json()["bans"])


@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_answer_is_asked_for_again(site: Served, times: int) -> None:
    """The service did it the first time; the command tells of it, once."""
    before, lost = _bans(site), []

    def breaks(answer: bytes) -> bool:
        lost.append(answer)
        return len(lost) <= times

    with breaking_wire(site.port, breaks) as (port, swallowed):
        added = _run(site, port, *BAN)
    assert (added.exit_code, len(swallowed)) == (0, times), added.output
    assert re.fullmatch(r"Ban \d+ holds\.\n", added.stdout)
    assert _bans(site) == before + 1


def test_a_broken_list_is_read_again(site: Served) -> None:
    lost: list[bytes] = []

    def breaks(answer: bytes) -> bool:
        lost.append(answer)
        return len(lost) == 1

    with breaking_wire(site.port, breaks) as (port, _):
        assert "alice" in _run(site, port, "accounts", "list").stdout


def test_a_change_nobody_knows_of_can_be_repeated_under_its_key(
    site: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not tried for ever; the next step holds the key, and with it the ban is found made."""
    monkeypatch.setattr(client, "_PAUSES", (0.01, 0.01))
    before = _bans(site)
    with breaking_wire(site.port, lambda _: True) as (port, swallowed):
        unknown = _run(site, port, *BAN)
    assert (unknown.exit_code, len(swallowed)) == (4, 3)
    key = re.search(r"--idempotency-key ([0-9a-f-]{36})", unknown.stderr)
    assert key is not None, unknown.stderr
    told = _run(site, site.port, *BAN, "--idempotency-key", key[1])
    assert told.exit_code == 0
    assert _bans(site) == before + 1
    other = _run(site, site.port, *BAN[:-1], "another reason", "--idempotency-key", key[1])
    assert (other.exit_code, "[idempotency_key_reused]" in other.stderr) == (1, True)


def test_a_secret_that_was_lost_is_not_made_twice(site: Served, tmp_path: Path) -> None:
    """The command says that it was done, and what to do: revoke, make anew."""
    lost: list[bytes] = []

    def breaks(answer: bytes) -> bool:
        lost.append(answer)
        return len(lost) == 1

    out = tmp_path / "component.key"
    add = ("components", "add", "hub", "--door", "api", "--reason", "x", "--out", str(out))
    with breaking_wire(site.port, breaks) as (port, _):
        missed = _run(site, port, *add)
    assert (missed.exit_code, "[secret_given_once]" in missed.stderr) == (1, True)
    assert "revoke" in missed.stderr
    assert not out.exists()
    assert _run(site, site.port, "components", "revoke", "hub", "--reason", "x").exit_code == 0
    assert _run(site, site.port, *add).exit_code == 0
    assert out.read_text().startswith("idmap-cmp-")


def test_where_nobody_listens_nothing_is_waited_for(
    site: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request never left: there is nothing to find out."""

    def sleep(_: float) -> None:
        raise AssertionError("waits")

    monkeypatch.setattr(client.time, "sleep", sleep)
    refused = _run(site, 9, *BAN)
    assert refused.exit_code == 4
    assert "--idempotency-key" not in refused.stderr

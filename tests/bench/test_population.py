"""Every contestant is asked about the same site."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.population import Population, write_sorted_index


@pytest.fixture
def site() -> Population:
    """A small one."""
    return Population(300)


def test_records_are_sorted_by_uid_and_gid(site: Population, tmp_path: Path) -> None:
    """idmap-compile takes users by uid and groups by gid."""
    site.write_records(tmp_path / "records")
    lines = [line.split("\t") for line in (tmp_path / "records").read_text().splitlines()]
    uids = [int(line[2]) for line in lines if line[0] == "user"]
    gids = [int(line[2]) for line in lines if line[0] == "group"]
    assert uids == sorted(set(uids))
    assert len(uids) == 300
    assert gids == sorted(set(gids))


def test_every_form_holds_the_same_accounts_and_memberships(
    site: Population, tmp_path: Path
) -> None:
    """Otherwise one contestant would have less to do."""
    site.write_records(tmp_path / "records")
    site.write_flat(tmp_path / "passwd", tmp_path / "group")
    site.write_ldif(tmp_path / "ldif")
    records = [line.split("\t") for line in (tmp_path / "records").read_text().splitlines()]
    users = {line[1]: (line[2], line[3]) for line in records if line[0] == "user"}
    gids = {(line[1], gid) for line in records if line[0] == "user" for gid in line[10].split(",")}
    flat = [line.split(":") for line in (tmp_path / "passwd").read_text().splitlines()]
    groups = [line.split(":") for line in (tmp_path / "group").read_text().splitlines()]
    assert {line[0]: (line[2], line[3]) for line in flat} == users
    assert {(name, g[2]) for g in groups for name in g[3].split(",") if name} == gids
    entries = (tmp_path / "ldif").read_text().split("\n\n")
    pairs = [[tuple(line.split(": ")) for line in entry.splitlines()] for entry in entries]
    people = [dict(entry) for entry in pairs if ("objectClass", "posixAccount") in entry]
    teams = [entry for entry in pairs if ("objectClass", "posixGroup") in entry]
    assert {p["uid"]: (p["uidNumber"], p["gidNumber"]) for p in people} == users
    found = {(v, dict(t)["gidNumber"]) for t in teams for k, v in t if k == "memberUid"}
    assert found == gids


def test_the_order_asks_for_everybody_once_and_is_the_same_every_time(
    site: Population, tmp_path: Path
) -> None:
    """A fixed seed makes two runs comparable."""
    site.write_order(tmp_path / "one")
    Population(300).write_order(tmp_path / "two")
    lines = (tmp_path / "one").read_text().splitlines()
    assert (tmp_path / "two").read_text().splitlines() == lines
    names = [line.split()[0] for line in lines]
    assert sorted(names) == sorted(account.username for account in site.accounts())
    assert names != [account.username for account in site.accounts()]


@pytest.mark.parametrize("column", [0, 2])
def test_an_index_is_sorted_and_leads_to_its_line(
    site: Population, tmp_path: Path, column: int
) -> None:
    """libnss-cache bisects lines of one length and seeks to the offset it finds."""
    data, index = tmp_path / "passwd", tmp_path / "index"
    site.write_flat(data, tmp_path / "group")
    write_sorted_index(data, index, column)
    text, lines = data.read_bytes(), index.read_bytes().split(b"\n")[:-1]
    assert len({len(line) for line in lines}) == 1
    keys = [line.split(b"\0")[0] for line in lines]
    assert keys == sorted(keys)
    for line in lines:
        key, offset = line.split(b"\0")[:2]
        assert text[int(offset) :].split(b"\n")[0].split(b":")[column] == key

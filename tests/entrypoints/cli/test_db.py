"""`idmap db`: what is typed and what is said, and a restore that has nothing but what was published."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from idmap.adapters.snapshot.keys import generate_keys, load_keys
from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.adapters.sql import SqlRegistry
from idmap.application.publish import Publisher
from idmap.entrypoints.cli.main import app
from idmap.entrypoints.sign.refusals import Limits
from idmap.entrypoints.sign.signing import Desk
from idmap.entrypoints.sign.state import SignerState
from tests.support.registries import NOW, make_registry
from tests.support.registry_scenes import AUTHOR, ISSUER, OTHER, furnish, open_one, person

REALM = "a-site"


class Site:
    """A service's host as its settings describe it, and what publishes from it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.state.mkdir()
        self.config = directory / "idmap.toml"
        self.config.write_text(
            f'realm = "{REALM}"\n[registry]\nurl = "sqlite:///{self.state}/registry.db"\n'
            f'[snapshot]\ndirectory = "{directory}/snapshot"\n'
            f'[sign]\nkeys_directory = "{directory}/keys"\n'
        )
        make_registry(lambda: NOW, self.state).close()
        self.store = DirectorySnapshotStore(directory / "snapshot")
        generate_keys(directory / "keys")
        registry = self.open()
        furnish(registry)
        open_one(registry, "anna", "anna")
        self.publish(registry)
        registry.close()

    def open(self) -> SqlRegistry:
        return SqlRegistry.open(f"sqlite:///{self.state}/registry.db", lambda: NOW)

    def publish(self, registry: SqlRegistry) -> None:
        """With the real signer's desk, in this process."""
        keys = self.directory / "keys"
        desk = Desk(
            limits=Limits(REALM, 72 * 3600, 30),
            keys=load_keys(keys),
            state=SignerState(keys / "signer-state.json"),
            read_chunk=lambda sha256: self.store.read_chunk(sha256, restricted=False),
            read_trust_chunk=lambda sha256: self.store.read_chunk(sha256, restricted=True),
            clock=lambda: NOW,
        )
        publisher = Publisher(
            realm=REALM,
            registry=registry,
            store=self.store,
            signer=desk,
            trusted_keys=lambda _: (),
            clock=lambda: NOW,
        )
        publisher.publish_bans()
        publisher.publish_snapshot()

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["db", *arguments, "--config", str(self.config)])

    def json(self, *arguments: str) -> Any:
        result = self.run(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_backup_is_told_in_numbers(site: Site) -> None:
    out = site.directory / "backup.db"
    made = site.json("backup", str(out))
    assert made["rows"]["accounts"] == 1
    assert made["size"] == out.stat().st_size
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    again = site.run("backup", str(out))
    assert again.exit_code == 1
    assert "request_invalid" in again.output


def test_a_check_says_ok_or_what_to_do(site: Site) -> None:
    good = site.run("check")
    assert (good.exit_code, "WRONG" in good.output) == (0, False)
    (site.state / "registry.db.high-water.json").unlink()
    bad = site.run("check")
    assert bad.exit_code == 1
    assert "WRONG marks" in bad.output
    found = json.loads(site.run("check", "--json").stdout)
    assert {"marks"} == {f["check"] for f in found["findings"] if f["verdict"] == "wrong"}


def test_a_restore_is_told_and_needs_a_reason(site: Site) -> None:
    backup = str(site.directory / "backup.db")
    site.json("backup", backup)
    assert site.run("restore", backup).exit_code == 2
    said = site.run("restore", backup, "--reason", "a drill").output
    assert "Lost: 0 changes, 0 accounts, 0 groups." in said
    assert "before-restore" in said
    registry = site.open()
    with registry.read() as reader:
        entry = reader.changes(after=reader.last_change() - 1)[0]
    assert entry.author.startswith("os-user:")
    assert (entry.reason, entry.action) == ("a drill", "restore")
    registry.close()


def test_a_refused_restore_says_its_code_and_the_next_step(site: Site) -> None:
    (site.directory / "x").write_text("no")
    for path in (site.directory / "x", site.directory / "missing"):
        refused = site.run("restore", str(path), "--reason", "r")
        assert refused.exit_code == 1
        assert "[backup_invalid]" in refused.output
    other = site.config.read_text().replace('realm = "a-site"', 'realm = "b-site"')
    backup = str(site.directory / "backup.db")
    site.json("backup", backup)
    site.config.write_text(other)
    refused = site.run("restore", backup, "--reason", "r")
    assert refused.exit_code == 1
    assert "[backup_foreign]" in refused.output
    assert "--another-realm" in refused.output


def lose_the_host(site: Site) -> tuple[str, dict[str, tuple[str, int]], tuple[int, int]]:
    """A backup, accounts since, a ban; then nothing is left but the backup and what was published."""
    backup = str(site.directory / "backup.db")
    site.json("backup", backup)
    registry = site.open()
    got = {}
    for name in ("carl", "emma"):
        account = open_one(registry, name, name)
        got[name] = (account.username, account.uid_number)
    with registry.write(AUTHOR) as writer:
        writer.add_ban(account_id=1, identity=None, reason="theft", until=None, at=NOW)
        writer.add_ban(account_id=3, identity=None, reason="theft", until=None, at=NOW)
    site.publish(registry)
    with registry.read() as reader:
        seen = (reader.revision(), reader.ban_counter())
    registry.close()
    for path in site.state.iterdir():
        path.unlink()
    return backup, got, seen


def test_the_published_snapshot_alone_keeps_law_2(site: Site) -> None:
    backup, got, seen = lose_the_host(site)
    (site.directory / "keys" / "signer-state.json").unlink()
    report = site.json("restore", backup, "--reason", "a new host")
    assert (report["lost_accounts"], report["lost_changes"]) == (2, None)
    assert (report["bans_carried"], report["bans_of_lost_accounts"]) == (1, 1)
    assert report["revision"] > seen[0]
    assert report["ban_counter"] > seen[1]
    assert site.run("check").exit_code == 0
    registry = site.open()
    stranger = open_one(registry, "stranger", "carl")
    assert (stranger.username, stranger.uid_number) == ("u200003", 200_003)
    for name in ("emma", "carl"):
        again = open_one(registry, name)
        assert (again.username, again.uid_number) == got[name]
    with registry.read() as reader:
        assert [number for number, _ in reader.banned_uid_numbers(NOW + 9)] == [200_000]
    site.publish(registry)
    registry.close()


def test_banned_issuers_are_taken_from_the_published_list_and_banned_tokens_are_told(
    site: Site,
) -> None:
    """The list names an issuer in full, and of a token no more than a digest."""
    backup = str(site.directory / "backup.db")
    site.json("backup", backup)
    registry = site.open()
    with registry.write(AUTHOR) as writer:
        for issuer, token_id, until in (
            (OTHER, None, None),
            (OTHER, "t1", None),
            (OTHER, "t2", None),
            (ISSUER, None, NOW + 60),
        ):
            writer.add_ban(
                account_id=None, identity=None, issuer=issuer, token_id=token_id, reason="x",
                until=until, at=NOW,
            )  # fmt: skip
    site.publish(registry)
    registry.close()
    for path in site.state.iterdir():
        path.unlink()
    said = site.run("restore", backup, "--reason", "a new host").output
    assert "Carried over: 1 bans" in said
    assert "Ban again: 2 banned tokens" in said
    registry = site.open()
    with registry.read() as reader:
        assert reader.credential_bans().issuers_at(NOW) == ((OTHER, 0),), "the other is over"
    registry.close()


def test_with_nothing_published_it_is_said_and_the_signer_still_counts(site: Site) -> None:
    backup, _, seen = lose_the_host(site)
    (site.directory / "snapshot").rename(site.directory / "gone")
    report = site.json("restore", backup, "--reason", "a new host")
    assert report["revision"] > seen[0]
    assert report["ban_counter"] > seen[1]
    assert any("no published snapshot" in note for note in report["notes"])


def test_what_somebody_read_off_the_nodes_counts(site: Site) -> None:
    backup = str(site.directory / "backup.db")
    site.json("backup", backup)
    nodes = ("--node-revision", "5000", "--node-ban-counter", "70")
    report = site.json("restore", backup, "--reason", "r", *nodes)
    assert (report["revision"], report["ban_counter"]) == (5001, 71)


def test_damaged_parts_of_what_was_published_are_counted_and_left_out(site: Site) -> None:
    backup, got, _ = lose_the_host(site)
    chunk = next(
        path
        for path in (site.directory / "snapshot" / "chunks").glob("??/*")
        if b"\tcarl\t" in path.read_bytes()
    )
    chunk.write_bytes(chunk.read_bytes().replace(b"carl", b"karl"))
    report = site.json("restore", backup, "--reason", "r")
    assert any("could not be read" in note for note in report["notes"])
    assert report["lost_accounts"] == 1
    registry = site.open()
    assert open_one(registry, "stranger").uid_number not in {n for _, n in got.values()}
    with registry.read() as reader:
        assert reader.recorded(person("carl")).account is None
    registry.close()

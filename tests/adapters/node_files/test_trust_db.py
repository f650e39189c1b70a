"""trust.db: written by the agent, read by idmap-verify."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from idmap.adapters.node_files.bans_db import read_bans
from idmap.adapters.node_files.posix_header import read_posix_header
from idmap.adapters.node_files.trust_db import TrustDb, write_trust_db
from idmap.application.install_state import TrustContent
from idmap.domain.demands import Demand
from idmap.domain.doors import parse_door
from idmap.domain.errors import NodeInstallFailed, Unavailable
from idmap.domain.identity import Issuer, identity_digest
from idmap.domain.reasons import Reason
from idmap.domain.trust import TrustedIssuer
from tests.support.registry_scenes import ISSUER, OTHER, person, profile
from tests.support.snapshot_site import JWK, START, SnapshotSite

SALT = b"0123456789abcdef"
ALIAS = Issuer("https://iam.example.org")


def content(*people: tuple[str, int, str], revision: int = 1) -> TrustContent:
    """Two issuers, one with an alias and two keys."""
    first = TrustedIssuer(profile(aliases=frozenset({ALIAS})), (JWK, JWK | {"kid": "k2"}))
    rows = tuple((identity_digest(SALT, person(s)), uid, name) for s, uid, name in people)
    return TrustContent(
        revision, START, START + 1, SALT, (first, TrustedIssuer(profile(OTHER), ())), rows
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A trust.db with alice in it."""
    path = tmp_path / "trust.db"
    write_trust_db(path, content(("s-alice", 200_000, "alice")), group_number=os.getgid())
    return path


def test_issuers_are_found_by_their_exact_string_or_alias_only(path: Path) -> None:
    """Law 1: no guess about slashes."""
    trust = TrustDb(path)
    for text in (ISSUER, ALIAS):
        found = trust.find_issuer(text)
        assert found is not None
        assert found == profile(aliases=frozenset({ALIAS}))
    for text in (ISSUER + "/", ISSUER.upper(), "", "%", "https://other.example.org"):
        assert trust.find_issuer(text) is None
    trust.close()


def test_keys_are_found_by_id_and_without_one_only_when_there_is_one(path: Path) -> None:
    """The IssuerKeys port."""
    trust = TrustDb(path)
    issuer = trust.find_issuer(ISSUER)
    assert issuer is not None
    assert trust.find_key(issuer, "k2") == JWK | {"kid": "k2"}
    assert trust.find_key(issuer, "k3") is None
    assert trust.find_key(issuer, None) is None
    assert trust.find_key(profile(OTHER), None) is None
    trust.close()


def test_an_identity_is_found_under_its_own_issuer_only(path: Path) -> None:
    """The digest covers both strings."""
    trust = TrustDb(path)
    assert trust.find_account(person("s-alice")) == (200_000, "alice")
    assert trust.find_account(person("s-alice", OTHER)) is None
    assert trust.find_account(person("s-Alice")) is None
    trust.close()


def test_the_reader_follows_a_replacement_and_refuses_a_damaged_file(path: Path) -> None:
    """By inode; a file that cannot be read lets nobody in, and a good one heals it."""
    trust = TrustDb(path)
    assert trust.find_account(person("s-bob")) is None
    write_trust_db(path, content(("s-bob", 200_001, "bob"), revision=2), group_number=os.getgid())
    assert trust.find_account(person("s-bob")) == (200_001, "bob")
    assert trust.find_account(person("s-alice")) is None
    assert trust.revision() == (2, START)
    for damage in (b"", b"not a database" * 100):
        other = path.with_name("new")
        other.write_bytes(damage)
        other.rename(path)
        with pytest.raises(Unavailable) as caught:
            trust.find_account(person("s-bob"))
        assert caught.value.reason is Reason.NODE_FILES_UNREADABLE
    path.unlink()
    with pytest.raises(Unavailable):
        trust.find_issuer(ISSUER)
    write_trust_db(path, content(), group_number=os.getgid())
    assert trust.find_account(person("s-bob")) is None
    trust.close()


def test_a_write_that_fails_keeps_the_old_file_and_leaves_nothing(path: Path) -> None:
    """Two accounts for one identity cannot be written at all."""
    before = path.read_bytes()
    with pytest.raises(NodeInstallFailed) as caught:
        write_trust_db(path, content(("s-a", 1, "a"), ("s-a", 2, "b")), group_number=os.getgid())
    assert caught.value.reason is Reason.INSTALL_FAILED
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["trust.db"]


def test_a_hundred_thousand_identities_are_written_and_found_quickly(tmp_path: Path) -> None:
    """The size a large site has; bounds far above what was measured."""
    people = tuple((i.to_bytes(32, "big"), 200_000 + i, f"u{200_000 + i}") for i in range(100_000))
    began = time.monotonic()
    write_trust_db(
        tmp_path / "trust.db",
        TrustContent(1, START, START + 1, SALT, (), people),
        group_number=os.getgid(),
    )
    assert time.monotonic() - began < 10
    trust = TrustDb(tmp_path / "trust.db")
    assert trust.count_identities() == 100_000
    began = time.monotonic()
    for _ in range(1000):
        trust.find_account(person("s-alice"))
    assert time.monotonic() - began < 1
    trust.close()


def test_the_files_say_what_was_installed(site: SnapshotSite) -> None:
    """posix.db as the real compiler wrote it, and bans.db."""
    site.ban(site.open_account("s-carol", "carol"), until=START + 50)
    site.publish()
    agent = site.agent()
    agent.bans.fetch()
    agent.installer.sync()
    bans = read_bans(site.node / "bans.db")
    assert bans is not None
    assert (bans.counter, bans.signed_time, bans.clock_skew) == (1, START, False)
    assert bans.bans == ((200_002, START + 50),)
    posix = read_posix_header(site.node / "posix.db")
    assert posix is not None
    assert (posix.revision, posix.users, posix.not_after) == (
        site.publisher.revision,
        3,
        START + 72 * 3600,
    )


STRONG = Demand("strong", frozenset({parse_door("ssh:login")}), acr=frozenset({"mfa", "é"}))
RECENT = Demand("recent", frozenset({parse_door("ssh:gpu")}), max_authentication_age=60)


def test_demands_are_kept_in_their_order(tmp_path: Path) -> None:
    path, plain = tmp_path / "trust.db", content()
    for demands in ((), (STRONG, RECENT), (RECENT, STRONG), ()):
        write_trust_db(path, replace(plain, demands=demands), group_number=os.getgid())
        trust = TrustDb(path)
        assert trust.demands() == demands
        trust.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM meta WHERE key = 'demands'",
        "UPDATE meta SET value = '{}' WHERE key = 'demands'",
        "UPDATE meta SET value = '[' WHERE key = 'demands'",
        "UPDATE meta SET value = NULL WHERE key = 'demands'",
        "UPDATE meta SET value = replace(value, 'acr', 'colour') WHERE key = 'demands'",
        "UPDATE meta SET value = 1 WHERE key = 'format'",
    ],
)
def test_demands_that_do_not_read_leave_the_file_unreadable(tmp_path: Path, damage: str) -> None:
    """Law 4: for whoever it might have demanded something of."""
    path = tmp_path / "trust.db"
    write_trust_db(path, replace(content(), demands=(STRONG,)), group_number=os.getgid())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(damage)
    trust = TrustDb(path)
    for ask in (trust.demands, lambda: trust.find_issuer(ISSUER), trust.revision):
        with pytest.raises(Unavailable, check=lambda e: e.reason is Reason.NODE_FILES_UNREADABLE):
            ask()
    trust.close()

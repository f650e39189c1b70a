"""What is published, when, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from idmap.adapters.sql.reader import SqlReader
from idmap.application.ports import CredentialKind
from idmap.domain.accounts import AccountEvent
from idmap.domain.demands import Demand
from idmap.domain.errors import Conflict, Unavailable
from idmap.domain.identity import identity_digest, token_digest
from idmap.domain.manifest import (
    BANS_TYPE,
    HEARTBEAT_TYPE,
    MANIFEST_TYPE,
    Envelope,
    Manifest,
    parse_bans,
    parse_envelope,
    parse_heartbeat,
    parse_manifest,
)
from idmap.domain.reasons import Reason
from idmap.domain.trust import parse_issuers
from tests.support.registry_scenes import (
    AUTHOR,
    ISSUER,
    OTHER,
    STAFF,
    document,
    listed,
    listing,
    person,
    profile,
)
from tests.support.snapshot_site import JWK, START, SnapshotSite


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SnapshotSite]:
    """A service with two accounts, not yet published."""
    site = SnapshotSite(tmp_path)
    site.open_account("s-alice", "alice")
    site.open_account("s-bob", "bob")
    yield site
    site.close()


def changed_chunks(before: Manifest, after: Manifest) -> list[str]:
    """Names of the chunks that a node has to fetch."""
    known = {c.sha256 for c in (*before.posix, *before.trust)}
    return [c.name for c in (*after.posix, *after.trust) if c.sha256 not in known]


def publish(site: SnapshotSite) -> Manifest:
    """A snapshot that must be published."""
    manifest = site.publisher.publish_snapshot()
    assert manifest is not None
    return manifest


def test_a_snapshot_is_published_only_when_something_changed(site: SnapshotSite) -> None:
    """A second call signs and writes nothing."""
    first = publish(site)
    assert site.publisher.publish_snapshot() is None
    site.clock.now += 3599
    assert site.publisher.publish_snapshot() is None
    site.open_account("s-carol", "carol")
    second = publish(site)
    assert second.revision > first.revision
    assert second.not_after == site.clock.now + 72 * 3600
    assert second.high_water["people"] == 200_002


def test_one_changed_account_changes_one_chunk_of_users(site: SnapshotSite) -> None:
    """A change of an attribute touches nothing else at all."""
    first = publish(site)
    with site.registry.write(AUTHOR) as writer:
        alice = writer.find_account(username="alice")
        assert alice is not None
        writer.change_shell(alice.account_id, "/bin/zsh")
    names = changed_chunks(first, publish(site))
    assert len(names) == 1
    assert names[0].startswith("users-")


def test_a_snapshot_is_signed_again_after_an_hour_with_the_same_chunks(site: SnapshotSite) -> None:
    """Not-after moves on; nothing is fetched."""
    first = publish(site)
    site.clock.now += 3600
    second = publish(site)
    assert (second.revision, second.posix, second.trust) == (
        first.revision,
        first.posix,
        first.trust,
    )
    assert second.created == first.created + 3600


def test_a_new_key_of_an_issuer_is_published_without_a_new_revision(site: SnapshotSite) -> None:
    """With a later `created` although the clock stood still, so that nodes know which is newer."""
    first = publish(site)
    site.trusted_keys[ISSUER] = (JWK, JWK | {"kid": "k2"})
    second = publish(site)
    assert changed_chunks(first, second) == ["issuers"]
    assert (second.revision, second.created) == (first.revision, first.created + 1)
    site.trusted_keys[ISSUER] = (JWK | {"kid": "k2"}, JWK)
    assert site.publisher.publish_snapshot() is None, "the order of keys is not a change"


def test_an_issuer_that_is_down_keeps_its_published_keys_also_after_a_restart(
    site: SnapshotSite,
) -> None:
    """Law 7: every token that is valid by its own dates works as yesterday."""
    publish(site)

    def down(_profile: object) -> tuple[dict[str, str], ...]:
        raise Unavailable(Reason.ISSUER_UNAVAILABLE)

    site.publisher = site.make_publisher()
    site.publisher._trusted_keys = down
    site.open_account("s-carol", "carol")
    manifest = publish(site)
    issuers = next(c for c in manifest.trust if c.name == "issuers")
    data = site.store.read_chunk(issuers.sha256, restricted=True)
    assert data is not None
    assert [t.keys for t in parse_issuers(data).issuers] == [(JWK,)]


def demand(site: SnapshotSite, *node_classes: str, keys: str = "refuse") -> None:
    """Saves rules by which a token shows assurance on nodes of these classes."""
    doors = [f"ssh:{one}" for one in node_classes]
    asked = {"id": "sure", "doors": doors, "assurance": ["https://refeds.org/a"], "keys": keys}
    with site.registry.write(AUTHOR) as writer:
        rules = document() | {"format": 2, "demands": [asked] if doors else []}
        writer.save_rules(rules, expect_version=None)


def test_what_is_demanded_of_tokens_is_published_with_the_rules(site: SnapshotSite) -> None:
    """The manifest says where a token is wanted, the restricted chunk what it must prove; no account's is touched."""
    first = publish(site)
    assert first.token_only == frozenset()
    assert demanded(site, first) == ()
    demand(site, "secure", "archive")
    second = publish(site)
    assert second.token_only == {"secure", "archive"}
    assert second.posix == first.posix
    assert changed_chunks(first, second) == ["issuers"]
    assert (second.revision, second.created) > (first.revision, first.created)
    (found,) = demanded(site, second)
    assert {str(door) for door in found.doors} == {"ssh:secure", "ssh:archive"}
    assert found.assurance == {"https://refeds.org/a"}
    assert site.publisher.publish_snapshot() is None
    demand(site, "secure", keys="admit")
    third = publish(site)
    assert third.token_only == frozenset()
    assert len(demanded(site, third)) == 1, "who shows a token there must prove it all the same"
    demand(site)
    assert demanded(site, publish(site)) == ()


def test_demands_of_other_doors_are_none_of_a_nodes_business(site: SnapshotSite) -> None:
    first = publish(site)
    asked = {"id": "mfa", "doors": ["admin", "component:portal"], "acr": ["mfa"]}
    with site.registry.write(AUTHOR) as writer:
        writer.save_rules(document() | {"format": 2, "demands": [asked]}, expect_version=None)
    second = publish(site)
    assert (second.trust, second.posix) == (first.trust, first.posix)


def demanded(site: SnapshotSite, manifest: Manifest) -> tuple[Demand, ...]:
    """What the published chunk says."""
    chunk = next(one for one in manifest.trust if one.name == "issuers")
    data = site.store.read_chunk(chunk.sha256, restricted=True)
    assert data is not None
    return parse_issuers(data).demands


def test_a_restarted_publisher_knows_what_it_told_of_tokens(site: SnapshotSite) -> None:
    """It signs once and rests, as ever."""
    demand(site, "secure")
    publish(site)
    site.publisher = site.make_publisher()
    assert publish(site).token_only == {"secure"}
    assert site.publisher.publish_snapshot() is None


def test_a_new_issuer_is_published(site: SnapshotSite) -> None:
    """Profiles travel in the restricted chunk."""
    first = publish(site)
    with site.registry.write(AUTHOR) as writer:
        writer.save_issuer(profile(OTHER))
    assert changed_chunks(first, publish(site)) == ["issuers"]


def test_identities_are_only_in_restricted_chunks_and_only_as_digests(site: SnapshotSite) -> None:
    """H3: posix.db is for every user's eyes."""
    manifest = publish(site)
    for chunk in manifest.posix:
        data = site.store.read_chunk(chunk.sha256, restricted=False)
        assert data is not None
        assert b"s-alice" not in data
    with site.registry.read() as reader:
        digest = identity_digest(reader.salt(), person("s-alice")).hex().encode()
    restricted = [site.store.read_chunk(c.sha256, restricted=True) or b"" for c in manifest.trust]
    assert sum(digest in data for data in restricted) == 1
    assert not any(b"s-alice" in data for data in restricted)
    secret = [c for c in manifest.trust if c.size]
    assert all(site.store.read_chunk(c.sha256, restricted=False) is None for c in secret)


def test_a_publisher_that_restarts_signs_once_and_then_rests(site: SnapshotSite) -> None:
    """The signer may have lost its memory; the chunks are the same."""
    first = publish(site)
    site.publisher = site.make_publisher()
    second = publish(site)
    assert second.posix == first.posix
    assert second.created > first.created
    assert site.publisher.publish_snapshot() is None


def test_a_refused_snapshot_leaves_the_published_one_and_a_ban_still_goes_out(
    site: SnapshotSite,
) -> None:
    """The shrink guard stops the snapshot, never the ban (law 5)."""
    publish(site)
    before = site.store.read_document("manifest")
    with site.registry.write(AUTHOR) as writer:
        for name in ("alice", "bob"):
            account = writer.find_account(username=name)
            assert account is not None
            writer.move_account(account.account_id, AccountEvent.CLOSED)
    with pytest.raises(Conflict):
        site.publisher.publish_snapshot()
    assert site.store.read_document("manifest") == before
    site.ban(site.open_account("s-carol", "carol"))
    bans = site.publisher.publish_bans()
    assert bans is not None
    assert bans.bans == ((200_002, 0),)


def test_bans_are_published_when_they_change_when_one_ends_and_after_a_start(
    site: SnapshotSite,
) -> None:
    """Counter and `issued` tell nodes which list is newer."""
    first = site.publisher.publish_bans()
    assert first is not None
    assert site.publisher.publish_bans() is None
    carol = site.open_account("s-carol", "carol")
    site.ban(carol, until=START + 60)
    second = site.publisher.publish_bans()
    assert second is not None
    assert second.bans == ((200_002, START + 60),)
    assert site.publisher.next_ban_end() == START + 60
    site.clock.now += 60
    third = site.publisher.publish_bans()
    assert third is not None
    assert (third.counter, third.bans) == (second.counter, ())
    assert third.issued > second.issued
    site.publisher = site.make_publisher()
    fourth = site.publisher.publish_bans()
    assert fourth is not None
    assert (fourth.counter, fourth.issued) > (third.counter, third.issued)
    data = site.store.read_document("bans") or b""
    assert parse_bans(parse_envelope(data, BANS_TYPE).payload) == fourth


def test_a_banned_identity_that_gets_an_account_enters_the_list(site: SnapshotSite) -> None:
    """Whether or not the registry counts the link as a change of bans."""
    site.ban_identity("s-eve")
    first = site.publisher.publish_bans()
    assert first is not None
    assert first.bans == ()
    site.open_account("s-eve", "eve")
    second = site.publisher.publish_bans()
    assert second is not None
    assert second.bans == ((200_002, 0),)


def test_who_joins_a_banned_group_enters_the_list_and_who_leaves_goes(site: SnapshotSite) -> None:
    """As soon as it is recorded, with a counter that nodes find behind."""
    site.ban_what(group=STAFF)
    first = site.publisher.publish_bans()
    assert first is not None
    assert first.bans == ()
    with site.registry.write(AUTHOR) as writer:
        writer.record_observation(person("s-alice"), frozenset({STAFF}), None, START)
    second = site.publisher.publish_bans()
    assert second is not None
    assert (second.bans, second.counter) == (((200_000, 0),), first.counter + 1)
    with site.registry.write(AUTHOR) as writer:
        writer.record_listing(listing(listed("s-alice"), began=START + 1))
    third = site.publisher.publish_bans()
    assert third is not None
    assert (third.bans, third.counter) == ((), second.counter + 1)


def test_banned_issuers_and_tokens_are_listed_until_they_end(site: SnapshotSite) -> None:
    """Tokens by salted digest: whoever reads the list learns no id."""
    site.ban_what(issuer=ISSUER, until=START + 30)
    site.ban_what(issuer=OTHER, token_id="the-id-of-a-token", until=START + 60)
    first = site.publisher.publish_bans()
    assert first is not None
    with site.registry.read() as reader:
        digest = token_digest(reader.salt(), OTHER, "the-id-of-a-token").hex()
    assert first.issuers == ((ISSUER, START + 30),)
    assert first.tokens == ((digest, START + 60),)
    assert first.bans == ((200_000, START + 30), (200_001, START + 30))
    document = site.store.read_document("bans") or b""
    assert parse_bans(parse_envelope(document, BANS_TYPE).payload) == first
    assert b"the-id-of" not in parse_envelope(document, BANS_TYPE).payload
    assert site.publisher.next_ban_end() == START + 30
    site.clock.now = START + 30
    second = site.publisher.publish_bans()
    assert second is not None
    assert (second.bans, second.issuers, second.tokens) == ((), (), first.tokens)
    assert site.publisher.next_ban_end() == START + 60
    site.clock.now = START + 60
    third = site.publisher.publish_bans()
    assert third is not None
    assert (third.tokens, site.publisher.next_ban_end()) == ((), None)


def test_a_list_that_was_not_signed_is_tried_again(site: SnapshotSite) -> None:
    """Nothing new has to happen for that."""
    site.publisher.publish_bans()
    site.ban_what(issuer=ISSUER)
    sign, site.desk.sign_bans = site.desk.sign_bans, refuse  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(Unavailable):
            site.publisher.publish_bans()
    site.desk.sign_bans = sign  # type: ignore[method-assign]
    published = site.publisher.publish_bans()
    assert published is not None
    assert published.issuers == ((ISSUER, 0),)


def refuse(_: bytes) -> Envelope:
    raise Unavailable(Reason.SIGNER_UNAVAILABLE)


def test_whom_bans_reach_is_looked_up_only_when_something_is_on_record_or_a_ban_ended(
    site: SnapshotSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand nodes that report commit all the time; a ban of a large group must not be looked up for each."""
    site.ban_what(issuer=ISSUER, until=START + 30)
    site.publisher.publish_bans()
    asked = []
    real = SqlReader.banned_uid_numbers

    def counting(reader: SqlReader, at: int) -> tuple[tuple[int, int], ...]:
        asked.append(at)
        return real(reader, at)

    monkeypatch.setattr(SqlReader, "banned_uid_numbers", counting)
    with site.registry.write(AUTHOR) as writer:
        writer.add_credential(CredentialKind.NODE, "n1", b"1" * 32, node_class="login", at=START)
    assert site.publisher.publish_bans() is None
    assert len(asked) == 1, "a credential is on the record"
    for number in range(5):
        with site.registry.write(AUTHOR) as writer:
            writer.save_node_report(
                "n1", revision=number, ban_counter=1, masked=(), local_names=(), at=START
            )
        assert site.publisher.publish_bans() is None
    assert len(asked) == 1
    site.clock.now = START + 30
    assert site.publisher.publish_bans() is not None
    assert len(asked) == 2


def test_a_heartbeat_announces_only_what_was_published_since_the_start(site: SnapshotSite) -> None:
    """It must never send nodes after something that is not there."""
    assert site.publisher.publish_heartbeat().revision == 0
    site.publish()
    data = site.store.read_document("heartbeat") or b""
    heartbeat = parse_heartbeat(parse_envelope(data, HEARTBEAT_TYPE).payload)
    stored = site.store.read_document("manifest") or b""
    assert (
        heartbeat.revision == parse_manifest(parse_envelope(stored, MANIFEST_TYPE).payload).revision
    )
    assert heartbeat.time == site.clock.now

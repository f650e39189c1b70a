"""What published manifests prove of who had what."""

from __future__ import annotations

from pathlib import Path

from idmap.adapters.snapshot.store import DirectorySnapshotStore
from idmap.application.published_issues import PublishedIssue, read_published
from idmap.domain.identity import Identity, Issuer, Subject, identity_digest
from idmap.domain.manifest import (
    MANIFEST_TYPE,
    ChunkRef,
    Envelope,
    Manifest,
    encode_envelope,
    encode_manifest,
)
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.posix import Windows
from idmap.domain.trust import identity_chunks

SALT = bytes(32)


def identity(subject: str) -> Identity:
    return Identity(Issuer("https://iam.example/"), Subject(subject))


def publish(
    store: DirectorySnapshotStore, revision: int, users: dict[str, int], linked: dict[str, int]
) -> None:
    """One manifest: usernames with numbers, subjects with the number of their account."""
    lines = "".join(
        f"user\t{name}\t{n}\t300000\tactive\t0\t0\t/h\t/s\t{name}\t\n" for name, n in users.items()
    )
    posix = {"groups": b"group\tvo\t300000\n", "users-00": lines.encode()}
    trust = identity_chunks(SALT, [(identity(s), number) for s, number in linked.items()])

    def put(chunks: dict[str, bytes], *, restricted: bool) -> tuple[ChunkRef, ...]:
        return tuple(
            ChunkRef(name, store.put_chunk(data, restricted=restricted), len(data))
            for name, data in chunks.items()
        )

    manifest = Manifest(
        realm="a-site",
        revision=revision,
        created=revision,
        not_after=revision + 60,
        windows=Windows(uid=((200_000, 200_999),), gid=((300_000, 300_999),)),
        ban_counter=revision * 2,
        high_water={"people": 200_000 + revision, "groups": 300_000, "elsewhere": 5},
        posix=put(posix, restricted=False),
        trust=put(trust, restricted=True),
    )
    store.put_document(
        "manifest", encode_envelope(Envelope(MANIFEST_TYPE, encode_manifest(manifest), {}))
    )


def issue(name: str, number: int, subject: str) -> PublishedIssue:
    return PublishedIssue("user", name, number, identity_digest(SALT, identity(subject)))


def test_a_link_that_was_taken_back_gives_no_right(tmp_path: Path) -> None:
    """The newest manifest with an account says whose it is; accounts gone since are known from older ones."""
    store = DirectorySnapshotStore(tmp_path)
    publish(
        store, 1, {"anna": 200_000, "bert": 200_001}, {"a": 200_000, "m": 200_000, "b": 200_001}
    )
    publish(store, 2, {"anna": 200_000}, {"a": 200_000, "a2": 200_000})
    found = read_published(store)
    assert set(found.issued) == {
        issue("anna", 200_000, "a"),
        issue("anna", 200_000, "a2"),
        issue("bert", 200_001, "b"),
        PublishedIssue("group", "vo", 300_000, None),
    }
    assert (found.realm, found.revision, found.ban_counter) == ("a-site", 2, 4)
    assert found.unreadable == 0


def test_marks_come_with_the_window_they_lie_in(tmp_path: Path) -> None:
    store = DirectorySnapshotStore(tmp_path)
    publish(store, 7, {}, {})
    publish(store, 3, {}, {})
    assert read_published(store).high_water == {
        "people": (NumberRange("people", RangePurpose.PEOPLE, 200_000, 200_999), 200_007),
        "groups": (NumberRange("groups", RangePurpose.GROUPS, 300_000, 300_999), 300_000),
    }


def test_an_empty_store_says_nothing(tmp_path: Path) -> None:
    found = read_published(DirectorySnapshotStore(tmp_path))
    assert (found.realm, found.revision, found.issued, found.unreadable) == (None, 0, (), 0)

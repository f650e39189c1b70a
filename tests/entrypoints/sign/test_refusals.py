"""What the signer refuses on its own, one test for each (law 14)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from idmap.domain.errors import Conflict, InvalidInput
from idmap.domain.manifest import (
    MANIFEST_TYPE,
    BanList,
    Heartbeat,
    Manifest,
    encode_bans,
    encode_heartbeat,
    encode_manifest,
    parse_envelope,
    parse_manifest,
)
from idmap.domain.posix import Windows
from idmap.domain.reasons import Reason
from idmap.domain.trust import ISSUERS_CHUNK
from idmap.entrypoints.sign.state import SignerState
from tests.support.registry_scenes import ISSUER, OTHER
from tests.support.snapshot_site import REALM, START, SnapshotSite


def published(site: SnapshotSite) -> Manifest:
    """The last signed manifest."""
    data = site.store.read_document("manifest") or b""
    return parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload)


def with_records(site: SnapshotSite, *lines: str, chunk: str = "users-00") -> Manifest:
    """The last manifest with one chunk replaced by these records."""
    manifest = published(site)
    data = "".join(f"{line}\n" for line in lines).encode()
    sha256 = site.store.put_chunk(data, restricted=False)
    posix = tuple(
        replace(c, sha256=sha256, size=len(data)) if c.name == chunk else c for c in manifest.posix
    )
    return replace(manifest, revision=manifest.revision + 1, posix=posix)


def user(name: str, uid: object = 200_900, gid: object = 300_000, gids: str = "", **f: str) -> str:
    """One user line."""
    state, home = f.get("state", "active"), f.get("home", f"/home/{name}")
    line = f"user\t{name}\t{uid}\t{gid}\t{state}\t0\t0\t{home}\t/bin/sh\t{name}\t{gids}"
    return f"{line}\t{f['places']}" if "places" in f else line


def unlinked(manifest: Manifest) -> Manifest:
    """The manifest without identities: nobody's account is missed."""
    return replace(manifest, trust=tuple(c for c in manifest.trust if c.name == ISSUERS_CHUNK))


def refused(site: SnapshotSite, payload: bytes | Manifest, *, approve_shrink: bool = False) -> str:
    """The signer's words; nothing may have been remembered."""
    if isinstance(payload, Manifest):
        payload = encode_manifest(payload)
    before = (site.keys_directory / "signer-state.json").read_bytes()
    with pytest.raises(Conflict) as caught:
        site.desk.sign_manifest(payload, approve_shrink=approve_shrink)
    assert caught.value.reason is Reason.SIGNER_REFUSED
    assert (site.keys_directory / "signer-state.json").read_bytes() == before
    return caught.value.detail


def test_a_sound_manifest_is_signed(site: SnapshotSite) -> None:
    """Against which the refusals mean something."""
    site.desk.sign_manifest(encode_manifest(with_records(site, user("carol"))))
    places = user("carol", places="*,-login\tgpu,scratch")
    manifest = replace(with_records(site, places), token_only=frozenset({"login", "secure"}))
    site.desk.sign_manifest(encode_manifest(manifest))


CHANGES: dict[str, tuple[Callable[[Manifest], Manifest], str]] = {
    "another realm": (lambda m: replace(m, realm="elsewhere"), "realm"),
    "a lower revision": (lambda m: replace(m, revision=m.revision - 1), "below the last signed"),
    "an older date at the same revision": (
        lambda m: replace(m, created=m.created - 1),
        "goes back",
    ),
    "a date from the past": (
        lambda m: replace(m, revision=m.revision + 1, created=m.created - 301),
        "signer's clock",
    ),
    "a date from the future": (lambda m: replace(m, created=m.created + 301), "signer's clock"),
    "a second too long": (lambda m: replace(m, not_after=m.created + 72 * 3600 + 1), "not_after"),
    "no end": (lambda m: replace(m, not_after=0), "not_after"),
    "an end before the beginning": (lambda m: replace(m, not_after=m.created), "not_after"),
    "a window with root": (
        lambda m: replace(m, windows=Windows(((0, 299_999),), m.windows.gid)),
        "window",
    ),
    "a window over the hole": (
        lambda m: replace(m, windows=Windows(((60_000, 299_999),), m.windows.gid)),
        "window",
    ),
    "a window up to 2^31": (
        lambda m: replace(m, windows=Windows(m.windows.uid, ((300_000, 2**31),))),
        "window",
    ),
    "a token-only class that is none": (
        lambda m: replace(m, token_only=frozenset({"Login"})),
        "ValueError",
    ),
    "more token-only classes than there can be": (
        lambda m: replace(m, token_only=frozenset(f"c{n}" for n in range(65))),
        "TypeError",
    ),
    "too many windows": (
        lambda m: replace(m, windows=Windows(m.windows.uid * 17, m.windows.gid)),
        "windows",
    ),
    "a chunk twice": (lambda m: replace(m, posix=(*m.posix, m.posix[0])), "twice"),
    "a chunk that is not in the store": (
        lambda m: replace(m, posix=(*m.posix, replace(m.posix[0], name="x", sha256="0" * 64))),
        "not in the store",
    ),
    "a chunk of another size": (
        lambda m: replace(m, posix=(replace(m.posix[0], size=1), *m.posix[1:])),
        "hash and size",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_manifest_with_a_wrong_head_is_refused(site: SnapshotSite, name: str) -> None:
    """Realm, revision, dates, windows, chunk list."""
    change, words = CHANGES[name]
    assert words in refused(site, change(published(site)))


RECORDS: dict[str, tuple[str, str]] = {
    "uid 0": (user("carol", 0), "number_refused"),
    "a uid in the hole": (user("carol", 60_001), "number_refused"),
    "a uid outside the windows": (user("carol", 400_000), "number_refused"),
    "a gid outside the windows": (user("carol", gid=100), "number_refused"),
    "a secondary gid outside the windows": (user("carol", gids="4"), "number_refused"),
    "a number that is none": (user("carol", "0x30d40"), "number_refused"),
    "a name of the system": (user("root"), "name_refused"),
    "a name with a colon": (user("a:b"), "name_refused"),
    "a name already there": (user("alice"), "name_taken"),
    "a uid already there": (user("carol", 200_000), "number_taken"),
    "a primary group that is not": (user("carol", gid=300_500), "does not exist"),
    "a secondary group that is not": (user("carol", gids="300500"), "does not exist"),
    "a group's name with another number": (user("vo"), "name_taken"),
    "a group twice": (user("carol", gids="300001,300001"), "twice"),
    "an unknown state": (user("carol", state="root"), "state"),
    "grace without its day": (user("carol", state="grace"), "state"),
    "a home that is no path": (user("carol", home="home"), "absolute"),
    "a control character": (user("carol", home="/home/\x07"), "control"),
    "node classes that say nothing": (user("carol", places="*\t"), "local groups ''"),
    "node classes in another order": (user("carol", places="login,gpu\t"), "node classes"),
    "a node class that is none": (user("carol", places="Login\t"), "node classes"),
    "local groups in another order": (user("carol", places="*\tscratch,gpu"), "local groups"),
    "a local group twice": (user("carol", places="*\tgpu,gpu"), "local groups"),
    "a local group without a name": (user("carol", places="*\tgpu,"), "local groups"),
    "too many local groups": (
        user("carol", places="*\t" + ",".join(f"g{n:03}" for n in range(65))),
        "local groups",
    ),
    "a local group that means root": (user("carol", places="*\tdocker"), "name_refused"),
    "one that means root when it is folded": (
        user("carol", places="*\tsystemd-journal"),
        "name_refused",
    ),
    "one of the system's": (user("carol", places="login\tmunge"), "name_refused"),
    "one that cannot be carried": (user("carol", places="*\ta b"), "name_refused"),
    "only one of the two fields": (user("carol", places="login"), "not a record"),
    "a field more": (user("carol", places="login\tgpu\t"), "not a record"),
    "a group among users": ("group\tlab\t300500", "other kind"),
    "no record": ("hello", "not a record"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_manifest_with_a_wrong_record_is_refused(site: SnapshotSite, name: str) -> None:
    """Law 10, on the signer's own account: hash and size are right, the record is not."""
    line, words = RECORDS[name]
    assert words in refused(site, with_records(site, line))


def test_a_root_equivalent_group_is_refused(site: SnapshotSite) -> None:
    """The closed table counts for groups with a legal number too."""
    manifest = with_records(site, "group\tdocker\t300000", chunk="groups")
    assert "name_refused" in refused(site, manifest)


def test_a_payload_that_is_more_than_its_type_is_refused(site: SnapshotSite) -> None:
    """Nothing travels under the signature that was not checked."""
    value = json.loads(encode_manifest(published(site)))
    assert "canonical" in refused(site, json.dumps(value | {"note": "x"}).encode())
    assert "canonical" in refused(site, encode_manifest(published(site)) + b" ")
    twice = encode_manifest(replace(published(site), token_only=frozenset({"a", "b"})))
    assert "canonical" in refused(site, twice.replace(b'["a","b"]', b'["a","b","b"]'))
    assert "canonical" in refused(site, twice.replace(b'["a","b"]', b'["b","a"]'))


def test_a_payload_of_another_type_is_refused(site: SnapshotSite) -> None:
    """Each request signs its own type only."""
    heartbeat = encode_heartbeat(Heartbeat(REALM, START, 0, 0))
    manifest = encode_manifest(published(site))
    refused(site, heartbeat)
    for sign, payload in [
        (site.desk.sign_bans, manifest),
        (site.desk.sign_bans, heartbeat),
        (site.desk.sign_heartbeat, manifest),
        (site.desk.sign_heartbeat, b"\xff"),
        (site.desk.sign_heartbeat, b"[" * 5000),
    ]:
        with pytest.raises(Conflict):
            sign(payload)


def test_a_snapshot_that_drops_too_many_accounts_needs_a_person(site: SnapshotSite) -> None:
    """Shrink guard: by the signer's own memory of what it signed, not by what it is told."""
    site.open_accounts(18)
    site.publish()
    few = unlinked(with_records(site, *(user(f"q{n}", 200_500 + n) for n in range(10))))
    empty = replace(few, posix=tuple(c for c in few.posix if c.name in {"groups", "users-00"}))
    assert "10 of 20" in refused(site, empty)
    site.desk = site.make_desk()
    assert "10 of 20" in refused(site, empty), "a restart forgets nothing"
    site.desk.sign_manifest(encode_manifest(empty), approve_shrink=True)
    nobody = replace(empty, revision=empty.revision + 1, posix=empty.posix[:1])
    assert "10 of 10" in refused(site, nobody)


def test_closing_a_few_accounts_of_a_small_site_needs_nobody_but_emptying_it_does(
    site: SnapshotSite,
) -> None:
    """Two accounts: one may go, not both."""
    manifest = published(site)
    empty = tuple(replace(c, sha256=_empty(site), size=0) for c in manifest.posix[1:])
    nobody = replace(manifest, revision=9, posix=(manifest.posix[0], *empty))
    assert "2 of 2" in refused(site, nobody)
    one = unlinked(with_records(site, user("carol")))
    one = replace(one, posix=tuple(c for c in one.posix if c.name in {"groups", "users-00"}))
    site.desk.sign_manifest(encode_manifest(one))


def _empty(site: SnapshotSite) -> str:
    return site.store.put_chunk(b"", restricted=False)


BAN_LISTS = {
    "realm": BanList("elsewhere", 9, START, ()),
    "past": BanList(REALM, 9, START - 301, ()),
    "future": BanList(REALM, 9, START + 301, ()),
    "root": BanList(REALM, 9, START, ((0, 0),)),
    "hole": BanList(REALM, 9, START, ((65_534, 0),)),
    "no issuer": BanList(REALM, 9, START, (), (("iam.example.org", 0),)),
    "plain http": BanList(REALM, 9, START, (), (("http://iam.example.org/", 0),)),
    "issuer twice": BanList(REALM, 9, START, (), ((ISSUER, 0), (ISSUER, START + 9))),
    "issuers out of order": BanList(REALM, 9, START, (), ((OTHER, 0), (ISSUER, 0))),
    "token twice": BanList(REALM, 9, START, (), (), (("ab" * 32, 0), ("ab" * 32, 0))),
    "tokens out of order": BanList(REALM, 9, START, (), (), (("ab" * 32, 0), ("aa" * 32, 0))),
}


@pytest.mark.parametrize("name", BAN_LISTS)
def test_a_wrong_ban_list_is_refused(site: SnapshotSite, name: str) -> None:
    """Realm, dates, numbers; issuers and tokens in their one form, each once."""
    with pytest.raises(Conflict):
        site.desk.sign_bans(encode_bans(BAN_LISTS[name]))


def test_banned_issuers_and_tokens_are_signed(site: SnapshotSite) -> None:
    """As the publisher writes them; plain http to this very host is an issuer of a test."""
    issuers = (("http://127.0.0.1:8081/", 0), (ISSUER, START + 9), (OTHER, 0))
    bans = BanList(REALM, 9, START, (), issuers, (("aa" * 32, 0), ("ab" * 32, START + 1)))
    assert site.desk.sign_bans(encode_bans(bans)).payload == encode_bans(bans)


def test_a_lower_ban_counter_is_refused_also_after_a_restart(site: SnapshotSite) -> None:
    """Nobody gets a ban lifted by signing an old list anew."""
    site.desk.sign_bans(encode_bans(BanList(REALM, 5, START + 1, ((200_000, 0),))))
    for desk in (site.desk, site.make_desk()):
        for older in (BanList(REALM, 4, START + 2, ()), BanList(REALM, 5, START, ())):
            with pytest.raises(Conflict):
                desk.sign_bans(encode_bans(older))


def test_no_guard_stops_a_ban_list_however_long_or_short(site: SnapshotSite) -> None:
    """Law 5: bad news has no guard."""
    everybody = tuple((200_000 + n, 0) for n in range(1000))
    site.desk.sign_bans(encode_bans(BanList(REALM, 5, START, everybody)))
    site.desk.sign_bans(encode_bans(BanList(REALM, 6, START, ())))


@pytest.mark.parametrize(
    "heartbeat",
    [
        Heartbeat("elsewhere", START, 0, 0),
        Heartbeat(REALM, START - 301, 0, 0),
        Heartbeat(REALM, START + 301, 0, 0),
        Heartbeat(REALM, START, 1000, 0),
        Heartbeat(REALM, START, 0, 1000),
    ],
)
def test_a_wrong_heartbeat_is_refused(site: SnapshotSite, heartbeat: Heartbeat) -> None:
    """Realm, time, and announcing what was never signed."""
    with pytest.raises(Conflict):
        site.desk.sign_heartbeat(encode_heartbeat(heartbeat))


@pytest.mark.parametrize("text", ["", "{}x", '{"revision": -1}', '{"revision": "1"}', "[]"])
def test_a_damaged_state_file_stops_the_signer(site: SnapshotSite, text: str) -> None:
    """It never begins anew by itself: forgetting is what an attacker wants."""
    path = site.keys_directory / "signer-state.json"
    path.write_text(text)
    with pytest.raises(InvalidInput):
        SignerState(path)

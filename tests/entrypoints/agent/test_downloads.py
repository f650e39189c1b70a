"""What a node must never install, each kind of download tried (issue 2, Bad input)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from idmap.adapters.snapshot.keys import Role
from idmap.domain.errors import NodeInstallFailed
from idmap.domain.manifest import (
    BANS_TYPE,
    HEARTBEAT_TYPE,
    MANIFEST_TYPE,
    BanList,
    Manifest,
    encode_bans,
    encode_envelope,
    encode_manifest,
    parse_envelope,
    parse_manifest,
)
from idmap.domain.reasons import Reason
from tests.support.snapshot_site import START, SnapshotSite, installed_users


def current(site: SnapshotSite) -> Manifest:
    """The published manifest."""
    data = site.store.read_document("manifest")
    assert data is not None
    return parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload)


def serve_manifest(site: SnapshotSite, manifest: Manifest, role: Role = Role.MANIFEST) -> None:
    """Serves a manifest that the signer would never have signed, with a real signature."""
    payload = encode_manifest(manifest)
    site.store.put_document("manifest", site.sign(role, MANIFEST_TYPE, payload))


def refused(site: SnapshotSite) -> Reason:
    """The reason why a sync of a node that has nothing is refused; nothing may be installed."""
    with pytest.raises(NodeInstallFailed) as caught:
        site.agent().installer.sync()
    assert not (site.node / "posix.db").exists()
    assert not (site.node / "trust.db").exists()
    assert not list(site.node.rglob("*.tmp"))
    return caught.value.reason


def test_a_first_sync_installs_all_three_files_with_their_modes(site: SnapshotSite) -> None:
    """The way it should go, against which the refusals below mean something."""
    assert site.agent().installer.sync()
    assert {name: uid for name, (uid, _) in installed_users(site.node).items()} == {
        "alice": 200_000,
        "bob": 200_001,
    }
    modes = {n: (site.node / n).stat().st_mode & 0o777 for n in ("posix.db", "bans.db", "trust.db")}
    assert modes == {"posix.db": 0o644, "bans.db": 0o644, "trust.db": 0o640}
    assert not site.agent().installer.sync(), "a second sync finds nothing to do"


@pytest.mark.parametrize("kind", ["chunks", "trust"])
def test_a_tampered_chunk_is_never_installed(site: SnapshotSite, kind: str) -> None:
    """One flipped bit, same length."""
    site.server.faults[f"/v1/snapshot/{kind}/"] = lambda data: (
        bytes([data[0] ^ 1]) + data[1:] if data else data
    )
    assert refused(site) is Reason.DOWNLOAD_TAMPERED


def test_a_chunk_with_more_than_was_signed_is_never_installed(site: SnapshotSite) -> None:
    """Reading stops at the signed size; nobody can fill the node's memory."""
    site.server.faults["/v1/snapshot/chunks/"] = lambda data: data + b"user\tmallory\n"
    assert refused(site) is Reason.DOWNLOAD_TAMPERED


def test_a_chunk_cut_short_by_a_mirror_is_never_installed(site: SnapshotSite) -> None:
    """A complete answer with too few bytes."""
    site.server.faults["/v1/snapshot/chunks/"] = lambda data: data[:-1]
    assert refused(site) is Reason.DOWNLOAD_FAILED


def test_a_chunk_whose_connection_breaks_is_never_installed(site: SnapshotSite) -> None:
    """The promised length does not come."""
    site.server.short.add("/v1/snapshot/chunks/")
    assert refused(site) is Reason.DOWNLOAD_FAILED


def test_a_manifest_cut_short_is_never_installed(site: SnapshotSite) -> None:
    """Half an envelope is no envelope."""
    site.server.faults["/v1/snapshot/manifest"] = lambda data: data[: len(data) // 2]
    assert refused(site) is Reason.MANIFEST_INVALID


def test_a_manifest_changed_after_signing_is_never_installed(site: SnapshotSite) -> None:
    """The signature holds for the payload's own bytes only."""
    envelope = parse_envelope(site.store.read_document("manifest") or b"", MANIFEST_TYPE)
    changed = encode_manifest(replace(current(site), not_after=2**40))
    forged = replace(envelope, payload=changed)
    site.store.put_document("manifest", encode_envelope(forged))
    assert refused(site) is Reason.MANIFEST_UNTRUSTED


def test_a_manifest_signed_by_the_bans_key_is_never_installed(site: SnapshotSite) -> None:
    """A key signs its own role only: the online key for bans makes no accounts."""
    serve_manifest(site, current(site), Role.BANS)
    assert refused(site) is Reason.MANIFEST_UNTRUSTED


def test_a_heartbeat_does_not_pass_as_a_manifest(site: SnapshotSite) -> None:
    """The type is signed with the payload, and a relabelled one does not verify."""
    heartbeat = site.store.read_document("heartbeat") or b""
    site.store.put_document("manifest", heartbeat)
    assert refused(site) is Reason.MANIFEST_INVALID
    site.store.put_document(
        "manifest", heartbeat.replace(HEARTBEAT_TYPE.encode(), MANIFEST_TYPE.encode())
    )
    assert refused(site) is Reason.MANIFEST_UNTRUSTED


def test_a_manifest_of_another_realm_is_never_installed(site: SnapshotSite) -> None:
    """A key that serves two realms does not mix them."""
    serve_manifest(site, replace(current(site), realm="elsewhere"))
    assert refused(site) is Reason.MANIFEST_UNTRUSTED


def test_an_expired_manifest_is_never_installed(site: SnapshotSite) -> None:
    """Not-after is judged by the node's effective time."""
    site.node_clock.now = START + 73 * 3600
    assert refused(site) is Reason.SNAPSHOT_EXPIRED


def test_a_slow_clock_does_not_revive_an_expired_manifest(site: SnapshotSite) -> None:
    """The newest signed time stands in for a clock that runs behind."""
    old = site.store.read_document("manifest")
    site.clock.now = START + 80 * 3600
    site.ban(site.open_account("s-dora", "dora"))
    site.publisher.publish_bans()
    site.node_clock.now = START - 1_000_000
    agent = site.agent()
    agent.bans.fetch()
    site.store.put_document("manifest", old or b"")
    with pytest.raises(NodeInstallFailed) as caught:
        agent.installer.sync()
    assert caught.value.reason is Reason.SNAPSHOT_EXPIRED


def test_an_older_manifest_is_never_installed_not_even_without_the_state_file(
    site: SnapshotSite,
) -> None:
    """Rollback: a revision that was once good, with a good signature."""
    old = site.store.read_document("manifest") or b""
    site.open_account("s-carol", "carol")
    site.publish()
    site.agent().installer.sync()
    site.store.put_document("manifest", old)
    for lost in (False, True):
        if lost:
            (site.node / "agent-state.json").unlink()
        with pytest.raises(NodeInstallFailed) as caught:
            site.agent().installer.sync()
        assert caught.value.reason is Reason.SNAPSHOT_OLDER
        assert "carol" in installed_users(site.node)


def test_a_signed_manifest_with_a_root_number_is_never_installed(site: SnapshotSite) -> None:
    """The agent checks records whoever signed them (law 10)."""
    line = b"user\tmallory\t0\t300000\tactive\t0\t0\t/home/m\t/bin/sh\tm\t\n"
    manifest = current(site)
    chunk = manifest.posix[1]
    sha256 = site.store.put_chunk(line, restricted=False)
    posix = tuple(
        replace(c, sha256=sha256, size=len(line)) if c is chunk else c for c in manifest.posix
    )
    serve_manifest(site, replace(manifest, revision=manifest.revision + 1, posix=posix))
    assert refused(site) is Reason.NUMBER_REFUSED


def test_a_node_without_its_credential_gets_no_identities_and_installs_nothing(
    site: SnapshotSite,
) -> None:
    """Trust chunks are for enrolled nodes."""
    site.credential_file.write_text("another")
    assert refused(site) is Reason.DOWNLOAD_FAILED


def test_bans_with_a_lower_counter_are_refused_and_the_ban_stays(site: SnapshotSite) -> None:
    """Replay of the list from before the ban."""
    before = site.store.read_document("bans") or b""
    site.ban(site.open_account("s-carol", "carol"))
    site.publish()
    agent = site.agent()
    agent.bans.fetch()
    with pytest.raises(NodeInstallFailed) as caught:
        agent.bans.install(before)
    assert caught.value.reason is Reason.SNAPSHOT_OLDER
    installed = agent.files.read_bans()
    assert installed is not None
    assert installed.bans == ((200_002, 0),)


def test_an_older_list_of_the_same_counter_changes_nothing(site: SnapshotSite) -> None:
    """A ban that ended left the list; the counter did not move, `issued` did."""
    site.ban(site.open_account("s-eve", "eve"), until=START + 10)
    site.publish()
    before = site.store.read_document("bans") or b""
    site.clock.now += 20
    site.publish()
    agent = site.agent()
    assert agent.bans.fetch()
    assert not agent.bans.install(before)
    installed = agent.files.read_bans()
    assert installed is not None
    assert installed.bans == ()


def test_a_ban_list_signed_by_the_manifest_key_is_refused(site: SnapshotSite) -> None:
    """Roles hold in both directions."""
    payload = encode_bans(BanList("a-site", 99, START, ()))
    with pytest.raises(NodeInstallFailed) as caught:
        site.agent().bans.install(site.sign(Role.MANIFEST, BANS_TYPE, payload))
    assert caught.value.reason is Reason.MANIFEST_UNTRUSTED


def test_a_re_signed_manifest_of_the_same_revision_is_installed(site: SnapshotSite) -> None:
    """An hour later only the dates differ; no chunk is fetched again."""
    site.agent().installer.sync()
    site.clock.now += 3600
    site.publisher.publish_snapshot()
    site.server.asked.clear()
    agent = site.agent()
    assert agent.installer.sync()
    posix = agent.files.read_posix()
    assert posix is not None
    assert posix.created == START + 3600
    assert site.server.asked == ["/v1/snapshot/manifest"]


def test_one_changed_account_fetches_one_chunk_of_users_and_one_of_identities(
    site: SnapshotSite,
) -> None:
    """Nodes fetch only what changed."""
    site.agent().installer.sync()
    site.open_account("s-carol", "carol")
    site.publish()
    site.server.asked.clear()
    site.agent().installer.sync()
    chunks = [path for path in site.server.asked if "/chunks/" in path or "/trust/" in path]
    assert [path.split("/")[3] for path in chunks] == ["chunks", "trust"]

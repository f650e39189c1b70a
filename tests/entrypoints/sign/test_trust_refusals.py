"""What the signer refuses of the trust chunks: a hostile `work` maps nobody to an account that is not there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from idmap.domain.errors import Conflict
from idmap.domain.identity import identity_digest
from idmap.domain.manifest import (
    MANIFEST_TYPE,
    Manifest,
    encode_manifest,
    parse_envelope,
    parse_manifest,
)
from idmap.domain.trust import ISSUERS_CHUNK, identity_chunks
from tests.support.registry_scenes import person
from tests.support.snapshot_site import SnapshotSite

SALT = bytes(range(32))
ALICE, BOB = 200_000, 200_001


def published(site: SnapshotSite) -> Manifest:
    """The last signed manifest, one revision on."""
    data = site.store.read_document("manifest") or b""
    manifest = parse_manifest(parse_envelope(data, MANIFEST_TYPE).payload)
    return replace(manifest, revision=manifest.revision + 1)


def with_chunk(site: SnapshotSite, name: str, data: bytes) -> Manifest:
    """The manifest with this trust chunk in the place of the one of its name."""
    manifest = published(site)
    sha256 = site.store.put_chunk(data, restricted=True)
    given = replace(manifest.trust[0], name=name, sha256=sha256, size=len(data))
    return replace(manifest, trust=(*(c for c in manifest.trust if c.name != name), given))


def with_identities(site: SnapshotSite, *linked: tuple[str, int]) -> Manifest:
    """The manifest with all identity chunks made anew of (subject, uid number)."""
    manifest = published(site)
    chunks = identity_chunks(SALT, [(person(subject), uid) for subject, uid in linked])
    given = [c for c in manifest.trust if c.name == ISSUERS_CHUNK]
    for name, data in chunks.items():
        sha256 = site.store.put_chunk(data, restricted=True)
        given.append(replace(given[0], name=name, sha256=sha256, size=len(data)))
    return replace(manifest, trust=tuple(given))


def refused(site: SnapshotSite, manifest: Manifest) -> str:
    """The signer's words; nothing may have been remembered."""
    before = (site.keys_directory / "signer-state.json").read_bytes()
    with pytest.raises(Conflict) as caught:
        site.desk.sign_manifest(encode_manifest(manifest))
    assert (site.keys_directory / "signer-state.json").read_bytes() == before
    return caught.value.detail


def line(subject: str, uid: object) -> tuple[str, str]:
    """(chunk name, line) of one identity."""
    digest = identity_digest(SALT, person(subject))
    return f"identities-{digest[0] * 64 // 256:02x}", f"{digest.hex()}\t{uid}\n"


def test_identities_of_the_manifests_own_accounts_are_signed(site: SnapshotSite) -> None:
    """Two of one account too: that is what linking is."""
    manifest = with_identities(site, ("s-alice", ALICE), ("s-alice-2", ALICE), ("s-bob", BOB))
    site.desk.sign_manifest(encode_manifest(manifest))


@pytest.mark.parametrize("uid", [200_002, 1000, 60_001, 299_999, 9_999_999_999])
def test_an_identity_of_an_account_that_is_not_in_the_manifest_is_refused(
    site: SnapshotSite, uid: int
) -> None:
    """Also when the number is inside the windows: it will be somebody's one day."""
    assert "no account of this manifest" in refused(site, with_identities(site, ("mallory", uid)))


def test_an_identity_left_over_from_an_account_that_went_is_refused(site: SnapshotSite) -> None:
    """The chunk was checked before, against other accounts: remembering it forgets nothing."""
    manifest = published(site)
    site.desk.sign_manifest(encode_manifest(manifest))
    empty = site.store.put_chunk(b"", restricted=False)
    posix = []
    for chunk in manifest.posix:
        data = site.store.read_chunk(chunk.sha256, restricted=False) or b""
        gone = b"\tbob\t" in data
        posix.append(replace(chunk, sha256=empty, size=0) if gone else chunk)
    without = replace(manifest, revision=manifest.revision + 1, posix=tuple(posix))
    assert f"{BOB} is no account" in refused(site, without)


def test_an_identity_twice_is_refused(site: SnapshotSite) -> None:
    """In one chunk, in either order; in another chunk; under an upper-case spelling."""
    name, to_alice = line("x", ALICE)
    _, to_bob = line("x", BOB)
    assert "twice" in refused(site, with_chunk(site, name, (to_alice + to_bob).encode()))
    assert "twice" in refused(site, with_chunk(site, name, (to_bob + to_alice).encode()))
    other = "identities-00" if name != "identities-00" else "identities-01"
    assert "another chunk" in refused(site, with_chunk(site, other, to_bob.encode()))
    upper = to_bob[:64].upper() + to_bob[64:]
    assert upper != to_bob
    assert "no identity" in refused(site, with_chunk(site, name, (to_alice + upper).encode()))


def test_a_chunk_name_is_there_once_and_known(site: SnapshotSite) -> None:
    """Nothing travels to the nodes under the signature that was not checked."""
    name, text = line("x", ALICE)
    assert "no trust chunk" in refused(site, with_chunk(site, "identities-40", text.encode()))
    assert "no trust chunk" in refused(site, with_chunk(site, "more", b""))
    manifest = with_chunk(site, name, text.encode())
    assert "twice" in refused(site, replace(manifest, trust=(*manifest.trust, manifest.trust[-1])))


@pytest.mark.parametrize(
    "bad",
    ["", "\n", "x", "{digest}", "{digest}\t0\n", "{digest}\t0200000\n", "{digest}\t200000", "{digest}\t-1\n",
     "{digest}\t200000\r\n", "{digest} 200000\n", "{digest}\t200000\t1\n", "{digest}\t٢٠٠٠٠٠\n"],
)  # fmt: skip
def test_a_line_that_is_no_identity_is_refused(site: SnapshotSite, bad: str) -> None:
    """Exactly digest, tab, number, newline."""
    name, text = line("x", ALICE)
    if not bad:
        site.desk.sign_manifest(encode_manifest(with_chunk(site, name, b"")))
        return
    data = bad.replace("{digest}", text[:64]).encode()
    assert "no identity" in refused(site, with_chunk(site, name, data))


def test_a_trust_chunk_that_is_missing_or_another_is_refused(site: SnapshotSite) -> None:
    """As for the public chunks."""
    manifest = published(site)
    first, *rest = manifest.trust
    lost = replace(manifest, trust=(replace(first, sha256="0" * 64), *rest))
    assert "not in the store" in refused(site, lost)
    longer = replace(manifest, trust=(replace(first, size=first.size + 1), *rest))
    assert "hash and size" in refused(site, longer)
    assert "no issuers chunk" in refused(site, replace(manifest, trust=()))


def issuers(site: SnapshotSite) -> dict[str, Any]:
    """The published issuers chunk."""
    chunk = next(c for c in published(site).trust if c.name == ISSUERS_CHUNK)
    value: dict[str, Any] = json.loads(site.store.read_chunk(chunk.sha256, restricted=True) or b"")
    return value


def with_issuers(site: SnapshotSite, value: object) -> Manifest:
    """The manifest with that issuers chunk."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return with_chunk(site, ISSUERS_CHUNK, text.encode())


def test_an_issuers_chunk_that_no_node_could_use_is_refused(site: SnapshotSite) -> None:
    """Not JSON, another format, a short salt, an issuer twice, more than was checked."""
    good = issuers(site)
    site.desk.sign_manifest(encode_manifest(with_issuers(site, good)))
    assert "issuers" in refused(site, with_chunk(site, ISSUERS_CHUNK, b"{"))
    assert "issuers" in refused(site, with_issuers(site, good | {"format": 2}))
    assert "salt" in refused(site, with_issuers(site, good | {"salt": "00"}))
    assert "canonical" in refused(site, with_issuers(site, good | {"more": 1}))
    assert "twice" in refused(site, with_issuers(site, good | {"issuers": good["issuers"] * 2}))


@pytest.mark.parametrize("member", [{"d": "AQAB"}, {"k": "AQAB"}, {"kty": "oct"}])
def test_a_key_that_is_not_public_is_refused(site: SnapshotSite, member: dict[str, str]) -> None:
    """A symmetric key would let every node issue tokens; a private one must not travel."""
    value = issuers(site)
    value["issuers"][0]["keys"][0] |= member
    assert "not public" in refused(site, with_issuers(site, value))


def test_demands_are_signed_in_their_only_spelling_and_for_ssh_doors_alone(
    site: SnapshotSite,
) -> None:
    """What is signed is what was meant, and what no node installs is not signed."""
    with site.registry.read() as reader:
        salt = reader.salt()
    row = {"id": "strong", "doors": ["ssh:login"], "acr": ["mfa"]}

    def chunk(**members: Any) -> bytes:
        value = {"format": 2, "salt": salt.hex(), "issuers": [], "demands": [row]} | members
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    site.desk.sign_manifest(encode_manifest(with_chunk(site, ISSUERS_CHUNK, chunk())))
    for wrong in (
        {"demands": []},
        {"format": 1},
        {"demands": [row | {"doors": ["ssh:login", "ssh:login"]}]},
        {"demands": [row | {"issuers": []}]},
        {"demands": [row, row]},
        {"demands": [row | {"acr": ["b", "a"]}]},
        {"demands": [row | {"doors": ["api"]}]},
        {"demands": [row | {"doors": ["api", "ssh:login"]}]},
    ):
        assert ISSUERS_CHUNK in refused(site, with_chunk(site, ISSUERS_CHUNK, chunk(**wrong)))

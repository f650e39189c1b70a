"""Keys: made once, private, recognised."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from idmap.adapters.snapshot.keys import Role, generate_keys, load_keys, parse_public_key
from idmap.domain.errors import InvalidInput


def test_keys_are_private_files_and_their_public_form_reads_back(tmp_path: Path) -> None:
    """What agent.toml pins is what verifies."""
    made = generate_keys(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    loaded = load_keys(tmp_path / "keys")
    for role in Role:
        assert stat.S_IMODE((tmp_path / "keys" / f"{role}.key").stat().st_mode) == 0o600
        assert parse_public_key(str(made[role])) == loaded[role].public
        assert len(made[role].key_id) == 16
        assert "PRIVATE" not in repr(loaded[role])
    assert made[Role.MANIFEST] != made[Role.BANS]


def test_a_key_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    """Also when only one of the two is there."""
    generate_keys(tmp_path)
    before = (tmp_path / "bans.key").read_bytes()
    (tmp_path / "manifest.key").unlink()
    with pytest.raises(InvalidInput):
        generate_keys(tmp_path)
    assert (tmp_path / "bans.key").read_bytes() == before
    assert not (tmp_path / "manifest.key").exists()


def test_a_key_file_that_others_can_read_a_link_or_rubbish_is_refused(tmp_path: Path) -> None:
    """Refused, not repaired."""
    generate_keys(tmp_path)
    path = tmp_path / "bans.key"
    path.chmod(0o604)
    with pytest.raises(InvalidInput):
        load_keys(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidInput):
        load_keys(tmp_path)
    path.unlink()
    path.write_bytes(b"rubbish")
    path.chmod(0o600)
    with pytest.raises(InvalidInput):
        load_keys(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "ed25519:AAAA", "rsa:AAAA", "ed25519:\u00e9", "ed25519:*"]
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    """A node with a mistyped key must not start."""
    with pytest.raises(InvalidInput):
        parse_public_key(text)

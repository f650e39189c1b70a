"""A restore brings back which version of the rules is in force, with the versions and their reasons."""

from __future__ import annotations

from pathlib import Path

from tests.adapters.sql.test_backup_restore import Host
from tests.support.registry_scenes import AUTHOR, document


def test_a_pin_is_kept_by_backup_and_restore(tmp_path: Path) -> None:
    """Whatever became of it since: the backup is one state."""
    host = Host(tmp_path)
    for name in ("first", "second"):
        with host.registry.write(AUTHOR) as writer:
            writer.save_rules(document(id=name), expect_version=None)
    with host.registry.write(AUTHOR) as writer:
        writer.pin_rules(1)
    backup = host.backup()
    with host.registry.write(AUTHOR) as writer:
        writer.unpin_rules()
    host.restore(backup)
    registry = host.open()
    with registry.read() as reader:
        pin = reader.rules_pin()
        assert pin is not None
        assert (pin.version, pin.reason, reader.rules().version) == (1, AUTHOR.reason, 1)
        assert [version.reason for version in reader.page_of_rules().items] == [AUTHOR.reason] * 2
    registry.close()
    assert host.findings() == []

"""The commands of a group manager, with their own token, against a real service."""

from __future__ import annotations

from pathlib import Path

from idmap.domain.roles import Role
from tests.entrypoints.cli.conftest import Service
from tests.entrypoints.http.roles_site import (
    LAB,
    OTHER,
    ROLE_RULES,
    member,
    save_rules,
    token_of,
)

WHY = ("--reason", "left the lab")


def _as_manager(service: Service, tmp_path: Path) -> Service:
    save_rules(service.site, ROLE_RULES)
    member(service.site, "alice", LAB)
    member(service.site, "bob", OTHER)
    token = tmp_path / "manager.token"
    token.touch(mode=0o600)
    token.write_text(token_of(service.site, Role.GROUP_MANAGER))
    service.key_file = token
    return service


def test_a_manager_on_the_command_line(service: Service, tmp_path: Path) -> None:
    """From the list of groups to a member restored."""
    manager = _as_manager(service, tmp_path)
    assert LAB in manager.run("groups", "managed", "list").stdout
    assert manager.json("groups", "managed", "list")["groups"][0]["name"] == "hpc_lab"
    shown = manager.run("groups", "managed", "members", LAB, "--all").stdout
    assert "alice" in shown
    assert "bob" not in shown
    one = manager.run("groups", "managed", "show", "alice").stdout
    tag = one.split()[-1]
    suspended = manager.run("groups", "managed", "suspend", "alice", *WHY, "--if-match", tag)
    assert (suspended.exit_code, suspended.stdout) == (0, "alice is suspended.\n")
    stale = manager.run("groups", "managed", "restore", "alice", *WHY, "--if-match", tag)
    assert "[version_conflict]" in stale.stderr
    restored = manager.run("groups", "managed", "restore", "alice", *WHY)
    assert restored.stdout == "alice is active.\n"


def test_a_manager_is_told_what_they_may_not(service: Service, tmp_path: Path) -> None:
    """Which role would do; of other groups nothing."""
    manager = _as_manager(service, tmp_path)
    refused = manager.run("accounts", "suspend", "alice", *WHY)
    assert refused.exit_code == 1
    assert "[role_missing]" in refused.stderr
    assert "site-admin or operator or security" in refused.stderr
    for name in ("bob", "nobody"):
        outside = manager.run("groups", "managed", "suspend", name, *WHY)
        assert outside.exit_code == 1
        assert "[not_found]" in outside.stderr
    assert manager.run("groups", "managed", "suspend", "alice").exit_code == 2, "a reason is needed"


def test_explain_shows_roles_on_the_command_line(service: Service) -> None:
    """Among the checks."""
    save_rules(service.site, ROLE_RULES)
    admin = ROLE_RULES["admins"][-1]
    story = service.run("explain", "--issuer", admin["issuer"], "--subject", admin["subject"])
    assert f"roles at the admin door: group-manager of {LAB}" in story.stdout

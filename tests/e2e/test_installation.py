"""Edits of PAM stacks and nsswitch.conf: pure text in, text out."""

from __future__ import annotations

from demo_site.installation import DEPLOY, statements, with_line, with_source

DEBIAN_SSHD = (
    "# PAM\n@include common-auth\naccount required pam_nologin.so\n@include common-account\n"
)


def test_a_line_goes_before_the_first_of_its_kind() -> None:
    assert with_line(DEBIAN_SSHD, "auth x").splitlines()[1:3] == ["auth x", "@include common-auth"]
    assert with_line(DEBIAN_SSHD, "account y").splitlines()[2] == "account y"


def test_a_line_is_not_put_in_twice() -> None:
    once = with_line(DEBIAN_SSHD, "auth x")
    assert with_line(once, "auth x") == once


def test_the_last_line_goes_to_the_end() -> None:
    assert (
        with_line("session a\n# end\n", "session z", last=True) == "session a\n# end\nsession z\n"
    )


def test_our_source_stands_directly_after_files_and_only_once() -> None:
    debian = "passwd:  files systemd\ngroup:\tfiles\nhosts: files dns\n"
    changed = with_source(debian)
    assert changed == "passwd:  files idmap systemd\ngroup:\tfiles idmap\nhosts: files dns\n"
    assert with_source(changed) == changed


def test_no_module_of_ours_is_merely_sufficient() -> None:
    for path in (DEPLOY / "pam.d").iterdir():
        for line in statements(path.read_text()):
            assert "sufficient" not in line
            assert "@PAM_IDMAP@" not in line or "default=die" in line

"""idmap-principals, as sshd's AuthorizedPrincipalsCommand would run it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.c.pam_host import ANNA, PamHost, built, new_host

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="binds files over /etc in a mount namespace"),
]


@pytest.fixture
def host() -> Iterator[PamHost]:
    """A node with one account, `anna`."""
    with new_host() as one:
        yield one


def principals(host: PamHost, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the program with this host's files."""
    files = ["--posix", str(host.posix), "--bans", str(host.bans)]
    return host.run(str(built() / "idmap-principals"), *files, *arguments)


def refusal(host: PamHost, *arguments: str) -> str:
    """The reason it gave for printing nothing."""
    result = principals(host, *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    return result.stderr.strip().removeprefix("idmap-principals: ")


def test_an_admitted_account_has_its_number_and_its_name_as_principals(host: PamHost) -> None:
    """The number never changes; the name is for certificates made by hand."""
    result = principals(host, "anna")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"account:{ANNA}\nanna\n", "")


def test_any_user_may_run_it(host: PamHost) -> None:
    """AuthorizedPrincipalsCommandUser is nobody; the node files are readable by all."""
    host.directory.chmod(0o755)
    program = str(built() / "idmap-principals")
    files = ["--posix", str(host.posix), "--bans", str(host.bans)]
    drop = ["setpriv", "--reuid", "65534", "--clear-groups", program]
    assert host.run(*drop, *files, "anna").stdout.startswith("account:")


def test_whoever_may_not_log_in_has_no_principals(host: PamHost) -> None:
    """Same reasons as the account phase; a name that is not ours is refused, not ignored."""
    host.passwd["lena"] = 1500
    for name in ("root", "lena", "nobody-we-know", "x" * 300, "", "-", "anna\n", "ANNA"):
        assert refusal(host, name) == "account_unknown"
    host.write_bans({ANNA: 0})
    assert refusal(host, "anna") == "banned"
    host.write_posix({"anna": f"{ANNA} suspended 0 0"})
    host.write_bans()
    assert refusal(host, "anna") == "account_suspended"
    host.write_posix({"anna": f"{ANNA} active 0 0 1"})
    assert refusal(host, "anna") == "node_class_refused"
    host.write_posix({"anna": f"{ANNA} active 0 0 2"})
    assert refusal(host, "anna") == "token_demanded", "a certificate is no token"
    host.bans.unlink()
    assert refusal(host, "anna") == "node_files_unreadable"


def test_a_local_account_of_the_same_name_gets_no_principals(host: PamHost) -> None:
    """Else a certificate of the federated anna would open the node's own anna (law 10)."""
    host.passwd["anna"] = 1500
    assert refusal(host, "anna") == "local_account"
    del host.passwd["anna"]
    assert refusal(host, "anna") == "local_account"


def test_a_list_that_cannot_be_written_is_a_failure(host: PamHost) -> None:
    """sshd disregards the output of a command that fails."""
    command = [str(built() / "idmap-principals"), "--posix", str(host.posix), "--bans"]
    line = " ".join([*command, str(host.bans), "anna", ">/dev/full"])
    assert host.run("sh", "-c", line).returncode == 1


@pytest.mark.parametrize("arguments", [(), ("anna", "ben"), ("--unknown", "anna"), ("--posix",)])
def test_wrong_usage_prints_the_usage_and_no_principals(
    host: PamHost, arguments: tuple[str, ...]
) -> None:
    """Exit status 2, so that a typo in sshd_config is told from a refusal."""
    result = host.run(str(built() / "idmap-principals"), *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert "usage: idmap-principals" in result.stderr


def test_help_tells_what_it_prints(host: PamHost) -> None:
    """`--help` goes to standard output and is a success."""
    result = principals(host, "--help")
    assert result.returncode == 0
    assert "AuthorizedPrincipalsCommand " in result.stdout

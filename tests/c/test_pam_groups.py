"""setcred gives a login the node's own groups that the agent's list has for it, each judged once more."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.c.pam_host import ANNA, PamHost, new_host

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="binds files over /etc in a mount namespace"),
]

HEAD = "# idmap-local-groups 1\n"
GPU, SCRATCH, VIDEO = 987, 1200, 44


@pytest.fixture
def host() -> Iterator[PamHost]:
    """A node with groups of its own, among them one that means root somewhere."""
    with new_host() as one:
        one.group |= {"gpu": GPU, "scratch": SCRATCH, "video": VIDEO, "a b": 1300}
        yield one


def added(host: PamHost, text: str, name: str = "anna", step: str = "setcred") -> set[int]:
    """The groups that a login has more than before, with that list."""
    host.local_groups.write_text(text)
    return gained(host, name, step)


def gained(host: PamHost, name: str = "anna", step: str = "setcred") -> set[int]:
    """The same with the list as it is. Nothing is ever lost, and nobody is kept out."""
    login = host.login(name, steps=f"groups {step} groups")
    before, after = ({int(gid) for gid in text.split()} for text in login.texts("groups"))
    assert before <= after
    if name == "anna":
        assert login.code(step) == "PAM_SUCCESS"
    return after - before


def test_the_groups_of_ones_own_line_are_added(host: PamHost) -> None:
    """And of no other line, however alike."""
    lines = "ann:1\nannabel:2\nAnna:3\nxanna:4\n"
    assert added(host, f"{HEAD}{lines}anna:{GPU},{SCRATCH}\nben:5\n") == {GPU, SCRATCH}
    assert added(host, f"{HEAD}{lines}") == set()
    assert added(host, f"{HEAD}anna:{GPU},{GPU}\n") == {GPU}


def test_without_a_list_there_are_no_groups_and_nobody_is_kept_out(host: PamHost) -> None:
    """Missing, empty, or one that somebody else could have written."""
    assert gained(host) == set()
    assert added(host, "") == set()
    host.local_groups.write_text(f"{HEAD}anna:{GPU}\n")
    host.local_groups.chmod(0o666)
    assert gained(host) == set()
    host.local_groups.chmod(0o644)
    os.chown(host.local_groups, 1500, 0)
    assert gained(host) == set()
    os.chown(host.local_groups, 0, 0)
    assert gained(host) == {GPU}
    host.local_groups.rename(host.directory / "elsewhere")
    host.local_groups.symlink_to(host.directory / "elsewhere")
    assert gained(host) == set()


@pytest.mark.parametrize(
    "gids",
    ["", ",", "x", f"{GPU}x", f"-{GPU}", f" {GPU}", "4294967295", "4294967296", "9" * 30, "0x3db"],
)
def test_a_number_that_is_none_ends_the_list(host: PamHost, gids: str) -> None:
    """What stands before it counts; nothing is guessed of what follows."""
    assert added(host, f"{HEAD}anna:{gids},{SCRATCH}\n") == set()
    assert added(host, f"{HEAD}anna:{SCRATCH},{gids},{GPU}\n") == {SCRATCH}


def test_a_line_without_its_end_is_no_line(host: PamHost) -> None:
    """A list that was cut short gives what is whole."""
    assert added(host, f"{HEAD}anna:{GPU}") == set()


def test_root_and_what_means_root_is_never_given(host: PamHost) -> None:
    """Law 10, whatever the agent wrote: gid 0, a name of the closed table, a name that is none, no group at all."""
    for gid in (0, VIDEO, 1300, 4711):
        host.local_groups.write_text(f"{HEAD}anna:{gid},{GPU}\n")
        login = host.login("anna", steps="setcred groups")
        groups = login.texts("groups")[0].split()
        assert str(GPU) in groups
        assert gid == 0 or str(gid) not in groups
        assert f"event=local_group_refused username=anna gid_number={gid}" in login.log
    host.group |= {"Sudo": 1301, "docker": 1302, "ssl-cert": 1303}
    assert added(host, f"{HEAD}anna:1301,1302,1303\n") == set()


def test_a_gid_that_a_root_equivalent_group_has_too_goes_by_the_first_name(host: PamHost) -> None:
    """The system's answer for a number is one name; the agent has looked at the others."""
    host.group = {"root": 0, "sudo": 27, "gpu": 27}
    assert added(host, f"{HEAD}anna:27\n") == set()


def test_whoever_is_not_ours_is_given_nothing(host: PamHost) -> None:
    """A local person, a name that nobody knows, and a local account under the federated name."""
    host.passwd["lena"] = 1500
    text = f"{HEAD}anna:{GPU}\nlena:{GPU}\nnobody-we-know:{GPU}\n"
    for name in ("lena", "nobody-we-know"):
        assert added(host, text, name) == set()
    host.passwd["anna"] = 1500
    assert added(host, text) == set()
    host.passwd["anna"] = ANNA + 1
    assert added(host, text) == set()


def test_groups_come_only_with_credentials_that_are_made(host: PamHost) -> None:
    """Not when they are deleted, nor when the module's arguments cannot be relied on."""
    text = f"{HEAD}anna:{GPU}\n"
    assert added(host, text, step="delcred") == set()
    host.arguments.append("unknown")
    assert added(host, text) == set()


def test_more_groups_than_a_record_may_name_are_not_given(host: PamHost) -> None:
    """A bound of the module's own."""
    host.group |= {f"many{n}": 5000 + n for n in range(80)}
    gids = ",".join(str(5000 + n) for n in range(80))
    assert added(host, f"{HEAD}anna:{gids}\n") == set(range(5000, 5064))

"""Account records: node access and local groups, and the spelling without them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.application.install_view import parse_chunk
from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.errors import InvalidInput
from idmap.domain.names import RESERVED_NAMES, GroupName, Username, is_local_group
from idmap.domain.node_access import EVERYWHERE, NOWHERE, NodeAccess
from idmap.domain.numbers import GidNumber, UidNumber
from idmap.domain.posix import Windows, check_record, user_line

WINDOWS = Windows(uid=((200_000, 299_999),), gid=((300_000, 399_999),))
ALICE = Account(
    account_id=1,
    username=Username("alice"),
    uid_number=UidNumber(200_000),
    primary_group=PosixGroup(GroupName("vo"), GidNumber(300_000)),
    secondary_groups=(PosixGroup(GroupName("lab"), GidNumber(300_001)),),
    home="/home/alice",
    shell="/bin/sh",
    state=AccountState.ACTIVE,
    grace_until=None,
    expires_on=None,
    rule_id="r",
)
PLAIN = "user\talice\t200000\t300000\tactive\t0\t0\t/home/alice\t/bin/sh\talice\t300001"
LABELS = st.frozensets(st.from_regex(r"[a-z][a-z0-9_-]{0,30}", fullmatch=True), max_size=5)
ACCESS = st.one_of(LABELS.map(NodeAccess), LABELS.map(lambda never: NodeAccess(None, never)))
LOCAL = st.frozensets(
    st.from_regex(r"[A-Za-z0-9_.+-]{1,32}", fullmatch=True).filter(is_local_group), max_size=5
)


def test_an_account_for_everywhere_is_spelled_as_before() -> None:
    """Byte for byte: nodes of before read it."""
    assert user_line(ALICE) == PLAIN
    assert user_line(replace(ALICE, access=NOWHERE)) == f"{PLAIN}\t\t"
    local = replace(ALICE, local_groups=frozenset({"scratch", "gpu"}))
    assert user_line(local) == f"{PLAIN}\t*\tgpu,scratch"


@given(access=ACCESS, local_groups=LOCAL)
def test_what_is_written_is_read_back_by_nodes(
    access: NodeAccess, local_groups: frozenset[str]
) -> None:
    """Any access, any groups."""
    line = user_line(replace(ALICE, access=access, local_groups=local_groups))
    check_record(line, WINDOWS)
    assert (line == PLAIN) is (access == EVERYWHERE and not local_groups)
    (user,) = parse_chunk("users-00", f"{line}\n".encode(), WINDOWS).users
    assert (user.access, frozenset(user.local_groups)) == (access, local_groups)
    assert (user.head, user.secondary) == (PLAIN.rpartition("\t")[0], (300_001,))


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_no_name_of_the_systems_is_a_local_group(name: str) -> None:
    """In whatever spelling it is compared as."""
    for spelled in (name, name.upper(), name.replace("_", "-"), name.replace("_", ".")):
        assert not is_local_group(spelled)
        with pytest.raises(InvalidInput):
            check_record(f"{PLAIN}\t*\t{spelled}", WINDOWS)

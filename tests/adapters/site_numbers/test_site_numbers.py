"""What the site uses already, from this host's NSS and from a real slapd."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator

import pytest

from idmap.adapters.site_numbers.directory import PAGE_SIZE, Directory, DirectoryNumbers
from idmap.adapters.site_numbers.nss import PROBES, NssNumbers, probes
from idmap.domain.errors import Unavailable
from idmap.domain.numbers import ForeignNumber, NumberKind
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from tests.support.directory import (
    BASE,
    PASSWORD,
    READER,
    RunningDirectory,
    group,
    running_directory,
    user,
)

UID, GID = NumberKind.UID, NumberKind.GID
MANY = PAGE_SIZE * 2 + 7


@pytest.fixture(scope="module")
def slapd() -> Iterator[RunningDirectory]:
    """People below, in and above the range, and more in it than a page holds."""
    entries = [
        user("below", 199_999), user("above", 201_500), user("zoe", 200_000, 300_007),
        group("physics", 300_000), group("far", 400_000),
        *(user(f"p{n}", 200_100 + n, 300_000) for n in range(MANY)),
    ]  # fmt: skip
    with running_directory(entries) as running:
        yield running


def numbers(slapd: RunningDirectory, **more: object) -> DirectoryNumbers:
    """As the reader."""
    values = {
        "url": slapd.url,
        "base": BASE,
        "bind_dn": READER,
        "password": Secret(PASSWORD),
    } | more
    return DirectoryNumbers(Directory(timeout_seconds=5, **values))  # type: ignore[arg-type]


def test_every_uid_of_the_range_is_found_however_many_pages_it_takes(
    slapd: RunningDirectory,
) -> None:
    found = list(numbers(slapd).find_in_use(UID, 200_000, 201_499))
    assert len(found) == MANY + 1
    assert found[0] == ForeignNumber(UID, 200_000, "zoe", "ldap")
    assert found[-1].number == 200_100 + MANY - 1


def test_a_gid_is_in_use_by_a_group_or_by_somebodys_primary_group(slapd: RunningDirectory) -> None:
    found = list(numbers(slapd).find_in_use(GID, 300_000, 300_999))
    assert found == [
        ForeignNumber(GID, 300_000, "physics", "ldap"),
        ForeignNumber(GID, 300_007, "zoe", "ldap"),
    ]


def test_an_empty_range_is_empty(slapd: RunningDirectory) -> None:
    assert list(numbers(slapd).find_in_use(UID, 700_000, 799_999)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": Secret("wrong")},
        {"base": "dc=elsewhere,dc=example"},
        {"bind_dn": None, "password": None},
        {"url": "ldap://127.0.0.1:9"},
        {"bind_dn": f"cn=nobody,{BASE}"},
    ],
)
def test_what_cannot_be_asked_is_never_taken_for_empty(
    slapd: RunningDirectory, wrong: dict[str, object]
) -> None:
    """Law 4; and nothing of the password is told."""
    with pytest.raises(Unavailable, check=lambda e: e.reason is Reason.SITE_UNAVAILABLE) as caught:
        list(numbers(slapd, **wrong).find_in_use(UID, 200_000, 200_999))
    assert PASSWORD not in f"{caught.value!r} {caught.value.__context__!r}"


def test_a_search_cut_short_by_the_server_is_a_failure() -> None:
    """A limit of the server would make numbers look free."""
    entries = [user(f"p{n}", 200_000 + n) for n in range(30)]
    with (
        running_directory(entries, size_limit="10") as slapd,
        pytest.raises(Unavailable, check=lambda e: "sizeLimitExceeded" in e.detail),
    ):
        list(numbers(slapd).find_in_use(UID, 200_000, 200_999))


def test_plain_ldap_beyond_loopback_is_not_spoken(slapd: RunningDirectory) -> None:
    """The password does not travel in the clear: TLS is started first, and this server has none."""
    port = slapd.url.rpartition(":")[2]
    elsewhere = f"ldap://127.0.0.2:{port}"
    with pytest.raises(Unavailable, check=lambda e: "StartTLS" in e.detail):
        list(numbers(slapd, url=elsewhere).find_in_use(UID, 200_000, 200_999))


def test_this_hosts_users_and_groups_are_found() -> None:
    """By enumeration; the numbers are those of the C library's own databases."""
    users = {u.pw_uid: u.pw_name for u in reversed(pwd.getpwall())}
    highest = max(users)
    found = {n.number: n for n in NssNumbers().find_in_use(UID, 0, highest)}
    assert found.keys() >= users.keys()
    assert found[highest] == ForeignNumber(UID, highest, users[highest], "nss")
    groups = {g.gr_gid for g in grp.getgrall()}
    gids = {n.number for n in NssNumbers().find_in_use(GID, 0, max(groups))}
    assert gids >= groups


def test_one_number_is_found_by_asking_for_it() -> None:
    assert [n.name for n in NssNumbers().find_in_use(UID, 0, 0)] == [pwd.getpwuid(0).pw_name]
    assert [n.name for n in NssNumbers().find_in_use(GID, 0, 0)] == [grp.getgrgid(0).gr_name]


@pytest.mark.parametrize("size", [1, 2, PROBES, PROBES + 1, 1000, 1_000_000])
def test_probes_are_bounded_and_hold_both_ends(size: int) -> None:
    asked = probes(200_000, 200_000 + size - 1)
    assert len(asked) <= min(size, PROBES)
    assert asked[0] == 200_000
    assert asked[-1] == 200_000 + size - 1
    assert list(asked) == sorted(set(asked))

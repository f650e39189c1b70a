"""What went wrong at others with answers, names and numbers, tried on idmap's HTTP door, registry and node records.

Each test names the peer and the defect; those about tokens are in test_peer_defects.py.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from idmap.adapters.sql import SqlRegistry
from idmap.domain.accounts import Account, AccountEvent
from idmap.domain.doors import ADMIN, API
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.numbers import NumberRange, RangePurpose
from idmap.domain.plans import OpenGroup
from idmap.domain.posix import Windows, check_record, user_line
from tests.entrypoints.http.site import PORTAL, SETUP, Site, make_site
from tests.support.registries import make_registry
from tests.support.registry_scenes import (
    AUTHOR,
    STAFF,
    VO,
    furnish,
    open_one,
    opening,
    person,
)
from tests.support.registry_scenes import ISSUER as SCENE_ISSUER
from tests.support.registry_scenes import NOW as SCENE_NOW
from tests.support.tokens import (
    ISSUER,
    mint,
)

IDENTITY_MEMBERS = {"username", "uid", "gid", "groups", "home", "account"}
"""What only an answer that lets somebody in may carry."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The HTTP door over a real registry."""
    yield from make_site(tmp_path)


# --- answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["suspend", "close"])
def test_a_person_who_is_not_let_in_gets_no_name_back(site: Site, verb: str) -> None:
    """motley_cue, E10: `verified` was true for suspended and limited accounts; the caller should have read on."""
    site.newcomer()
    assert site.ask("POST", f"/v1/accounts/alice/{verb}", "bootstrap", json={}).is_success
    answer = site.resolve(site.token(door=PORTAL))
    assert answer.status_code == 403
    assert not IDENTITY_MEMBERS & answer.json().keys()


def test_a_name_is_a_member_of_the_answer_and_never_a_word_of_a_sentence(site: Site) -> None:
    """motley_cue, E10: the name was the second word of a message: for a pending account, `deployment`."""
    site.newcomer("somebody", preferred_username="deployment")
    pending = site.resolve(site.token("alice", door=PORTAL))
    assert (pending.status_code, pending.json()["code"]) == (403, "account_unknown")
    assert not IDENTITY_MEMBERS & pending.json().keys()
    known = site.resolve(site.token("somebody", door=PORTAL))
    assert known.json()["username"] == "deployment"


def test_that_something_was_started_lets_nobody_in(site: Site) -> None:
    """oidc-pam#120: the broker answered success when a device flow had merely started."""
    for credential in (None, "idmap-adm-nonsense", mint(key="rsa-evil").reveal()):
        answer = site.ask("POST", "/v1/me/account", credential)
        assert answer.status_code == 401
        assert not IDENTITY_MEMBERS & answer.json().keys()
    with site.registry.read() as reader:
        assert not list(reader.people())
    begun = site.newcomer()
    assert (begun.status_code, begun.json()["ready"]) == (202, False)
    shown_elsewhere = site.resolve(site.token(door=API))
    assert (shown_elsewhere.status_code, shown_elsewhere.json()["code"]) == (
        403,
        "audience_refused",
    )


def test_nothing_changes_by_being_looked_at(site: Site) -> None:
    """motley_cue §2.1: deploy, suspend and admin actions were GET requests, open to any page through CORS."""
    site.newcomer()
    with site.registry.read() as reader:
        before = reader.revision(), len(reader.changes(limit=1000))
    for path in site.app.openapi()["paths"]:
        if path.startswith("/v1/events"):
            continue  # an answer without an end; tests/entrypoints/http/test_events.py
        filled = (
            path.replace("{name}", "alice").replace("{username}", "alice").replace("{ban_id}", "1")
        )
        for credential in ("bootstrap", "portal", "login1", site.token()):
            answer = site.ask("GET", filled, credential, headers={"Origin": "https://evil.example"})
            assert "access-control-allow-origin" not in answer.headers
    with site.registry.read() as reader:
        assert (reader.revision(), len(reader.changes(limit=1000))) == before


def test_no_cookie_says_who_somebody_is(site: Site) -> None:
    """ALISE §2.8: an unsigned cookie, whose value is the identity itself, decided what was linked to whom."""
    site.newcomer()
    site.client.cookies.set("session_id", f"{ISSUER}:alice")
    for method, path in (("GET", "/v1/me"), ("POST", "/v1/me/account"), ("GET", "/v1/accounts")):
        answer = site.ask(method, path)
        assert answer.status_code == 401
        assert not IDENTITY_MEMBERS & answer.json().keys()


def test_a_mapping_is_nobodys_to_keep(site: Site) -> None:
    """ALISE §2.8: answers that map a person carried a public cache life of a year."""
    site.newcomer()
    answer = site.resolve(site.token(door=PORTAL))
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["valid_until"] - site.clock.now <= 60


def test_a_ban_stands_above_every_rule(site: Site) -> None:
    """opkssh §3.1: policy only ever added; a plugin could widen what nothing could take away."""
    site.newcomer("mallory", groups=["hpc", "hpc/admins"])
    ban = {"identity": {"issuer": ISSUER, "subject": "mallory"}, "reason": "intruder"}
    assert site.ask("POST", "/v1/bans", "bootstrap", json=ban).is_success
    groups = ["hpc", "hpc/gpu", "hpc/admins"]
    answer = site.resolve(site.token("mallory", door=PORTAL, groups=groups))
    assert (answer.status_code, answer.json()["code"]) == (403, "banned")
    admin = site.ask("GET", "/v1/accounts", site.token("mallory", door=ADMIN, groups=groups))
    assert admin.status_code == 403


# --- names -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted", ["root", "slurm", "munge", "rocky", "ubuntu", "nobody", "sudo", "Root", "r00t\n", "0"]
)
def test_a_claim_names_nobody_who_matters_on_a_host(site: Site, wanted: str) -> None:
    """feudalAdapter, E7: `preferred_username` root made an LDAP account root; only the directory had been searched."""
    account = site.newcomer("attacker", preferred_username=wanted).json()["account"]
    assert (account["username"], account["home"]) == ("u200000", "/home/u200000")


def test_one_address_is_not_one_person(site: Site) -> None:
    """opkssh §3.1 (match by e-mail, verified or not) and step-ca §3.2 (principal from the address's local part)."""
    alice = site.newcomer("s1", email="alice@a.org", preferred_username="alice").json()
    for subject, email in (("s2", "alice@a.org"), ("s3", "alice@b.org"), ("s4", "ALICE@A.ORG")):
        other = site.newcomer(subject, email=email, email_verified=True, preferred_username="alice")
        assert other.json()["account"]["uid"] != alice["account"]["uid"]
        assert other.json()["account"]["username"] != "alice"


def test_a_name_given_back_is_given_to_nobody_else(site: Site) -> None:
    """himmelblau (generic OIDC): uids hash the account name, so whoever got a name again got uid and files with it."""
    first = site.newcomer("old", preferred_username="alice").json()["account"]
    assert site.ask("POST", "/v1/accounts/alice/close", "bootstrap", json={}).is_success
    second = site.newcomer("new", preferred_username="alice").json()["account"]
    assert (first["username"], second["username"]) == ("alice", "u200001")
    assert second["uid"] != first["uid"]


def test_a_person_renamed_by_the_issuer_keeps_name_and_number(site: Site) -> None:
    """himmelblau: a renamed person got a new uid and lost their files."""
    before = site.newcomer("s1", preferred_username="alice").json()["account"]
    after = site.newcomer("s1", preferred_username="alicia", email="alicia@a.org").json()["account"]
    assert after == before


@pytest.mark.parametrize("path", ["wheel", "sudo", "docker", "Wheel", "adm", "lxd"])
def test_a_group_of_the_issuer_is_never_a_group_of_the_host(path: str) -> None:
    """himmelblau CVE-2025-49012: a group of the provider matched the local `wheel` or `sudo` by its name."""
    registry = make_registry(lambda: SCENE_NOW)
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        group = writer.open_group(OpenGroup(Group(SCENE_ISSUER, path), None), group_range="groups")
    assert group.name == f"g{group.gid_number}"


def test_a_name_with_a_separator_reaches_no_file(site: Site) -> None:
    """himmelblau GHSA-x259-23ph-65m5: a newline or colon in a name was written into `/etc/subuid`."""
    for number, wanted in enumerate(("a:0:0", "a\nroot:x:0:0", "a\tb", "a/../b", "a,b", "a b")):
        account = site.newcomer(f"s{number}", preferred_username=wanted).json()["account"]
        assert account["username"] == f"u{account['uid']}"


# --- numbers -----------------------------------------------------------------------------------


def test_a_suspension_is_done_when_it_is_reported(site: Site) -> None:
    """feudalAdapter, E8: suspending in LDAP answered "suspended" and did nothing."""
    site.newcomer()
    reported = site.ask("POST", "/v1/accounts/alice/suspend", "bootstrap", json={}).json()
    read_back = site.ask("GET", "/v1/accounts/alice", "bootstrap").json()
    assert (reported["state"], read_back["state"]) == ("suspended", "suspended")
    assert site.resolve(site.token(door=PORTAL)).json()["code"] == "account_suspended"
    with site.registry.read() as reader:
        account = reader.find_account(username="alice")
        assert account is not None
        assert "\tsuspended\t" in user_line(account), "what nodes read says so too"


def test_simultaneous_allocations_never_share_a_number(tmp_path: Path) -> None:
    """feudalAdapter, E9: two creations read one counter, the failed write was ignored, both got the same uid."""
    url = f"sqlite:///{tmp_path}/registry.db"
    registry = SqlRegistry.create(url, lambda: SCENE_NOW)
    furnish(registry)
    registry.close()
    start = threading.Barrier(6)

    def allocate(worker: int) -> list[Account]:
        own = SqlRegistry.open(url, lambda: SCENE_NOW)
        start.wait()
        made = [open_one(own, f"{worker}-{number}", "same") for number in range(5)]
        own.close()
        return made

    with ThreadPoolExecutor(6) as pool:
        accounts = [account for made in pool.map(allocate, range(6)) for account in made]
    assert len({account.uid_number for account in accounts}) == 30
    assert len({account.username for account in accounts}) == 30
    assert sum(account.username == "same" for account in accounts) == 1


def test_the_number_of_somebody_gone_is_nobodys(tmp_path: Path) -> None:
    """feudalAdapter bonsai_ldap: the lowest free number; local_unix: userdel. Both gave a uid, and its files, again."""
    registry = SqlRegistry.create(f"sqlite:///{tmp_path}/registry.db", lambda: SCENE_NOW)
    furnish(registry)
    gone = open_one(registry, "gone", "alice")
    with registry.write(AUTHOR) as writer:
        writer.move_account(gone.account_id, AccountEvent.CLOSED)
    new = open_one(registry, "new", "alice")
    assert new.uid_number > gone.uid_number
    assert new.username != gone.username
    registry.close()


def test_three_thousand_names_have_three_thousand_numbers() -> None:
    """Open Bastion, E11: uids were a hash of the name modulo the range: 86 collisions among 3 000 names."""
    registry = make_registry(lambda: SCENE_NOW)
    furnish(registry)
    with registry.write(AUTHOR) as writer:
        writer.add_range(NumberRange("many", RangePurpose.PEOPLE, 210_000, 212_999))
        numbers = [
            writer.open_account(
                opening(person(f"s{i}"), f"user{i}", number_range="many")
            ).uid_number
            for i in range(3000)
        ]
    assert numbers == list(range(210_000, 213_000)), "from the ledger, in order"


def test_no_record_can_carry_the_number_of_root(site: Site) -> None:
    """authd CVE-2025-5689: a gid that nobody had set was 0."""
    for purpose in RangePurpose:
        with pytest.raises(InvalidInput), site.registry.write(SETUP) as writer:
            writer.add_range(NumberRange("low", purpose, 0, 999))
    windows = Windows(uid=((0, 299_999),), gid=((0, 399_999),))
    good = "user\talice\t200000\t300000\tactive\t0\t0\t/home/alice\t/bin/sh\talice\t"
    check_record(good, windows)
    for old, new in (("200000", "0"), ("300000", "0"), ("200000", ""), ("300000", "")):
        with pytest.raises(InvalidInput):
            check_record(good.replace(old, new), windows)


def test_a_login_moves_nobodys_primary_group(site: Site) -> None:
    """authd CVE-2026-6970, feudal's alphabetically first group: a login or a new membership moved the primary gid."""
    before = site.newcomer().json()["account"]
    site.resolve(site.token(door=PORTAL, groups=["aaa", "hpc", "hpc/gpu"]))
    after = site.newcomer(groups=["aaa", "hpc", "hpc/gpu"]).json()["account"]
    assert after["gid"] == before["gid"]


def test_nothing_that_a_host_can_read_says_who_somebody_is_elsewhere() -> None:
    """feudalAdapter §2.2: the mapping lived in GECOS: every federated identifier world-readable on every node."""
    registry = make_registry(lambda: SCENE_NOW)
    furnish(registry)
    account = open_one(registry, "7a1f-secret-subject", "alice", secondary_groups=(STAFF,))
    line = user_line(account)
    assert "7a1f" not in line
    assert SCENE_ISSUER not in line
    assert line.split("\t")[9] == "alice"
    assert VO.path not in line, "groups travel as numbers"

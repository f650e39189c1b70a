"""One decision (law 3), from rule sets down: what random rules make of random people, in Python and on every node.

The product's own way, whole: rules are saved, sources listed, the plan is applied past the guard, bans are ordered,
chunks are made and read back, a node of each class compiles its files. Then C answers for every person by key, by
token and by certificate, NSS gives their groups, and `decide` says the same of what is recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idmap.adapters.node_files.bans_db import write_bans
from idmap.application.install_state import InstalledBans
from idmap.application.install_view import compiler_input, merge, parse_chunk
from idmap.application.ports import Author, RegistryReader
from idmap.domain.accounts import UNKNOWN_TO_NODES, Account, AccountEvent, AccountState
from idmap.domain.assurance import Assurance
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import NodeTimes, decide, node_reason
from idmap.domain.doors import ssh_door
from idmap.domain.groups import Group
from idmap.domain.guard import GuardLimits
from idmap.domain.posix import posix_chunks, windows_of
from idmap.domain.reasons import Reason
from tests.c.test_agreement import _transcript, ask
from tests.support.examples import examples
from tests.support.provisioning import ISSUER, Site, group, identity
from tests.support.registries import make_registry

NAMES = tuple(f"person{number}" for number in range(7))
PATHS = ("vo", "vo/a", "vo/b", "vo/blocked")
CLASSES = ("login", "gpu", "secure")
MFA = "https://refeds.org/profile/mfa"
DAY = 86_400

pytestmark = pytest.mark.timeout(400)
"""Every example is a site with its nights."""


def make_rules(random: Random) -> dict[str, Any]:
    """Any rule set of the second format: classes with terms, account, add and deny rules, demands."""

    def some(words: tuple[str, ...], least: int = 0) -> list[str]:
        return random.sample(words, random.randint(least, len(words)))

    def maybe(member: str, value: object) -> dict[str, Any]:
        return {member: value} if random.random() < 0.4 else {}

    classes = {
        name: {
            "range": "people",
            "primary_group": random.choice(PATHS[:3]),
            "shell": random.choice(["/bin/bash", "/bin/zsh"]),
            "home": "/home/{username}",
            "grace_days": random.randint(0, 2),
            "membership_grace_days": random.randint(0, 2),
            **maybe("node_classes", some(CLASSES)),
            **maybe("expires", f"2026-11-0{random.randint(1, 9)}"),
            **maybe("local_groups", ["scratch"]),
        }
        for name in ("one", "two")
    }
    classes["team"] = {
        **{member: v for member, v in classes["one"].items() if member != "membership_grace_days"},
        "kind": "shared", "name": "teamprd",
    }  # fmt: skip
    rules = []
    for number in range(random.randint(0, 6)):
        effect = random.choice(["account", "account", "account", "add", "deny"])
        when = {"groups": {"any": some(PATHS, 1), **maybe("none", some(PATHS, 1))}}
        rule: dict[str, Any] = {
            "id": f"rule{number}", "issuer": ISSUER, "effect": effect,
            "priority": random.randint(-1, 1), "when": when,
        }  # fmt: skip
        if effect == "account":
            rule |= {"class": random.choice(sorted(classes)), "secondary_groups": some(PATHS)}
        elif effect == "add":
            rule |= {"secondary_groups": some(PATHS, 1), **maybe("node_classes", some(CLASSES))}
        else:
            rule |= {**maybe("node_classes", some(CLASSES, 1)), **maybe("grace_days", 1)}
        rules.append(rule)
    demands = [
        {
            "id": f"demand{number}",
            "doors": [f"ssh:{one}" for one in some(CLASSES, 1)],
            "acr": [MFA],
            "keys": random.choice(["refuse", "admit"]),
        }
        for number in range(random.randint(0, 2))
    ]
    return {
        "format": 2, "groups": {"range": "groups"}, "classes": classes, "rules": rules,
        "demands": demands,
    }  # fmt: skip


@dataclass(frozen=True)
class Node:
    """The installed files of a node of one class."""

    node_class: str
    directory: Path
    times: NodeTimes
    token_only: bool


def live(random: Random) -> Site:
    """A site after some nights: rules that change, people who come and go, bans, an administrator's hand."""
    site = Site(make_registry(), limits=GuardLimits(max_percent=100)).prepare(make_rules(random))
    for _ in range(random.randint(1, 3)):
        site.source.members = {
            path: {name for name in NAMES if random.random() < 0.5} for path in PATHS
        }
        site.source.inactive = {name for name in NAMES if random.random() < 0.15}
        report = site.run()
        if report.reason is Reason.GUARD_STOPPED and report.plan is not None:
            report = site.run(approve=report.plan.digest)
        assert report.reason is None, report
        site.later(days=random.randint(0, 2))
        if random.random() < 0.4:
            site.save_rules(make_rules(random))
    with site.registry.write(Author("test", "an order")) as writer:
        for name in NAMES:
            account = writer.recorded(identity(name)).account
            if account is not None and account.state is AccountState.ACTIVE:
                if random.random() < 0.1:
                    writer.move_account(account.account_id, AccountEvent.SUSPENDED_BY_PERSON)
                elif random.random() < 0.1:
                    writer.move_account(account.account_id, AccountEvent.CLOSED)
            if random.random() < 0.2:
                until = random.choice([None, site.now + 1, site.now + DAY])
                writer.add_ban(
                    account_id=None, identity=identity(name), reason="x", until=until, at=site.now
                )
    return site


def install(site: Site, reader: RegistryReader, node_class: str, build: Any, to: Path) -> Node:
    """What a node of the class has: chunks, read back, compiled."""
    ranges = tuple(status.range for status in reader.ranges())
    private = {status.range.name for status in reader.ranges() if status.has_gids}
    windows = windows_of(ranges, private)
    chunks = posix_chunks(reader.every_account(), reader.posix_groups().values())
    view = merge(parse_chunk(name, data, windows) for name, data in chunks.items())
    token_only = node_class in reader.rules().token_only_classes()
    posix = compiler_input(
        view, windows, revision=1, created=site.now, not_after=0, node_class=node_class,
        token_only=token_only,
    )  # fmt: skip
    to.mkdir(exist_ok=True)
    done = build.compile(posix.decode(), to / "posix.db")
    assert done.returncode == 0, done.stderr
    banned = reader.banned_uid_numbers(site.now)
    write_bans(to / "bans.db", InstalledBans(1, site.now, site.now, clock_skew=False, bans=banned))
    times = NodeTimes(created=site.now, not_after=0, signed_time=site.now, clock_skew=False)
    return Node(node_class, to, times, token_only)


def credential(name: str, node_class: str, random: Random, at: int) -> VerifiedClaims:
    """A token that says less than the record, the same, or more."""
    claimed = frozenset(group(path) for path in PATHS if random.random() < 0.5)
    acr = random.choice([None, MFA, "other"])
    return VerifiedClaims(
        identity(name), ssh_door(node_class), at + 3600, at, None, None, claimed, None,
        assurance=Assurance(frozenset(), acr),
    )  # fmt: skip


@settings(
    max_examples=examples(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_rules_people_bans_and_dates_come_out_alike_in_python_and_in_c(
    plain: Any, tmp_path: Path, seed: int
) -> None:
    """Every person at every class of nodes, now and over the next days: by key, and by token."""
    random = Random(seed)
    site = live(random)
    with site.registry.read() as reader:
        rules = reader.rules()
        known = {name: reader.recorded(identity(name)) for name in NAMES}
        for node_class in CLASSES:
            node = install(site, reader, node_class, plain, tmp_path / node_class)
            asked = [
                (name, one.account, clock)
                for name, one in known.items()
                if one.account is not None
                for clock in (site.now, site.now + 1, site.now + DAY, site.now + 4 * DAY)
            ]
            answers = ask(
                plain, node.directory, [(account.username, clock) for _, account, clock in asked]
            )
            for (name, account, clock), answer in zip(asked, answers, strict=True):
                told = answer[0]
                recorded = known[name]
                by_key = decide(recorded, rules, clock, ssh_door(node_class))
                demanded = node.token_only
                said = node_reason(
                    account, recorded.bans, node.times, clock, node_class, token_demanded=demanded
                )
                assert told == str(said), (name, node_class)
                if account.state not in UNKNOWN_TO_NODES:
                    assert told == str(by_key.reason), (name, node_class, by_key)
                token = credential(name, node_class, random, clock)
                by_token = decide(recorded, rules, clock, ssh_door(node_class), token)
                phase = "ok" if told == "token_demanded" else told
                if by_token.allowed:
                    assert phase == "ok", (name, node_class)
                elif phase != "ok" and account.state not in UNKNOWN_TO_NODES:
                    assert phase == str(by_token.reason), (name, node_class, by_token)
                else:
                    assert not by_token.allowed
    site.registry.close()


@settings(
    max_examples=examples(10),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_nss_gives_what_the_rules_gave(plain: Any, seed: int) -> None:
    """Number, shell and groups of everybody: those of the account, and so those that the plan compiled."""
    random = Random(seed)
    site = live(random)
    with site.registry.read() as reader:
        install(site, reader, random.choice(CLASSES), plain, plain.live)
        accounts = [a for a in reader.every_account() if a.state not in UNKNOWN_TO_NODES]
    questions = [f"pwnam {a.username}" for a in accounts]
    questions += [f"initgroups {a.username} {a.primary_group.gid_number} 0" for a in accounts]
    answers = _transcript(plain, questions)
    for account, line in zip(accounts, answers, strict=False):
        assert line == passwd(account)
    for account, line in zip(accounts, answers[len(accounts) :], strict=True):
        numbers = {int(word) for word in line.split() if word.isdigit()}
        given_here = {g.gid_number for g in account.secondary_groups}
        assert given_here <= numbers
        others = {g.gid_number for a in accounts for g in a.secondary_groups} - given_here
        assert not (others - {account.primary_group.gid_number}) & numbers
    site.registry.close()


@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_credential_never_adds_and_its_silence_never_takes(seed: int) -> None:
    """More groups in a token give nothing; none at all take nothing that is recorded."""
    random = Random(seed)
    site = live(random)
    with site.registry.read() as reader:
        rules = reader.rules()
        for name in NAMES:
            recorded = reader.recorded(identity(name))
            for node_class in CLASSES:
                door = ssh_door(node_class)
                token = credential(name, node_class, random, site.now)
                everything = replace(token, groups=frozenset(map(group, PATHS)))
                nothing = replace(token, groups=frozenset[Group]())
                found = [
                    decide(recorded, rules, site.now, door, one)
                    for one in (token, everything, nothing)
                ]
                assert found[0] == found[1] == found[2]
                bare = decide(recorded, replace(rules, demands=()), site.now, door)
                if found[0].allowed:
                    assert bare.allowed
                assert found[0].grant == bare.grant
    site.registry.close()


def passwd(account: Account) -> str:
    """The line that NSS gives."""
    numbers = f"{account.uid_number}:{account.primary_group.gid_number}"
    return f"{account.username}:*:{numbers}:{account.username}:{account.home}:{account.shell}"


def test_the_worlds_meet_every_reason() -> None:
    """The random sites are worth asking: each outcome of the account phase that rules bring about occurs."""
    met = set()
    for seed in range(30):
        site = live(Random(seed))
        with site.registry.read() as reader:
            rules = reader.rules()
            for name in NAMES:
                for node_class in CLASSES:
                    recorded = reader.recorded(identity(name))
                    met.add(decide(recorded, rules, site.now, ssh_door(node_class)).reason)
        site.registry.close()
    assert met >= {
        Reason.OK, Reason.BANNED, Reason.ACCOUNT_UNKNOWN, Reason.ACCOUNT_SUSPENDED,
        Reason.NODE_CLASS_REFUSED, Reason.ACCOUNT_EXPIRED, Reason.TOKEN_DEMANDED,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def _no_left_over(plain: Any) -> Iterator[None]:
    """The NSS module's live file is for one test at a time."""
    yield
    (plain.live / "posix.db").unlink(missing_ok=True)

"""One decision (law 3): Python's `decide` and the installed files, as C reads them, agree.

Random populations, node classes, dates, bans and clocks go the product's own way: accounts → chunks → the node's merge
→ compiler input → `idmap-compile` → posix.db, and bans → bans.db; then the account phase and NSS are asked in C, and
`decide` in Python.
The published vectors are the same thing frozen: tests/vectors/account_phase.json, with bans.db in hexadecimal. Run with
IDMAP_UPDATE_VECTORS=1 to write them anew.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idmap.adapters.node_files.bans_db import encode_bans_db, write_bans
from idmap.application.install_state import InstalledBans
from idmap.application.install_view import compiler_input, merge, parse_chunk
from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.bans import Ban
from idmap.domain.decision import NodeTimes, Recorded, decide, node_reason
from idmap.domain.doors import ssh_door
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.names import GroupName, Username
from idmap.domain.node_access import EVERYWHERE, NOWHERE, NodeAccess
from idmap.domain.numbers import GidNumber, UidNumber
from idmap.domain.posix import Windows, posix_chunks
from idmap.domain.reasons import Reason
from idmap.domain.rules import EMPTY_RULES
from tests.support.examples import examples

VECTORS = Path(__file__).parents[1] / "vectors" / "account_phase.json"
WINDOWS = Windows(uid=((200_000, 299_999),), gid=((300_000, 399_999),))
GROUPS = tuple(PosixGroup(GroupName(f"group{n}"), GidNumber(300_000 + n)) for n in range(8))
DAY = 86_400
NOW = 1_800_000_000
TODAY = date(2027, 1, 15)
NODE_CLASS = "login"
SSH = ssh_door(NODE_CLASS)
ACCESS = (
    NOWHERE,
    NodeAccess(frozenset({NODE_CLASS})),
    NodeAccess(frozenset({NODE_CLASS, "gpu"})),
    NodeAccess(frozenset({"gpu", "secure"})),
    NodeAccess(None, frozenset({NODE_CLASS})),
    NodeAccess(None, frozenset({"gpu"})),
)
"""With and without this node's class, each way."""
STATES = [state for state in AccountState if state is not AccountState.PENDING]
"""A pending account has no place on a node; it has a test of its own."""


@dataclass(frozen=True)
class World:
    """Accounts, bans by uid number, and what the files say of time."""

    accounts: tuple[Account, ...]
    bans: tuple[tuple[int, int | None], ...]
    times: NodeTimes
    token_only: bool = False

    def bans_of(self, account: Account | None) -> tuple[Ban, ...]:
        """The bans that reach an account, as the registry would give them."""
        return tuple(
            Ban(1, 1, None, "", "", 0, until)
            for uid_number, until in self.bans
            if account is not None and uid_number == account.uid_number
        )


def make_account(index: int, random: Random) -> Account:
    """An account with any state, for any node classes, and dates around today."""
    state = random.choice(STATES)
    grace = TODAY + timedelta(random.randint(-3, 3)) if state is AccountState.GRACE else None
    expires = TODAY + timedelta(random.randint(-3, 3)) if random.random() < 0.4 else None
    primary, *others = random.sample(GROUPS, random.randint(1, len(GROUPS)))
    return Account(
        account_id=index,
        username=Username(f"user{index}"),
        uid_number=UidNumber(200_000 + index),
        primary_group=primary,
        secondary_groups=tuple(others),
        home=f"/home/user{index}",
        shell=random.choice(["/bin/bash", "/bin/zsh"]),
        state=state,
        grace_until=grace,
        expires_on=expires,
        rule_id="r",
        access=random.choice(ACCESS) if random.random() < 0.4 else EVERYWHERE,
        local_groups=frozenset({"scratch"}) if random.random() < 0.2 else frozenset(),
    )


def make_world(random: Random) -> World:
    """Any world, with times that meet the edges of days."""
    accounts = tuple(make_account(index, random) for index in range(random.randint(0, 12)))
    bans = tuple(
        (a.uid_number, random.choice([None, NOW - 1, NOW, NOW + 1, NOW + DAY]))
        for a in accounts
        if random.random() < 0.3
    )
    return World(
        accounts,
        bans,
        NodeTimes(
            created=NOW - random.randint(0, 2 * DAY),
            not_after=random.choice([0, NOW - 1, NOW, NOW + 1, NOW + 3 * DAY]),
            signed_time=random.choice([NOW - 60, NOW, NOW + DAY]),
            clock_skew=random.random() < 0.1,
        ),
        token_only=random.random() < 0.4,
    )


def posix_text(world: World) -> str:
    """What a node of the class compiles."""
    chunks = posix_chunks(world.accounts, GROUPS)
    view = merge(parse_chunk(name, data, WINDOWS) for name, data in chunks.items())
    return compiler_input(
        view,
        WINDOWS,
        revision=1,
        created=world.times.created,
        not_after=world.times.not_after,
        node_class=NODE_CLASS,
        token_only=world.token_only,
    ).decode()


def ban_list(world: World) -> InstalledBans:
    """What a node has of the bans."""
    times = world.times
    bans = tuple(sorted((uid, until or 0) for uid, until in world.bans))
    return InstalledBans(1, times.created, times.signed_time, times.clock_skew, bans)


def install(world: World, build: Any, directory: Path) -> None:
    """The product's own way from accounts to installed files."""
    done = build.compile(posix_text(world), directory / "posix.db")
    assert done.returncode == 0, done.stderr
    write_bans(directory / "bans.db", ban_list(world))


def ask(build: Any, directory: Path, questions: Iterable[tuple[str, int]]) -> list[list[str]]:
    """The account phase's answers: code, uid number, gid number, name."""
    files = f"{directory}/posix.db\t{directory}/bans.db"
    text = "".join(f"{files}\t{name}\t{clock}\n" for name, clock in questions)
    done = subprocess.run(
        [build.driver("account_vectors")], input=text, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


def questions_about(world: World) -> list[tuple[str, int]]:
    """Everybody and a stranger, at clocks on both sides of midnight and of every ban's end."""
    midnight = (NOW // DAY + 1) * DAY
    clocks = [NOW - DAY, NOW - 1, NOW, NOW + 1, midnight - 1, midnight, NOW + 4 * DAY]
    names = [account.username for account in world.accounts] + ["nobody_here"]
    return [(name, clock) for name in names for clock in clocks]


def expected(world: World, name: str, clock: int, *, token_shown: bool = False) -> Reason:
    """What the specification says, and, while the files are in date, what `decide` says too."""
    account = next((a for a in world.accounts if a.username == name), None)
    bans = world.bans_of(account)
    demanded = world.token_only and not token_shown
    reason = node_reason(account, bans, world.times, clock, NODE_CLASS, token_demanded=demanded)
    if reason not in {Reason.SNAPSHOT_EXPIRED, Reason.CLOCK_SKEW, Reason.TOKEN_DEMANDED}:
        at = max(clock, world.times.created, world.times.signed_time)
        identity = Identity(Issuer("https://iam.example/"), Subject("s"))
        recorded = Recorded(
            identity, active_at_source=True, groups=frozenset(), account=account, bans=bans
        )
        assert decide(recorded, EMPTY_RULES, at, SSH).reason is reason
    return reason


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_decide_and_the_installed_files_agree(plain: Any, tmp_path: Path, seed: int) -> None:
    """Random populations, node classes, dates, bans and clocks: the same code from Python and from C.

    A caller that has seen a token takes `token_demanded` for a yes; nothing else changes by it.
    """
    world = make_world(Random(seed))
    install(world, plain, tmp_path)
    questions = questions_about(world)
    answers = ask(plain, tmp_path, questions)
    for (name, clock), answer in zip(questions, answers, strict=True):
        assert answer[0] == str(expected(world, name, clock)), (name, clock)
        with_token = "ok" if answer[0] == "token_demanded" else answer[0]
        assert with_token == str(expected(world, name, clock, token_shown=True)), (name, clock)


@settings(
    max_examples=examples(15),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_nss_gives_each_account_its_own_record_and_groups(
    plain: Any, tmp_path: Path, seed: int
) -> None:
    """By name, by number, and the group list: what the registry says, whatever the state; tombstones are not there."""
    world = make_world(Random(seed))
    install(world, plain, plain.live)
    living = [a for a in world.accounts if a.state is not AccountState.TOMBSTONE]
    questions = [f"pwnam {a.username}" for a in living] + [f"pwuid {a.uid_number}" for a in living]
    questions += [f"initgroups {a.username} {a.primary_group.gid_number} 0" for a in living]
    gone = [a for a in world.accounts if a.state is AccountState.TOMBSTONE]
    questions += [f"pwnam {a.username}" for a in gone]
    answers = _transcript(plain, questions)
    lines = [
        f"{a.username}:*:{a.uid_number}:{a.primary_group.gid_number}:{a.username}:{a.home}:{a.shell}"
        for a in living
    ]
    assert answers[: len(living)] == lines
    assert answers[len(living) : 2 * len(living)] == lines
    for account, answer in zip(living, answers[2 * len(living) :], strict=False):
        numbers = {int(word) for word in answer.split() if word.isdigit()}
        assert {g.gid_number for g in account.secondary_groups} <= numbers
    assert all(answer.startswith("status 0") for answer in answers[3 * len(living) :])


@pytest.mark.parametrize("banned", [False, True])
def test_a_pending_account_is_nobody_to_a_node(plain: Any, tmp_path: Path, banned: bool) -> None:
    """Neither door lets it in. The node cannot say why: it has never heard of it, ban or no ban."""
    pending = replace(make_account(1, Random(1)), state=AccountState.PENDING, grace_until=None)
    times = NodeTimes(created=NOW, not_after=0, signed_time=NOW, clock_skew=False)
    bans: tuple[tuple[int, int | None], ...] = ((pending.uid_number, None),) if banned else ()
    world = World((pending,), bans, times)
    install(world, plain, tmp_path)
    (answer,) = ask(plain, tmp_path, [(pending.username, NOW)])
    assert answer[0] == str(Reason.ACCOUNT_UNKNOWN)
    assert node_reason(pending, world.bans_of(pending), times, NOW) is Reason.ACCOUNT_UNKNOWN
    identity = Identity(Issuer("https://iam.example/"), Subject("s"))
    recorded = Recorded(identity, True, frozenset(), pending, bans=world.bans_of(pending))
    told = Reason.BANNED if banned else Reason.ACCOUNT_AWAITS_APPROVAL
    assert decide(recorded, EMPTY_RULES, NOW, SSH).reason is told


def _transcript(build: Any, questions: Sequence[str]) -> list[str]:
    text = "".join(f"{question}\n" for question in questions)
    done = subprocess.run(
        [build.driver("nss_transcript"), build.module],
        input=text, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.splitlines()


def test_the_published_vectors_hold(plain: Any, tmp_path: Path) -> None:
    """The files in the tree, answered by C as they say: for whoever writes another reader."""
    if os.environ.get("IDMAP_UPDATE_VECTORS"):
        VECTORS.parent.mkdir(exist_ok=True)
        VECTORS.write_text(json.dumps([_vector(seed) for seed in range(40)], indent=1) + "\n")
    for number, vector in enumerate(json.loads(VECTORS.read_text())):
        directory = tmp_path / str(number)
        directory.mkdir()
        done = plain.compile(vector["posix"], directory / "posix.db")
        assert done.returncode == 0, done.stderr
        (directory / "bans.db").write_bytes(bytes.fromhex(vector["bans"]))
        cases = vector["cases"]
        answers = ask(plain, directory, [(case["name"], case["clock"]) for case in cases])
        assert [answer[0] for answer in answers] == [case["reason"] for case in cases]


def test_the_vectors_are_what_python_says_today() -> None:
    """A change of `decide` that changes a vector is a change of the product, made on purpose."""
    assert json.loads(VECTORS.read_text()) == [_vector(seed) for seed in range(40)]


def test_the_vectors_know_every_answer() -> None:
    """Each reason the account phase can give from sound files occurs."""
    found = {c["reason"] for vector in json.loads(VECTORS.read_text()) for c in vector["cases"]}
    assert found == {
        "ok", "account_unknown", "banned", "account_suspended", "node_class_refused", "account_expired",
        "grace_ended", "snapshot_expired", "clock_skew", "token_demanded",
    }  # fmt: skip


def _vector(seed: int) -> dict[str, Any]:
    world = make_world(Random(seed))
    # Published vectors stay small: five accounts, the clocks around midnight.
    world = replace(world, accounts=world.accounts[:5])
    return {
        "posix": posix_text(world),
        "bans": encode_bans_db(ban_list(world)).hex(),
        "cases": [
            {"name": name, "clock": clock, "reason": str(expected(world, name, clock))}
            for name, clock in questions_about(world)
        ],
    }


@pytest.fixture(autouse=True)
def _no_left_over(plain: Any) -> Any:
    """The NSS module's live file is for one test at a time."""
    yield
    (plain.live / "posix.db").unlink(missing_ok=True)

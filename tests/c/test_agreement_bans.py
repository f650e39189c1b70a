"""One decision about bans of every kind: an oracle in plain sets, `decide` on the registry, and a node's files agree.

Random people with identities of three issuers, groups, links and bans of all five kinds go the product's own way: the
registry → the signed ban list → bans.db and refused.json. Then each person comes with a key, and
with tokens of each of their identities, at clocks around every end: the account phase is asked in C, idmap-verify's
reader in Python. What must come out is said once more here, in the glossary's words and without the product's code.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from idmap.adapters.node_files.bans_db import write_bans
from idmap.adapters.node_files.refused import RefusedFile, write_refused
from idmap.adapters.sql import SqlRegistry
from idmap.application.install_state import InstalledBans, RefusedCredentials
from idmap.application.install_view import compiler_input, merge, parse_chunk
from idmap.application.ports import RegistryReader
from idmap.domain.accounts import Account, AccountEvent, AccountState
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import decide
from idmap.domain.doors import ssh_door
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, token_digest
from idmap.domain.linking import LinkProof
from idmap.domain.manifest import BanList, encode_bans, parse_bans
from idmap.domain.posix import Windows, posix_chunks
from idmap.domain.reasons import Reason
from idmap.domain.rules import EMPTY_RULES
from tests.c.test_agreement import ask
from tests.support.examples import examples
from tests.support.registries import make_registry
from tests.support.registry_scenes import AUTHOR, ISSUER, OTHER, furnish, opening, person, profile

NOW = 1_800_000_000
WINDOWS = Windows(uid=((200_000, 200_999),), gid=((300_000, 300_999),))
SSH = ssh_door("login")
THIRD = Issuer("https://third.example.org/")
ISSUERS = (ISSUER, OTHER, THIRD)
GROUPS = tuple(Group(issuer, path) for issuer in ISSUERS for path in ("vo/x", "vo/y"))
TOKEN_IDS = ("t1", "t2", "\0odd", "é", None)
ENDS = (None, NOW + 1, NOW + 60, NOW + 3600)


@dataclass
class World:
    """People as plain data: who has which account, who is in which group, what was banned until when."""

    account_of: dict[Identity, str] = field(default_factory=dict)
    groups_of: dict[Identity, set[Group]] = field(default_factory=dict)
    closed: dict[str, AccountState] = field(default_factory=dict)
    bans: list[tuple[str, Any, int | None]] = field(default_factory=list)

    def banned(self, kind: str, value: Any, at: int) -> bool:
        """Whether that very thing is banned at that time."""
        return any(
            (kind, value) == (k, v) and (until is None or at < until) for k, v, until in self.bans
        )

    def person_is_banned(self, identity: Identity, at: int) -> bool:
        """Glossary: the account, one of its identities, a group one of these is in, or every issuer of them."""
        account = self.account_of.get(identity)
        kin = [one for one, name in self.account_of.items() if name == account] or [identity]
        return (
            self.banned("account", account, at)
            or any(self.banned("identity", one, at) for one in kin)
            or any(self.banned("group", group, at) for one in kin for group in self.groups_of[one])
            or all(self.banned("issuer", one.issuer, at) for one in kin)
        )

    def token_is_banned(self, identity: Identity, token_id: str | None, at: int) -> bool:
        """Its issuer, or it alone."""
        return self.banned("issuer", identity.issuer, at) or (
            token_id is not None and self.banned("token", (identity.issuer, token_id), at)
        )


def make_world(random: Random, registry: SqlRegistry) -> World:
    """Random people in the registry and beside it."""
    furnish(registry)
    world, numbers = World(), count(1)
    with registry.write(AUTHOR) as writer:
        for issuer in (OTHER, THIRD):
            writer.save_issuer(profile(issuer))
        for _ in range(random.randint(1, 6)):
            identities = [
                person(f"s{next(numbers)}", random.choice(ISSUERS))
                for _ in range(random.choice((1, 1, 2, 3)))
            ]
            for identity in identities:
                mine = [group for group in GROUPS if group.issuer == identity.issuer]
                groups = frozenset(random.sample(mine, random.randint(0, 2)))
                writer.record_observation(identity, groups, None, NOW)
                world.groups_of[identity] = set(groups)
            if random.random() < 0.2:
                continue  # known, and without an account
            account = writer.open_account(opening(identities[0]))
            for identity in identities[1:]:
                writer.link_identity(account.account_id, identity, LinkProof.ADMINISTRATOR)
            world.account_of |= dict.fromkeys(identities, account.username)
            if random.random() < 0.2:
                event = random.choice((AccountEvent.SUSPENDED_BY_PERSON, AccountEvent.CLOSED))
                world.closed[account.username] = writer.move_account(
                    account.account_id, event
                ).state
        for _ in range(random.randint(0, 6)):
            ban(random, world, writer)
        # Somebody joins after the bans were ordered.
        for identity in random.sample(sorted(world.groups_of), min(2, len(world.groups_of))):
            group = random.choice([one for one in GROUPS if one.issuer == identity.issuer])
            writer.record_observation(identity, frozenset({group}), None, NOW)
            world.groups_of[identity].add(group)
    return world


def ban(random: Random, world: World, writer: Any) -> None:
    """One more ban of anything, and now and then one is lifted."""
    names, until = sorted(set(world.account_of.values())), random.choice(ENDS)
    what: dict[str, Any] = {"account_id": None, "identity": None}
    match random.choice(("account", "identity", "group", "issuer", "token")):
        case "account" if names:
            name = random.choice(names)
            entry = ("account", name, until)
            what["account_id"] = writer.find_account(username=name).account_id
        case "identity" | "account":
            identity = random.choice(sorted(world.groups_of))
            entry = ("identity", identity, until)
            what["identity"] = identity
        case "group":
            what["group"] = random.choice(GROUPS)
            entry = ("group", what["group"], until)
        case "issuer":
            what["issuer"] = random.choice(ISSUERS)
            entry = ("issuer", what["issuer"], until)
        case _:
            what |= {"issuer": random.choice(ISSUERS), "token_id": random.choice(TOKEN_IDS[:-1])}
            entry = ("token", (what["issuer"], what["token_id"]), until)
    made = writer.add_ban(reason="r", until=until, at=NOW, **what)
    if random.random() < 0.2:
        writer.lift_ban(made.ban_id)
    else:
        world.bans.append(entry)


def install(reader: RegistryReader, build: Any, directory: Path) -> None:
    """The product's own way from the registry to a node's files; the list travels as its bytes."""
    accounts = list(reader.every_account())
    chunks = posix_chunks(accounts, reader.posix_groups().values())
    view = merge(parse_chunk(name, data, WINDOWS) for name, data in chunks.items())
    posix = compiler_input(view, WINDOWS, revision=1, created=NOW, not_after=0)
    refused, salt = reader.credential_bans(), reader.salt()
    tokens = sorted(
        (token_digest(salt, *token).hex(), end) for token, end in refused.tokens_at(NOW)
    )
    banned = BanList(
        "r", 1, NOW, reader.banned_uid_numbers(NOW), refused.issuers_at(NOW), tuple(tokens)
    )
    told = parse_bans(encode_bans(banned))
    assert told == banned
    done = build.compile(posix.decode(), directory / "posix.db")
    assert done.returncode == 0, done.stderr
    write_bans(directory / "bans.db", InstalledBans(1, NOW, NOW, clock_skew=False, bans=told.bans))
    write_refused(
        directory / "refused.json", RefusedCredentials(told.issuers, told.tokens), group_number=-1
    )


def credential(identity: Identity, token_id: str | None) -> VerifiedClaims:
    return VerifiedClaims(identity, SSH, NOW + 9999, NOW, token_id, None, frozenset(), None)


def clocks(world: World) -> Iterator[int]:
    """Both sides of every end."""
    yield NOW
    for end in sorted({until for _, _, until in world.bans if until is not None}):
        yield from (end - 1, end)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_oracle_decide_and_the_installed_files_agree_on_bans_of_every_kind(
    plain: Any, tmp_path: Path, seed: int
) -> None:
    """By key and by every token, with an account and without one."""
    registry = make_registry(lambda: NOW)
    world = make_world(Random(seed), registry)
    with registry.read() as reader:
        install(reader, plain, tmp_path)
        accounts = {account.username: account for account in reader.every_account()}
        recorded = {identity: reader.recorded(identity) for identity in world.groups_of}
        refused, salt = reader.credential_bans(), reader.salt()
    node = RefusedFile(tmp_path / "refused.json", lambda: salt)
    asked = [(name, at) for name in sorted(accounts) for at in clocks(world)]
    phase = dict(zip(asked, (answer[0] for answer in ask(plain, tmp_path, asked)), strict=True))

    for identity, facts in recorded.items():
        name = world.account_of.get(identity)
        for at in clocks(world):
            by_key = _by_key(world, accounts, identity, at)
            assert decide(facts, EMPTY_RULES, at, SSH, None, refused).reason is by_key
            if name is not None:
                assert phase[name, at] == by_key
            for token_id in TOKEN_IDS:
                banned = world.token_is_banned(identity, token_id, at)
                expected = Reason.BANNED if banned else by_key
                shown = credential(identity, token_id)
                decided = decide(facts, EMPTY_RULES, at, SSH, shown, refused)
                assert decided.reason is expected, (identity, token_id, at)
                assert node.is_banned(identity.issuer, token_id, at) is banned
    node.close()
    registry.close()


def _by_key(world: World, accounts: dict[str, Account], identity: Identity, at: int) -> Reason:
    """What a key of theirs gets: closed, banned, suspended, in this order."""
    name, banned = world.account_of.get(identity), world.person_is_banned(identity, at)
    if name is None:
        return Reason.BANNED if banned else Reason.ACCOUNT_UNKNOWN
    state = world.closed.get(name, AccountState.ACTIVE)
    assert accounts[name].state is state
    if state is AccountState.TOMBSTONE:
        return Reason.ACCOUNT_UNKNOWN
    if banned:
        return Reason.BANNED
    return Reason.ACCOUNT_SUSPENDED if state is AccountState.SUSPENDED else Reason.OK

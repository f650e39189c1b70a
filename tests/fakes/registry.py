"""A registry in memory: the plainest thing that keeps the contract.

State is one dataclass; a write transaction works on a copy that replaces it at the end, so that
any exception leaves nothing changed. One process only; no commitments, since nothing here can be
tampered with.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

from idmap.application.ports import (
    Author,
    ChangeEntry,
    Clock,
    CredentialKind,
    ListedPerson,
    Listing,
    MachineCredential,
    NodeStatus,
    RangeStatus,
    RegistryReader,
    RegistryWriter,
    RunRecord,
)
from idmap.domain.accounts import (
    Account,
    AccountEvent,
    AccountState,
    PosixGroup,
    is_held,
    next_state,
)
from idmap.domain.bans import Ban
from idmap.domain.decision import Recorded
from idmap.domain.errors import Conflict, InvalidInput, NotFound, SourceFailed
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.issuers import IssuerProfile, check_distinct, check_profile
from idmap.domain.names import (
    GroupName,
    Username,
    check_generated_name,
    group_name_from_number,
    username_from_number,
)
from idmap.domain.numbers import GidNumber, NumberRange, RangePurpose, UidNumber, check_range
from idmap.domain.provisioning import OpenAccount, OpenGroup, PersonFacts
from idmap.domain.reasons import Reason
from idmap.domain.rules import EMPTY_RULES, RuleSet, parse_rules

TOKEN = "token"


@dataclass
class _Person:
    account_id: int | None = None
    active: bool = True
    preferred_username: str | None = None
    unreadable: bool = False
    robot: bool = False
    seen: dict[tuple[Group, str], int] = field(default_factory=dict)
    """(group, who said it) → when."""


@dataclass
class _State:
    issuers: dict[Issuer, IssuerProfile] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    ranges: dict[str, RangeStatus] = field(default_factory=dict)
    numbers: set[tuple[RangePurpose, int]] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    groups: dict[Group, PosixGroup] = field(default_factory=dict)
    listed: dict[Group, int] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)
    people: dict[Identity, _Person] = field(default_factory=dict)
    bans: dict[int, Ban] = field(default_factory=dict)
    last_ban: int = 0
    credentials: list[tuple[bytes, MachineCredential]] = field(default_factory=list)
    nodes: dict[str, NodeStatus] = field(default_factory=dict)
    local_names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    changes: list[ChangeEntry] = field(default_factory=list)
    runs: dict[str, RunRecord] = field(default_factory=dict)
    revision: int = 0
    ban_counter: int = 0

    def copied(self) -> _State:
        """A copy that can be changed apart; the values themselves are immutable, but for people."""
        copied = {one.name: copy.copy(getattr(self, one.name)) for one in fields(self)}
        copied["people"] = {i: replace(p, seen=dict(p.seen)) for i, p in self.people.items()}
        return _State(**copied)


class FakeReader:
    """Implements `RegistryReader` on one state."""

    def __init__(self, state: _State) -> None:
        self._state = state

    def issuers(self) -> tuple[IssuerProfile, ...]:
        return tuple(self._state.issuers[name] for name in sorted(self._state.issuers))

    def rules(self) -> RuleSet:
        saved = self._state.rules
        return parse_rules(saved[-1], len(saved)) if saved else EMPTY_RULES

    def rules_document(self, version: int | None = None) -> tuple[int, Mapping[str, Any]] | None:
        number = len(self._state.rules) if version is None else version
        if not 1 <= number <= len(self._state.rules):
            return None
        return number, copy.deepcopy(self._state.rules[number - 1])

    def ranges(self) -> tuple[RangeStatus, ...]:
        return tuple(sorted(self._state.ranges.values(), key=lambda status: status.range.first))

    def posix_groups(self) -> Mapping[Group, PosixGroup]:
        return dict(self._state.groups)

    def find_account(
        self,
        *,
        account_id: int | None = None,
        username: str | None = None,
        uid_number: int | None = None,
    ) -> Account | None:
        if account_id is None and username is None and uid_number is None:
            return None
        for account in self._state.accounts.values():
            if (
                account_id in {None, account.account_id}
                and username in {None, account.username}
                and uid_number in {None, account.uid_number}
            ):
                return account
        return None

    def list_accounts(
        self,
        *,
        after: int = 0,
        limit: int = 100,
        state: AccountState | None = None,
        search: str | None = None,
    ) -> tuple[Account, ...]:
        found = [
            account
            for account in self.every_account()
            if account.account_id > after
            and state in {None, account.state}
            and (search or "").lower() in account.username.lower()
        ]
        return tuple(found[:limit])

    def count_accounts(self) -> Mapping[AccountState, int]:
        states = [account.state for account in self._state.accounts.values()]
        return {state: states.count(state) for state in AccountState}

    def every_account(self) -> Iterator[Account]:
        yield from (self._state.accounts[number] for number in sorted(self._state.accounts))

    def every_linked_identity(self) -> Iterator[tuple[Identity, int]]:
        for identity, person in self._state.people.items():
            account = self._state.accounts.get(person.account_id or 0)
            if account is not None and account.state is not AccountState.TOMBSTONE:
                yield identity, account.uid_number

    def identities_of(self, account_id: int) -> tuple[Identity, ...]:
        return tuple(i for i, p in self._state.people.items() if p.account_id == account_id)

    def recorded(self, identity: Identity) -> Recorded:
        person = self._state.people.get(identity, _Person())
        siblings = {identity}
        if person.account_id is not None:
            siblings |= set(self.identities_of(person.account_id))
        return Recorded(
            identity=identity,
            active_at_source=person.active,
            groups=frozenset(group for group, _ in person.seen),
            account=self._state.accounts.get(person.account_id or 0),
            robot=person.robot,
            bans=tuple(
                ban
                for ban in self.bans()
                if ban.identity in siblings
                or (ban.account_id is not None and ban.account_id == person.account_id)
            ),
        )

    def people(self) -> Iterator[PersonFacts]:
        for identity, person in self._state.people.items():
            yield PersonFacts(self.recorded(identity), person.preferred_username, person.unreadable)

    def observed_groups(self) -> frozenset[Group]:
        return frozenset(
            group for person in self._state.people.values() for group, _ in person.seen
        )

    def bans(self, *, at: int | None = None) -> tuple[Ban, ...]:
        return tuple(ban for ban in self._state.bans.values() if at is None or ban.holds(at))

    def banned_uid_numbers(self, at: int) -> tuple[tuple[int, int], ...]:
        ends: dict[int, int] = {}
        for ban in self.bans(at=at):
            person = self._state.people.get(ban.identity) if ban.identity else None
            for account_id in {ban.account_id, person.account_id if person else None} - {None}:
                uid = self._state.accounts[account_id or 0].uid_number
                before = ends.get(uid, -1)
                ends[uid] = 0 if ban.until is None or before == 0 else max(before, ban.until)
        return tuple(sorted(ends.items()))

    def revision(self) -> int:
        return self._state.revision

    def ban_counter(self) -> int:
        return self._state.ban_counter

    def high_water(self) -> Mapping[str, int]:
        return {
            name: status.next_number - 1
            for name, status in self._state.ranges.items()
            if status.next_number > status.range.first
        }

    def find_credential(self, digest: bytes) -> MachineCredential | None:
        found = [credential for known, credential in self._state.credentials if known == digest]
        return found[0] if found else None

    def credentials(self) -> tuple[MachineCredential, ...]:
        return tuple(credential for _, credential in self._state.credentials)

    def nodes(self) -> tuple[NodeStatus, ...]:
        enrolled = {
            c.name for c in self.credentials() if c.kind is CredentialKind.NODE and not c.revoked
        }
        return tuple(self._state.nodes[name] for name in sorted(enrolled))

    def changes(self, *, after: int = 0, limit: int = 100) -> tuple[ChangeEntry, ...]:
        return tuple(self._state.changes[after : after + limit])

    def last_change(self) -> int:
        return len(self._state.changes)

    def verify_changes(self) -> int:
        return len(self._state.changes)

    def runs(self, *, limit: int = 20) -> tuple[RunRecord, ...]:
        newest = sorted(
            self._state.runs.values(), key=lambda r: (r.started, r.run_id), reverse=True
        )
        return tuple(newest[:limit])

    def salt(self) -> bytes:
        return hashlib.sha256(b"the fake realm").digest()


class FakeWriter(FakeReader):
    """Implements `RegistryWriter` on a state that nobody else sees."""

    def __init__(self, state: _State, author: Author, at: int) -> None:
        super().__init__(state)
        self._author = author
        self._at = at
        self._before = (state.revision, state.ban_counter)

    def _record(self, action: str, **body: Any) -> None:
        author, sequence = self._author, len(self._state.changes) + 1
        self._state.changes.append(
            ChangeEntry(
                sequence, self._at, author.name, author.reason, author.plan, action, body, ""
            )
        )

    def _nodes_must_know(self) -> None:
        self._state.revision = self._before[0] + 1

    def _bans_changed(self) -> None:
        self._state.ban_counter = self._before[1] + 1

    # --- policy

    def save_issuer(self, profile: IssuerProfile) -> None:
        check_profile(profile)
        check_distinct([*(p for p in self.issuers() if p.issuer != profile.issuer), profile])
        if self._state.issuers.get(profile.issuer) == profile:
            return
        self._state.issuers[profile.issuer] = profile
        self._record("save_issuer", issuer=profile.issuer)
        self._nodes_must_know()

    def remove_issuer(self, issuer: Issuer) -> None:
        if self._state.issuers.pop(issuer, None) is None:
            raise NotFound(f"issuer {issuer}")
        self._record("remove_issuer", issuer=issuer)
        self._nodes_must_know()

    def save_rules(self, document: Mapping[str, Any], *, expect_version: int | None) -> RuleSet:
        if expect_version not in {None, len(self._state.rules)}:
            raise Conflict(Reason.VERSION_CONFLICT, f"rules are at {len(self._state.rules)}")
        rules = parse_rules(document, len(self._state.rules) + 1)
        for rule in rules.rules:
            self._range(rule.account_class.number_range, RangePurpose.PEOPLE)
            self._range(rules.group_range, RangePurpose.GROUPS)
            self._check_issuer(f"rule {rule.rule_id}", rule.group.issuer)
        for index, administrator in enumerate(rules.administrators, start=1):
            who = administrator.identity or administrator.group
            if who is not None:
                self._check_issuer(f"admin {index}", who.issuer)
        self._state.rules.append(copy.deepcopy(dict(document)))
        self._record("save_rules", version=rules.version, document=document)
        return rules

    def _check_issuer(self, where: str, issuer: Issuer) -> None:
        if issuer not in self._state.issuers:
            raise InvalidInput(Reason.RULE_INVALID, f"{where}: issuer {issuer!r}")

    def _range(self, name: str, purpose: RangePurpose) -> RangeStatus:
        status = self._state.ranges.get(name)
        if status is None or status.range.purpose is not purpose:
            raise InvalidInput(Reason.RANGE_UNKNOWN, f"range {name} for {purpose}")
        return status

    def add_range(self, new: NumberRange) -> None:
        check_range(new, tuple(status.range for status in self._state.ranges.values()))
        self._state.ranges[new.name] = RangeStatus(new, new.first)
        self._record("add_range", range=new.name)
        self._nodes_must_know()

    # --- accounts and groups

    def _allocate(
        self, range_name: str, purpose: RangePurpose, spelled: str | None
    ) -> tuple[int, str]:
        status = self._range(range_name, purpose)
        taken = self._state.names.union(*self._state.local_names.values())
        if spelled is not None and check_generated_name(spelled) in taken:
            spelled = None
        make = username_from_number if purpose is RangePurpose.PEOPLE else group_name_from_number
        for number in range(status.next_number, status.range.last + 1):
            name = spelled or make(number)
            if (purpose, number) not in self._state.numbers and name not in taken:
                self._state.numbers.add((purpose, number))
                self._state.names.add(name)
                self._state.ranges[range_name] = RangeStatus(status.range, number + 1)
                return number, name
        raise Conflict(Reason.RANGE_EXHAUSTED, f"range {range_name}")

    def open_group(self, change: OpenGroup, *, group_range: str) -> PosixGroup:
        if change.group in self._state.groups:
            raise Conflict(Reason.VERSION_CONFLICT, f"group {change.group} has a gid already")
        number, name = self._allocate(group_range, RangePurpose.GROUPS, change.spelled)
        group = PosixGroup(GroupName(name), GidNumber(number))
        self._state.groups[change.group] = group
        self._record("open_group", name=name, gid_number=number)
        self._nodes_must_know()
        return group

    def open_account(self, change: OpenAccount) -> Account:
        person = self._state.people.get(change.identity, _Person())
        if person.account_id is not None:
            raise Conflict(Reason.VERSION_CONFLICT, f"{change.identity} has an account already")
        primary = self._state.groups.get(change.primary_group)
        if primary is None:
            raise Conflict(Reason.NOT_FOUND, f"group {change.primary_group} has no gid yet")
        if not (change.home.startswith("/") and change.shell.startswith("/")):
            raise InvalidInput(Reason.REQUEST_INVALID, "home and shell must be absolute paths")
        number, name = self._allocate(change.number_range, RangePurpose.PEOPLE, change.spelled)
        known = {self._state.groups[g] for g in change.secondary_groups if g in self._state.groups}
        account = Account(
            account_id=len(self._state.accounts) + 1,
            username=Username(name),
            uid_number=UidNumber(number),
            primary_group=primary,
            secondary_groups=_sorted(known - {primary}),
            home=change.home.replace("{username}", name),
            shell=change.shell,
            state=AccountState.ACTIVE,
            grace_until=None,
            expires_on=None,
            rule_id=change.rule_id,
        )
        self._state.accounts[account.account_id] = account
        person.account_id = account.account_id
        self._state.people[change.identity] = person
        self._record("open_account", username=name, uid_number=number)
        self._nodes_must_know()
        if any(ban.identity == change.identity for ban in self.bans()):
            self._bans_changed()
        return account

    def _get(self, account_id: int) -> Account:
        if account_id not in self._state.accounts:
            raise NotFound(f"account {account_id}")
        return self._state.accounts[account_id]

    def _save(self, before: Account, after: Account, action: str) -> Account:
        if before != after:
            self._state.accounts[after.account_id] = after
            self._record(action, account_id=after.account_id)
            self._nodes_must_know()
        return after

    def _get_open(self, account_id: int) -> Account:
        account = self._get(account_id)
        if account.state is AccountState.TOMBSTONE:
            raise Conflict(Reason.ACCOUNT_CLOSED, f"account {account_id}")
        return account

    def move_account(
        self, account_id: int, event: AccountEvent, grace_until: date | None = None
    ) -> Account:
        account = self._get(account_id)
        state = next_state(account.state, event)
        if (state is AccountState.GRACE) != (grace_until is not None):
            raise InvalidInput(Reason.REQUEST_INVALID, "grace_until: for grace, and only for it")
        after = replace(account, state=state, grace_until=grace_until, held=is_held(event))
        return self._save(account, after, "move_account")

    def change_groups(
        self, account_id: int, *, join: Iterable[Group] = (), leave: Iterable[Group] = ()
    ) -> Account:
        account = self._get_open(account_id)
        joining = list(join)
        for group in joining:
            if group not in self._state.groups:
                raise Conflict(Reason.NOT_FOUND, f"group {group} has no gid yet")
        held = set(account.secondary_groups)
        leaving = {self._state.groups[g] for g in leave if g in self._state.groups} & held
        held = (held - leaving) | {self._state.groups[group] for group in joining}
        after = replace(account, secondary_groups=_sorted(held - {account.primary_group}))
        return self._save(account, after, "change_groups")

    def change_shell(self, account_id: int, shell: str) -> Account:
        account = self._get_open(account_id)
        if not shell.startswith("/"):
            raise InvalidInput(Reason.REQUEST_INVALID, "shell: an absolute path is needed")
        return self._save(account, replace(account, shell=shell), "change_shell")

    # --- observations

    def record_listing(
        self, listing: Listing, *, only: Collection[Identity] | None = None
    ) -> frozenset[Identity]:
        listed: dict[Identity, ListedPerson] = {}
        for entry in listing.people:
            if only is not None and entry.identity not in only:
                continue
            if entry.identity.issuer != listing.issuer or entry.identity in listed:
                raise SourceFailed(Reason.SOURCE_INCOMPLETE, str(entry.identity))
            listed[entry.identity] = entry
        source = f"source:{listing.source}"
        watched = {group for group in listing.watched if group.issuer == listing.issuer}
        before = copy.deepcopy(self._state.people)
        for identity in listed:
            self._state.people.setdefault(identity, _Person())
        for identity, person in self._state.people.items():
            found = listed.get(identity)
            if identity.issuer != listing.issuer or (only is not None and identity not in only):
                continue
            if found is not None and not found.readable:
                person.unreadable = True
                continue
            person.unreadable = False
            known = dict(person.seen)
            for key, at in known.items():
                stale = key[1] == TOKEN and at < listing.began
                if key[0] in watched and (key[1] == source or stale):
                    del person.seen[key]
            if found is not None:
                person.active = found.active
                person.robot = found.robot
                person.preferred_username = found.preferred_username or person.preferred_username
                for key in ((group, source) for group in found.groups & watched):
                    person.seen[key] = known.get(key, listing.began)
        for group in watched:
            self._state.listed[group] = max(self._state.listed.get(group, 0), listing.began)
        after = self._state.people
        changed = frozenset(i for i in after if before.get(i) != after[i])
        if changed:
            self._record("record_listing", source=listing.source, listed=len(listed))
        return changed

    def record_observation(
        self,
        identity: Identity,
        groups: frozenset[Group],
        preferred_username: str | None,
        at: int,
        *,
        robot: bool = False,
    ) -> None:
        if any(group.issuer != identity.issuer for group in groups):
            raise InvalidInput(Reason.CLAIM_INVALID, f"{identity}: groups of another issuer")
        before = copy.deepcopy(self._state.people.get(identity))
        person = self._state.people.setdefault(identity, _Person())
        person.preferred_username = preferred_username or person.preferred_username
        known = {group for group, _ in person.seen}
        for group in groups:
            if self._state.listed.get(group, 0) <= at:
                seen = person.seen.get((group, TOKEN), 0)
                person.seen[group, TOKEN] = max(seen, at)
        person.robot = person.robot or robot
        renamed = before is None or (before.preferred_username, before.robot) != (
            person.preferred_username,
            person.robot,
        )
        if renamed or {group for group, _ in person.seen} != known:
            self._record("observe_person", subject=identity.subject)

    # --- bans

    def add_ban(
        self,
        *,
        account_id: int | None,
        identity: Identity | None,
        reason: str,
        until: int | None,
        at: int,
    ) -> Ban:
        if account_id is None and identity is None:
            raise InvalidInput(Reason.REQUEST_INVALID, "a ban is of an account or of an identity")
        if until is not None and until <= at:
            raise InvalidInput(Reason.REQUEST_INVALID, "until: lies before the ban begins")
        if account_id is not None:
            self._get(account_id)
        if identity is not None:
            self._state.people.setdefault(identity, _Person())
        self._state.last_ban += 1
        ban = Ban(self._state.last_ban, account_id, identity, reason, self._author.name, at, until)
        self._state.bans[ban.ban_id] = ban
        self._record("add_ban", ban_id=ban.ban_id)
        self._bans_changed()
        return ban

    def lift_ban(self, ban_id: int) -> None:
        if self._state.bans.pop(ban_id, None) is None:
            raise NotFound(f"ban {ban_id}")
        self._record("lift_ban", ban_id=ban_id)
        self._bans_changed()

    # --- machines and runs

    def add_credential(
        self,
        kind: CredentialKind,
        name: str,
        digest: bytes,
        *,
        node_class: str | None = None,
        doors: tuple[str, ...] = (),
        at: int,
    ) -> MachineCredential:
        if len(digest) != 32 or (kind is CredentialKind.NODE) != (node_class is not None):
            raise InvalidInput(Reason.REQUEST_INVALID, "digest or node_class")
        for used, other in self._state.credentials:
            if used == digest or (other.kind, other.name, other.revoked) == (kind, name, False):
                raise Conflict(Reason.NAME_TAKEN, f"{kind} {name} has a credential in force")
        credential = MachineCredential(kind, name, node_class, doors, at, revoked=False)
        self._state.credentials.append((digest, credential))
        if node_class is not None:
            known_node = self._state.nodes.get(name, NodeStatus(name, "", 0, 0, None, ()))
            self._state.nodes[name] = replace(known_node, node_class=node_class)
        self._record("add_credential", kind=str(kind), name=name)
        return credential

    def revoke_credential(self, kind: CredentialKind, name: str) -> None:
        for index, (digest, known) in enumerate(self._state.credentials):
            if (known.kind, known.name, known.revoked) == (kind, name, False):
                self._state.credentials[index] = (digest, replace(known, revoked=True))
                self._record("revoke_credential", kind=str(kind), name=name)
                return
        raise NotFound(f"{kind} {name}")

    def save_node_report(
        self,
        name: str,
        *,
        revision: int,
        ban_counter: int,
        masked: tuple[str, ...],
        local_names: tuple[str, ...],
        at: int,
    ) -> None:
        if name not in self._state.nodes:
            raise NotFound(f"node {name}")
        node_class = self._state.nodes[name].node_class
        self._state.nodes[name] = NodeStatus(name, node_class, revision, ban_counter, at, masked)
        self._state.local_names[name] = local_names

    def save_run(self, run: RunRecord) -> None:
        self._state.runs[run.run_id] = run


class FakeRegistry:
    """Implements `Registry` in memory."""

    def __init__(self, clock: Clock = lambda: 1_700_000_000) -> None:
        self._clock = clock
        self._state = _State()
        self._leases: dict[str, tuple[str, int]] = {}
        self._token = 0
        self._lock = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[RegistryReader]:
        yield FakeReader(self._state)

    @contextmanager
    def write(self, author: Author) -> Iterator[RegistryWriter]:
        with self._lock:
            state = self._state.copied()
            yield FakeWriter(state, author, self._clock())
            self._state = state
            self._token += 1

    @contextmanager
    def rehearse(self, author: Author) -> Iterator[RegistryWriter]:
        yield FakeWriter(self._state.copied(), author, self._clock())

    def take_lease(self, name: str, holder: str, *, at: int, seconds: int) -> bool:
        with self._lock:
            other, expires = self._leases.get(name, (holder, 0))
            if other != holder and expires > at:
                return False
            self._leases[name] = (holder, at + seconds)
            self._token += 1
            return True

    def release_lease(self, name: str, holder: str) -> None:
        with self._lock:
            if self._leases.get(name, ("", 0))[0] == holder:
                del self._leases[name]
                self._token += 1

    def change_token(self) -> int:
        return self._token

    def close(self) -> None:
        return None


def _sorted(groups: set[PosixGroup]) -> tuple[PosixGroup, ...]:
    return tuple(sorted(groups, key=lambda group: group.gid_number))

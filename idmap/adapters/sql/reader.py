"""`RegistryReader` on one database transaction: every answer is of the same state.

Reading people and accounts in bulk is people.py's; the record of changes is changes.py's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, and_, exists, func, select, union

from idmap.adapters.sql import (
    ban_book,
    changes,
    differences,
    evidence,
    facts,
    group_paths,
    numbers,
    people,
    sharing,
)
from idmap.adapters.sql.high_water import HighWaterFile
from idmap.adapters.sql.pages import PageReader
from idmap.adapters.sql.records import (
    ban_of,
    credential_of,
    identity_of,
    kept_answer_of,
    node_of,
    posix_group_of,
    profile_of,
    range_of,
    run_of,
)
from idmap.adapters.sql.rule_reader import RuleReader
from idmap.adapters.sql.tables import (
    ACCOUNTS,
    BANS,
    CHANGES,
    COUNTERS,
    CREDENTIALS,
    GROUPS,
    IDENTITIES,
    ISSUERS,
    KEPT_ANSWERS,
    LEDGER_NUMBERS,
    NODES,
    OBSERVATIONS,
    POSIX_GROUPS,
    RANGES,
    REALM,
    RUNS,
    WITHHELD,
)
from idmap.application.ports import (
    ChangeEntry,
    CredentialKind,
    FactsSaid,
    KeptAnswer,
    MachineCredential,
    NodeStatus,
    RangeStatus,
    RunRecord,
)
from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.bans import Ban, CredentialBans
from idmap.domain.decision import Recorded
from idmap.domain.differences import Difference
from idmap.domain.errors import Conflict, NotFound
from idmap.domain.facts import FactKind
from idmap.domain.groups import PRIVATE_ISSUER, Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.issuers import IssuerProfile
from idmap.domain.linking import Evidence
from idmap.domain.names import Username
from idmap.domain.numbers import NumberKind
from idmap.domain.provisioning import PersonFacts
from idmap.domain.reasons import Reason

_RANGES: Final = select(
    RANGES,
    exists()
    .where(
        LEDGER_NUMBERS.c.kind == "gid",
        LEDGER_NUMBERS.c.number.between(RANGES.c.first, RANGES.c.last),
        LEDGER_NUMBERS.c.owner.like("group:%"),
    )
    .label("has_gids"),
).order_by(RANGES.c.first)


class SqlReader(RuleReader, PageReader):
    """Implements `RegistryReader`."""

    def __init__(self, connection: Connection, outside: HighWaterFile | None = None) -> None:
        """With `outside`, the record of changes is also compared with its anchor there."""
        self._connection = connection
        self._outside = outside

    @property
    def _db(self) -> Connection:
        """The connection to read from; a writer first writes what it holds back."""
        return self._connection

    # --- policy

    def issuers(self) -> tuple[IssuerProfile, ...]:
        statement = select(ISSUERS.c.profile).order_by(ISSUERS.c.issuer)
        return tuple(profile_of(text) for text in self._db.scalars(statement))

    def ranges(self) -> tuple[RangeStatus, ...]:
        return tuple(
            replace(status, passed_over=self._passed_over(status)) for status in self._ranges()
        )

    def _ranges(self) -> tuple[RangeStatus, ...]:
        """Without counting what lies above where a range stands."""
        return tuple(map(range_of, self._db.execute(_RANGES)))

    def _passed_over(self, status: RangeStatus) -> int:
        if status.next_number > status.range.last:
            return 0
        people = status.range.purpose.kind is NumberKind.UID
        ahead = (status.next_number, status.range.last)
        issued = select(LEDGER_NUMBERS.c.number).where(
            LEDGER_NUMBERS.c.kind == ("uid" if people else "gid"),
            LEDGER_NUMBERS.c.number.between(*ahead),
        )
        withheld = select(WITHHELD.c.number).where(
            WITHHELD.c.kind == ("user" if people else "group"), WITHHELD.c.number.between(*ahead)
        )
        both = union(issued, withheld).subquery()
        return self._db.scalar(select(func.count()).select_from(both)) or 0

    def posix_groups(self) -> Mapping[Group, PosixGroup]:
        """Private groups are not among them: they are told with their account."""
        statement = (
            select(GROUPS.c.issuer, GROUPS.c.path, POSIX_GROUPS.c.name, POSIX_GROUPS.c.gid_number)
            .join_from(GROUPS, POSIX_GROUPS)
            .where(GROUPS.c.issuer != PRIVATE_ISSUER)
        )
        return MappingProxyType(
            {
                Group(Issuer(row.issuer), row.path): posix_group_of(row)
                for row in self._db.execute(statement)
            }
        )

    def group_ids(self) -> Mapping[Group, str]:
        return group_paths.group_ids(self._db)

    def members_of(self, group: Group) -> tuple[Username, ...]:
        return group_paths.members_of(self._db, group)

    def issued_numbers(self, kind: NumberKind, first: int, last: int) -> Mapping[int, str | None]:
        return numbers.issued_numbers(self._db, kind, first, last)

    # --- accounts and people

    def find_account(
        self,
        *,
        account_id: int | None = None,
        username: str | None = None,
        uid_number: int | None = None,
    ) -> Account | None:
        asked = {
            ACCOUNTS.c.account_id: account_id,
            ACCOUNTS.c.username: username,
            ACCOUNTS.c.uid_number: uid_number,
        }
        conditions = [column == value for column, value in asked.items() if value is not None]
        if not conditions:
            return None
        found = people.accounts_where(self._db, and_(*conditions))
        return found[0] if found else None

    def _get_account(self, account_id: int) -> Account:
        account = self.find_account(account_id=account_id)
        if account is None:
            raise NotFound(f"account {account_id}")
        return account

    def count_accounts(self) -> Mapping[AccountState, int]:
        statement = select(ACCOUNTS.c.state, func.count()).group_by(ACCOUNTS.c.state)
        counts = dict.fromkeys(AccountState, 0)
        for state, count in self._db.execute(statement):
            counts[AccountState(state)] = count
        return counts

    def count_accounts_of(self, rules: Collection[str]) -> int:
        statement = select(func.count()).where(
            ACCOUNTS.c.rule_id.in_(sorted(rules)), ACCOUNTS.c.state != str(AccountState.TOMBSTONE)
        )
        return self._db.scalar(statement) or 0

    def count_users(self) -> int:
        return sharing.count_users(self._db)

    def names_taken(self, names: Collection[str]) -> frozenset[str]:
        return sharing.names_taken(self._db, names, self.salt())

    def every_account(self) -> Iterator[Account]:
        return people.every_account(self._db)

    def every_linked_identity(self) -> Iterator[tuple[Identity, int]]:
        return people.every_linked_identity(self._db)

    def identities_of(self, account_id: int) -> tuple[Identity, ...]:
        statement = (
            select(IDENTITIES.c.issuer, IDENTITIES.c.subject)
            .where(IDENTITIES.c.account_id == account_id)
            .order_by(IDENTITIES.c.identity_id)
        )
        return tuple(map(identity_of, self._db.execute(statement)))

    def recorded(self, identity: Identity) -> Recorded:
        found = people.find_person(self._db, identity)
        if found is None:
            return Recorded(identity, active_at_source=True, groups=frozenset(), account=None)
        return found.recorded

    def facts(self, identity: Identity) -> PersonFacts | None:
        return people.find_person(self._db, identity)

    def facts_said(self, identity: Identity) -> FactsSaid:
        return facts.facts_said(self._db, identity)

    def observed_fact_kinds(self) -> frozenset[tuple[Issuer, FactKind]]:
        return facts.observed_kinds(self._db)

    def people_of(self, account_id: int) -> tuple[PersonFacts, ...]:
        return people.people_of(self._db, account_id)

    def shared_accounts(self) -> frozenset[int]:
        return people.shared_accounts(self._db)

    def find_evidence(self, evidence_id: int) -> Evidence | None:
        return evidence.find_evidence(self._db, evidence_id)

    def listed_groups(self) -> Mapping[Group, int]:
        return differences.listed_groups(self._db)

    def said_by_sources(
        self, identities: Collection[Identity]
    ) -> Mapping[Identity, frozenset[Group]]:
        return differences.said_by_sources(self._db, identities)

    def differences_of(self, identities: Collection[Identity]) -> tuple[Difference, ...]:
        return differences.differences_of(self._db, identities)

    def count_differences(self, since: int) -> int:
        return differences.count_differences(self._db, since)

    def people(self) -> Iterator[PersonFacts]:
        return people.every_person(self._db)

    # --- bans

    def observed_groups(self) -> frozenset[Group]:
        seen = select(OBSERVATIONS.c.group_id).distinct()
        statement = select(GROUPS.c.issuer, GROUPS.c.path).where(GROUPS.c.group_id.in_(seen))
        return frozenset(Group(Issuer(row.issuer), row.path) for row in self._db.execute(statement))

    def bans(self, *, at: int | None = None) -> tuple[Ban, ...]:
        found = map(ban_of, self._db.execute(ban_book.SOME_BANS.order_by(BANS.c.ban_id)))
        return tuple(ban for ban in found if at is None or ban.holds(at))

    def credential_bans(
        self, *, issuer: Issuer | None = None, token_id: str | None = None
    ) -> CredentialBans:
        profiles = self.issuers()
        canonical = {text: known.issuer for known in profiles for text in known.spells()}
        spelled = None
        if issuer is not None:
            spelled = {issuer, *(text for text, known in canonical.items() if known == issuer)}
        return ban_book.credential_bans(self._db, canonical, spelled=spelled, token_id=token_id)

    def banned_uid_numbers(self, at: int) -> tuple[tuple[int, int], ...]:
        """Tombstones too: a node that has not heard of the closing yet must go on refusing."""
        ends = ban_book.BanBook.of_all(self._db).ends_at(at)
        if not ends:
            return ()
        statement = select(ACCOUNTS.c.account_id, ACCOUNTS.c.uid_number)
        if len(ends) < 500:
            statement = statement.where(ACCOUNTS.c.account_id.in_(ends))
        return tuple(
            sorted(
                (uid, ends[number]) for number, uid in self._db.execute(statement) if number in ends
            )
        )

    def count_closed_by(
        self, *, group: Group | None = None, issuer: Issuer | None = None, at: int
    ) -> int:
        count = 0 if group is None else ban_book.accounts_in(self._db, group)
        return count + (0 if issuer is None else ban_book.accounts_of(self._db, issuer, at))

    # --- counters and the realm

    def revision(self) -> int:
        return self._counter("revision")

    def ban_counter(self) -> int:
        return self._counter("ban_counter")

    def _counter(self, name: str) -> int:
        statement = select(COUNTERS.c.value).where(COUNTERS.c.name == name)
        return int(self._db.execute(statement).scalar_one())

    def high_water(self) -> Mapping[str, int]:
        return {
            status.range.name: status.next_number - 1
            for status in self._ranges()
            if status.next_number > status.range.first
        }

    def salt(self) -> bytes:
        return bytes(self._db.execute(select(REALM.c.salt)).scalar_one())

    # --- machines

    def find_credential(self, digest: bytes) -> MachineCredential | None:
        row = self._db.execute(select(CREDENTIALS).where(CREDENTIALS.c.digest == digest)).first()
        return None if row is None else credential_of(row)

    def credentials(self) -> tuple[MachineCredential, ...]:
        statement = select(CREDENTIALS).order_by(CREDENTIALS.c.credential_id)
        return tuple(map(credential_of, self._db.execute(statement)))

    def nodes(self) -> tuple[NodeStatus, ...]:
        """Enrolled ones: those with a credential in force."""
        enrolled = select(CREDENTIALS.c.name).where(
            CREDENTIALS.c.kind == str(CredentialKind.NODE), CREDENTIALS.c.revoked_at.is_(None)
        )
        statement = select(NODES).where(NODES.c.name.in_(enrolled)).order_by(NODES.c.name)
        return tuple(map(node_of, self._db.execute(statement)))

    # --- the record

    def changes(self, *, after: int = 0, limit: int = 100) -> tuple[ChangeEntry, ...]:
        return changes.list_changes(self._db, after, limit)

    def last_change(self) -> int:
        return self._connection.scalar(select(func.max(CHANGES.c.sequence))) or 0

    def verify_changes(self) -> int:
        """Also against the anchor, where there is one. Ask it first: to a state that was read before somebody else's
        newest commits, their anchor looks like entries that were removed.
        """
        anchor = None if self._outside is None else self._outside.read().record
        verified = changes.verify_changes(self._db)
        if anchor is not None and not changes.holds(self._db, anchor):
            raise Conflict(
                Reason.RECORD_BROKEN,
                f"the record ends at entry {verified}, and not as it was when entry"
                f" {anchor.after.sequence} was committed",
            )
        return verified

    def runs(self, *, limit: int = 20) -> tuple[RunRecord, ...]:
        """Newest first."""
        statement = select(RUNS).order_by(RUNS.c.started.desc(), RUNS.c.run_id.desc()).limit(limit)
        return tuple(map(run_of, self._db.execute(statement)))

    # --- answers to requests with a key

    def find_answer(self, caller: str, key: str, at: int) -> KeptAnswer | None:
        row = self._db.execute(
            select(KEPT_ANSWERS).where(
                KEPT_ANSWERS.c.caller == caller,
                KEPT_ANSWERS.c.request_key == key,
                KEPT_ANSWERS.c.expires > at,
            )
        ).first()
        return None if row is None else kept_answer_of(row)

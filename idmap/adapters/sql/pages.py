"""Lists for administrators, a page at a time: by key, never by offset, with no more in memory than the page.

Each list is in the order of one key that never changes for a row. With a prefix or a span the key is the column asked
about, so that the index serves both. Names and subjects stand in the order of their bytes on every database
(migrations/env.py). What has no index (a part of a name, states of identities) reads on until the page is full; it
costs time, never memory.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, exists, or_, select

from idmap.adapters.sql import ban_book, changes, differences, evidence, members, people
from idmap.adapters.sql.keyset import (
    After,
    Rows,
    begins,
    merged,
    next_of,
    number_of,
    page_of,
    text_of,
)
from idmap.adapters.sql.records import (
    Record,
    ban_of,
    credential_of,
    identity_of,
    node_of,
    posix_group_of,
    run_of,
)
from idmap.adapters.sql.tables import (
    ACCOUNTS,
    BANS,
    CHANGE_BODIES,
    CHANGES,
    CREDENTIALS,
    GROUPS,
    IDENTITIES,
    LINK_EVIDENCE,
    MEMBERSHIPS,
    NODES,
    OBSERVATIONS,
    POSIX_GROUPS,
    RUNS,
)
from idmap.application.ports import (
    ChangeEntry,
    CredentialKind,
    MachineCredential,
    NodeStatus,
    RunRecord,
)
from idmap.application.questions import (
    AccountQuestion,
    BanQuestion,
    ChangeQuestion,
    DifferenceQuestion,
    EvidenceQuestion,
    GroupMember,
    GroupQuestion,
    IdentityQuestion,
    Page,
)
from idmap.domain.accounts import Account, AccountState, PosixGroup
from idmap.domain.bans import Ban
from idmap.domain.decision import Recorded
from idmap.domain.differences import Difference
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import PRIVATE_ISSUER, Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.linking import Evidence
from idmap.domain.reasons import Reason


class PageReader:
    """The part of `RegistryReader` that administrators' lists come from."""

    @property
    def _db(self) -> Connection:
        raise NotImplementedError

    # --- one of each

    def find_group(self, name: str) -> tuple[Group, PosixGroup] | None:
        number = name.isascii() and name.isdigit() and len(name) <= 10
        wanted = POSIX_GROUPS.c.gid_number == int(name) if number else POSIX_GROUPS.c.name == name
        row = self._db.execute(_POSIX_GROUPS.where(wanted)).first()
        return None if row is None else _both_groups(row)

    def find_ban(self, ban_id: int) -> Ban | None:
        row = self._db.execute(ban_book.SOME_BANS.where(BANS.c.ban_id == ban_id)).first()
        return None if row is None else ban_of(row)

    def find_node(self, name: str) -> NodeStatus | None:
        row = self._db.execute(_ENROLLED.where(NODES.c.name == name)).first()
        return None if row is None else node_of(row)

    def find_machine(self, kind: CredentialKind, name: str) -> MachineCredential | None:
        row = self._db.execute(
            select(CREDENTIALS).where(
                CREDENTIALS.c.kind == str(kind),
                CREDENTIALS.c.name == name,
                CREDENTIALS.c.revoked_at.is_(None),
            )
        ).first()
        return None if row is None else credential_of(row)

    # --- pages

    def page_of_accounts(
        self, asked: AccountQuestion, *, after: After = None, limit: int = 100
    ) -> Page[Account]:
        key: ColumnElement[Any]
        start: After
        if asked.prefix is not None:
            key, start = ACCOUNTS.c.username, text_of(after)
        elif asked.uid_from is not None or asked.uid_to is not None:
            key, start = ACCOUNTS.c.uid_number, number_of(after)
        else:
            key, start = ACCOUNTS.c.account_id, number_of(after)
        statement = select(ACCOUNTS.c.account_id, key.label("page_key"))
        for condition in _account_conditions(asked):
            statement = statement.where(condition)
        branches = _of_group(self._db, statement, key, asked.group)
        rows = merged(self._db, branches, start, limit)
        ids = [row.account_id for row in rows[:limit]]
        found = people.accounts_where(self._db, ACCOUNTS.c.account_id.in_(ids)) if ids else []
        known = {account.account_id: account for account in found}
        return Page(tuple(known[number] for number in ids), next_of(rows, limit))

    def page_of_identities(
        self, asked: IdentityQuestion, *, after: After = None, limit: int = 100
    ) -> Page[Recorded]:
        """With a group alone, its index leads; with an issuer, the subjects' order."""
        if asked.prefix is not None and asked.issuer is None:
            raise InvalidInput(Reason.REQUEST_INVALID, "subject_prefix: only with issuer")
        subject = IDENTITIES.c.subject
        conditions: list[ColumnElement[bool]] = []
        key: ColumnElement[Any]
        start: After
        if asked.issuer is not None:
            key, start = subject, text_of(after)
            conditions.append(IDENTITIES.c.issuer == asked.issuer)
        else:
            key, start = IDENTITIES.c.identity_id, number_of(after)
        if asked.prefix is not None:
            conditions.append(begins(subject, asked.prefix))
        if asked.linked is not None:
            unlinked = IDENTITIES.c.account_id.is_(None)
            conditions.append(~unlinked if asked.linked else unlinked)
        if asked.active is not None:
            conditions.append(IDENTITIES.c.active == asked.active)
        if asked.robot is not None:
            conditions.append(IDENTITIES.c.robot == asked.robot)
        if asked.group is not None:
            conditions.append(IDENTITIES.c.identity_id.in_(_observed_in(asked.group)))
        statement = select(IDENTITIES, key.label("page_key")).where(*conditions)
        rows = merged(self._db, [(statement, key)], start, limit)
        return Page(people.recorded_of(self._db, rows[:limit]), next_of(rows, limit))

    def page_of_groups(
        self, asked: GroupQuestion, *, after: After = None, limit: int = 100
    ) -> Page[tuple[Group, PosixGroup]]:
        statement = _POSIX_GROUPS
        if asked.issuer is not None:
            statement = statement.where(GROUPS.c.issuer == asked.issuer)
        if asked.prefix is None:
            key: ColumnElement[Any] = POSIX_GROUPS.c.gid_number
            return page_of(self._db, statement, key, number_of(after), limit, _both_groups)
        key = POSIX_GROUPS.c.name
        statement = statement.where(begins(key, asked.prefix))
        return page_of(self._db, statement, key, text_of(after), limit, _both_groups)

    def page_of_members(
        self, group: Group, *, after: After = None, limit: int = 100
    ) -> Page[GroupMember]:
        return members.page_of_members(self._db, group, after, limit)

    def suspended_by(self, account_id: int) -> str | None:
        return members.suspended_by(self._db, account_id)

    def page_of_bans(
        self, asked: BanQuestion, *, after: After = None, limit: int = 100
    ) -> Page[Ban]:
        statement = ban_book.bans_asked_for(self._db, asked)
        return page_of(self._db, statement, BANS.c.ban_id, number_of(after), limit, ban_of)

    def page_of_evidence(
        self, asked: EvidenceQuestion, *, after: After = None, limit: int = 100
    ) -> Page[Evidence]:
        return page_of(
            self._db,
            evidence.evidence_asked_for(asked),
            LINK_EVIDENCE.c.evidence_id,
            number_of(after),
            limit,
            lambda row: evidence.evidence_of(self._db, row),
        )

    def page_of_differences(
        self, asked: DifferenceQuestion, *, after: After = None, limit: int = 100
    ) -> Page[Difference]:
        return differences.page_of_differences(self._db, asked, after, limit)

    def page_of_nodes(
        self, *, node_class: str | None = None, after: str | None = None, limit: int = 100
    ) -> Page[NodeStatus]:
        statement = _ENROLLED
        if node_class is not None:
            statement = statement.where(NODES.c.node_class == node_class)
        key = NODES.c.name
        return page_of(self._db, statement, key, text_of(after), limit, node_of)

    def page_of_machines(
        self, kind: CredentialKind, *, after: After = None, limit: int = 100
    ) -> Page[MachineCredential]:
        statement = select(CREDENTIALS).where(CREDENTIALS.c.kind == str(kind))
        key = CREDENTIALS.c.credential_id
        return page_of(self._db, statement, key, number_of(after), limit, credential_of)

    def page_of_changes(
        self, asked: ChangeQuestion, *, after: After = None, limit: int = 100
    ) -> Page[ChangeEntry]:
        """An account's entries are those that name it, and those that name one of its identities."""
        entry = select(CHANGES, CHANGE_BODIES.c.salt, CHANGE_BODIES.c.body)
        concerned = self._concerned(asked)
        if concerned is None:
            key = CHANGES.c.sequence
            joined = [entry.join_from(CHANGES, CHANGE_BODIES, isouter=True)]
        else:
            key = CHANGE_BODIES.c.sequence
            joined = [entry.join_from(CHANGE_BODIES, CHANGES).where(one) for one in concerned]
        conditions = [
            column == value
            for column, value in (
                (CHANGES.c.author, asked.author),
                (CHANGES.c.action, asked.action),
            )
            if value is not None
        ]
        if asked.since is not None:
            conditions.append(CHANGES.c.at >= asked.since)
        if asked.until is not None:
            conditions.append(CHANGES.c.at < asked.until)
        branches = [
            (one.where(*conditions).add_columns(key.label("page_key")), key) for one in joined
        ]
        rows = merged(self._db, branches, number_of(after), limit)
        return Page(tuple(map(changes.entry_of, rows[:limit])), next_of(rows, limit))

    def _concerned(self, asked: ChangeQuestion) -> list[ColumnElement[bool]] | None:
        if asked.identity is not None:
            return [_is(CHANGE_BODIES, asked.identity)]
        if asked.account_id is None:
            return None
        linked = select(IDENTITIES.c.issuer, IDENTITIES.c.subject).where(
            IDENTITIES.c.account_id == asked.account_id
        )
        identities = map(identity_of, self._db.execute(linked))
        return [
            CHANGE_BODIES.c.account_id == asked.account_id,
            *(_is(CHANGE_BODIES, identity) for identity in identities),
        ]

    def page_of_runs(self, *, after: str | None = None, limit: int = 20) -> Page[RunRecord]:
        statement = select(RUNS).order_by(RUNS.c.started.desc(), RUNS.c.run_id.desc())
        if after is not None:
            started, _, run_id = after.partition(":")
            older = RUNS.c.started < number_of(started)
            same = and_(RUNS.c.started == number_of(started), RUNS.c.run_id < run_id)
            statement = statement.where(or_(older, same))
        found = [run_of(row) for row in self._db.execute(statement.limit(limit + 1))]
        last = found[limit - 1] if len(found) > limit else None
        return Page(tuple(found[:limit]), None if last is None else f"{last.started}:{last.run_id}")


_POSIX_GROUPS: Final = (
    select(GROUPS.c.issuer, GROUPS.c.path, POSIX_GROUPS.c.name, POSIX_GROUPS.c.gid_number)
    .join_from(POSIX_GROUPS, GROUPS)
    .where(GROUPS.c.issuer != PRIVATE_ISSUER)
)
_ENROLLED: Final = select(NODES).where(
    exists().where(
        CREDENTIALS.c.kind == str(CredentialKind.NODE),
        CREDENTIALS.c.name == NODES.c.name,
        CREDENTIALS.c.revoked_at.is_(None),
    )
)


def _account_conditions(asked: AccountQuestion) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if asked.state is not None:
        conditions.append(ACCOUNTS.c.state == str(asked.state))
    if asked.rules is not None:
        conditions.append(ACCOUNTS.c.rule_id.in_(asked.rules))
    if asked.prefix is not None:
        conditions.append(begins(ACCOUNTS.c.username, asked.prefix))
    if asked.search:
        conditions.append(ACCOUNTS.c.username.icontains(asked.search, autoescape=True))
    if asked.uid_from is not None:
        conditions.append(ACCOUNTS.c.uid_number >= asked.uid_from)
    if asked.uid_to is not None:
        conditions.append(ACCOUNTS.c.uid_number <= asked.uid_to)
    if asked.grace_before is not None:
        conditions.append(ACCOUNTS.c.state == str(AccountState.GRACE))
        conditions.append(ACCOUNTS.c.grace_until < asked.grace_before)
    if asked.held is not None:
        conditions.append(ACCOUNTS.c.held == asked.held)
    if asked.issuer is not None:
        conditions.append(
            exists().where(
                IDENTITIES.c.account_id == ACCOUNTS.c.account_id,
                IDENTITIES.c.issuer == asked.issuer,
            )
        )
    return conditions


def _of_group(
    connection: Connection, statement: Rows, key: ColumnElement[Any], group: str | None
) -> list[tuple[Rows, ColumnElement[Any]]]:
    """Its primary members and its secondary ones, each from an index."""
    if group is None:
        return [(statement, key)]
    found = connection.scalar(select(POSIX_GROUPS.c.group_id).where(POSIX_GROUPS.c.name == group))
    if found is None:
        return []
    secondary = statement.join_from(ACCOUNTS, MEMBERSHIPS).where(MEMBERSHIPS.c.group_id == found)
    # The same number, but of the table whose index leads: SQLite would sort for the other one.
    its_key = MEMBERSHIPS.c.account_id if key is ACCOUNTS.c.account_id else key
    return [(statement.where(ACCOUNTS.c.primary_group_id == found), key), (secondary, its_key)]


def _observed_in(path: str) -> Select[int]:
    wanted = select(GROUPS.c.group_id).where(GROUPS.c.path == path)
    return select(OBSERVATIONS.c.identity_id).where(OBSERVATIONS.c.group_id.in_(wanted))


def _is(table: Any, identity: Identity) -> ColumnElement[bool]:
    return and_(table.c.subject == identity.subject, table.c.issuer == identity.issuer)


def _both_groups(row: Record) -> tuple[Group, PosixGroup]:
    return Group(Issuer(row.issuer), row.path), posix_group_of(row)

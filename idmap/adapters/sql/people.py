"""Everybody, in batches: accounts, people with their facts, linked identities, in bounded memory.

Each batch is a run of keys and costs a fixed number of queries, whatever it holds. Groups, of
which a site has thousands at most, and bans that are not lifted (ban_book.py) are read once and shared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, bindparam, func, select

from idmap.adapters.sql.ban_book import BanBook
from idmap.adapters.sql.facts import NO_FACTS, facts_of_batch, facts_of_rows
from idmap.adapters.sql.records import (
    Record,
    account_of,
    identity_of,
    posix_group_of,
    spelling_of,
)
from idmap.adapters.sql.tables import (
    ACCOUNTS,
    GROUPS,
    IDENTITIES,
    MEMBERSHIPS,
    OBSERVATIONS,
    POSIX_GROUPS,
)
from idmap.domain.accounts import UNKNOWN_TO_NODES, Account, LeavingGroup, PosixGroup
from idmap.domain.decision import Recorded
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.provisioning import PersonFacts
from idmap.domain.shared_accounts import holder_of_shared

_BATCH: Final = 2000
"""Some 2 MB of rows; below it the cost per query shows, above it only memory grows."""

_GROUPS: Final = select(GROUPS, POSIX_GROUPS.c.name, POSIX_GROUPS.c.gid_number).join_from(
    GROUPS, POSIX_GROUPS, isouter=True
)
_SOME_GROUPS: Final = _GROUPS.where(GROUPS.c.group_id.in_(bindparam("ids", expanding=True)))

_BATCH_OF_IDENTITIES: Final = IDENTITIES.c.identity_id.between(
    bindparam("lowest"), bindparam("highest")
)
_LINKED: Final = select(IDENTITIES.c.account_id).where(_BATCH_OF_IDENTITIES)
_LINKED_ACCOUNTS: Final = (
    select(ACCOUNTS).where(ACCOUNTS.c.account_id.in_(_LINKED)).order_by(ACCOUNTS.c.account_id)
)
_LINKED_MEMBERSHIPS: Final = (
    select(MEMBERSHIPS)
    .where(MEMBERSHIPS.c.account_id.in_(_LINKED))
    .order_by(MEMBERSHIPS.c.account_id, MEMBERSHIPS.c.group_id)
)
_OBSERVED: Final = (
    select(OBSERVATIONS.c.identity_id, OBSERVATIONS.c.group_id)
    .where(OBSERVATIONS.c.identity_id.between(bindparam("lowest"), bindparam("highest")))
    .order_by(OBSERVATIONS.c.identity_id, OBSERVATIONS.c.group_id)
)
_PERSON: Final = select(IDENTITIES).where(
    IDENTITIES.c.issuer == bindparam("wanted_issuer"),
    IDENTITIES.c.subject == bindparam("wanted_subject"),
)
"""Written once: a door asks them for every credential shown."""


class GroupBook:
    """Groups by row number, each read once; equal memberships share one frozenset or tuple."""

    def __init__(self, connection: Connection, *, whole: bool = False) -> None:
        """`whole` reads all groups at once; else they are read as they are asked for."""
        self._connection = connection
        self._groups: dict[int, Group] = {}
        self._posix: dict[int, PosixGroup] = {}
        self._sets: dict[tuple[int, ...], frozenset[Group]] = {}
        self._tuples: dict[tuple[int, ...], tuple[PosixGroup, ...]] = {}
        if whole:
            self._keep(connection.execute(_GROUPS))

    def group_set(self, ids: Sequence[int]) -> frozenset[Group]:
        """The groups of these row numbers."""
        key = tuple(ids)
        if key not in self._sets:
            self.need(key)
            self._sets[key] = frozenset(self._groups[number] for number in key)
        return self._sets[key]

    def posix_tuple(self, ids: Sequence[int]) -> tuple[PosixGroup, ...]:
        """The POSIX groups of these row numbers, by gid number."""
        key = tuple(ids)
        if key not in self._tuples:
            self.need(key)
            found = (self._posix[number] for number in key)
            self._tuples[key] = tuple(sorted(found, key=lambda group: group.gid_number))
        return self._tuples[key]

    def need(self, ids: Collection[int]) -> None:
        """Reads those of them that were not read yet, all at once."""
        missing = [number for number in ids if number not in self._groups]
        if missing:
            self._keep(self._connection.execute(_SOME_GROUPS, {"ids": missing}))

    def _keep(self, rows: Iterable[Record]) -> None:
        for row in rows:
            self._groups[row.group_id] = Group(Issuer(row.issuer), row.path)
            if row.name is not None:
                self._posix[row.group_id] = posix_group_of(row)


def accounts_where(
    connection: Connection,
    condition: ColumnElement[bool],
    *,
    limit: int | None = None,
    book: GroupBook | None = None,
) -> list[Account]:
    """Accounts with their groups, by account id: two queries, and a few more without a `book`."""
    chosen = select(ACCOUNTS.c.account_id).where(condition).order_by(ACCOUNTS.c.account_id)
    rows = connection.execute(
        select(ACCOUNTS).where(condition).order_by(ACCOUNTS.c.account_id).limit(limit)
    ).all()
    if not rows:
        return []
    members = connection.execute(
        select(MEMBERSHIPS)
        .where(MEMBERSHIPS.c.account_id.in_(chosen.limit(limit)))
        .order_by(MEMBERSHIPS.c.account_id, MEMBERSHIPS.c.group_id)
    )
    return _accounts_of(rows, members, book or GroupBook(connection))


def _accounts_of(
    rows: Iterable[Record], members: Iterable[Record], book: GroupBook
) -> list[Account]:
    groups: dict[int, list[int]] = defaultdict(list)
    leaving: dict[int, tuple[LeavingGroup, ...]] = {}
    for account_id, group_id, until in members:
        groups[account_id].append(group_id)
        if until is not None:
            left = LeavingGroup(book.posix_tuple((group_id,))[0], until)
            leaving[account_id] = (*leaving.get(account_id, ()), left)
    rows = list(rows)
    book.need(
        {row.primary_group_id for row in rows} | {n for held in groups.values() for n in held}
    )
    return [
        account_of(
            row,
            book.posix_tuple((row.primary_group_id,))[0],
            book.posix_tuple(groups.get(row.account_id, ())),
            leaving.get(row.account_id, ()),
        )
        for row in rows
    ]


def every_account(connection: Connection) -> Iterator[Account]:
    """All accounts, by account id."""
    book, after = GroupBook(connection, whole=True), 0
    while accounts := accounts_where(
        connection, ACCOUNTS.c.account_id > after, limit=_BATCH, book=book
    ):
        yield from accounts
        after = accounts[-1].account_id


def every_linked_identity(connection: Connection) -> Iterator[tuple[Identity, int]]:
    """(identity, uid number) of identities whose account the nodes know, by order of first sight; then of shared
    accounts themselves, by name."""
    known = ACCOUNTS.c.state.not_in(sorted(UNKNOWN_TO_NODES))
    after = 0
    statement = (
        select(
            IDENTITIES.c.identity_id,
            IDENTITIES.c.issuer,
            IDENTITIES.c.subject,
            ACCOUNTS.c.uid_number,
        )
        .join_from(IDENTITIES, ACCOUNTS)
        .where(known)
        .order_by(IDENTITIES.c.identity_id)
        .limit(_BATCH)
    )
    while rows := connection.execute(statement.where(IDENTITIES.c.identity_id > after)).all():
        for row in rows:
            yield identity_of(row), row.uid_number
        after = rows[-1].identity_id
    shared = select(ACCOUNTS.c.username, ACCOUNTS.c.uid_number).where(known, ACCOUNTS.c.shared)
    for username, uid_number in connection.execute(shared.order_by(ACCOUNTS.c.username)):
        yield holder_of_shared(username), uid_number


def every_person(connection: Connection) -> Iterator[PersonFacts]:
    """Every identity ever recorded with its facts, by order of first sight."""
    groups, bans, after = GroupBook(connection, whole=True), BanBook.of_all(connection), 0
    while rows := connection.execute(
        select(IDENTITIES)
        .where(IDENTITIES.c.identity_id > after)
        .order_by(IDENTITIES.c.identity_id)
        .limit(_BATCH)
    ).all():
        yield from _facts_of(connection, rows, groups, bans)
        after = rows[-1].identity_id


def find_person(connection: Connection, identity: Identity) -> PersonFacts | None:
    """The facts of one identity; None when it was never recorded."""
    wanted = {"wanted_issuer": identity.issuer, "wanted_subject": identity.subject}
    rows = connection.execute(_PERSON, wanted).all()
    if not rows:
        return None
    linked = {rows[0].account_id} - {None}
    bans = BanBook.of_some(connection, [rows[0].identity_id], linked)
    return next(_facts_of(connection, rows, GroupBook(connection), bans))


def people_of(connection: Connection, account_id: int) -> tuple[PersonFacts, ...]:
    """The facts of every identity of an account, by order of first sight."""
    theirs = select(IDENTITIES).where(IDENTITIES.c.account_id == account_id)
    rows = connection.execute(theirs.order_by(IDENTITIES.c.identity_id)).all()
    groups = GroupBook(connection)
    bans = BanBook.of_some(connection, [row.identity_id for row in rows], [account_id])
    # One by one: their keys may lie far apart, and a batch is a run of keys.
    return tuple(next(_facts_of(connection, [row], groups, bans)) for row in rows)


def shared_accounts(connection: Connection) -> frozenset[int]:
    """The accounts that have several identities."""
    several = (
        select(IDENTITIES.c.account_id)
        .where(IDENTITIES.c.account_id.is_not(None))
        .group_by(IDENTITIES.c.account_id)
        .having(func.count() > 1)
    )
    return frozenset(connection.scalars(several))


def recorded_of(connection: Connection, rows: Sequence[Record]) -> tuple[Recorded, ...]:
    """What is known of these rows of `identities`, in their order: a fixed number of queries for a page."""
    ids = [row.identity_id for row in rows]
    linked = {row.account_id for row in rows} - {None}
    observed = _observed(
        connection.execute(
            select(OBSERVATIONS.c.identity_id, OBSERVATIONS.c.group_id)
            .where(OBSERVATIONS.c.identity_id.in_(ids))
            .order_by(OBSERVATIONS.c.identity_id, OBSERVATIONS.c.group_id)
        )
    )
    groups = GroupBook(connection)
    found = accounts_where(connection, ACCOUNTS.c.account_id.in_(linked), book=groups)
    accounts: dict[int | None, Account] = {account.account_id: account for account in found}
    bans = BanBook.of_some(connection, ids, linked)
    facts = facts_of_rows(connection, rows)
    return tuple(
        Recorded(
            identity=identity_of(row),
            active_at_source=row.active,
            groups=groups.group_set(observed.get(row.identity_id, ())),
            account=accounts.get(row.account_id),
            bans=bans.reaching(row),
            robot=row.robot,
            facts=facts.get(row.identity_id, NO_FACTS),
        )
        for row in rows
    )


def _facts_of(
    connection: Connection, rows: Sequence[Record], groups: GroupBook, bans: BanBook
) -> Iterator[PersonFacts]:
    batch = {"lowest": rows[0].identity_id, "highest": rows[-1].identity_id}
    observed = _observed(connection.execute(_OBSERVED, batch))
    accounts: dict[int | None, Account] = {}
    if any(row.account_id is not None for row in rows):
        found = connection.execute(_LINKED_ACCOUNTS, batch).all()
        members = connection.execute(_LINKED_MEMBERSHIPS, batch)
        accounts = {account.account_id: account for account in _accounts_of(found, members, groups)}
    facts = facts_of_batch(connection, rows)
    for row in rows:
        yield PersonFacts(
            recorded=Recorded(
                identity=identity_of(row),
                active_at_source=row.active,
                groups=groups.group_set(observed.get(row.identity_id, ())),
                account=accounts.get(row.account_id),
                bans=bans.reaching(row),
                robot=row.robot,
                facts=facts.get(row.identity_id, NO_FACTS),
            ),
            preferred_username=row.preferred_username,
            present_unchanged=row.unreadable_since is not None,
            spelling=spelling_of(row.spelling),
        )


def _observed(rows: Iterable[Record]) -> Mapping[int, Sequence[int]]:
    """Identity → its groups, each once, whoever saw it there."""
    found: dict[int, list[int]] = defaultdict(list)
    for identity_id, group_id in rows:
        known = found[identity_id]
        if not known or known[-1] != group_id:
            known.append(group_id)
    return found

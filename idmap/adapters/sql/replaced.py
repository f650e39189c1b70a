"""What a restore must not forget of the database that it replaces, as far as that one can still be read.

It may be what is restored *from*: damaged, of another schema, or gone. Then the marks, the journal and the published
snapshot have to do.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from idmap.adapters.sql.changes import chain_at, head_of
from idmap.adapters.sql.high_water import Head, Issued, Marks
from idmap.adapters.sql.journal import Issue, holder_of
from idmap.adapters.sql.reader import SqlReader
from idmap.adapters.sql.tables import (
    ACCOUNTS,
    CHANGE_BODIES,
    CHANGES,
    CREDENTIALS,
    GROUPS,
    IDENTITIES,
    LEDGER_NAMES,
    LEDGER_NUMBERS,
    NODES,
    POSIX_GROUPS,
    WITHHELD,
)
from idmap.domain.bans import Ban
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.shared_accounts import holder_of_shared


@dataclass(frozen=True, slots=True)
class Replaced:
    """The state of the database before the restore."""

    salt: bytes
    head: Head
    chain_then: str | None
    """The chain where the backup's record ends; None when this record does not reach there."""
    marks: Marks
    """Where it stands, and what its nodes reported."""
    issued: tuple[Issue, ...]
    """Its whole ledger, and what it withheld itself."""
    accounts: int
    groups: int
    bans: tuple[Ban, ...]
    banned: tuple[tuple[int, int, tuple[Identity, ...]], ...]
    """(uid number, end or 0, identities of the account) at the time of reading."""
    erased: tuple[int, ...]
    """Entries of the record, up to the backup's last, of which the body was erased."""
    revoked: frozenset[bytes]
    """Digests of credentials that are not in force any more."""


def read_replaced(connection: Connection, then: int, at: int) -> Replaced:
    """Everything at once; `then` is the last entry of the backup's record. Raises as any reading does."""
    reader = SqlReader(connection)
    salt = reader.salt()
    reported = connection.execute(
        select(func.max(NODES.c.revision), func.max(NODES.c.ban_counter))
    ).one()
    ranges = {
        status.range.name: Issued(status.range.purpose, status.range.first, status.next_number - 1)
        for status in reader.ranges()
        if status.next_number > status.range.first
    }
    marks = Marks(
        max(reader.revision(), reported[0] or 0),
        max(reader.ban_counter(), reported[1] or 0),
        ranges,
    )
    return Replaced(
        salt=salt,
        head=head_of(connection),
        chain_then=chain_at(connection, then),
        marks=marks,
        issued=tuple(dict.fromkeys([*_ledger(connection, salt), *_withheld(connection)])),
        accounts=connection.scalar(select(func.count()).select_from(ACCOUNTS)) or 0,
        groups=connection.scalar(select(func.count()).select_from(POSIX_GROUPS)) or 0,
        bans=reader.bans(at=at),
        banned=_banned(reader, connection, at),
        erased=tuple(
            connection.scalars(
                select(CHANGES.c.sequence)
                .join_from(CHANGES, CHANGE_BODIES, isouter=True)
                .where(CHANGES.c.sequence <= then, CHANGE_BODIES.c.sequence.is_(None))
            )
        ),
        revoked=frozenset(
            bytes(digest)
            for digest in connection.scalars(
                select(CREDENTIALS.c.digest).where(CREDENTIALS.c.revoked_at.is_not(None))
            )
        ),
    )


def _banned(
    reader: SqlReader, connection: Connection, at: int
) -> tuple[tuple[int, int, tuple[Identity, ...]], ...]:
    """In two readings, however many a ban reaches."""
    banned = reader.banned_uid_numbers(at)
    if not banned:
        return ()
    identities: dict[int, list[Identity]] = defaultdict(list)
    linked = select(ACCOUNTS.c.uid_number, IDENTITIES.c.issuer, IDENTITIES.c.subject)
    for row in connection.execute(
        linked.join_from(IDENTITIES, ACCOUNTS).order_by(IDENTITIES.c.identity_id)
    ):
        identities[row.uid_number].append(Identity(Issuer(row.issuer), Subject(row.subject)))
    return tuple((number, until, tuple(identities[number])) for number, until in banned)


def _ledger(connection: Connection, salt: bytes) -> list[Issue]:
    """Every name with the number of the same owner, and the holders who can prove it: of a shared account itself."""
    holders: dict[str, list[str]] = {}
    shared = select(ACCOUNTS.c.account_id, ACCOUNTS.c.username).where(ACCOUNTS.c.shared)
    for account_id, username in connection.execute(shared):
        holders[f"account:{account_id}"] = [holder_of(salt, holder_of_shared(username))]
    for row in connection.execute(
        select(IDENTITIES.c.account_id, IDENTITIES.c.issuer, IDENTITIES.c.subject)
        .join_from(IDENTITIES, ACCOUNTS)
        .where(~ACCOUNTS.c.shared)
    ):
        identity = Identity(Issuer(row.issuer), Subject(row.subject))
        holders.setdefault(f"account:{row.account_id}", []).append(holder_of(salt, identity))
    for row in connection.execute(select(GROUPS)):
        group = Group(Issuer(row.issuer), row.path)
        holders[f"group:{row.group_id}"] = [holder_of(salt, group)]
    rows = connection.execute(
        select(
            LEDGER_NAMES.c.kind, LEDGER_NAMES.c.name, LEDGER_NAMES.c.owner, LEDGER_NUMBERS.c.number
        )
        .join(LEDGER_NUMBERS, LEDGER_NUMBERS.c.owner == LEDGER_NAMES.c.owner)
        .order_by(LEDGER_NUMBERS.c.number)
    )
    return [
        Issue(row.kind, row.name, row.number, holder)
        for row in rows
        for holder in holders.get(row.owner) or [""]
    ]


def _withheld(connection: Connection) -> list[Issue]:
    rows = connection.execute(select(WITHHELD).order_by(WITHHELD.c.number))
    return [Issue(row.kind, row.name, row.number, row.holder) for row in rows]

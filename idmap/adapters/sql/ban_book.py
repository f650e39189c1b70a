"""Bans that are not lifted, and whom they reach: of one person, of a page of people, of everybody.

Groups and issuers are looked at as they are recorded now, so whoever joins a banned group is reached with the next
reading. What is asked of the database is a fixed number of queries, however many people a ban reaches; without a ban of
a group or an issuer it is one. Bans of tokens reach nobody; `credential_bans` reads those.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Self, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    union_all,
)

from idmap.adapters.sql.records import Record, ban_of
from idmap.adapters.sql.tables import ACCOUNTS, BANS, GROUPS, IDENTITIES, OBSERVATIONS
from idmap.application.questions import BanQuestion
from idmap.domain.accounts import AccountState
from idmap.domain.bans import Ban, BanKind, CredentialBans, closing_bans, last_end
from idmap.domain.groups import Group
from idmap.domain.identity import Issuer

Key = TypeVar("Key")

SOME_BANS: Final = (
    select(
        BANS,
        IDENTITIES.c.issuer,
        IDENTITIES.c.subject,
        IDENTITIES.c.account_id.label("linked_account_id"),
        GROUPS.c.issuer.label("group_issuer"),
        GROUPS.c.path.label("group_path"),
    )
    .join_from(BANS, IDENTITIES, BANS.c.identity_id == IDENTITIES.c.identity_id, isouter=True)
    .join(GROUPS, BANS.c.group_id == GROUPS.c.group_id, isouter=True)
    .where(BANS.c.lifted_at.is_(None))
)
"""With what `ban_of` wants of the rows they name."""

_OF_PEOPLE: Final = SOME_BANS.where(BANS.c.token_id.is_(None))
"""In no order: whoever shows bans sorts the few that reach somebody."""
_OF_CREDENTIALS: Final = SOME_BANS.where(BANS.c.banned_issuer.is_not(None)).order_by(BANS.c.ban_id)

_PEOPLE: Final[BindParameter[int]] = bindparam("people", expanding=True)
_ACCOUNTS: Final[BindParameter[int]] = bindparam("accounts", expanding=True)
_LINKED: Final = select(IDENTITIES.c.identity_id).where(IDENTITIES.c.account_id.in_(_ACCOUNTS))
_REACHING: Final = _OF_PEOPLE.where(
    BANS.c.ban_id.in_(
        union_all(
            select(BANS.c.ban_id).where(BANS.c.identity_id.in_(_PEOPLE)),
            select(BANS.c.ban_id).where(BANS.c.account_id.in_(_ACCOUNTS)),
            select(BANS.c.ban_id).where(BANS.c.identity_id.in_(_LINKED)),
            select(BANS.c.ban_id).where(BANS.c.group_id.is_not(None)),
            select(BANS.c.ban_id).where(
                BANS.c.token_id.is_(None), BANS.c.banned_issuer.is_not(None)
            ),
        )
    )
)
"""Those of some people and accounts, and every one of a group or an issuer: of these a site has few. Each from an
index of its own, so that ten thousand banned tokens cost a door nothing."""

_KIN: Final = select(IDENTITIES.c.identity_id, IDENTITIES.c.account_id, IDENTITIES.c.issuer).where(
    or_(IDENTITIES.c.identity_id.in_(_PEOPLE), IDENTITIES.c.account_id.in_(_ACCOUNTS))
)
_OBSERVED_KIN: Final = select(OBSERVATIONS.c.identity_id, OBSERVATIONS.c.group_id).where(
    OBSERVATIONS.c.identity_id.in_(_PEOPLE),
    OBSERVATIONS.c.group_id.in_(bindparam("groups", expanding=True)),
)
"""Written once: a door asks them for every credential shown."""

_MEMBERS: Final = (
    select(OBSERVATIONS.c.group_id, IDENTITIES.c.identity_id, IDENTITIES.c.account_id)
    .join_from(OBSERVATIONS, IDENTITIES)
    .where(OBSERVATIONS.c.group_id.in_(bindparam("groups", expanding=True)))
)


_OF_KIND: Final[Mapping[BanKind, ColumnElement[bool]]] = {
    BanKind.ACCOUNT: and_(BANS.c.account_id.is_not(None), BANS.c.identity_id.is_(None)),
    BanKind.IDENTITY: BANS.c.identity_id.is_not(None),
    BanKind.GROUP: BANS.c.group_id.is_not(None),
    BanKind.ISSUER: and_(BANS.c.banned_issuer.is_not(None), BANS.c.token_id.is_(None)),
    BanKind.TOKEN: BANS.c.token_id.is_not(None),
}


class BanBook:
    """Bans that reach people, by whom they reach."""

    def __init__(self, rows: Iterable[Record]) -> None:
        self.of_account: dict[int, tuple[Ban, ...]] = {}
        self._of_identity: dict[int, tuple[Ban, ...]] = {}
        """What reaches an identity by itself, or because it has no account."""
        self._of_group: dict[int, tuple[Ban, ...]] = {}
        self._of_issuer: dict[Issuer, tuple[Ban, ...]] = {}
        for row in rows:
            some = (ban_of(row),)
            for account_id in {row.account_id, row.linked_account_id} - {None}:
                _add(self.of_account, account_id, some)
            if row.identity_id is not None:
                _add(self._of_identity, row.identity_id, some)
            if row.group_id is not None:
                _add(self._of_group, row.group_id, some)
            if row.banned_issuer is not None:
                _add(self._of_issuer, Issuer(row.banned_issuer), some)

    @classmethod
    def of_all(cls, connection: Connection) -> Self:
        """Every ban, and everybody it reaches."""
        book = cls(connection.execute(_OF_PEOPLE))
        if book._of_group:
            wanted = {"groups": list(book._of_group)}
            book._reach_members(connection.execute(_MEMBERS, wanted))
        if book._of_issuer:
            book._reach_accounts(_of_these_alone(connection, book._of_issuer))
        return book

    @classmethod
    def of_some(
        cls, connection: Connection, people: Collection[int], accounts: Collection[int]
    ) -> Self:
        """Those that can reach these identities, and these accounts; all accounts of the people must be among them."""
        asked = {"people": list(people), "accounts": list(accounts)}
        book = cls(connection.execute(_REACHING, asked))
        if not book._of_group and not book._of_issuer:
            return book
        kin = connection.execute(_KIN, asked).all()
        if book._of_group:
            account_of = {row.identity_id: row.account_id for row in kin}
            wanted = {"people": list(account_of), "groups": list(book._of_group)}
            observed = connection.execute(_OBSERVED_KIN, wanted)
            book._reach_members((group, who, account_of[who]) for who, group in observed)
        book._reach_accounts((row.account_id, row.issuer) for row in kin)
        return book

    @classmethod
    def of_account_alone(cls, connection: Connection, account_id: int) -> tuple[Ban, ...]:
        """Those that reach an account, whether or not it has an identity."""
        return cls.of_some(connection, (), (account_id,)).of_account.get(account_id, ())

    def reaching(self, person: Record) -> tuple[Ban, ...]:
        """The bans that reach an identity (a row of `identities`) and the person it is of, by ban id."""
        found = {ban.ban_id: ban for ban in self._of_identity.get(person.identity_id, ())}
        if person.account_id is not None:
            found |= {ban.ban_id: ban for ban in self.of_account.get(person.account_id, ())}
        elif self._of_issuer:
            found |= {ban.ban_id: ban for ban in self._of_issuer.get(Issuer(person.issuer), ())}
        return tuple(found[number] for number in sorted(found))

    def ends_at(self, at: int) -> Mapping[int, int]:
        """Account → when the last of the bans in force then ends, 0 for never; of accounts that are reached."""
        ends: dict[int, int] = {}
        known: dict[int, int | None] = {}
        for account_id, bans in self.of_account.items():
            # A ban of a hundred thousand members is one tuple, judged once.
            if id(bans) not in known:
                holding = [ban for ban in bans if ban.holds(at)]
                known[id(bans)] = (last_end(holding) or 0) if holding else None
            end = known[id(bans)]
            if end is not None:
                ends[account_id] = end
        return ends

    def _reach_members(self, members: Iterable[tuple[int, int, int | None]]) -> None:
        """(banned group, identity, its account); several times for who was seen there by several."""
        accounts: dict[int, set[int]] = {group_id: set() for group_id in self._of_group}
        others: dict[int, set[int]] = {group_id: set() for group_id in self._of_group}
        for group_id, identity_id, account_id in members:
            if account_id is None:
                others[group_id].add(identity_id)
            else:
                accounts[group_id].add(account_id)
        for group_id, bans in self._of_group.items():
            for account_id in accounts[group_id]:
                _add(self.of_account, account_id, bans)
            for identity_id in others[group_id]:
                _add(self._of_identity, identity_id, bans)

    def _reach_accounts(self, identities: Iterable[tuple[int | None, str]]) -> None:
        """(account, issuer) of all identities of the accounts."""
        first: dict[int, str] = {}
        several: dict[int, set[str]] = {}
        for account_id, issuer in identities:
            if account_id is not None and first.setdefault(account_id, issuer) != issuer:
                several.setdefault(account_id, {first[account_id]}).add(issuer)
        alone = {issuer: self._closing({issuer}) for issuer in set(first.values())}
        for account_id, issuer in first.items():
            mixed = several.get(account_id)
            closing = alone[issuer] if mixed is None else self._closing(mixed)
            if closing:
                _add(self.of_account, account_id, closing)

    def _closing(self, issuers: Collection[str]) -> tuple[Ban, ...]:
        return closing_bans([Issuer(issuer) for issuer in issuers], self._of_issuer)


def credential_bans(
    connection: Connection,
    canonical: Mapping[Issuer, Issuer],
    *,
    spelled: Collection[str] | None = None,
    token_id: str | None = None,
) -> CredentialBans:
    """Every ban of an issuer or a token; or those that can refuse one token of an issuer that is `spelled` so."""
    statement = _OF_CREDENTIALS
    if spelled is not None:
        statement = statement.where(
            BANS.c.banned_issuer.in_(spelled),
            or_(BANS.c.token_id.is_(None), BANS.c.token_id == token_id),
        )
    return CredentialBans.of(map(ban_of, connection.execute(statement)), canonical)


def bans_asked_for(connection: Connection, asked: BanQuestion) -> Select[Any]:
    """The bans that an administrator asks a list for."""
    conditions: list[ColumnElement[bool]] = []
    if asked.at is not None:
        conditions.append(or_(BANS.c.until.is_(None), BANS.c.until > asked.at))
    if asked.identity is not None:
        conditions.append(IDENTITIES.c.issuer == asked.identity.issuer)
        conditions.append(IDENTITIES.c.subject == asked.identity.subject)
    if asked.kind is not None:
        conditions.append(_OF_KIND[asked.kind])
    if asked.issuer is not None:
        naming = (IDENTITIES.c.issuer, GROUPS.c.issuer, BANS.c.banned_issuer)
        conditions.append(or_(*(column == asked.issuer for column in naming)))
    for column, value in (
        (GROUPS.c.path, asked.group),
        (BANS.c.token_id, asked.token_id),
        (BANS.c.author, asked.author),
    ):
        if value is not None:
            conditions.append(column == value)
    if asked.account_id is not None:
        reaching = BanBook.of_account_alone(connection, asked.account_id)
        conditions.append(BANS.c.ban_id.in_([ban.ban_id for ban in reaching]))
    return SOME_BANS.where(*conditions)


def accounts_in(connection: Connection, group: Group) -> int:
    """How many accounts, tombstones left out, a ban of the group closes."""
    members = (
        select(IDENTITIES.c.account_id)
        .join_from(OBSERVATIONS, IDENTITIES)
        .join(GROUPS, OBSERVATIONS.c.group_id == GROUPS.c.group_id)
        .where(GROUPS.c.issuer == group.issuer, GROUPS.c.path == group.path)
    )
    return _count_living(connection, ACCOUNTS.c.account_id.in_(members))


def accounts_of(connection: Connection, issuer: Issuer, at: int) -> int:
    """How many accounts, tombstones left out, a ban of the issuer closes beside the issuers that are banned then."""
    banned = [known for known, _ in credential_bans(connection, {}).issuers_at(at)]
    its = select(IDENTITIES.c.account_id).where(IDENTITIES.c.issuer == issuer)
    others = select(IDENTITIES.c.account_id).where(
        IDENTITIES.c.issuer.not_in({issuer, *banned}), IDENTITIES.c.account_id.is_not(None)
    )
    return _count_living(
        connection, ACCOUNTS.c.account_id.in_(its) & ACCOUNTS.c.account_id.not_in(others)
    )


def banned_groups(connection: Connection) -> frozenset[int]:
    """Row numbers of the groups that are banned."""
    statement = select(BANS.c.group_id).where(
        BANS.c.group_id.is_not(None), BANS.c.lifted_at.is_(None)
    )
    return frozenset(connection.scalars(statement.distinct()))


def _of_these_alone(
    connection: Connection, issuers: Collection[Issuer]
) -> Iterator[tuple[int, str]]:
    """(account, issuer) of the accounts that have identities of these issuers and of no other."""
    other = IDENTITIES.alias("other")
    elsewhere = exists().where(
        other.c.account_id == IDENTITIES.c.account_id, other.c.issuer.not_in(issuers)
    )
    statement = select(IDENTITIES.c.account_id, IDENTITIES.c.issuer).where(
        IDENTITIES.c.issuer.in_(issuers), IDENTITIES.c.account_id.is_not(None), ~elsewhere
    )
    yield from connection.execute(statement)


def _count_living(connection: Connection, condition: ColumnElement[bool]) -> int:
    statement = select(func.count()).where(
        ACCOUNTS.c.state != str(AccountState.TOMBSTONE), condition
    )
    return connection.scalar(statement) or 0


def _add(table: dict[Key, tuple[Ban, ...]], key: Key, bans: tuple[Ban, ...]) -> None:
    """One more, or several; who has these alone shares the tuple."""
    known = table.get(key)
    table[key] = bans if known is None else (*known, *bans)

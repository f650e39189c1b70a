"""Shared accounts in the registry: whose their names are, and how many people use accounts.

The name and number of a shared account are issued to the account itself (`holder_of_shared`), so whoever opens it again
after a restore gets them back, and nobody else does.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select

from idmap.adapters.sql.journal import holder_of
from idmap.adapters.sql.tables import (
    ACCOUNTS,
    IDENTITIES,
    LEDGER_NAMES,
    LEDGER_NUMBERS,
    NODE_LOCAL_NAMES,
    RANGES,
    WITHHELD,
)
from idmap.domain.accounts import AccountState
from idmap.domain.numbers import RangePurpose
from idmap.domain.shared_accounts import holder_of_shared

_USABLE: Final = ACCOUNTS.c.state.in_([str(AccountState.ACTIVE), str(AccountState.GRACE)])
_FITS: Final = exists().where(
    RANGES.c.first <= WITHHELD.c.number,
    RANGES.c.last >= WITHHELD.c.number,
    RANGES.c.purpose == "people",
    or_(RANGES.c.serves.is_(None), RANGES.c.serves == str(RangePurpose.ROBOTS)),
)
_ISSUED: Final = exists().where(
    LEDGER_NUMBERS.c.kind == "uid", LEDGER_NUMBERS.c.number == WITHHELD.c.number
)


def names_taken(connection: Connection, names: Collection[str], salt: bytes) -> frozenset[str]:
    """Of these names those under which no shared account can be opened: issued before, some node's own, or withheld.

    What is withheld for the very account is not, once a range of today has its number.
    """
    if not names:
        return frozenset()
    wanted = sorted(names)
    issued = connection.scalars(select(LEDGER_NAMES.c.name).where(LEDGER_NAMES.c.name.in_(wanted)))
    local = connection.scalars(
        select(NODE_LOCAL_NAMES.c.name).where(NODE_LOCAL_NAMES.c.name.in_(wanted))
    )
    taken = {*issued, *local}
    withheld = select(WITHHELD.c.name, WITHHELD.c.kind, WITHHELD.c.holder, _FITS & ~_ISSUED)
    own: set[str] = set()
    others: set[str] = set()
    for name, kind, holder, fits in connection.execute(withheld.where(WITHHELD.c.name.in_(wanted))):
        is_own = kind == "user" and holder == holder_of(salt, holder_of_shared(name))
        (own if is_own and fits else others).add(name)
    return frozenset(taken | (others - own))


def count_users(connection: Connection) -> int:
    """Accounts that may be used, shared ones once for everybody in them."""
    people = select(func.count()).select_from(ACCOUNTS).where(_USABLE, ~ACCOUNTS.c.shared)
    sharers: ColumnElement[bool] = _USABLE & ACCOUNTS.c.shared
    shared = select(func.count()).select_from(IDENTITIES.join(ACCOUNTS)).where(sharers)
    return (connection.scalar(people) or 0) + (connection.scalar(shared) or 0)

"""What the ledger says of numbers, for comparing with what else is on the site."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlalchemy import Connection, and_, literal, select

from idmap.adapters.sql.tables import ACCOUNTS, LEDGER_NUMBERS, POSIX_GROUPS
from idmap.domain.numbers import NumberKind

_NAMED: Final = {
    NumberKind.UID: (ACCOUNTS.c.username, ACCOUNTS.c.uid_number),
    NumberKind.GID: (POSIX_GROUPS.c.name, POSIX_GROUPS.c.gid_number),
}


def issued_numbers(
    connection: Connection, kind: NumberKind, first: int, last: int
) -> Mapping[int, str | None]:
    """Number → name of what it was issued to; None where nothing of ours has it."""
    name, number = _NAMED[kind]
    of_the_ledger = and_(
        LEDGER_NUMBERS.c.kind == literal(str(kind)), LEDGER_NUMBERS.c.number.between(first, last)
    )
    statement = (
        select(LEDGER_NUMBERS.c.number, name)
        .join_from(LEDGER_NUMBERS, name.table, LEDGER_NUMBERS.c.number == number, isouter=True)
        .where(of_the_ledger)
    )
    return MappingProxyType({row[0]: row[1] for row in connection.execute(statement)})

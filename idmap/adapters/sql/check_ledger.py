"""The ledger's invariants, asked of the rows themselves: laws 2 and 10 as they stand in one database.

The constraints and triggers refuse what would break them; this looks whether somebody got round those, or a file was
damaged in a way that its pages do not show. Each question gives the offenders, a few of them, as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    cast,
    exists,
    literal,
    not_,
    select,
)

from idmap.adapters.sql.tables import (
    ACCOUNTS,
    IDENTITIES,
    LEDGER_NAMES,
    LEDGER_NUMBERS,
    POSIX_GROUPS,
    RANGES,
)
from idmap.domain.accounts import AccountState
from idmap.domain.names import REFUSED_ON_NODES, is_adoptable
from idmap.domain.numbers import is_refused_number

_SHOWN: Final = 5
_TOMBSTONE: Final = str(AccountState.TOMBSTONE)
_IN_USE: Final = (str(AccountState.ACTIVE), str(AccountState.GRACE))


def _owner(kind: str, key: ColumnElement[int]) -> ColumnElement[str]:
    return literal(f"{kind}:").concat(cast(key, Text))


def _number_of(kind: str, number: ColumnElement[int]) -> ColumnElement[bool]:
    return and_(LEDGER_NUMBERS.c.kind == kind, LEDGER_NUMBERS.c.number == number)


_IN_PEOPLE_RANGE: Final = exists().where(
    RANGES.c.purpose == "people",
    RANGES.c.first <= ACCOUNTS.c.uid_number,
    RANGES.c.last >= ACCOUNTS.c.uid_number,
)
_PRIVATE: Final = exists().where(
    ACCOUNTS.c.primary_group_id == POSIX_GROUPS.c.group_id,
    ACCOUNTS.c.username == POSIX_GROUPS.c.name,
    ACCOUNTS.c.uid_number == POSIX_GROUPS.c.gid_number,
)
"""A private group has its account's name, which the ledger issued to the account."""

_RETIRED: Final = exists().where(
    LEDGER_NAMES.c.name == ACCOUNTS.c.username, LEDGER_NAMES.c.retired_at.is_not(None)
)

_QUESTIONS: Final[Mapping[str, Select[Any]]] = MappingProxyType(
    {
        "accounts whose number the ledger did not issue to them": select(
            ACCOUNTS.c.username, ACCOUNTS.c.uid_number
        ).where(
            ~exists().where(
                _number_of("uid", ACCOUNTS.c.uid_number),
                LEDGER_NUMBERS.c.owner == _owner("account", ACCOUNTS.c.account_id),
            )
        ),
        "accounts whose name the ledger did not issue to them": select(
            ACCOUNTS.c.username, ACCOUNTS.c.uid_number
        ).where(
            ~exists().where(
                LEDGER_NAMES.c.name == ACCOUNTS.c.username,
                LEDGER_NAMES.c.kind == "user",
                LEDGER_NAMES.c.owner == _owner("account", ACCOUNTS.c.account_id),
            )
        ),
        "groups whose number the ledger did not issue to them": select(
            POSIX_GROUPS.c.name, POSIX_GROUPS.c.gid_number
        ).where(
            ~exists().where(
                _number_of("gid", POSIX_GROUPS.c.gid_number),
                LEDGER_NUMBERS.c.owner == _owner("group", POSIX_GROUPS.c.group_id),
            )
        ),
        "groups whose name the ledger did not issue to them": select(
            POSIX_GROUPS.c.name, POSIX_GROUPS.c.gid_number
        ).where(
            ~exists().where(
                LEDGER_NAMES.c.name == POSIX_GROUPS.c.name,
                LEDGER_NAMES.c.kind == "group",
                LEDGER_NAMES.c.owner == _owner("group", POSIX_GROUPS.c.group_id),
            ),
            ~_PRIVATE,
        ),
        "closed accounts whose name is not retired": select(
            ACCOUNTS.c.username, ACCOUNTS.c.uid_number
        ).where(ACCOUNTS.c.state == _TOMBSTONE, ~_RETIRED),
        "open accounts whose name is retired": select(
            ACCOUNTS.c.username, ACCOUNTS.c.uid_number
        ).where(ACCOUNTS.c.state != _TOMBSTONE, _RETIRED),
        "open accounts whose number lies in no range for people": select(
            ACCOUNTS.c.username, ACCOUNTS.c.uid_number
        ).where(ACCOUNTS.c.state != _TOMBSTONE, not_(_IN_PEOPLE_RANGE)),
        "shared accounts in use that nobody is in": select(
            ACCOUNTS.c.username, ACCOUNTS.c.uid_number
        ).where(
            ACCOUNTS.c.shared,
            ACCOUNTS.c.state.in_(_IN_USE),
            ~exists().where(IDENTITIES.c.account_id == ACCOUNTS.c.account_id),
        ),
    }
)


def broken_invariants(connection: Connection) -> Iterator[str]:
    """One line for each invariant that does not hold."""
    for what, question in _QUESTIONS.items():
        rows = connection.execute(question.limit(_SHOWN + 1)).all()
        if rows:
            yield _line(what, [f"{row[0]} ({row[1]})" for row in rows])
    numbers = select(LEDGER_NUMBERS.c.number)
    yield from _refused(connection, numbers, is_refused_number, "numbers that law 10 refuses")
    names = select(LEDGER_NAMES.c.name)
    yield from _refused(connection, names, _is_refused_name, "names that no node accepts")


def _refused(
    connection: Connection, question: Select[Any], refused: Callable[[Any], bool], what: str
) -> Iterator[str]:
    found: list[str] = []
    for value in connection.scalars(question.execution_options(yield_per=5000)):
        if refused(value):
            found.append(str(value))
            if len(found) > _SHOWN:
                break
    if found:
        yield _line(what, found)


def _is_refused_name(name: str) -> bool:
    return not is_adoptable(name) or name.lower() in REFUSED_ON_NODES


def _line(what: str, offenders: list[str]) -> str:
    more = ", and more" if len(offenders) > _SHOWN else ""
    return f"{what}: {', '.join(offenders[:_SHOWN])}{more}"

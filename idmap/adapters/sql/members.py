"""Who is in one group, and nothing else of anybody; who ordered that an account be suspended.

A list has two parts: identities recorded in the group, in order of first sight, then accounts that hold its gid though
none of their identities is recorded in it (kept for a while after leaving, or given by a rule). Each part is read along
an index, a page at a time.
"""

from __future__ import annotations

import json
import re
from typing import Final

from sqlalchemy import Connection, Select, and_, exists, select

from idmap.adapters.sql.keyset import After
from idmap.adapters.sql.records import identity_of
from idmap.adapters.sql.tables import (
    ACCOUNTS,
    CHANGE_BODIES,
    CHANGES,
    GROUPS,
    IDENTITIES,
    MEMBERSHIPS,
    OBSERVATIONS,
)
from idmap.application.questions import GroupMember, Page
from idmap.domain.accounts import AccountEvent, AccountState
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.names import Username
from idmap.domain.reasons import Reason

_AFTER: Final = re.compile(r"([ia])(\d{1,18})", re.ASCII)
"""`i7`: after identity 7; `a7`: every identity was shown, and accounts up to 7."""


def page_of_members(
    connection: Connection, group: Group, after: After, limit: int
) -> Page[GroupMember]:
    """InvalidInput(REQUEST_INVALID) for an `after` that no page gave."""
    part, start = _place(after)
    wanted = GROUPS.c.issuer == group.issuer, GROUPS.c.path == group.path
    group_id = connection.scalar(select(GROUPS.c.group_id).where(*wanted))
    if group_id is None:
        return Page((), None)
    found: list[tuple[str, GroupMember]] = []
    if part == "i":
        found = _recorded(connection, group_id, start, limit + 1)
        start = 0
    if len(found) <= limit:
        found += _holding(connection, group_id, start, limit + 1 - len(found))
    members = tuple(member for _, member in found[:limit])
    return Page(members, found[limit - 1][0] if len(found) > limit else None)


def _place(after: After) -> tuple[str, int]:
    if after is None:
        return "i", 0
    found = _AFTER.fullmatch(str(after))
    if found is None:
        raise InvalidInput(
            Reason.REQUEST_INVALID, "after: the `next` of a page of the same question"
        )
    return found[1], int(found[2])


def _recorded(
    connection: Connection, group_id: int, start: int, limit: int
) -> list[tuple[str, GroupMember]]:
    # Several sources may say the same of one identity.
    ids = connection.scalars(
        select(OBSERVATIONS.c.identity_id)
        .where(OBSERVATIONS.c.group_id == group_id, OBSERVATIONS.c.identity_id > start)
        .order_by(OBSERVATIONS.c.identity_id)
        .distinct()
        .limit(limit)
    ).all()
    of_account = IDENTITIES.c.account_id == ACCOUNTS.c.account_id
    still_there = ACCOUNTS.c.state != str(AccountState.TOMBSTONE)
    rows = connection.execute(
        select(
            IDENTITIES.c.identity_id,
            IDENTITIES.c.issuer,
            IDENTITIES.c.subject,
            IDENTITIES.c.active,
            ACCOUNTS.c.username,
            ACCOUNTS.c.state,
        )
        .join_from(IDENTITIES, ACCOUNTS, and_(of_account, still_there), isouter=True)
        .where(IDENTITIES.c.identity_id.in_(ids))
        .order_by(IDENTITIES.c.identity_id)
    )
    return [
        (
            f"i{row.identity_id}",
            GroupMember(
                identity=identity_of(row),
                active=row.active,
                username=None if row.username is None else Username(row.username),
                state=None if row.state is None else AccountState(row.state),
            ),
        )
        for row in rows
    ]


def _holding(
    connection: Connection, group_id: int, start: int, limit: int
) -> list[tuple[str, GroupMember]]:
    recorded = exists().where(
        IDENTITIES.c.account_id == ACCOUNTS.c.account_id,
        OBSERVATIONS.c.identity_id == IDENTITIES.c.identity_id,
        OBSERVATIONS.c.group_id == group_id,
    )

    def rows_of(statement: Select[int, str, str]) -> list[tuple[int, str, str]]:
        asked = statement.where(
            ACCOUNTS.c.account_id > start,
            ACCOUNTS.c.state != str(AccountState.TOMBSTONE),
            ~recorded,
        )
        rows = connection.execute(asked.order_by(ACCOUNTS.c.account_id).limit(limit))
        return [(row.account_id, row.username, row.state) for row in rows]

    columns = select(ACCOUNTS.c.account_id, ACCOUNTS.c.username, ACCOUNTS.c.state)
    primary = rows_of(columns.where(ACCOUNTS.c.primary_group_id == group_id))
    secondary = rows_of(
        columns.join_from(ACCOUNTS, MEMBERSHIPS).where(MEMBERSHIPS.c.group_id == group_id)
    )
    return [
        (f"a{number}", GroupMember(None, None, Username(name), AccountState(state)))
        for number, name, state in sorted({*primary, *secondary})[:limit]
    ]


def suspended_by(connection: Connection, account_id: int) -> str | None:
    """The author of the order under which the account is suspended, as the record of changes has it.

    None when its last move was no such order, and once the entry was erased.
    """
    row = connection.execute(
        select(CHANGES.c.author, CHANGE_BODIES.c.body)
        .join_from(CHANGE_BODIES, CHANGES)
        .where(CHANGE_BODIES.c.account_id == account_id, CHANGES.c.action == "move_account")
        .order_by(CHANGE_BODIES.c.sequence.desc())
        .limit(1)
    ).first()
    if row is None or json.loads(row.body)["event"] != AccountEvent.SUSPENDED_BY_PERSON:
        return None
    return str(row.author)

"""Groups by their stable ids: what was renamed since which rules, and who is in a group."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import Connection, select

from idmap.adapters.sql.tables import ACCOUNTS, FORMER_PATHS, GROUPS, MEMBERSHIPS
from idmap.domain.accounts import AccountState
from idmap.domain.groups import Group
from idmap.domain.identity import Issuer
from idmap.domain.names import Username


def group_ids(connection: Connection) -> Mapping[Group, str]:
    """The issuer's stable id of each group whose source said one."""
    statement = select(GROUPS.c.issuer, GROUPS.c.path, GROUPS.c.external_id).where(
        GROUPS.c.external_id.is_not(None)
    )
    return MappingProxyType(
        {Group(Issuer(r.issuer), r.path): r.external_id for r in connection.execute(statement)}
    )


def renamed_since(connection: Connection, rules_version: int) -> tuple[tuple[Group, Group], ...]:
    """(former, now) of every group renamed after those rules were saved, sorted."""
    statement = (
        select(FORMER_PATHS.c.issuer, FORMER_PATHS.c.path, GROUPS.c.path.label("now"))
        .join_from(FORMER_PATHS, GROUPS)
        .where(FORMER_PATHS.c.rules_version >= rules_version, FORMER_PATHS.c.path != GROUPS.c.path)
        .order_by(FORMER_PATHS.c.issuer, FORMER_PATHS.c.path)
    )
    return tuple(
        (Group(Issuer(r.issuer), r.path), Group(Issuer(r.issuer), r.now))
        for r in connection.execute(statement)
    )


def members_of(connection: Connection, group: Group) -> tuple[Username, ...]:
    """Accounts with the group as a secondary one, by name; no tombstones."""
    statement = (
        select(ACCOUNTS.c.username)
        .join_from(MEMBERSHIPS, ACCOUNTS)
        .join(GROUPS, GROUPS.c.group_id == MEMBERSHIPS.c.group_id)
        .where(
            GROUPS.c.issuer == group.issuer,
            GROUPS.c.path == group.path,
            ACCOUNTS.c.state != str(AccountState.TOMBSTONE),
        )
        .order_by(ACCOUNTS.c.username)
    )
    return tuple(map(Username, connection.scalars(statement)))

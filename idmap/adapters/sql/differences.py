"""Where tokens and sources disagree, read; and what sources alone say of memberships, to find out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, func, or_, select

from idmap.adapters.sql.facts import TOKEN
from idmap.adapters.sql.keyset import After, number_of
from idmap.adapters.sql.records import Record, identity_of
from idmap.adapters.sql.tables import ACCOUNTS, DIFFERENCES, GROUPS, IDENTITIES, OBSERVATIONS
from idmap.application.questions import DifferenceQuestion, Page
from idmap.domain.differences import Difference, DifferenceKind
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.names import Username
from idmap.domain.reasons import Reason

_AT_ONCE: Final = 400
"""Identities in one statement; SQLite takes 999 parameters where it was built long ago."""

_DIFFERENCES: Final = select(
    DIFFERENCES,
    IDENTITIES.c.issuer,
    IDENTITIES.c.subject,
    GROUPS.c.path,
    ACCOUNTS.c.username,
).select_from(
    DIFFERENCES.join(IDENTITIES)
    .join(GROUPS)
    .join(ACCOUNTS, ACCOUNTS.c.account_id == IDENTITIES.c.account_id, isouter=True)
)
_KEY: Final = (DIFFERENCES.c.identity_id, DIFFERENCES.c.group_id, DIFFERENCES.c.kind)


def listed_groups(connection: Connection) -> Mapping[Group, int]:
    """The groups that some complete listing covered, and when the newest of them began."""
    statement = select(GROUPS.c.issuer, GROUPS.c.path, GROUPS.c.listed_at).where(
        GROUPS.c.listed_at.is_not(None)
    )
    return {Group(Issuer(r.issuer), r.path): r.listed_at for r in connection.execute(statement)}


def said_by_sources(
    connection: Connection, identities: Collection[Identity]
) -> Mapping[Identity, frozenset[Group]]:
    """What sources alone say, of those identities that are on record and were read in full."""
    member_of: dict[Identity, set[Group]] = {}
    readable = IDENTITIES.c.unreadable_since.is_(None)
    for some in _in_parts(identities):
        people = and_(_are(some), readable)
        known = select(IDENTITIES.c.issuer, IDENTITIES.c.subject).where(people)
        member_of.update({identity_of(row): set() for row in connection.execute(known)})
        seen = (
            select(
                IDENTITIES.c.issuer,
                IDENTITIES.c.subject,
                GROUPS.c.issuer.label("group_issuer"),
                GROUPS.c.path,
            )
            .join_from(IDENTITIES, OBSERVATIONS)
            .join(GROUPS, GROUPS.c.group_id == OBSERVATIONS.c.group_id)
            .where(people, OBSERVATIONS.c.source != TOKEN)
        )
        for row in connection.execute(seen):
            member_of[identity_of(row)].add(Group(Issuer(row.group_issuer), row.path))
    return {identity: frozenset(groups) for identity, groups in member_of.items()}


def differences_of(
    connection: Connection, identities: Collection[Identity]
) -> tuple[Difference, ...]:
    """Every difference that stands of these identities."""
    found: list[Difference] = []
    for some in _in_parts(identities):
        found += map(difference_of, connection.execute(_DIFFERENCES.where(_are(some))))
    return tuple(found)


def count_differences(connection: Connection, since: int) -> int:
    """How many were seen at that time or later."""
    statement = select(func.count()).select_from(DIFFERENCES)
    return connection.scalar(statement.where(DIFFERENCES.c.last_seen >= since)) or 0


def page_of_differences(
    connection: Connection, asked: DifferenceQuestion, after: After, limit: int
) -> Page[Difference]:
    """In the order of the primary key, which `next` spells as `identity:group:kind`."""
    statement: Select[*tuple[Any, ...]] = _DIFFERENCES
    for wanted, column in (
        (asked.issuer, IDENTITIES.c.issuer),
        (asked.group, GROUPS.c.path),
        (asked.kind, DIFFERENCES.c.kind),
        (asked.account_id, IDENTITIES.c.account_id),
    ):
        if wanted is not None:
            value = str(wanted) if isinstance(wanted, str) else wanted
            statement = statement.where(column == value)
    if after is not None:
        statement = statement.where(_behind(after))
    rows = connection.execute(statement.order_by(*_KEY).limit(limit + 1)).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(
        tuple(map(difference_of, rows[:limit])),
        None if last is None else f"{last.identity_id}:{last.group_id}:{last.kind}",
    )


def difference_of(row: Record) -> Difference:
    """One difference from a row of `_DIFFERENCES`."""
    return Difference(
        identity=identity_of(row),
        group=Group(Issuer(row.issuer), row.path),
        kind=DifferenceKind(row.kind),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        username=None if row.username is None else Username(row.username),
    )


def _behind(after: int | str) -> ColumnElement[bool]:
    identity, _, rest = str(after).partition(":")
    group, _, kind = rest.partition(":")
    if kind not in set(DifferenceKind):
        raise InvalidInput(
            Reason.REQUEST_INVALID, "after: the `next` of a page of the same question"
        )
    identity_id, group_id = number_of(identity), number_of(group)
    later_group = or_(
        DIFFERENCES.c.group_id > group_id,
        and_(DIFFERENCES.c.group_id == group_id, DIFFERENCES.c.kind > kind),
    )
    return or_(
        DIFFERENCES.c.identity_id > identity_id,
        and_(DIFFERENCES.c.identity_id == identity_id, later_group),
    )


def _are(identities: Sequence[Identity]) -> ColumnElement[bool]:
    """Whose they are; an issuer at a time, so that the index of both columns serves."""
    subjects: dict[Issuer, list[str]] = defaultdict(list)
    for identity in identities:
        subjects[identity.issuer].append(identity.subject)
    return or_(
        *(
            and_(IDENTITIES.c.issuer == issuer, IDENTITIES.c.subject.in_(theirs))
            for issuer, theirs in subjects.items()
        )
    )


def _in_parts(identities: Collection[Identity]) -> Iterator[Sequence[Identity]]:
    ordered = sorted(identities)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]

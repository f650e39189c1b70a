"""Facts on record, read: of a run of identities or of a page of them, each with one query.

A fact's issuer is that of its identity. Who said it is kept apart in the rows and united here. People share most of
their facts, so equal ones are one object within a batch, and within no more than that: some are each person's own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, Select, bindparam, select

from idmap.adapters.sql.records import Record
from idmap.adapters.sql.tables import FACTS, IDENTITIES
from idmap.application.ports import FactsSaid
from idmap.domain.facts import Fact, FactKind
from idmap.domain.identity import Identity, Issuer

TOKEN: Final = "token"  # noqa: S105  (the name of a source)
NO_FACTS: Final[frozenset[Fact]] = frozenset()

Facts = Mapping[int, frozenset[Fact]]
"""By identity; who has none is not in it."""

_NOBODY: Final[Facts] = MappingProxyType({})
_FACTS: Final = select(FACTS.c.identity_id, FACTS.c.kind, FACTS.c.value).order_by(
    FACTS.c.identity_id, FACTS.c.kind, FACTS.c.value
)
_BATCH: Final = _FACTS.where(FACTS.c.identity_id.between(bindparam("lowest"), bindparam("highest")))
_SAID: Final = (
    select(FACTS.c.kind, FACTS.c.value, FACTS.c.source)
    .join_from(FACTS, IDENTITIES)
    .where(
        IDENTITIES.c.issuer == bindparam("wanted_issuer"),
        IDENTITIES.c.subject == bindparam("wanted_subject"),
    )
)


def facts_of_batch(connection: Connection, rows: Sequence[Record]) -> Facts:
    """Of a run of `identities`, in the order of their keys and without a gap."""
    batch = {"lowest": rows[0].identity_id, "highest": rows[-1].identity_id}
    return _by_identity(connection.execute(_BATCH, batch), rows)


def facts_of_rows(connection: Connection, rows: Sequence[Record]) -> Facts:
    """Of any rows of `identities`."""
    if not rows:
        return _NOBODY
    chosen: Select[*tuple[Any, ...]] = _FACTS.where(
        FACTS.c.identity_id.in_([row.identity_id for row in rows])
    )
    return _by_identity(connection.execute(chosen), rows)


def facts_said(connection: Connection, identity: Identity) -> FactsSaid:
    """Of one identity, by who said them."""
    wanted = {"wanted_issuer": identity.issuer, "wanted_subject": identity.subject}
    by_sources: set[Fact] = set()
    by_tokens: set[Fact] = set()
    for kind, value, source in connection.execute(_SAID, wanted):
        fact = Fact(identity.issuer, FactKind(kind), value)
        (by_tokens if source == TOKEN else by_sources).add(fact)
    return FactsSaid(frozenset(by_sources), frozenset(by_tokens))


def observed_kinds(connection: Connection) -> frozenset[tuple[Issuer, FactKind]]:
    """The kinds that a source says of anybody, by issuer."""
    statement = (
        select(IDENTITIES.c.issuer, FACTS.c.kind)
        .join_from(FACTS, IDENTITIES)
        .where(FACTS.c.source != TOKEN)
        .distinct()
    )
    return frozenset(
        (Issuer(issuer), FactKind(kind)) for issuer, kind in connection.execute(statement)
    )


def _by_identity(found: Iterable[Record], rows: Sequence[Record]) -> Facts:
    said: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for identity_id, kind, value in found:
        said[identity_id].append((kind, value))
    if not said:
        return _NOBODY
    shared: dict[tuple[str, ...], frozenset[Fact]] = {}
    one: dict[tuple[str, str, str], Fact] = {}

    def facts_of(issuer: str, pairs: list[tuple[str, str]]) -> frozenset[Fact]:
        # Two sources may say the same: a set takes it once.
        key = (issuer, *(text for pair in pairs for text in pair))
        if key not in shared:
            shared[key] = frozenset(
                one.setdefault((issuer, kind, value), Fact(Issuer(issuer), FactKind(kind), value))
                for kind, value in pairs
            )
        return shared[key]

    issuers = {row.identity_id: row.issuer for row in rows if row.identity_id in said}
    return {number: facts_of(issuers[number], pairs) for number, pairs in said.items()}

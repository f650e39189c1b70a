"""What sources and tokens say about people beside groups, kept apart by who said it.

Only kinds that some rule asks for are kept; whatever else is on record of somebody goes when they are next recorded, or
with `forget_facts`, whoever said it. A listing replaces what its source said, of the kinds that it covers; an
observation from a token replaces what tokens said. Kinds that sources alone say are taken from no token.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Set
from typing import Final

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    delete,
    exists,
    false,
    insert,
    or_,
    select,
    update,
)

from idmap.adapters.sql.account_writer import AccountWriter
from idmap.adapters.sql.facts import TOKEN
from idmap.adapters.sql.tables import FACTS, IDENTITIES
from idmap.application.ports import ListedPerson, Listing
from idmap.domain.errors import InvalidInput, SourceFailed
from idmap.domain.facts import SAID_BY_SOURCES, Fact, FactKind, is_readable_fact
from idmap.domain.identity import Identity, Issuer
from idmap.domain.reasons import Reason

Said = tuple[str, str, str]
"""Kind, value and who said it: a row without whose and when."""

NONE_SAID: Final[frozenset[Said]] = frozenset()

_ADD: Final = insert(FACTS)
_REMOVE: Final = delete(FACTS).where(
    FACTS.c.identity_id == bindparam("person"),
    FACTS.c.kind == bindparam("which_kind"),
    FACTS.c.value == bindparam("which_value"),
    FACTS.c.source == bindparam("who"),
)


class FactWriter(AccountWriter):
    """The part of `record_listing` and `record_observation` that is about facts."""

    def forget_facts(self) -> int:
        asked_for = [
            and_(IDENTITIES.c.issuer == issuer, FACTS.c.kind == str(kind))
            for issuer, kind in sorted(self.rules().wanted_facts())
        ]
        whose = IDENTITIES.c.identity_id == FACTS.c.identity_id
        kept = exists().where(whose, or_(false(), *asked_for))
        gone = self._db.execute(delete(FACTS).where(~kept)).rowcount
        if gone:
            self._record("forget_facts", facts=gone)
        return gone

    def _wanted_kinds(self, issuer: Issuer) -> frozenset[FactKind]:
        """What the rules ask for of this issuer's people."""
        return frozenset(kind for whose, kind in self.rules().wanted_facts() if whose == issuer)

    def _known_facts(
        self, source: str, people: ColumnElement[bool], wanted: frozenset[FactKind]
    ) -> dict[int, Set[Said]]:
        """By identity, for the people that the condition on `identities` names: what the source said, and what nobody
        asks for any more.
        """
        statement = (
            select(FACTS.c.identity_id, FACTS.c.kind, FACTS.c.value, FACTS.c.source)
            .join_from(FACTS, IDENTITIES)
            .where(people, or_(FACTS.c.source == source, _unwanted(wanted)))
        )
        found: dict[int, set[Said]] = defaultdict(set)
        shared: dict[Said, Said] = {}
        for identity_id, *texts in self._db.execute(statement):
            said = (texts[0], texts[1], texts[2])
            found[identity_id].add(shared.setdefault(said, said))
        return dict(found)

    def _change_facts(
        self, identity_id: int, before: Set[Said], after: Set[Said], at: int
    ) -> dict[str, list[str]]:
        """Holds back what differs; gives what the record of changes says of it."""
        if after == before:
            return {}
        came, went = after - before, before - after
        self._hold_back(
            _REMOVE,
            [
                {"person": identity_id, "which_kind": kind, "which_value": value, "who": who}
                for kind, value, who in sorted(went)
            ],
        )
        self._hold_back(
            _ADD,
            [
                {
                    "identity_id": identity_id,
                    "kind": kind,
                    "value": value,
                    "source": who,
                    "seen_at": at,
                }
                for kind, value, who in sorted(came)
            ],
        )
        told = {"facts_came": _shown(came), "facts_went": _shown(went)}
        return {name: facts for name, facts in told.items() if facts}

    def _observe_facts(
        self, identity: Identity, identity_id: int, facts: frozenset[Fact], at: int
    ) -> dict[str, list[str]]:
        """What a token said, unless a newer one was recorded. Gives what the record of changes says of it."""
        wanted = self._wanted_kinds(identity.issuer)
        theirs = FACTS.c.identity_id == identity_id
        by_token = FACTS.c.source == TOKEN
        rows = self._db.execute(select(FACTS).where(theirs, or_(by_token, _unwanted(wanted)))).all()
        before = {(row.kind, row.value, row.source) for row in rows}
        if any(row.source == TOKEN and row.kind in wanted and row.seen_at > at for row in rows):
            after = {said for said in before if said[0] in wanted}
        else:
            after = {(str(f.kind), f.value, TOKEN) for f in facts if f.kind in wanted}
            self._db.execute(
                update(FACTS).where(theirs, by_token, FACTS.c.seen_at < at).values(seen_at=at)
            )
        return self._change_facts(identity_id, before, after, at)


def listed_facts(
    listing: Listing,
    source: str,
    person: ListedPerson | None,
    before: Set[Said],
    wanted: frozenset[FactKind],
) -> Set[Said]:
    """What is to be on record of somebody, of `before` (see `_known_facts`) and what the listing says now.

    Nobody listed: the source says nothing of them any more. Unreadable: it says what it said.
    """
    if not before and (person is None or not person.facts):
        return before
    covered = wanted & listing.covers
    if person is not None and not person.readable:
        covered = frozenset()
    kept = {said for said in before if said[0] in wanted and FactKind(said[0]) not in covered}
    if person is None:
        return kept
    return kept | {(str(f.kind), f.value, source) for f in person.facts if f.kind in covered}


def require_own_facts(listing: Listing, person: ListedPerson) -> None:
    """Raises SourceFailed(SOURCE_INCOMPLETE) for a fact of another issuer, or one that cannot be kept."""
    for fact in person.facts:
        if fact.issuer != listing.issuer or not is_readable_fact(fact.value):
            raise SourceFailed(
                Reason.SOURCE_INCOMPLETE,
                f"{listing.source}: a {fact.kind} of {person.identity} that is no fact of its issuer",
            )


def require_facts_of_token(identity: Identity, facts: Iterable[Fact]) -> None:
    """Raises InvalidInput(CLAIM_INVALID): a fact of another issuer (law 1), one that sources alone say, or one that
    cannot be kept.
    """
    for fact in facts:
        if fact.issuer != identity.issuer:
            raise InvalidInput(Reason.CLAIM_INVALID, f"{identity}: facts of another issuer")
        if fact.kind in SAID_BY_SOURCES or not is_readable_fact(fact.value):
            raise InvalidInput(Reason.CLAIM_INVALID, f"{identity}: a {fact.kind} in a token")


def _unwanted(wanted: frozenset[FactKind]) -> ColumnElement[bool]:
    return FACTS.c.kind.not_in([str(kind) for kind in sorted(wanted)])


def _shown(facts: Iterable[Said]) -> list[str]:
    return sorted(f"{kind} {value}" for kind, value, _ in facts)

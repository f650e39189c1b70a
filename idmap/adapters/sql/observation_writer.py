"""What sources and tokens say about people, kept apart by who said it.

A listing is complete for its watched groups (law 6), so its silence removes; a token only adds,
because it may have been narrowed. What a token said before a complete listing of that group began
is stale, whether it was recorded before the listing or arrives after it. Only differences are
written. Facts beside groups are fact_writer.py's, linked ids evidence_writer.py's.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, insert, or_, select, update

from idmap.adapters.sql.ban_book import banned_groups
from idmap.adapters.sql.evidence_writer import EvidenceWriter, canonical
from idmap.adapters.sql.fact_writer import (
    NONE_SAID,
    FactWriter,
    Said,
    listed_facts,
    require_facts_of_token,
    require_own_facts,
)
from idmap.adapters.sql.facts import TOKEN
from idmap.adapters.sql.group_writer import GroupWriter
from idmap.adapters.sql.records import spelling_of, spelling_text
from idmap.adapters.sql.tables import GROUPS, IDENTITIES, OBSERVATIONS
from idmap.application.ports import ListedPerson, Listing
from idmap.domain.errors import InvalidInput, SourceFailed
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import OUR_ISSUERS, Group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.linking import LinkedId
from idmap.domain.reasons import Reason
from idmap.domain.spelling import NO_SPELLING, Spelling

_ADD: Final = insert(OBSERVATIONS)
_REMOVE: Final = delete(OBSERVATIONS).where(
    OBSERVATIONS.c.identity_id == bindparam("person"),
    OBSERVATIONS.c.group_id == bindparam("which"),
    OBSERVATIONS.c.source == bindparam("who"),
)
_ADD_PERSON: Final = insert(IDENTITIES)
_PEOPLE: Final = select(
    IDENTITIES.c.identity_id,
    IDENTITIES.c.subject,
    IDENTITIES.c.active,
    IDENTITIES.c.preferred_username,
    IDENTITIES.c.unreadable_since,
    IDENTITIES.c.robot,
    IDENTITIES.c.spelling,
    IDENTITIES.c.account_id,
)
_SUBJECTS_AT_ONCE: Final = 500
"""SQLite takes 999 parameters where it was built long ago."""

_CHANGE_PERSON: Final = (
    update(IDENTITIES)
    .where(IDENTITIES.c.identity_id == bindparam("person"))
    .values(
        active=bindparam("new_active"),
        preferred_username=bindparam("new_name"),
        unreadable_since=bindparam("new_unreadable"),
        robot=bindparam("new_robot"),
        spelling=bindparam("new_spelling"),
    )
)


@dataclass(slots=True)
class _Known:
    """One identity of the issuer as it stands before the listing."""

    identity_id: int
    active: bool = True
    preferred_username: str | None = None
    unreadable_since: int | None = None
    robot: bool = False
    spelling: str | None = None
    has_account: bool = False
    new: bool = False
    observed: set[tuple[int, str]] = field(default_factory=set)
    """(group, who said it), of watched groups: by this source, and stale ones by tokens."""
    evidence: dict[LinkedId, tuple[int, bool]] = field(default_factory=dict)
    """What this source ever said of their other ids: the row, and whether it still says so."""
    facts: Set[Said] = NONE_SAID
    """What this source said of them, and what is on record and nobody asks for any more."""


class ObservationWriter(EvidenceWriter, FactWriter, GroupWriter):
    """The part of `RegistryWriter` that records where people were seen."""

    _spelling_facts: frozenset[str] = frozenset()
    """What the rules need to name people."""
    _fact_kinds: frozenset[FactKind] = frozenset()
    """What the rules ask for of the people of the issuer who are being recorded."""

    def record_listing(
        self, listing: Listing, *, only: Collection[Identity] | None = None
    ) -> frozenset[Identity]:
        """Raises SourceFailed(SOURCE_INCOMPLETE): a person named twice, or of another issuer."""
        if listing.issuer in OUR_ISSUERS:
            raise SourceFailed(Reason.SOURCE_INCOMPLETE, f"{listing.source}: {listing.issuer}")
        self._follow_ids(listing.issuer, listing.group_ids)
        self._spelling_facts = self.rules().spelling_facts()
        self._fact_kinds = self._wanted_kinds(listing.issuer)
        subjects = None if only is None else _subjects_of(listing, only)
        listed = _by_subject(listing, subjects)
        source = f"source:{listing.source}"
        watched = {
            self._group_id(group): group
            for group in sorted(listing.watched)
            if group.issuer == listing.issuer
        }
        known = self._known_people(listing, source, watched, subjects)
        for subject in listed:
            if subject not in known:
                identity_id = self._next_key(IDENTITIES.c.identity_id)
                known[subject] = _Known(identity_id, new=True)
        ids = {group: group_id for group_id, group in watched.items()}
        issuers = self._canonical_issuers()
        changed: set[Identity] = set()
        for subject, before in known.items():
            person = listed.get(subject)
            if person is not None and not person.readable:
                differs = self._leave_alone(listing, source, subject, before, person)
            else:
                wanted = {ids[g] for g in person.groups if g in ids} if person else set()
                says = person.linked_ids if person else ()
                claims = frozenset(canonical(claim, issuers) for claim in says)
                differs = self._replace(
                    listing, source, subject, before, person, wanted, watched, claims
                )
            if differs:
                changed.add(Identity(listing.issuer, Subject(subject)))
        if changed and banned_groups(self._db) & watched.keys():
            self._bans_changed()
        self._mark_listed(list(watched), listing.began)
        if changed:
            self._record(
                "record_listing",
                source=listing.source,
                issuer=listing.issuer,
                listed=len(listed),
                changed=len(changed),
                notes=len(listing.notes),
            )
        return frozenset(changed)

    def record_observation(
        self,
        identity: Identity,
        groups: frozenset[Group],
        preferred_username: str | None,
        at: int,
        *,
        robot: bool = False,
        spelling: Spelling = NO_SPELLING,
        facts: frozenset[Fact] | None = None,
    ) -> None:
        """Groups and facts of another issuer are refused: InvalidInput(CLAIM_INVALID) (law 1)."""
        if identity.issuer in OUR_ISSUERS:
            raise InvalidInput(Reason.CLAIM_INVALID, f"{identity}: no issuer")
        if any(group.issuer != identity.issuer for group in groups):
            raise InvalidInput(Reason.CLAIM_INVALID, f"{identity}: groups of another issuer")
        require_facts_of_token(identity, facts or ())
        person = self._get_or_add_identity(identity, preferred_username, at)
        ids = [self._group_id(group) for group in sorted(groups)]
        fresh = select(GROUPS.c.group_id, GROUPS.c.path).where(
            GROUPS.c.group_id.in_(ids), or_(GROUPS.c.listed_at.is_(None), GROUPS.c.listed_at <= at)
        )
        paths = {row.group_id: row.path for row in self._db.execute(fresh)}
        said = and_(
            OBSERVATIONS.c.identity_id == person.identity_id, OBSERVATIONS.c.group_id.in_(ids)
        )
        seen = set(self._db.scalars(select(OBSERVATIONS.c.group_id).where(said)))
        by_token = and_(said, OBSERVATIONS.c.source == TOKEN)
        in_tokens = set(self._db.scalars(select(OBSERVATIONS.c.group_id).where(by_token)))
        self._db.execute(
            update(OBSERVATIONS).where(by_token, OBSERVATIONS.c.seen_at < at).values(seen_at=at)
        )
        added = [
            {"identity_id": person.identity_id, "group_id": number, "source": TOKEN, "seen_at": at}
            for number in sorted(paths.keys() - in_tokens)
        ]
        if added:
            self._db.execute(_ADD, added)
        renamed = preferred_username not in {None, person.preferred_username}
        if renamed:
            self._db.execute(
                update(IDENTITIES)
                .where(IDENTITIES.c.identity_id == person.identity_id)
                .values(preferred_username=preferred_username)
            )
        self._keep_spelling(person, spelling)
        marked = robot and not person.robot
        if marked:
            self._db.execute(
                update(IDENTITIES)
                .where(IDENTITIES.c.identity_id == person.identity_id)
                .values(robot=True)
            )
        told: dict[str, list[str]] = {}
        if facts is not None:
            told = self._observe_facts(identity, person.identity_id, facts, at)
        gained = sorted(paths[number] for number in paths.keys() - seen)
        if gained and banned_groups(self._db) & (paths.keys() - seen):
            self._bans_changed()
        if gained or told or renamed or marked or person.new:
            self._record_person(identity.issuer, identity.subject, TOKEN, gained=gained, **told)

    def _get_or_add_identity(
        self, identity: Identity, preferred_username: str | None, at: int
    ) -> _Known:
        """Also for bans of people who were never seen."""
        row = self._db.execute(
            select(IDENTITIES).where(
                IDENTITIES.c.issuer == identity.issuer, IDENTITIES.c.subject == identity.subject
            )
        ).first()
        if row is not None:
            return _Known(
                row.identity_id,
                preferred_username=row.preferred_username,
                robot=row.robot,
                spelling=row.spelling,
                has_account=row.account_id is not None,
            )
        identity_id = self._next_key(IDENTITIES.c.identity_id)
        self._insert(
            IDENTITIES,
            {
                "identity_id": identity_id,
                "issuer": identity.issuer,
                "subject": identity.subject,
                "active": True,
                "preferred_username": preferred_username,
                "first_seen": at,
            },
        )
        return _Known(identity_id, preferred_username=preferred_username, new=True)

    # --- the steps of a listing

    def _known_people(
        self,
        listing: Listing,
        source: str,
        watched: dict[int, Group],
        subjects: Collection[str] | None,
    ) -> dict[str, _Known]:
        """By subject; everybody of the issuer, or of these subjects those who are known."""
        wanted = IDENTITIES.c.issuer == listing.issuer
        spoken_of = and_(
            OBSERVATIONS.c.group_id.in_(watched),
            or_(
                OBSERVATIONS.c.source == source,
                and_(OBSERVATIONS.c.source == TOKEN, OBSERVATIONS.c.seen_at < listing.began),
            ),
        )
        known: dict[int, _Known] = {}
        by_subject: dict[str, _Known] = {}
        said = select(
            OBSERVATIONS.c.identity_id, OBSERVATIONS.c.group_id, OBSERVATIONS.c.source
        ).where(spoken_of)
        for some in _in_parts(subjects):
            people = wanted if some is None else and_(wanted, IDENTITIES.c.subject.in_(some))
            for row in self._db.execute(_PEOPLE.where(people)):
                number, subject, active, name, unreadable, robot, spelling, account_id = row
                by_subject[subject] = known[number] = _Known(
                    number, active, name, unreadable, robot, spelling, account_id is not None
                )
            if some is not None:
                chosen = select(IDENTITIES.c.identity_id).where(people)
                theirs = said.where(OBSERVATIONS.c.identity_id.in_(chosen))
            else:
                theirs = said
            for number, group_id, who in self._db.execute(theirs):
                # A watched group's observations are of its issuer's people alone (law 1).
                known[number].observed.add((group_id, who))
            for number, claims in self._known_evidence(source, people).items():
                known[number].evidence = claims
            for number, facts in self._known_facts(source, people, self._fact_kinds).items():
                known[number].facts = facts
        return by_subject

    def _leave_alone(
        self, listing: Listing, source: str, subject: str, before: _Known, person: ListedPerson
    ) -> bool:
        """An unreadable person: identity recorded, nothing else touched but facts that nobody asks for any more."""
        facts = listed_facts(listing, source, person, before.facts, self._fact_kinds)
        if before.unreadable_since is not None and facts == before.facts:
            return False
        if before.unreadable_since is None:
            self._save_person(
                listing,
                subject,
                before,
                active=before.active,
                name=before.preferred_username,
                unreadable_since=listing.began,
                robot=before.robot,
                spelling=before.spelling,
            )
        told = self._change_facts(before.identity_id, before.facts, facts, listing.began)
        self._record_person(listing.issuer, subject, listing.source, unreadable=True, **told)
        return True

    def _replace(
        self,
        listing: Listing,
        source: str,
        subject: str,
        before: _Known,
        person: ListedPerson | None,
        wanted: set[int],
        watched: dict[int, Group],
        claims: frozenset[LinkedId],
    ) -> bool:
        """A readable person, or one who is not listed and so loses the watched groups."""
        active = before.active if person is None else person.active
        name = (person.preferred_username if person else None) or before.preferred_username
        robot = before.robot if person is None else person.robot
        spelling = (
            before.spelling if person is None else self._spelling_kept(before, person.spelling)
        )
        as_before = (
            before.active,
            before.preferred_username,
            before.unreadable_since,
            before.robot,
            before.spelling,
        )
        saved = before.new or as_before != (active, name, None, robot, spelling)
        if saved:
            self._save_person(
                listing,
                subject,
                before,
                active=active,
                name=name,
                unreadable_since=None,
                robot=robot,
                spelling=spelling,
            )
        after = {(number, source) for number in wanted}
        came, went = self._replace_evidence(
            before.identity_id, source, before.evidence, claims, listing.began
        )
        facts = listed_facts(listing, source, person, before.facts, self._fact_kinds)
        told = self._change_facts(before.identity_id, before.facts, facts, listing.began)
        if not saved and after == before.observed and not came and not went and not told:
            return False
        self._hold_back(
            _REMOVE,
            [
                {"person": before.identity_id, "which": number, "who": who}
                for number, who in before.observed - after
            ],
        )
        self._hold_back(
            _ADD,
            [
                {
                    "identity_id": before.identity_id,
                    "group_id": number,
                    "source": who,
                    "seen_at": listing.began,
                }
                for number, who in sorted(after - before.observed)
            ],
        )
        held = {number for number, _ in before.observed}
        self._record_person(
            listing.issuer,
            subject,
            listing.source,
            active=active,
            gained=sorted(watched[number].path for number in wanted - held),
            lost=sorted(watched[number].path for number in held - wanted),
            **({"also_claimed": came} if came else {}),
            **({"no_longer_claimed": went} if went else {}),
            **told,
        )
        return True

    def _save_person(
        self,
        listing: Listing,
        subject: str,
        before: _Known,
        *,
        active: bool,
        name: str | None,
        unreadable_since: int | None,
        robot: bool,
        spelling: str | None,
    ) -> None:
        if before.new:
            row: dict[str, Any] = {
                "identity_id": before.identity_id,
                "issuer": listing.issuer,
                "subject": subject,
                "account_id": None,
                "active": active,
                "preferred_username": name,
                "first_seen": listing.began,
                "unreadable_since": unreadable_since,
                "robot": robot,
                "spelling": spelling,
            }
            self._hold_back(_ADD_PERSON, [row])
        else:
            change = {
                "person": before.identity_id,
                "new_active": active,
                "new_name": name,
                "new_unreadable": unreadable_since,
                "new_robot": robot,
                "new_spelling": spelling,
            }
            self._hold_back(_CHANGE_PERSON, [change])

    def _spelling_kept(self, before: _Known, spelling: Spelling) -> str | None:
        """What some class needs, and nothing once the account has its name for good."""
        return None if before.has_account else spelling_text(spelling.only(self._spelling_facts))

    def _keep_spelling(self, person: _Known, said: Spelling) -> None:
        """A token adds what it says; what it leaves out stays."""
        self._spelling_facts = self.rules().spelling_facts()
        known = spelling_of(person.spelling)
        both = Spelling(
            email=said.email or known.email,
            given=said.given or known.given,
            family=said.family or known.family,
        )
        kept = self._spelling_kept(person, both)
        if kept != person.spelling:
            self._db.execute(
                update(IDENTITIES)
                .where(IDENTITIES.c.identity_id == person.identity_id)
                .values(spelling=kept)
            )

    def _mark_listed(self, group_ids: list[int], began: int) -> None:
        self._db.execute(
            update(GROUPS)
            .where(
                GROUPS.c.group_id.in_(group_ids),
                or_(GROUPS.c.listed_at.is_(None), GROUPS.c.listed_at < began),
            )
            .values(listed_at=began)
        )

    def _record_person(self, issuer: Issuer, subject: str, source: str, **said: Any) -> None:
        """One entry per person, so that one person's can be erased."""
        self._record("observe_person", issuer=issuer, subject=subject, source=source, **said)


def _subjects_of(listing: Listing, only: Collection[Identity]) -> frozenset[str]:
    return frozenset(identity.subject for identity in only if identity.issuer == listing.issuer)


def _in_parts(subjects: Collection[str] | None) -> Iterator[list[str] | None]:
    """Everybody (None), or so many at once as one statement takes."""
    if subjects is None:
        yield None
        return
    ordered = sorted(subjects)
    for start in range(0, len(ordered), _SUBJECTS_AT_ONCE):
        yield ordered[start : start + _SUBJECTS_AT_ONCE]


def _by_subject(listing: Listing, subjects: Collection[str] | None) -> dict[str, ListedPerson]:
    listed: dict[str, ListedPerson] = {}
    for person in listing.people:
        subject = person.identity.subject
        if subjects is not None and subject not in subjects:
            continue
        if person.identity.issuer != listing.issuer:
            raise SourceFailed(
                Reason.SOURCE_INCOMPLETE,
                f"{listing.source}: {person.identity} is of another issuer",
            )
        if subject in listed:
            raise SourceFailed(
                Reason.SOURCE_INCOMPLETE, f"{listing.source}: {person.identity} is listed twice"
            )
        require_own_facts(listing, person)
        listed[subject] = person
    return listed

"""Who is in the watched groups of one INDIGO IAM, proved complete or not said at all (law 6).

Each group is looked up by its exact path, then read until `passes` readings in a row agree on who is in it; a
reading that cannot be proved whole does not count, and after two readings more than needed the whole
listing is given up. Two agreeing readings are the default: offset paging without a transaction can skip a row and
still add up when somebody joins meanwhile, but not twice alike. Only watched groups are read, so that
a busy IAM still yields a listing (design-review C20). An empty group is not an error here; the guard judges it.

Groups are IAM's own: who is in a sub-group is in every group above it, and IAM lists them in both.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final, Literal

from idmap.adapters.indigo_iam.strategies import STRATEGIES, Advance, Parse, Reading, Strategy
from idmap.adapters.indigo_iam.talker import IamTalker
from idmap.adapters.indigo_iam.translate import TOLD, GroupRef, PersonRecord, parse_person
from idmap.application.ports import Clock, ListedPerson, Listing, Progress
from idmap.domain.errors import InvalidInput, SourceFailed
from idmap.domain.facts import Fact, FactKind
from idmap.domain.groups import Group, parse_group
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

SPARE_READINGS: Final = 2
"""How many readings of a group may fail or disagree before the listing is given up."""


class IndigoIamSource:
    """The port `Source` for an INDIGO IAM. `clock` says when `endTime` is past, and when reading began."""

    def __init__(
        self,
        name: str,
        issuer: Issuer,
        strategy: Strategy,
        *,
        clock: Clock,
        passes: int = 2,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.issuer = issuer
        self._strategy = strategy
        self._clock = clock
        self._passes = passes
        self._close = close

    def observe(
        self,
        watched: frozenset[Group],
        progress: Progress,
        known: Mapping[Group, str] = MappingProxyType({}),
        facts: frozenset[FactKind] = frozenset(),
    ) -> Listing:
        """A complete listing of the watched groups, with the `facts` asked for that IAM tells. Raises SourceFailed
        with nothing half said.

        A group that is `known` by its uuid and was renamed is listed under its path of now.
        """
        began = self._clock()
        parse = partial(parse_person, at=began, facts=facts)
        try:
            groups = self._find_groups(watched, known)
            memberships = [
                (group, self._read_group(ref, parse, _advance(progress, group)))
                for group, ref in sorted(groups.items())
            ]
        finally:
            self._close()  # neither a connection nor a token waits for the next night
        people = tuple(_merge(self.issuer, memberships))
        return Listing(
            source=self.name,
            issuer=self.issuer,
            watched=frozenset(groups),
            people=people,
            began=began,
            notes=(*_notes(memberships), *_not_shown(people, facts)),
            group_ids={group: ref.uuid for group, ref in groups.items()},
            covers=TOLD & facts,
        )

    def _find_groups(
        self, watched: frozenset[Group], known: Mapping[Group, str]
    ) -> dict[Group, GroupRef]:
        """A path that is gone, or is another group's now, may be that of a group that was renamed."""
        at_path = self._look_up(frozenset(group.path for group in watched))
        found: dict[Group, GroupRef] = {}
        missing = []
        for group in sorted(watched):
            ref, uuid = at_path.get(group.path), known.get(group)
            if uuid is not None and (ref is None or ref.uuid != uuid):
                path = self._strategy.find_path(uuid)
                if path is not None:
                    group, ref = self._group_at(path), GroupRef(uuid, path)
            if ref is None:
                missing.append(group.path)
            else:
                found[group] = ref
        if missing:
            raise SourceFailed(
                Reason.SOURCE_GROUP_MISSING, f"{self.name} has no group {', '.join(missing)}"
            )
        return found

    def _group_at(self, path: str) -> Group:
        try:
            return parse_group(self.issuer, path)
        except InvalidInput as error:
            raise SourceFailed(
                Reason.SOURCE_INCOMPLETE, f"{self.name}: a group was renamed; {error.detail}"
            ) from error

    def _look_up(self, paths: frozenset[str]) -> Mapping[str, GroupRef]:
        for _ in range(SPARE_READINGS):
            try:
                return self._strategy.find_groups(paths)
            except SourceFailed as error:
                if error.reason is not Reason.SOURCE_INCOMPLETE:
                    raise
        return self._strategy.find_groups(paths)

    def _read_group(
        self, ref: GroupRef, parse: Parse, advance: Advance
    ) -> tuple[PersonRecord, ...]:
        agreed: list[Reading] = []
        problem = ""
        for _ in range(self._passes + SPARE_READINGS):
            try:
                reading = self._strategy.read_members(ref, parse, advance)
                if agreed and agreed[-1].subjects != reading.subjects:
                    problem = f"the members of {ref.path} changed while they were read"
                    agreed = []
                agreed.append(reading)
                if len(agreed) == self._passes:
                    return self._strategy.complete(ref, reading, parse)
            except SourceFailed as error:
                if error.reason is not Reason.SOURCE_INCOMPLETE:
                    raise
                agreed, problem = [], error.detail
        raise SourceFailed(Reason.SOURCE_INCOMPLETE, f"{self.name}: {problem}")


def open_source(
    name: str,
    issuer: Issuer,
    *,
    url: str,
    client_id: str,
    client_secret: Secret,
    clock: Clock,
    strategy: Literal["accounts", "scim"] = "accounts",
    passes: int = 2,
    timeout_seconds: float = 20,
) -> IndigoIamSource:
    """The source with an HTTP session of its own for each `observe`; nothing is asked before."""
    chosen = STRATEGIES[strategy]
    talker = IamTalker(
        url,
        client_id=client_id,
        client_secret=client_secret,
        scope=chosen.scope,
        timeout_seconds=timeout_seconds,
    )
    return IndigoIamSource(
        name, issuer, chosen(talker), clock=clock, passes=passes, close=talker.close
    )


def _merge(
    issuer: Issuer, memberships: list[tuple[Group, tuple[PersonRecord, ...]]]
) -> Iterable[ListedPerson]:
    """One entry per person, with the watched groups whose listing holds them; the latest record counts."""
    groups: dict[Subject, set[Group]] = {}
    records: dict[Subject, PersonRecord] = {}
    for group, people in memberships:
        for record in people:
            groups.setdefault(record.subject, set()).add(group)
            earlier = records.get(record.subject)
            if earlier is None or earlier.problem is None:
                records[record.subject] = record  # once unreadable, unreadable in this listing
    shared: dict[frozenset[Group], frozenset[Group]] = {}
    shared_facts: dict[tuple[tuple[FactKind, str], ...], frozenset[Fact]] = {(): frozenset()}
    for subject in sorted(records):
        record = records[subject]
        held = frozenset(groups[subject])
        if record.facts not in shared_facts:
            shared_facts[record.facts] = frozenset(Fact(issuer, *said) for said in record.facts)
        yield ListedPerson(
            identity=Identity(issuer, subject),
            # Thousands of people share a few sets of groups; one object each keeps 100 000 people small.
            groups=shared.setdefault(held, held),
            active=record.active,
            preferred_username=record.preferred_username,
            readable=record.problem is None,
            robot=record.robot,
            spelling=record.spelling,
            linked_ids=record.linked_ids,
            facts=shared_facts[record.facts],
        )


_CONFIGURED: Final = (
    (FactKind.LABEL, "scim.include_labels"),
    (FactKind.ATTRIBUTE, "scim.include_attributes"),
)


def _not_shown(people: Iterable[ListedPerson], asked: frozenset[FactKind]) -> Iterable[str]:
    """IAM's answer is the same whether nobody has any or its configuration lets none be seen: a person has to look."""
    shown = {fact.kind for person in people for fact in person.facts}
    for kind, setting in _CONFIGURED:
        if kind in asked and kind not in shown:
            yield f"the rules ask for each {kind} and nobody shows one; does this IAM list them in {setting}?"


def _notes(memberships: list[tuple[Group, tuple[PersonRecord, ...]]]) -> Iterable[str]:
    every = itertools.chain.from_iterable(people for _, people in memberships)
    unreadable = {record.subject: record.problem for record in every if record.problem is not None}
    for subject, problem in sorted(unreadable.items()):
        yield f"{subject}: {problem}; counts as present and unchanged"


def _advance(progress: Progress, group: Group) -> Advance:
    return lambda done, total: progress(group.path, done, total)

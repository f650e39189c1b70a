"""What administrators and machines write: issuers, ranges, credentials, node reports, runs."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import delete, insert, select, update

from idmap.adapters.sql.changes import canonical
from idmap.adapters.sql.difference_writer import DifferenceWriter
from idmap.adapters.sql.kept_answers import AnswerWriter
from idmap.adapters.sql.records import profile_text
from idmap.adapters.sql.rule_writer import RuleWriter
from idmap.adapters.sql.tables import (
    CREDENTIALS,
    ISSUERS,
    NODE_LOCAL_NAMES,
    NODES,
    RANGES,
    RUNS,
)
from idmap.application.ports import CredentialKind, MachineCredential, RunRecord
from idmap.domain.errors import Conflict, InvalidInput, NotFound
from idmap.domain.identity import Issuer
from idmap.domain.issuer_document import profile_document
from idmap.domain.issuers import IssuerProfile, check_distinct, check_profile
from idmap.domain.numbers import (
    ForeignNumber,
    NumberKind,
    NumberRange,
    RangePurpose,
    check_range,
)
from idmap.domain.reasons import Reason

_SHA256_BYTES: Final = 32

_KIND_OF_RANGE: Final = {
    NumberKind.UID: RangePurpose.PEOPLE,
    NumberKind.GID: RangePurpose.GROUPS,
}
_SERVED: Final = frozenset({RangePurpose.ROBOTS, RangePurpose.POOLS})


class PolicyWriter(RuleWriter):
    """The rest of `RegistryWriter`."""

    # --- issuers, ranges

    def save_issuer(self, profile: IssuerProfile) -> None:
        """Raises InvalidInput(ISSUER_INVALID); also when another profile claims one of its
        strings.
        """
        check_profile(profile)
        others = [known for known in self.issuers() if known.issuer != profile.issuer]
        check_distinct([*others, profile])
        text = profile_text(profile)
        known = self._db.scalar(select(ISSUERS.c.profile).where(ISSUERS.c.issuer == profile.issuer))
        if known == text:
            return
        if known is None:
            self._insert(ISSUERS, {"issuer": profile.issuer, "profile": text})
        else:
            self._db.execute(
                update(ISSUERS).where(ISSUERS.c.issuer == profile.issuer).values(profile=text)
            )
        self._record("save_issuer", profile=profile_document(profile))
        self._nodes_must_know()

    def remove_issuer(self, issuer: Issuer) -> None:
        """At once, even while rules name it: an issuer that is not trusted lets nobody in (law
        5).
        """
        if not self._db.execute(delete(ISSUERS).where(ISSUERS.c.issuer == issuer)).rowcount:
            raise NotFound(f"issuer {issuer}")
        self._record("remove_issuer", issuer=issuer)
        self._nodes_must_know()

    def add_range(self, new: NumberRange) -> None:
        """Raises InvalidInput(NUMBER_REFUSED, RANGE_OVERLAPS). What the marks count as issued
        stays so.
        """
        check_range(new, tuple(status.range for status in self.ranges()))
        self._insert(
            RANGES,
            {
                "name": new.name,
                "purpose": str(_KIND_OF_RANGE[new.purpose.kind]),
                "serves": str(new.purpose) if new.purpose in _SERVED else None,
                "first": new.first,
                "last": new.last,
                "next_number": self._marks.next_above(new.purpose, new.first),
            },
        )
        self._record(
            "add_range", range=new.name, purpose=str(new.purpose), first=new.first, last=new.last
        )
        self._nodes_must_know()

    def reserve_numbers(self, range_name: str, numbers: Collection[ForeignNumber]) -> int:
        status = next((s for s in self.ranges() if s.range.name == range_name), None)
        if status is None:
            raise InvalidInput(Reason.RANGE_UNKNOWN, f"range {range_name}")
        new: dict[tuple[NumberKind, int], ForeignNumber] = {}
        for found in sorted(numbers):
            if found.number not in status.range:
                raise InvalidInput(Reason.NUMBER_REFUSED, f"{found.number} is not in {range_name}")
            new.setdefault((found.kind, found.number), found)
        for kind in NumberKind:
            issued = self.issued_numbers(kind, status.range.first, status.range.last)
            for number, name in issued.items():
                found_here = new.pop((kind, number), None)
                if found_here is not None and name is not None and name != found_here.name:
                    raise Conflict(Reason.NUMBER_TAKEN, f"{found_here}; here it is {name!r}")
        if new:
            self._allocator.reserve(range_name, new)
            self._record(
                "reserve_numbers",
                range=range_name,
                numbers=[[str(f.kind), f.number, f.name, f.where] for f in new.values()],
            )
        return len(new)

    # --- machines

    def add_credential(
        self,
        kind: CredentialKind,
        name: str,
        digest: bytes,
        *,
        node_class: str | None = None,
        doors: tuple[str, ...] = (),
        at: int,
    ) -> MachineCredential:
        """One credential per name is in force: Conflict(NAME_TAKEN) until the old one is revoked.

        A node's also enrols the node.
        """
        if len(digest) != _SHA256_BYTES:
            raise InvalidInput(Reason.REQUEST_INVALID, "digest: a SHA-256 is needed")
        if (kind is CredentialKind.NODE) != (node_class is not None):
            raise InvalidInput(Reason.REQUEST_INVALID, "node_class: for nodes, and only for them")
        taken = select(CREDENTIALS.c.credential_id).where(
            (CREDENTIALS.c.digest == digest)
            | (
                (CREDENTIALS.c.kind == str(kind))
                & (CREDENTIALS.c.name == name)
                & CREDENTIALS.c.revoked_at.is_(None)
            )
        )
        if self._db.execute(taken).first() is not None:
            raise Conflict(Reason.NAME_TAKEN, f"{kind} {name} has a credential in force")
        self._insert(
            CREDENTIALS,
            {
                "credential_id": self._next_key(CREDENTIALS.c.credential_id),
                "kind": str(kind),
                "name": name,
                "digest": digest,
                "node_class": node_class,
                "doors": canonical(list(doors)),
                "created": at,
            },
        )
        if node_class is not None:
            self._enrol(name, node_class)
        self._record(
            "add_credential", kind=str(kind), name=name, node_class=node_class, doors=list(doors)
        )
        return MachineCredential(kind, name, node_class, doors, at, revoked=False)

    def _enrol(self, name: str, node_class: str) -> None:
        known = update(NODES).where(NODES.c.name == name).values(node_class=node_class)
        if not self._db.execute(known).rowcount:
            self._insert(
                NODES,
                {
                    "name": name,
                    "node_class": node_class,
                    "revision": 0,
                    "ban_counter": 0,
                    "masked": "[]",
                },
            )

    def revoke_credential(self, kind: CredentialKind, name: str) -> None:
        """Raises NotFound when none is in force."""
        revoked = self._db.execute(
            update(CREDENTIALS)
            .where(
                CREDENTIALS.c.kind == str(kind),
                CREDENTIALS.c.name == name,
                CREDENTIALS.c.revoked_at.is_(None),
            )
            .values(revoked_at=self._at)
        )
        if not revoked.rowcount:
            raise NotFound(f"{kind} {name}")
        self._record("revoke_credential", kind=str(kind), name=name)

    def save_node_report(
        self,
        name: str,
        *,
        revision: int,
        ban_counter: int,
        masked: tuple[str, ...],
        local_names: tuple[str, ...],
        at: int,
    ) -> None:
        """What a node says of itself: no change of ours, so not on the record. NotFound unless
        enrolled.
        """
        saved = self._db.execute(
            update(NODES)
            .where(NODES.c.name == name)
            .values(
                revision=revision,
                ban_counter=ban_counter,
                reported=at,
                masked=canonical(list(masked)),
            )
        )
        if not saved.rowcount:
            raise NotFound(f"node {name}")
        mine = NODE_LOCAL_NAMES.c.node == name
        known = set(self._db.scalars(select(NODE_LOCAL_NAMES.c.name).where(mine)))
        gone, new = known - set(local_names), sorted(set(local_names) - known)
        if gone:
            self._db.execute(
                delete(NODE_LOCAL_NAMES).where(mine, NODE_LOCAL_NAMES.c.name.in_(gone))
            )
        if new:
            rows = [{"node": name, "name": local} for local in new]
            self._db.execute(insert(NODE_LOCAL_NAMES), rows)

    # --- runs

    def save_run(self, run: RunRecord) -> None:
        """The table of runs is itself a record; what a run changes stands in the record of
        changes.
        """
        values = {
            "started": run.started,
            "finished": run.finished,
            "outcome": run.outcome,
            "reason": run.reason,
            "plan": None if run.plan is None else canonical(run.plan),
        }
        known = update(RUNS).where(RUNS.c.run_id == run.run_id).values(**values)
        if not self._db.execute(known).rowcount:
            self._insert(RUNS, {"run_id": run.run_id} | values)


class SqlWriter(PolicyWriter, AnswerWriter, DifferenceWriter):
    """Implements `RegistryWriter`: accounts, observations and policy in one transaction."""

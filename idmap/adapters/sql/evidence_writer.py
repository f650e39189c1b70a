"""What a listing says of people's other ids, kept as evidence.

Each source speaks for itself: what it says no more is withdrawn, what an administrator refused stays refused when it is
said again. Issuers are written under their canonical string where the site knows them (law 1).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

from sqlalchemy import ColumnElement, bindparam, insert, select, update

from idmap.adapters.sql.account_writer import AccountWriter
from idmap.adapters.sql.tables import IDENTITIES, LINK_EVIDENCE
from idmap.domain.identity import Issuer
from idmap.domain.linking import EvidenceState, LinkedId, LinkedIdKind

_ADD: Final = insert(LINK_EVIDENCE)
_WITHDRAW: Final = (
    update(LINK_EVIDENCE)
    .where(LINK_EVIDENCE.c.evidence_id == bindparam("which"))
    .values(withdrawn_at=bindparam("since"))
)

Said = Mapping[LinkedId, tuple[int, bool]]
"""What a source said of one person: the row, and whether it still says so."""


class EvidenceWriter(AccountWriter):
    """The part of `record_listing` that is about linked ids."""

    def _known_evidence(
        self, source: str, people: ColumnElement[bool]
    ) -> dict[int, dict[LinkedId, tuple[int, bool]]]:
        """By identity, for the people that the condition on `identities` names."""
        statement = (
            select(LINK_EVIDENCE)
            .join_from(LINK_EVIDENCE, IDENTITIES)
            .where(LINK_EVIDENCE.c.source == source, people)
        )
        found: dict[int, dict[LinkedId, tuple[int, bool]]] = defaultdict(dict)
        for row in self._db.execute(statement):
            claim = LinkedId(LinkedIdKind(row.kind), row.issuer, row.subject)
            found[row.identity_id][claim] = (row.evidence_id, row.withdrawn_at is None)
        return found

    def _canonical_issuers(self) -> Mapping[str, Issuer]:
        """Every string that a trusted issuer goes by, and its canonical one."""
        return {text: profile.issuer for profile in self.issuers() for text in profile.spells()}

    def _replace_evidence(
        self, identity_id: int, source: str, said: Said, says: frozenset[LinkedId], began: int
    ) -> tuple[list[str], list[str]]:
        """Holds back what differs; gives the claims that came and those that went."""
        standing = {claim for claim, (_, stands) in said.items() if stands}
        if standing == says:
            return [], []
        for claim in sorted(standing - says):
            self._hold_back(_WITHDRAW, [{"which": said[claim][0], "since": began}])
        for claim in sorted(says - standing):
            if claim in said:
                self._hold_back(_WITHDRAW, [{"which": said[claim][0], "since": None}])
                continue
            row = {
                "evidence_id": self._next_key(LINK_EVIDENCE.c.evidence_id),
                "identity_id": identity_id,
                "source": source,
                "kind": str(claim.kind),
                "issuer": claim.issuer,
                "subject": claim.subject,
                "state": str(EvidenceState.OPEN),
                "first_seen": began,
            }
            self._hold_back(_ADD, [row])
        return [str(claim) for claim in sorted(says - standing)], [
            str(claim) for claim in sorted(standing - says)
        ]


def canonical(claim: LinkedId, issuers: Mapping[str, Issuer]) -> LinkedId:
    """The claim with its issuer's canonical string; SAML entities and certificates have none."""
    if claim.kind is not LinkedIdKind.OIDC:
        return claim
    issuer = issuers.get(claim.issuer, claim.issuer)
    return claim if issuer == claim.issuer else LinkedId(claim.kind, issuer, claim.subject)

"""Reading the evidence for links: who is said to be also somebody else, and who else says so.

Rivals are looked for among everything that still stands: not refused, not withdrawn. Two identities of one account
are no rivals: they are one person.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Connection, Select, and_, exists, select

from idmap.adapters.sql.records import Record, identity_of
from idmap.adapters.sql.tables import ACCOUNTS, IDENTITIES, ISSUERS, LINK_EVIDENCE
from idmap.application.questions import EvidenceQuestion
from idmap.domain.identity import Identity, Issuer, Subject
from idmap.domain.linking import Evidence, EvidenceState, LinkedId, LinkedIdKind

_EVIDENCE: Final = select(
    LINK_EVIDENCE,
    IDENTITIES.c.issuer.label("person_issuer"),
    IDENTITIES.c.subject.label("person_subject"),
    IDENTITIES.c.account_id,
    ACCOUNTS.c.username,
).select_from(LINK_EVIDENCE.join(IDENTITIES).join(ACCOUNTS, isouter=True))
_STANDS: Final = and_(
    LINK_EVIDENCE.c.state != str(EvidenceState.REFUSED), LINK_EVIDENCE.c.withdrawn_at.is_(None)
)
_ITSELF: Final = IDENTITIES.alias("itself")
_LINKABLE: Final = and_(
    LINK_EVIDENCE.c.kind == str(LinkedIdKind.OIDC),
    LINK_EVIDENCE.c.issuer.in_(select(ISSUERS.c.issuer)),
    ~exists().where(
        _ITSELF.c.issuer == LINK_EVIDENCE.c.issuer,
        _ITSELF.c.subject == LINK_EVIDENCE.c.subject,
        _ITSELF.c.account_id == IDENTITIES.c.account_id,
    ),
)


def evidence_asked_for(asked: EvidenceQuestion) -> Select[*tuple[Any, ...]]:
    """The rows of a question, in no order."""
    statement = _EVIDENCE
    if asked.state is not None:
        statement = statement.where(LINK_EVIDENCE.c.state == str(asked.state))
    if asked.state is EvidenceState.OPEN:
        statement = statement.where(LINK_EVIDENCE.c.withdrawn_at.is_(None))
    if asked.linkable:
        statement = statement.where(_LINKABLE)
    return statement


def find_evidence(connection: Connection, evidence_id: int) -> Evidence | None:
    """One piece, whatever its state."""
    wanted = _EVIDENCE.where(LINK_EVIDENCE.c.evidence_id == evidence_id)
    row = connection.execute(wanted).first()
    return None if row is None else evidence_of(connection, row)


def evidence_of(connection: Connection, row: Record) -> Evidence:
    """A row of `evidence_asked_for`, with its rivals."""
    return Evidence(
        evidence_id=row.evidence_id,
        source=row.source,
        identity=Identity(Issuer(row.person_issuer), Subject(row.person_subject)),
        claims=LinkedId(LinkedIdKind(row.kind), row.issuer, row.subject),
        state=EvidenceState(row.state),
        first_seen=row.first_seen,
        withdrawn=row.withdrawn_at is not None,
        username=row.username,
        rivals=_rivals(connection, row),
    )


def _rivals(connection: Connection, row: Record) -> tuple[Identity, ...]:
    """Others who claim the same id, and the claimed identity itself where another account has it."""
    claimants = (
        select(
            IDENTITIES.c.identity_id,
            IDENTITIES.c.issuer,
            IDENTITIES.c.subject,
            IDENTITIES.c.account_id,
        )
        .join_from(LINK_EVIDENCE, IDENTITIES)
        .where(
            _STANDS,
            LINK_EVIDENCE.c.kind == row.kind,
            LINK_EVIDENCE.c.issuer == row.issuer,
            LINK_EVIDENCE.c.subject == row.subject,
        )
        .distinct()
    )
    found = [other for other in connection.execute(claimants) if _is_another(other, row)]
    if row.kind == str(LinkedIdKind.OIDC):
        itself = select(IDENTITIES).where(
            IDENTITIES.c.issuer == row.issuer,
            IDENTITIES.c.subject == row.subject,
            IDENTITIES.c.account_id.is_not(None),
        )
        found += [other for other in connection.execute(itself) if _is_another(other, row)]
    return tuple(sorted({identity_of(other) for other in found}))


def _is_another(other: Record, row: Any) -> bool:
    if other.identity_id == row.identity_id:
        return False
    return other.account_id is None or other.account_id != row.account_id

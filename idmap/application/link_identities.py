"""Linking as people and administrators ask for it: by two fresh logins, by order, by approving evidence.

Who may be linked at all is `domain/linking.py`'s to say; here the proof is looked at. With `rehearse` an
administrator's order is carried out on a private copy only, so that a dry run refuses what the real one would.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

from idmap.application.account_named import account_named
from idmap.application.ports import Author, Registry, RegistryReader, RegistryWriter
from idmap.domain.accounts import Account
from idmap.domain.claims import VerifiedClaims
from idmap.domain.decision import Recorded, decide
from idmap.domain.errors import Conflict, InvalidInput, NotFound, Refused
from idmap.domain.identity import Identity, Issuer, parse_subject
from idmap.domain.linking import (
    Evidence,
    EvidenceState,
    LinkedIdKind,
    LinkProof,
    require_fresh,
)
from idmap.domain.persons import as_one
from idmap.domain.reasons import Reason


@dataclass(frozen=True, slots=True)
class Linked:
    """An account and its identities after a change, or as a rehearsed change would leave them."""

    account: Account
    identities: tuple[Identity, ...]
    changed: bool


def person_of(reader: RegistryReader, recorded: Recorded) -> Recorded:
    """What is recorded of the whole person whose one identity `recorded` is: what `decide` gives accounts by.

    `recorded` stands in for what the registry has of that identity. Who shares an account with others is judged alone.
    """
    if recorded.account is None or recorded.account.shared:
        return recorded
    others = (facts.recorded for facts in reader.people_of(recorded.account.account_id))
    return as_one([recorded, *(one for one in others if one.identity != recorded.identity)])


def link_own(registry: Registry, own: VerifiedClaims, other: VerifiedClaims, at: int) -> Linked:
    """Links the identity of `other` to the account of `own`: one person, who logged in with both just now.

    Raises Refused: AUTHENTICATION_TOO_OLD, ROBOT_AND_PERSON, the account's own reason when it may not be used,
    InvalidInput(REQUEST_INVALID) for the same identity twice; and what `check_link` raises.
    """
    if own.identity == other.identity:
        raise InvalidInput(Reason.REQUEST_INVALID, "token: is of the identity you came with")
    require_fresh(own, at)
    require_fresh(other, at)
    author = Author(f"self:{own.identity}", "logged in with both identities")
    with registry.write(author) as writer:
        recorded = writer.recorded(own.identity)
        refused = writer.credential_bans(issuer=own.identity.issuer, token_id=own.token_id)
        decision = decide(recorded, writer.rules(), at, own.door, own, refused)
        if not decision.allowed or decision.account is None:
            raise Refused(decision.reason, str(own.identity))
        if own.robot or recorded.robot or other.robot:
            raise Conflict(Reason.ROBOT_AND_PERSON, "robots do not link themselves")
        account_id = decision.account.account_id
        changed = writer.link_identity(account_id, other.identity, LinkProof.TWO_LOGINS)
        return _linked(writer, account_id, changed)


def link(
    registry: Registry, author: Author, name: str, identity: Identity, *, rehearse: bool = False
) -> Linked:
    """By an administrator's order. Raises NotFound, and what `check_link` raises."""
    with _writing(registry, author, rehearse) as writer:
        account = account_named(writer, name)
        changed = writer.link_identity(account.account_id, identity, LinkProof.ADMINISTRATOR)
        return _linked(writer, account.account_id, changed)


def unlink(
    registry: Registry, author: Author, name: str, identity: Identity, *, rehearse: bool = False
) -> Linked:
    """Number and name stay with the account. Raises NotFound, and what `check_unlink` raises."""
    with _writing(registry, author, rehearse) as writer:
        account = account_named(writer, name)
        writer.unlink_identity(account.account_id, identity)
        return _linked(writer, account.account_id, True)


def approve_evidence(
    registry: Registry, author: Author, evidence_id: int, *, rehearse: bool = False
) -> Linked:
    """Links the claimed identity to the account of the person the source speaks of.

    Raises NotFound; Conflict: EVIDENCE_SETTLED, EVIDENCE_CONTRADICTED while somebody else lays the same claim,
    IDENTITY_NOT_LINKABLE for what is no OpenID Connect identity, ACCOUNT_UNKNOWN when the person has no account; and
    what `check_link` raises.
    """
    with _writing(registry, author, rehearse) as writer:
        found = _open_evidence(writer, evidence_id)
        if found.contradicted:
            rivals = ", ".join(str(rival) for rival in found.rivals)
            raise Conflict(Reason.EVIDENCE_CONTRADICTED, f"{found.claims}: {rivals}")
        account = writer.recorded(found.identity).account
        if account is None:
            raise Conflict(Reason.ACCOUNT_UNKNOWN, str(found.identity))
        identity = _claimed(found)
        changed = writer.link_identity(
            account.account_id, identity, LinkProof.EVIDENCE, evidence=evidence_id
        )
        writer.settle_evidence(evidence_id, EvidenceState.APPROVED)
        return _linked(writer, account.account_id, changed)


def refuse_evidence(
    registry: Registry, author: Author, evidence_id: int, *, rehearse: bool = False
) -> Evidence:
    """It stays refused when the source says it again. Raises NotFound, Conflict(EVIDENCE_SETTLED)."""
    with _writing(registry, author, rehearse) as writer:
        writer.settle_evidence(evidence_id, EvidenceState.REFUSED)
        found = writer.find_evidence(evidence_id)
        assert found is not None  # noqa: S101  # settled a line ago
        return found


def concerned_by(evidence: Evidence) -> tuple[Identity, ...]:
    """Whom a piece of evidence would link: of whom it is said, and who they are said to be."""
    try:
        return evidence.identity, _claimed(evidence)
    except Conflict:
        return (evidence.identity,)


def _open_evidence(reader: RegistryReader, evidence_id: int) -> Evidence:
    found = reader.find_evidence(evidence_id)
    if found is None:
        raise NotFound(f"evidence {evidence_id}")
    if found.state is not EvidenceState.OPEN or found.withdrawn:
        raise Conflict(Reason.EVIDENCE_SETTLED, f"evidence {evidence_id}")
    return found


def _claimed(found: Evidence) -> Identity:
    if found.claims.kind is not LinkedIdKind.OIDC:
        raise Conflict(Reason.IDENTITY_NOT_LINKABLE, f"{found.claims.kind} {found.claims}")
    try:
        return Identity(Issuer(found.claims.issuer), parse_subject(found.claims.subject))
    except InvalidInput as error:
        raise Conflict(Reason.IDENTITY_NOT_LINKABLE, error.detail) from error


def _writing(
    registry: Registry, author: Author, rehearse: bool
) -> AbstractContextManager[RegistryWriter]:
    return registry.rehearse(author) if rehearse else registry.write(author)


def _linked(reader: RegistryReader, account_id: int, changed: bool) -> Linked:
    account = reader.find_account(account_id=account_id)
    assert account is not None  # noqa: S101  # no account is ever removed
    return Linked(account, reader.identities_of(account_id), changed)

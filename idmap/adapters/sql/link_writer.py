"""Linking identities to accounts and settling evidence; who may be linked is `domain/linking.py`'s to say."""

from __future__ import annotations

from sqlalchemy import update

from idmap.adapters.sql.ban_book import BanBook
from idmap.adapters.sql.observation_writer import ObservationWriter
from idmap.adapters.sql.tables import IDENTITIES, LINK_EVIDENCE
from idmap.domain.errors import Conflict, NotFound
from idmap.domain.identity import Identity
from idmap.domain.linking import EvidenceState, LinkProof, check_link, check_unlink
from idmap.domain.reasons import Reason


class LinkWriter(ObservationWriter):
    """The part of `RegistryWriter` that makes one person of several identities."""

    def link_identity(
        self, account_id: int, identity: Identity, proof: LinkProof, *, evidence: int | None = None
    ) -> bool:
        """An identity that was never seen may be linked by an administrator before its first login."""
        account = self._get_account(account_id)
        own = [facts.recorded for facts in self.people_of(account_id)]
        recorded = self.recorded(identity)
        trusted = {profile.issuer for profile in self.issuers()}
        reaching = BanBook.of_account_alone(self._db, account_id)
        check_link(account, own, recorded, reaching, trusted, self._at, proof)
        if recorded.account is not None:
            return False
        person = self._get_or_add_identity(identity, None, self._at)
        self._db.execute(
            update(IDENTITIES)
            .where(IDENTITIES.c.identity_id == person.identity_id)
            .values(account_id=account_id)
        )
        self._linked[identity] = account_id
        self._record(
            "link_identity",
            account_id=account_id,
            username=account.username,
            issuer=identity.issuer,
            subject=identity.subject,
            proof=str(proof),
            evidence=evidence,
        )
        self._nodes_must_know()
        return True

    def unlink_identity(
        self, account_id: int, identity: Identity, *, by_rule: bool = False
    ) -> None:
        """What was recorded of the identity stays; a rule may give it an account of its own later."""
        account = self._get_account(account_id)
        own = [facts.recorded for facts in self.people_of(account_id)]
        if identity not in {recorded.identity for recorded in own}:
            raise NotFound(f"{identity} among the identities of {account.username}")
        refused = self.credential_bans()
        check_unlink(account, own, self._at, refused, by_rule=by_rule)
        self._db.execute(
            update(IDENTITIES)
            .where(IDENTITIES.c.issuer == identity.issuer, IDENTITIES.c.subject == identity.subject)
            .values(account_id=None)
        )
        self._linked.pop(identity, None)
        self._record(
            "unlink_identity",
            account_id=account_id,
            username=account.username,
            issuer=identity.issuer,
            subject=identity.subject,
            **({"proof": str(LinkProof.RULE)} if by_rule else {}),
        )
        self._nodes_must_know()

    def settle_evidence(self, evidence_id: int, state: EvidenceState) -> None:
        """An administrator's word is final; links are changed by linking and unlinking."""
        found = self.find_evidence(evidence_id)
        if found is None:
            raise NotFound(f"evidence {evidence_id}")
        if found.state is not EvidenceState.OPEN or found.withdrawn:
            state_now = "withdrawn" if found.withdrawn else str(found.state)
            raise Conflict(Reason.EVIDENCE_SETTLED, f"evidence {evidence_id} is {state_now}")
        self._db.execute(
            update(LINK_EVIDENCE)
            .where(LINK_EVIDENCE.c.evidence_id == evidence_id)
            .values(state=str(state))
        )
        self._record(
            "settle_evidence",
            evidence=evidence_id,
            state=str(state),
            issuer=found.identity.issuer,
            subject=found.identity.subject,
            claims={
                "kind": str(found.claims.kind),
                "issuer": found.claims.issuer,
                "subject": found.claims.subject,
            },
        )

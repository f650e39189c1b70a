"""Writing down where tokens and sources disagree: observations, so neither the record of changes nor the revision
hears of them.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam, delete, insert, select, update

from idmap.adapters.sql.tables import DIFFERENCES, IDENTITIES
from idmap.adapters.sql.transaction import Transaction
from idmap.domain.differences import Difference
from idmap.domain.identity import Identity

_THIS: Final = (
    (DIFFERENCES.c.identity_id == bindparam("person"))
    & (DIFFERENCES.c.group_id == bindparam("which"))
    & (DIFFERENCES.c.kind == bindparam("how"))
)
_SEE_AGAIN: Final = update(DIFFERENCES).where(_THIS).values(last_seen=bindparam("seen"))
_ADD: Final = insert(DIFFERENCES)
_REMOVE: Final = delete(DIFFERENCES).where(_THIS)


class DifferenceWriter(Transaction):
    """The part of `RegistryWriter` that keeps differences."""

    def save_differences(self, found: Collection[Difference]) -> None:
        people = self._identity_ids({one.identity for one in found})
        for one in found:
            if one.identity not in people:
                continue
            key = self._key(one, people)
            seen = self._connection.execute(_SEE_AGAIN, {**key, "seen": one.last_seen})
            if not seen.rowcount:
                row = {
                    "identity_id": key["person"],
                    "group_id": key["which"],
                    "kind": key["how"],
                    "first_seen": one.first_seen,
                    "last_seen": one.last_seen,
                }
                self._connection.execute(_ADD, row)

    def settle_differences(self, settled: Collection[Difference]) -> None:
        people = self._identity_ids({one.identity for one in settled})
        for one in settled:
            if one.identity in people:
                self._connection.execute(_REMOVE, self._key(one, people))

    def forget_differences(self, before: int) -> int:
        gone = self._db.execute(delete(DIFFERENCES).where(DIFFERENCES.c.last_seen < before))
        return gone.rowcount

    def _key(self, one: Difference, people: dict[Identity, int]) -> dict[str, int | str]:
        return {
            "person": people[one.identity],
            "which": self._group_id(one.group),
            "how": str(one.kind),
        }

    def _identity_ids(self, identities: Collection[Identity]) -> dict[Identity, int]:
        """Of those on record: nobody comes on record for a difference."""
        found: dict[Identity, int] = {}
        for identity in identities:
            number = self._db.scalar(
                select(IDENTITIES.c.identity_id).where(
                    IDENTITIES.c.issuer == identity.issuer,
                    IDENTITIES.c.subject == identity.subject,
                )
            )
            if number is not None:
                found[identity] = number
        return found

"""Which issuers and tokens are banned, as fast as the doors ask: remembered until anybody commits anything.

Every token door asks after the signature held, and `decide` once more. There is no lifetime: the next question after a
ban was committed, by whatever process, is answered by it (law 5).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

from idmap.application.remembered import Remembered
from idmap.application.verify_token import FindBan
from idmap.domain.bans import Ban, CredentialBans
from idmap.domain.identity import Issuer

_QUESTION: Final = "credential_bans"


def credential_bans(remembered: Remembered) -> CredentialBans:
    """All of them; read again only when a ban or a trusted issuer changed, and both raise a counter."""
    return remembered.get(
        _QUESTION,
        lambda reader: reader.credential_bans(),
        mark=lambda reader: (reader.ban_counter(), reader.revision()),
    )


def credential_bans_at(present: Mapping[Hashable, Any]) -> CredentialBans | None:
    """The same, where they are among what is remembered; reads nothing."""
    return present.get(_QUESTION)


def find_ban_in(remembered: Remembered) -> FindBan:
    """What a verifier asks."""

    def find(issuer: Issuer, token_id: str | None, at: int) -> Ban | None:
        return credential_bans(remembered).find(issuer, token_id, at)

    return find

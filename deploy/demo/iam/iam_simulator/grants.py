"""The access tokens this instance has issued, and what each may do.

IAM keeps issued tokens in its database, which is why a token of the `iam` profile needs no `scope`
claim to open SCIM. Here they are kept in memory, so a restart forgets them: a client sees 401 and
must ask for a new one, as after a token's expiry.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .tokens import Profile

MOST_GRANTS = 100_000
# The oldest are forgotten first; a bound, so that a long benchmark does not grow without end.


@dataclass(frozen=True, slots=True)
class Grant:
    """What stands behind one issued token. `sub` is a person's UUID or the client id."""

    sub: str
    client_id: str
    scopes: frozenset[str]
    profile: Profile
    claims: dict[str, Any]
    is_for_person: bool

    def is_live(self, now: datetime) -> bool:
        """Whether the token's own times allow its use now; IAM gives no leeway at its own door."""
        stamp = now.timestamp()
        expires, starts = self.claims.get("exp"), self.claims.get("nbf")
        return not (isinstance(expires, int) and stamp >= expires) and not (
            isinstance(starts, int) and stamp < starts
        )


class GrantBook:
    """Issued tokens by their SHA-256; the tokens themselves are not kept."""

    def __init__(self) -> None:
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()

    def record(self, token: str, grant: Grant) -> None:
        """Remember that `token` was issued."""
        self._grants[_digest(token)] = grant
        while len(self._grants) > MOST_GRANTS:
            self._grants.popitem(last=False)

    def find_live(self, token: str, now: datetime) -> Grant | None:
        """The grant behind `token` if it was issued here and has not expired."""
        grant = self._grants.get(_digest(token))
        return grant if grant is not None and grant.is_live(now) else None

    def forget_all(self) -> None:
        """Treat every token issued so far as unknown."""
        self._grants.clear()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()

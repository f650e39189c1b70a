"""Tokens that were verified a moment ago, remembered by a keyed hash and by nothing else.

Components ask about the same token many times a minute. A hit saves reading, key look-up and signature; the decision
about the account is made anew each time. Rules: the key of the memory is an HMAC of token and door under a random key
of this process, so that neither a dump nor a log of it recognises a token; an entry lives a minute at most (law 5),
never beyond the token's own end or its issuer's maximum age; everything is forgotten as soon as a ban, a rule or an
issuer changed, or an issuer's keys did. Only acceptances are kept. Opaque tokens are not: their issuer is asked so
that it can say no. The admin door is not: it asks how long ago somebody was there.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.application.introspect import is_opaque
from idmap.application.ports import IssuerKeys, SignatureChecker
from idmap.application.verify_token import FindBan, OpaqueVerifier, TokenVerifier
from idmap.domain.checks import Check
from idmap.domain.claims import VerifiedClaims
from idmap.domain.doors import Door, DoorKind
from idmap.domain.issuers import IssuerProfile
from idmap.domain.secrets import Secret
from idmap.domain.tokens import MAX_TOKEN

LIFETIME_SECONDS: Final = 60
LIMIT: Final = 20_000
"""Entries, about 1 KiB each; the one not asked for longest goes first."""


@dataclass(frozen=True, slots=True)
class _Entry:
    claims: VerifiedClaims
    verified: int
    end: int


class VerifiedTokens(TokenVerifier):
    """A TokenVerifier with a memory; for all threads of a process.

    `state` differs as soon as anything changed that a verification depends on; `present_state` finds the same in
    what is remembered, or gives None.
    """

    def __init__(
        self,
        find_issuer: Callable[[str], IssuerProfile | None],
        keys: IssuerKeys,
        signatures: SignatureChecker,
        opaque: OpaqueVerifier | None = None,
        *,
        state: Callable[[], Hashable],
        present_state: Callable[[Mapping[Hashable, Any]], Hashable | None] = lambda _: None,
        limit: int = LIMIT,
        find_ban: FindBan | None = None,
    ) -> None:
        super().__init__(find_issuer, keys, signatures, opaque, find_ban=find_ban)
        self._state = state
        self._present_state = present_state
        self._limit = limit
        self._hash_key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._of: Hashable = None
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def verify(
        self,
        token: Secret,
        door: Door,
        at: int,
        trace: list[Check] | None = None,
        issuer: str | None = None,
    ) -> VerifiedClaims:
        """As TokenVerifier.verify. With a `trace` every check is made, and shown."""
        if trace is not None or door.kind is DoorKind.ADMIN or len(token) > MAX_TOKEN:
            return super().verify(token, door, at, trace, issuer)
        # Asked for before verifying: an entry may be newer than its state, never older.
        state = self._state()
        mark = self._mark(token, door)
        entry = self._find(state, mark)
        if entry is not None and entry.verified <= at < entry.end:
            return entry.claims
        claims = super().verify(token, door, at, None, issuer)
        if not is_opaque(token):
            self._keep(state, mark, claims, at)
        return claims

    def recall(
        self, token: Secret, door: Door, at: int, present: Mapping[Hashable, Any]
    ) -> VerifiedClaims | None:
        """See TokenVerifier.recall."""
        if door.kind is DoorKind.ADMIN or len(token) > MAX_TOKEN:
            return None
        state = self._present_state(present)
        if state is None:
            return None
        entry = self._find(state, self._mark(token, door))
        return entry.claims if entry is not None and entry.verified <= at < entry.end else None

    def __len__(self) -> int:
        return len(self._entries)

    def _mark(self, token: Secret, door: Door) -> bytes:
        text = f"{door}\0{token.reveal()}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._hash_key, text, "sha256")

    def _find(self, state: Hashable, mark: bytes) -> _Entry | None:
        with self._lock:
            if state != self._of:
                self._of = state
                self._entries.clear()
            entry = self._entries.get(mark)
            if entry is not None:
                self._entries.move_to_end(mark)
            return entry

    def _keep(self, state: Hashable, mark: bytes, claims: VerifiedClaims, at: int) -> None:
        profile = self._find_issuer(claims.identity.issuer)
        if profile is None:
            return
        end = min(
            at + LIFETIME_SECONDS, claims.expires_at, claims.issued_at + profile.max_age_seconds
        )
        if end <= at:
            return
        with self._lock:
            if state == self._of:
                self._entries[mark] = _Entry(claims, at, end)
                if len(self._entries) > self._limit:
                    self._entries.popitem(last=False)

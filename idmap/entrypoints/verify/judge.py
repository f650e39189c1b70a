"""Whose token is it, at this node's door? The verifier's one answer.

Checks the token with what `trust.db` holds, at the node's effective time, for the audience of this node class alone,
and looks the identity's digest up; pam_idmap compares the answer with the system's own. It does not decide
whether the account may log in: the account phase does, for every kind of credential (law 3). Nobody else is asked for a
signed token whose key is known (law 7); an opaque token needs the service, where the node may ask it. At every token
it looks at what issuers and tokens are banned; when that cannot be told, nobody gets in by token (law 4).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from idmap.application.introspect import is_opaque
from idmap.application.ports import Clock
from idmap.application.verify_token import TokenVerifier
from idmap.domain.demands import Demand, require_demands
from idmap.domain.doors import Door
from idmap.domain.errors import IdmapError, TokenRefused
from idmap.domain.identity import Identity, Issuer
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret
from idmap.entrypoints.verify.protocol import VerifyReply, VerifyRequest, new_correlation_id

_log = structlog.get_logger(__name__)


class KnownAccounts(Protocol):
    """The part of trust.db that knows people."""

    def find_account(self, identity: Identity) -> tuple[int, str] | None:
        """(uid number, username) of the identity's account, or None."""
        ...

    def find_account_by_digest(self, digest: bytes) -> tuple[int, str] | None:
        """The same, by the identity's salted digest."""
        ...

    def demands(self) -> Iterable[Demand]:
        """What tokens must prove at ssh doors."""
        ...


class BannedCredentials(Protocol):
    """refused.json."""

    def check(self) -> None:
        """Raises Unavailable(NODE_FILES_UNREADABLE) when it cannot be told what is banned."""
        ...

    def is_banned(self, issuer: Issuer, token_id: str | None, at: int) -> bool:
        """Whether a token of the issuer with this id is refused at that time. Raises as `check`."""
        ...


AskWhose = Callable[[Secret, Door], bytes]
"""The salted digest of the identity behind an opaque token. Raises TokenRefused and Unavailable."""


class Judge:
    """Answers `idmap-verify`'s requests."""

    def __init__(
        self,
        verifier: TokenVerifier,
        accounts: KnownAccounts,
        door: Door,
        clock: Clock,
        new_reference: Callable[[], str] = new_correlation_id,
        ask_whose: AskWhose | None = None,
        *,
        banned: BannedCredentials,
    ) -> None:
        """Without `ask_whose`, opaque tokens are refused."""
        self._verifier = verifier
        self._accounts = accounts
        self._door = door
        self._clock = clock
        self._new_reference = new_reference
        self._ask_whose = ask_whose
        self._banned = banned

    def answer(self, request: VerifyRequest) -> VerifyReply:
        """The account the token belongs to, or a refusal; every answer leaves one line in the log."""
        reference = self._new_reference()
        log = _log.bind(
            ref=reference, username=request.username, rhost=request.rhost, service=request.service
        )
        try:
            found, token_id = self._find(request.secret)
        except TokenRefused as refused:
            log.warning("token_refused", reason=str(refused.reason), detail=refused.detail)
            return VerifyReply.refuse(
                refused.reason, proved=refused.proved, correlation_id=reference
            )
        except IdmapError as error:
            log.warning("token_refused", reason=str(error.reason), detail=error.detail)
            return VerifyReply.refuse(error.reason, correlation_id=reference)
        if found is None:
            log.warning("token_refused", reason=str(Reason.IDENTITY_UNKNOWN))
            return VerifyReply.refuse(
                Reason.IDENTITY_UNKNOWN, proved=True, correlation_id=reference
            )
        uid_number, username = found
        if username != request.username:
            log.warning("token_refused", reason=str(Reason.IDENTITY_MISMATCH), account=username)
            return VerifyReply.refuse(
                Reason.IDENTITY_MISMATCH, proved=True, correlation_id=reference
            )
        log.info("token_accepted", account=username, token_id=_shown(token_id))
        return VerifyReply.accept(username, uid_number, reference)

    def _find(self, secret: Secret) -> tuple[tuple[int, str] | None, str | None]:
        """The account behind the token, if any, and the token's id, if it says one."""
        self._banned.check()
        if self._ask_whose is not None and is_opaque(secret):
            # The service knows every ban itself, and looks at them before it answers.
            return self._accounts.find_account_by_digest(self._ask_whose(secret, self._door)), None
        at = self._clock()
        claims = self._verifier.verify(secret, self._door, at)
        if self._banned.is_banned(claims.identity.issuer, claims.token_id, at):
            raise TokenRefused(Reason.BANNED, claims.identity.issuer, proved=True)
        require_demands(self._accounts.demands(), claims, self._door, at)
        return self._accounts.find_account(claims.identity), claims.token_id


def _shown(token_id: str | None) -> str | None:
    """A digest of the token's id: enough to recognise it in two logs, nothing to replay."""
    return None if token_id is None else hashlib.sha256(token_id.encode()).hexdigest()[:16]

"""What a request may ban: exactly one of an account, an identity, a group, an issuer and a token."""

from __future__ import annotations

from pydantic import Field

from idmap.application.ban import BanOrder
from idmap.domain.bans import MAX_TOKEN_ID
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason
from idmap.entrypoints.http.request_documents import (
    NO_ZERO_BYTE,
    IdentityRequest,
    IssuerText,
    Moment,
    Name,
    ReasonText,
    RequestDocument,
)


class GroupRequest(RequestDocument):
    """A group as its issuer knows it."""

    issuer: IssuerText
    path: str = Field(min_length=1, max_length=512, pattern=NO_ZERO_BYTE, examples=["vo/admins"])


class TokenRequest(RequestDocument):
    """One token: its issuer and its `jti`, never the token itself."""

    issuer: IssuerText
    token_id: str = Field(min_length=1, max_length=MAX_TOKEN_ID, pattern=NO_ZERO_BYTE)


class BanRequest(RequestDocument):
    """Refuse one of these, now and at every door: an account, an identity, a group, an issuer, a token."""

    account: Name | None = None
    identity: IdentityRequest | None = None
    group: GroupRequest | None = None
    issuer: IssuerText | None = Field(
        default=None, description="Every token of it, exactly as trusted."
    )
    token: TokenRequest | None = None
    until: Moment | None = Field(default=None, description="End; without it, until lifted.")
    reason: ReasonText = None

    def order(self) -> BanOrder:
        """As the use case knows it. Raises InvalidInput(REQUEST_INVALID)."""
        named = [self.account, self.identity, self.group, self.issuer, self.token]
        if sum(part is not None for part in named) != 1:
            raise InvalidInput(
                Reason.REQUEST_INVALID, "exactly one of account, identity, group, issuer, token"
            )
        if self.token is not None:
            return BanOrder(issuer=Issuer(self.token.issuer), token_id=self.token.token_id)
        return BanOrder(
            username=self.account,
            identity=None if self.identity is None else self.identity.identity(),
            group=None if self.group is None else Group(Issuer(self.group.issuer), self.group.path),
            issuer=None if self.issuer is None else Issuer(self.issuer),
        )

    def end(self) -> int | None:
        """Seconds since the epoch."""
        return None if self.until is None else int(self.until.timestamp())

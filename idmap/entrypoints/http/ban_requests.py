"""What a request may ban: exactly one of an account, an identity, a group, an issuer and a token."""

from __future__ import annotations

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from idmap.application.ban import BanOrder
from idmap.domain.bans import MAX_TOKEN_ID
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import Group
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason
from idmap.entrypoints.http.documents import IdentityDocument, ReasonText

_NO_ZERO_BYTE = r"^[^\x00]*$"
_ISSUER = Field(min_length=1, max_length=2048, pattern=_NO_ZERO_BYTE)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GroupDocument(_Part):
    """A group as its issuer knows it."""

    issuer: str = _ISSUER
    path: str = Field(min_length=1, max_length=512, pattern=_NO_ZERO_BYTE, examples=["vo/admins"])


class TokenDocument(_Part):
    """One token: its issuer and its `jti`, never the token itself."""

    issuer: str = _ISSUER
    token_id: str = Field(min_length=1, max_length=MAX_TOKEN_ID, pattern=_NO_ZERO_BYTE)


class BanRequest(_Part):
    """Refuse one of these, now and at every door: an account, an identity, a group, an issuer, a token."""

    account: str | None = Field(default=None, max_length=64)
    identity: IdentityDocument | None = None
    group: GroupDocument | None = None
    issuer: str | None = Field(
        default=None, max_length=2048, description="Every token of it, exactly as trusted."
    )
    token: TokenDocument | None = None
    until: AwareDatetime | None = Field(default=None, description="End; without it, until lifted.")
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

"""Ordering and lifting bans. Whom they reach is looked up when somebody asks (ban_book.py), never written down."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from idmap.adapters.sql.link_writer import LinkWriter
from idmap.adapters.sql.tables import BANS
from idmap.domain.bans import MAX_TOKEN_ID, Ban
from idmap.domain.errors import InvalidInput, NotFound
from idmap.domain.groups import OUR_ISSUERS, Group
from idmap.domain.identity import Identity, Issuer
from idmap.domain.reasons import Reason


class BanWriter(LinkWriter):
    """The part of `RegistryWriter` that refuses people and credentials on a person's order."""

    def add_ban(
        self,
        *,
        account_id: int | None,
        identity: Identity | None,
        group: Group | None = None,
        issuer: Issuer | None = None,
        token_id: str | None = None,
        reason: str,
        until: int | None,
        at: int,
    ) -> Ban:
        """An identity and a group may be banned before they were ever seen: their row is made then."""
        _check(account_id, identity, group, issuer, token_id)
        if until is not None and until <= at:
            raise InvalidInput(Reason.REQUEST_INVALID, "until: lies before the ban begins")
        if account_id is not None:
            self._get_account(account_id)
        identity_id = None
        if identity is not None:
            identity_id = self._get_or_add_identity(identity, None, at).identity_id
        ban = Ban(
            ban_id=self._next_key(BANS.c.ban_id),
            account_id=account_id,
            identity=identity,
            reason=reason,
            author=self._author.name,
            since=at,
            until=until,
            group=group,
            issuer=issuer,
            token_id=token_id,
        )
        self._insert(
            BANS,
            {
                "ban_id": ban.ban_id,
                "account_id": account_id,
                "identity_id": identity_id,
                "group_id": None if group is None else self._group_id(group),
                "banned_issuer": issuer,
                "token_id": token_id,
                "reason": reason,
                "author": ban.author,
                "since": at,
                "until": until,
            },
        )
        self._record("add_ban", **_recorded(ban), why=reason, until=until)
        self._bans_changed()
        return ban

    def lift_ban(self, ban_id: int) -> None:
        """Raises NotFound when there is none, or it was lifted before."""
        ban = self.find_ban(ban_id)
        if ban is None:
            raise NotFound(f"ban {ban_id}")
        self._db.execute(update(BANS).where(BANS.c.ban_id == ban_id).values(lifted_at=self._at))
        self._record("lift_ban", **_recorded(ban))
        self._bans_changed()


def _check(
    account_id: int | None,
    identity: Identity | None,
    group: Group | None,
    issuer: Issuer | None,
    token_id: str | None,
) -> None:
    """Raises InvalidInput(REQUEST_INVALID)."""
    if account_id is None and identity is None and group is None and issuer is None:
        raise InvalidInput(
            Reason.REQUEST_INVALID,
            "a ban is of an account, an identity, a group, an issuer or a token",
        )
    if token_id is not None and (issuer is None or not 1 <= len(token_id) <= MAX_TOKEN_ID):
        raise InvalidInput(
            Reason.REQUEST_INVALID,
            f"token_id: 1 to {MAX_TOKEN_ID} characters, with the token's issuer",
        )
    ours = OUR_ISSUERS & {issuer, None if group is None else group.issuer}
    if ours:
        raise InvalidInput(Reason.REQUEST_INVALID, f"{min(ours)} is no issuer")


def _recorded(ban: Ban) -> dict[str, Any]:
    """Whom it is of, as the record of changes says it."""
    said: dict[str, Any] = {
        "ban_id": ban.ban_id,
        "account_id": ban.account_id,
        "issuer": None if ban.identity is None else ban.identity.issuer,
        "subject": None if ban.identity is None else ban.identity.subject,
    }
    if ban.group is not None:
        said["group"] = {"issuer": ban.group.issuer, "path": ban.group.path}
    if ban.issuer is not None:
        said["banned_issuer"] = ban.issuer
    if ban.token_id is not None:
        said["token_id"] = ban.token_id
    return said

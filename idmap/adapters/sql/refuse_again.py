"""What was refused before a restore stays refused after it: bans in force and revoked credentials (law 5).

Bans of identities, groups, issuers and tokens are ordered anew, as what they are. Whoever was on the ban list and is
not reached by these in the restored registry, because the backup does not know yet who joined a group or had which
identity, is banned by account or by identity. Without the replaced database there is the published ban list: it names
accounts by number and issuers in full, but of a token its digest alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from sqlalchemy import Connection, select

from idmap.adapters.sql.policy_writer import SqlWriter
from idmap.adapters.sql.replaced import Replaced
from idmap.adapters.sql.tables import ACCOUNTS
from idmap.application.published_issues import Published
from idmap.domain.accounts import AccountState
from idmap.domain.bans import Ban
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer

_CARRIED: Final = "in force when an older backup was restored"


@dataclass(frozen=True, slots=True)
class _Target:
    """What a ban is of that means the same in any registry of the realm."""

    identity: Identity | None = None
    group: Group | None = None
    issuer: Issuer | None = None
    token_id: str | None = None


@dataclass(slots=True)
class CarriedOver:
    """How much was."""

    bans: int = 0
    of_lost_accounts: int = 0
    """Banned accounts that are not there any more, and of whom nothing says whose they were."""
    of_unknown_tokens: int = 0
    credentials: int = 0


def refuse_again(
    writer: SqlWriter,
    target: Connection,
    replaced: Replaced | None,
    published: Published,
    at: int,
) -> CarriedOver:
    """Carries everything over into the restored registry."""
    carried = CarriedOver()
    for digest in replaced.revoked if replaced else ():
        credential = writer.find_credential(digest)
        if credential is not None and not credential.revoked:
            writer.revoke_credential(credential.kind, credential.name)
            carried.credentials += 1
    bans = _Bans(writer, at, carried)
    if replaced is not None:
        for ban in replaced.bans:
            bans.carry(_target_of(ban), ban.reason, ban.until)
        banned = replaced.banned
    else:
        for issuer, until in published.banned_issuers:
            bans.carry(_Target(issuer=Issuer(issuer)), _CARRIED, until or None)
        carried.of_unknown_tokens = published.banned_tokens
        banned = tuple((number, until, ()) for number, until in published.bans)
    _accounts(writer, target, banned, bans, at)
    return carried


class _Bans:
    """Orders those bans that no ban known here already outlasts."""

    def __init__(self, writer: SqlWriter, at: int, carried: CarriedOver) -> None:
        self._writer, self._at, self._carried = writer, at, carried
        self._ends: dict[_Target, float] = {}
        for ban in writer.bans(at=at):
            self._note(_target_of(ban), ban.until)

    def carry(self, target: _Target, reason: str, until: int | None) -> None:
        over = until is not None and until <= self._at
        if target == _Target() or over or self._ends.get(target, 0) >= _end(until):
            return
        self._note(target, until)
        self._writer.add_ban(
            account_id=None,
            identity=target.identity,
            group=target.group,
            issuer=target.issuer,
            token_id=target.token_id,
            reason=reason,
            until=until,
            at=self._at,
        )
        self._carried.bans += 1

    def carry_account(self, account_id: int, until: int | None) -> None:
        self._writer.add_ban(
            account_id=account_id, identity=None, reason=_CARRIED, until=until, at=self._at
        )
        self._carried.bans += 1

    def lost_account(self) -> None:
        self._carried.of_lost_accounts += 1

    def _note(self, target: _Target, until: int | None) -> None:
        self._ends[target] = max(self._ends.get(target, 0), _end(until))


def _accounts(
    writer: SqlWriter,
    target: Connection,
    banned: tuple[tuple[int, int, tuple[Identity, ...]], ...],
    bans: _Bans,
    at: int,
) -> None:
    """Whoever was on the ban list, and is not by now, or not for as long."""
    held = {number: _end(until or None) for number, until in writer.banned_uid_numbers(at)}
    missing = [
        (number, until or None, identities)
        for number, until, identities in banned
        if (until == 0 or until > at) and held.get(number, 0) < _end(until or None)
    ]
    if not missing:
        return
    writer.flush()
    known = {
        row.uid_number: (row.account_id, row.state)
        for row in target.execute(
            select(ACCOUNTS.c.uid_number, ACCOUNTS.c.account_id, ACCOUNTS.c.state)
        )
    }
    for number, until, identities in missing:
        account_id, state = known.get(number, (None, None))
        if account_id is None:
            for identity in identities:
                bans.carry(_Target(identity=identity), _CARRIED, until)
            if not identities:
                bans.lost_account()
        elif state != str(AccountState.TOMBSTONE):
            bans.carry_account(account_id, until)


def _target_of(ban: Ban) -> _Target:
    return _Target(ban.identity, ban.group, ban.issuer, ban.token_id)


def _end(until: int | None) -> float:
    return inf if until is None else until

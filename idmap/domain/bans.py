"""A ban: a person's order, on security grounds, to refuse now at every door (law 5).

No guard delays it and no plan lifts it. Whom it reaches:

    account, identity   the account with all identities linked to it
    group               everybody who is recorded in it now, with account and linked identities
    issuer              every token of the issuer; and accounts that nobody could use but by a banned issuer
    token               that one token of the issuer (RFC 7519 §4.1.7, `jti`), and not the person

A ban that reaches a person closes the account at doors that cannot tell identities apart (keys, cron, running
sessions). A ban of an issuer or of a token refuses credentials, whoever's they are (`CredentialBans`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import Final, Self, TypeVar

from idmap.domain.groups import Group
from idmap.domain.identity import Identity, Issuer

Key = TypeVar("Key")

MAX_TOKEN_ID: Final = 255
"""Longest `jti` that any verified token has."""


class BanKind(StrEnum):
    """What a ban is of."""

    ACCOUNT = "account"
    IDENTITY = "identity"
    GROUP = "group"
    ISSUER = "issuer"
    TOKEN = "token"  # noqa: S105  (what a ban is of)


@dataclass(frozen=True, slots=True)
class Ban:
    """Who is refused, since when and until when (seconds since the epoch; None for no end)."""

    ban_id: int
    account_id: int | None
    identity: Identity | None
    reason: str
    author: str
    since: int
    until: int | None
    group: Group | None = None
    issuer: Issuer | None = None
    token_id: str | None = None
    """Only with `issuer`: the ban is of this one token of it."""

    @property
    def kind(self) -> BanKind:
        """What it is of."""
        for kind, value in (
            (BanKind.TOKEN, self.token_id),
            (BanKind.ISSUER, self.issuer),
            (BanKind.GROUP, self.group),
            (BanKind.IDENTITY, self.identity),
        ):
            if value is not None:
                return kind
        return BanKind.ACCOUNT

    @property
    def of(self) -> str:
        """What it is of, in words for administrators; never the token's id, which may be pasted along."""
        match self.kind:
            case BanKind.TOKEN:
                return f"one token of {self.issuer}"
            case BanKind.ISSUER:
                return f"issuer {self.issuer}"
            case BanKind.GROUP:
                return f"group {self.group}"
            case BanKind.IDENTITY:
                return f"identity {self.identity}"
            case BanKind.ACCOUNT:
                return "the account"

    def holds(self, at: int) -> bool:
        """Whether it is in force. It begins at once: a node with a slow clock refuses too."""
        return self.until is None or at < self.until


def last_end(bans: Iterable[Ban]) -> int | None:
    """When the last of them ends; None when one of them has no end. There must be one."""
    ends = [ban.until for ban in bans]
    return None if None in ends else max(end for end in ends if end is not None)


def closing_bans(
    issuers: Collection[Issuer], banned: Mapping[Issuer, Sequence[Ban]]
) -> tuple[Ban, ...]:
    """The bans that close an account whose identities are of `issuers`: none, unless all of these are banned.

    It is closed until the first of the issuers is free again, so that issuer's bans are the ones.
    """
    if not issuers or any(issuer not in banned for issuer in issuers):
        return ()

    def end(issuer: Issuer) -> tuple[float, str]:
        last = last_end(banned[issuer])
        return (inf if last is None else last, issuer)

    return tuple(banned[min(issuers, key=end)])


@dataclass(frozen=True, slots=True)
class CredentialBans:
    """The bans that refuse credentials, by canonical issuer and by token."""

    issuers: Mapping[Issuer, tuple[Ban, ...]]
    tokens: Mapping[tuple[Issuer, str], tuple[Ban, ...]]

    @classmethod
    def of(cls, bans: Iterable[Ban], canonical: Mapping[Issuer, Issuer] | None = None) -> Self:
        """Of bans of any kind; `canonical` says which issuer a string spells today."""
        issuers: dict[Issuer, tuple[Ban, ...]] = {}
        tokens: dict[tuple[Issuer, str], tuple[Ban, ...]] = {}
        for ban in bans:
            if ban.issuer is None:
                continue
            for issuer in {ban.issuer, (canonical or {}).get(ban.issuer, ban.issuer)}:
                if ban.token_id is None:
                    issuers[issuer] = (*issuers.get(issuer, ()), ban)
                else:
                    token = (issuer, ban.token_id)
                    tokens[token] = (*tokens.get(token, ()), ban)
        return cls(MappingProxyType(issuers), MappingProxyType(tokens))

    def find(self, issuer: Issuer, token_id: str | None, at: int) -> Ban | None:
        """The ban in force that refuses a token of this issuer with this id."""
        bans = self.issuers.get(issuer, ())
        if token_id is not None:
            bans = (*bans, *self.tokens.get((issuer, token_id), ()))
        return next((ban for ban in bans if ban.holds(at)), None)

    def issuers_at(self, at: int) -> tuple[tuple[Issuer, int], ...]:
        """(issuer, end or 0) of the issuers that are banned then, sorted."""
        return tuple(sorted(_ends(self.issuers, at)))

    def tokens_at(self, at: int) -> tuple[tuple[tuple[Issuer, str], int], ...]:
        """((issuer, token id), end or 0) of the tokens that are banned then, sorted."""
        return tuple(sorted(_ends(self.tokens, at)))


NO_CREDENTIAL_BANS: Final = CredentialBans.of(())


def _ends(bans: Mapping[Key, tuple[Ban, ...]], at: int) -> Iterable[tuple[Key, int]]:
    for key, some in bans.items():
        holding = [ban for ban in some if ban.holds(at)]
        if holding:
            yield key, last_end(holding) or 0

"""Family: tokens and issuers that a person banned. Refused after everything else held, and by exact strings alone."""

from __future__ import annotations

from typing import Final

from idmap.domain.bans import Ban
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason
from tests.support.tokens import ISSUER, NOW
from tests.tokens.cases import Case, passes, proved, with_claims

_BANNED: Final = Reason.BANNED
_OTHER: Final = Issuer(ISSUER.rstrip("/"))


def _ban(issuer: str, token_id: str | None = None, until: int | None = None) -> tuple[Ban, ...]:
    ban = Ban(1, None, None, "r", "a", NOW - 9, until, issuer=Issuer(issuer), token_id=token_id)
    return (ban,)


_LEAKED: Final = _ban(ISSUER, "leaked")

CASES: tuple[Case, ...] = (
    proved("of a banned issuer", _BANNED, with_claims(), bans=_ban(ISSUER)),
    proved("of a banned issuer, without an id", _BANNED, with_claims(jti=None), bans=_ban(ISSUER)),
    proved("in its last second", _BANNED, with_claims(), bans=_ban(ISSUER, until=NOW + 1)),
    passes("after its last second", with_claims(), bans=_ban(ISSUER, until=NOW)),
    proved("a banned token", _BANNED, with_claims(jti="leaked"), bans=_LEAKED),
    passes("another token", with_claims(jti="fresh"), bans=_LEAKED),
    passes("a token without an id", with_claims(jti=None), bans=_LEAKED),
    passes("the id in other letters", with_claims(jti="Leaked"), bans=_LEAKED),
    passes("the id at another issuer", with_claims(jti="leaked"), bans=_ban(_OTHER, "leaked")),
    passes("another issuer that differs by a slash", with_claims(), bans=_ban(_OTHER)),
    proved(
        "a banned token of an issuer that calls itself by its alias",
        _BANNED,
        with_claims(iss=_OTHER, jti="leaked"),
        bans=_LEAKED,
        trust={"aliases": frozenset({_OTHER})},
    ),
    proved(
        "what is expired too is told that first",
        Reason.TOKEN_EXPIRED,
        with_claims(exp=NOW - 3600),
        bans=_ban(ISSUER),
    ),
)

"""Family: dates missing, mistyped, past, future, and each limit to the second on both sides."""

from __future__ import annotations

from typing import Any

from idmap.domain.doors import ADMIN
from idmap.domain.issuers import ADMIN_MAX_AUTHENTICATION_AGE_SECONDS as RECENT
from idmap.domain.issuers import DEFAULT_LEEWAY_SECONDS as LEEWAY
from idmap.domain.issuers import DEFAULT_MAX_AGE_SECONDS as MAX_AGE
from idmap.domain.reasons import Reason
from tests.support.tokens import NOW
from tests.tokens.cases import Case, passes, proved, with_claims, with_members, with_text

_INVALID = Reason.CLAIM_INVALID
_MISSING = Reason.CLAIM_MISSING
_EARLY = Reason.TOKEN_NOT_YET_VALID
_EXPIRED = Reason.TOKEN_EXPIRED
_OLD = Reason.TOKEN_TOO_OLD
_STALE = Reason.AUTHENTICATION_TOO_OLD
_NO_LEEWAY = {"leeway_seconds": 0}
_OFFICE = (ADMIN,)
_WRONG_TYPES: dict[str, Any] = {
    "a text": str(NOW + 60), "true": True, "false": False, "a list": [NOW + 60], "an object": {"at": NOW},
    "a date in ISO 8601": "2027-01-15T08:00:00Z", "negative": -1, "a negative fraction": -0.5,
    "beyond exactness": 2**53 + 1, "milliseconds beyond exactness": NOW * 10_000_000,
}  # fmt: skip


def _spelled(name: str, text: str) -> Any:
    """The claim's JSON text replaced: for numbers that `json.dumps` would not write."""
    return with_text(lambda body: body.replace(f'"{name}": ', f'"{name}": {text}, "old": '))


CASES: tuple[Case, ...] = (
    *(
        proved(f"{name} {kind}", _INVALID, with_claims(**{name: value}))
        for name in ("exp", "iat", "nbf")
        for kind, value in _WRONG_TYPES.items()
    ),
    proved("exp missing", _MISSING, with_claims(exp=None)),
    proved("iat missing", _MISSING, with_claims(iat=None)),
    proved("exp and iat missing", _MISSING, with_claims(exp=None, iat=None)),
    proved("exp null", _INVALID, _spelled("exp", "null")),
    proved("iat null", _INVALID, _spelled("iat", "null")),
    proved("nbf null", _INVALID, with_members('"nbf":null')),
    proved("exp larger than any number", _INVALID, _spelled("exp", "1e999")),
    proved("nbf smaller than any number", _INVALID, with_members('"nbf":-1e999')),
    passes("exp a fraction", with_claims(exp=NOW + 0.5)),
    passes("exp by an exponent", _spelled("exp", "1.9e9")),
    passes("exp the largest exact number", with_claims(exp=2**53)),
    proved("expired a year ago", _EXPIRED, with_claims(exp=NOW - 31_536_000)),
    proved("expired in 1970", _EXPIRED, with_claims(exp=0)),
    proved("expired, the whole leeway used up", _EXPIRED, with_claims(exp=NOW - LEEWAY)),
    passes("expired, one second of leeway left", with_claims(exp=NOW - LEEWAY + 1)),
    proved("expired by a fraction of the last second", _EXPIRED, with_claims(exp=NOW - LEEWAY + 0.9)),
    proved("expired at this very second, no leeway", _EXPIRED, with_claims(exp=NOW), trust=_NO_LEEWAY),
    passes("expires in a second, no leeway", with_claims(exp=NOW + 1), trust=_NO_LEEWAY),
    proved("expired though nbf and iat are good", _EXPIRED, with_claims(exp=NOW - 100, nbf=NOW - 200, iat=NOW - 200)),
    proved("the leeway of another profile", _EXPIRED, with_claims(exp=NOW - 31), trust={"leeway_seconds": 30}),
    passes("a longer leeway", with_claims(exp=NOW - 299), trust={"leeway_seconds": 300}),
    proved("issued in the future", _EARLY, with_claims(iat=NOW + 3600)),
    proved("issued one second beyond the leeway", _EARLY, with_claims(iat=NOW + LEEWAY + 1)),
    passes("issued at the end of the leeway", with_claims(iat=NOW + LEEWAY)),
    proved("issued next second, no leeway", _EARLY, with_claims(iat=NOW + 1), trust=_NO_LEEWAY),
    passes("issued now, no leeway", with_claims(iat=NOW), trust=_NO_LEEWAY),
    proved("iat in milliseconds", _EARLY, with_claims(iat=NOW * 1000)),
    proved("not before tomorrow", _EARLY, with_claims(nbf=NOW + 86_400)),
    proved("not before, one second beyond the leeway", _EARLY, with_claims(nbf=NOW + LEEWAY + 1)),
    passes("not before, at the end of the leeway", with_claims(nbf=NOW + LEEWAY)),
    proved("not before next second, no leeway", _EARLY, with_claims(nbf=NOW + 1), trust=_NO_LEEWAY),
    passes("not before now, no leeway", with_claims(nbf=NOW), trust=_NO_LEEWAY),
    passes("not before 1970", with_claims(nbf=0)),
    proved("issued a second too long ago", _OLD, with_claims(iat=NOW - MAX_AGE - LEEWAY - 1), doors=tuple(d for d in Case.doors if d != ADMIN)),
    passes("issued as long ago as may be", with_claims(iat=NOW - MAX_AGE - LEEWAY), doors=tuple(d for d in Case.doors if d != ADMIN)),
    proved("issued in 1970", _OLD, with_claims(iat=0)),
    proved("issued long ago, expiring in ten years", _OLD, with_claims(iat=NOW - 10 * MAX_AGE, exp=NOW + 315_360_000)),
    passes("expiring in ten years, issued now: the age bounds it", with_claims(exp=NOW + 315_360_000)),
    proved("a shorter age, a second beyond", _OLD, with_claims(iat=NOW - 661), trust={"max_age_seconds": 600}),
    passes("a shorter age, at its end", with_claims(iat=NOW - 660), trust={"max_age_seconds": 600}),
    proved("authenticated a second too long ago", _STALE, with_claims(auth_time=NOW - RECENT - LEEWAY - 1), doors=_OFFICE),
    passes("authenticated as long ago as may be", with_claims(auth_time=NOW - RECENT - LEEWAY), doors=_OFFICE),
    proved("no auth_time, issued a second too long ago", _STALE, with_claims(iat=NOW - RECENT - LEEWAY - 1), doors=_OFFICE),
    passes("no auth_time, issued as long ago as may be", with_claims(iat=NOW - RECENT - LEEWAY), doors=_OFFICE),
    proved("authenticated in 1970", _STALE, with_claims(auth_time=0), doors=_OFFICE),
    proved("authenticated in the future", _EARLY, with_claims(auth_time=NOW + LEEWAY + 1), doors=_OFFICE),
    passes("authenticated at the end of the leeway", with_claims(auth_time=NOW + LEEWAY), doors=_OFFICE),
    proved("auth_time a text", _INVALID, with_claims(auth_time=str(NOW)), doors=_OFFICE),
    proved("auth_time null", _INVALID, with_members('"auth_time":null'), doors=_OFFICE),
    proved("auth_time true", _INVALID, with_claims(auth_time=True), doors=_OFFICE),
    passes("an old auth_time at other doors", with_claims(auth_time=0), doors=tuple(d for d in Case.doors if d != ADMIN)),
)  # fmt: skip

"""Family: audiences of other doors, of everybody, of nobody, and spelled almost right (law 13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from idmap.domain.doors import Door
from idmap.domain.issuers import WLCG_ANY_AUDIENCE
from idmap.domain.reasons import Reason
from tests.support.tokens import AUDIENCES, SSH, claims
from tests.tokens.cases import (
    DOORS,
    HEADER,
    Case,
    Make,
    passes,
    proved,
    sign,
    with_claims,
    with_members,
)

_REFUSED = Reason.AUDIENCE_REFUSED
_INVALID = Reason.CLAIM_INVALID


def _aud(change: Callable[[str], Any]) -> Make:
    """A good token whose `aud` is made of the door's own audience."""
    return lambda door: sign(HEADER, claims(door, aud=change(AUDIENCES[door])))


def _others(door: Door) -> list[str]:
    return [audience for other, audience in AUDIENCES.items() if other != door]


CASES: tuple[Case, ...] = (
    *(
        proved(
            f"made for {made_for}, shown elsewhere",
            _REFUSED,
            with_claims(aud=AUDIENCES[made_for]),
            doors=tuple(door for door in DOORS if door != made_for),
        )
        for made_for in DOORS
    ),
    proved("every other door's audience at once", _REFUSED, lambda door: sign(HEADER, claims(door, aud=_others(door)))),
    proved("missing", Reason.CLAIM_MISSING, with_claims(aud=None)),
    proved("null", Reason.CLAIM_MISSING, lambda door: sign(HEADER, {**claims(door), "aud": None})),
    proved("empty", _REFUSED, with_claims(aud="")),
    proved("an empty list", _REFUSED, with_claims(aud=[])),
    proved("a list of an empty text", _REFUSED, with_claims(aud=[""])),
    proved("one character short", _REFUSED, _aud(lambda good: good[:-1])),
    proved("one character long", _REFUSED, _aud(lambda good: good + "x")),
    proved("the right one inside another", _REFUSED, _aud(lambda good: f"x{good}x")),
    proved("its first character", _REFUSED, _aud(lambda good: good[0])),
    proved("in capitals", _REFUSED, _aud(str.upper)),
    proved("with a slash behind", _REFUSED, _aud(lambda good: good + "/")),
    proved("with a blank behind", _REFUSED, _aud(lambda good: good + " ")),
    proved("with a zero byte behind", _REFUSED, _aud(lambda good: good + "\0")),
    proved("with a newline behind", _REFUSED, _aud(lambda good: good + "\n")),
    proved("two joined by a blank", _REFUSED, _aud(lambda good: f"{good} https://other")),
    proved("two joined by a comma", _REFUSED, _aud(lambda good: f"{good},https://other")),
    proved("with a look-alike letter", _REFUSED, _aud(lambda good: good.replace("e", "е", 1))),
    proved("percent-encoded", _REFUSED, _aud(lambda good: good.replace(":", "%3A"))),
    proved("its characters as a list", _REFUSED, _aud(list)),
    proved("the WLCG audience for everybody", _REFUSED, with_claims(aud=WLCG_ANY_AUDIENCE)),
    proved("a star", _REFUSED, with_claims(aud="*")),
    proved("a pattern", _REFUSED, with_claims(aud=".*")),
    proved("the client's own id, as in an ID token", _REFUSED, with_claims(aud="demo-client", nonce="n", at_hash="x")),
    proved("the issuer itself", _REFUSED, with_claims(aud="https://iam.example/")),
    proved("another node class", _REFUSED, with_claims(aud="ssh://compute.example"), doors=(SSH,)),
    proved("the token endpoint, as in a client assertion", _REFUSED, with_claims(aud="https://iam.example/token")),
    proved("two hundred strangers", _REFUSED, with_claims(aud=[f"https://s{i}.example" for i in range(200)])),
    proved("a number", _INVALID, with_claims(aud=7)),
    proved("true", _INVALID, with_claims(aud=True)),
    proved("an object", _INVALID, _aud(lambda good: {good: True})),
    proved("a list of lists", _INVALID, _aud(lambda good: [[good]])),
    proved("a list with a number", _INVALID, _aud(lambda good: [good, 7])),
    proved("a list with null", _INVALID, _aud(lambda good: [good, None])),
    proved("a list with an object", _INVALID, _aud(lambda good: [good, {}])),
    proved("the right one as `azp` only", _REFUSED, lambda door: sign(HEADER, claims(door, aud="x", azp=AUDIENCES[door]))),
    proved("the right one as a resource only", Reason.CLAIM_MISSING, lambda door: sign(HEADER, claims(door, aud=None, resource=AUDIENCES[door]))),
    proved("a door that the profile does not list", _REFUSED, with_claims(), trust={"audiences": {SSH: frozenset({"ssh://login.example"})}}, doors=tuple(d for d in DOORS if d != SSH)),
    passes("the right one in a list", _aud(lambda good: [good])),
    passes("the right one among strangers", _aud(lambda good: ["https://other", good])),
    passes("the right one twice", _aud(lambda good: [good, good])),
    passes("the right one and every other door's", lambda door: sign(HEADER, claims(door, aud=list(AUDIENCES.values())))),
    passes("a claim `audience` beside it", with_members('"audience":"x"')),
)  # fmt: skip

"""Family: subjects that are nobody or no person, tokens bound to a key, and unknown token versions."""

from __future__ import annotations

from typing import Any

from idmap.domain.groups import Group
from idmap.domain.identity import MAX_SUBJECT, Issuer
from idmap.domain.reasons import Reason
from tests.support.tokens import ISSUER, claims
from tests.tokens.cases import HEADER, Case, Make, passes, proved, sign, with_claims, with_members

_INVALID = Reason.CLAIM_INVALID
_ROBOT = Reason.ROBOT_REFUSED
_WLCG = Reason.WLCG_VERSION_REFUSED
_BOUND = Reason.SENDER_CONSTRAINED
_VO = Group(Issuer(ISSUER), "vo")
_VOPERSON = {"subject_claim": "voperson_id"}


def _sub(value: Any) -> Make:
    return lambda door: sign(HEADER, {**claims(door), "sub": value})


_SUBJECTS: tuple[Case, ...] = (
    proved("no subject", Reason.CLAIM_MISSING, with_claims(sub=None)),
    proved("null", _INVALID, _sub(None)),
    proved("empty", _INVALID, _sub("")),
    proved("a number", _INVALID, _sub(1000)),
    proved("true", _INVALID, _sub(True)),
    proved("a list", _INVALID, _sub(["alice"])),
    proved("an object", _INVALID, _sub({"id": "alice"})),
    proved("one longer than the longest", _INVALID, _sub("a" * (MAX_SUBJECT + 1))),
    passes("the longest", _sub("a" * MAX_SUBJECT)),
    passes("one character", _sub("a")),
    passes("the first and last printable characters", _sub(" ~")),
    proved("a zero byte", _INVALID, _sub("alice\0")),
    proved("a newline", _INVALID, _sub("alice\n")),
    proved("a carriage return", _INVALID, _sub("alice\r")),
    proved("a tab", _INVALID, _sub("alice\tadmin")),
    proved("the last control character", _INVALID, _sub("alice\x1f")),
    proved("delete", _INVALID, _sub("alice\x7f")),
    proved("an escape sequence for terminals", _INVALID, _sub("\x1b[2Jalice")),
    proved("a Cyrillic letter", _INVALID, _sub("аlice")),
    proved("a zero-width joiner", _INVALID, _sub("ali\u200dce")),
    proved("a right-to-left override", _INVALID, _sub("\u202eecila")),
    proved("beyond the basic plane", _INVALID, _sub("alice😀")),
    proved("the stable claim is missing where the profile names another", Reason.CLAIM_MISSING, with_claims(), trust=_VOPERSON),
    proved("the stable claim is a list", _INVALID, with_claims(voperson_id=["a@b"]), trust=_VOPERSON),
    passes("the stable claim that the profile names", with_claims(voperson_id="a@b"), trust=_VOPERSON),
    passes("no sub where the profile names another claim", with_claims(sub=None, voperson_id="a@b"), trust=_VOPERSON),
)  # fmt: skip

_ROBOTS: tuple[Case, ...] = (
    proved("the subject is the client", _ROBOT, with_claims(sub="demo-client")),
    proved("a host", _ROBOT, with_claims(sub="host:wn1.example")),
    proved("a host of no name", _ROBOT, with_claims(sub="host:")),
    passes("a host by other letters", with_claims(sub="Host:x")),
    passes("a host further in", with_claims(sub="x-host:wn1")),
    passes("a subject that holds the client's id", with_claims(sub="demo-client-2")),
    passes("no client", with_claims(client_id=None)),
    proved("client a number", _INVALID, with_claims(client_id=7)),
    proved("client a list", _INVALID, with_claims(client_id=["demo-client"])),
    proved("client one longer than the longest", _INVALID, with_claims(client_id="c" * 256)),
    passes("client the longest", with_claims(client_id="c" * 255)),
    proved("jti a number", _INVALID, with_claims(jti=1)),
    proved("jti an object", _INVALID, with_claims(jti={"a": 1})),
    proved("jti one longer than the longest", _INVALID, with_claims(jti="j" * 256)),
    passes("jti the longest", with_claims(jti="j" * 255)),
    passes("jti null", with_members('"scope":"x"')),
    passes("no jti", with_claims(jti=None)),
    passes("preferred_username a list: it spells nothing", with_claims(preferred_username=["root"]), gives={"preferred_username": None}),
    passes("preferred_username too long: it spells nothing", with_claims(preferred_username="x" * 256), gives={"preferred_username": None}),
    passes("preferred_username with an escape sequence: it spells nothing", with_claims(preferred_username="a\x1b[2J"), gives={"preferred_username": None}),
    passes("preferred_username the longest", with_claims(preferred_username="x" * 255), gives={"preferred_username": "x" * 255}),
    passes("groups a number: nobody's", with_claims(groups=7), gives={"groups": frozenset()}),
    passes("groups with one that cannot be read", with_claims(groups=["vo", "../etc", 7, ""]), gives={"groups": frozenset({_VO})}),
)  # fmt: skip

_BOUNDS: tuple[Case, ...] = (
    proved("bound to a DPoP key", _BOUND, with_claims(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"})),
    proved("bound to a certificate", _BOUND, with_claims(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})),
    proved("bound to a key in the open", _BOUND, with_claims(cnf={"jwk": {"kty": "EC"}})),
    proved("bound to nothing", _BOUND, with_claims(cnf={})),
    proved("bound to null", _BOUND, lambda door: sign(HEADER, {**claims(door), "cnf": None})),
    proved("bound to a text", _BOUND, with_claims(cnf="x")),
)  # fmt: skip

_VERSIONS: tuple[Case, ...] = (
    *(
        proved(f"WLCG version {value!r}", _WLCG, with_claims(**{"wlcg.ver": value}))
        for value in (
            "2.0", "0.9", "10.0", "1", "1.", ".0", "1.1234", "1.0.0", "1.x", "1,0", "v1.0", " 1.0", "1.0\n", "", "1.١",
            "01.0", "-1.0", 1.0, 1, True, ["1.0"], {"major": 1},
        )
    ),
    *(passes(f"WLCG version {value!r}", with_claims(**{"wlcg.ver": value})) for value in ("1.0", "1.3", "1.12", "1.999")),
    passes("WLCG version null", lambda door: sign(HEADER, {**claims(door), "wlcg.ver": None})),
)  # fmt: skip

CASES: tuple[Case, ...] = _SUBJECTS + _ROBOTS + _BOUNDS + _VERSIONS

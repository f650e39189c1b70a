"""Opaque tokens: what an issuer may say of one at introspection and at userinfo, and what must become of it.

The token itself says nothing, so a case is an answer that is wrong in one way only, and whom may have been asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from idmap.domain.doors import ADMIN, API, Door
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection, OnTimeout, Userinfo
from idmap.domain.issuers import IssuerProfile, ProfileName
from idmap.domain.reasons import Reason
from tests.support.tokens import AUDIENCES, ISSUER, NOW, SSH, claims, profile

TOKEN: Final = "opaque-token-0123456789-abcdefghij"
OTHER: Final = "https://other.example/"
SUBJECT: Final = claims()["sub"]
SILENT: Final = Unavailable(Reason.ISSUER_UNAVAILABLE, "no answer")
UNWELCOME: Final = TokenRefused(Reason.TOKEN_INACTIVE, "answered 401")
Said = Mapping[str, Any] | Exception


@dataclass(frozen=True)
class OpaqueCase:
    """One opaque token."""

    name: str
    reason: Reason | None
    """None: it must be accepted."""
    answer: Said
    """Of introspection."""
    person: Said = field(
        default_factory=lambda: MappingProxyType({"sub": SUBJECT, "groups": ["vo"]})
    )
    """Of userinfo."""
    asked: tuple[str, ...] = ("introspection",)
    trusted: tuple[IssuerProfile, ...] = ()
    door: Door = SSH
    named: str | None = None
    """Whose the request says it is."""
    token: str = TOKEN
    gives: Mapping[str, Any] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    told: str | None = None
    """What the trace says of userinfo, in part; None: nothing, for it was no matter."""


def _asks(*doors: Door, **changes: Any) -> Introspection:
    return Introspection("idmap", "iam", frozenset(doors), **changes)


def _trust(
    *doors: Door, settings: Mapping[str, Any] | None = None, **changes: Any
) -> IssuerProfile:
    return profile(introspection=_asks(*doors, **(settings or {})), **changes)


_MARKED: Final = _trust(SSH)
_UNMARKED: Final = _trust()
_REFUSES: Final = _trust(SSH, settings={"on_timeout": OnTimeout.REFUSE})
_OTHERS: Final = _trust(SSH, issuer=Issuer(OTHER), audiences={SSH: frozenset({"x"})})
_CLIENTS: Final = _trust(SSH, audiences={SSH: frozenset({"ssh-client"})})
_PLAIN: Final = Issuer("https://iam.example")


def _said(**changes: Any) -> Mapping[str, Any]:
    """An answer that passes; None removes a member."""
    answer = {"active": True, **claims(), "token_type": "Bearer", **changes}
    return {name: value for name, value in answer.items() if value is not None}


def _at_api(**changes: Any) -> Mapping[str, Any]:
    return _said(**{"aud": AUDIENCES[API], **changes})


def _answers(name: str, reason: Reason | None, **changes: Any) -> OpaqueCase:
    return OpaqueCase(name, reason, _said(**changes), trusted=(_MARKED,))


def _nobody_asked(name: str, reason: Reason, *trusted: IssuerProfile, **more: Any) -> OpaqueCase:
    return OpaqueCase(name, reason, _said(), asked=(), trusted=trusted, **more)


def _userinfo(
    name: str, reason: Reason | None, person: Said, asks: Userinfo, **more: Any
) -> OpaqueCase:
    trusted = _trust(SSH, API, settings={"userinfo": asks}, **more.pop("trust", {}))
    told = "" if reason is None else f"{reason}"
    given = {
        "answer": _at_api(),
        "door": API,
        "asked": ("introspection", "userinfo"),
        "told": told,
        **more,
    }
    return OpaqueCase(name, reason, person=person, trusted=(trusted,), **given)


def _iam(
    name: str, reason: Reason | None, kind: ProfileName, issuer: Issuer, **changes: Any
) -> OpaqueCase:
    named = {} if kind is not ProfileName.INDIGO_IAM_AARC else {"groups_claims": {}}
    trusted = _trust(SSH, issuer=issuer, profile=kind, **named)
    return OpaqueCase(name, reason, _said(**changes), trusted=(trusted,))


_SPACED: Final = f"elsewhere {AUDIENCES[SSH]}"
_SPELLED: Final = (
    ProfileName.INDIGO_IAM, ProfileName.INDIGO_IAM_AARC, ProfileName.INDIGO_IAM_KC, ProfileName.WLCG,
)  # fmt: skip
_INACTIVE: Final = Reason.TOKEN_INACTIVE
_TYPE: Final = Reason.TYPE_REFUSED
_UNKNOWN: Final = Reason.ISSUER_UNKNOWN
_MAYBE, _MUST, _NEVER = Userinfo.IF_POSSIBLE, Userinfo.REQUIRED, Userinfo.NEVER
_VOPERSON: Final = {"subject_claim": "voperson_id"}

OPAQUE: Final[tuple[OpaqueCase, ...]] = (
    _answers("active", None),
    _answers("inactive", _INACTIVE, active=False),
    _answers("active not said", _INACTIVE, active=None),
    _answers("active a word", _INACTIVE, active="true"),
    _answers("active a number", _INACTIVE, active=1),
    _answers("nothing said of its type", None, token_type=None),
    _answers("token type in capitals", None, token_type="BEARER"),
    _answers("a DPoP token", _TYPE, token_type="DPoP"),
    _answers("a refresh token by its type", _TYPE, token_type="refresh_token"),
    _answers("token type a number", _TYPE, token_type=7),
    *(_answers(f"typ {kind!r}", None, typ=kind) for kind in ("", "Bearer", "JWT", "at+jwt")),
    *(_answers(f"typ {kind!r}", _TYPE, typ=kind) for kind in ("Refresh", "ID", "Offline", ["Bearer"])),
    _answers("no issuer named", None, iss=None),
    _answers("another issuer", _UNKNOWN, iss=OTHER),
    _answers("an issuer longer by a path", _UNKNOWN, iss=f"{ISSUER}/x"),
    _answers("an issuer shorter by its slash", _UNKNOWN, iss=str(_PLAIN)),
    _answers("issuer a number", _UNKNOWN, iss=1),
    _answers("the audience of another door", Reason.AUDIENCE_REFUSED, aud=AUDIENCES[API]),
    _answers("no audience, a client that no door lists", Reason.AUDIENCE_REFUSED, aud=None),
    _answers("neither audience nor client", Reason.CLAIM_MISSING, aud=None, client_id=None),
    _answers("ended", Reason.TOKEN_EXPIRED, exp=NOW - 100),
    _answers("no end", Reason.CLAIM_MISSING, exp=None),
    _answers("a client", Reason.ROBOT_REFUSED, sub="demo-client"),
    _answers("bound to a key", Reason.SENDER_CONSTRAINED, cnf={}),
    _answers("issued too long ago", Reason.TOKEN_TOO_OLD, iat=NOW - 90_000),
    OpaqueCase("no time of issue", None, _said(iat=None), trusted=(_MARKED,), gives={"issued_at": NOW}),
    OpaqueCase(
        "no time of issue at the admin door", Reason.CLAIM_MISSING, _said(iat=None, aud=AUDIENCES[ADMIN]),
        trusted=(_MARKED,), door=ADMIN, named=ISSUER,
    ),
    OpaqueCase("a client that the door lists", None, _said(aud=None, client_id="ssh-client"), trusted=(_CLIENTS,)),
    OpaqueCase(
        "a client that the door lists, for elsewhere", Reason.AUDIENCE_REFUSED,
        _said(aud="elsewhere", client_id="ssh-client"), trusted=(_CLIENTS,),
    ),
    *(_iam(f"audiences joined by spaces, {kind}", None, kind, Issuer(ISSUER), aud=_SPACED) for kind in _SPELLED),
    *(_iam(f"a slash appended to iss, {kind}", None, kind, _PLAIN) for kind in _SPELLED),
    *(_iam(f"two slashes appended to iss, {kind}", _UNKNOWN, kind, _PLAIN, iss=f"{ISSUER}/") for kind in _SPELLED),
    _iam("a slash appended to another iss", _UNKNOWN, ProfileName.INDIGO_IAM, _PLAIN, iss=OTHER),
    _iam("another last character", _UNKNOWN, ProfileName.INDIGO_IAM, _PLAIN, iss=f"{_PLAIN}x"),
    _iam("audiences joined by spaces, elsewhere", Reason.AUDIENCE_REFUSED, ProfileName.GENERIC, Issuer(ISSUER), aud=_SPACED),
    _iam("a slash appended to iss, elsewhere", _UNKNOWN, ProfileName.GENERIC, _PLAIN),
    OpaqueCase("silence", Reason.ISSUER_UNAVAILABLE, SILENT, trusted=(_MARKED,)),
    OpaqueCase("silence that is a no", _INACTIVE, SILENT, trusted=(_REFUSES,)),
    OpaqueCase("an issuer that refuses us", _INACTIVE, UNWELCOME, trusted=(_MARKED,)),
    OpaqueCase("an issuer named", None, _said(), trusted=(_UNMARKED, _OTHERS), named=ISSUER),
    _nobody_asked("no issuer marked for the door", Reason.TOKEN_OPAQUE, _UNMARKED),
    _nobody_asked("marked for another door", Reason.TOKEN_OPAQUE, _trust(API)),
    _nobody_asked("two issuers marked", Reason.TOKEN_OPAQUE, _MARKED, _OTHERS),
    _nobody_asked("an issuer that is not asked", Reason.TOKEN_OPAQUE, profile()),
    _nobody_asked("an issuer named that is not asked", Reason.TOKEN_OPAQUE, profile(), _OTHERS, named=ISSUER),
    _nobody_asked("a stranger named", _UNKNOWN, _MARKED, named="https://attacker.example/"),
    _nobody_asked("nobody named, by an empty word", _UNKNOWN, _MARKED, named=""),
    _nobody_asked(
        "an issuer named that has no audience for the door", Reason.AUDIENCE_REFUSED,
        _trust(audiences={API: frozenset({"a"})}), named=ISSUER,
    ),
    _nobody_asked("one character too short", Reason.TOKEN_OPAQUE, _MARKED, token="x" * 19),
    OpaqueCase("the shortest", None, _said(), trusted=(_MARKED,), token="x" * 20),
    OpaqueCase("the longest, padded", None, _said(), trusted=(_MARKED,), token="x" * 4096 + "=="),
    _nobody_asked("one character too long", Reason.TOKEN_OPAQUE, _MARKED, token="x" * 4097),
    _nobody_asked("a password with an accent", Reason.TOKEN_OPAQUE, _MARKED, token="passwörd" * 4),
    _nobody_asked("three parts", Reason.TOKEN_MALFORMED, _MARKED, token=".".join(["x" * 20] * 3)),
    _nobody_asked("five parts", Reason.TOKEN_MALFORMED, _MARKED, token=".".join(["x" * 20] * 5)),
    OpaqueCase("two parts", None, _said(), trusted=(_MARKED,), token=".".join(["x" * 20] * 2)),
    OpaqueCase("four parts", None, _said(), trusted=(_MARKED,), token=".".join(["x" * 20] * 4)),
    _userinfo("userinfo adds groups", None, {"sub": SUBJECT, "groups": ["vo"]}, _MAYBE, groups=("vo",), told="adds groups: 1 "),
    _userinfo("userinfo adds nothing", None, {"sub": SUBJECT, "email": "a@b"}, _MAYBE, told="adds nothing: 0 "),
    _userinfo("userinfo never asked", None, {"sub": SUBJECT}, _NEVER, asked=("introspection",), told=None),
    _userinfo("userinfo about somebody else", Reason.USERINFO_MISMATCH, {"sub": "bob", "groups": ["vo"]}, _MAYBE),
    _userinfo("userinfo required, about somebody else", Reason.USERINFO_MISMATCH, {"sub": "bob"}, _MUST),
    _userinfo("userinfo about nobody", Reason.USERINFO_MISMATCH, {"groups": ["vo"]}, _MAYBE),
    _userinfo("userinfo about a list", Reason.USERINFO_MISMATCH, {"sub": [SUBJECT]}, _MAYBE),
    _userinfo(
        "nobody at introspection, nobody at userinfo", Reason.USERINFO_MISMATCH, {"groups": ["vo"]}, _MAYBE,
        trust=_VOPERSON, answer=_at_api(sub=None, voperson_id="a@b"),
    ),
    _userinfo(
        "the same sub, another stable claim", Reason.USERINFO_MISMATCH, {"sub": SUBJECT, "voperson_id": "b@b"}, _MAYBE,
        trust=_VOPERSON, answer=_at_api(voperson_id="a@b"),
    ),
    _userinfo(
        "the same stable claim, another sub", Reason.USERINFO_MISMATCH, {"sub": "bob", "voperson_id": "a@b"}, _MAYBE,
        trust=_VOPERSON, answer=_at_api(voperson_id="a@b"),
    ),
    _userinfo(
        "the same sub, no word of the stable claim", None, {"sub": SUBJECT, "groups": ["vo"]}, _MAYBE,
        trust=_VOPERSON, answer=_at_api(voperson_id="a@b"), groups=("vo",),
    ),
    _userinfo(
        "userinfo at ssh", None, {"sub": "bob", "groups": ["vo"]}, _MUST, door=SSH, answer=_said(), asked=("introspection",),
        told="not asked: ",
    ),
    _userinfo("userinfo silent", None, SILENT, _MAYBE, told="may be unknown; not required: issuer_unavailable"),
    _userinfo("userinfo silent, required", Reason.ISSUER_UNAVAILABLE, SILENT, _MUST),
    _userinfo("userinfo unwelcoming", None, UNWELCOME, _MAYBE, told="may be unknown; not required: token_inactive"),
    _userinfo("userinfo unwelcoming, required", _INACTIVE, UNWELCOME, _MUST),
    _userinfo(
        "userinfo after a no", _INACTIVE, {"sub": SUBJECT, "active": True}, _MUST, answer=_at_api(active=False),
        asked=("introspection",), told=None,
    ),
    _userinfo(
        "userinfo after another door's audience", Reason.AUDIENCE_REFUSED, {"sub": SUBJECT, "aud": AUDIENCES[API]}, _MUST,
        answer=_said(), asked=("introspection",), told=None,
    ),
    _userinfo(
        "userinfo for a token with a purpose", None, {"sub": SUBJECT, "groups": ["vo"]}, _MUST,
        answer=_at_api(scope="compute.read"), asked=("introspection",), told="not asked: ",
    ),
    _userinfo(
        "userinfo does not replace what was said", None, {"sub": SUBJECT, "groups": ["vo"], "preferred_username": "root"},
        _MAYBE, answer=_at_api(groups=["own"], preferred_username="alice"), groups=("own",),
        gives={"preferred_username": "alice"},
    ),
    _userinfo(
        "userinfo spells a name", None, {"sub": SUBJECT, "preferred_username": "alice", "acr": "mfa", "exp": 1}, _MAYBE,
        gives={"preferred_username": "alice", "expires_at": NOW + 3600},
    ),
)  # fmt: skip

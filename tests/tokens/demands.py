"""Family: what a profile demands beyond the standard claims: type claim, assurance, `acr`, robots, capabilities, other claims."""

from __future__ import annotations

from typing import Any, Final

from idmap.domain.doors import API
from idmap.domain.groups import Group
from idmap.domain.identity import Issuer
from idmap.domain.issuers import RobotRule
from idmap.domain.reasons import Reason
from tests.support.tokens import COMPONENT, ISSUER, SSH
from tests.tokens.cases import Case, passes, proved, with_claims, with_members

_TYPE: Final = Reason.TYPE_REFUSED
_BEARER: Final[dict[str, Any]] = {"accepted_type_claims": frozenset({"Bearer"})}
_LOW: Final = Reason.ASSURANCE_TOO_LOW
_IDENTIFIED: Final[dict[str, Any]] = {"required_assurance": frozenset({"high", "medium"})}
_ACR: Final = Reason.ACR_REFUSED
_MFA: Final[dict[str, Any]] = {"required_acr": {SSH: frozenset({"mfa"})}}
_BY_RULE: Final[dict[str, Any]] = {"robots": RobotRule.BY_RULE}
_CREATES: Final[dict[str, Any]] = {
    "required_capabilities": {
        door: frozenset({"compute.create", "compute.modify"}) for door in (SSH, COMPONENT)
    }
}
_NO_CAPABILITY: Final = Reason.CAPABILITY_MISSING
_AT_SSH: Final = (SSH, COMPONENT)
_WLCG: Final[dict[str, Any]] = {"required_claims": frozenset({"wlcg.ver", "tenant"})}
_VO: Final = frozenset({Group(Issuer(ISSUER), "vo")})

CASES: tuple[Case, ...] = (
    proved("no type claim where one is demanded", _TYPE, with_claims(), trust=_BEARER),
    proved("the type claim of an ID token", _TYPE, with_claims(typ="ID"), trust=_BEARER),
    proved("the type claim in small letters", _TYPE, with_claims(typ="bearer"), trust=_BEARER),
    proved("the type claim a list", _TYPE, with_claims(typ=["Bearer"]), trust=_BEARER),
    passes("the type claim as demanded", with_claims(typ="Bearer"), trust=_BEARER),
    passes("a type claim that nobody demands", with_claims(typ="ID")),
    proved("no assurance", _LOW, with_claims(), trust=_IDENTIFIED),
    proved("assurance too low", _LOW, with_claims(eduperson_assurance=["low"]), trust=_IDENTIFIED),
    proved("assurance in capitals", _LOW, with_claims(eduperson_assurance="HIGH"), trust=_IDENTIFIED),
    proved("assurance hidden in a longer word", _LOW, with_claims(eduperson_assurance="higher"), trust=_IDENTIFIED),
    passes("one sufficient assurance among others", with_claims(eduperson_assurance=["low", "high"]), trust=_IDENTIFIED),
    proved("no acr at a door that demands one", _ACR, with_claims(), trust=_MFA, doors=(SSH,)),
    proved("another acr", _ACR, with_claims(acr="sfa"), trust=_MFA, doors=(SSH,)),
    proved("acr a list", _ACR, with_claims(acr=["mfa"]), trust=_MFA, doors=(SSH,)),
    passes("the acr demanded", with_claims(acr="mfa"), trust=_MFA, doors=(SSH,)),
    passes("a client where rules for robots decide", with_claims(sub="demo-client"), trust=_BY_RULE, gives={"robot": True}),
    passes("a host where rules for robots decide", with_claims(sub="host:ce.example"), trust=_BY_RULE, gives={"robot": True}),
    passes("a person is no robot", with_claims(), trust=_BY_RULE, gives={"robot": False}),
    proved("no capability where a door demands one", _NO_CAPABILITY, with_claims(), trust=_CREATES, doors=_AT_SSH),
    proved("groups instead of the capability demanded", _NO_CAPABILITY, with_claims(groups=["vo"], scope="openid"), trust=_CREATES, doors=_AT_SSH),
    proved("another capability", _NO_CAPABILITY, with_claims(scope="compute.read compute.cancel"), trust=_CREATES, doors=_AT_SSH),
    proved("the capability demanded in capitals", _NO_CAPABILITY, with_claims(scope="COMPUTE.CREATE"), trust=_CREATES, doors=_AT_SSH),
    proved("the capability demanded with a path", _NO_CAPABILITY, with_claims(scope="compute.create:/"), trust=_CREATES, doors=_AT_SSH),
    proved("the capability demanded within a longer word", _NO_CAPABILITY, with_claims(scope="xcompute.create compute.creates"), trust=_CREATES, doors=_AT_SSH),
    passes("one of the capabilities demanded", with_claims(scope="openid compute.modify"), trust=_CREATES, doors=_AT_SSH),
    passes("no capability at a door that demands none", with_claims(), trust=_CREATES, doors=(API,)),
    proved("one of the claims demanded is missing", Reason.CLAIM_MISSING, with_claims(**{"wlcg.ver": "1.0"}), trust=_WLCG),
    proved("the other is missing", Reason.CLAIM_MISSING, with_claims(tenant="a"), trust=_WLCG),
    proved("a claim demanded is null", Reason.CLAIM_MISSING, with_members('"wlcg.ver":null,"tenant":"a"'), trust=_WLCG),
    passes("the claims demanded", with_claims(tenant="a", **{"wlcg.ver": "1.3"}), trust=_WLCG),
    proved("a scope that is a number", Reason.CLAIM_INVALID, with_claims(scope=7)),
    proved("a scope of numbers", Reason.CLAIM_INVALID, with_claims(scope=[7])),
    proved("a scope without end", Reason.CLAIM_INVALID, with_claims(scope="x" * 9000)),
    passes("a capability leaves the groups aside", with_claims(scope="compute.read", groups=["vo"]), gives={"groups": frozenset()}),
    passes("an ordinary scope leaves the groups alone", with_claims(scope="openid", groups=["vo"]), gives={"groups": _VO}),
)  # fmt: skip

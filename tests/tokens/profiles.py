"""Family: issuer profiles that must not be saved; what no profile can say, no token can use."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from idmap.domain.doors import ADMIN, API, parse_door
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection
from idmap.domain.issuers import WLCG_ANY_AUDIENCE, GroupsDialect
from tests.support.tokens import SSH
from tests.tokens.cases import ALL_ALGORITHMS

_COMPUTE: Final = ("compute.read", "compute.create", "compute.modify", "compute.cancel")


def _one(audience: str) -> Mapping[Any, Any]:
    return {SSH: frozenset({audience})}


REFUSED: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({
    "issuer empty": {"issuer": Issuer("")},
    "issuer without a host": {"issuer": Issuer("https:///")},
    "issuer over plain http": {"issuer": Issuer("http://iam.example/")},
    "issuer over another scheme": {"issuer": Issuer("ftp://iam.example/")},
    "issuer a file": {"issuer": Issuer("file:///etc/passwd")},
    "issuer with a query": {"issuer": Issuer("https://iam.example/?x=1")},
    "issuer with a fragment": {"issuer": Issuer("https://iam.example/#x")},
    "issuer http to a host named like loopback": {"issuer": Issuer("http://localhost.example/")},
    "alias over plain http": {"aliases": frozenset({Issuer("http://iam.example/")})},
    "alias with a query": {"aliases": frozenset({Issuer("https://iam.example/?")  , Issuer("https://x.example/?a")})},
    "keys over plain http": {"jwks_uri": "http://iam.example/jwk"},
    "keys from a file": {"jwks_uri": "file:///etc/keys"},
    "no algorithm": {"algorithms": frozenset()},
    **{f"algorithm {name}": {"algorithms": frozenset({"RS256", name})} for name in ("none", "HS256", "HS512", "rs256", "ES256K", "dir")},
    "no audiences": {"audiences": {}},
    "a door without an audience": {"audiences": {SSH: frozenset()}},
    "a door without an audience beside one with": {"audiences": {API: frozenset({"x"}), SSH: frozenset()}},
    "the audience for everybody": {"audiences": _one(WLCG_ANY_AUDIENCE)},
    "one audience for ssh and admin": {"audiences": {SSH: frozenset({"x"}), ADMIN: frozenset({"x"})}},
    "one audience for API and admin among others": {"audiences": {API: frozenset({"a", "x"}), ADMIN: frozenset({"x"})}},
    "leeway below zero": {"leeway_seconds": -1},
    "leeway above five minutes": {"leeway_seconds": 301},
    "age below a minute": {"max_age_seconds": 59},
    "age above 31 days": {"max_age_seconds": 31 * 86400 + 1},
    "the audience for everybody at admin": {"audiences": {ADMIN: frozenset({WLCG_ANY_AUDIENCE})}},
    "an issuer whose host cannot be read": {"issuer": Issuer("https://[")},
    "no subject claim": {"subject_claim": ""},
    "no accepted type": {"accepted_types": frozenset()},
    "a door that demands no acr": {"required_acr": {SSH: frozenset()}},
    "acr at a door without audiences": {"required_acr": {parse_door("ssh:other"): frozenset({"mfa"})}},
    "a door that demands no capability in particular": {"required_capabilities": {SSH: frozenset()}},
    "a capability at a door without audiences": {"required_capabilities": {parse_door("ssh:other"): frozenset({"compute.read"})}},
    "a capability with a path": {"required_capabilities": {SSH: frozenset({"storage.read:/"})}},
    "a capability nobody can have": {"required_capabilities": {SSH: frozenset({"compute.read", "compute.all"})}},
    "opaque tokens at a door without audiences": {"introspection": Introspection("idmap", "iam", frozenset({SSH, parse_door("ssh:other")}))},
    "entitlements without a namespace": {"groups_claims": {"entitlements": GroupsDialect.ENTITLEMENT}},
})  # fmt: skip

ACCEPTED: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType({
    "plain": {},
    "http to loopback by number": {"issuer": Issuer("http://127.0.0.1:8080/")},
    "http to loopback by name": {"issuer": Issuer("http://localhost/")},
    "http to loopback, version 6": {"issuer": Issuer("http://[::1]:8080/")},
    "keys from loopback": {"jwks_uri": "http://127.0.0.1/jwk"},
    "keys over https": {"jwks_uri": "https://iam.example/jwk"},
    "an alias": {"aliases": frozenset({Issuer("https://iam.example")})},
    "every algorithm": {"algorithms": ALL_ALGORITHMS},
    **{f"algorithm {name} alone": {"algorithms": frozenset({name})} for name in sorted(ALL_ALGORITHMS)},
    "one audience for two node classes": {"audiences": {SSH: frozenset({"x"}), parse_door("ssh:compute"): frozenset({"x"})}},
    "no leeway": {"leeway_seconds": 0},
    "five minutes of leeway": {"leeway_seconds": 300},
    "a minute of age": {"max_age_seconds": 60},
    "31 days of age": {"max_age_seconds": 31 * 86400},
    "the audience for everybody at the API, by opt-in": {"audiences": {API: frozenset({WLCG_ANY_AUDIENCE})}},
    **{f"the capability {name}": {"required_capabilities": {SSH: frozenset({name})}} for name in _COMPUTE},
    "every capability, at every door that has audiences": {"audiences": _one("x"), "required_capabilities": {SSH: frozenset(_COMPUTE)}},
    "opaque tokens at every door that has audiences": {"audiences": _one("x"), "introspection": Introspection("idmap", "iam", frozenset({SSH}))},
    "acr at every door that has audiences": {"audiences": _one("x"), "required_acr": {SSH: frozenset({"mfa"})}},
})  # fmt: skip

"""An issuer's profile as a document: for REST bodies, the registry's rows and the nodes' trust data.

`parse_profile` refuses unknown members and everything `check_profile` refuses; `profile_document` is its inverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from idmap.domain.doors import parse_door
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.introspection import introspection_document, parse_introspection
from idmap.domain.issuers import GroupsDialect, IssuerProfile, ProfileName, check_profile
from idmap.domain.reasons import Reason

_Choice = TypeVar("_Choice", ProfileName, GroupsDialect)
_MEMBERS: Final = frozenset(
    "issuer audiences aliases profile subject_claim algorithms groups_claims record_groups_from_tokens "
    "accepted_types leeway_seconds max_age_seconds jwks_uri introspection".split()
)


def profile_document(profile: IssuerProfile) -> dict[str, Any]:
    """The profile as JSON-ready data, in one canonical order."""
    document: dict[str, Any] = {
        "issuer": profile.issuer,
        "aliases": sorted(profile.aliases),
        "profile": str(profile.profile),
        "subject_claim": profile.subject_claim,
        "algorithms": sorted(profile.algorithms),
        "audiences": {
            str(door): sorted(audiences)
            for door, audiences in sorted(profile.audiences.items(), key=lambda item: str(item[0]))
        },
        "groups_claims": {name: str(d) for name, d in sorted(profile.groups_claims.items())},
        "record_groups_from_tokens": profile.record_groups_from_tokens,
        "accepted_types": sorted(profile.accepted_types),
        "leeway_seconds": profile.leeway_seconds,
        "max_age_seconds": profile.max_age_seconds,
        "jwks_uri": profile.jwks_uri,
    }
    if profile.introspection is not None:
        # Left out when absent: nodes of the version before read what is left.
        document["introspection"] = introspection_document(profile.introspection)
    return document


def parse_profile(document: Mapping[str, Any]) -> IssuerProfile:
    """A checked profile. Raises InvalidInput(ISSUER_INVALID or REQUEST_INVALID) naming the member."""
    unknown = sorted(document.keys() - _MEMBERS)
    if unknown:
        raise _invalid(unknown[0], "unknown member")
    given: dict[str, Any] = {"issuer": Issuer(_text(document, "issuer"))}
    given["audiences"] = MappingProxyType(
        {
            parse_door(door): _texts(audiences, f"audiences.{door}")
            for door, audiences in _table(document, "audiences").items()
        }
    )
    if "aliases" in document:
        given["aliases"] = frozenset(Issuer(a) for a in _texts(document["aliases"], "aliases"))
    if "profile" in document:
        given["profile"] = _choice(ProfileName, document, "profile")
    if "groups_claims" in document:
        claims = _table(document, "groups_claims")
        given["groups_claims"] = MappingProxyType(
            {name: _choice(GroupsDialect, claims, name) for name in claims}
        )
    for name in ("algorithms", "accepted_types"):
        if name in document:
            given[name] = _texts(document[name], name)
    if "subject_claim" in document:
        given["subject_claim"] = _text(document, "subject_claim")
    if document.get("jwks_uri") is not None:
        given["jwks_uri"] = _text(document, "jwks_uri")
    if document.get("introspection") is not None:
        given["introspection"] = parse_introspection(document["introspection"])
    for name in ("leeway_seconds", "max_age_seconds"):
        if name in document:
            if type(document[name]) is not int:
                raise _invalid(name, "a whole number is needed")
            given[name] = document[name]
    if "record_groups_from_tokens" in document:
        if type(document["record_groups_from_tokens"]) is not bool:
            raise _invalid("record_groups_from_tokens", "true or false is needed")
        given["record_groups_from_tokens"] = document["record_groups_from_tokens"]
    return check_profile(IssuerProfile(**given))


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise _invalid(name, "a string is needed")
    return value


def _texts(value: object, name: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _invalid(name, "a list of strings is needed")
    return frozenset(value)


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    if not isinstance(value, Mapping):
        raise _invalid(name, "a table is needed")
    return value


def _choice(kind: type[_Choice], document: Mapping[str, Any], name: str) -> _Choice:
    try:
        return kind(document[name])
    except ValueError:
        raise _invalid(name, f"one of {', '.join(kind)}") from None


def _invalid(name: str, detail: str) -> InvalidInput:
    return InvalidInput(Reason.ISSUER_INVALID, f"{name}: {detail}")

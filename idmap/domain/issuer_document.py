"""An issuer's profile as a document: for REST bodies, the registry's rows and the nodes' trust data.

`parse_profile` takes what is not said from the ready-made profile named, and refuses unknown members and everything
`check_profile` refuses; `profile_document` is its inverse. Documents of older versions parse: a member added later has
a value that keeps what they meant. And it is left out while it has that value, so that a node of the version before
still reads the issuers that use nothing new; one that does is refused there, whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from idmap.domain.doors import Door, parse_door
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.introspection import introspection_document, parse_introspection
from idmap.domain.issuers import (
    GroupsDialect,
    IssuerProfile,
    ProfileName,
    RobotRule,
    check_profile,
)
from idmap.domain.profiles import READY_MADE
from idmap.domain.reasons import Reason

_Choice = TypeVar("_Choice", ProfileName, GroupsDialect, RobotRule)

_ADDED_LATER: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "accepted_type_claims": [],
        "urn_namespace": None,
        "urn_authorities": [],
        "parents_implied": False,
        "required_assurance": [],
        "required_acr": {},
        "required_claims": [],
        "required_capabilities": {},
        "robots": str(RobotRule.REFUSE),
        "introspection": None,
    }
)
"""Members that the first version did not know, with the value that means what it did."""


def profile_document(profile: IssuerProfile) -> dict[str, Any]:
    """The profile as JSON-ready data, in one canonical order."""
    document: dict[str, Any] = {
        "issuer": profile.issuer,
        "aliases": sorted(profile.aliases),
        "profile": str(profile.profile),
        "subject_claim": profile.subject_claim,
        "algorithms": sorted(profile.algorithms),
        "audiences": _doors_document(profile.audiences),
        "groups_claims": {name: str(d) for name, d in sorted(profile.groups_claims.items())},
        "record_groups_from_tokens": profile.record_groups_from_tokens,
        "accepted_types": sorted(profile.accepted_types),
        "accepted_type_claims": sorted(profile.accepted_type_claims),
        "leeway_seconds": profile.leeway_seconds,
        "max_age_seconds": profile.max_age_seconds,
        "jwks_uri": profile.jwks_uri,
        "urn_namespace": profile.urn_namespace,
        "urn_authorities": sorted(profile.urn_authorities),
        "parents_implied": profile.parents_implied,
        "required_assurance": sorted(profile.required_assurance),
        "required_acr": _doors_document(profile.required_acr),
        "required_claims": sorted(profile.required_claims),
        "required_capabilities": _doors_document(profile.required_capabilities),
        "robots": str(profile.robots),
        "introspection": None
        if profile.introspection is None
        else introspection_document(profile.introspection),
    }
    ready_made = READY_MADE[profile.profile].members
    for member, default in _ADDED_LATER.items():
        if document[member] == default and member not in ready_made:
            del document[member]
    return document


def parse_profile(document: Mapping[str, Any]) -> IssuerProfile:
    """A checked profile. Raises InvalidInput(ISSUER_INVALID or REQUEST_INVALID) naming the member."""
    unknown = sorted(document.keys() - _READERS.keys())
    if unknown:
        raise _invalid(unknown[0], "unknown member")
    name = ProfileName.INDIGO_IAM
    if "profile" in document:
        name = _choice(ProfileName, document, "profile")
    whole = {"issuer": None, "audiences": None, **READY_MADE[name].members, **document}
    return check_profile(
        IssuerProfile(**{member: _READERS[member](whole, member) for member in whole})
    )


def _doors_document(table: Mapping[Door, frozenset[str]]) -> dict[str, list[str]]:
    return {
        str(door): sorted(values)
        for door, values in sorted(table.items(), key=lambda item: str(item[0]))
    }


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise _invalid(name, "a string is needed")
    return value


def _text_or_null(document: Mapping[str, Any], name: str) -> str | None:
    return None if document.get(name) is None else _text(document, name)


def _issuer(document: Mapping[str, Any], name: str) -> Issuer:
    return Issuer(_text(document, name))


def _issuers(document: Mapping[str, Any], name: str) -> frozenset[Issuer]:
    return frozenset(Issuer(text) for text in _texts(document[name], name))


def _set(document: Mapping[str, Any], name: str) -> frozenset[str]:
    return _texts(document[name], name)


def _doors(document: Mapping[str, Any], name: str) -> Mapping[Door, frozenset[str]]:
    return MappingProxyType(
        {
            parse_door(door): _texts(values, f"{name}.{door}")
            for door, values in _table(document, name).items()
        }
    )


def _groups_claims(document: Mapping[str, Any], name: str) -> Mapping[str, GroupsDialect]:
    claims = _table(document, name)
    return MappingProxyType({claim: _choice(GroupsDialect, claims, claim) for claim in claims})


def _seconds(document: Mapping[str, Any], name: str) -> int:
    value = document[name]
    if type(value) is not int:
        raise _invalid(name, "a whole number is needed")
    return value


def _flag(document: Mapping[str, Any], name: str) -> bool:
    value = document[name]
    if type(value) is not bool:
        raise _invalid(name, "true or false is needed")
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


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Any]]] = MappingProxyType(
    {
        "issuer": _issuer,
        "aliases": _issuers,
        "profile": lambda document, name: _choice(ProfileName, document, name),
        "subject_claim": _text,
        "algorithms": _set,
        "audiences": _doors,
        "groups_claims": _groups_claims,
        "record_groups_from_tokens": _flag,
        "accepted_types": _set,
        "accepted_type_claims": _set,
        "leeway_seconds": _seconds,
        "max_age_seconds": _seconds,
        "jwks_uri": _text_or_null,
        "urn_namespace": _text_or_null,
        "urn_authorities": _set,
        "parents_implied": _flag,
        "required_assurance": _set,
        "required_acr": _doors,
        "required_claims": _set,
        "required_capabilities": _doors,
        "robots": lambda document, name: _choice(RobotRule, document, name),
        "introspection": lambda document, name: (
            None if document[name] is None else parse_introspection(document[name])
        ),
    }
)
"""Every member and how it is read: one table, so that none is accepted and then ignored."""

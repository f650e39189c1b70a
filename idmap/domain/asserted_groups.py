"""The groups and resources that a token's claims assert, read as its issuer's profile says.

One that cannot be read is left out and never guessed: a group only ever helps its holder. Entitlements count only in
the profile's namespace and from its authorities.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, assert_never

from idmap.domain.entitlements import (
    GroupEntitlement,
    ResourceEntitlement,
    parse_entitlement,
)
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import (
    Group,
    implied_groups,
    make_group,
    parse_group,
    parse_keycloak_path,
)
from idmap.domain.issuers import GroupsDialect, IssuerProfile


@dataclass(frozen=True, slots=True)
class Asserted:
    """What a token asserts of its holder."""

    groups: frozenset[Group]
    resources: frozenset[ResourceEntitlement]


NOTHING_ASSERTED: Final = Asserted(frozenset(), frozenset())


def read_asserted(claims: Mapping[str, Any], profile: IssuerProfile) -> Asserted:
    """Everything that can be read, from every claim that the profile names."""
    groups: set[Group] = set()
    resources: set[ResourceEntitlement] = set()
    for claim, dialect in profile.groups_claims.items():
        for spelling in _spellings(claims.get(claim), dialect):
            try:
                found = _read(profile, dialect, spelling)
            except InvalidInput:
                continue
            if isinstance(found, Group):
                groups.add(found)
            elif found is not None:
                resources.add(found)
    if profile.parents_implied:
        groups |= {parent for group in groups for parent in implied_groups(group)}
    return Asserted(frozenset(groups), frozenset(resources))


def _spellings(value: object, dialect: GroupsDialect) -> Iterable[object]:
    """The claim's values: a list; alone, an entitlement; Keycloak's roles stand one level down."""
    if dialect is GroupsDialect.ENTITLEMENT and isinstance(value, str):
        return (value,)
    if dialect is GroupsDialect.ROLES and isinstance(value, dict):
        value = value.get("roles")
    return value if isinstance(value, list) else ()


def _read(
    profile: IssuerProfile, dialect: GroupsDialect, spelling: object
) -> Group | ResourceEntitlement | None:
    match dialect:
        case GroupsDialect.PATH:
            return parse_group(profile.issuer, spelling)
        case GroupsDialect.KEYCLOAK_PATH:
            return parse_keycloak_path(profile.issuer, spelling)
        case GroupsDialect.ROLES:
            return make_group(profile.issuer, (), spelling) if isinstance(spelling, str) else None
        case GroupsDialect.ENTITLEMENT:
            return _entitled(profile, spelling)
        case _:
            assert_never(dialect)


def _entitled(profile: IssuerProfile, spelling: object) -> Group | ResourceEntitlement | None:
    pinning = profile.pinning()
    entitlement = parse_entitlement(spelling)
    if pinning is None or not pinning.covers(entitlement):
        return None
    if isinstance(entitlement, GroupEntitlement):
        return make_group(profile.issuer, entitlement.names, entitlement.role)
    return entitlement

"""Where a token and a source disagree about who is in a group: seen, told, and never silently resolved.

The nightly run believes the source, a door shows what the token says; when both are right they agree. Compared are
groups that the rules speak of and that a complete listing covers, with the word of a token that is no older than that
listing. What a source leaves out of tokens by design, as INDIGO IAM does with its optional groups, is told like
anything else. A token that asserts no group at all was not asked for any, and says nothing here.

Pure. Nothing is decided by it: a difference gives nobody anything and takes nothing away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from idmap.domain.claims import VerifiedClaims
from idmap.domain.groups import Group
from idmap.domain.identity import Identity
from idmap.domain.names import Username

KEPT_SECONDS: Final = 90 * 24 * 3600
"""A difference that no token showed for so long is forgotten by the nightly run."""


class DifferenceKind(StrEnum):
    """Who does not say that the person is in the group."""

    NOT_IN_TOKEN = "not_in_token"  # noqa: S105  (the name of a difference)
    NOT_IN_SOURCE = "not_in_source"


@dataclass(frozen=True, slots=True)
class Assertion:
    """What one verified token said of its holder's groups."""

    identity: Identity
    groups: frozenset[Group]
    issued_at: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One disagreement about one membership; times in seconds since the epoch."""

    identity: Identity
    group: Group
    kind: DifferenceKind
    first_seen: int
    last_seen: int
    username: Username | None = None
    """Of the identity's account."""


def assertion_of(claims: VerifiedClaims) -> Assertion | None:
    """What a token asserts; None when it asserts no group, or is one for its capabilities."""
    if not claims.groups or claims.capabilities:
        return None
    return Assertion(claims.identity, claims.groups, claims.issued_at)


def comparable(
    assertion: Assertion, spoken_of: Collection[Group], listed: Mapping[Group, int]
) -> frozenset[Group]:
    """The groups that the assertion is compared in. `spoken_of`: by the rules; `listed`: when the newest complete
    listing of each group began.
    """
    return frozenset(
        group
        for group in spoken_of
        if group.issuer == assertion.identity.issuer
        and listed.get(group, assertion.issued_at + 1) <= assertion.issued_at
    )


def disagreements(
    assertion: Assertion, by_sources: frozenset[Group], compared: frozenset[Group]
) -> Mapping[Group, DifferenceKind]:
    """Of the `compared` groups, those that only one of token and sources puts the person in."""
    only_source = compared & by_sources - assertion.groups
    only_token = compared & assertion.groups - by_sources
    return {
        **dict.fromkeys(only_source, DifferenceKind.NOT_IN_TOKEN),
        **dict.fromkeys(only_token, DifferenceKind.NOT_IN_SOURCE),
    }

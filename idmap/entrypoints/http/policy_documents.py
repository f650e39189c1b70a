"""The JSON that the routes give about policy: issuers, rules, ranges."""

from __future__ import annotations

from typing import NotRequired, cast

from typing_extensions import TypedDict

from idmap.application.ports import RangeStatus
from idmap.application.site_numbers import SHOWN, CheckedRange
from idmap.domain.introspection import OnTimeout, Userinfo
from idmap.domain.issuer_document import profile_document
from idmap.domain.issuers import GroupsDialect, IssuerProfile, ProfileName, RobotRule
from idmap.domain.numbers import ForeignNumber, NumberKind, RangePurpose
from idmap.entrypoints.http.answers import Count, Number, exact


@exact
class IntrospectionDocument(TypedDict):
    """How an issuer is asked about opaque tokens (RFC 7662)."""

    client_id: str
    secret: str
    doors: list[str]
    endpoint: str | None
    on_timeout: OnTimeout
    userinfo: NotRequired[Userinfo]
    userinfo_endpoint: NotRequired[str | None]


@exact
class IssuerDocument(TypedDict):
    """An issuer's profile. What a node of an earlier version does not know is left out while it says nothing new."""

    issuer: str
    aliases: list[str]
    profile: ProfileName
    subject_claim: str
    algorithms: list[str]
    audiences: dict[str, list[str]]
    groups_claims: dict[str, GroupsDialect]
    record_groups_from_tokens: bool
    accepted_types: list[str]
    accepted_type_claims: NotRequired[list[str]]
    leeway_seconds: int
    max_age_seconds: int
    jwks_uri: str | None
    urn_namespace: NotRequired[str | None]
    urn_authorities: NotRequired[list[str]]
    parents_implied: NotRequired[bool]
    required_assurance: NotRequired[list[str]]
    required_acr: NotRequired[dict[str, list[str]]]
    required_claims: NotRequired[list[str]]
    required_capabilities: NotRequired[dict[str, list[str]]]
    robots: NotRequired[RobotRule]
    introspection: NotRequired[IntrospectionDocument | None]


def issuer_document(profile: IssuerProfile) -> IssuerDocument:
    """The domain writes it; a test compares the members."""
    return cast("IssuerDocument", profile_document(profile))


@exact
class IssuersDocument(TypedDict):
    """Every trusted issuer."""

    issuers: list[IssuerDocument]
    next: None


@exact
class RemovedIssuerDocument(TypedDict):
    """The issuer that is trusted no more."""

    removed: str


@exact
class RangeDocument(TypedDict):
    """A range and what is left of it; `next` is past `last` when nothing is."""

    name: str
    purpose: RangePurpose
    first: Number
    last: Number
    next: int
    free: Count
    low: bool


def range_document(status: RangeStatus) -> RangeDocument:
    """With whether less than a tenth is left."""
    return {
        "name": status.range.name,
        "purpose": status.range.purpose,
        "first": status.range.first,
        "last": status.range.last,
        "next": status.next_number,
        "free": status.free,
        "low": status.is_low,
    }


@exact
class RangesDocument(TypedDict):
    """Every range."""

    ranges: list[RangeDocument]


@exact
class AddedRangeDocument(TypedDict):
    """A new range, with what was acknowledged."""

    name: str
    first: Number
    last: Number
    warnings: list[str]
    holes: Count


@exact
class ForeignNumberDocument(TypedDict):
    """A number that something else on the site uses."""

    kind: NumberKind
    number: int
    name: str
    where: str


@exact
class CheckedRangeDocument(TypedDict):
    """How many numbers of a range something else uses, and how many of those were issued; the first few."""

    name: str
    foreign: Count
    taken: Count
    examples: list[ForeignNumberDocument]


def checked_range_document(checked: CheckedRange) -> CheckedRangeDocument:
    """Those that were issued first."""
    return {
        "name": checked.range.name,
        "foreign": len(checked.foreign),
        "taken": len(checked.taken),
        "examples": [_number_document(n) for n in (*checked.taken, *checked.foreign)[:SHOWN]],
    }


def _number_document(number: ForeignNumber) -> ForeignNumberDocument:
    return {
        "kind": number.kind,
        "number": number.number,
        "name": number.name,
        "where": number.where,
    }


@exact
class CheckedRangesDocument(TypedDict):
    """The ranges against the site."""

    ranges: list[CheckedRangeDocument]


@exact
class HolesDocument(TypedDict):
    """How many numbers of a range are never issued from now on."""

    name: str
    holes: Count

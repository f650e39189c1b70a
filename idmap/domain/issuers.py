"""What a site trusts an issuer for, as data.

A profile names the issuer's exact string and an explicit list of aliases (never a guess about slashes), the claim
that is the stable subject, the algorithms it may sign with, how it speaks of groups, and for each door the audiences
that door accepts. There is no profile without audiences, and one audience opens one kind of door (law 13).
Ready-made profiles are in `profiles`; the form in which a profile travels and is stored, in `issuer_document`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from idmap.domain.capabilities import COMPUTE
from idmap.domain.doors import Door, DoorKind
from idmap.domain.entitlements import Pinning, parse_namespace
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection
from idmap.domain.reasons import Reason

ASYMMETRIC_ALGORITHMS: Final = frozenset(
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 Ed25519 EdDSA".split()
)
"""Everything a profile may allow. `none` and the HMAC family cannot be written down at all."""

WLCG_ANY_AUDIENCE: Final = "https://wlcg.cern.ch/jwt/v1/any"
"""WLCG's audience for everybody. Listing it is the opt-in; ssh, admin and gate doors cannot."""

_ANY_AUDIENCE_KINDS: Final = frozenset({DoorKind.API, DoorKind.COMPONENT})

DEFAULT_LEEWAY_SECONDS: Final = 60
"""WLCG profile 1.3 suggests 60 s of clock skew."""

DEFAULT_MAX_AGE_SECONDS: Final = 24 * 3600
"""Longest time since `iat`. INDIGO IAM's tokens live an hour; a day bounds forgotten long-lived ones."""

ADMIN_MAX_AUTHENTICATION_AGE_SECONDS: Final = 15 * 60
"""The admin door wants somebody who is there now (law 13)."""


DEMANDABLE_CAPABILITIES: Final = frozenset(f"compute.{action}" for action in COMPUTE)
"""What a door may demand. `storage.*` has paths, which are for the storage itself to judge."""


class GroupsDialect(StrEnum):
    """How a claim spells groups."""

    PATH = "path"
    """`vo/sub` or `/vo/sub`: INDIGO IAM `groups` and (`kc`) `roles`, WLCG `wlcg.groups`."""
    ENTITLEMENT = "entitlement"
    """AARC-G069 URNs, one or a list; needs `urn_namespace` and `urn_authorities`."""
    KEYCLOAK_PATH = "keycloak-path"
    """Keycloak's group mapper with full paths; a bare name is not read, since two groups may share it."""
    ROLES = "roles"
    """Names of issuer-wide roles: a list, or Keycloak's `realm_access` with `roles` inside."""


class RobotRule(StrEnum):
    """What becomes of a token whose subject is a client or a host, not a person."""

    REFUSE = "refuse"
    BY_RULE = "by_rule"
    """It passes verification, and only rules with `robots = true` match it."""


class ProfileName(StrEnum):
    """Ready-made profiles; what each says is in `profiles`."""

    INDIGO_IAM = "indigo-iam"
    INDIGO_IAM_AARC = "indigo-iam-aarc"
    INDIGO_IAM_KC = "indigo-iam-kc"
    WLCG = "wlcg"
    EGI_CHECKIN = "egi-checkin"
    HELMHOLTZ = "helmholtz"
    KEYCLOAK = "keycloak"
    GENERIC = "generic"


def _no_doors() -> Mapping[Door, frozenset[str]]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class IssuerProfile:
    """Everything the verifier asks about one issuer."""

    issuer: Issuer
    audiences: Mapping[Door, frozenset[str]]
    aliases: frozenset[Issuer] = frozenset()
    profile: ProfileName = ProfileName.INDIGO_IAM
    subject_claim: str = "sub"
    algorithms: frozenset[str] = frozenset({"RS256", "ES256"})
    groups_claims: Mapping[str, GroupsDialect] = field(
        default_factory=lambda: MappingProxyType(
            {"groups": GroupsDialect.PATH, "wlcg.groups": GroupsDialect.PATH}
        )
    )
    record_groups_from_tokens: bool = False
    """Whether a token's groups, and facts that rules ask for, may be recorded (how a newcomer gets an account)."""
    accepted_types: frozenset[str] = frozenset({"", "jwt", "at+jwt"})
    """Header `typ`, lower case, `application/` removed; empty stands for an absent one."""
    leeway_seconds: int = DEFAULT_LEEWAY_SECONDS
    max_age_seconds: int = DEFAULT_MAX_AGE_SECONDS
    jwks_uri: str | None = None
    """Set to skip discovery; otherwise the discovery document names it."""
    accepted_type_claims: frozenset[str] = frozenset()
    """Values of the *claim* `typ`, one of which must be there; empty: not looked at. Keycloak's ID tokens differ
    from its access tokens in nothing else."""
    urn_namespace: str | None = None
    """The one namespace whose entitlement URNs are read, as in `urn:mace:egi.eu`."""
    urn_authorities: frozenset[str] = frozenset()
    """Authorities that may vouch for an entitlement, byte for byte; the empty string allows none to be named."""
    parents_implied: bool = False
    """Whether a member of a child is one of its parents too, and the holder of a role a member of its group."""
    required_assurance: frozenset[str] = frozenset()
    """`eduperson_assurance` values (REFEDS RAF), one of which the token must carry; empty: none needed."""
    required_acr: Mapping[Door, frozenset[str]] = field(default_factory=_no_doors)
    """For a door, the values of `acr` of which the token must carry one (as in REFEDS MFA)."""
    required_claims: frozenset[str] = frozenset()
    """Claims without which no token of this issuer is accepted, besides those that every token needs."""
    required_capabilities: Mapping[Door, frozenset[str]] = field(default_factory=_no_doors)
    """For a door, the `compute.*` capabilities (WLCG profile 1.3) of which the token must carry one."""
    robots: RobotRule = RobotRule.REFUSE
    introspection: Introspection | None = None
    """How opaque tokens are asked about; without it they open nothing."""

    def spells(self) -> frozenset[Issuer]:
        """Every exact string by which tokens of this issuer may name it."""
        return self.aliases | {self.issuer}

    def pinning(self) -> Pinning | None:
        """Which entitlements count; None when the profile names no namespace."""
        if self.urn_namespace is None:
            return None
        return Pinning(self.urn_namespace, self.urn_authorities)


def check_profile(profile: IssuerProfile) -> IssuerProfile:
    """The profile itself. Raises InvalidInput(ISSUER_INVALID) naming the field that cannot stand."""
    for text in profile.spells():
        _check_url("issuer", text)
    if profile.jwks_uri is not None:
        _check_url("jwks_uri", profile.jwks_uri)
    if not profile.algorithms or not profile.algorithms <= ASYMMETRIC_ALGORITHMS:
        raise _invalid("algorithms", "asymmetric algorithms only, and at least one")
    if not profile.audiences or not all(profile.audiences.values()):
        raise _invalid("audiences", "every door listed needs at least one audience")
    owner: dict[str, DoorKind] = {}
    for door, audiences in profile.audiences.items():
        for audience in audiences:
            if audience == WLCG_ANY_AUDIENCE and door.kind not in _ANY_AUDIENCE_KINDS:
                raise _invalid("audiences", f"{door}: the audience for everybody does not open it")
            if owner.setdefault(audience, door.kind) is not door.kind:
                raise _invalid("audiences", f"{audience!r} may open one kind of door only")
    if not 0 <= profile.leeway_seconds <= 300 or not 60 <= profile.max_age_seconds <= 31 * 86400:
        raise _invalid("leeway_seconds or max_age_seconds", "out of bounds")
    if not profile.subject_claim:
        raise _invalid("subject_claim", "a claim's name is needed")
    if not profile.accepted_types:
        raise _invalid("accepted_types", "at least one; the empty string stands for an absent typ")
    if not all(profile.required_acr.values()) or not profile.required_acr.keys() <= set(
        profile.audiences
    ):
        raise _invalid("required_acr", "at least one value for each door, and doors with audiences")
    if not profile.required_capabilities.keys() <= set(profile.audiences):
        raise _invalid("required_capabilities", "doors with audiences only")
    for wanted in profile.required_capabilities.values():
        if not wanted or not wanted <= DEMANDABLE_CAPABILITIES:
            raise _invalid("required_capabilities", "at least one compute capability for each door")
    if profile.introspection and not profile.introspection.doors <= set(profile.audiences):
        raise _invalid("introspection.doors", "doors with audiences only")
    _check_entitlements(profile)
    return profile


def find_profile(profiles: Iterable[IssuerProfile], text: str) -> IssuerProfile | None:
    """The profile that spells exactly `text`, byte for byte (law 1)."""
    return next((profile for profile in profiles if text in profile.spells()), None)


def check_distinct(profiles: Iterable[IssuerProfile]) -> None:
    """Raises InvalidInput(ISSUER_INVALID) when two profiles claim the same issuer string."""
    seen: dict[Issuer, Issuer] = {}
    for profile in profiles:
        for text in profile.spells():
            if seen.setdefault(text, profile.issuer) != profile.issuer:
                raise _invalid("aliases", f"{text!r} is claimed by two profiles")


def is_loopback_url(url: str) -> bool:
    """Whether the URL is plain http to this very host, the one place where plain http may go."""
    try:
        parts = urlsplit(url)
    except ValueError:  # an address in brackets that is none
        return False
    return parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}


def is_issuer_url(text: str) -> bool:
    """Whether a profile could have this issuer."""
    try:
        _check_url("issuer", text)
    except InvalidInput:
        return False
    return True


def _check_entitlements(profile: IssuerProfile) -> None:
    """A namespace without authorities would say nothing, and URNs without a namespace would say anything."""
    if profile.urn_namespace is None:
        if GroupsDialect.ENTITLEMENT in profile.groups_claims.values():
            raise _invalid("urn_namespace", "entitlements are read in one named namespace only")
        return
    try:
        canonical = parse_namespace(profile.urn_namespace)
    except InvalidInput as error:
        raise _invalid("urn_namespace", error.detail) from error
    if canonical != profile.urn_namespace:
        raise _invalid("urn_namespace", f"is written {canonical!r}")
    if not profile.urn_authorities:
        raise _invalid(
            "urn_authorities", "at least one; the empty string stands for an absent authority"
        )


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _invalid(name, f"{url!r} is no URL") from None
    if not parts.hostname or parts.scheme not in {"https", "http"} or parts.query or parts.fragment:
        raise _invalid(name, f"{url!r} is not an https URL without query or fragment")
    if parts.scheme == "http" and not is_loopback_url(url):
        raise _invalid(name, f"{url!r}: plain http is for loopback only")


def _invalid(name: str, detail: str) -> InvalidInput:
    return InvalidInput(Reason.ISSUER_INVALID, f"{name}: {detail}")

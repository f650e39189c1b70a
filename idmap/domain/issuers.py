"""What a site trusts an issuer for, as data.

A profile names the issuer's exact string and an explicit list of aliases (never a guess about slashes), the claim
that is the stable subject, the algorithms it may sign with, and for each door the audiences that door
accepts. There is no profile without audiences, and one audience opens one kind of door (law 13).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from idmap.domain.doors import Door, DoorKind
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Issuer
from idmap.domain.introspection import Introspection
from idmap.domain.reasons import Reason

ASYMMETRIC_ALGORITHMS: Final = frozenset(
    "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 Ed25519 EdDSA".split()
)
"""Everything a profile may allow. `none` and the HMAC family cannot be written down at all."""

WLCG_ANY_AUDIENCE: Final = "https://wlcg.cern.ch/jwt/v1/any"
"""WLCG's audience for everybody; it would open every door, so no door may list it."""

DEFAULT_LEEWAY_SECONDS: Final = 60
"""WLCG profile 1.3 suggests 60 s of clock skew."""

DEFAULT_MAX_AGE_SECONDS: Final = 24 * 3600
"""Longest time since `iat`. INDIGO IAM's tokens live an hour; a day bounds forgotten long-lived ones."""

ADMIN_MAX_AUTHENTICATION_AGE_SECONDS: Final = 15 * 60
"""The admin door wants somebody who is there now (law 13)."""


class GroupsDialect(StrEnum):
    """How a claim spells groups."""

    PATH = "path"
    """`vo/sub` or `/vo/sub`: INDIGO IAM `groups`, WLCG `wlcg.groups`."""


class ProfileName(StrEnum):
    """Ready-made profiles."""

    INDIGO_IAM = "indigo-iam"
    WLCG = "wlcg"
    GENERIC = "generic"


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
    """Whether a token's groups may be recorded as an observation (how a newcomer gets an account)."""
    accepted_types: frozenset[str] = frozenset({"", "jwt", "at+jwt"})
    """Header `typ`, lower case, `application/` removed; empty stands for an absent one."""
    leeway_seconds: int = DEFAULT_LEEWAY_SECONDS
    max_age_seconds: int = DEFAULT_MAX_AGE_SECONDS
    jwks_uri: str | None = None
    """Set to skip discovery; otherwise the discovery document names it."""
    introspection: Introspection | None = None
    """How opaque tokens are asked about; without it they open nothing."""

    def spells(self) -> frozenset[Issuer]:
        """Every exact string by which tokens of this issuer may name it."""
        return self.aliases | {self.issuer}


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
            if audience == WLCG_ANY_AUDIENCE:
                raise _invalid(
                    "audiences", f"{door}: the audience for everybody opens no door here"
                )
            if owner.setdefault(audience, door.kind) is not door.kind:
                raise _invalid("audiences", f"{audience!r} may open one kind of door only")
    if not 0 <= profile.leeway_seconds <= 300 or not 60 <= profile.max_age_seconds <= 31 * 86400:
        raise _invalid("leeway_seconds or max_age_seconds", "out of bounds")
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
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}


def _check_url(name: str, url: str) -> None:
    parts = urlsplit(url)
    if not parts.hostname or parts.scheme not in {"https", "http"} or parts.query or parts.fragment:
        raise _invalid(name, f"{url!r} is not an https URL without query or fragment")
    if parts.scheme == "http" and not is_loopback_url(url):
        raise _invalid(name, f"{url!r}: plain http is for loopback only")


def _invalid(name: str, detail: str) -> InvalidInput:
    return InvalidInput(Reason.ISSUER_INVALID, f"{name}: {detail}")

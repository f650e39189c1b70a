"""What a credential proves: the claims of a verified token, checked against its issuer's profile.

`check_claims` is the second half of verification, after the signature: pure, in the order of `CLAIM_CHECKS`, each
check noted when `idmap explain` asks for it. A credential only narrows (law 3): nothing here gives an account
anything that is not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain import claim_checks as checks
from idmap.domain import claims_shown as shown
from idmap.domain.assurance import NO_ASSURANCE, Assurance
from idmap.domain.capabilities import Capability
from idmap.domain.checks import Check, step
from idmap.domain.doors import Door
from idmap.domain.entitlements import ResourceEntitlement
from idmap.domain.facts import email_domain
from idmap.domain.groups import Group
from idmap.domain.identity import Identity
from idmap.domain.issuers import IssuerProfile
from idmap.domain.spelling import NO_SPELLING, Spelling, local_part


@dataclass(frozen=True, slots=True)
class VerifiedClaims:
    """A token whose signature, dates and audience all held at one door."""

    identity: Identity
    door: Door
    expires_at: int
    issued_at: int
    token_id: str | None
    client_id: str | None
    groups: frozenset[Group]
    """Groups the token asserts; narrowing only, unless the profile lets them be recorded. Empty with capabilities."""
    preferred_username: str | None
    """Spelling for a new account's name; identifies nobody."""
    spelling: Spelling = NO_SPELLING
    """What else may spell it: local part of the mail address, given and family name."""
    email_domain: str | None = None
    """Where the person reads mail, unless the issuer calls the address unverified; it narrows and names nobody."""
    capabilities: frozenset[Capability] = frozenset()
    """WLCG capability scopes: the token is for these and nothing else."""
    resources: frozenset[ResourceEntitlement] = frozenset()
    """AARC-G027 entitlements in the profile's namespace, from its authorities."""
    assurance: Assurance = NO_ASSURANCE
    robot: bool = False
    """The subject is a client or a host; only rules for robots match it."""
    auth_time: int | None = None
    """When the person logged in, where the issuer says it (OpenID Connect Core §2); 0 when it says so unreadably."""

    @property
    def authenticated_at(self) -> int:
        """`auth_time`, else the time of issue."""
        return self.issued_at if self.auth_time is None else self.auth_time


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """One check: its name for people, the words for what it looked at, and the check itself."""

    name: str
    look: Callable[[checks.Reading], str]
    check: Callable[[checks.Reading], None]


CLAIM_CHECKS: Final[tuple[ClaimCheck, ...]] = (
    ClaimCheck("not bound to a key", shown.binding, checks.check_not_bound),
    ClaimCheck("not expired", shown.expiry, checks.check_expiry),
    ClaimCheck("issued in the past", shown.time_of_issue, checks.check_time_of_issue),
    ClaimCheck("valid already", shown.not_before, checks.check_not_before),
    ClaimCheck("not too old", shown.age, checks.check_age),
    ClaimCheck("audience", shown.audience, checks.check_audience),
    ClaimCheck("claims demanded", shown.required_claims, checks.check_required_claims),
    ClaimCheck("WLCG version", shown.wlcg_version, checks.check_wlcg_version),
    ClaimCheck("type claim", shown.type_claim, checks.check_type_claim),
    ClaimCheck("client", shown.client, checks.check_client),
    ClaimCheck("subject", shown.subject, checks.check_subject),
    ClaimCheck("person or robot", shown.robot, checks.check_robot),
    ClaimCheck("assurance", shown.identification, checks.check_identification),
    ClaimCheck("authentication", shown.authentication, checks.check_authentication),
    ClaimCheck("capabilities", shown.capabilities, checks.check_capabilities),
    ClaimCheck("groups", shown.groups, checks.read_groups),
    ClaimCheck("authenticated lately", shown.recent, checks.check_recent_authentication),
)
"""In the order in which they are made."""


def check_claims(
    claims: Mapping[str, Any],
    profile: IssuerProfile,
    door: Door,
    at: int,
    trace: list[Check] | None = None,
) -> VerifiedClaims:
    """Checks the claims of a token whose signature held, at time `at` (seconds since the epoch).

    `trace` collects one Check per check made, the failing one last. Raises TokenRefused with `proved=True`.
    """
    reading = checks.Reading(claims, profile, door, at)
    for one in CLAIM_CHECKS:
        with step(trace, one.name, one.look, reading):
            one.check(reading)
    return VerifiedClaims(
        identity=reading.identity,
        door=door,
        expires_at=reading.expires_at,
        issued_at=reading.issued_at,
        token_id=reading.token_id,
        client_id=reading.client_id,
        groups=reading.asserted.groups,
        preferred_username=short_text(claims, "preferred_username"),
        spelling=Spelling(
            email=local_part(short_text(claims, "email")),
            given=short_text(claims, "given_name"),
            family=short_text(claims, "family_name"),
        ),
        email_domain=_email_domain(claims),
        capabilities=reading.purpose.capabilities,
        resources=reading.asserted.resources,
        assurance=reading.assurance,
        robot=reading.robot,
        auth_time=checks.read_auth_time(claims),
    )


def short_text(claims: Mapping[str, Any], name: str) -> str | None:
    """A claim that only ever spells something: what is no short string counts as not said."""
    value = claims.get(name)
    fits = isinstance(value, str) and len(value) <= 255 and value.isprintable()
    return value if fits else None


def _email_domain(claims: Mapping[str, Any]) -> str | None:
    """Of `email` (OpenID Connect Core §5.1), unless `email_verified` says anything but yes."""
    address = short_text(claims, "email")
    verified = claims.get("email_verified", True)
    if address is None or (verified is not True and verified != "true"):
        return None
    return email_domain(address)

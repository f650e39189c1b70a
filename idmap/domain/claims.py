"""What a credential proves: the claims of a verified token, checked against its issuer's profile.

`check_claims` is the second half of verification, after the signature: pure, in a fixed order, each
check recorded so that `idmap explain` can show it. A credential only narrows (law 3): nothing here
gives an account anything that is not recorded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain.asserted_groups import Asserted, read_asserted
from idmap.domain.assurance import NO_ASSURANCE, Assurance, check_assurance, read_assurance
from idmap.domain.capabilities import Capability, Purpose, parse_purpose
from idmap.domain.doors import Door, DoorKind
from idmap.domain.entitlements import ResourceEntitlement
from idmap.domain.errors import InvalidInput, TokenRefused
from idmap.domain.groups import Group
from idmap.domain.identity import Identity, parse_subject
from idmap.domain.issuers import (
    ADMIN_MAX_AUTHENTICATION_AGE_SECONDS,
    IssuerProfile,
    RobotRule,
)
from idmap.domain.reasons import Reason
from idmap.domain.spelling import NO_SPELLING, Spelling, local_part

_WLCG_VERSION: Final = re.compile(r"1\.\d{1,3}", re.ASCII)
"""Any minor of major 1 (WLCG profile 1.3: reject an unknown major, accept a newer minor)."""

_LATEST: Final = 2**53
"""Beyond this a number in JSON is not exact; no date is."""


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
    capabilities: frozenset[Capability] = frozenset()
    """WLCG capability scopes: the token is for these and nothing else."""
    resources: frozenset[ResourceEntitlement] = frozenset()
    """AARC-G027 entitlements in the profile's namespace, from its authorities."""
    assurance: Assurance = NO_ASSURANCE
    robot: bool = False
    """The subject is a client or a host; only rules for robots match it."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check as `idmap explain` shows it. `shown` never holds the token or a part of it."""

    name: str
    shown: str
    passed: bool


def check_claims(
    claims: Mapping[str, Any], profile: IssuerProfile, door: Door, at: int
) -> VerifiedClaims:
    """Checks the claims of a token whose signature held, at time `at` (seconds since the epoch).

    Raises TokenRefused with `proved=True`; sources: RFC 7519 §4.1, RFC 9068 §4, WLCG profile 1.3.
    """
    if "cnf" in claims:
        raise _refused(Reason.SENDER_CONSTRAINED, "cnf (RFC 7800) needs a proof of possession")
    issued_at, expires_at = _check_dates(claims, profile, at)
    _check_audience(claims, profile, door)
    _check_wlcg_version(claims)
    _check_type_claim(claims, profile)
    client_id = _optional_text(claims, "client_id")
    identity = _identity(claims, profile)
    robot = _find_robot(claims, identity)
    if robot is not None and profile.robots is not RobotRule.BY_RULE:
        raise _refused(Reason.ROBOT_REFUSED, robot)
    assurance = read_assurance(claims)
    check_assurance(assurance, profile, door)
    purpose = _purpose(claims)
    asserted = read_asserted(claims, profile)
    if purpose.present:
        asserted = Asserted(frozenset(), frozenset())
    if door.kind is DoorKind.ADMIN:
        _check_recent_authentication(claims, issued_at, profile, at)
    return VerifiedClaims(
        identity=identity,
        door=door,
        expires_at=expires_at,
        issued_at=issued_at,
        token_id=_optional_text(claims, "jti"),
        client_id=client_id,
        groups=asserted.groups,
        preferred_username=_lenient_text(claims, "preferred_username"),
        spelling=Spelling(
            email=local_part(_lenient_text(claims, "email")),
            given=_lenient_text(claims, "given_name"),
            family=_lenient_text(claims, "family_name"),
        ),
        capabilities=purpose.capabilities,
        resources=asserted.resources,
        assurance=assurance,
        robot=robot is not None,
    )


def _check_dates(claims: Mapping[str, Any], profile: IssuerProfile, at: int) -> tuple[int, int]:
    leeway = profile.leeway_seconds
    expires_at = _date(claims, "exp")
    issued_at = _date(claims, "iat")
    if at >= expires_at + leeway:  # RFC 7519 §4.1.4: refused *on* or after that second
        raise _refused(Reason.TOKEN_EXPIRED, f"exp {expires_at}, now {at}")
    if issued_at > at + leeway:
        raise _refused(Reason.TOKEN_NOT_YET_VALID, f"iat {issued_at}, now {at}")
    if "nbf" in claims and _date(claims, "nbf") > at + leeway:
        raise _refused(Reason.TOKEN_NOT_YET_VALID, f"nbf {claims['nbf']}, now {at}")
    if at - issued_at > profile.max_age_seconds + leeway:
        raise _refused(Reason.TOKEN_TOO_OLD, f"iat {issued_at}, now {at}")
    return issued_at, expires_at


def _check_audience(claims: Mapping[str, Any], profile: IssuerProfile, door: Door) -> None:
    audience = claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if listed is None:
        raise _refused(Reason.CLAIM_MISSING, "aud")
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise _refused(Reason.CLAIM_INVALID, "aud: a string or an array of strings")
    if not profile.audiences.get(door, frozenset()) & set(listed):
        raise _refused(Reason.AUDIENCE_REFUSED, f"none of {len(listed)} audience(s) is for {door}")


def _check_wlcg_version(claims: Mapping[str, Any]) -> None:
    version = claims.get("wlcg.ver")
    if version is not None and not (isinstance(version, str) and _WLCG_VERSION.fullmatch(version)):
        raise _refused(Reason.WLCG_VERSION_REFUSED, "wlcg.ver is not 1.x")


def _check_recent_authentication(
    claims: Mapping[str, Any], issued_at: int, profile: IssuerProfile, at: int
) -> None:
    """`auth_time` where the issuer sends it (OpenID Connect Core §2), else the time of issue."""
    authenticated_at = _date(claims, "auth_time") if "auth_time" in claims else issued_at
    if authenticated_at > at + profile.leeway_seconds:
        raise _refused(Reason.TOKEN_NOT_YET_VALID, f"auth_time {authenticated_at}, now {at}")
    limit = ADMIN_MAX_AUTHENTICATION_AGE_SECONDS + profile.leeway_seconds
    if at - authenticated_at > limit:
        raise _refused(Reason.AUTHENTICATION_TOO_OLD, f"{at - authenticated_at} s ago")


def _identity(claims: Mapping[str, Any], profile: IssuerProfile) -> Identity:
    if profile.subject_claim not in claims:
        raise _refused(Reason.CLAIM_MISSING, profile.subject_claim)
    try:
        subject = parse_subject(claims[profile.subject_claim])
    except InvalidInput as error:
        raise _refused(error.reason, error.detail) from error
    return Identity(profile.issuer, subject)


def _check_type_claim(claims: Mapping[str, Any], profile: IssuerProfile) -> None:
    """Keycloak says in the claim `typ` what it does not say in the header: `Bearer`, not `ID`."""
    kind = claims.get("typ")
    named = isinstance(kind, str) and kind in profile.accepted_type_claims
    if profile.accepted_type_claims and not named:
        raise _refused(Reason.TYPE_REFUSED, f"claim typ {str(kind)[:32]!r}")


def _find_robot(claims: Mapping[str, Any], identity: Identity) -> str | None:
    """Why the subject is no person; None when it may be one.

    `sub` counts whatever the profile's subject claim is: a client stays one under another name. `azp`
    (OpenID Connect Core §2) names the client where `client_id` (RFC 9068 §2.2) does not.
    """
    subjects = {str(identity.subject), *_texts(claims, "sub")}
    if subjects & _texts(claims, "client_id", "azp"):
        return "the subject is the client itself"
    if any(subject.startswith("host:") for subject in subjects):
        return "the subject is a host (WLCG profile 1.3)"
    return None


def _texts(claims: Mapping[str, Any], *names: str) -> set[str]:
    return {value for name in names if isinstance(value := claims.get(name), str)}


def _purpose(claims: Mapping[str, Any]) -> Purpose:
    try:
        return parse_purpose(claims)
    except InvalidInput as error:
        raise _refused(error.reason, error.detail) from error


def _date(claims: Mapping[str, Any], name: str) -> int:
    """A NumericDate (RFC 7519 §2), whole seconds; fractions are cut."""
    if name not in claims:
        raise _refused(Reason.CLAIM_MISSING, name)
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(Reason.CLAIM_INVALID, f"{name}: not a number")
    if not 0 <= value <= _LATEST:
        raise _refused(Reason.CLAIM_INVALID, f"{name}: out of range")
    return int(value)


def _optional_text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    if value is not None and not (isinstance(value, str) and len(value) <= 255):
        raise _refused(Reason.CLAIM_INVALID, f"{name}: not a short string")
    return value


def _lenient_text(claims: Mapping[str, Any], name: str) -> str | None:
    value = claims.get(name)
    return value if isinstance(value, str) and len(value) <= 255 else None


def _refused(reason: Reason, detail: str) -> TokenRefused:
    return TokenRefused(reason, detail, proved=True)

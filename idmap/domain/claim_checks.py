"""Every check of a token's claims, one function each: it reads what it is about, and raises when that does not hold.

All raise TokenRefused with `proved=True`, for the signature held (or the issuer itself vouched). Their order is in
`claims`, the words for what each looked at in `claims_shown`. Sources: RFC 7519 §4.1, RFC 9068 §4, WLCG profile 1.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from idmap.domain.asserted_groups import NOTHING_ASSERTED, Asserted, read_asserted
from idmap.domain.assurance import (
    NO_ASSURANCE,
    Assurance,
    check_acr,
    check_assurance,
    read_assurance,
)
from idmap.domain.capabilities import NO_PURPOSE, Purpose, parse_purpose
from idmap.domain.doors import Door, DoorKind
from idmap.domain.errors import InvalidInput, TokenRefused
from idmap.domain.identity import Identity, parse_subject
from idmap.domain.issuers import (
    ADMIN_MAX_AUTHENTICATION_AGE_SECONDS,
    IssuerProfile,
    RobotRule,
)
from idmap.domain.reasons import Reason

_WLCG_VERSION: Final = re.compile(r"1\.\d{1,3}", re.ASCII)
"""Any minor of major 1 (WLCG profile 1.3: reject an unknown major, accept a newer minor)."""

_LATEST: Final = 2**53
"""Beyond this a number in JSON is not exact; no date is."""


@dataclass(slots=True)
class Reading:
    """One token's claims on their way through the checks, and what these have read so far."""

    claims: Mapping[str, Any]
    profile: IssuerProfile
    door: Door
    at: int
    """Seconds since the epoch."""
    expires_at: int = field(init=False)
    issued_at: int = field(init=False)
    client_id: str | None = field(init=False)
    token_id: str | None = field(init=False)
    identity: Identity = field(init=False)
    robot: bool = field(init=False)
    assurance: Assurance = NO_ASSURANCE
    purpose: Purpose = NO_PURPOSE
    asserted: Asserted = NOTHING_ASSERTED


def check_not_bound(reading: Reading) -> None:
    """Proof of possession (RFC 7800) is not checked here, so whoever needs it is refused."""
    if "cnf" in reading.claims:
        raise _refused(Reason.SENDER_CONSTRAINED, "cnf (RFC 7800) needs a proof of possession")


def check_expiry(reading: Reading) -> None:
    """RFC 7519 §4.1.4: refused *on* or after that second."""
    reading.expires_at = _date(reading.claims, "exp")
    if reading.at >= reading.expires_at + reading.profile.leeway_seconds:
        raise _refused(Reason.TOKEN_EXPIRED, f"exp {reading.expires_at}, now {reading.at}")


def check_time_of_issue(reading: Reading) -> None:
    """RFC 7519 §4.1.6; demanded, since everything about age depends on it."""
    reading.issued_at = _date(reading.claims, "iat")
    if reading.issued_at > reading.at + reading.profile.leeway_seconds:
        raise _refused(Reason.TOKEN_NOT_YET_VALID, f"iat {reading.issued_at}, now {reading.at}")


def check_not_before(reading: Reading) -> None:
    """RFC 7519 §4.1.5; optional."""
    if "nbf" in reading.claims:
        from_then = _date(reading.claims, "nbf")
        if from_then > reading.at + reading.profile.leeway_seconds:
            raise _refused(Reason.TOKEN_NOT_YET_VALID, f"nbf {from_then}, now {reading.at}")


def check_age(reading: Reading) -> None:
    """Whatever `exp` says, a token is not used for longer than the profile allows."""
    limit = reading.profile.max_age_seconds + reading.profile.leeway_seconds
    if reading.at - reading.issued_at > limit:
        raise _refused(Reason.TOKEN_TOO_OLD, f"iat {reading.issued_at}, now {reading.at}")


def check_audience(reading: Reading) -> None:
    """RFC 7519 §4.1.3, byte for byte, for this door (law 13)."""
    audience = reading.claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if listed is None:
        raise _refused(Reason.CLAIM_MISSING, "aud")
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise _refused(Reason.CLAIM_INVALID, "aud: a string or an array of strings")
    if not reading.profile.audiences.get(reading.door, frozenset()) & set(listed):
        detail = f"none of {len(listed)} audience(s) is for {reading.door}"
        raise _refused(Reason.AUDIENCE_REFUSED, detail)


def check_required_claims(reading: Reading) -> None:
    """Claims without which the profile takes no token of this issuer; what they say is others' to judge."""
    for name in sorted(reading.profile.required_claims):
        if reading.claims.get(name) is None:
            raise _refused(Reason.CLAIM_MISSING, name)


def check_wlcg_version(reading: Reading) -> None:
    """An unknown major is refused; that there is a version at all is for `required_claims` to say."""
    version = reading.claims.get("wlcg.ver")
    if version is not None and not (isinstance(version, str) and _WLCG_VERSION.fullmatch(version)):
        raise _refused(Reason.WLCG_VERSION_REFUSED, "wlcg.ver is not 1.x")


def check_type_claim(reading: Reading) -> None:
    """Keycloak says in the claim `typ` what it does not say in the header: `Bearer`, not `ID`."""
    accepted = reading.profile.accepted_type_claims
    kind = reading.claims.get("typ")
    named = isinstance(kind, str) and kind in accepted
    if accepted and not named:
        raise _refused(Reason.TYPE_REFUSED, f"claim typ {str(kind)[:32]!r}")


def check_client(reading: Reading) -> None:
    """`client_id` (RFC 9068 §2.2) and `jti` (RFC 7519 §4.1.7), each a short string where it is there."""
    reading.client_id = _optional_text(reading.claims, "client_id")
    reading.token_id = _optional_text(reading.claims, "jti")


def check_subject(reading: Reading) -> None:
    """The claim that the profile names, and no other (law 1)."""
    claims, claim = reading.claims, reading.profile.subject_claim
    if claim not in claims:
        raise _refused(Reason.CLAIM_MISSING, claim)
    try:
        subject = parse_subject(claims[claim])
    except InvalidInput as error:
        raise _refused(error.reason, error.detail) from error
    reading.identity = Identity(reading.profile.issuer, subject)


def check_robot(reading: Reading) -> None:
    """`sub` counts whatever the profile's subject claim is: a client stays one under another name.

    `azp` (OpenID Connect Core §2) names the client where `client_id` (RFC 9068 §2.2) does not.
    """
    why = _find_robot(reading.claims, reading.identity)
    reading.robot = why is not None
    if why is not None and reading.profile.robots is not RobotRule.BY_RULE:
        raise _refused(Reason.ROBOT_REFUSED, why)


def check_identification(reading: Reading) -> None:
    """How well the person was identified, where the profile demands it."""
    reading.assurance = read_assurance(reading.claims)
    check_assurance(reading.assurance, reading.profile)


def check_authentication(reading: Reading) -> None:
    """How the person was authenticated, where the profile demands it of this door."""
    check_acr(reading.assurance, reading.profile, reading.door)


def check_capabilities(reading: Reading) -> None:
    """What the token is for (WLCG profile 1.3), and at a door that demands it, that it is for that."""
    try:
        reading.purpose = parse_purpose(reading.claims)
    except InvalidInput as error:
        raise _refused(error.reason, error.detail) from error
    wanted = reading.profile.required_capabilities.get(reading.door)
    if wanted is not None and not wanted & {str(one) for one in reading.purpose.capabilities}:
        detail = f"{reading.door} wants one of {', '.join(sorted(wanted))}"
        raise _refused(Reason.CAPABILITY_MISSING, detail)


def read_groups(reading: Reading) -> None:
    """Refuses nobody: a group only ever helps its holder. Capabilities come before groups (WLCG profile 1.3)."""
    if not reading.purpose.present:
        reading.asserted = read_asserted(reading.claims, reading.profile)


def check_recent_authentication(reading: Reading) -> None:
    """At the admin door alone: `auth_time` where the issuer sends it (OpenID Connect Core §2), else `iat`."""
    if reading.door.kind is not DoorKind.ADMIN:
        return
    claims, leeway = reading.claims, reading.profile.leeway_seconds
    authenticated_at = _date(claims, "auth_time") if "auth_time" in claims else reading.issued_at
    if authenticated_at > reading.at + leeway:
        detail = f"auth_time {authenticated_at}, now {reading.at}"
        raise _refused(Reason.TOKEN_NOT_YET_VALID, detail)
    if reading.at - authenticated_at > ADMIN_MAX_AUTHENTICATION_AGE_SECONDS + leeway:
        raise _refused(Reason.AUTHENTICATION_TOO_OLD, f"{reading.at - authenticated_at} s ago")


def read_auth_time(claims: Mapping[str, Any]) -> int | None:
    """Only what asks for a recent login looks at it; unreadable, it is as old as can be, and refuses nothing else."""
    if "auth_time" not in claims:
        return None
    try:
        return _date(claims, "auth_time")
    except TokenRefused:
        return 0


def _find_robot(claims: Mapping[str, Any], identity: Identity) -> str | None:
    """Why the subject is no person; None when it may be one."""
    subjects = {str(identity.subject), *_texts(claims, "sub")}
    if subjects & _texts(claims, "client_id", "azp"):
        return "the subject is the client itself"
    if any(subject.startswith("host:") for subject in subjects):
        return "the subject is a host (WLCG profile 1.3)"
    return None


def _texts(claims: Mapping[str, Any], *names: str) -> set[str]:
    return {value for name in names if isinstance(value := claims.get(name), str)}


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


def _refused(reason: Reason, detail: str) -> TokenRefused:
    return TokenRefused(reason, detail, proved=True)

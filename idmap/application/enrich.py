"""Userinfo after introspection: it may add groups and the spelling of a name to a token that is already authenticated.

It never authenticates: its answer has no audience, no client and no end, so any token of that issuer would do (design
review C31). So it is asked last, when every check of the introspected claims held; it must be about exactly the same
subject; and nothing is taken from it but the claims that carry groups and the name, where introspection left them
unsaid. What it adds narrows like what a token says itself (law 3). At ssh it is not asked: a node learns whose the
token is and nothing else of it, so groups would decide nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from idmap.domain.asserted_groups import read_asserted
from idmap.domain.capabilities import parse_purpose
from idmap.domain.checks import Check
from idmap.domain.claims import VerifiedClaims, short_text
from idmap.domain.doors import DoorKind
from idmap.domain.errors import TokenRefused, Unavailable
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.secrets import Secret

NAME_CLAIM: Final = "preferred_username"


class UserinfoSource(Protocol):
    """Asks one issuer's userinfo endpoint with one token."""

    def userinfo(self, profile: IssuerProfile, token: Secret) -> Mapping[str, Any]:
        """The answer, whatever it says (OpenID Connect Core §5.3.2).

        Raises Unavailable(ISSUER_UNAVAILABLE), and TokenRefused(TOKEN_INACTIVE) when it does not take the token.
        """
        ...


def enrich(
    verified: VerifiedClaims,
    claims: Mapping[str, Any],
    profile: IssuerProfile,
    token: Secret,
    source: UserinfoSource,
    *,
    required: bool,
    trace: list[Check] | None = None,
) -> VerifiedClaims:
    """`verified` (of the introspected `claims`) with what userinfo adds.

    A fault adds nothing and is noted; it is raised as it came where userinfo is `required`. Raises
    TokenRefused(USERINFO_MISMATCH), proved, when the answer is about somebody else.
    """
    if verified.door.kind is DoorKind.SSH:
        _note(trace, f"not asked: at {verified.door} no groups of a token count")
        return verified
    if parse_purpose(claims).present:
        _note(trace, "not asked: the token is for its capabilities")
        return verified
    try:
        answer = source.userinfo(profile, token)
    except (Unavailable, TokenRefused) as error:
        if required:
            _note(trace, f"required: {error}", passed=False)
            raise
        _note(trace, f"adds nothing, so groups may be unknown; not required: {error}")
        return verified
    try:
        check_same_subject(answer, claims, profile)
    except TokenRefused as error:
        _note(trace, str(error), passed=False)
        raise
    added = _added(answer, claims, profile)
    asserted = read_asserted({**claims, **added}, profile)
    names = ", ".join(sorted(added)) or "nothing"
    _note(trace, f"about the same subject; adds {names}: {len(asserted.groups)} group(s) in all")
    return replace(
        verified,
        groups=asserted.groups,
        resources=asserted.resources,
        preferred_username=short_text({**claims, **added}, NAME_CLAIM),
    )


def check_same_subject(
    answer: Mapping[str, Any], claims: Mapping[str, Any], profile: IssuerProfile
) -> None:
    """OpenID Connect Core §5.3.2: `sub` must be there and exactly the same. Raises TokenRefused(USERINFO_MISMATCH).

    The profile's subject claim, where it is another, need not be in userinfo, but may not differ.
    """
    subject = answer.get("sub")
    stable = answer.get(profile.subject_claim, claims.get(profile.subject_claim))
    same = isinstance(subject, str) and subject == claims.get("sub")
    if not same or stable != claims.get(profile.subject_claim):
        detail = f"{profile.issuer}: userinfo is not about the subject that was introspected"
        raise TokenRefused(Reason.USERINFO_MISMATCH, detail, proved=True)


def _added(
    answer: Mapping[str, Any], claims: Mapping[str, Any], profile: IssuerProfile
) -> dict[str, Any]:
    """Of the answer, the claims that carry groups and the name, where introspection did not say them itself."""
    wanted = (*profile.groups_claims, NAME_CLAIM)
    return {name: answer[name] for name in wanted if name in answer and name not in claims}


def _note(trace: list[Check] | None, shown: str, *, passed: bool = True) -> None:
    if trace is not None:
        trace.append(Check("userinfo", shown, passed))

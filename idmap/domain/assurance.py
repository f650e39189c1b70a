"""Assurance: how well the person was identified (REFEDS RAF, `eduperson_assurance`) and authenticated (`acr`).

A profile may want one of a list of assurance values, and for a door one of a list of `acr` values. Both compare
byte for byte: no value is taken to be above another. What a token does not say, it does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain.doors import Door
from idmap.domain.errors import TokenRefused
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason

ASSURANCE_CLAIM: Final = "eduperson_assurance"
"""AARC-G021 and WLCG profile 1.3; a string or a list of strings."""


@dataclass(frozen=True, slots=True)
class Assurance:
    """What a token says of its person's identification and authentication."""

    values: frozenset[str] = frozenset()
    acr: str | None = None


NO_ASSURANCE: Final = Assurance()


def read_assurance(claims: Mapping[str, Any]) -> Assurance:
    """Reads both claims; what is malformed counts as not said."""
    value = claims.get(ASSURANCE_CLAIM)
    listed = [value] if isinstance(value, str) else value
    values = listed if isinstance(listed, list) else []
    acr = claims.get("acr")
    return Assurance(
        frozenset(text for text in values if isinstance(text, str)),
        acr if isinstance(acr, str) else None,
    )


def check_assurance(assurance: Assurance, profile: IssuerProfile) -> None:
    """Raises TokenRefused(ASSURANCE_TOO_LOW), proved."""
    if profile.required_assurance and not profile.required_assurance & assurance.values:
        raise TokenRefused(
            Reason.ASSURANCE_TOO_LOW,
            f"none of {len(assurance.values)} assurance value(s) is enough for this issuer",
            proved=True,
        )


def check_acr(assurance: Assurance, profile: IssuerProfile, door: Door) -> None:
    """Raises TokenRefused(ACR_REFUSED), proved."""
    wanted = profile.required_acr.get(door)
    if wanted is not None and assurance.acr not in wanted:
        raise TokenRefused(
            Reason.ACR_REFUSED, f"acr {str(assurance.acr)[:80]!r} at {door}", proved=True
        )

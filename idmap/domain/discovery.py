"""What an issuer says of itself (OpenID Connect Discovery §3, RFC 8414), compared with what a site is about to trust.

Two strings that differ by a slash are two issuers; nothing is guessed or repaired. An issuer that gives every client
another subject for the same person (pairwise) is refused until a claim is named that does not. It does *not*
fetch anything, and what an issuer says about itself gives it nothing: the profile decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain.errors import InvalidInput
from idmap.domain.introspection import Userinfo
from idmap.domain.issuers import ASYMMETRIC_ALGORITHMS, IssuerProfile
from idmap.domain.reasons import Reason

_MAX_LISTED: Final = 200
"""Scopes and claims kept; a longer list is cut, for it is only shown."""


@dataclass(frozen=True, slots=True)
class Found:
    """The part of an issuer's metadata that matters here. Lists are empty when it does not say."""

    issuer: str | None
    jwks_uri: str | None
    algorithms: tuple[str, ...]
    """For ID tokens; metadata has no word for access tokens, and issuers sign both alike."""
    subject_types: tuple[str, ...]
    scopes: tuple[str, ...]
    claims: tuple[str, ...]
    introspection_endpoint: str | None
    userinfo_endpoint: str | None = None

    def as_document(self) -> dict[str, Any]:
        """For people and `--json`."""
        return {
            "issuer": self.issuer,
            "jwks_uri": self.jwks_uri,
            "algorithms": list(self.algorithms),
            "subject_types": list(self.subject_types),
            "scopes": list(self.scopes),
            "claims": list(self.claims),
            "introspection_endpoint": self.introspection_endpoint,
            "userinfo_endpoint": self.userinfo_endpoint,
        }


def parse_found(document: Mapping[str, Any]) -> Found:
    """Reads a metadata document; what is not of the right kind counts as not said."""

    def text(name: str) -> str | None:
        value = document.get(name)
        return value if isinstance(value, str) else None

    def texts(name: str) -> tuple[str, ...]:
        value = document.get(name)
        listed = value if isinstance(value, list) else []
        return tuple(item for item in listed if isinstance(item, str))[:_MAX_LISTED]

    return Found(
        issuer=text("issuer"),
        jwks_uri=text("jwks_uri"),
        algorithms=texts("id_token_signing_alg_values_supported"),
        subject_types=texts("subject_types_supported"),
        scopes=texts("scopes_supported"),
        claims=texts("claims_supported"),
        introspection_endpoint=text("introspection_endpoint"),
        userinfo_endpoint=text("userinfo_endpoint"),
    )


def check_found(found: Found, wanted: IssuerProfile) -> None:
    """Raises InvalidInput (ISSUER_INVALID, PAIRWISE_SUBJECT) unless the profile can hold for this issuer."""
    if found.issuer not in wanted.spells():
        hint = "that is another issuer"
        if found.issuer is not None and found.issuer.rstrip("/") == wanted.issuer.rstrip("/"):
            hint = (
                f"they differ by a slash; run again with {found.issuer!r}, "
                "or add --alias if tokens carry both"
            )
        raise _invalid(
            f"issuer: the metadata says {found.issuer!r}, you gave {wanted.issuer!r}: {hint}"
        )
    if found.jwks_uri is None:
        raise _invalid("jwks_uri: missing from the issuer's metadata")
    pairwise = bool(found.subject_types) and "public" not in found.subject_types
    if pairwise and wanted.subject_claim == "sub":
        raise InvalidInput(
            Reason.PAIRWISE_SUBJECT,
            f"subject_types_supported: {', '.join(found.subject_types)[:80]}",
        )
    if found.algorithms and not wanted.algorithms & set(found.algorithms):
        usable = sorted(ASYMMETRIC_ALGORITHMS & set(found.algorithms))
        raise _invalid(
            f"algorithms: the issuer signs with {', '.join(usable) or 'none that may be used'}, "
            f"the profile allows {', '.join(sorted(wanted.algorithms))}; see --algorithm"
        )
    asks = wanted.introspection
    if asks is None:
        return
    if asks.endpoint is None and found.introspection_endpoint is None:
        raise _invalid("introspection: the issuer's metadata names no introspection_endpoint")
    wants_userinfo = asks.userinfo is not Userinfo.NEVER and asks.userinfo_endpoint is None
    if wants_userinfo and found.userinfo_endpoint is None:
        raise _invalid("introspection.userinfo: the issuer's metadata names no userinfo_endpoint")


def _invalid(detail: str) -> InvalidInput:
    return InvalidInput(Reason.ISSUER_INVALID, detail)

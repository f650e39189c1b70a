"""The facts that a verified token says of its holder, as they may go on record.

Assurance, rights to resources and the mail domain; never labels or attributes, which sources alone say. A token that is
for its capabilities says nothing here, as it says nothing of groups (WLCG profile 1.3). It does *not* decide whether
anything is recorded: the issuer's profile and the rules do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from idmap.domain.claims import VerifiedClaims
from idmap.domain.entitlements import entitlement_urn
from idmap.domain.facts import Fact, FactKind, is_readable_fact

MOST_OF_A_KIND: Final = 64
"""More than any issuer asserts of one person; of more, none counts: which of them would be a guess."""


def token_facts(claims: VerifiedClaims) -> frozenset[Fact] | None:
    """What would be on record of the token's identity, were every kind asked for; None when it says nothing of it."""
    if claims.capabilities:
        return None
    return frozenset(
        Fact(claims.identity.issuer, kind, value)
        for kind, values in _said(claims)
        if len(values) <= MOST_OF_A_KIND
        for value in values
    )


def _said(claims: VerifiedClaims) -> Iterator[tuple[FactKind, frozenset[str]]]:
    yield FactKind.ASSURANCE, _readable(claims.assurance.values)
    # Who vouches was checked when the URN was read; rules name the right itself.
    urns = (entitlement_urn(replace(right, authority="")) for right in claims.resources)
    yield FactKind.ENTITLEMENT, _readable(urns)
    if claims.email_domain is not None:
        yield FactKind.EMAIL_DOMAIN, frozenset({claims.email_domain})


def _readable(values: Iterable[str]) -> frozenset[str]:
    return frozenset(value for value in values if is_readable_fact(value))

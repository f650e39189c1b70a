"""Rules that ask for facts beside groups, for tests of what goes on record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from idmap.domain.facts import FactKind

_MEMBERS: Final[Mapping[FactKind, tuple[str, str]]] = {
    FactKind.LABEL: ("labels", "asked"),
    FactKind.ATTRIBUTE: ("attributes", "asked=yes"),
    FactKind.ASSURANCE: ("assurance", "https://refeds.org/assurance/IAP/high"),
    FactKind.ENTITLEMENT: ("entitlements", "urn:mace:example.org:res:asked"),
    FactKind.EMAIL_DOMAIN: ("email_domain", "asked.example"),
}
"""For each kind, how a rule asks for it, and something to ask for."""


def asking(document: Mapping[str, Any], *kinds: FactKind) -> dict[str, Any]:
    """The rules with one more, which asks for these kinds of the first rule's issuer."""
    first = document["rules"][0]
    when = {_MEMBERS[kind][0]: {"any": [_MEMBERS[kind][1]]} for kind in kinds}
    asks = {
        "id": "asks",
        "effect": "add",
        "issuer": first["issuer"],
        "group": first["group"],
        "node_classes": ["nowhere"],
        "when": when,
    }
    return {**document, "format": 2, "rules": [*document["rules"], asks]}

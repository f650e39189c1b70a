"""Issuers, groups and facts as rule documents write them.

A path is of the rule's own issuer; another issuer's group is written `{ issuer = …, group = … }`. Facts are always of
the rule's issuer: nobody else vouches for them. Raises InvalidInput; whoever reads the table names the place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from idmap.domain.conditions import Item, PartName
from idmap.domain.entitlements import GroupEntitlement, entitlement_urn, parse_entitlement
from idmap.domain.errors import InvalidInput
from idmap.domain.facts import Fact, FactKind, is_readable_fact
from idmap.domain.groups import OUR_ISSUERS, Group, make_group, parse_group_id
from idmap.domain.identity import Issuer
from idmap.domain.reasons import Reason
from idmap.domain.rule_fields import Fields

_FACTS: Final[Mapping[PartName, FactKind]] = {
    PartName.LABELS: FactKind.LABEL,
    PartName.ATTRIBUTES: FactKind.ATTRIBUTE,
    PartName.ASSURANCE: FactKind.ASSURANCE,
    PartName.EMAIL_DOMAIN: FactKind.EMAIL_DOMAIN,
}
_DOMAIN: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


def read_issuer(fields: Fields) -> Issuer:
    """The member `issuer`."""
    issuer = Issuer(fields.text("issuer"))
    if issuer in OUR_ISSUERS:
        fields.refuse("issuer", f"{issuer!r} is no issuer; a site-local group matches no rule")
    return issuer


def read_group(issuer: Issuer, value: object) -> Group:
    """A group's path at the rule's issuer, or `{ issuer = …, group = … }` for another's. Raises InvalidInput."""
    if isinstance(value, Mapping):
        if value.keys() != {"issuer", "group"} or not isinstance(value["issuer"], str):
            raise InvalidInput(Reason.RULE_INVALID, "{ issuer, group } is needed")
        issuer, value = Issuer(value["issuer"]), value["group"]
        if issuer in OUR_ISSUERS:
            raise InvalidInput(Reason.RULE_INVALID, f"{issuer!r} is no issuer")
    return parse_group_id(issuer, value)


def read_item(name: PartName, issuer: Issuer, value: object) -> Item:
    """A group or a fact under the member `name` of `when`."""
    if name is PartName.GROUPS:
        return read_group(issuer, value)
    if name is PartName.ENTITLEMENTS:
        return _read_entitlement(issuer, value)
    if not isinstance(value, str) or not is_readable_fact(value):
        raise InvalidInput(Reason.RULE_INVALID, "a printable string is needed")
    if name is PartName.EMAIL_DOMAIN and not _DOMAIN.fullmatch(value):
        raise InvalidInput(Reason.RULE_INVALID, f"{value[:80]!r} is no domain in lower case")
    return Fact(issuer, _FACTS[name], value)


def _read_entitlement(issuer: Issuer, value: object) -> Item:
    """A group's URN is the group; whose namespace and authority counts, the issuer's profile says."""
    entitlement = parse_entitlement(value)
    if isinstance(entitlement, GroupEntitlement):
        return make_group(issuer, entitlement.names, entitlement.role)
    urn = entitlement_urn(entitlement).partition("#")[0]
    return Fact(issuer, FactKind.ENTITLEMENT, urn)

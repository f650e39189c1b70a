"""Facts beside groups that are on record of an identity, and that rules may ask for.

A fact is bound to the issuer that vouches for it, like a group. Which kinds a rule may build an account on, and which
only narrow one, is in one table here: a mail domain says where somebody reads mail, never who they are (law 1).
Nothing goes on record that no rule asks for (`RuleSet.wanted_facts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from idmap.domain.identity import Issuer

MAX_FACT: Final = 1024
"""Longest value kept; the longest entitlement that is read."""


class FactKind(StrEnum):
    LABEL = "label"
    """An account label of INDIGO IAM: `prefix/name=value`, without what is empty: `name`, `name=value`."""
    ATTRIBUTE = "attribute"
    """An account attribute: `name=value`."""
    ASSURANCE = "assurance"
    """A value of `eduperson_assurance` (REFEDS RAF), byte for byte."""
    ENTITLEMENT = "entitlement"
    """A right to a resource (AARC-G027), as `entitlement_urn` writes it, without its authority."""
    EMAIL_DOMAIN = "email_domain"
    """What stands behind the @ of a mail address that the issuer does not call unverified; lower case."""


GRANTING: Final = frozenset({FactKind.LABEL, FactKind.ATTRIBUTE, FactKind.ENTITLEMENT})
"""Kinds that may give an account by themselves. The others only narrow what a group or one of these gives."""


SAID_BY_SOURCES: Final = frozenset({FactKind.LABEL, FactKind.ATTRIBUTE})
"""Kinds that sources alone say: a token has no labels, and what it calls attributes is the issuer's own choice."""


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """One fact, and who vouches for it."""

    issuer: Issuer
    kind: FactKind
    value: str

    def __str__(self) -> str:
        return f"{self.kind} {self.value} @ {self.issuer}"


def label(name: str, value: str = "", prefix: str = "") -> str:
    """The value of a LABEL. INDIGO IAM allows no `/` and no `=` in prefix and name: two labels are never one text."""
    qualified = f"{prefix}/{name}" if prefix else name
    return attribute(qualified, value)


def attribute(name: str, value: str = "") -> str:
    """The value of an ATTRIBUTE. Blanks around what IAM calls the value are no part of it."""
    value = value.strip()
    return f"{name}={value}" if value else name


def is_readable_fact(value: str) -> bool:
    """Whether a value can be kept and shown: printable, not empty, no outer blanks, not too long."""
    return 0 < len(value) <= MAX_FACT and value.isprintable() and value == value.strip()


def email_domain(address: str) -> str | None:
    """The domain of a mail address, lower case; None when there is none to read."""
    local, at, domain = address.rpartition("@")
    domain = domain.lower()
    plain = domain.isascii() and all(part.strip("-") for part in domain.split("."))
    return domain if local and at and plain and is_readable_fact(domain) else None

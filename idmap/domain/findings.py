"""A finding: what is wrong with rules that could be saved, where it stands, and whether that refuses the save.

The codes are a closed list, each with its severity: an *error* refuses the save; a *warning* is shown and saved; a
*hint* is advice. Who looks is `rule_findings` (the document itself) and `site_findings` (what is known of the site).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from idmap.domain.groups import Group
from idmap.domain.issuers import IssuerProfile
from idmap.domain.reasons import Reason
from idmap.domain.rule_fields import RuleFault


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


class FindingCode(StrEnum):
    """What is found; stable, like reason codes."""

    NEVER_MATCHES = "never_matches"
    ALWAYS_DENIED = "always_denied"
    UNREACHABLE = "unreachable"
    SAME_CONDITION = "same_condition"
    CLASS_UNUSED = "class_unused"
    CLASS_EXPIRED = "class_expired"
    POOL_TOO_LARGE = "pool_too_large"
    NAME_TAKEN = "name_taken"
    GROUP_UNKNOWN = "group_unknown"
    ENTITLEMENT_FOREIGN = "entitlement_foreign"
    NODE_CLASS_UNKNOWN = "node_class_unknown"
    AUDIENCE_MISSING = "audience_missing"
    NO_EXAMPLES = "no_examples"


_C, _S = FindingCode, Severity
SEVERITIES: Final[Mapping[FindingCode, Severity]] = MappingProxyType(
    {
        _C.NEVER_MATCHES: _S.ERROR,
        _C.ALWAYS_DENIED: _S.WARNING,
        _C.UNREACHABLE: _S.WARNING,
        _C.SAME_CONDITION: _S.WARNING,
        _C.CLASS_UNUSED: _S.WARNING,
        _C.CLASS_EXPIRED: _S.WARNING,
        _C.POOL_TOO_LARGE: _S.ERROR,
        _C.NAME_TAKEN: _S.ERROR,
        _C.GROUP_UNKNOWN: _S.WARNING,
        _C.ENTITLEMENT_FOREIGN: _S.ERROR,
        _C.NODE_CLASS_UNKNOWN: _S.WARNING,
        _C.AUDIENCE_MISSING: _S.WARNING,
        _C.NO_EXAMPLES: _S.HINT,
    }
)


FINDINGS: Final[Mapping[FindingCode, str]] = MappingProxyType(
    {
        _C.NEVER_MATCHES: "A condition that nobody can fulfil, as `all` and `none` of the same group.",
        _C.ALWAYS_DENIED: "Everybody whom the rule matches is denied by another.",
        _C.UNREACHABLE: "For everybody whom the account rule matches, others come first.",
        _C.SAME_CONDITION: "Two add or deny rules ask for the same.",
        _C.CLASS_UNUSED: "No rule gives the class.",
        _C.CLASS_EXPIRED: "The class's last day is past.",
        _C.POOL_TOO_LARGE: "The pool has more accounts than its range has numbers.",
        _C.NAME_TAKEN: "The name of a shared account was issued to something else.",
        _C.GROUP_UNKNOWN: "Only this rule names the group, and nothing on record does; perhaps a typo.",
        _C.ENTITLEMENT_FOREIGN: "An entitlement outside the namespace or the authorities of the issuer's profile.",
        _C.NODE_CLASS_UNKNOWN: "No enrolled node is of the class.",
        _C.AUDIENCE_MISSING: "A demand at a door for which an issuer has no audience: no token of it is taken there.",
        _C.NO_EXAMPLES: "The rules carry no examples.",
    }
)
"""What each means, for the docs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found."""

    code: FindingCode
    name: str
    """As people know it: `rule lhc`."""
    pointer: str
    sentence: str

    @property
    def severity(self) -> Severity:
        """What it does to a save."""
        return SEVERITIES[self.code]

    def document(self) -> dict[str, str]:
        """As JSON."""
        return {
            "severity": str(self.severity),
            "code": str(self.code),
            "name": self.name,
            "pointer": self.pointer,
            "sentence": self.sentence,
        }

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}" if self.name else self.sentence


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of the site that rules are for."""

    profiles: tuple[IssuerProfile, ...] = ()
    known_groups: frozenset[Group] = frozenset()
    """Anybody was ever recorded in, a source told of, or that has a gid."""
    node_classes: frozenset[str] = frozenset()
    """Of enrolled nodes."""
    range_sizes: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    """Of the names that shared classes want: those that something else has, and what."""


class RulesRefused(RuleFault):
    """Findings that refuse the save; the first one is the place."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        first = next(one for one in self.findings if one.severity is Severity.ERROR)
        super().__init__(Reason.RULE_INVALID, str(first), first.pointer)

    @property
    def more(self) -> Mapping[str, object]:
        return {**super().more, "findings": [one.document() for one in self.findings]}


def require_no_errors(findings: tuple[Finding, ...]) -> None:
    """Raises RulesRefused (RULE_INVALID) when one of them is an error."""
    if any(one.severity is Severity.ERROR for one in findings):
        raise RulesRefused(findings)

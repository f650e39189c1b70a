"""What rules may not name: ranges that are not there or serve others, issuers that are not trusted, paths of before.

Pure; each refusal has its place in the document. What is merely meaningless at a site is `site_findings`'.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from idmap.domain.groups import Group
from idmap.domain.identity import Issuer
from idmap.domain.issuers import IssuerProfile
from idmap.domain.numbers import RangePurpose
from idmap.domain.reasons import Reason
from idmap.domain.rule_fields import RuleFault
from idmap.domain.rule_places import Places, pointer
from idmap.domain.rules import AccountClass, AccountKind, Rule, RuleSet, who_names

_FOR_ROBOTS: Final = (RangePurpose.ROBOTS, RangePurpose.PEOPLE)
"""A range of people that no rule for people uses served robots before."""


@dataclass(frozen=True, slots=True)
class OnRecord:
    """What a new version of the rules may refer to."""

    ranges: Mapping[str, RangePurpose]
    profiles: tuple[IssuerProfile, ...]
    groups: Iterable[Group]
    """Those whose stable id is known, by their paths of now."""
    renamed: tuple[tuple[Group, Group], ...]
    """(former, now) of every group that was ever renamed."""


def check_references(rules: RuleSet, places: Places, known: OnRecord) -> None:
    """Raises RuleFault: RANGE_UNKNOWN, RULE_INVALID."""
    _check_ranges(rules, places, known)
    _check_issuers(rules, places, known)
    _check_paths(rules, places, known)


def _check_ranges(rules: RuleSet, places: Places, known: OnRecord) -> None:
    wanted = [
        (given.number_range, _purposes(rule, given), places.account_class(given.name, "range"))
        for rule, given in rules.account_rules()
    ]
    if rules.posix_groups():
        wanted.append((rules.group_range, (RangePurpose.GROUPS,), pointer("groups", "range")))
    for name, purposes, place in wanted:
        if name not in known.ranges:
            raise RuleFault(Reason.RANGE_UNKNOWN, f"range {name}", place)
        if known.ranges[name] not in purposes:
            problem = f"range {name} is for {known.ranges[name]}, not {purposes[0]}"
            raise RuleFault(Reason.RANGE_UNKNOWN, problem, place)


def _check_issuers(rules: RuleSet, places: Places, known: OnRecord) -> None:
    canonical_of = {text: profile.issuer for profile in known.profiles for text in profile.spells()}
    for where, issuer, place in _issuers_named(rules, places):
        if issuer not in canonical_of:
            problem = f"{where}: issuer {issuer!r} is not trusted here"
            raise RuleFault(Reason.RULE_INVALID, problem, place)
        if canonical_of[issuer] != issuer:
            problem = f"{where}: issuer {issuer!r} is an alias; write {canonical_of[issuer]!r}"
            raise RuleFault(Reason.RULE_INVALID, problem, place)


def _check_paths(rules: RuleSet, places: Places, known: OnRecord) -> None:
    """Rules just written mean the paths of now; one that a group had before names nothing any more."""
    now = frozenset(known.groups)
    for former, group in known.renamed:
        named = () if former in now else who_names(rules, former)
        if named:
            raise RuleFault(
                Reason.RULE_INVALID,
                f"{', '.join(named)}: group {former.path} was renamed; write {group.path!r}",
                _place_of(former, rules, places),
            )


def _issuers_named(rules: RuleSet, places: Places) -> Iterator[tuple[str, Issuer, str]]:
    for rule in rules.rules:
        where = f"rule {rule.rule_id}"
        yield where, rule.condition.issuer, places.rule(rule.rule_id, "issuer")
        for item in sorted(rule.condition.items(), key=str):
            if item.issuer != rule.condition.issuer:
                yield where, item.issuer, places.item(rule.rule_id, item)
        for group in sorted(rule.groups_given()):
            if group.issuer != rule.condition.issuer:
                yield where, group.issuer, places.item(rule.rule_id, group)
    for demand in rules.demands:
        for one in sorted(demand.issuers):
            yield f"demand {demand.demand_id}", one, places.demand(demand.demand_id, "issuers")
    for index, administrator in enumerate(rules.administrators):
        who = administrator.identity or administrator.group
        named = {group.issuer for group in administrator.manages} | ({who.issuer} if who else set())
        for issuer in sorted(named):
            yield f"admin {index + 1}", issuer, places.admin(index)


def _place_of(group: Group, rules: RuleSet, places: Places) -> str:
    """Of a group that some rule, class or administrator names."""
    for rule in rules.rules:
        if group in rule.condition.items() | rule.groups_given():
            return places.item(rule.rule_id, group)
    for index, admin in enumerate(rules.administrators):
        if group == admin.group or group in admin.manages:
            return places.admin(index)
    return ""


def _purposes(rule: Rule, given: AccountClass) -> tuple[RangePurpose, ...]:
    if given.kind is AccountKind.POOL:
        return (RangePurpose.POOLS,)
    return _FOR_ROBOTS if rule.condition.robots else (RangePurpose.PEOPLE,)

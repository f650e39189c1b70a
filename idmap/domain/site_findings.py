"""What rules say that this site makes meaningless: groups nobody heard of, foreign URNs, doors without audience.

Pure; what is known of the site comes as `Surroundings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Final

from idmap.domain.doors import DoorKind
from idmap.domain.entitlements import parse_entitlement
from idmap.domain.findings import Finding, FindingCode, Surroundings
from idmap.domain.groups import PRIVATE_GROUP, Group
from idmap.domain.rule_places import Places
from idmap.domain.rules import Adds, Denies, Gives, RuleSet

_C = FindingCode


def _foreign_entitlements(rules: RuleSet, places: Places, site: Surroundings) -> Iterator[Finding]:
    profiles = {profile.issuer: profile for profile in site.profiles}
    for rule in rules.rules:
        profile = profiles.get(rule.condition.issuer)
        if profile is None:
            continue
        pinning = profile.pinning()
        for place, urn in places.entitlements(rule.rule_id):
            entitlement = parse_entitlement(urn)
            if pinning is None:
                problem = f"the profile of {profile.issuer} reads no entitlements"
            elif entitlement.namespace != pinning.namespace:
                problem = f"the profile's urn_namespace is {pinning.namespace}"
            elif entitlement.authority and entitlement.authority not in pinning.authorities:
                problem = f"{entitlement.authority!r} is none of the profile's urn_authorities"
            else:
                continue
            said = f"{urn[:200]} never counts: {problem}"
            yield Finding(_C.ENTITLEMENT_FOREIGN, f"rule {rule.rule_id}", place, said)


def _unknown_groups(rules: RuleSet, places: Places, site: Surroundings) -> Iterator[Finding]:
    """A group that one rule alone names, and nobody else ever heard of. Of an issuer that told nothing yet, none is."""
    heard_of = {group.issuer for group in site.known_groups}
    named: dict[Group, list[tuple[str, str]]] = {}
    elsewhere: set[Group] = {
        item for one in rules.examples for item in one.who.held if isinstance(item, Group)
    }
    for rule in rules.rules:
        secondary: tuple[Group, ...] = ()
        if isinstance(rule.outcome, Gives | Adds):
            secondary = rule.outcome.secondary_groups
        asked = {item for item in rule.condition.items() if isinstance(item, Group)}
        for group in sorted(asked | set(secondary)):
            place = places.item(rule.rule_id, group)
            named.setdefault(group, []).append((f"rule {rule.rule_id}", place))
    primary = {given.name: given.primary_group for _, given in rules.account_rules()}
    for name, group in primary.items():
        place = places.account_class(name, "primary_group")
        named.setdefault(group, []).append((f"class {name}", place))
    for index, admin in enumerate(rules.administrators):
        for group in sorted(admin.manages | ({admin.group} if admin.group else set())):
            named.setdefault(group, []).append((f"admin {index + 1}", places.admin(index)))
    unknown = named.keys() - site.known_groups - elsewhere - {PRIVATE_GROUP}
    for group in sorted(unknown):
        if len(named[group]) > 1 or group.issuer not in heard_of:
            continue
        ((name, place),) = named[group]
        paths = [known.path for known in site.known_groups if known.issuer == group.issuer]
        nearest = get_close_matches(group.path, paths, n=1, cutoff=0.8)
        meant = f"; did you mean /{nearest[0]}?" if nearest else ""
        said = f"nobody ever heard of group /{group.path}{meant}"
        yield Finding(_C.GROUP_UNKNOWN, name, place, said)


def _unknown_node_classes(rules: RuleSet, places: Places, site: Surroundings) -> Iterator[Finding]:
    if not site.node_classes:
        return
    said: dict[tuple[str, str], frozenset[str]] = {}
    for rule in rules.rules:
        match rule.outcome:
            case Gives(account_class=given):
                place = places.account_class(given.name, "node_classes")
                said[f"class {given.name}", place] = given.access.only or frozenset()
            case Adds(access=access):
                place = places.rule(rule.rule_id, "node_classes")
                said[f"rule {rule.rule_id}", place] = access.only or frozenset()
            case Denies(node_classes=classes):
                place = places.rule(rule.rule_id, "node_classes")
                said[f"rule {rule.rule_id}", place] = classes
    for demand in rules.demands:
        ssh = frozenset(door.label for door in demand.doors if door.kind is DoorKind.SSH)
        said[f"demand {demand.demand_id}", places.demand(demand.demand_id, "doors")] = ssh
    for (name, place), classes in said.items():
        for one in sorted(classes - site.node_classes):
            problem = f"no enrolled node is of class {one}"
            yield Finding(_C.NODE_CLASS_UNKNOWN, name, place, problem)


def _missing_audiences(rules: RuleSet, places: Places, site: Surroundings) -> Iterator[Finding]:
    """No token of an issuer is taken at a door for which its profile has no audience: a demand there asks nobody."""
    for demand in rules.demands:
        for door in sorted(demand.doors):
            takers = {profile.issuer for profile in site.profiles if door in profile.audiences}
            lacking = sorted(demand.issuers - takers)
            if takers and not lacking:
                continue
            who = ", ".join(lacking) if lacking else "no issuer"
            verb = "has no audience" if lacking else "has an audience"
            yield Finding(
                _C.AUDIENCE_MISSING,
                f"demand {demand.demand_id}",
                places.demand(demand.demand_id, "doors"),
                f"{who} {verb} for {door}: no token is taken there",
            )


def _pools_and_names(rules: RuleSet, places: Places, site: Surroundings) -> Iterator[Finding]:
    for name, given in {given.name: given for _, given in rules.account_rules()}.items():
        size = site.range_sizes.get(given.number_range)
        if given.pool_size is not None and size is not None and given.pool_size > size:
            problem = (
                f"{given.pool_size} accounts, and range {given.number_range} has {size} numbers"
            )
            place = places.account_class(name, "size")
            yield Finding(_C.POOL_TOO_LARGE, f"class {name}", place, problem)
    for rule, given in rules.account_rules():
        wanted = given.shared_name
        if wanted is not None and wanted in site.names:
            place = places.account_class(given.name, "name")
            problem = f"rule {rule.rule_id} wants the name {wanted}: {site.names[wanted]}"
            yield Finding(_C.NAME_TAKEN, f"class {given.name}", place, problem)


Look = Callable[[RuleSet, Places, Surroundings], Iterator[Finding]]
LOOKS: Final[tuple[Look, ...]] = (
    _foreign_entitlements,
    _unknown_groups,
    _unknown_node_classes,
    _missing_audiences,
    _pools_and_names,
)

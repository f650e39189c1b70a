"""Rule documents: from a decoded TOML, YAML or JSON document to a `RuleSet`, or a refusal that names the place.

What is written under `when` is asked of recorded facts; what is written under `[[demands]]`, of credentials; the schema
keeps the two apart (law 3). Format 2 adds to format 1, whose documents keep their meaning. The members are listed in
`rule_schema`, which publishes them as JSON Schema too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from idmap.domain.conditions import Condition, Item, Part, PartName
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Identity, Issuer, Subject, parse_subject
from idmap.domain.node_access import NOWHERE, NodeAccess
from idmap.domain.roles import Role
from idmap.domain.rule_classes import (
    ClassDraft,
    local_groups_of,
    node_classes_of,
    read_class,
    slurm_of,
)
from idmap.domain.rule_demands import read_demand
from idmap.domain.rule_examples import read_example
from idmap.domain.rule_fields import Fields
from idmap.domain.rule_items import read_group, read_issuer, read_item
from idmap.domain.rule_limits import check_limits, check_together, refuse_doubles
from idmap.domain.rule_schema import FORMATS, MAX_GRACE_DAYS, MAX_PRIORITY, members
from idmap.domain.rules import Adds, Administrator, Denies, Gives, Rule, RuleSet

_EFFECTS: Final = ("account", "add", "deny")
_NO_GROUP: Final = (
    "names nothing that may give an account: a group, an entitlement, a label, an attribute or a"
    " named robot; assurance, e-mail domain and none only narrow"
)


def parse_rules(document: Mapping[str, Any], version: int) -> RuleSet:
    """A rule set from a decoded document.

    Raises RuleFault (an InvalidInput): RULE_INVALID, CLASS_WITHOUT_PRIMARY_GROUP; the detail names class or rule and
    member, the pointer the place.
    """
    top = Fields(document, "document", "")
    format_ = top.body.get("format")
    if format_ not in FORMATS:
        top.refuse("format", "this version of idmap reads 1 and 2")
    top.only(members("document", format_))
    groups = top.table("groups", "groups")
    groups.only(members("groups"))
    classes = _read_classes(top, format_)
    rules = [_read_rule(fields, classes, format_) for fields in top.tables("rules", "rule")]
    check_together(top, rules)
    demands = [read_demand(fields) for fields in top.tables("demands", "demand")]
    refuse_doubles(top, "demands", [demand.demand_id for demand in demands])
    given = {r.outcome.account_class.name for r in rules if isinstance(r.outcome, Gives)}
    found = RuleSet(
        version=version,
        rules=tuple(sorted(rules, key=lambda rule: -rule.priority)),
        administrators=tuple(
            _read_administrator(fields, format_) for fields in top.tables("admins", "admin")
        ),
        group_range=groups.label("range", "groups"),
        demands=tuple(demands),
        examples=tuple(read_example(fields) for fields in top.tables("examples", "example")),
        unused_classes=tuple(sorted(classes.keys() - given)),
    )
    check_limits(top, found)
    return found


def _read_classes(top: Fields, format_: int) -> Mapping[str, ClassDraft]:
    """The classes by name. In format 1 nobody looked at one that no rule gives, and saved documents may hold such."""
    table = top.table("classes", "classes")
    names = set(table.body)
    if format_ == 1:
        rows = (row for row in top.list("rules") if isinstance(row, Mapping))
        named = (row.get("class") for row in rows)
        names &= {name for name in named if isinstance(name, str)}
    tables = {
        name: Fields(body, f"class {name[:80]}", table.place(name))
        for name, body in table.body.items()
    }
    return {
        name: read_class(name, fields, format_) for name, fields in tables.items() if name in names
    }


def _read_rule(fields: Fields, classes: Mapping[str, ClassDraft], format_: int) -> Rule:
    rule_id = fields.label("id")
    fields = fields.named(f"rule {rule_id}")
    effect = fields.choice("effect", _EFFECTS, "account") if format_ > 1 else "account"
    fields.only(members(f"{effect}-rule", format_))
    issuer = read_issuer(fields)
    condition = _read_condition(fields, issuer, effect, format_)
    return Rule(
        rule_id=rule_id,
        condition=condition,
        outcome=_read_outcome(fields, effect, issuer, classes, condition),
        priority=fields.number("priority", 0, -MAX_PRIORITY, MAX_PRIORITY),
    )


def _read_outcome(
    fields: Fields,
    effect: str,
    issuer: Issuer,
    classes: Mapping[str, ClassDraft],
    condition: Condition,
) -> Gives | Adds | Denies:
    secondary = fields.each("secondary_groups", lambda value: read_group(issuer, value))
    if effect == "account":
        class_name = fields.text("class")
        if class_name not in classes:
            fields.refuse("class", f"there is no class {class_name!r}")
        return Gives(classes[class_name].for_rule(fields, issuer, condition), secondary)
    named = node_classes_of(fields)
    if effect == "add":
        adds = Adds(
            secondary_groups=secondary,
            access=NOWHERE if named is None else NodeAccess(named),
            local_groups=local_groups_of(fields),
            slurm=slurm_of(fields),
        )
        if adds == Adds():
            fields.refuse("", "adds nothing")
        return adds
    if named is not None and not named:
        fields.refuse("node_classes", "names none; leave it out to deny everything")
    return Denies(
        node_classes=named or frozenset(),
        grace_days=fields.number("grace_days", 0, 0, MAX_GRACE_DAYS),
        reason=fields.line("reason") if fields.has("reason") else "",
    )


def _read_condition(fields: Fields, issuer: Issuer, effect: str, format_: int) -> Condition:
    parts: dict[PartName, Part] = {}
    if fields.has("group"):
        group = _wrapped(fields, "group", lambda: read_group(issuer, fields.body["group"]))
        parts[PartName.GROUPS] = Part(PartName.GROUPS, any=frozenset({group}))
    when = fields.table("when", f"{fields.where}: when")
    when.only(members("when"))
    for name in PartName:
        if when.has(name):
            if name in parts:
                fields.refuse("group", "short for when.groups.any; write one of the two")
            parts[name] = _read_part(when, name, issuer)
    robots: bool | None = None
    if effect == "account" or fields.has("robots"):
        robots = fields.boolean("robots", False)
    subjects = frozenset(fields.each("subjects", parse_subject))
    if subjects and robots is not True:
        fields.refuse("subjects", "a person gets an account by membership; only robots are named")
    if format_ == 1 and not parts:
        fields.refuse("group", "a group is needed")
    condition = Condition(issuer, tuple(parts.values()), robots, subjects)
    grants = any(part.grants() for part in condition.parts)
    if effect != "deny" and not subjects and not grants:
        fields.refuse("when", _NO_GROUP)
    return condition


def _read_part(when: Fields, name: PartName, issuer: Issuer) -> Part:
    fields = when.table(name, f"{when.where}.{name}")
    fields.only(members("part"))

    def items(member: str) -> frozenset[Item]:
        found = fields.each(member, lambda value: read_item(name, issuer, value))
        if len(set(found)) != len(found):
            fields.refuse(member, "something is named twice")
        return frozenset(found)

    part = Part(name, items("any"), items("all"), items("none"))
    if not part.items():
        fields.refuse("", "asks for nothing; any, all or none names something")
    return part


def _read_administrator(fields: Fields, format_: int) -> Administrator:
    fields.only(members("admin", format_))
    issuer = read_issuer(fields)
    if fields.has("subject") == fields.has("group"):
        fields.refuse("", "either subject or group")
    identity = group = None
    if fields.has("group"):
        group = _wrapped(fields, "group", lambda: read_group(issuer, fields.body["group"]))
    else:
        subject = _wrapped(fields, "subject", lambda: parse_subject(fields.body["subject"]))
        identity = Identity(issuer, Subject(subject))
    if format_ > 1 and not fields.has("role"):
        fields.refuse("role", f"one of {', '.join(Role)}")
    role = Role(fields.choice("role", tuple(map(str, Role)), Role.SITE_ADMIN))
    manages = frozenset(fields.each("manages", lambda value: read_group(issuer, value)))
    if (role is Role.GROUP_MANAGER) != bool(manages):
        fields.refuse("manages", "the groups of a group manager, and only theirs")
    return Administrator(identity, group, role, manages)


def _wrapped(fields: Fields, member: str, read: Any) -> Any:
    try:
        return read()
    except InvalidInput as error:
        fields.refuse(member, error.detail)

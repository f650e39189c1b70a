"""Rule documents: from a decoded TOML, YAML or JSON document to a `RuleSet`, or a refusal that names the place.

What is written under `when` is asked of recorded facts; what is written under `[[demands]]`, of credentials; the schema
keeps the two apart (law 3). Format 2 adds to format 1, whose documents keep their meaning. The members are listed in
`rule_schema`, which publishes them as JSON Schema too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from idmap.domain.capabilities import COMPUTE, STORAGE
from idmap.domain.conditions import Condition, Item, Part, PartName, is_granting
from idmap.domain.demands import Demand
from idmap.domain.doors import Door, DoorKind, parse_door
from idmap.domain.errors import InvalidInput
from idmap.domain.identity import Identity, Issuer, Subject, parse_subject
from idmap.domain.node_access import NODE_CLASS, NOWHERE, NodeAccess
from idmap.domain.reasons import Reason
from idmap.domain.roles import Role
from idmap.domain.rule_classes import ClassDraft, local_groups_of, read_class, slurm_of
from idmap.domain.rule_examples import read_example
from idmap.domain.rule_fields import Fields
from idmap.domain.rule_items import read_group, read_issuer, read_item
from idmap.domain.rule_schema import FORMATS, MAX_AUTHENTICATION_AGE, MAX_PRIORITY, members
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
    if type(format_) is not int or format_ not in FORMATS:
        top.refuse("format", "this version of idmap reads 1 and 2")
    top.only(members("document", format_))
    groups = top.table("groups", "groups")
    groups.only(members("groups"))
    table = top.table("classes", "classes")
    classes = {
        name: read_class(name, Fields(body, f"class {name}", table.at(name)), format_)
        for name, body in table.body.items()
    }
    rules = [_read_rule(fields, classes, format_) for fields in top.tables("rules", "rule")]
    _refuse_doubles(top, "rules", [rule.rule_id for rule in rules])
    _check_ranges_of_robots(top, rules)
    demands = tuple(_read_demand(fields) for fields in top.tables("demands", "demand"))
    _refuse_doubles(top, "demands", [demand.demand_id for demand in demands])
    given = {r.outcome.account_class.name for r in rules if isinstance(r.outcome, Gives)}
    return RuleSet(
        version=version,
        rules=tuple(sorted(rules, key=lambda rule: -rule.priority)),
        administrators=tuple(
            _read_administrator(fields, format_) for fields in top.tables("admins", "admin")
        ),
        group_range=groups.label("range", "groups"),
        demands=demands,
        examples=tuple(read_example(fields) for fields in top.tables("examples", "example")),
        unused_classes=tuple(sorted(classes.keys() - given)),
    )


def _refuse_doubles(top: Fields, member: str, ids: list[str]) -> None:
    for index, one in enumerate(ids):
        if one in ids[:index]:
            rows = Fields({}, f"{member[:-1]} {one}", f"{top.at(member)}/{index}")
            rows.refuse("id", "used twice")


def _check_ranges_of_robots(top: Fields, rules: list[Rule]) -> None:
    """A number tells whether it is a robot's: no range serves both."""
    given = [
        (index, rule, rule.outcome.account_class.number_range)
        for index, rule in enumerate(rules)
        if isinstance(rule.outcome, Gives)
    ]
    people = {name for _, rule, name in given if not rule.condition.robots}
    for index, rule, name in given:
        if rule.condition.robots and name in people:
            fields = Fields({}, f"rule {rule.rule_id}", f"{top.at('rules')}/{index}")
            fields.refuse("robots", f"range {name} serves people; robots need one of their own")


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
    named = _node_classes(fields)
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
        grace_days=fields.number("grace_days", 0, 0, 3650),
        reason=fields.text("reason") if fields.has("reason") else "",
    )


def _node_classes(fields: Fields) -> frozenset[str] | None:
    if not fields.has("node_classes"):
        return None
    found = fields.texts("node_classes")
    if not all(map(NODE_CLASS.fullmatch, found)):
        fields.refuse("node_classes", "labels of node classes are needed")
    return found


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
    granted = part.any
    if granted and any(map(is_granting, granted)) and not all(map(is_granting, granted)):
        fields.refuse("any", "what gives an account and what only narrows stand apart")
    return part


def _read_demand(fields: Fields) -> Demand:
    fields = fields.named(f"demand {fields.label('id')}")
    fields.only(members("demand"))
    doors = frozenset(fields.each("doors", _read_door))
    if not doors:
        fields.refuse("doors", "at least one")
    capabilities = fields.texts("capabilities")
    known = {f"compute.{word}" for word in COMPUTE} | {f"storage.{word}" for word in STORAGE}
    for capability in sorted(capabilities):
        if capability.partition(":")[0] not in known:
            fields.refuse("capabilities", f"{capability!r} is none of WLCG's")
    age = None
    if fields.has("max_authentication_age"):
        age = fields.number("max_authentication_age", None, 60, MAX_AUTHENTICATION_AGE)
    demand = Demand(
        demand_id=fields.label("id"),
        doors=doors,
        issuers=frozenset(map(Issuer, fields.texts("issuers"))),
        assurance=fields.texts("assurance"),
        acr=fields.texts("acr"),
        capabilities=capabilities,
        max_authentication_age=age,
        admits_keys=fields.choice("keys", ("refuse", "admit"), "refuse") == "admit",
    )
    if not (demand.assurance or demand.acr or capabilities or age is not None):
        fields.refuse("", "demands nothing: assurance, acr, capabilities, max_authentication_age")
    if fields.has("keys") and all(door.kind is not DoorKind.SSH for door in doors):
        fields.refuse("keys", "is for ssh doors")
    return demand


def _read_door(value: object) -> Door:
    if not isinstance(value, str):
        raise InvalidInput(Reason.RULE_INVALID, "a door is needed, as in ssh:login")
    return parse_door(value)


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

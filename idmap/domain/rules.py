"""Group-to-account policy as data: which recorded membership gives which kind of account.

A rule names an issuer, a group of that issuer and an account class; a class names a range, a primary group, a
shell and a home. Rules are read in order and the first that matches decides; no match is a refusal with
its reason, never a default account (law 4). `parse_rules` refuses what cannot stand, naming the rule.
Deny rules, priorities and conditions on assurance are not here yet; the document's `format` is their seam.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from idmap.domain.errors import InvalidInput
from idmap.domain.groups import OUR_ISSUERS, PRIVATE_GROUP, Group, parse_group_id
from idmap.domain.identity import Identity, Issuer, Subject, parse_subject
from idmap.domain.naming_rules import parse_naming
from idmap.domain.reasons import Reason
from idmap.domain.spelling import DEFAULT_NAMING, Naming

FORMAT: Final = 1
MAX_GRACE_DAYS: Final = 3650
_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}", re.ASCII)
_PATH: Final = re.compile(r"/[!-9;-~]{0,254}", re.ASCII)
"""An absolute path without colon, blank or control character: it goes into passwd fields."""


@dataclass(frozen=True, slots=True)
class AccountClass:
    """What accounts of one kind look like."""

    name: str
    number_range: str
    primary_group: Group
    """`PRIVATE_GROUP`: one of the account's own, `primary_group = { private = true }`."""
    shell: str
    home: str
    """Template; `{username}` is its one variable."""
    grace_days: int
    membership_grace_days: int = 0
    """How long a secondary group is kept after its member left it; 0 for not at all."""
    approval_required: bool = False
    """New accounts stay pending until an administrator approves them."""
    naming: Naming = DEFAULT_NAMING

    def home_of(self, username: str) -> str:
        """The home directory of an account of this class."""
        return self.home.replace("{username}", username)


@dataclass(frozen=True, slots=True)
class Rule:
    """Members of `group` get an account of `account_class`, and the gids of the groups listed that they are in.

    With `robots` it matches robots alone: members of the group, and those whose subjects it names.
    """

    rule_id: str
    group: Group
    account_class: AccountClass
    secondary_groups: tuple[Group, ...]
    robots: bool = False
    subjects: frozenset[Subject] = frozenset()
    """Robots that no source lists in the group: clients and hosts are in no group (INDIGO IAM #681)."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who may use the admin door with a token: one identity, or the recorded members of one group."""

    identity: Identity | None
    group: Group | None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """One immutable version of a site's rules."""

    version: int
    rules: tuple[Rule, ...]
    administrators: tuple[Administrator, ...] = ()
    group_range: str = "groups"

    def groups(self) -> frozenset[Group]:
        """Every group any rule speaks of: what the sources must be asked about, what needs a gid."""
        found = set()
        for rule in self.rules:
            found |= {rule.group, rule.account_class.primary_group, *rule.secondary_groups}
        found |= {a.group for a in self.administrators if a.group is not None}
        return frozenset(found - {PRIVATE_GROUP})

    def posix_groups(self) -> frozenset[Group]:
        """The groups that need a gid."""
        found: set[Group] = set()
        for rule in self.rules:
            found |= {rule.account_class.primary_group, *rule.secondary_groups}
        return frozenset(found - {PRIVATE_GROUP})

    def token_only_classes(self) -> frozenset[str]:
        """No demand of this version refuses keys."""
        return frozenset()

    def spelling_facts(self) -> frozenset[str]:
        """Of `email`, `given`, `family`: those that some class needs to name people; no others go on record."""
        return frozenset[str]().union(
            *(rule.account_class.naming.facts() for rule in self.rules if not rule.robots)
        )

    def is_counted_name(self, name: str) -> bool:
        """Whether a counter of some class could give the name or a numbered form of it: no claim may spell it."""
        stem = name.rstrip("0123456789")
        counters = (rule.account_class.naming.counter for rule in self.rules)
        return any(counter is not None and counter.prefix == stem for counter in counters)


def follow_renames(rules: RuleSet, renamed: Mapping[Group, Group]) -> RuleSet:
    """The rules with every group that was renamed since they were written under its path of now."""
    if not renamed.keys() & rules.groups():
        return rules

    def now(group: Group) -> Group:
        return renamed.get(group, group)

    def followed(rule: Rule) -> Rule:
        primary = now(rule.account_class.primary_group)
        return replace(
            rule,
            group=now(rule.group),
            account_class=replace(rule.account_class, primary_group=primary),
            secondary_groups=tuple(map(now, rule.secondary_groups)),
        )

    return replace(
        rules,
        rules=tuple(map(followed, rules.rules)),
        administrators=tuple(
            admin if admin.group is None else replace(admin, group=now(admin.group))
            for admin in rules.administrators
        ),
    )


def who_names(rules: RuleSet, group: Group) -> tuple[str, ...]:
    """The rules, classes and entries under [[admins]] that speak of a group: what a person has to edit."""
    found: dict[str, None] = {}
    for rule in rules.rules:
        if group in {rule.group, *rule.secondary_groups}:
            found[f"rule {rule.rule_id}"] = None
        if group == rule.account_class.primary_group:
            found[f"class {rule.account_class.name}"] = None
    for index, admin in enumerate(rules.administrators, start=1):
        if group == admin.group:
            found[f"admin {index}"] = None
    return tuple(found)


EMPTY_RULES: Final = RuleSet(version=0, rules=())
"""A site without rules: nobody gets an account."""


def parse_rules(document: Mapping[str, Any], version: int) -> RuleSet:
    """A rule set from a decoded TOML, YAML or JSON document.

    Raises InvalidInput: RULE_INVALID, CLASS_WITHOUT_PRIMARY_GROUP; the detail names class or rule and member.
    """
    _known(document, {"format", "groups", "classes", "rules", "admins"}, "document")
    if document.get("format") != FORMAT:
        raise _invalid("document", f"format: this version of idmap reads {FORMAT}")
    groups = _table(document.get("groups", {}), "groups")
    _known(groups, {"range"}, "groups")
    classes = {
        name: _Class(name, _table(body, f"class {name}"))
        for name, body in _table(document.get("classes", {}), "classes").items()
    }
    rules = tuple(
        _parse_rule(_table(body, f"rule {index}"), index, classes)
        for index, body in enumerate(_list(document, "rules"), start=1)
    )
    seen: set[str] = set()
    for rule in rules:
        if rule.rule_id in seen:
            raise _invalid(f"rule {rule.rule_id}", "id: used twice")
        seen.add(rule.rule_id)
    _check_ranges_of_robots(rules)
    return RuleSet(
        version=version,
        rules=rules,
        administrators=tuple(
            _parse_administrator(_table(body, f"admin {index}"), index)
            for index, body in enumerate(_list(document, "admins"), start=1)
        ),
        group_range=_label(groups, "range", "groups", default="groups"),
    )


def _check_ranges_of_robots(rules: tuple[Rule, ...]) -> None:
    """A number tells whether it is a robot's: no range serves both."""
    people = {rule.account_class.number_range for rule in rules if not rule.robots}
    for rule in rules:
        if rule.robots and rule.account_class.number_range in people:
            raise _invalid(
                f"rule {rule.rule_id}",
                f"robots: range {rule.account_class.number_range} serves people; robots need one of their own",
            )


_CLASS_MEMBERS: Final = {
    "username", "username_suffixes",
    "range", "primary_group", "shell", "home", "grace_days", "membership_grace_days", "approval",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Class:
    """A class as written: its primary group is a path until a rule supplies the issuer."""

    name: str
    body: Mapping[str, Any]

    def for_issuer(self, issuer: Issuer) -> AccountClass:
        where = f"class {self.name}"
        _known(self.body, _CLASS_MEMBERS, where)
        if not self.body.get("primary_group"):
            raise InvalidInput(Reason.CLASS_WITHOUT_PRIMARY_GROUP, where)
        home = _path(self.body, "home", where)
        if re.sub(r"\{username\}", "", home).count("{"):
            raise _invalid(where, "home: {username} is the only variable")
        return AccountClass(
            name=self.name,
            number_range=_label(self.body, "range", where),
            primary_group=_primary_group(issuer, self.body["primary_group"], where),
            shell=_path(self.body, "shell", where),
            home=home,
            grace_days=_days(self.body, "grace_days", where, default=30),
            membership_grace_days=_days(self.body, "membership_grace_days", where, default=0),
            approval_required=_approval(self.body, where),
            naming=parse_naming(self.body, where),
        )


def _days(body: Mapping[str, Any], member: str, where: str, default: int) -> int:
    days = body.get(member, default)
    if type(days) is not int or not 0 <= days <= MAX_GRACE_DAYS:
        raise _invalid(where, f"{member}: 0 to {MAX_GRACE_DAYS}")
    return days


def _approval(body: Mapping[str, Any], where: str) -> bool:
    value = body.get("approval", "none")
    if value not in {"none", "required"}:
        raise _invalid(where, "approval: none or required")
    return bool(value == "required")


def _parse_rule(body: Mapping[str, Any], index: int, classes: Mapping[str, _Class]) -> Rule:
    rule_id = _label(body, "id", f"rule {index}")
    where = f"rule {rule_id}"
    _known(
        body, {"id", "issuer", "group", "class", "secondary_groups", "robots", "subjects"}, where
    )
    issuer = _issuer(body, where)
    class_name = _text(body, "class", where)
    if class_name not in classes:
        raise _invalid(where, f"class: there is no class {class_name!r}")
    robots = body.get("robots", False)
    if type(robots) is not bool:
        raise _invalid(where, "robots: true or false is needed")
    subjects = frozenset(_subject(text, where, "subjects") for text in _list(body, "subjects"))
    if subjects and not robots:
        raise _invalid(
            where, "subjects: a person gets an account by membership; only robots are named"
        )
    return Rule(
        rule_id=rule_id,
        group=_group(issuer, body.get("group"), where, "group"),
        account_class=classes[class_name].for_issuer(issuer),
        secondary_groups=tuple(
            _group(issuer, spelling, where, "secondary_groups")
            for spelling in _list(body, "secondary_groups")
        ),
        robots=robots,
        subjects=subjects,
    )


def _parse_administrator(body: Mapping[str, Any], index: int) -> Administrator:
    where = f"admin {index}"
    _known(body, {"issuer", "subject", "group"}, where)
    issuer = _issuer(body, where)
    if ("subject" in body) == ("group" in body):
        raise _invalid(where, "either subject or group")
    if "group" in body:
        return Administrator(identity=None, group=_group(issuer, body["group"], where, "group"))
    subject = _subject(body["subject"], where, "subject")
    return Administrator(identity=Identity(issuer, subject), group=None)


def _issuer(body: Mapping[str, Any], where: str) -> Issuer:
    issuer = Issuer(_text(body, "issuer", where))
    if issuer in OUR_ISSUERS:
        raise _invalid(
            where, f"issuer: {issuer!r} is no issuer; a site-local group matches no rule"
        )
    return issuer


def _primary_group(issuer: Issuer, value: object, where: str) -> Group:
    if not isinstance(value, Mapping):
        return _group(issuer, value, where, "primary_group")
    if dict(value) != {"private": True}:
        raise _invalid(where, "primary_group: a group's path, or { private = true }")
    return PRIVATE_GROUP


def _subject(value: object, where: str, member: str) -> Subject:
    try:
        return parse_subject(value)
    except InvalidInput as error:
        raise _invalid(where, f"{member}: {error.detail}") from error


def _group(issuer: Issuer, spelling: object, where: str, member: str) -> Group:
    try:
        return parse_group_id(issuer, spelling)
    except InvalidInput as error:
        raise _invalid(where, f"{member}: {error.detail}") from error


def _known(body: Mapping[str, Any], members: set[str], where: str) -> None:
    unknown = sorted(body.keys() - members)
    if unknown:
        raise _invalid(
            where, f"{unknown[0]}: unknown member; known are {', '.join(sorted(members))}"
        )


def _table(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _invalid(where, "a table is needed")
    return value


def _list(body: Mapping[str, Any], member: str) -> list[Any]:
    value = body.get(member, [])
    if not isinstance(value, list):
        raise _invalid(member, "a list is needed")
    return value


def _text(body: Mapping[str, Any], member: str, where: str) -> str:
    value = body.get(member)
    if not isinstance(value, str) or not value:
        raise _invalid(where, f"{member}: a string is needed")
    return value


def _label(body: Mapping[str, Any], member: str, where: str, default: str | None = None) -> str:
    value = body.get(member, default)
    if not isinstance(value, str) or not _LABEL.fullmatch(value):
        raise _invalid(where, f"{member}: a-z, then a-z, 0-9, _ or -")
    return value


def _path(body: Mapping[str, Any], member: str, where: str) -> str:
    value = body.get(member)
    if not isinstance(value, str) or not _PATH.fullmatch(value) or "/../" in f"{value}/":
        raise _invalid(where, f"{member}: an absolute path is needed")
    return value


def _invalid(where: str, detail: str) -> InvalidInput:
    return InvalidInput(Reason.RULE_INVALID, f"{where}: {detail}")

"""Account classes as rule documents write them; a class takes its issuer and its project's name from the rule.

Raises RuleFault for what cannot stand: RULE_INVALID, CLASS_WITHOUT_PRIMARY_GROUP (law 4: no group is guessed).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from idmap.domain.conditions import Condition
from idmap.domain.errors import InvalidInput
from idmap.domain.groups import OUR_ISSUERS, PRIVATE_GROUP, Group, parse_group_id
from idmap.domain.identity import Issuer
from idmap.domain.names import is_issuable, is_local_group, spell_group_names
from idmap.domain.naming_rules import parse_naming
from idmap.domain.node_access import EVERYWHERE, NODE_CLASS, NodeAccess
from idmap.domain.reasons import Reason
from idmap.domain.rule_fields import MAX_LINE, Fields, RuleFault
from idmap.domain.rule_schema import MAX_GRACE_DAYS, MAX_POOL, members
from idmap.domain.rules import SHARED_KINDS, AccountClass, AccountKind, SlurmAssociation
from idmap.domain.spelling import Naming

_ONLY_FOR: Final[Mapping[str, frozenset[AccountKind]]] = {
    "name": SHARED_KINDS,
    "size": frozenset({AccountKind.POOL}),
    "username": frozenset({AccountKind.PERSONAL, AccountKind.POOL}),
    "username_suffixes": frozenset({AccountKind.PERSONAL}),
    "membership_grace_days": frozenset({AccountKind.PERSONAL, AccountKind.POOL}),
}
"""A shared account keeps no group for whoever left it: the others would have it too."""

_GROUP: Final = "{group}"
_SLURM_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.ASCII)
"""Slurm folds names to lower case."""


@dataclass(frozen=True, slots=True)
class ClassDraft:
    """A class as written, every member checked that needs no rule."""

    fields: Fields
    draft: AccountClass
    primary_group: object
    """As written: a path is the rule's issuer's."""

    def for_rule(self, rule: Fields, issuer: Issuer, condition: Condition) -> AccountClass:
        """The class as a rule of this issuer gives it."""
        name = self.draft.shared_name
        if name is not None and self.draft.kind is AccountKind.PROJECT:
            name = _project_name(rule, condition, name)
        return AccountClass(
            **{
                member: getattr(self.draft, member)
                for member in AccountClass.__dataclass_fields__
                if member not in {"primary_group", "shared_name"}
            },
            primary_group=_primary_group(self.fields, issuer, self.primary_group),
            shared_name=name,
        )


def read_class(name: str, fields: Fields, format_: int) -> ClassDraft:
    """One class of the document."""
    if not name.isprintable() or not 0 < len(name) <= MAX_LINE:
        shown = Fields(fields.body, "classes", fields.pointer)
        shown.refuse("", f"the name of a class has 1 to {MAX_LINE} printable characters")
    fields.only(members("class", format_))
    if not fields.body.get("primary_group"):
        fields.refuse(
            "primary_group", "every class names one", reason=Reason.CLASS_WITHOUT_PRIMARY_GROUP
        )
    home = fields.path("home")
    if home.replace("{username}", "").count("{"):
        fields.refuse("home", "{username} is the only variable")
    kind = AccountKind(fields.choice("kind", tuple(map(str, AccountKind)), AccountKind.PERSONAL))
    for member, kinds in _ONLY_FOR.items():
        if fields.has(member) and kind not in kinds:
            fields.refuse(member, f"is for accounts of kind {', '.join(sorted(kinds))}")
    naming = _naming(fields)
    if kind is AccountKind.POOL and naming.counter is None:
        fields.refuse("username", "a pool's accounts are counted: { prefix = …, digits = … }")
    draft = AccountClass(
        name=name,
        number_range=fields.label("range"),
        primary_group=PRIVATE_GROUP,
        shell=fields.path("shell"),
        home=home,
        grace_days=fields.number("grace_days", 30, 0, MAX_GRACE_DAYS),
        membership_grace_days=fields.number("membership_grace_days", 0, 0, MAX_GRACE_DAYS),
        approval_required=fields.choice("approval", ("none", "required"), "none") == "required",
        naming=naming,
        kind=kind,
        expires_on=fields.day("expires"),
        access=_access(fields),
        local_groups=local_groups_of(fields),
        slurm=slurm_of(fields),
        shared_name=_shared_name(fields, kind) if kind in SHARED_KINDS else None,
        pool_size=fields.number("size", None, 1, MAX_POOL) if fields.has("size") else None,
    )
    return ClassDraft(fields, draft, fields.body["primary_group"])


def local_groups_of(fields: Fields) -> frozenset[str]:
    """Names of groups of the nodes' own; never one that is as good as root (law 10)."""
    return fields.names("local_groups", is_local_group, "names of no system's own groups")


def slurm_of(fields: Fields) -> SlurmAssociation | None:
    """`slurm = { account = …, qos = […] }`; the first QOS is the one to begin with."""
    if not fields.has("slurm"):
        return None
    table = fields.table("slurm", f"{fields.where}: slurm")
    table.only({"account", "qos"})
    account, what = table.text("account"), "names of a-z, 0-9, _, . and - in lower case"
    if not _SLURM_NAME.fullmatch(account):
        table.refuse("account", what)
    table.names("qos", _SLURM_NAME.fullmatch, what)
    return SlurmAssociation(account, tuple(table.list("qos")))


def node_classes_of(fields: Fields) -> frozenset[str] | None:
    """`node_classes = […]`; None when it is absent."""
    if not fields.has("node_classes"):
        return None
    return fields.names("node_classes", NODE_CLASS.fullmatch, "labels of node classes")


def _access(fields: Fields) -> NodeAccess:
    named = node_classes_of(fields)
    return EVERYWHERE if named is None else NodeAccess(named)


def _naming(fields: Fields) -> Naming:
    try:
        return parse_naming(fields.body, fields.where)
    except InvalidInput as error:
        said = error.detail.removeprefix(f"{fields.where}: ")
        member = said.partition(":")[0].partition(".")[0]
        raise RuleFault(Reason.RULE_INVALID, error.detail, fields.at(member)) from error


def _shared_name(fields: Fields, kind: AccountKind) -> str:
    """A shared account's username; of a project, a template with `{group}`, since groups and users share names."""
    name = fields.text("name")
    if kind is AccountKind.PROJECT:
        if name.count(_GROUP) != 1 or name == _GROUP:
            fields.refuse("name", "{group} once, and something beside it: the group has its name")
        return name
    return _issuable(fields, "name", name)


def _project_name(rule: Fields, condition: Condition, template: str) -> str:
    """A project is one group: the only one that the rule lists under any."""
    groups = [i for part in condition.parts for i in part.any if isinstance(i, Group)]
    names = spell_group_names(groups[0].path) if len(groups) == 1 else ()
    if not names:
        rule.refuse("class", "a project's rule names exactly one group, which spells the username")
    return _issuable(rule, "class", template.replace(_GROUP, names[0]))


def _issuable(fields: Fields, member: str, name: str) -> str:
    if not is_issuable(name):
        fields.refuse(
            member, f"{name[:64]!r} is no name that may be issued", reason=Reason.NAME_REFUSED
        )
    return name


def _primary_group(fields: Fields, issuer: Issuer, value: object) -> Group:
    if isinstance(value, Mapping):
        table: Mapping[str, Any] = value
        if dict(table) == {"private": True}:
            return PRIVATE_GROUP
        if table.keys() != {"issuer", "group"} or not isinstance(table["issuer"], str):
            fields.refuse(
                "primary_group",
                "a group's path, { issuer = …, group = … }, or { private = true }",
            )
        issuer, value = Issuer(table["issuer"]), table["group"]
        if issuer in OUR_ISSUERS:
            fields.refuse("primary_group", f"{issuer!r} is no issuer")
    try:
        return parse_group_id(issuer, value)
    except InvalidInput as error:
        fields.refuse("primary_group", error.detail)

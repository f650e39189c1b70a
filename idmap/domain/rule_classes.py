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
from idmap.domain.names import (
    check_generated_name,
    is_local_group,
    spell_group_names,
)
from idmap.domain.naming_rules import parse_naming
from idmap.domain.node_access import EVERYWHERE, NODE_CLASS, NodeAccess
from idmap.domain.reasons import Reason
from idmap.domain.rule_fields import Fields
from idmap.domain.rules import SHARED_KINDS, AccountClass, AccountKind, SlurmAssociation

MAX_GRACE_DAYS: Final = 3650
MAX_POOL: Final = 1_000_000
_MEMBERS: Final = frozenset(
    "username username_suffixes range primary_group shell home grace_days membership_grace_days"
    " approval".split()
)
_MORE: Final = frozenset("kind expires node_classes local_groups slurm name size".split())
"""Of format 2."""

_ONLY_FOR: Final[Mapping[str, frozenset[AccountKind]]] = {
    "name": SHARED_KINDS,
    "size": frozenset({AccountKind.POOL}),
    "username": frozenset({AccountKind.PERSONAL, AccountKind.POOL}),
    "username_suffixes": frozenset({AccountKind.PERSONAL}),
}
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
    fields.only(_MEMBERS | (_MORE if format_ > 1 else frozenset()))
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
    try:
        naming = parse_naming(fields.body, fields.where)
    except InvalidInput as error:
        raise _at(fields, error) from error
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
    names = fields.texts("local_groups")
    for name in sorted(names):
        if not is_local_group(name):
            fields.refuse("local_groups", f"{name!r} may not be given")
    return names


def slurm_of(fields: Fields) -> SlurmAssociation | None:
    """`slurm = { account = …, qos = […] }`."""
    if not fields.has("slurm"):
        return None
    table = fields.table("slurm", f"{fields.where}: slurm")
    table.only({"account", "qos"})
    account, qos = table.text("account"), table.list("qos")
    for member, names in (("account", [account]), ("qos", qos)):
        if not all(isinstance(one, str) and _SLURM_NAME.fullmatch(one) for one in names):
            table.refuse(member, "names of a-z, 0-9, _, . and - in lower case")
    return SlurmAssociation(account, tuple(qos))


def _access(fields: Fields) -> NodeAccess:
    if not fields.has("node_classes"):
        return EVERYWHERE
    named = fields.texts("node_classes")
    if not all(map(NODE_CLASS.fullmatch, named)):
        fields.refuse("node_classes", "labels of node classes are needed")
    return NodeAccess(named)


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
    try:
        return check_generated_name(name)
    except InvalidInput as error:
        raise _at(fields, error, member) from error


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
        raise _at(fields, error, "primary_group") from error


def _at(fields: Fields, error: InvalidInput, member: str = "username") -> InvalidInput:
    try:
        said = error.detail.removeprefix(f"{fields.where}: ")
        fields.refuse(member, said)
    except InvalidInput as fault:
        return fault

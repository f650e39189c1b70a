"""The members of rule documents, once: what each is called, looks like and means, by table and format.

The parser takes the names from here (`members`), and `rules_schema` publishes all of it as JSON Schema (draft 2020-12),
for editors and pipelines. A schema cannot say everything: that a class exists, or that a condition can give an account
at all, only `parse_rules` knows. What the schema refuses, the parser refuses too.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from idmap.domain.capabilities import COMPUTE, STORAGE
from idmap.domain.roles import Role

SCHEMA_ID: Final = "urn:idmap:schema:rules:2"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

FORMATS: Final = (1, 2)
MAX_PRIORITY: Final = 1_000_000
MAX_AUTHENTICATION_AGE: Final = 31 * 86400
MAX_GRACE_DAYS: Final = 3650
MAX_POOL: Final = 1_000_000

Schema = Mapping[str, Any]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _texts(what: str, **each: Any) -> Schema:
    items = {"type": "string", "minLength": 1, **each}
    return {"type": "array", "items": items, "uniqueItems": True, "description": what}


def _said(schema: Schema, what: str) -> Schema:
    return {**schema, "description": what}


_NODE_CLASS: Final = r"^[a-z][a-z0-9_-]{0,30}$"
_LABEL: Final = {"type": "string", "pattern": r"^[a-z][a-z0-9_-]{0,62}$"}
_TEXT: Final = {"type": "string", "minLength": 1}
_PATH: Final = {"type": "string", "pattern": r"^/[!-9;-~]{0,254}$"}
_BOOLEAN: Final = {"type": "boolean"}
_GROUPS: Final = {"type": "array", "items": _ref("group")}
_ISSUER: Final = _said(_TEXT, "The issuer's exact string, as its tokens say it")
_SLURM: Final = _said(_ref("slurm"), "Where the account's jobs are charged")
_CAPABILITY: Final = "|".join(
    [f"compute[.]{word}" for word in sorted(COMPUTE)]
    + [f"storage[.]{word}" for word in sorted(STORAGE)]
)


def _number(what: str, lowest: int, highest: int, default: int | None = None) -> Schema:
    found = {"type": "integer", "minimum": lowest, "maximum": highest, "description": what}
    return found if default is None else {**found, "default": default}


def _node_classes(what: str) -> Schema:
    return _texts(what, pattern=_NODE_CLASS)


_EVERY_RULE: Final[Mapping[str, Schema]] = {
    "id": _said(_LABEL, "Its name: in accounts, explanations and the record"),
    "effect": _said(
        {"enum": ["account", "add", "deny"], "default": "account"},
        "account: gives one; add: more for an account that another rule gives; deny: takes away",
    ),
    "priority": _number("Higher first, then in the order of the document", -MAX_PRIORITY, MAX_PRIORITY, 0),
    "issuer": _said(_ISSUER, "Some identity of the person is this issuer's; paths without one are its groups"),
    "group": _said(_TEXT, "Short for when.groups.any with this one group"),
    "when": _said(_ref("when"), "What must be on record of the person; every part of it"),
    "robots": _said(_BOOLEAN, "true: clients and service accounts, and nobody else; false: people alone"),
    "subjects": _texts("Robots that match by name, without any group"),
}  # fmt: skip
_GIVEN: Final = _said(
    _GROUPS, "Groups whose gid the account has too, while the person is a member of them"
)
_ITEMS: Final[Mapping[str, tuple[Schema, str]]] = {
    "groups": (_ref("group"), "Groups, as /path or { issuer, group }"),
    "entitlements": (_TEXT, "Entitlement URNs (AARC-G069, AARC-G027); a group's URN is that group"),
    "labels": (_TEXT, "Account labels of INDIGO IAM: name, name=value, prefix/name=value"),
    "attributes": (_TEXT, "Account attributes: name=value"),
    "assurance": (_TEXT, "Values of eduperson_assurance on record; they only narrow"),
    "email_domain": (
        {"type": "string", "pattern": r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"},
        "Domains of the mail address, lower case; they only narrow",
    ),
}

_TABLES: Final[Mapping[str, Mapping[str, Schema]]] = {
    "document": {
        "format": _said({"enum": list(FORMATS)}, "2; documents of format 1 stay readable"),
        "groups": _said(_ref("groups"), "Where gids come from"),
        "classes": {
            "type": "object",
            "additionalProperties": _ref("class"),
            "description": "Account classes by name",
        },
        "rules": {"type": "array", "items": _ref("rule"), "description": "The rules"},
        "demands": {
            "type": "array",
            "items": _ref("demand"),
            "description": "What a credential must prove at a door; demands only narrow",
        },
        "admins": {
            "type": "array",
            "items": _ref("admin"),
            "description": "Who may use the admin door with a token, and as what",
        },
        "examples": {
            "type": "array",
            "items": _ref("example"),
            "description": "People as the author imagines them; all must come out as they say before a save",
        },
    },
    "groups": {"range": _said({**_LABEL, "default": "groups"}, "The range of their gids")},
    "class": {
        "kind": _said(
            {"enum": ["personal", "pool", "project", "shared"], "default": "personal"},
            "personal: one person's; pool: counted, at most `size`; project: one account for the"
            " members of the rule's group; shared: one account by name",
        ),
        "range": _said(_LABEL, "The range of its uids"),
        "primary_group": {
            "anyOf": [
                _ref("group"),
                {
                    "type": "object",
                    "properties": {"private": {"const": True}},
                    "required": ["private"],
                    "additionalProperties": False,
                },
            ],
            "description": "/path of the rule's issuer, { issuer, group }, or { private = true }; never guessed",
        },
        "shell": _said(_PATH, "The login shell"),
        "home": _said(_PATH, "Template; {username} is its one variable"),
        "grace_days": _number(
            "How long an account stays usable after its entitlement ended", 0, MAX_GRACE_DAYS, 30
        ),
        "membership_grace_days": _number(
            "How long a secondary group is kept after its member left it", 0, MAX_GRACE_DAYS, 0
        ),
        "approval": _said(
            {"enum": ["none", "required"], "default": "none"},
            "Whether new accounts wait for a person",
        ),
        "username": {
            "anyOf": [
                _ref("strategy"),
                {"type": "array", "items": _ref("strategy"), "minItems": 1, "maxItems": 8},
            ],
            "description": "How people are named; see names.md",
        },
        "username_suffixes": _number("Up to which number a taken name is numbered", 1, 99, 1),
        "expires": _said(
            {"type": "string", "format": "date"}, "Last day (UTC) of every account of the class"
        ),
        "node_classes": _node_classes("Where its accounts may be used; without it, everywhere"),
        "local_groups": _texts(
            "Names of groups of the nodes' own; each counts on nodes whose configuration lists it"
        ),
        "slurm": _SLURM,
        "name": _said(
            _TEXT, "Of a shared account, its username; of a project, a template with {group}"
        ),
        "size": _number("Of a pool: so many accounts at most", 1, MAX_POOL),
    },
    "account-rule": {
        **_EVERY_RULE,
        "class": _said(_TEXT, "The class of the account it gives"),
        "secondary_groups": _GIVEN,
    },
    "add-rule": {
        **_EVERY_RULE,
        "secondary_groups": _GIVEN,
        "node_classes": _node_classes("More node classes"),
        "local_groups": _texts("More groups of the nodes' own"),
        "slurm": _said(_ref("slurm"), "Where the class says none"),
    },
    "deny-rule": {
        **_EVERY_RULE,
        "node_classes": _node_classes("Only these node classes are taken; without it, the account"),
        "grace_days": _number(
            "How long an account that there is stays usable", 0, MAX_GRACE_DAYS, 0
        ),
        "reason": _said(_TEXT, "Why, for explanations"),
    },
    "when": {name: _said(_ref(f"part-of-{name}"), what) for name, (_, what) in _ITEMS.items()},
    "part": {
        "any": {"description": "At least one of them"},
        "all": {"description": "All of them"},
        "none": {"description": "None of them"},
    },
    "slurm": {
        "account": _said(
            {"type": "string", "pattern": "^[a-z0-9][a-z0-9_.-]{0,63}$"}, "Slurm's account"
        ),
        "qos": {
            "type": "array",
            "items": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_.-]{0,63}$"},
            "description": "Its QOS",
        },
    },
    "demand": {
        "id": _said(_LABEL, "Its name"),
        "doors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "string",
                "pattern": r"^(api|admin|gate|(ssh|component):[a-z][a-z0-9_-]{0,30})$",
            },
            "description": "Doors as in ssh:secure, api, component:portal",
        },
        "issuers": _texts("Whose tokens; without it, everybody's"),
        "acr": _texts("Values of acr, of which the token must carry one"),
        "assurance": _texts("Values of eduperson_assurance, of which the token must carry one"),
        "capabilities": _texts(
            "WLCG capabilities, of which the token must carry one",
            pattern=f"^({_CAPABILITY})(:.*)?$",
        ),
        "max_authentication_age": _number(
            "Seconds since the person logged in", 60, MAX_AUTHENTICATION_AGE
        ),
        "keys": _said(
            {"enum": ["refuse", "admit"], "default": "refuse"},
            "At ssh doors, what becomes of logins by key or certificate, which prove none of it",
        ),
    },
    "admin": {
        "role": _said({"enum": list(map(str, Role))}, "What they may do"),
        "issuer": _ISSUER,
        "subject": _said({"type": "string", "minLength": 1, "maxLength": 255}, "One identity"),
        "group": _said(_ref("group"), "Or the recorded members of one group"),
        "manages": _said(_GROUPS, "Of a group manager: the groups"),
    },
    "example": {
        "name": _said(_TEXT, "What it is about"),
        "issuer": _ISSUER,
        "subject": _said({"type": "string", "minLength": 1}, "For robots that are named"),
        "robot": _said({**_BOOLEAN, "default": False}, "Whether it is a client or service account"),
        **{
            name: {"type": "array", "items": item, "description": what}
            for name, (item, what) in _ITEMS.items()
        },
        "expect": _said(_ref("expect"), "What must become of them"),
    },
    "expect": {
        "rule": _said(_TEXT, "The winner"),
        "refused": _said(_TEXT, "Or the reason code of the refusal"),
        "secondary_groups": _said(_GROUPS, "Exactly these"),
        "node_classes": _texts("Exactly these"),
        "local_groups": _texts("Exactly these"),
    },
}

_NEW_IN_2: Final[Mapping[str, frozenset[str]]] = {
    "document": frozenset({"demands", "examples"}),
    "class": frozenset("kind expires node_classes local_groups slurm name size".split()),
    "account-rule": frozenset({"effect", "priority", "when"}),
    "admin": frozenset({"role", "manages"}),
}
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "document": ("format",),
    "class": ("range", "primary_group", "shell", "home"),
    "account-rule": ("id", "issuer", "class"),
    "add-rule": ("id", "issuer"),
    "deny-rule": ("id", "issuer"),
    "slurm": ("account",),
    "demand": ("id", "doors"),
    "admin": ("issuer",),
    "example": ("name", "issuer", "expect"),
}
_GROUP: Final[Schema] = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": 512},
        {
            "type": "object",
            "properties": {"issuer": _TEXT, "group": _TEXT},
            "required": ["issuer", "group"],
            "additionalProperties": False,
        },
    ]
}
_STRATEGY: Final[Schema] = {
    "anyOf": [
        {"enum": ["preferred", "email", "initials"]},
        {
            "type": "object",
            "properties": {"template": _TEXT},
            "required": ["template"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {
                "prefix": _TEXT,
                "digits": {"type": "integer", "minimum": 1, "maximum": 10},
            },
            "required": ["prefix"],
            "additionalProperties": False,
        },
    ]
}


def tables() -> Mapping[str, Mapping[str, Schema]]:
    """Every table of a document with the schema of each member."""
    return MappingProxyType(_TABLES)


def members(table: str, format_: int = 2) -> frozenset[str]:
    """What a table may hold in a format."""
    new = _NEW_IN_2.get(table, frozenset()) if format_ == 1 else frozenset()
    return frozenset(_TABLES[table]) - new


def required(table: str) -> frozenset[str]:
    """What a table of format 2 must hold."""
    return frozenset(_REQUIRED.get(table, ())) | ({"role"} if table == "admin" else set())


def rules_schema() -> dict[str, Any]:
    """The schema of both formats."""
    definitions: dict[str, Any] = {"group": _GROUP, "strategy": _STRATEGY}
    for name in ("groups", "class", "when", "slurm", "demand", "example", "expect"):
        definitions[name] = _table(name)
    for name, (item, _) in _ITEMS.items():
        lists = {
            member: {"type": "array", "items": item, "uniqueItems": True, **told}
            for member, told in _TABLES["part"].items()
        }
        definitions[f"part-of-{name}"] = {
            "type": "object",
            "properties": lists,
            "additionalProperties": False,
            "minProperties": 1,
        }
    for effect in ("account", "add", "deny"):
        definitions[f"{effect}-rule"] = _table(f"{effect}-rule")
    definitions["rule"] = _by_effect("deny", "add", "account")
    definitions["admin"] = _either(_table("admin", "role"))
    definitions["class-of-format-1"] = _table("class", format_=1)
    definitions["rule-of-format-1"] = _table("account-rule", format_=1)
    definitions["admin-of-format-1"] = _either(_table("admin", format_=1))
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        "title": "Rules of idmap",
        "type": "object",
        "required": ["format"],
        "if": {"properties": {"format": {"const": 1}}},
        "then": _first_format(),
        "else": _table("document"),
        "$defs": definitions,
    }


def _table(name: str, *more_required: str, format_: int = 2) -> dict[str, Any]:
    known = members(name, format_)
    return {
        "type": "object",
        "properties": {member: told for member, told in _TABLES[name].items() if member in known},
        "required": [*_REQUIRED.get(name, ()), *more_required],
        "additionalProperties": False,
    }


def _first_format() -> dict[str, Any]:
    """Documents of format 1: the same without what came later."""
    found = _table("document", format_=1)
    properties = dict(found["properties"])
    properties["classes"] = {
        **properties["classes"],
        "additionalProperties": _ref("class-of-format-1"),
    }
    for member, singular in (("rules", "rule"), ("admins", "admin")):
        properties[member] = {**properties[member], "items": _ref(f"{singular}-of-format-1")}
    return {**found, "properties": properties}


def _by_effect(*effects: str) -> Schema:
    first, *others = effects
    if not others:
        return _ref(f"{first}-rule")
    return {
        "if": {"properties": {"effect": {"const": first}}, "required": ["effect"]},
        "then": _ref(f"{first}-rule"),
        "else": _by_effect(*others),
    }


def _either(admin: dict[str, Any]) -> dict[str, Any]:
    return {**admin, "oneOf": [{"required": ["subject"]}, {"required": ["group"]}]}

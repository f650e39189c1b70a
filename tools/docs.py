"""Writes the documents that are made from code, or with `--check` tells which of them are stale.

docs/error-codes.md from `idmap.domain.reasons`, docs/settings.md from `idmap.entrypoints.settings`, docs/cli.md
from the commands' own `--help`, the table in docs/issuers.md from `idmap.domain.profiles`, those in docs/rules.md and
docs/rules.schema.json from `idmap.domain.rule_schema` and `findings`, those in docs/admin-api.md from
`idmap.domain.roles`, pam_module/reserved.h from `idmap.domain.names`, pam_module/reasons.h
from `idmap.domain.reasons`.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import typer
from pydantic import BaseModel

from idmap.domain import reasons as reasons_module
from idmap.domain.findings import FINDINGS, SEVERITIES
from idmap.domain.names import REFUSED_ON_NODES, as_compared, is_adoptable
from idmap.domain.profiles import READY_MADE
from idmap.domain.reasons import REASONS, Reason
from idmap.domain.roles import PERMISSION_MEANS, ROLE_MEANS, Role, roles_with
from idmap.domain.rule_schema import members, required, rules_schema, tables
from idmap.entrypoints import settings as settings_module
from idmap.entrypoints.settings import AgentSettings, ServiceSettings

ROOT = Path(__file__).resolve().parent.parent
_MADE = "made by `make docs`; edit the code instead"


def error_codes() -> str:
    """One row per reason code, in the order of the source, grouped by its comments."""
    lines = [
        "# Error codes",
        "",
        f"<!-- {_MADE} -->",
        "",
        "The same code stands in the log, the API (`code` of a problem document), the CLI and the PAM message.",
        "Before a credential is proved, the outside sees only `not_accepted` and a reference; the log has the rest.",
    ]
    for heading, codes in _grouped_reasons():
        lines += ["", f"## {heading}", "", "| Code | Means | Next step |", "|---|---|---|"]
        for reason in codes:
            text = REASONS[reason]
            lines.append(f"| `{reason}` | {text.sentence} | {text.next_step} |")
    return "\n".join(lines) + "\n"


def _grouped_reasons() -> Iterator[tuple[str, list[Reason]]]:
    source = (
        inspect.getsource(reasons_module)
        .split("class Reason(StrEnum)", 1)[1]
        .split("@dataclass", 1)[0]
    )
    heading = "General"
    members: list[Reason] = []
    for line in map(str.strip, source.splitlines()):
        if line.startswith("# "):
            if members:
                yield heading, members
            heading, members = line[2:].capitalize(), []
        elif " = " in line:
            members.append(Reason(ast.literal_eval(line.split(" = ", 1)[1])))
    yield heading, members


def settings() -> str:
    """One table per section of the two files."""
    lines = [
        "# Settings",
        "",
        f"<!-- {_MADE} -->",
        "",
        "Two TOML files. Unknown keys stop start-up. Secrets stand in files of their own with mode 0600, never here.",
        "`IDMAP_<SECTION>__<KEY>` in the environment overrides one value.",
    ]
    for file, model in (
        ("/etc/idmap/idmap.toml", ServiceSettings),
        ("/etc/idmap/agent.toml", AgentSettings),
    ):
        lines += ["", f"## {file}", ""]
        lines += _section(model, "")
    return "\n".join(lines) + "\n"


def _section(model: type[BaseModel], prefix: str) -> list[str]:
    notes = _attribute_docs(model)
    own = ["| Key | Type | Default | Note |", "|---|---|---|---|"]
    below: list[str] = []
    for name, field in model.model_fields.items():
        nested = _nested(field.annotation)
        if nested is not None:
            table, path = nested
            heading = f"{prefix}{name}{path}"
            doc = (table.__doc__ or "").strip().splitlines()[0]
            below += ["", f"### [{heading}]", "", doc, "", *_section(table, f"{heading}.")]
            continue
        default = "required" if field.is_required() else f"`{_toml(field.default)}`"
        own.append(
            f"| `{name}` | {_type_name(field.annotation)} | {default} | {notes.get(name, '')} |"
        )
    return (own if len(own) > 2 else []) + below


def _attribute_docs(model: type[BaseModel]) -> dict[str, str]:
    """The string literal under each field."""
    tree = ast.parse(inspect.getsource(settings_module))
    body = next(
        n.body for n in tree.body if isinstance(n, ast.ClassDef) and n.name == model.__name__
    )
    notes: dict[str, str] = {}
    for field, literal in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(literal, ast.Expr)
            and isinstance(literal.value, ast.Constant)
            and isinstance(literal.value.value, str)
        ):
            notes[field.target.id] = " ".join(literal.value.value.split())
    return notes


def _nested(annotation: Any) -> tuple[type[BaseModel], str] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, ""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1], ".NAME"
    if get_origin(annotation) in {Union, UnionType}:
        return next((n for n in map(_nested, get_args(annotation)) if n is not None), None)
    return None


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) in {Union, UnionType}:
        return " or ".join(_type_name(a) for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is tuple:
        return "list of text"
    literal = get_args(annotation)
    if literal and isinstance(literal[0], str):
        return ", ".join(f"`{choice}`" for choice in literal)
    return {
        "str": "text",
        "int": "number",
        "float": "number",
        "bool": "true/false",
        "Path": "path",
    }.get(getattr(annotation, "__name__", ""), "text")


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "none"
        case tuple() | list():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case int() | float():
            return str(value)
        case _:
            return f'"{value}"'


def cli() -> str:
    """Every command with its own help text."""
    from idmap.entrypoints.agent.main import app as agent
    from idmap.entrypoints.cli.main import app as service

    lines = ["# Commands", "", f"<!-- {_MADE} -->", ""]
    for name, app in (("idmap", service), ("idmap-agent", agent)):
        lines += _command(typer.main.get_command(app), name)
    return "\n".join(lines).rstrip() + "\n"


def _command(command: Any, name: str) -> list[str]:
    """Typer carries its own copy of click, so parameters are known by what they say of themselves."""
    lines = [f"## {name}", "", inspect.cleandoc(command.help or "").split("\f")[0], ""]
    subcommands = getattr(command, "commands", None)
    if subcommands:
        for sub in subcommands:
            lines += _command(subcommands[sub], f"{name} {sub}")
        return lines
    rows = []
    for parameter in command.params:
        if parameter.name == "help":
            continue
        option = parameter.param_type_name == "option"
        flags = ", ".join([*parameter.opts, *parameter.secondary_opts])
        shown = flags if option else str(parameter.metavar or parameter.name).upper()
        rows.append(f"| `{shown}` | {' '.join((getattr(parameter, 'help', '') or '').split())} |")
    return lines + (["| Option | |", "|---|---|", *rows, ""] if rows else [])


def issuers() -> str:
    """The page as written, with the table of ready-made profiles in its place."""
    lines = [
        "| Profile | For | Groups are read from | Header `typ` | Only the site knows |",
        "|---|---|---|---|---|",
    ]
    for name, ready in READY_MADE.items():
        members = ready.members
        claims = ", ".join(
            f"`{claim}` ({kind})" for claim, kind in members["groups_claims"].items()
        )
        types = ", ".join(f"`{kind}`" if kind else "absent" for kind in members["accepted_types"])
        needs = ", ".join(f"`{member}`" for member in ready.needs)
        lines.append(f"| `{name}` | {ready.summary} | {claims} | {types} | {needs} |")
    return _with_tables("docs/issuers.md", "ready-made", lines)


def admin_api() -> str:
    """The page as written, with the tables of roles and permissions in their place."""
    lines = ["| Role | |", "|---|---|"]
    lines += [f"| `{role}` | {means} |" for role, means in ROLE_MEANS.items()]
    lines += [
        "",
        f"| Permission | | {' | '.join(Role)} |",
        "|---|---|" + ":-:|" * len(Role),
    ]
    for permission, means in PERMISSION_MEANS.items():
        having = roles_with(permission)
        cells = " | ".join("✓" if role in having else "" for role in Role)
        lines.append(f"| `{permission}` | {means} | {cells} |")
    return _with_tables("docs/admin-api.md", "roles", lines)


def _with_tables(name: str, marker: str, lines: list[str]) -> str:
    page = (ROOT / name).read_text(encoding="utf-8")
    start, end = f"<!-- {marker}: made by `make docs` -->\n", "<!-- end -->\n"
    before, _, rest = page.partition(start)
    return before + start + "\n".join(lines) + "\n" + end + rest.partition(end)[2]


def rules_page() -> str:
    """The page as written, with the members of every table and the findings in their places."""
    page = (ROOT / "docs/rules.md").read_text(encoding="utf-8")
    page = _between(page, "<!-- members: made by `make docs` -->\n", "\n".join(_members()))
    lines = ["| Code | Severity | Means |", "|---|---|---|"]
    for code, means in FINDINGS.items():
        lines.append(f"| `{code}` | {SEVERITIES[code]} | {means} |")
    return _between(page, "<!-- findings: made by `make docs` -->\n", "\n".join(lines))


def _between(page: str, start: str, made: str) -> str:
    before, _, rest = page.partition(start)
    end = "<!-- end -->\n"
    return f"{before}{start}{made}\n{end}{rest.partition(end)[2]}"


_WRITTEN_AS = {
    "document": "the document",
    "groups": "`[groups]`",
    "class": "`[classes.NAME]`",
    "when": "`[rules.when]`",
    "part": "each of these",
    "slurm": "`slurm`",
    "demand": "`[[demands]]`",
    "admin": "`[[admins]]`",
    "example": "`[[examples]]`",
    "expect": "`expect`",
}


def _members() -> Iterator[str]:
    """One table; what every kind of rule has is told once."""
    yield "| In | Member | | Means |"
    yield "|---|---|---|---|"
    for table, found in tables().items():
        for member, schema in found.items():
            if table in ("add-rule", "deny-rule") and schema is tables()["account-rule"].get(
                member
            ):
                continue
            notes = []
            if member in required(table):
                notes.append("needed")
            if table in _SINCE_2 or member not in members(table, 1):
                notes.append("format 2")
            if "default" in schema:
                notes.append(f"default `{_toml(schema['default'])}`")
            means = schema.get("description", "")
            yield f"| {_written_as(table, member)} | `{member}` | {', '.join(notes)} | {means} |"


def _written_as(table: str, member: str) -> str:
    """A table's name; of rules, those that may have the member."""
    if table in _WRITTEN_AS:
        return _WRITTEN_AS[table]
    schema = tables()[table][member]
    effects = [e for e in ("account", "add", "deny") if tables()[f"{e}-rule"].get(member) is schema]
    return "`[[rules]]`" if len(effects) == 3 else f"`[[rules]]`, {', '.join(effects)}"


_SINCE_2 = frozenset(
    {"add-rule", "deny-rule", "when", "part", "slurm", "demand", "example", "expect"}
)


def rules_json_schema() -> str:
    """The schema, for those who have no service at hand."""
    return json.dumps(rules_schema(), indent=2, ensure_ascii=False) + "\n"


def reserved_header() -> str:
    """The closed table for the C side, sorted for binary search, with a filter by first character and length."""
    lengths = [0] * 32
    for name in REFUSED_ON_NODES:
        lengths[ord(name[0]) & 31] |= 1 << len(name)
    rows = [", ".join(f"0x{word:05x}" for word in lengths[n : n + 8]) for n in range(0, 32, 8)]
    carried = [chr(byte) for byte in range(128) if is_adoptable(f"a{chr(byte)}")]
    folds = [f"['{byte}'] = '{as_compared(byte)}'" for byte in carried]
    folded = [", ".join(folds[n : n + 8]) for n in range(0, len(folds), 8)]
    return "\n".join(
        [
            "/*",
            " * Names that no federated user or group may carry, because they are root, can be turned into root,",
            ' * or mean "nobody", on some distribution (law 10).',
            " *",
            f" * {_MADE}: tools/docs.py, from idmap/domain/names.py.",
            " * Spelled as compared: lower case, with `-` `.` `+` as `_`. Sorted by bytes. Bit n of",
            " * `reserved_lengths[first & 31]` is set when a name with that first character has n characters,",
            " * so that most names are cleared without a search.",
            " */",
            "#ifndef IDMAP_RESERVED_H",
            "#define IDMAP_RESERVED_H",
            "",
            "#include <stdint.h>",
            "",
            "/* clang-format off */",
            "static const char *const reserved_names[] = {",
            *(f'    "{name}",' for name in sorted(REFUSED_ON_NODES)),
            "};",
            "",
            "static const uint32_t reserved_lengths[32] = {",
            *(f"    {row}," for row in rows),
            "};",
            "",
            "/* What a byte compares as; 0 for a byte that no name may contain. */",
            "static const char fold[256] = {",
            *(f"    {row}," for row in folded),
            "};",
            "",
            "#endif",
            "",
        ]
    )


SHOWN_AT_LOGIN = (
    Reason.ACCOUNT_EXPIRED,
    Reason.ACCOUNT_SUSPENDED,
    Reason.ACCOUNT_UNKNOWN,
    Reason.AGENT_UNAVAILABLE,
    Reason.AUDIENCE_REFUSED,
    Reason.BANNED,
    Reason.CLOCK_SKEW,
    Reason.CONFIGURATION_INVALID,
    Reason.GRACE_ENDED,
    Reason.IDENTITY_MISMATCH,
    Reason.IDENTITY_UNKNOWN,
    Reason.ISSUER_UNAVAILABLE,
    Reason.LOCAL_ACCOUNT,
    Reason.NODE_CLASS_REFUSED,
    Reason.NODE_FILES_UNREADABLE,
    Reason.SERVICE_UNAVAILABLE,
    Reason.SNAPSHOT_EXPIRED,
    Reason.TOKEN_DEMANDED,
    Reason.TOKEN_EXPIRED,
    Reason.NOT_ACCEPTED,
)
"""The codes whose sentences PAM shows; the last answers for every other code."""


def reasons_header() -> str:
    """Sentence and next step of each code that a person meets at a login, for pam_idmap."""
    entries = [
        f'    {{"{code}", "{REASONS[code].sentence} {REASONS[code].next_step}"}},'
        for code in SHOWN_AT_LOGIN
    ]
    return "\n".join(
        [
            "/*",
            " * What people read when a login is refused: sentence and next step. The last entry answers for",
            " * every other code.",
            " *",
            f" * {_MADE}: tools/docs.py, from idmap/domain/reasons.py.",
            " */",
            "#ifndef IDMAP_REASONS_H",
            "#define IDMAP_REASONS_H",
            "",
            "/* clang-format off */",
            "static const struct {",
            "    const char *reason, *text;",
            "} reason_texts[] = {",
            *entries,
            "};",
            "",
            "#endif",
            "",
        ]
    )


MADE: dict[str, Callable[[], str]] = {
    "docs/error-codes.md": error_codes,
    "docs/settings.md": settings,
    "docs/cli.md": cli,
    "docs/issuers.md": issuers,
    "docs/admin-api.md": admin_api,
    "docs/rules.md": rules_page,
    "docs/rules.schema.json": rules_json_schema,
    "pam_module/reserved.h": reserved_header,
    "pam_module/reasons.h": reasons_header,
}


def main() -> int:
    """Writes or checks every document; the exit status is the number of stale ones when checking."""
    stale = 0
    for name, make in MADE.items():
        path, text = ROOT / name, make()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{name} is stale: run 'make docs'", file=sys.stderr)
            stale += 1
    return stale


if __name__ == "__main__":
    sys.exit(main())

"""What people read about rules: findings by line, a what-if counts first, a verdict, a difference as a review."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from idmap.domain.findings import Finding
from idmap.domain.rule_examples import ExampleFailure
from idmap.entrypoints.cli.output import as_fields

PEOPLE_SHOWN: Final = 20
"""Of a what-if, unless more are asked for."""

At = Callable[[str], str]
"""A pointer as a place in a file."""


def finding_lines(findings: Sequence[Mapping[str, Any]], at: At) -> Iterator[str]:
    """As in `rules.toml:17: warning: rule lhc: never wins: …`."""
    for one in findings:
        where = (at(one["pointer"]), str(one["severity"]), one["name"], one["sentence"])
        yield ": ".join(filter(None, where))


def finding_documents(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Those found here, as the service would write them."""
    return [one.document() for one in findings]


def failure_lines(failing: Sequence[Mapping[str, Any]], at: At) -> Iterator[str]:
    """Examples that do not come out."""
    for one in failing:
        said = f"example {one['example']!r}: expected {one['expected']}, found {one['found']}"
        yield ": ".join(filter(None, (at(one["pointer"]), "error", said)))


def failure_documents(failing: Sequence[ExampleFailure]) -> list[dict[str, str]]:
    """Those found here, as the service would write them."""
    return [
        {
            "example": one.name,
            "pointer": f"/examples/{one.position}",
            "expected": one.expected,
            "found": one.found,
        }
        for one in failing
    ]


def what_if_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Counts first, then by rule, then people as far as they were asked for."""
    pinned = " (pinned)" if found["pinned"] else ""
    effects: Mapping[str, int] = found["effects"]
    counts = [
        ("against version", f"{found['against_version']}{pinned}"),
        *((name, found[name]) for name in ("people", "entitled", "gains", "loses", "moves")),
        *(
            (name, number)
            for name, number in effects.items()
            if number and name not in ("gains", "loses", "moves")
        ),
    ]
    yield as_fields(found, counts).text
    changed = [row for row in found["by_rule"] if row["before"] != row["after"] or row["loses"]]
    if changed:
        yield "by rule"
        width = max(len(row["rule"]) for row in changed)
        for row in changed:
            gone = f", {row['loses']} of them lose" if row["loses"] else ""
            new = f", {row['gains']} of them gain" if row["gains"] else ""
            yield f"  {row['rule']:<{width}}  {row['before']}{gone} → {row['after']}{new}"
    people = found.get("changes", ())
    if people:
        yield "people"
        for row in people:
            yield f"  {_person(row)}"
    if found.get("next") is not None:
        yield f"more: --after '{found['next']}'"


def _person(row: Mapping[str, Any]) -> str:
    who = f"{row['identity']['subject']} @ {row['identity']['issuer']}"
    named = f"{row['username']} ({who})" if row["username"] else who
    said = []
    for effect in row["effects"]:
        match effect:
            case "loses":
                said.append(f"loses ({row['reason']})")
            case "gains":
                said.append("gains")
            case "denied":
                said.append("denied")
            case _:
                said.append(f"{effect} {_of(row['before'], effect)} → {_of(row['after'], effect)}")
    return f"{named}: {', '.join(said)}"


_MEMBERS: Final[Mapping[str, str]] = {
    "moves": "rule",
    "class": "account_class",
    "groups": "secondary_groups",
    "expiry": "expires_on",
}
"""Where a grant says what an effect is about; else under the effect's own name."""


def _of(grant: Mapping[str, Any] | None, effect: str) -> str:
    value = None if grant is None else grant.get(_MEMBERS.get(effect, effect))
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def verdict_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """One person: outcome, what they get, every check and rule, what would help."""
    identity = found["identity"]
    who = "nobody yet" if identity is None else f"{identity['subject']} @ {identity['issuer']}"
    fields: list[tuple[str, object]] = [
        ("about", f"{found['username']} ({who})" if found["username"] else who),
        ("allowed", found["allowed"]),
        ("reason", found["reason"]),
    ]
    if found["denied_by"]:
        fields.append(("denied by", f"rule {found['denied_by']}"))
    for name, value in (found["gives"] or {}).items():
        if value not in (None, []):
            fields.append((name.replace("_", " "), value))
    if found["now"] is not None:
        now = found["now"]["gives"]
        said = found["now"]["reason"] if now is None else f"rule {now['rule']}"
        fields.append(("in force", f"version {found['against_version']}: {said}"))
        fields.append(("changes", found["effects"] or "nothing"))
    if found["at_door"] is not None:
        door = found["at_door"]
        fields.append((f"at {door['door']}", "ok" if door["allowed"] else door["reasons"]))
        fields += [("unmet", f"demand {one['demand']}: {one['reason']}") for one in door["unmet"]]
    yield as_fields(found, fields).text
    for check in found["checks"]:
        yield _line(check["passed"], check["check"], check["shown"])
    for rule in found["rules"]:
        used = ", used" if rule["used"] else ""
        yield _line(rule["matched"], f"{rule['rule']} ({rule['effect']}{used})", rule["condition"])
        if not rule["matched"]:
            for part in rule["parts"]:
                if not part["held"]:
                    yield f"      wanted {part['wanted']}; had {part['had']}"
    for step in found["would_help"]:
        yield f"  · {step}"


def diff_lines(sections: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Like a review: what comes in and goes out by name, what changes member by member."""
    if not sections:
        yield "nothing differs"
    for section in sections:
        name = _SINGULAR.get(section["section"], "")
        for sign, part in (("-", "removed"), ("+", "added")):
            for entry, body in section[part].items():
                yield f"{sign} {name} {entry}".rstrip()
                yield from (
                    f"{sign}     {key} = {_shown(value)}" for key, value in sorted(body.items())
                )
        for entry, members in section["changed"].items():
            yield f"~ {name} {entry}".rstrip() if name else f"~ {section['section']}"
            for one in members:
                yield f"      {one['member']}: {_shown(one['before'])} → {_shown(one['after'])}"
        if section["moved"]:
            yield f"~ order of rules: {', '.join(section['moved'])} come at another place"


_SINGULAR: Final[Mapping[str, str]] = {
    "classes": "class",
    "rules": "rule",
    "demands": "demand",
    "admins": "admin",
    "examples": "example",
}


def _shown(value: object) -> str:
    match value:
        case None:
            return "not there"
        case bool():
            return "true" if value else "false"
        case list():
            return f"[{', '.join(map(_shown, value))}]"
        case dict():
            inner = ", ".join(f"{key} = {_shown(one)}" for key, one in value.items())
            return f"{{ {inner} }}"
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def _line(passed: bool, name: str, shown: str) -> str:
    return f"  {'✓' if passed else '✗'} {name}: {shown}"

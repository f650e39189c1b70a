"""Two rule documents beside each other: what was added, removed, changed member by member, and put in another order.

Compares what is written, not what it means: `group = "/lhc"` and `when.groups.any = ["/lhc"]` are a change. Entries
are the same when they have the same name: classes, rules and demands their own, examples theirs, administrators by
whom they name. What it means for people, the what-if says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

SECTIONS: Final = ("document", "groups", "classes", "rules", "demands", "admins", "examples")
"""In the order in which a document is read. `document` is what stands at the top: the format."""

_SINGULAR: Final = {
    "classes": "class",
    "rules": "rule",
    "demands": "demand",
    "admins": "admin",
    "examples": "example",
}
_NESTED: Final = frozenset({"when", "expect", "groups", "slurm"})
"""Tables that are compared member by member; others are one value."""


@dataclass(frozen=True, slots=True)
class MemberChange:
    """One member before and after; absent ones are None."""

    member: str
    """With its tables, as in `when.groups.any`."""
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class EntryChange:
    """An entry that both have, and what differs."""

    name: str
    members: tuple[MemberChange, ...]


@dataclass(frozen=True, slots=True)
class SectionDiff:
    """What differs in one section."""

    section: str
    added: Mapping[str, Mapping[str, Any]]
    """By name, as written."""
    removed: Mapping[str, Mapping[str, Any]]
    changed: tuple[EntryChange, ...]
    moved: tuple[str, ...] = ()
    """Rules that both have and whose order among those is another: with equal priorities the first one wins."""

    @property
    def singular(self) -> str:
        """What one entry is called."""
        return _SINGULAR.get(self.section, self.section)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "section": self.section,
            "added": dict(self.added),
            "removed": dict(self.removed),
            "changed": {
                entry.name: [
                    {"member": one.member, "before": one.before, "after": one.after}
                    for one in entry.members
                ]
                for entry in self.changed
            },
            "moved": list(self.moved),
        }

    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.added or self.removed or self.changed or self.moved)


def diff_rules(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[SectionDiff, ...]:
    """The sections that differ, in the order of SECTIONS; both documents are such as `parse_rules` reads."""
    found = (_section(name, _entries(before, name), _entries(after, name)) for name in SECTIONS)
    return tuple(section for section in found if not section.is_empty())


def _section(
    name: str, before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]
) -> SectionDiff:
    changed = []
    for entry in before.keys() & after.keys():
        members = tuple(_members(before[entry], after[entry]))
        if members:
            changed.append(EntryChange(entry, members))
    order = {entry: place for place, entry in enumerate(after)}
    return SectionDiff(
        section=name,
        added={entry: after[entry] for entry in after if entry not in before},
        removed={entry: before[entry] for entry in before if entry not in after},
        changed=tuple(sorted(changed, key=lambda entry: order[entry.name])),
        moved=_moved(before, after) if name == "rules" else (),
    )


def _entries(document: Mapping[str, Any], section: str) -> dict[str, Mapping[str, Any]]:
    """A section's entries by name, in order."""
    if section == "document":
        return {"document": {"format": document.get("format")}}
    body = document.get(section, {} if section in {"groups", "classes"} else [])
    if section == "groups":
        return {"groups": body}
    if section == "classes":
        return dict(sorted(body.items()))
    found: dict[str, Mapping[str, Any]] = {}
    for row in body:
        name = _name_of(section, row)
        same = sum(known == name or known.startswith(f"{name} (") for known in found)
        found[f"{name} ({same + 1})" if same else name] = row
    return found


def _name_of(section: str, row: Mapping[str, Any]) -> str:
    if section == "examples":
        return str(row["name"])
    if section != "admins":
        return str(row["id"])
    who = row.get("subject", row.get("group"))
    if isinstance(who, Mapping):
        return f"{who['group']} @ {who['issuer']}"
    return f"{who} @ {row['issuer']}"


def _members(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[MemberChange]:
    one, other = dict(_flat(before)), dict(_flat(after))
    for member in sorted(one.keys() | other.keys()):
        if canonical(one.get(member)) != canonical(other.get(member)):
            yield MemberChange(member, one.get(member), other.get(member))


def _flat(body: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for member, value in body.items():
        if isinstance(value, Mapping) and (above or member in _NESTED):
            yield from _flat(value, f"{above}{member}.")
        else:
            yield f"{above}{member}", value


def canonical(value: object) -> str:
    """As text that tells `1`, `true` and `"1"` apart."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    one = [name for name in before if name in after]
    other = [name for name in after if name in before]
    return tuple(name for name, was in zip(other, one, strict=True) if name != was)

"""A rule document as TOML, for people to edit: what `rules apply` reads back is the same document."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_TABLES: Final = ("groups", "classes")
_LISTS: Final = ("rules", "demands", "admins", "examples")


def as_toml(document: Mapping[str, Any]) -> str:
    """The members in the order in which a document is read; nulls, which TOML does not have, are left out."""
    lines = [
        f"{_key(name)} = {_value(value)}"
        for name, value in document.items()
        if name not in (*_TABLES, *_LISTS) and value is not None
    ]
    if "groups" in document:
        lines += ["", "[groups]", *_members(document["groups"])]
    for name, body in document.get("classes", {}).items():
        lines += ["", f"[classes.{_key(name)}]", *_members(body)]
    if document.get("classes") == {}:
        lines += ["", "[classes]"]
    for name in _LISTS:
        if document.get(name) == []:
            lines.insert(0, f"{name} = []")
        for body in document.get(name, ()):
            lines += ["", f"[[{name}]]", *_members(body)]
    return "\n".join(lines).strip("\n") + "\n"


def _members(body: Mapping[str, Any]) -> Iterator[str]:
    for name, value in body.items():
        if value is not None:
            yield f"{_key(name)} = {_value(value)}"


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            inner = ", ".join(_members(value))
            return f"{{ {inner} }}" if inner else "{}"
        case _:
            return _text(str(value))


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _text(name)


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for DEL, which TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

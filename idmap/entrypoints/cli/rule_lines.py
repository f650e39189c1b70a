"""Which line of a file a JSON Pointer (RFC 6901) means: for TOML by a reader of our own, for YAML by PyYAML's marks.

`toml_lines` reads text that `tomllib` has accepted and looks at nothing but where keys and values begin: tables, arrays
of tables, dotted keys, inline tables, lists, every kind of string, comments. What it does *not* do is judge values.
"""

from __future__ import annotations

import tomllib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Final

import yaml

from idmap.domain.rule_places import pointer

Lines = Mapping[str, int]
"""Pointer → line, from 1."""

_BLANK: Final = " \t"
_BARE_END: Final = frozenset(" \t\r\n.=]")
_VALUE_END: Final = frozenset(",]}#\r\n")
Path = tuple[str | int, ...]


def line_of(lines: Lines, place: str) -> int | None:
    """The line of a pointer, or of the nearest thing around it that is written anywhere."""
    while place and place not in lines:
        place = place.rpartition("/")[0]
    return lines.get(place)


def toml_lines(text: str) -> Lines:
    """Of valid TOML."""
    return _Toml(text).read()


def yaml_lines(node: yaml.Node) -> Iterator[tuple[str, int]]:
    """Of a tree without aliases of collections."""
    waiting: list[tuple[Path, yaml.Node]] = [((), node)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, yaml.MappingNode):
            for key, value in found.value:
                below = (*path, str(key.value))
                yield pointer(*below), key.start_mark.line + 1
                waiting.append((below, value))
        elif isinstance(found, yaml.SequenceNode):
            for index, value in enumerate(found.value):
                yield pointer(*path, index), value.start_mark.line + 1
                waiting.append(((*path, index), value))


class _Toml:
    """One reading of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._ends = [place for place, character in enumerate(text) if character == "\n"]
        self._found: dict[str, int] = {}
        self._tables: dict[Path, int] = {}
        """Arrays of tables, and how many each has by now."""

    def read(self) -> Lines:
        table: Path = ()
        while self._skip(newlines=True):
            if self._text[self._at] != "[":
                self._pair(table)
                continue
            many = self._text.startswith("[[", self._at)
            began = self._at
            self._at += 2 if many else 1
            table = self._header(self._key(), began, many=many)
            self._at = self._text.index("]", self._at) + (2 if many else 1)
        return self._found

    def _header(self, keys: list[str], began: int, *, many: bool) -> Path:
        """The path that a header opens; of arrays of tables the newest one is meant."""
        path: Path = ()
        for place, key in enumerate(keys, start=1):
            path = (*path, key)
            self._note(path, began)
            if many and place == len(keys):
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
                self._note(path, began)
        return path

    def _pair(self, table: Path) -> None:
        """`key = value`, dotted or not."""
        began = self._at
        for key in self._key():
            table = (*table, key)
            self._note(table, began)
        self._skip()
        self._at += 1  # the =
        self._skip()
        self._value(table)

    def _value(self, path: Path) -> None:
        match self._text[self._at]:
            case "[":
                self._list(path)
            case "{":
                self._inline(path)
            case '"' | "'":
                self._string()
            case _:
                while self._at < len(self._text) and self._text[self._at] not in _VALUE_END:
                    self._at += 1

    def _list(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._skip(newlines=True) and self._text[self._at] != "]":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._note((*path, index), self._at)
            self._value((*path, index))
            index += 1
        self._at += 1

    def _inline(self, path: Path) -> None:
        self._at += 1
        while self._skip(newlines=True) and self._text[self._at] != "}":
            if self._text[self._at] == ",":
                self._at += 1
                continue
            self._pair(path)
        self._at += 1

    def _key(self) -> list[str]:
        """The keys of a dotted key; stops at what follows it."""
        found = []
        while True:
            self._skip()
            began = self._at
            if self._text[began] in "\"'":
                self._string()
                found.append(tomllib.loads(f"k = {self._text[began : self._at]}")["k"])
            else:
                while self._text[self._at] not in _BARE_END:
                    self._at += 1
                found.append(self._text[began : self._at])
            self._skip()
            if self._text[self._at] != ".":
                return found
            self._at += 1

    def _string(self) -> None:
        text, quote = self._text, self._text[self._at]
        closing = quote * 3 if text.startswith(quote * 3, self._at) else quote
        self._at += len(closing)
        while not text.startswith(closing, self._at):
            self._at += 2 if quote == '"' and text[self._at] == "\\" else 1
        self._at += len(closing)
        if len(closing) == 3:
            # Up to two quotes more belong to the text (TOML 1.0, "String").
            for _ in range(2):
                self._at += text.startswith(quote, self._at)

    def _skip(self, *, newlines: bool = False) -> bool:
        """Goes past blanks, with `newlines` past comments and line ends too; False at the end of the text."""
        while self._at < len(self._text):
            character = self._text[self._at]
            if newlines and character == "#":
                end = bisect_right(self._ends, self._at)
                self._at = self._ends[end] if end < len(self._ends) else len(self._text)
            elif character in _BLANK or (newlines and character in "\r\n"):
                self._at += 1
            else:
                return True
        return False

    def _note(self, path: Path, began: int) -> None:
        self._found.setdefault(pointer(*path), bisect_right(self._ends, began - 1) + 1)

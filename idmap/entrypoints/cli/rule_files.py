"""A file of rules: TOML, YAML or JSON by its suffix, read and checked here, before anybody is asked.

What is wrong is said with the line, as in `rules.toml:17: rule lhc: clas: unknown member; …`; so is what the service
finds later, by the pointer that it gives. Of YAML a subset is read: what JSON has, and days; a key stands once, and
no alias stands for a table or a list.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from idmap.domain.errors import IdmapError, InvalidInput
from idmap.domain.findings import Finding, require_no_errors
from idmap.domain.reasons import Reason
from idmap.domain.rule_document import parse_rules
from idmap.domain.rule_examples import ExampleFailure, failing_examples
from idmap.domain.rule_fields import RuleFault
from idmap.domain.rule_findings import find_in_rules
from idmap.domain.rule_places import pointer
from idmap.domain.rules import RuleSet
from idmap.entrypoints.cli.client import ProblemAnswered
from idmap.entrypoints.cli.rule_lines import Lines, line_of, toml_lines, yaml_lines


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A file's document, and where in the file everything stands."""

    path: Path
    document: dict[str, Any]
    lines: Lines

    def at(self, place: str) -> str:
        """`rules.toml:17`."""
        line = line_of(self.lines, place)
        return str(self.path) if line is None else f"{self.path}:{line}"

    def fault(self, fault: RuleFault) -> InvalidInput:
        """The same refusal, with the line."""
        return InvalidInput(fault.reason, f"{self.at(fault.pointer)}: {fault.detail}")

    def problem(self, error: ProblemAnswered) -> ProblemAnswered:
        """What the service answered, with the line where it has a pointer."""
        place = error.problem.get("pointer")
        if not isinstance(place, str):
            return error
        detail = f"{self.at(place)}: {error.problem.get('detail', '')}"
        return ProblemAnswered(error.status, {**error.problem, "detail": detail})


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file whose rules stand, as far as can be said without the service."""

    file: RuleFile
    rules: RuleSet
    findings: tuple[Finding, ...]
    failing: tuple[ExampleFailure, ...]


def check_file(path: Path) -> CheckedFile:
    """Reads and checks. Raises InvalidInput with the line; failing examples and mere warnings are given back."""
    file = read_rules(path)
    now = datetime.now(tz=UTC)
    try:
        rules = parse_rules(file.document, 1)
        findings = find_in_rules(file.document, rules, now.date(), None)
        require_no_errors(findings)
    except RuleFault as fault:
        raise file.fault(fault) from fault
    return CheckedFile(file, rules, findings, tuple(failing_examples(rules, int(now.timestamp()))))


def read_rules(path: Path) -> RuleFile:
    """The document in a file. Raises InvalidInput(RULE_INVALID)."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise IdmapError(Reason.RULE_INVALID, f"{path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise _refused(path, None, "is no UTF-8 text") from None
    read = _READERS.get(path.suffix.lower(), _read_toml)
    try:
        document, lines = read(path, text)
    except RecursionError:
        raise _refused(path, None, "is nested too deeply") from None
    file = RuleFile(path, {}, lines)
    if not isinstance(document, dict):
        raise _refused(path, 1, "a table is needed")
    return RuleFile(path, {name: _plain(file, (name,), v) for name, v in document.items()}, lines)


def _read_toml(path: Path, text: str) -> tuple[object, Lines]:
    text = text.replace("\r\n", "\n")
    try:
        return tomllib.loads(text), toml_lines(text)
    except tomllib.TOMLDecodeError as error:
        _, _, place = str(error).rpartition("at line ")
        line = place.partition(",")[0]
        raise _refused(path, int(line) if line.isdigit() else None, str(error)) from error


def _read_yaml(path: Path, text: str) -> tuple[object, Lines]:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, {}
        _require_subset(path, node)
        return loader.construct_document(node), dict(yaml_lines(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "cannot be read"
        raise _refused(path, None if mark is None else mark.line + 1, said) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _refused(path, None, str(error).splitlines()[0]) from error
    finally:
        loader.dispose()


def _read_json(path: Path, text: str) -> tuple[object, Lines]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise _refused(path, error.lineno, f"{error.msg}, column {error.colno}") from error
    # YAML knows no tabs between values; JSON has none within strings.
    loader = yaml.SafeLoader(text.replace("\t", " "))
    try:
        node = loader.get_single_node()
        if node is not None:
            _require_subset(path, node)
            return document, dict(yaml_lines(node))
    except yaml.YAMLError:
        pass  # JSON that PyYAML cannot read has no lines
    finally:
        loader.dispose()
    return document, {}


_READERS: Final[Mapping[str, Callable[[Path, str], tuple[object, Lines]]]] = {
    ".toml": _read_toml,
    ".yaml": _read_yaml,
    ".yml": _read_yaml,
    ".json": _read_json,
}


def _require_subset(path: Path, node: yaml.Node) -> None:
    """Every key a string and once in its table; no table or list in two places."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        found = waiting.pop()
        if not isinstance(found, yaml.CollectionNode):
            continue
        line = found.start_mark.line + 1
        if id(found) in seen:
            raise _refused(path, line, "an alias for a table or a list is not read; write it out")
        seen.add(id(found))
        if isinstance(found, yaml.SequenceNode):
            waiting.extend(found.value)
            continue
        keys: set[str] = set()
        for key, value in found.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                raise _refused(path, line, "a key is a string; quote it")
            if key.value in keys:
                raise _refused(path, line, f"{key.value}: stands twice in this table")
            keys.add(key.value)
            waiting.append(value)


def _plain(file: RuleFile, path: tuple[str | int, ...], value: object) -> Any:
    """As JSON has it; days become text."""
    match value:
        case dict():
            return {str(name): _plain(file, (*path, str(name)), one) for name, one in value.items()}
        case list():
            return [_plain(file, (*path, index), one) for index, one in enumerate(value)]
        case None | bool() | int() | str():
            return value
        case float() if math.isfinite(value):
            return value
        case date() if not isinstance(value, datetime):
            return value.isoformat()
        case _:
            place = file.at(pointer(*path))
            raise InvalidInput(
                Reason.RULE_INVALID,
                f"{place}: {path[-1]}: a value of type {type(value).__name__} is not read",
            )


def _refused(path: Path, line: int | None, problem: str) -> InvalidInput:
    where = f"{path}" if line is None else f"{path}:{line}"
    return InvalidInput(Reason.RULE_INVALID, f"{where}: {problem}")

"""Every place of a document has its line, in whatever way TOML, YAML or JSON writes it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.errors import InvalidInput
from idmap.domain.rule_places import pointer
from idmap.entrypoints.cli.rule_files import check_file, read_rules
from idmap.entrypoints.cli.rule_lines import line_of, toml_lines
from idmap.entrypoints.cli.rule_toml import as_toml
from tests.support.rule_documents import FULL

TOML = '''\
# a comment with [brackets] and "quotes"
format = 2 # another = one

[groups]
range = "groups"

[classes.personal] # [not a table]
home = """
/home/{username}
# no comment, "no" end: \\"""
"""
shell = \'\'\'/bin/ba\'sh\'\'\'
primary_group = { issuer = "https://x/#y", group = "/lhc" }
"quoted.key" = 'a # b'
a . b.c = 1
local_groups = [
  "one", # the first
  # nothing here
  "two, three",
  { x = [1,
    2], y = "]" },
]

[[rules]]
id = "first"
  [rules.when]
  groups = { any = ["/a", "/b"], none = [
    "/c",
  ] }

[[rules]]
id = "second"
when.groups.any = ["/a"]
when.labels = { all = ["x"] }

[rules.when.assurance]
any = ["high"]

[[rules.deep]]
x = 1
[[rules.deep]]
x = 2
[classes."a.b"]
expires = 2026-12-04'''

PLACES = {
    "/format": 2,
    "/groups": 4,
    "/groups/range": 5,
    "/classes/personal": 7,
    "/classes/personal/home": 8,
    "/classes/personal/shell": 12,
    "/classes/personal/primary_group/group": 13,
    "/classes/personal/quoted.key": 14,
    "/classes/personal/a/b/c": 15,
    "/classes/personal/local_groups": 16,
    "/classes/personal/local_groups/0": 17,
    "/classes/personal/local_groups/1": 19,
    "/classes/personal/local_groups/2": 20,
    "/classes/personal/local_groups/2/x/1": 21,
    "/classes/personal/local_groups/2/y": 21,
    "/rules/0": 24,
    "/rules/0/id": 25,
    "/rules/0/when": 26,
    "/rules/0/when/groups/any/1": 27,
    "/rules/0/when/groups/none": 27,
    "/rules/0/when/groups/none/0": 28,
    "/rules/1": 31,
    "/rules/1/when/groups/any": 33,
    "/rules/1/when/labels/all/0": 34,
    "/rules/1/when/assurance": 36,
    "/rules/1/when/assurance/any": 37,
    "/rules/1/deep/0/x": 40,
    "/rules/1/deep/1/x": 42,
    "/classes/a.b": 43,
    "/classes/a.b/expires": 44,
}


@pytest.mark.parametrize("place", PLACES)
def test_every_way_of_writing_toml_has_its_lines(place: str) -> None:
    """Tables, sub-tables of the newest entry, dotted keys, inline tables, strings over several lines, comments."""
    tomllib.loads(TOML)
    assert toml_lines(TOML)[place] == PLACES[place]


def test_what_is_written_nowhere_is_where_it_belongs() -> None:
    """A missing member of a rule is the rule's line."""
    assert line_of(toml_lines(TOML), "/rules/1/class") == 31
    assert line_of(toml_lines(TOML), "/demands/0") is None


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6)
values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.text(st.characters(codec="utf-8"), max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=8,
)  # fmt: skip
rows = st.lists(st.dictionaries(names, values, max_size=4), max_size=3)
documents = st.fixed_dictionaries(
    {"format": st.just(2)},
    optional={
        "rules": rows,
        "demands": rows,
        "classes": st.dictionaries(names, st.dictionaries(names, values, max_size=3), max_size=3),
        "groups": st.dictionaries(names, values, max_size=2),
    },
)


def pointers(
    value: Any, path: tuple[str | int, ...] = ()
) -> list[tuple[tuple[str | int, ...], str]]:
    """Every place of a document with its pointer."""
    if not isinstance(value, dict | list):
        return []
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for step, below in inner:
        found += [((*path, step), pointer(*path, step)), *pointers(below, (*path, step))]
    return found


@given(documents)
def test_what_is_written_as_toml_reads_the_same_and_has_all_its_lines(
    document: dict[str, Any],
) -> None:
    """Whatever its names and texts hold; and a key is on the line that is told."""
    text = as_toml(document)
    assert tomllib.loads(text) == document
    lines, rows = toml_lines(text), text.split("\n")
    for path, place in pointers(document):
        assert place in lines
        if isinstance(path[-1], str) and path[-1].isascii() and path[-1].isalnum():
            assert path[-1] in rows[lines[place] - 1]


def test_the_full_document_is_the_same_in_every_form(tmp_path: Path) -> None:
    """TOML, YAML and JSON; with and without tabs and blanks."""
    forms = {
        "a.toml": as_toml(FULL),
        "b.yaml": yaml.safe_dump(FULL, sort_keys=False),
        "c.yml": json.dumps(FULL),
        "d.json": json.dumps(FULL, indent="\t"),
        "e.json": json.dumps(FULL),
    }
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        found = check_file(tmp_path / name)
        assert found.file.document == FULL
        assert {place for _, place in pointers(FULL)} <= set(found.file.lines)
        assert not found.failing


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("x.toml", "format = 2\nformat = 2\n", "x.toml:2: "),
        ("x.toml", "format = 2\n[classes.a\n", "x.toml:2: "),
        ("x.toml", 'format = 2\nx = 2026-01-01T00:00:00Z\n', "x.toml:2: x: a value of type datetime"),
        ("x.toml", "format = 2\nx = nan\n", "x.toml:2: x: a value of type float"),
        ("x.yaml", "format: 2\nrules: [\n", "x.yaml:3: "),
        ("x.yaml", "format: 2\nformat: 2\n", "x.yaml:2: format: stands twice"),
        ("x.yaml", "format: 2\nyes: 1\n", "x.yaml:2: a key is a string; quote it"),
        ("x.yaml", "a: &a [1]\nb: *a\n", "x.yaml:1: an alias"),
        ("x.yaml", "a: &a\n  b: *a\n", "an alias"),
        ("x.yaml", "a: !!python/object:os.system {}\n", "x.yaml:1: "),
        ("x.yaml", "- 1\n", "a table is needed"),
        ("x.yaml", "", "a table is needed"),
        ("x.yaml", "a: 1\n---\nb: 1\n", "x.yaml:2: "),
        ("x.json", '{"format": 2,\n "format": 2}', "x.json:2: format: stands twice"),
        ("x.json", '{"format": 2,\n}', "x.json:2: "),
        ("x.json", "[" * 100_000, "nested too deeply"),
        ("x.yaml", "[" * 100_000, "nested too deeply"),
        ("x.json", "7", "a table is needed"),
        ("x.toml", "format = 2\n[[rules]]\nid = 'a'\nissuer = 'i'\nclas = 'c'\n",
         "x.toml:5: rule a: clas: unknown member; did you mean class?"),
        ("x.yaml", "format: 2\nrules:\n- id: a\n  issuer: i\n  when:\n    grups: {}\n",
         "x.yaml:6: rule a: when: grups: unknown member; did you mean groups?"),
        ("x.json", '{"format": 2,\n"admins": [\n{"issuer": "i"}]}', "x.json:3: admin 1: either"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_told_by_its_line(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    """Nothing is guessed, nothing is run, nobody is asked."""
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput) as caught:
        check_file(tmp_path / name)
    assert said in caught.value.detail
    assert str(tmp_path) in caught.value.detail


def test_days_become_text(tmp_path: Path) -> None:
    """As JSON sends them."""
    for name, text in (("x.toml", "expires = 2026-12-04\n"), ("x.yaml", "expires: 2026-12-04\n")):
        (tmp_path / name).write_text(text)
        assert read_rules(tmp_path / name).document == {"expires": "2026-12-04"}

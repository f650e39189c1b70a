"""The published schema and the parser say the same of members; python-jsonschema is the judge."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.registry_sites import RULES as BENCHED
from idmap.domain.conditions import PartName
from idmap.domain.rule_document import parse_rules
from idmap.domain.rule_examples import check_examples
from idmap.domain.rule_fields import RuleFault
from idmap.domain.rule_schema import members, required, rules_schema, tables
from tests.domain.test_rules import document as first_format
from tests.entrypoints.http.site import RULES as SITE
from tests.support.registry_scenes import document as scene
from tests.support.rule_documents import FULL

SCHEMA = jsonschema.Draft202012Validator(rules_schema())
ROOT = Path(__file__).parents[2]


def _in_docs() -> list[dict[str, Any]]:
    """Every whole document that a page shows."""
    found = []
    for page in sorted((ROOT / "docs").glob("*.md")):
        for block in re.findall(r"```toml\n(.*?)```", page.read_text(), re.DOTALL):
            document = tomllib.loads(block.replace("FRIDAY", "2026-12-04"))
            if "format" in document:
                found.append(document)
    return found


VALID: list[dict[str, Any]] = [*_in_docs(), FULL, first_format(), dict(SITE), scene(), BENCHED]
Step = str | int


def tables_of(value: Any, path: tuple[Step, ...] = ()) -> Iterator[tuple[Step, ...]]:
    """The path of every table whose members are named by us."""
    if isinstance(value, dict):
        if path != ("classes",):
            yield path
        for name, inner in value.items():
            yield from tables_of(inner, (*path, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from tables_of(inner, (*path, index))


def at(document: Any, path: tuple[Step, ...]) -> Any:
    """What stands there."""
    for step in path:
        document = document[step]
    return document


def test_the_schema_is_one() -> None:
    """Of draft 2020-12, and every reference leads somewhere."""
    jsonschema.Draft202012Validator.check_schema(rules_schema())
    text = json.dumps(rules_schema())
    for name in {part.split('"')[0] for part in text.split("#/$defs/")[1:]}:
        assert name in rules_schema()["$defs"]


def test_the_copy_in_the_docs_is_the_schema() -> None:
    """`make docs` writes it."""
    assert json.loads((ROOT / "docs/rules.schema.json").read_text()) == rules_schema()


@pytest.mark.parametrize("number", range(len(VALID)))
def test_every_document_that_stands_is_valid(number: int) -> None:
    """Those of both formats, from all over the tests and the docs; and their examples come out."""
    rules = parse_rules(VALID[number], 1)
    check_examples(rules, 1_790_000_000)
    assert list(SCHEMA.iter_errors(VALID[number])) == []


def test_the_full_document_has_every_member() -> None:
    """So that what is tested with it is everything there is."""
    text = json.dumps(FULL)
    for table in tables().values():
        for member in table:
            assert f'"{member}"' in text


@given(
    st.sampled_from(VALID).flatmap(
        lambda document: st.tuples(st.just(document), st.sampled_from(list(tables_of(document))))
    ),
    st.one_of(
        st.sampled_from(["clas", "whn", "any ", "Group", "node_class", "demand", "x"]),
        st.text(min_size=1, max_size=8).filter(lambda text: text not in _ALL),
    ),
)
def test_an_unknown_member_is_refused_by_both(
    chosen: tuple[dict[str, Any], tuple[Step, ...]], name: str
) -> None:
    """In whatever table it stands; the parser says where."""
    original, path = chosen
    document = copy.deepcopy(original)
    at(document, path)[name] = 1
    with pytest.raises(RuleFault) as caught:
        parse_rules(document, 1)
    assert caught.value.pointer.startswith("/")
    assert list(SCHEMA.iter_errors(document))


_ALL = frozenset(member for table in tables().values() for member in table) | {
    "issuer", "group", "private", "template", "prefix", "digits",
}  # fmt: skip


@given(
    st.sampled_from(VALID).flatmap(
        lambda document: st.tuples(
            st.just(document), st.sampled_from([p for p in tables_of(document) if p])
        )
    ),
    st.data(),
)
def test_what_the_schema_refuses_the_parser_refuses(
    chosen: tuple[dict[str, Any], tuple[Step, ...]], data: st.DataObject
) -> None:
    """Some member of some table becomes something else, or goes; the schema never refuses what stands."""
    original, path = chosen
    document = copy.deepcopy(original)
    table = at(document, path)
    if not table:
        return
    member = data.draw(st.sampled_from(sorted(table)))
    odd = st.sampled_from(
        [None, True, 0, -1, 10**9, "", "x", "/x", [], [1], ["x"], {}, {"any": []}]
    )
    if data.draw(st.booleans()):
        table[member] = data.draw(odd)
    else:
        del table[member]
    if list(SCHEMA.iter_errors(document)):
        with pytest.raises(RuleFault):
            parse_rules(document, 1)


def test_members_of_later_formats_are_none_of_the_first() -> None:
    """A document says which format it means, and gets that."""
    document = {**first_format(), "demands": []}
    assert list(SCHEMA.iter_errors(document))
    with pytest.raises(RuleFault):
        parse_rules(document, 1)
    assert members("class", 1) < members("class", 2)
    assert members("when") == set(map(str, PartName))


def test_what_is_required_is_known() -> None:
    """No table wants a member that it may not have."""
    for table in tables():
        assert required(table) <= members(table)

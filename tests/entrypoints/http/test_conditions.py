"""Entity tags as RFC 9110 writes them, and what a condition lets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from idmap.domain.errors import Conflict, InvalidInput
from idmap.domain.reasons import Reason
from idmap.entrypoints.http.conditions import (
    Conditions,
    EntityTag,
    TagList,
    parse_tags,
    strong_tag,
)

TAGS = st.builds(
    EntityTag,
    st.text(alphabet=[chr(c) for c in (0x21, *range(0x23, 0x7F), 0xE9)], max_size=20),
    st.booleans(),
)


@given(st.lists(TAGS, min_size=1, max_size=6), st.sampled_from([",", ", ", " ,\t", ",,", ", , "]))
def test_what_is_written_is_read_again(tags: list[EntityTag], between: str) -> None:
    """Commas within quotes are no separators; empty elements are nothing."""
    assert parse_tags("If-Match", [between.join(map(str, tags))]) == TagList(tuple(tags))
    assert parse_tags("If-Match", [str(tag) for tag in tags]) == TagList(tuple(tags))


@pytest.mark.parametrize(
    "value",
    [
        "", ",", "3", '"3', '3"', 'w/"3"', 'W/ "3"', '"a" "b"', '"a";"b"', '*, "a"', '"a", *', "**",
        '"a b"', '"a\x00"', '"a"x', "W/", '"' + "a" * 5000 + '"',
    ],
)  # fmt: skip
def test_what_is_no_list_of_tags_is_refused(value: str) -> None:
    with pytest.raises(InvalidInput, check=lambda e: e.reason is Reason.REQUEST_INVALID):
        parse_tags("If-Match", [value])


def test_no_field_is_no_condition() -> None:
    assert parse_tags("If-Match", []) is None
    assert Conditions.of(Headers({})) == Conditions()
    Conditions().check(None)


A, B, WEAK_A = EntityTag("a"), EntityTag("b"), EntityTag("a", weak=True)


@pytest.mark.parametrize(
    ("name", "value", "current", "passes"),
    [
        ("if-match", '"a"', A, True),
        ("if-match", '"b", "a"', A, True),
        ("if-match", '"b"', A, False),
        ("if-match", 'W/"a"', A, False),
        ("if-match", '"a"', WEAK_A, False),
        ("if-match", "*", A, True),
        ("if-match", "*", None, False),
        ("if-match", '"a"', None, False),
        ("if-none-match", "*", None, True),
        ("if-none-match", "*", A, False),
        ("if-none-match", 'W/"a"', A, False),
        ("if-none-match", '"b"', A, True),
        ("if-none-match", '"b"', None, True),
    ],
)
def test_a_change_passes_or_does_not(
    name: str, value: str, current: EntityTag | None, passes: bool
) -> None:
    """RFC 9110 §13.1.1 compares strongly, §13.1.2 weakly."""
    conditions = Conditions.of(Headers({name: value}))
    if passes:
        conditions.check(current)
        return
    with pytest.raises(Conflict, check=lambda e: e.reason is Reason.VERSION_CONFLICT):
        conditions.check(current)


def test_a_reader_who_has_it_need_not_be_told_again() -> None:
    known = Conditions.of(Headers({"if-none-match": 'W/"a", "c"'}))
    assert known.not_modified('"a"')
    assert not known.not_modified('"b"')
    assert not known.not_modified(None)
    assert Conditions.of(Headers({"if-none-match": "*"})).not_modified('"b"')
    assert not Conditions().not_modified('"a"')


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_a_tag_is_of_the_content_and_of_nothing_else(document: dict[str, int | str]) -> None:
    backwards = dict(reversed(list(document.items())))
    assert strong_tag(document) == strong_tag(backwards)
    assert strong_tag(document) != strong_tag({**document, "one more member": 1})
    assert not strong_tag(document).weak

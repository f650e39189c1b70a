"""Numbers: where an issued one may lie (law 10)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.errors import InvalidInput
from idmap.domain.numbers import NumberRange, RangePurpose, check_range, is_refused_number
from idmap.domain.reasons import Reason


def _range(first: int, last: int, name: str = "people") -> NumberRange:
    return NumberRange(name, RangePurpose.PEOPLE, first, last)


@pytest.mark.parametrize(
    "number", [-1, 0, 1, 999, 60001, 61184, 65533, 65534, 65535, 2**31, 2**32 - 1, 2**32]
)
def test_root_and_the_special_ids_are_out_of_reach(number: int) -> None:
    """Root, nobody, DynamicUser, overflow, and everything that turns negative somewhere."""
    assert is_refused_number(number)


@pytest.mark.parametrize("number", [1000, 60000, 65536, 200000, 2**31 - 1])
def test_the_edges_of_what_may_be_issued(number: int) -> None:
    """The last legal numbers on either side of the refusals."""
    assert not is_refused_number(number)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (0, 10),
        (999, 2000),
        (50000, 70000),
        (60000, 60001),
        (65535, 70000),
        (5, 1),
        (2**31 - 5, 2**31),
    ],
)
def test_a_range_that_touches_a_refusal_is_refused(first: int, last: int) -> None:
    """Spanning the hole counts, even when both ends are legal."""
    with pytest.raises(InvalidInput) as caught:
        check_range(_range(first, last), ())
    assert caught.value.reason is Reason.NUMBER_REFUSED


def test_overlapping_ranges_are_refused() -> None:
    """One shared number is enough; so is a shared name."""
    old = _range(200_000, 300_000, "old")
    for new in (_range(300_000, 310_000, "new"), _range(400_000, 400_001, "old")):
        with pytest.raises(InvalidInput) as caught:
            check_range(new, (old,))
        assert caught.value.reason is Reason.RANGE_OVERLAPS


def test_crowded_ranges_are_named() -> None:
    """The caller must show them to a person; nothing is refused."""
    crowded = check_range(_range(90_000, 600_000), ())
    assert ["subuid" in c.used_by or "nspawn" in c.used_by for c in crowded] == [True, True]
    assert check_range(_range(200_000, 299_999), ()) == ()


@given(st.integers(0, 2**32), st.integers(0, 2**32))
def test_every_number_of_an_accepted_range_is_issuable(first: int, last: int) -> None:
    """What `check_range` lets pass holds no refused number at its ends or at the hole."""
    try:
        check_range(_range(first, last), ())
    except InvalidInput:
        return
    assert not is_refused_number(first)
    assert not is_refused_number(last)
    assert last < 60001 or first > 65535

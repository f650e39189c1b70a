"""Which member lists a node withholds: by number of members, never by name."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.errors import InvalidInput
from idmap.domain.member_lists import FULL_LISTS, MemberLists, MemberPolicy
from idmap.domain.reasons import Reason

EMPTY = MemberPolicy.EMPTY


@pytest.mark.parametrize(
    ("above", "withheld"), [(0, {1, 2, 3}), (1, {2, 3}), (2, {3}), (3, set()), (10**9, set())]
)
def test_a_group_with_exactly_that_many_members_shows_them_and_one_more_is_too_many(
    above: int, withheld: set[int]
) -> None:
    """Group 1 has one member, 2 has two, 3 has three, 4 has nobody."""
    secondary = [(1, 2, 3), (2, 3), (3,), ()]
    assert MemberLists(EMPTY, above).withheld(secondary) == withheld


def test_full_withholds_nothing() -> None:
    """Whatever the members."""
    assert FULL_LISTS.withheld([(1,)] * 1000) == frozenset()


@pytest.mark.parametrize(
    ("policy", "above"),
    [(EMPTY, None), (EMPTY, -1), (MemberPolicy.FULL, 0), (MemberPolicy.FULL, 5)],
)
def test_a_limit_that_does_not_fit_its_policy_is_refused(
    policy: MemberPolicy, above: int | None
) -> None:
    """Nothing is guessed."""
    with pytest.raises(InvalidInput) as caught:
        MemberLists(policy, above)
    assert caught.value.reason is Reason.REQUEST_INVALID


@given(
    secondary=st.lists(st.sets(st.integers(1, 9)).map(tuple), max_size=30),
    above=st.integers(0, 30),
)
def test_what_is_withheld_is_what_counting_says(
    secondary: list[tuple[int, ...]], above: int
) -> None:
    """Against a count that somebody else wrote; a higher limit never withholds more."""
    counts = Counter(gid for gids in secondary for gid in gids)
    withheld = MemberLists(EMPTY, above).withheld(iter(secondary))
    assert withheld == {gid for gid, count in counts.items() if count > above}
    assert MemberLists(EMPTY, above + 1).withheld(secondary) <= withheld

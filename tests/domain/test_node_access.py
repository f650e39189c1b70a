"""Node access: one word for every value, and unions and refusals that mean what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idmap.domain.errors import InvalidInput
from idmap.domain.node_access import EVERYWHERE, NOWHERE, NodeAccess, parse_node_access

CLASSES = ("login", "gpu", "secure", "controller")
sets = st.frozensets(st.sampled_from(CLASSES))
accesses = st.builds(NodeAccess, st.none() | sets, sets)


@given(accesses)
def test_what_is_written_reads_back(access: NodeAccess) -> None:
    """One spelling per value, and the same value from it."""
    assert parse_node_access(str(access)) == access


@given(accesses, accesses, st.sampled_from(CLASSES))
def test_both_together_admit_what_either_admits(
    one: NodeAccess, other: NodeAccess, node_class: str
) -> None:
    """Union, in either order."""
    both = one.and_on(other)
    assert both.admits(node_class) == (one.admits(node_class) or other.admits(node_class))
    assert both == other.and_on(one)


@given(accesses, sets, st.sampled_from(CLASSES))
def test_a_refused_class_is_refused_and_no_other(
    access: NodeAccess, refused: frozenset[str], node_class: str
) -> None:
    """Deny wins over whatever admitted it."""
    left = access.but_not_on(refused).admits(node_class)
    assert left == (access.admits(node_class) and node_class not in refused)


def test_everywhere_and_nowhere() -> None:
    """The two ends."""
    assert (str(EVERYWHERE), str(NOWHERE)) == ("*", "")
    assert EVERYWHERE.admits("login")
    assert not NOWHERE.admits("login")


@pytest.mark.parametrize(
    "text", ["login,", "b,a", "a,a", "*,secure,", "-a", "*,-b,-a", "A", "a b", "*,*", ",", " "]
)
def test_other_spellings_are_refused(text: str) -> None:
    """Nothing is guessed about a word that we did not write."""
    with pytest.raises(InvalidInput):
        parse_node_access(text)
